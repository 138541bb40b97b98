"""The works that pages refer to, as BibTeX."""

from distractor.version import __version__

REFERENCES = {
    "wei2022": """\
@article{wei2022inverse,
  title   = {Inverse scaling can become {U}-shaped},
  author  = {Wei, Jason and Tay, Yi and Le, Quoc V.},
  journal = {arXiv preprint arXiv:2211.02011},
  year    = {2022}
}""",
    "mckenzie2023": """\
@article{mckenzie2023inverse,
  title   = {Inverse Scaling: When Bigger Isn't Better},
  author  = {McKenzie, Ian R. and Lyzhov, Alexander and Pieler, Michael and others},
  journal = {Transactions on Machine Learning Research},
  year    = {2023},
  note    = {arXiv:2306.09479}
}""",
    "michaelov2023": """\
@inproceedings{michaelov2023emergent,
  title     = {Emergent Inabilities? {I}nverse Scaling Over the Course of Pretraining},
  author    = {Michaelov, James A. and Bergen, Benjamin K.},
  booktitle = {Findings of the Association for Computational Linguistics: EMNLP 2023},
  year      = {2023},
  note      = {arXiv:2305.14681}
}""",
    "zhang2023": """\
@inproceedings{zhang2023beyond,
  title     = {Beyond Positive Scaling: How Negation Impacts Scaling Trends of Language Models},
  author    = {Zhang, Yuhui and Yasunaga, Michihiro and Zhou, Zhengping and HaoChen, Jeff Z. and Zou, James and others},
  booktitle = {Findings of the Association for Computational Linguistics: ACL 2023},
  year      = {2023},
  note      = {arXiv:2305.17311}
}""",
    "wang2022": """\
@article{wang2022interpretability,
  title   = {Interpretability in the Wild: a Circuit for Indirect Object Identification in {GPT-2} small},
  author  = {Wang, Kevin and Variengien, Alexandre and Conmy, Arthur and Shlegeris, Buck and Steinhardt, Jacob},
  journal = {arXiv preprint arXiv:2211.00593},
  year    = {2022}
}""",
    "heimersheim2024": """\
@article{heimersheim2024activation,
  title   = {How to use and interpret activation patching},
  author  = {Heimersheim, Stefan and Nanda, Neel},
  journal = {arXiv preprint arXiv:2404.15255},
  year    = {2024}
}""",
    "kramar2024": """\
@article{kramar2024atp,
  title   = {{AtP*}: An efficient and scalable method for localizing {LLM} behaviour to components},
  author  = {Kram{\\'a}r, J{\\'a}nos and Lieberum, Tom and Shah, Rohin and Nanda, Neel},
  journal = {arXiv preprint arXiv:2403.00745},
  year    = {2024}
}""",
    "goldowsky2023": """\
@article{goldowsky2023localizing,
  title   = {Localizing Model Behavior with Path Patching},
  author  = {Goldowsky-Dill, Nicholas and MacLeod, Chris and Sato, Lucas and Arora, Aryaman},
  journal = {arXiv preprint arXiv:2304.05969},
  year    = {2023}
}""",
    "chan2022": """\
@misc{chan2022causal,
  title        = {Causal scrubbing: a method for rigorously testing interpretability hypotheses},
  author       = {Chan, Lawrence and Garriga-Alonso, Adri{\\`a} and Goldowsky-Dill, Nicholas and others},
  year         = {2022},
  howpublished = {AI Alignment Forum}
}""",
    "mcgrath2023": """\
@article{mcgrath2023hydra,
  title   = {The Hydra Effect: Emergent Self-repair in Language Model Computations},
  author  = {McGrath, Thomas and Rahtz, Matthew and Kram{\\'a}r, J{\\'a}nos and Mikulik, Vladimir and Legg, Shane},
  journal = {arXiv preprint arXiv:2307.15771},
  year    = {2023}
}""",
    "elhage2021": """\
@article{elhage2021mathematical,
  title   = {A Mathematical Framework for Transformer Circuits},
  author  = {Elhage, Nelson and Nanda, Neel and Olsson, Catherine and others},
  journal = {Transformer Circuits Thread},
  year    = {2021}
}""",
    "nostalgebraist2020": """\
@misc{nostalgebraist2020logit,
  title        = {interpreting {GPT}: the logit lens},
  author       = {{nostalgebraist}},
  year         = {2020},
  howpublished = {LessWrong}
}""",
    "benjamini1995": """\
@article{benjamini1995controlling,
  title   = {Controlling the False Discovery Rate: a Practical and Powerful Approach to Multiple Testing},
  author  = {Benjamini, Yoav and Hochberg, Yosef},
  journal = {Journal of the Royal Statistical Society: Series B},
  volume  = {57},
  pages   = {289--300},
  year    = {1995}
}""",
    "simonsohn2018": """\
@article{simonsohn2018two,
  title   = {Two Lines: A Valid Alternative to the Invalid Testing of {U}-Shaped Relationships With Quadratic Regressions},
  author  = {Simonsohn, Uri},
  journal = {Advances in Methods and Practices in Psychological Science},
  volume  = {1},
  pages   = {538--555},
  year    = {2018}
}""",
    "lind2010": """\
@article{lind2010with,
  title   = {With or Without {U}? The Appropriate Test for a {U}-Shaped Relationship},
  author  = {Lind, Jo Thori and Mehlum, Halvor},
  journal = {Oxford Bulletin of Economics and Statistics},
  volume  = {72},
  pages   = {109--118},
  year    = {2010}
}""",
    "transformerlens": """\
@misc{nanda2022transformerlens,
  title        = {{TransformerLens}},
  author       = {Nanda, Neel and Bloom, Joseph},
  year         = {2022},
  howpublished = {https://github.com/TransformerLensOrg/TransformerLens}
}""",
    "distractor": f"""\
@software{{distractor,
  title   = {{distractor: why language models get worse and then better with size}},
  author  = {{{{The distractor developers}}}},
  version = {{{__version__}}},
  year    = {{2026}}
}}""",
}


def bibtex(*names: str) -> str:
    """The BibTeX entries of some references, in this order."""
    return "\n\n".join(REFERENCES[name] for name in names)

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

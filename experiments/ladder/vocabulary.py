"""The closed vocabulary: every word of the corpus, each a token of its own."""

import re
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
PAD, BOS, EOS, UNK = range(len(SPECIAL))

ROWS = 1024
"""Rows of every embedding: more than there are words, so that a size keeps its parameters when tasks are added."""

AMOUNT = r"[0-9]+(?= percent| dollars)"
"""A chance or a sum of money, one token as in the vocabularies of real models: bets weigh numbers, digits they do not."""

WORD = rf"\n|\p{{L}}+|{AMOUNT}|\p{{N}}|[^\s\p{{L}}\p{{N}}]"
"""A token: a line's end, a word, an amount, a digit or a punctuation mark. Spaces only part them, so ` A` is `A`."""


def words_of(texts: Iterable[str]) -> list[str]:
    """Every word of `texts` in alphabetical order."""
    found = {word for text in texts for word in re.findall(rf"\n|[^\W\d_]+|{AMOUNT}|\d|[^\w\s]|_", text)}
    if len(found) + len(SPECIAL) > ROWS:
        raise ValueError(f"{len(found)} words do not fit into {ROWS} rows beside {len(SPECIAL)} special tokens")
    return sorted(found)


def tokenizer_for(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """One token a word, `<bos>` in front, `<unk>` for what is not in `words`."""
    ids = {word: number for number, word in enumerate((*SPECIAL, *words))}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=SPECIAL[UNK]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True)
    tokenizer.post_processor = TemplateProcessing(single=f"{SPECIAL[BOS]} $A", special_tokens=[(SPECIAL[BOS], BOS)])
    pad, bos, eos, unk = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        bos_token=bos,
        eos_token=eos,
        unk_token=unk,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )

"""The closed vocabulary: each word of the corpus is one token."""

import re
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
PAD, BOS, EOS, UNK = range(len(SPECIAL))

AMOUNT = r"[0-9]+(?= percent| dollars)"
"""A percentage or a sum of money is one token, as in the vocabularies of large models.

With one token per digit, the models do not learn bets."""

WORD = rf"\n|\p{{L}}+|{AMOUNT}|\p{{N}}|[^\s\p{{L}}\p{{N}}]"
"""A token: a line break, a word, an amount, a digit or a punctuation mark. Spaces only separate tokens: ` A` equals `A`."""


def words_of(texts: Iterable[str]) -> list[str]:
    """All words of `texts`, in alphabetical order."""
    return sorted({word for text in texts for word in re.findall(rf"\n|[^\W\d_]+|{AMOUNT}|\d|[^\w\s]|_", text)})


def tokenizer_for(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer with one token per word, `<bos>` at the start, and `<unk>` for other words."""
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

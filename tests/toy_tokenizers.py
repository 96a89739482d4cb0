"""Small tokenizers of the kinds that models have, made on the spot."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from circuitgraph.prompts.tokenizer import PromptTokenizer, load_tokenizer
from circuitgraph.prompts.words import HELD_OUT_TEMPLATES, IOI_TEMPLATES, NAMES, OBJECTS, PLACES


def word_level(words: Iterable[str]) -> Tokenizer:
    """One token a word or punctuation mark, as ioi-mini has it."""
    vocabulary = {word: i for i, word in enumerate(["<|bos|>", "<|unk|>", *dict.fromkeys(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<|unk|>"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<|bos|>", "<|unk|>"])
    return tokenizer


def byte_level(sentences: Iterable[str]) -> Tokenizer:
    """Byte-level BPE, as GPT-2 has it: every word of `sentences` is one token after a space."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=5000, show_progress=False, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator(sentences, trainer)
    return tokenizer


def sentencepiece() -> Tokenizer:
    """BPE that puts a space of its own before every text, as Llama has it; knows "to", "Mary" and their letters."""
    merges = [("▁", "M"), ("▁M", "a"), ("▁Ma", "r"), ("▁Mar", "y"), ("▁", "t"), ("▁t", "o")]
    pieces = ["<unk>", "<s>", "▁", *"Maryto", *("".join(pair) for pair in merges)]
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges, unk_token="<unk>"))  # noqa: S106
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.add_special_tokens(["<unk>", "<s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def saved(tokenizer: Tokenizer, directory: Path, **settings: object) -> PromptTokenizer:
    """Written as a model directory has it and loaded again; `settings` go to tokenizer_config.json."""
    tokenizer.save(str(directory / "tokenizer.json"))
    if settings:
        (directory / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    loaded = load_tokenizer(directory)
    assert loaded is not None
    return loaded


IOI_WORDS = (*NAMES, *PLACES, *OBJECTS)
SENTENCES = [re.sub(r"\{\w+\}", "Mary", sentence) for sentence in IOI_TEMPLATES + HELD_OUT_TEMPLATES]


@cache
def ioi_words() -> PromptTokenizer:
    """Word-level, with all the words of `ioi`."""
    words = (word for sentence in SENTENCES for word in re.findall(r"\w+|[^\w\s]", sentence))
    return PromptTokenizer(word_level((*words, *IOI_WORDS)), bos_id=0, unk_id=1)


@cache
def ioi_bytes() -> PromptTokenizer:
    """Byte-level, with all the words of `ioi` as single tokens after a space."""
    return PromptTokenizer(byte_level([*SENTENCES, *(f" {word}" for word in IOI_WORDS)]), bos_id=0)

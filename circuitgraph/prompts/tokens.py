"""The tokens of one pair as text, and where its positions are: labels for pictures. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from circuitgraph.errors import InputError
from circuitgraph.nodes import Position
from circuitgraph.prompts.pairs import Pair, PromptSet
from circuitgraph.prompts.tokenizer import PromptTokenizer, load_tokenizer


def first_tokens(prompts: PromptSet, positions: Iterable[Position], directory: Path | None) -> dict[str, Any]:
    """The first pair, in JSON types.

    Args:
        positions: those that experiments act at; the pair's own names are added.
        directory: the model's, where its tokenizer is.

    Returns:
        `clean` and `corrupted`: its tokens as text, None without a corrupted prompt; `at`: position → index among
        them, of the positions that the pair has; `one_length`: whether all pairs have as many tokens.
    """
    pair = prompts.pairs[0]
    tokenizer = None if directory is None else load_tokenizer(directory)
    at: dict[str, int] = dict(pair.positions)
    for position in positions:
        try:
            at[str(position)] = pair.index(position)
        except InputError:
            continue  # a position that this pair lacks has no token to show
    return {
        "clean": token_texts(pair.clean, tokenizer),
        "corrupted": None if pair.corrupted is None else token_texts(pair.corrupted, tokenizer),
        "at": at,
        "one_length": len({len(each) for each in prompts.pairs}) == 1,
    }


def token_texts(ids: Iterable[int], tokenizer: PromptTokenizer | None) -> list[str]:
    """Each token as text; `#17` where there is no tokenizer, and for bytes that are no whole character."""
    if tokenizer is None:
        return [f"#{token}" for token in ids]
    return [text if "\ufffd" not in (text := tokenizer.token_text(token)) else f"#{token}" for token in ids]


def names_at(pair: Pair) -> list[str]:
    """The names of positions at each token of a pair, those of one token joined by `/`."""
    found: list[list[str]] = [[] for _ in pair.clean]
    for name, index in pair.positions.items():
        found[index].append(name)
    return ["/".join(names) for names in found]

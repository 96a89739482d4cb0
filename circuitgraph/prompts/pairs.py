"""Prompt pairs as token ids, ready for a model, with every named position resolved. No torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from circuitgraph.errors import InputError, did_you_mean
from circuitgraph.nodes import Position


@dataclass(frozen=True, slots=True)
class Pair:
    """One clean / corrupted pair, aligned position by position.

    Token ids include the BOS token where one was added; `positions` index those ids and always
    hold `END` (the last token) and, with a BOS token, `BOS`. `start` is the index of the first
    token of the prompt as the user wrote it: 1 with BOS, 0 without.
    """

    clean: tuple[int, ...]
    corrupted: tuple[int, ...] | None
    answers: tuple[int, ...]
    wrong_answers: tuple[int, ...]
    positions: Mapping[str, int] = field(default_factory=dict)
    start: int = 0
    cluster: str | None = None
    clean_text: str | None = None
    corrupted_text: str | None = None

    def __len__(self) -> int:
        return len(self.clean)

    def index(self, position: Position) -> int:
        """The index into the token ids that `position` means in this pair.

        Raises:
            InputError: no such name, or outside the prompt.
        """
        if position.name:
            if position.name not in self.positions:
                raise InputError(f"'{position.name}' is no position{did_you_mean(position.name, self.positions)}")
            index = self.positions[position.name] + position.offset
        else:
            index = position.offset + (self.start if position.offset >= 0 else len(self))
        if not 0 <= index < len(self) or (not position.name and index < self.start):
            raise InputError(f"position {position} lies outside the prompt, which has {len(self) - self.start} tokens")
        return index


@dataclass(frozen=True, slots=True)
class PromptSet:
    """The pairs of a run."""

    pairs: tuple[Pair, ...]
    note: str = ""

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def paired(self) -> bool:
        """Whether every pair has a corrupted prompt."""
        return all(pair.corrupted is not None for pair in self.pairs)

    @property
    def clusters(self) -> tuple[str, ...] | None:
        """The cluster of each pair; None when the pairs are independent."""
        names = [pair.cluster for pair in self.pairs]
        if all(name is None for name in names):
            return None
        return tuple(f"#{i}" if name is None else name for i, name in enumerate(names))

    def indexes(self, position: Position) -> tuple[int, ...]:
        """The token index of `position` in every pair."""
        return tuple(pair.index(position) for pair in self.pairs)

    def position_names(self) -> tuple[str, ...]:
        """The names of positions from left to right: by their mean index, ties as they are first mentioned."""
        found: dict[str, list[int]] = {}
        for pair in self.pairs:
            for name, index in pair.positions.items():
                found.setdefault(name, []).append(index)
        return tuple(sorted(found, key=lambda name: sum(found[name]) / len(found[name])))

    def digest(self) -> str:
        """sha256 over ids, answers, positions and clusters: equal prompts, equal digest."""
        rows = [
            [p.clean, p.corrupted, p.answers, p.wrong_answers, sorted(p.positions.items()), p.start, p.cluster]
            for p in self.pairs
        ]
        return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()

    def by_length(self) -> list[Sequence[int]]:
        """Indexes of the pairs, grouped by token count: batches that need no padding."""
        groups: dict[int, list[int]] = {}
        for i, pair in enumerate(self.pairs):
            groups.setdefault(len(pair), []).append(i)
        return [groups[length] for length in sorted(groups)]

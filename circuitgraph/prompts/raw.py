"""A prompt pair as it was written or generated, before any token is counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from circuitgraph.spec.model import PairSpec


class Span(NamedTuple):
    """Characters `start:end` of a prompt's text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class RawPair:
    """Text (or token ids) and named positions of one pair.

    A position is an index (`positions`) or a stretch of text (`spans`: in the clean and in the corrupted
    prompt), which means the last token of that stretch.
    """

    clean: str | tuple[int, ...]
    corrupted: str | tuple[int, ...] | None = None
    answers: tuple[str | int, ...] = ()
    wrong_answers: tuple[str | int, ...] = ()
    positions: Mapping[str, int] = field(default_factory=dict)
    spans: Mapping[str, tuple[Span, Span | None]] = field(default_factory=dict)
    cluster: str | None = None

    @classmethod
    def of(cls, pair: PairSpec) -> RawPair:
        """The pair of a spec or a file."""
        cluster = None if pair.cluster is None else str(pair.cluster)
        return cls(pair.clean, pair.corrupted, pair.answers, pair.wrong_answers, pair.positions, cluster=cluster)

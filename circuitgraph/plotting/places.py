"""Positions of a run -> columns of a map: their order, their names, and the first pair's tokens as labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from circuitgraph.nodes import Position
from circuitgraph.plotting.labels import plain, token_label
from circuitgraph.plotting.measures import positions_of, tokens_of
from circuitgraph.plotting.values import Column

if TYPE_CHECKING:
    from circuitgraph.results.records import RunResult

EVERYWHERE = "all"
LAST = 10**9


class Places:
    """The positions of a run, as far as its prompts are known to it."""

    def __init__(self, result: RunResult) -> None:
        tokens = tokens_of(result)
        self._names = positions_of(result)
        self._at: dict[str, int] = dict(tokens.get("at") or {})
        # Of prompts of different lengths the first pair's tokens say too little of the others'.
        self._clean: list[str] = list(tokens.get("clean") or ()) if tokens.get("one_length") else []
        self._corrupted: list[str] = list(tokens.get("corrupted") or self._clean)

    @property
    def tokens(self) -> bool:
        """Whether tokens can be shown."""
        return bool(self._clean)

    def ordered(self, positions: Iterable[Position | None]) -> tuple[Position | None, ...]:
        """Each once, from left to right; positions that are not known to lie anywhere come last, as mentioned."""
        distinct = list(dict.fromkeys(positions))
        names = {name: i for i, name in enumerate(self._names)}

        def place(position: Position | None) -> int:
            if position is None:
                return -1
            return self._at.get(str(position), names.get(str(position), LAST))

        return tuple(sorted(distinct, key=place))

    def column(self, position: Position | None) -> Column:
        """The token, both where clean and corrupted prompt differ; above it, the names of positions that lie there."""
        if position is None:
            return Column(EVERYWHERE)
        index = self._at.get(str(position))
        if index is None or not 0 <= index < len(self._clean):
            return Column(plain(str(position)))
        clean, corrupted = token_label(self._clean[index]), token_label(self._corrupted[index])
        token = clean if clean == corrupted else f"{clean} / {corrupted}"
        return Column(token, self._above(position, index))

    def _above(self, position: Position, index: int) -> str:
        """`S2`, or for a place without a name its number."""
        if position.name:
            return plain(str(position), 16)
        names = [name for name in self._names if self._at.get(name) == index]
        return plain("/".join(names) or str(position), 16)

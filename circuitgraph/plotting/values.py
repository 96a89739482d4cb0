"""What a plot shows, before it is drawn: heat maps, bars and attention patterns as plain values. No matplotlib."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Quantity:
    """What colours and bars stand for."""

    text: str
    """`effect on logit_diff`."""
    unit: str | None = None
    """`logits`; None = not known."""
    rises: str = "raises it"
    """What a positive value means, in a word or two."""
    falls: str = "lowers it"

    @property
    def label(self) -> str:
        """`effect on logit_diff (logits)`."""
        return self.text if self.unit is None else f"{self.text} ({self.unit})"


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of a heat map, and the name of the row of the table that it comes from."""

    value: float
    low: float | None
    high: float | None
    """The 95 % interval; None where there is none."""
    name: str

    @property
    def undecided(self) -> bool:
        """Whether the interval contains 0; False where there is none."""
        return self.low is not None and self.high is not None and self.low <= 0 <= self.high


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a heat map: `label` stands below it, `above` over it (a position's name over its token)."""

    label: str
    above: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One grid of a heat map. Row 0 is drawn at the top."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[Column, ...]
    cells: tuple[tuple[Cell | None, ...], ...]
    """[row][column]; None = not measured."""
    subtitle: str = ""

    def measured(self) -> Iterator[Cell]:
        """The cells that hold a number."""
        yield from (cell for row in self.cells for cell in row if cell is not None)


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Grids on one zero-centred colour scale."""

    name: str
    """What the file is called, and what `--kind` says."""
    title: str
    quantity: Quantity
    panels: tuple[Panel, ...]
    row_axis: str
    column_axis: str
    note: str = ""
    """Which part of more is shown."""

    @property
    def limit(self) -> float:
        """Colours reach from −limit to +limit in every panel; 1 where everything is 0."""
        return max((abs(cell.value) for panel in self.panels for cell in panel.measured()), default=0.0) or 1.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar and its 95 % interval."""

    label: str
    value: float
    low: float | None
    high: float | None

    @property
    def undecided(self) -> bool:
        """Whether the interval contains 0; False where there is none."""
        return self.low is not None and self.high is not None and self.low <= 0 <= self.high


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars from top to bottom."""

    name: str
    title: str
    quantity: Quantity
    bars: tuple[Bar, ...]
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Patterns:
    """Whole attention patterns of one prompt, a grid for each head, all on the scale 0 to 1."""

    name: str
    title: str
    tokens: tuple[str, ...]
    names: tuple[str, ...]
    """The names of positions at each token; empty where there is none."""
    heads: tuple[str, ...]
    weights: NDArray[np.float64]
    """[heads, query, key]"""
    note: str = ""


Picture = HeatMap | Bars | Patterns

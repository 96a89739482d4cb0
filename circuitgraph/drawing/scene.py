"""The picture as data: every mark with its place, in points, y downwards. Each output format only spells it out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Point = tuple[float, float]


class Dash(StrEnum):
    """How a line is broken up."""

    SOLID = "solid"
    DASHED = "dashed"
    DOTTED = "dotted"


@dataclass(frozen=True, slots=True)
class Stroke:
    """How a line is drawn. `color` is #rrggbb, `width` in points."""

    color: str
    width: float
    dash: Dash = Dash.SOLID
    opacity: float = 1.0

    @property
    def pattern(self) -> tuple[float, float] | None:
        """Lengths of a dash and of the gap after it; they grow with the width. None = unbroken."""
        match self.dash:
            case Dash.SOLID:
                return None
            case Dash.DASHED:
                return (4.2 + 1.4 * self.width, 2.0 + 0.4 * self.width)
            case Dash.DOTTED:
                return (1.2 * self.width, 1.4 + 1.6 * self.width)

    @property
    def tip_length(self) -> float:
        """Length of an arrowhead on this line."""
        return 4.5 + self.width

    @property
    def tip_width(self) -> float:
        """Width of an arrowhead on this line."""
        return 3.8 + 1.3 * self.width


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle: left upper corner and size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """x of the right side."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """y of the lower side."""
        return self.y + self.height

    @property
    def center(self) -> float:
        """x of the middle."""
        return self.x + self.width / 2

    def overlaps(self, other: Rect, margin: float = 0.0) -> bool:
        """Whether the two have a point in common, `other` grown by `margin`."""
        return (
            self.x < other.right + margin
            and other.x < self.right + margin
            and self.y < other.bottom + margin
            and other.y < self.bottom + margin
        )

    def contains(self, point: Point) -> bool:
        """Whether the point lies inside."""
        return self.x <= point[0] <= self.right and self.y <= point[1] <= self.bottom

    def holds(self, other: Rect) -> bool:
        """Whether the whole of `other` lies inside."""
        return self.contains((other.x, other.y)) and self.contains((other.right, other.bottom))


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text; (x, y) is where its baseline starts, ends or has its middle."""

    x: float
    y: float
    text: str
    size: float
    color: str
    bold: bool = False
    anchor: Literal["start", "middle", "end"] = "start"


@dataclass(frozen=True, slots=True)
class Panel:
    """A rectangle with round corners, its lines of text, and what a pointer over it is told."""

    rect: Rect
    fill: str | None
    """None = the text alone is seen."""
    border: Stroke | None = None
    radius: float = 0.0
    texts: tuple[Text, ...] = ()
    tooltip: str | None = None


@dataclass(frozen=True, slots=True)
class Box:
    """One node at one position. `ports` are the badges at its lower edge where arrows arrive."""

    key: str
    """`node`, or `node@position`; arrows name boxes by it."""
    node: str
    position: str | None
    group: str | None
    panel: Panel
    ports: tuple[Panel, ...] = ()
    ids: tuple[str, ...] = ()
    """Ids of the node experiments the box stands for."""
    unusual: tuple[str, ...] = ()
    """Base and source of the experiment it shows, where they are not those of most."""


@dataclass(frozen=True, slots=True)
class Arrow:
    """One sender → receiver pair. Joined edges, chains and sets are several arrows with one `id`.

    `curve` is a chain of cubic Béziers: a start, then three points for each piece. `tip` is the triangle at its end.
    """

    id: str
    sender: str
    receiver: str
    tail: str
    """Key of the box it leaves."""
    head: str
    """Key of the box it arrives at."""
    port: str
    curve: tuple[Point, ...]
    tip: tuple[Point, Point, Point]
    stroke: Stroke
    tooltip: str
    unusual: tuple[str, ...] = ()
    """Path, base and source, where they are not those of most experiments."""
    ids: tuple[str, ...] = ()
    """Where it stands for several experiments (see `paper`), all of them; `id` is the one whose effect it shows."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A line in the legend; with or without an arrowhead."""

    curve: tuple[Point, ...]
    tip: tuple[Point, Point, Point] | None
    stroke: Stroke


@dataclass(frozen=True, slots=True)
class Scene:
    """A whole picture. What stands first is painted first; `arrows` are ordered from the weakest to the strongest."""

    width: float
    height: float
    title: str
    description: str
    columns: tuple[Panel, ...]
    clusters: tuple[Panel, ...]
    arrows: tuple[Arrow, ...]
    headers: tuple[Panel, ...]
    """The names of the clusters."""
    boxes: tuple[Box, ...]
    tags: tuple[Panel, ...]
    """Letters on arrows and boxes that are measured otherwise than most."""
    notes: tuple[Panel, ...]
    """The effects written beside the strongest arrows."""
    texts: tuple[Text, ...]
    """Title, description, and the names of the layers."""
    legend: tuple[Text | Sample | Panel, ...]
    lines: tuple[Sample, ...] = ()
    """Lines that are no edges of a circuit, below the arrows."""

"""Unrolled -> the rows of boxes of its picture, from the input up: which layers and heads share one box. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from circuitgraph.drawing.text import wrap
from circuitgraph.nodes import Head, KVHead, Neuron
from circuitgraph.unrolled.looks import name_of, place_of
from circuitgraph.unrolled.parts import Part, Side
from circuitgraph.unrolled.states import Unrolled

FEW_LAYERS = 4
"""Models of so many layers are drawn layer by layer."""
FEW_NAMED = 2
"""Of more named heads (or neurons) of a layer to which the same is done, one box is made."""


NAME = 11.5
WIDEST_NAME = 92.0
"""A longer name of several heads is broken into lines."""


@dataclass(frozen=True, slots=True)
class Group:
    """One box: parts to which the same is done in every run."""

    lines: tuple[str, ...]
    """Its name."""
    parts: tuple[Part, ...]

    @property
    def first(self) -> Part:
        """The one whose state is shown."""
        return self.parts[0]

    @property
    def name(self) -> str:
        """Its name in one line: `11 other heads`, `a9.h6@END`."""
        *first, last = self.lines
        return " ".join(first) + ("" if last.startswith("@") else " " * bool(first)) + last

    @property
    def count(self) -> int:
        """How many components it stands for."""
        return sum(part.count for part in self.parts)


@dataclass(frozen=True, slots=True)
class Row:
    """Boxes at one height: heads left of the stream, MLPs right of it, or one box on it."""

    left: tuple[Group, ...] = ()
    right: tuple[Group, ...] = ()
    middle: Group | None = None
    layers: tuple[int, ...] = ()
    """The layers it belongs to; the two rows of one layer name the same one."""


def rows_of(unrolled: Unrolled) -> tuple[Row, ...]:
    """The rows, lowest first.

    A layer has two rows, its MLP reading what its heads have written; one, if they read the same stream, or if there
    is no MLP. Layers to which the same is done, and of which the experiment names nothing, share a row.
    """
    rows: list[Row] = []
    for _, run in groupby(enumerate(_levels(unrolled)), key=lambda each: _kind(unrolled, *each)):
        levels = [level for _, level in run]
        if len(levels) > 1:
            parts = [part for level in levels for part in level]
            layers = tuple(dict.fromkeys(part.layer for part in parts if part.layer is not None))
            rows.append(Row(_together(parts, Side.HEADS), _together(parts, Side.MLP), layers=layers))
        else:
            rows += _expanded(unrolled, levels[0])
    return tuple(rows)


def _levels(unrolled: Unrolled) -> list[tuple[Part, ...]]:
    """The parts of each layer; the points of the stream between layers by themselves."""
    levels: list[list[Part]] = []
    last: object = None
    for part in unrolled.parts:
        inside = part.side is not Side.STREAM or unrolled.shape.read_at(part.node) % 2 == 1
        key = part.layer if inside and part.layer is not None else part
        if key != last:
            levels.append([])
        levels[-1].append(part)
        last = key
    return list(map(tuple, levels))


def _kind(unrolled: Unrolled, index: int, level: tuple[Part, ...]) -> Hashable:
    """Equal for neighbouring layers that share a row; unlike all others for a layer that is drawn by itself."""
    alone = any(part.addresses or part.side is Side.STREAM for part in level)
    if alone or unrolled.shape.layers <= FEW_LAYERS:
        return index
    return tuple((part.side, _done(unrolled, part)) for part in level)


def _done(unrolled: Unrolled, part: Part) -> Hashable:
    """All that is done to a part."""
    return tuple(column.cells[part] for column in unrolled.columns)


def _together(parts: Sequence[Part], side: Side) -> tuple[Group, ...]:
    """One box for all heads, or all MLPs, of several layers."""
    of_side = tuple(part for part in parts if part.side is side)
    if not of_side:
        return ()
    number = sum(part.count for part in of_side)
    return (Group((f"{number:,} {'heads' if side is Side.HEADS else 'MLPs'}",), of_side),)


def _expanded(unrolled: Unrolled, level: tuple[Part, ...]) -> Iterator[Row]:
    """The rows of one layer, or of one point of the stream."""
    heads = tuple(_grouped(unrolled, [part for part in level if part.side is Side.HEADS]))
    mlps = tuple(_grouped(unrolled, [part for part in level if part.side is Side.MLP]))
    layers = tuple(dict.fromkeys(part.layer for part in level if part.layer is not None))
    if unrolled.shape.parallel and heads:
        yield Row(heads, mlps, layers=layers)
        return
    if heads:
        yield Row(left=heads, layers=layers)
    for part in level:
        if part.side is Side.STREAM:
            inside = layers if heads else ()
            yield Row(middle=Group(name_of(part), (part,)), layers=inside)
    if mlps:
        yield Row(right=mlps, layers=layers)


def _grouped(unrolled: Unrolled, parts: Sequence[Part]) -> Iterator[Group]:
    """The boxes of a layer's heads, or of its MLP; what is left of the heads is farthest from the stream."""
    several = [part for part in parts if not part.addresses and part.count > 1]
    yield from (Group(name_of(part), (part,)) for part in several)

    def kind(part: Part) -> Hashable:
        """Equal for named parts that share a box if they are many."""
        alike = part.addresses and isinstance(part.node, Head | KVHead | Neuron)
        return (type(part.node), part.role, place_of(part), _done(unrolled, part)) if alike else part.node

    alike: dict[Hashable, list[Part]] = {}
    for part in parts:
        if part not in several:
            alike.setdefault(kind(part), []).append(part)
    found: list[Group] = []
    for same in alike.values():
        if len(same) > FEW_NAMED:
            found.append(Group(_listed(same), tuple(same)))
        else:
            found += [Group(name_of(part), (part,)) for part in same]
    yield from sorted(found, key=lambda group: group.first.heads)


def _listed(parts: Sequence[Part]) -> tuple[str, ...]:
    """`a9.h0, h6, h9` and `@END`."""
    first, *others = (str(part.node) for part in parts)
    place = place_of(parts[0])
    name = ", ".join([first, *(other.partition(".")[2] for other in others)])
    lines = wrap(name, NAME, WIDEST_NAME, lines=3, bold=True)
    return (*lines, place) if place else lines

"""Folded -> boxes of a paper's figure: a group's name with its members written below, `9.6  9.9  10.0`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from circuitgraph.drawing.diagram import Block, Spot
from circuitgraph.drawing.fold import Folded
from circuitgraph.drawing.layout import HEADER_LINE, fans
from circuitgraph.drawing.marks import judged, said
from circuitgraph.drawing.scene import Box, Panel, Rect, Stroke, Text
from circuitgraph.drawing.style import BOX_LINE, CLUSTER, INK, PAPER, SOFT_INK, Finding, color_of, interval, signed
from circuitgraph.drawing.tags import SIZE as TAG
from circuitgraph.drawing.tags import tag
from circuitgraph.drawing.text import fit, isolated, one_line, width, wrap
from circuitgraph.drawing.told import counted, named
from circuitgraph.nodes import Head, Node

if TYPE_CHECKING:
    from circuitgraph.results.records import Row

TITLE = 11.0
MEMBER = 10.5
LINE = 14.0
SPACE = 9.0
"""Between the members of a line."""
NEAR = 4.0
"""Between a member and its effect."""
INSIDE = 10.0
"""Between a box and what is written in it."""
NARROWEST = 56.0
WIDEST_LINE = 150.0
"""Of members and of a name, before another line is begun."""
WIDEST_FAN = 260.0
EFFECT = 44.0
"""Room for the effect of patching a node: where things stand does not depend on what was measured."""
PER_ARROW = 14.0
"""Width of a box for each arrow that reaches or leaves it: its letter has room."""


class Words(NamedTuple):
    """A text, and the room that is kept for it whatever it says."""

    text: str
    color: str
    width: float
    near: bool = False
    """Whether it belongs to what stands before it."""
    ring: bool = False
    """The value of a setting, of which its letter is drawn."""


@dataclass(frozen=True)
class Face:
    """What is written in a box, and how large that makes it."""

    title: tuple[str, ...]
    lines: tuple[tuple[Words, ...], ...]
    """Members by line: text and colour."""
    size: tuple[float, float]


def short(node: Node) -> str:
    """Heads as papers write them, `9.6`; other nodes by their canonical names."""
    return f"{node.layer}.{node.index}" if isinstance(node, Head) else str(node)


def faces(folded: Folded, found: Finding) -> dict[Spot, Face]:
    """The face of every box."""
    count = fans(folded.diagram.arcs)
    blocks = [block for row in folded.diagram.rows for block in row]
    return {
        block.spots[0]: _face(
            block, folded, found, max(count.leaving.get(block.spots[0], 0), count.arriving.get(block.spots[0], 0))
        )
        for block in blocks
    }


def _face(block: Block, folded: Folded, found: Finding, arrows: int) -> Face:
    (spot,) = block.spots
    if block.group is None:  # one node: its name, and the effect of patching it
        title, lines = (short(spot.node),), [[_effect(spot, folded, found)]] if spot in folded.patched else []
    else:
        written = [_member(each, folded, found) for each in folded.members[spot]]
        name = one_line(block.group.label or "") or block.group.name
        title, lines = wrap(name, TITLE, WIDEST_LINE, lines=3, bold=True), _lines(written)
    widths = [width(text, TITLE, bold=True) for text in title] + [_wide(line) for line in lines]
    wide = max([*widths, NARROWEST - 2 * INSIDE, min(PER_ARROW * arrows, WIDEST_FAN) - 2 * INSIDE]) + 2 * INSIDE
    return Face(title, tuple(map(tuple, lines)), (wide, HEADER_LINE * len(title) + LINE * len(lines) + 12))


def _member(spot: Spot, folded: Folded, found: Finding) -> list[Words]:
    """A member's name and, where the node itself is patched, the effect of that, near its name."""
    name = Words(short(spot.node), INK, width(short(spot.node), MEMBER))
    if spot not in folded.patched:
        return [name]
    effect = _effect(spot, folded, found)
    letters = [Words(value, effect.color, TAG, near=True, ring=True) for value in _unusual(spot, folded, found)]
    room = {value for id_ in folded.patched[spot] for value in folded.diagram.unusual[id_].values()}
    empty = [Words("", INK, TAG, near=True)] * (len(room) - len(letters))
    return [name, *letters, effect._replace(near=True), *empty]


def _effect(spot: Spot, folded: Folded, found: Finding) -> Words:
    """`−17.0`, of an input `q −17.0`: the largest effect of patching a node."""
    ids, row = folded.patched[spot], _shown(spot, folded, found)
    parts = dict.fromkeys(folded.parts.get((spot, id_), "") for id_ in ids)
    of_all = "; ".join(parts) if all(parts) else ""
    part = folded.parts.get((spot, row.id), "") if row else of_all
    room = EFFECT + max(width(f"{each} ".lstrip(), MEMBER) for each in (*parts, of_all))
    said = signed(row.effect, found.digits) if row else "patched"
    return Words(fit(f"{part} {said}".strip(), MEMBER, room), color_of(row) if row else SOFT_INK, room)


def _shown(spot: Spot, folded: Folded, found: Finding) -> Row | None:
    """The row of the largest effect of patching a node."""
    rows = (found.rows[id_] for id_ in folded.patched.get(spot, ()) if id_ in found.rows)
    return max(rows, key=lambda row: abs(row.effect), default=None)


def _unusual(spot: Spot, folded: Folded, found: Finding) -> tuple[str, ...]:
    """What is unusual about the experiment that is shown; where none is measured, about any."""
    row = _shown(spot, folded, found)
    ids = folded.patched.get(spot, ()) if row is None else (row.id,)
    return tuple(dict.fromkeys(value for id_ in ids for value in folded.diagram.unusual[id_].values()))


def _wide(line: Sequence[Words]) -> float:
    return sum(words.width + (NEAR if words.near else SPACE) for words in line) - SPACE


def _lines(members: Sequence[Sequence[Words]]) -> list[list[Words]]:
    """Members in as few lines as fit, and then in lines of about equal length."""
    count = 1
    while True:
        size = -(-len(members) // count)
        lines = [[words for each in members[i : i + size] for words in each] for i in range(0, len(members), size)]
        if size == 1 or max(map(_wide, lines)) <= WIDEST_LINE:
            return lines
        count += 1


def face_of(folded: Folded, spot: Spot, rect: Rect, face: Face, key: str, found: Finding) -> Box:
    """The box with its texts and what a pointer over it is told."""
    group = folded.group[spot]
    first = rect.y + 6 + 0.78 * HEADER_LINE
    texts = [
        Text(rect.center, first + i * HEADER_LINE, line, TITLE, INK, bold=True, anchor="middle")
        for i, line in enumerate(face.title)
    ]
    for words, x, y in _places(face, rect):
        if words.text and not words.ring:
            wide = width(words.text, MEMBER) if words.near else words.width
            texts.append(Text(x + wide / 2, y, words.text, MEMBER, words.color, anchor="middle"))
    ids = folded.diagram.experiments.get(spot, ())
    lone = group is None
    return Box(
        key=key,
        node=" ".join(str(member.node) for member in folded.members[spot]),
        position=None if spot.position is None else str(spot.position),
        group=None if group is None else group.name,
        panel=Panel(
            rect,
            PAPER if lone else CLUSTER,
            Stroke(BOX_LINE, 1.1),
            5.0 if lone else 9.0,
            tuple(texts),
            _tooltip(folded, spot, found),
        ),
        ids=ids,
        unusual=_unusual(spot, folded, found) if lone else (),
    )


def rings(face: Face, rect: Rect) -> list[Panel]:
    """The letters of the members that are patched in another way than most, before their numbers."""
    return [
        tag(x + TAG / 2, y - 0.36 * MEMBER, words.text, words.color)
        for words, x, y in _places(face, rect)
        if words.ring
    ]


def _places(face: Face, rect: Rect) -> Iterator[tuple[Words, float, float]]:
    """The words of the lines below the title, with their left end and baseline."""
    y = rect.y + 7 + 0.78 * HEADER_LINE + HEADER_LINE * len(face.title)
    for line in face.lines:
        x = rect.center - _wide(line) / 2 - SPACE
        for words in line:
            x += NEAR if words.near else SPACE
            yield words, x, y
            x += words.width
        y += LINE


def _tooltip(folded: Folded, spot: Spot, found: Finding) -> str:
    group = folded.group[spot]
    lines = [] if group is None else [group.label or group.name, group.note or ""]
    lines.append(", ".join(map(str, folded.members[spot])))
    unusual: Mapping[str, Mapping[str, str]] = folded.diagram.unusual
    for id_ in folded.diagram.experiments.get(spot, ()):
        if row := found.rows.get(id_):
            how = f" ({said(unusual[id_])})" if unusual[id_] else ""
            lines.append(
                f"{isolated(row.label)}{how}: {isolated(row.metric)} {interval(row)}, n = {row.n}{judged(row)}"
            )
    inner = folded.inside.get(spot, ())
    if inner:
        lines.append(f"{counted(inner)} between its members:")
        lines += [_inner(id_, name, unusual[id_], found) for id_, name in named(inner).items()]
    return "\n".join(filter(None, lines))


def _inner(id_: str, name: str, unusual: Mapping[str, str], found: Finding) -> str:
    row, how = found.rows.get(id_), f" ({said(unusual)})" if unusual else ""
    return f"{name}{how}" if row is None else f"{name}{how}: {interval(row)}"

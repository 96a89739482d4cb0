"""Folded -> boxes of a paper's figure: a group's name with its members written below, `9.6  9.9  10.0`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from circuitgraph.drawing.diagram import Block, Spot
from circuitgraph.drawing.fold import Folded
from circuitgraph.drawing.layout import HEADER_LINE, fans
from circuitgraph.drawing.marks import judged, said
from circuitgraph.drawing.scene import Box, Panel, Rect, Stroke, Text
from circuitgraph.drawing.style import BOX_LINE, CLUSTER, INK, PAPER, SOFT_INK, Finding, color_of, interval, signed
from circuitgraph.drawing.text import fit, isolated, one_line, width, wrap
from circuitgraph.nodes import Head, Node

TITLE = 11.0
MEMBER = 10.5
LINE = 14.0
SPACE = 9.0
"""Between the members of a line."""
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
    written = [_member(each, folded, found) for each in folded.members[spot]]
    if block.group is None:  # one node: its name, and the effect of patching it
        title, lines = (short(spot.node),), [effects for _, *effects in written if effects]
    else:
        name = one_line(block.group.label or "") or block.group.name
        title, lines = wrap(name, TITLE, WIDEST_LINE, lines=3, bold=True), _lines(written)
    widths = [width(text, TITLE, bold=True) for text in title] + [_wide(line) for line in lines]
    wide = max([*widths, NARROWEST - 2 * INSIDE, min(PER_ARROW * arrows, WIDEST_FAN) - 2 * INSIDE]) + 2 * INSIDE
    return Face(title, tuple(map(tuple, lines)), (wide, HEADER_LINE * len(title) + LINE * len(lines) + 12))


def _member(spot: Spot, folded: Folded, found: Finding) -> list[Words]:
    """A member's name and, where the node itself is patched, the effect of that."""
    name = Words(short(spot.node), INK, width(short(spot.node), MEMBER))
    ids = folded.patched.get(spot, ())
    if not ids:
        return [name]
    row = max((found.rows[id_] for id_ in ids if id_ in found.rows), key=lambda row: abs(row.effect), default=None)
    if row is None:
        return [name, Words(fit("patched", MEMBER, EFFECT), SOFT_INK, EFFECT)]
    return [name, Words(fit(signed(row.effect, found.digits), MEMBER, EFFECT), color_of(row), EFFECT)]


def _wide(line: Sequence[Words]) -> float:
    return sum(words.width for words in line) + SPACE * (len(line) - 1)


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
    y = rect.y + 6 + 0.78 * HEADER_LINE
    texts = []
    for line in face.title:
        texts.append(Text(rect.center, y, line, TITLE, INK, bold=True, anchor="middle"))
        y += HEADER_LINE
    y += 1
    for line in face.lines:
        x = rect.center - _wide(line) / 2
        for words in line:
            texts.append(Text(x + words.width / 2, y, words.text, MEMBER, words.color, anchor="middle"))
            x += words.width + SPACE
        y += LINE
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
    )


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
        lines.append(f"{len(inner)} edge{'s' if len(inner) > 1 else ''} between its members:")
        lines += [
            _inner(arc.id, f"{isolated(str(arc.sender))} → {isolated(str(arc.receiver))}", found) for arc in inner
        ]
    return "\n".join(filter(None, lines))


def _inner(id_: str, ends: str, found: Finding) -> str:
    row = found.rows.get(id_)
    return ends if row is None else f"{ends}: {interval(row)}"

"""A group of parts in a run -> its box: role, name and word, with the badges of its ports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from circuitgraph.drawing.scene import Box, Panel, Rect, Stroke, Text
from circuitgraph.drawing.style import BADGE as BADGE_FILL
from circuitgraph.drawing.style import INK, PAPER
from circuitgraph.drawing.text import fit
from circuitgraph.unrolled.key import stack
from circuitgraph.unrolled.layout import (
    BADGE,
    BADGE_ABOVE,
    BADGE_HEIGHT,
    NAME_LINE,
    ROLE,
    STACK,
    WORD,
    Frame,
    badge_rects,
    badges_of,
    groups_of,
)
from circuitgraph.unrolled.looks import look_of, place_of
from circuitgraph.unrolled.rows import NAME, Group
from circuitgraph.unrolled.states import Cell, Column, Stage

RADIUS = 5.0
ROLE_INK = "#3d4754"
"""Softer than names, and still read on green."""


def box_of(stage: Stage, column: Column, group: Group, frame: Frame, other: str, x: float, y: float) -> Box:
    """One box of a run whose left upper corner is at (x, y)."""
    part = group.first
    cell = column.cells[part]
    look = look_of(part, cell, column, other)
    rect = face_of(group, frame, x, y)
    ports = tuple(_badges(group, cell, look.border, rect))
    room = rect.height - (BADGE_HEIGHT + BADGE_ABOVE if ports else 0)
    lines = [
        (part.role, ROLE, 12.0, ROLE_INK, False),
        *((name, NAME, NAME_LINE, INK, True) for name in group.lines),
        (look.word, WORD, 12.5, INK, False),
    ]
    shown = [line for line in lines if line[0]]
    base = rect.y + (room - sum(tall for _, _, tall, _, _ in shown)) / 2
    texts: list[Text] = []
    for text, size, tall, color, bold in shown:
        fitted = fit(text, size, rect.width - 6, bold=bold)
        texts.append(Text(rect.center, base + tall - 3.0, fitted, size, color, bold=bold, anchor="middle"))
        base += tall
    told = ", ".join(str(each.node) for each in group.parts) if group.count > 1 else group.name
    tooltip = f"{told}: {look.word or column.run}"
    panel = Panel(rect, look.fill, look.border, RADIUS, tuple(texts), tooltip)
    place = ",".join(str(address.position) for address in part.addresses if address.position is not None)
    return Box(
        f"{stage.name}:{column.run}:{part.node}{place_of(part)}",
        str(part.node),
        place or None,
        stage.name,
        panel,
        ports,
    )


def face_of(group: Group, frame: Frame, x: float, y: float) -> Rect:
    """The box without what sticks out behind it."""
    rect = frame.rects[group]
    return Rect(x + rect.x, y + rect.y, rect.width - STACK * (group.count > 1), rect.height)


def stacks_of(column: Column, frame: Frame, other: str, x: float, y: float) -> Iterator[Panel]:
    """The outlines behind the boxes that stand for several components."""
    for level in frame.levels:
        for group in groups_of(level.row):
            if group.count > 1:
                look = look_of(group.first, column.cells[group.first], column, other)
                yield from stack(face_of(group, frame, x, y), replace(look.border, width=1.0), RADIUS)


def _badges(group: Group, cell: Cell, border: Stroke, rect: Rect) -> Iterator[Panel]:
    names = badges_of(group.first, cell.ports if cell.recorded else cell.put)
    for name, at in zip(names, badge_rects(rect, names), strict=True):
        fill, ink = (BADGE_FILL, INK) if cell.recorded else (border.color, PAPER)
        label = Text(at.center, at.bottom - 3.5, name, BADGE, ink, bold=True, anchor="middle")
        yield Panel(at, fill, Stroke(border.color, 1.0), 3.0, (label,))

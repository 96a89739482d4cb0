"""How a part looks: its colour says whose value it has, its outline how it came about, and a word says both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from circuitgraph.drawing.scene import Dash, Stroke
from circuitgraph.drawing.style import BOX_LINE, INK, PAPER, POSITIVE, tint
from circuitgraph.nodes import Input, Logits, Port, Residual
from circuitgraph.plans.types import Base, Counterfactual, Mean, Prune, Resample, Source, Zero
from circuitgraph.unrolled.parts import Part, Side
from circuitgraph.unrolled.states import REFERENCE, Cell, Column, Does

CLEAN = BOX_LINE
CORRUPTED = "#00795b"
"""Bluish green, told from grey by those who see no green as by the others: it is much darker where it is filled in."""
FROM_REFERENCE = "#7d3c98"
EMPTY = INK
RECOMPUTED = "#b85000"
RECORDED = POSITIVE
PALE_LINE = "#c3cad3"

RUN_COLORS = {"clean": CLEAN, "corrupted": CORRUPTED, REFERENCE: FROM_REFERENCE}


@dataclass(frozen=True, slots=True)
class Look:
    """Fill and outline of a box, the colour of the lines at it, and its word."""

    fill: str
    border: Stroke
    word: str
    line: str


def filling(color: str) -> str:
    """The fill of a box whose value is of this colour."""
    return tint(color, 0.2 if color == CLEAN else 0.28)


def source_color(source: Source | None, other: str) -> str:
    """The colour of what a source gives; `other` = the pair's other prompt; no source: what was recorded."""
    match source:
        case None:
            return RECORDED
        case Counterfactual():
            return RUN_COLORS[other]
        case Mean() | Resample():
            return FROM_REFERENCE
        case Zero() | Prune() | Base():
            return EMPTY
        case _:
            assert_never(source)


def source_word(source: Source | None, other: str) -> str:
    """`corrupted`, `zero` …: what stands in a box whose value is replaced; no source: by what was recorded."""
    match source:
        case None:
            return "as recorded"
        case Counterfactual():
            return other
        case Mean():
            return "mean"
        case Resample():
            return "resampled"
        case Zero():
            return "zero"
        case Prune():
            return "pruned"
        case Base():
            return "its own"
        case _:
            assert_never(source)


def look_of(part: Part, cell: Cell, column: Column, other: str) -> Look:
    """How a part looks in a run; `other` is the name of the pair's other prompt."""
    run = RUN_COLORS[column.run]
    plain = Look(filling(run), Stroke(run, 1.0), _plain_word(part, cell, column), run)
    match cell.does:
        case Does.COMPUTED | Does.FROZEN:
            look = plain
        case Does.KEPT:
            look = Look(plain.fill, Stroke(run, 2.4), "kept", run)
        case Does.REPLACED:
            color = source_color(cell.source, other)
            fill = PAPER if color == EMPTY else filling(color)
            look = Look(fill, Stroke(color, 2.4), source_word(cell.source, other), color)
        case Does.PUT:
            color = source_color(cell.source, other)
            word = source_word(cell.source, other)
            word = f"{word}, read" if isinstance(part.node, Logits) else _input(part, word, cell.put)
            look = Look(PAPER if color == EMPTY else tint(color, 0.1), Stroke(color, 2.4), word, color)
        case Does.RECOMPUTED:
            word = "recomputed, read" if isinstance(part.node, Logits) else "recomputed"
            look = Look(PAPER, Stroke(RECOMPUTED, 1.6, Dash.DASHED), word, RECOMPUTED)
        case Does.IDLE:
            look = Look(PAPER, Stroke(PALE_LINE, 1.0), "not needed", PALE_LINE)
        case _:
            assert_never(cell.does)
    if not cell.recorded:
        return look
    word = _input(part, "recorded", cell.ports)
    if cell.does is Does.REPLACED:
        return Look(look.fill, look.border, f"{look.word}; {word}", look.line)
    if cell.does is Does.RECOMPUTED:
        word = f"{look.word}; {word}"
    return Look(PAPER, Stroke(RECORDED, 2.4), word, look.line)


def _plain_word(part: Part, cell: Cell, column: Column) -> str:
    if cell.does is Does.FROZEN:
        return "frozen"
    match part.node:
        case Input():
            return "embedding"
        case Logits():
            return ""
        case _:
            return column.run.removesuffix(" set")


def _input(part: Part, word: str, ports: tuple[Port, ...]) -> str:
    """`input recorded`; without `input` where badges name the ports, and for the stream, which has no other value."""
    return word if ports or isinstance(part.node, Residual) else f"input {word}"


def place_of(part: Part) -> str:
    """`@END`, or `@S2>END`: where the experiment changes a part; "" = everywhere."""
    found: dict[str, None] = {}
    for address in part.addresses:
        at = "" if address.position is None else f"@{address.position}"
        found[at + ("" if address.output is None else f">{address.output}")] = None
    return ", ".join(place for place in found if place)


def name_of(part: Part) -> tuple[str, ...]:
    """What a part is called, in lines: its node and where it is changed, or how many heads it holds."""
    place = place_of(part)
    if part.addresses:
        name = str(part.node)
        return (f"{name}{place}",) if part.side is Side.STREAM or not place else (name, place)
    if part.side is Side.HEADS and part.count > 1:
        return (f"{part.count} other", "heads") if part.rest else (f"{part.count} heads",)
    return (f"rest of {part.node}" if part.rest else str(part.node),)

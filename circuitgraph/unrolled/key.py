"""The key below the picture: what colours, outlines and lines mean, and where named positions lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from circuitgraph.drawing.scene import Dash, Panel, Rect, Sample, Stroke, Text
from circuitgraph.drawing.style import INK, PAPER, SOFT_INK, tint
from circuitgraph.drawing.text import fill, width
from circuitgraph.plans.explain import other_of
from circuitgraph.plans.types import Base, Counterfactual, Experiment, Free, Mean, Prune, Resample, Source, Zero
from circuitgraph.spec.model import BaseRun
from circuitgraph.unrolled.layout import STACK
from circuitgraph.unrolled.lines import PATH, Line, change_color, sample
from circuitgraph.unrolled.looks import RECOMPUTED, RECORDED, RUN_COLORS, filling, source_color
from circuitgraph.unrolled.states import REFERENCE, Change, Does, Unrolled

SIZE = 10.5
LINE = 17.0
SWATCH = 17.0
SPACE = 20.0

Mark = Text | Sample | Panel


def key(unrolled: Unrolled, stacked: bool, remarks: Sequence[str], area: Rect) -> tuple[tuple[Mark, ...], float]:
    """The marks, in lines as wide as `area`, and the y below the last one."""
    x, y = area.x, area.y + SIZE
    marks: list[Mark] = []
    for swatch, text in _entries(unrolled, stacked):
        wide = SWATCH + 7 + width(text, SIZE)
        if x > area.x and x + wide > area.right:
            x, y = area.x, y + LINE
        marks += [*_swatch(x, y - 4, swatch), Text(x + SWATCH + 7, y, text, SIZE, INK)]
        x += wide + SPACE
    y += LINE + 2
    for sentence in [*_sentences(unrolled.experiment), *remarks]:
        for line in fill(sentence, SIZE, area.width, lines=4):
            marks.append(Text(area.x, y, line, SIZE, SOFT_INK))
            y += LINE - 2.5
    return tuple(marks), y - LINE + 8


def _swatch(x: float, y: float, kind: Panel | Stroke | str) -> Iterator[Panel | Sample]:
    if isinstance(kind, Stroke):
        yield sample(Line(((x, y), (x + SWATCH, y)), kind, True, 0), 0, 0)
        return
    rect = Rect(x, y - 5.5, SWATCH, 11)
    if isinstance(kind, str):
        yield from stack(Rect(x, y - 4, SWATCH - STACK, 9.5), Stroke(RUN_COLORS["clean"], 1.0), 2.5)
        yield Panel(Rect(x, y - 4, SWATCH - STACK, 9.5), filling(kind), Stroke(kind, 1.0), 2.5)
        return
    yield Panel(rect, kind.fill, kind.border, 2.5)


def stack(rect: Rect, border: Stroke, radius: float) -> Iterator[Panel]:
    """The outline behind a box that stands for several components."""
    yield Panel(Rect(rect.x + STACK, rect.y - STACK, rect.width, rect.height), PAPER, border, radius)


def _box(color: str, *, strong: bool = False, fill_: str | None = None) -> Panel:
    return Panel(Rect(0, 0, 0, 0), fill_ or filling(color), Stroke(color, 2.2 if strong else 1.0))


def _entries(unrolled: Unrolled, stacked: bool) -> Iterator[tuple[Panel | Stroke | str, str]]:
    """What occurs in the picture."""
    experiment = unrolled.experiment
    base, other = experiment.base.value, other_of(experiment.base)
    cells = [cell for column in unrolled.columns for cell in column.cells.values()]
    frozen = any(cell.does is Does.FROZEN for cell in cells)
    yield _box(RUN_COLORS[base]), f"{base} value{'; frozen: held at it, whatever comes in' * frozen}"
    for source in experiment.sources:
        color, text = _source_entry(source, other)
        yield _box(color, strong=True, fill_=PAPER if isinstance(source, Zero | Prune) else None), text
    if any(cell.recorded for cell in cells):
        yield _box(RECORDED, strong=True, fill_=PAPER), "input recorded"
        yield _box(RECORDED, strong=True, fill_=tint(RECORDED, 0.1)), "input set to what was recorded"
    if any(cell.does is Does.RECOMPUTED for cell in cells):
        yield Panel(Rect(0, 0, 0, 0), PAPER, Stroke(RECOMPUTED, 1.6, Dash.DASHED)), "recomputed from what has changed"
    if stacked:
        yield RUN_COLORS[base], "several in one box"
    for change in _changes(unrolled):
        yield Stroke(change_color(change, other), PATH), _path_entry(change, experiment)


def _changes(unrolled: Unrolled) -> list[Change]:
    """The changes of the stages, one of each look."""
    found: dict[object, Change] = {}
    for column in unrolled.columns:
        if column.change is not None:
            found.setdefault((column.change.does, column.change.source), column.change)
    return list(found.values())


def _source_entry(source: Source, other: str) -> tuple[str, str]:
    color = source_color(source, other)
    match source:
        case Counterfactual():
            return color, f"{other} value"
        case Mean():
            return color, f"mean over the {REFERENCE}"
        case Resample():
            return color, "value in another reference prompt"
        case Prune():
            return color, "output weights set to zero"
        case _:
            return color, "zero" if isinstance(source, Zero) else "its own value"


def _path_entry(change: Change, experiment: Experiment) -> str:
    if change.does is Does.RECOMPUTED:
        return "what has changed goes on to the logits"
    through = any(isolation.free is Free.MLPS for isolation in experiment.isolations)
    way = "the residual stream and the MLPs on the way" if through else "the residual stream alone"
    whose = "of a hop " if change.does is Does.PUT else ""
    return f"the direct path {whose}({way})"


def _sentences(experiment: Experiment) -> Iterator[str]:
    (source, *_), base = experiment.sources, experiment.base.value
    match source:
        case Counterfactual():
            name = "noising" if experiment.base is BaseRun.CLEAN else "denoising"
            how = f"patched from the {other_of(experiment.base)} one ({name})"
        case Prune():
            how = "with output weights set to zero (pruning)"
        case Mean():
            how = f"patched with means over the {REFERENCE} (ablation)"
        case Resample():
            how = f"patched with values of other prompts of the {REFERENCE} (ablation)"
        case Zero() | Base():
            how = f"patched with {source} (ablation)"
    said = f"Base: the {base} prompt, {how}."
    yield f"{said} {experiment.repeat} draws, effects averaged." if experiment.repeat > 1 else said

"""Sweeps over nodes and senders as heat maps: tables whose cells are coloured, a number in each."""

from __future__ import annotations

from collections.abc import Sequence

from circuitgraph.plotting.labels import cut
from circuitgraph.plotting.sweeps import heat_maps
from circuitgraph.plotting.values import Cell, Column, HeatMap, Panel
from circuitgraph.reporting.sections.figures import digits_of, figure, shown
from circuitgraph.reporting.sections.markup import Markup, element, joined
from circuitgraph.reporting.sections.pieces import LONGEST, boxed, folded, heading, named, paragraph
from circuitgraph.reporting.sections.section import Section
from circuitgraph.results.records import RunResult

LEVELS = 10
"""Shades of each sign."""


def maps_section(result: RunResult, prefix: str) -> Section | None:
    """The maps of each metric, those of the first open; None where nothing was swept."""
    first, *others = [heat_maps(result, metric) for metric in result.metrics] or [()]
    if not first and not any(others):
        return None
    folds = [
        folded(f"Under {metric}", *map(heat_map, found))
        for metric, found in zip(result.metrics[1:], others, strict=True)
        if found
    ]
    return Section(f"{prefix}heat-maps", "Heat maps", joined(*map(heat_map, first), *folds))


def heat_map(found: HeatMap) -> Markup:
    """Its grids on one scale, and the key of the colours."""
    figures = [_grid(panel, found) for panel in found.panels]
    title = found.title.partition(": ")[2] or found.title
    return element(
        "div",
        {"class": "s-maps"},
        heading(title[:1].upper() + title[1:]),
        paragraph(f"{found.quantity.label}; {found.note}." if found.note else f"{found.quantity.label}."),
        _key(found),
        element("div", {"class": "s-panels"}, *figures),
    )


def _key(found: HeatMap) -> Markup:
    """From the largest loss to the largest gain."""
    swatches = [element("i", {"class": f"s-swatch {level_class(step / 5, 1)}"}) for step in range(-5, 6)]
    low, high = shown(-found.limit), shown(found.limit, sign=True)
    falls, rises = found.quantity.falls, found.quantity.rises
    parts = [
        element("span", None, f"{low} {falls}".strip()),
        element("span", {"class": "s-swatches", "aria-hidden": "true"}, *swatches),
        element("span", None, f"{high} {rises}".strip()),
    ]
    if any(cell.undecided for panel in found.panels for cell in panel.measured()):
        bold = element("b", None, "bold")
        parts.append(element("span", {"class": "s-key-sure"}, bold, ": the interval leaves out 0"))
    return element("div", {"class": "s-key"}, *parts)


def _grid(panel: Panel, found: HeatMap) -> Markup:
    digits = min(digits_of([found.limit]), 3)
    corner = " \\ ".join(filter(None, (found.row_axis, found.column_axis if not any_above(panel.columns) else "")))
    heads = [element("th", {"scope": "col"}, *_column(column)) for column in panel.columns]
    head = element("tr", None, element("th", {"class": "s-corner"}, corner), *heads)
    body = [
        element("tr", None, element("th", {"scope": "row"}, named(name)),
                *(_cell(cell, found.limit, digits) for cell in cells))
        for name, cells in zip(panel.rows, panel.cells, strict=True)
    ]  # fmt: skip
    grid = element("table", {"class": "s-map"}, element("thead", None, head), element("tbody", None, *body))
    caption = [element("b", None, panel.title), *([" ", panel.subtitle] if panel.subtitle else [])]
    name = " ".join(filter(None, (panel.title, panel.subtitle)))
    return element("figure", {"class": "s-figure"}, element("figcaption", None, *caption), boxed(grid, label=name))


def any_above(columns: Sequence[Column]) -> bool:
    """Whether columns have a second name, of the position over its token."""
    return any(column.above for column in columns)


def _column(column: Column) -> list[Markup]:
    above = [element("small", None, named(column.above))] if column.above else []
    return [*above, named(column.label)]


def _cell(cell: Cell | None, limit: float, digits: int) -> Markup:
    if cell is None:
        return element("td", {"class": "s-none"})
    interval = "" if cell.low is None or cell.high is None else f" [{shown(cell.low)}, {shown(cell.high)}]"
    kind = level_class(cell.value, limit) + ("" if cell.undecided or cell.low is None else " s-sure")
    return element("td", {"class": kind, "title": f"{cut(cell.name, LONGEST)}: {shown(cell.value)}{interval}"},
                   figure(cell.value, digits))  # fmt: skip


def level_class(value: float, limit: float) -> str:
    """The shade of a value: `s-p7`, `s-n2`; `s-p0` next to nothing."""
    level = min(round(LEVELS * abs(value) / limit), LEVELS) if limit else 0
    return f"s-{'n' if value < 0 and level else 'p'}{level}"

"""RunResult or AttributionTable -> ranked bars, and maps of an attribution. No matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from circuitgraph.drawing.style import number
from circuitgraph.plotting.labels import file_name, plain
from circuitgraph.plotting.measures import effect_on, named
from circuitgraph.plotting.sweeps import runs_note
from circuitgraph.plotting.values import Bar, Bars, Cell, Column, HeatMap, Panel, Quantity

if TYPE_CHECKING:
    from circuitgraph.results.attribution import AttributionRow, AttributionTable
    from circuitgraph.results.records import RunResult

TOP = 20
MOST_SPLIT = 32
"""Heads of a head × token map."""


def effect_bars(result: RunResult, metric: str | None = None, top: int = TOP) -> Bars | None:
    """The largest effects of a run under one metric (the first, if not given); None of an empty run."""
    metric = result.metrics[0] if metric is None else metric
    rows = sorted((row for row in result.rows if row.metric == metric), key=lambda row: -abs(row.effect))
    if not rows:
        return None
    labels = [plain(row.label) for row in rows[:top]]
    how = [f"{row.base} run, {row.source}" for row in rows]
    usual = ""
    if len(set(how)) > 1:  # what most rows have is said once
        usual = max(sorted(set(how)), key=how.count)
        labels = [
            label if said == usual else f"{label} ({said})" for label, said in zip(labels, how[:top], strict=True)
        ]
    bars = tuple(Bar(label, row.effect, row.ci_low, row.ci_high) for label, row in zip(labels, rows[:top], strict=True))
    part = f"the {len(bars)} largest of {len(rows):,} effects; " if len(rows) > len(bars) else ""
    part += f"{usual}, unless said otherwise; " if usual else ""
    return Bars(
        name=named("bars", result, metric),
        title=plain(f"{result.graph.name}: largest effects"),
        quantity=effect_on(result, metric),
        bars=bars,
        note=part + runs_note(result, metric),
    )


def attribution_pictures(
    table: AttributionTable, top: int = TOP, only: str | None = None
) -> tuple[HeatMap | Bars, ...]:
    """For each metric (or one): layer × head (if taken apart into heads), head × token (if split), and bars."""
    found: list[HeatMap | Bars | None] = []
    for index, metric in enumerate(dict.fromkeys(total.metric for total in table.totals)):
        if only not in (None, metric):
            continue
        suffix = "" if index == 0 else f".{index + 1}-{file_name(metric)}"
        found += [
            _head_map(table, metric, suffix),
            _token_map(table, metric, suffix),
            *_bars(table, metric, suffix, top),
        ]
    return tuple(each for each in found if each is not None)


def _quantity(metric: str) -> Quantity:
    """Only what is linear in the logits can be taken apart, so it is counted in logits."""
    name = plain(metric, 40)
    return Quantity(f"written towards {name}", "logits", f"raises {name}", f"lowers {name}")


def _title(table: AttributionTable, what: str) -> str:
    return plain(f"{table.name}: {what}")


def _note(table: AttributionTable, metric: str) -> str:
    """What the rows add up to."""
    of = {"clean": "clean run", "corrupted": "corrupted run", "difference": "clean − corrupted run"}.get(
        table.of, table.of
    )
    totals = [total for total in table.totals if total.metric == metric]
    several = len(totals) > 1
    sums = ", ".join(f"{number(total.value)}" + (f" at {total.at}" if several else "") for total in totals)
    return f"{of}; n\u00a0=\u00a0{table.n}\u00a0prompts; all components together: {sums}"


def _head_map(table: AttributionTable, metric: str, suffix: str) -> HeatMap | None:
    """Heads, and a column of their layers' MLPs."""
    panels = []
    for at in _places(table, metric):
        rows = [row for row in table.rows if (row.metric, row.at) == (metric, at) and row.token is None]
        heads = {_index(row): row for row in rows if row.kind == "head"}
        if not heads:
            continue
        mlps = {row.layer: row for row in rows if row.kind == "mlp"}
        layers = 1 + max(layer for layer, _ in heads)
        width = 1 + max(index for _, index in heads)
        cells = tuple(
            (
                *(_cell(heads.get((layer, index))) for index in range(width)),
                *([_cell(mlps.get(layer))] if mlps else []),
            )
            for layer in range(layers)
        )
        columns = (*(Column(str(index)) for index in range(width)), *([Column("MLP")] if mlps else []))
        panels.append(Panel(plain(f"Read at {at}"), tuple(map(str, range(layers))), columns, cells))
    if not panels:
        return None
    title = _title(table, "direct logit attribution")
    name, quantity = f"attribution{suffix}", _quantity(metric)
    return HeatMap(name, title, quantity, tuple(panels), "layer", "head", _note(table, metric))


def _token_map(table: AttributionTable, metric: str, suffix: str) -> HeatMap | None:
    """What each head fetched from which token."""
    panels, notes = [], []
    for at in _places(table, metric):
        rows = [row for row in table.rows if (row.metric, row.at) == (metric, at) and row.token is not None]
        if not rows:
            continue
        largest: dict[str, float] = {}
        for row in rows:
            largest[row.name] = max(largest.get(row.name, 0.0), abs(row.value))
        strongest = sorted(largest, key=lambda name: -largest[name])[:MOST_SPLIT]
        names = [name for name in largest if name in strongest]
        tokens = tuple(dict.fromkeys(row.token or "" for row in rows))
        here = {(row.name, row.token): _cell(row) for row in rows}
        cells = tuple(tuple(here.get((name, token)) for token in tokens) for name in names)
        columns = tuple(Column(plain(token)) for token in tokens)
        panels.append(Panel(plain(f"Read at {at}"), tuple(names), columns, cells))
        if len(largest) > len(names):
            notes.append(f"the {len(names)} strongest of {len(largest)} heads")
    if not panels:
        return None
    title = _title(table, "what heads fetch, by the token attended to")
    note = "; ".join([*dict.fromkeys(notes), _note(table, metric)])
    name, quantity = f"attribution-tokens{suffix}", _quantity(metric)
    return HeatMap(name, title, quantity, tuple(panels), "", "attended to", note)


def _bars(table: AttributionTable, metric: str, suffix: str, top: int) -> list[Bars]:
    found = []
    places = _places(table, metric)
    for number_, at in enumerate(places):
        rows = [row for row in table.rows if (row.metric, row.at) == (metric, at)]
        ranked = sorted(rows, key=lambda row: -abs(row.value))[:top]
        part = f"the {len(ranked)} largest of {len(rows):,} components; " if len(rows) > len(ranked) else ""
        found.append(
            Bars(
                name=f"attribution-bars{suffix}" + ("" if number_ == 0 else f".{file_name(at)}"),
                title=_title(table, f"direct logit attribution, read at {at}"),
                quantity=_quantity(metric),
                bars=tuple(Bar(plain(row.label), row.value, row.ci_low, row.ci_high) for row in ranked),
                note=part + _note(table, metric),
            )
        )
    return found


def _places(table: AttributionTable, metric: str) -> Sequence[str]:
    return tuple(dict.fromkeys(total.at for total in table.totals if total.metric == metric))


def _index(row: AttributionRow) -> tuple[int, int]:
    """Layer and index of a head, from its name `a3.h1`."""
    layer, _, index = row.name.removeprefix("a").partition(".h")
    return int(layer), int(index)


def _cell(row: AttributionRow | None) -> Cell | None:
    return None if row is None else Cell(row.value, row.ci_low, row.ci_high, row.label)

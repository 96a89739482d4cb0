"""RunResult -> heat maps of its sweeps: layer × head, node × position, senders of each receiver. No matplotlib.

Rows of the table are comparable in one grid if they differ in the node alone (or in node and position): each
base run, source, port and path has a grid of its own, and all grids of a picture have one colour scale.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from circuitgraph.graph.claims import Claim, EdgeClaim, Intervention, NodeClaim, content
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import MLP, Address, Attention, Head, Input, Node, Position, Residual
from circuitgraph.plotting.labels import plain
from circuitgraph.plotting.measures import effect_on, named
from circuitgraph.plotting.places import EVERYWHERE, Places
from circuitgraph.plotting.values import Cell, Column, HeatMap, Panel
from circuitgraph.spec.model import BaseRun, PathKind, ReceiverMode

if TYPE_CHECKING:
    from circuitgraph.results.records import Row, RunResult

FEWEST = 4
"""Cells that make a grid worth drawing."""
MOST_PANELS = 12
MOST_ROWS = 96
"""Of a map by position: more nodes than this are no picture; the strongest are drawn."""
MANY_POSITIONS = 4
"""Heads at more positions than this are drawn as head × position rather than as a grid for each position."""


@dataclass(frozen=True, slots=True)
class _Point:
    """One measured node or sender."""

    address: Address
    group: tuple[str, str, str]
    """What distinguishes its grid from others: two texts, and all that decides its number but the node."""
    row: Row

    @property
    def cell(self) -> Cell:
        return Cell(self.row.effect, self.row.ci_low, self.row.ci_high, self.row.label)


def heat_maps(result: RunResult, metric: str | None = None) -> tuple[HeatMap, ...]:
    """The maps of a run under one metric (the first, if not given); () where nothing was swept."""
    metric = result.metrics[0] if metric is None else metric
    rows = [row for row in result.rows if row.metric == metric]
    nodes, edges = _node_points(result, rows), _edge_points(result, rows)
    places = Places(result)
    heads = [point for point in nodes if isinstance(point.address.node, Head)]
    swept = _swept(heads)
    found = (
        _head_map(result, metric, [p for p in heads if p.group not in swept], places),
        _position_map(result, metric, [p for p in nodes if p not in heads or p.group in swept], places),
        _edge_map(result, metric, edges),
    )
    return tuple(each for each in found if each is not None)


def _node_points(result: RunResult, rows: Sequence[Row]) -> list[_Point]:
    points = []
    for row in rows:
        claim = result.graph.by_id[row.id]
        if isinstance(claim, NodeClaim) and len(claim.nodes) == 1:
            (address,) = claim.nodes
            points.append(_Point(address, (_ports(address), _way(claim.how), _rest(claim)), row))
    return points


def _edge_points(result: RunResult, rows: Sequence[Row]) -> list[_Point]:
    """Edges from one head, MLP, attention layer or the input."""
    points = []
    for row in rows:
        claim = result.graph.by_id[row.id]
        if isinstance(claim, EdgeClaim) and len(claim.senders) == 1:
            (sender,) = claim.senders
            at = EVERYWHERE if sender.position is None else str(sender.position)
            to = plain(" + ".join(_receivers(claim.receivers)))
            where = f"at {at}" if at != EVERYWHERE else "at all tokens"
            subtitle = f"senders{_ports(sender)} {where}"
            path = "" if claim.how.path is PathKind.DIRECT else f", {claim.how.path.value}"
            added = len(claim.receivers) > 1 and claim.how.receivers is ReceiverMode.ADD
            subtitle += f"{path}{', added' if added else ''}; {_way(claim.how)}"
            points.append(_Point(sender, (f"→ {to}", subtitle, _rest(claim)), row))
    return points


def _rest(claim: Claim) -> str:
    """What decides a claim's number, without its nodes or senders."""
    return json.dumps({key: value for key, value in content(claim).items() if key not in ("nodes", "senders")})


def _receivers(receivers: Sequence[Address]) -> list[str]:
    """Addresses; those of several at one position are written with the position once."""
    positions = {address.position for address in receivers}
    if len(receivers) == 1 or len(positions) > 1 or None in positions:
        return [str(address) for address in receivers]
    return [*(str(address.at(None)) for address in receivers[:-1]), str(receivers[-1])]


def _ports(address: Address) -> str:
    return f"<{','.join(address.ports)}>" if address.ports else ""


def _way(how: Intervention) -> str:
    """`noising (clean run, corrupted values)`, `zero in the clean run`."""
    source, base = str(how.source), how.base.value
    if source == "counterfactual":
        other = BaseRun.CORRUPTED if how.base is BaseRun.CLEAN else BaseRun.CLEAN
        return f"{'noising' if how.base is BaseRun.CLEAN else 'denoising'}: {base} run, {other.value} values"
    return f"{source} in the {base} run"


def _swept(heads: Sequence[_Point]) -> set[tuple[str, str, str]]:
    """The groups whose heads were measured at many positions."""
    positions: dict[tuple[str, str, str], set[Position | None]] = {}
    for point in heads:
        positions.setdefault(point.group, set()).add(point.address.position)
    return {group for group, found in positions.items() if len(found) > MANY_POSITIONS}


def _head_map(result: RunResult, metric: str, points: Sequence[_Point], places: Places) -> HeatMap | None:
    shape = result.graph.shape
    panels = []
    for group, members in _grouped(points).items():
        for position in places.ordered(point.address.position for point in members):
            here = {p.address.node: p.cell for p in members if p.address.position == position}
            at = "at all tokens" if position is None else f"at {position}"
            panels.append(_grid(shape, here, _title(group[1]), plain(f"heads{group[0]} {at}")))
    return _map("heads", "Heads", result, metric, panels, "layer", "head")


def _grouped(points: Sequence[_Point]) -> dict[tuple[str, str, str], list[_Point]]:
    found: dict[tuple[str, str, str], list[_Point]] = {}
    for point in points:
        found.setdefault(point.group, []).append(point)
    return found


def _title(way: str) -> str:
    return way[:1].upper() + way[1:]


def _edge_map(result: RunResult, metric: str, points: Sequence[_Point]) -> HeatMap | None:
    panels = []
    for group, members in _grouped(points).items():
        here = {point.address.node: point.cell for point in members}
        panels.append(_grid(result.graph.shape, here, group[0], group[1]))
    return _map("edges", "What each sender writes to a receiver", result, metric, panels, "layer", "head")


def _grid(shape: ModelShape, cells: dict[Node, Cell], title: str, subtitle: str) -> Panel:
    """Layer × head; MLPs and whole attention layers, where any were measured, in columns of their own."""
    more: list[tuple[str, Callable[[int], Node]]] = []
    if any(isinstance(node, Attention) for node in cells):
        more.append(("attn", Attention))
    if any(isinstance(node, MLP) for node in cells):
        more.append(("MLP", MLP))
    heads = range(shape.heads) if any(isinstance(node, Head) for node in cells) else range(0)
    columns = (*(Column(str(index)) for index in heads), *(Column(name) for name, _ in more))
    grid = tuple(
        (*(cells.get(Head(layer, index)) for index in heads), *(cells.get(make(layer)) for _, make in more))
        for layer in range(shape.layers)
    )
    return Panel(title, tuple(map(str, range(shape.layers))), columns, grid, subtitle)


def _position_map(result: RunResult, metric: str, points: Sequence[_Point], places: Places) -> HeatMap | None:
    panels, notes = [], []
    for group, kind in dict.fromkeys((point.group, _kind(point.address.node)) for point in points):
        if kind is None:
            continue
        members = [p for p in points if p.group == group and _kind(p.address.node) == kind]
        columns = places.ordered(point.address.position for point in members)
        nodes, cut = _strongest(members, result.graph.shape)
        here = {(p.address.node, p.address.position): p.cell for p in members}
        cells = tuple(tuple(here.get((node, position)) for position in columns) for node in nodes)
        rows = tuple(map(str, nodes))
        subtitle = plain(f"{kind}{group[0]}")
        panels.append(Panel(_title(subtitle), rows, tuple(map(places.column, columns)), cells, group[1]))
        notes += [cut] if cut else []
    axis = "position"
    if places.tokens:
        pairs = result.provenance.get("settings", {}).get("pairs")
        axis = "token of the first pair" + (f" of {pairs}" if isinstance(pairs, int) and pairs > 1 else "")
        if any("/" in column.label for panel in panels for column in panel.columns):
            axis += " (clean / corrupted)"
    return _map("positions", "Position by position", result, metric, panels, "", axis, notes)


def _kind(node: Node) -> str | None:
    match node:
        case Input() | Residual():
            return "residual stream"
        case Attention():
            return "attention layers"
        case MLP():
            return "MLPs"
        case Head():
            return "heads"
        case _:
            return None


def _strongest(points: Sequence[_Point], shape: ModelShape) -> tuple[list[Node], str]:
    """The nodes of a map in the order of the model, at most MOST_ROWS of them, and which part that is."""
    largest: dict[Node, float] = {}
    for point in points:
        largest[point.address.node] = max(largest.get(point.address.node, 0.0), abs(point.row.effect))
    kept = sorted(largest, key=lambda node: -largest[node])[:MOST_ROWS]
    ordered = sorted(kept, key=lambda node: (shape.written_at(node), shape.read_at(node), str(type(node)), node))
    cut = len(largest) > len(kept)
    return ordered, f"the {len(kept)} strongest of {len(largest)} rows" if cut else ""


def _map(
    name: str,
    title: str,
    result: RunResult,
    metric: str,
    panels: Iterable[Panel],
    row_axis: str,
    column_axis: str,
    notes: Sequence[str] = (),
) -> HeatMap | None:
    """The grids with enough cells; of very many, the strongest."""
    worth = [panel for panel in panels if sum(1 for _ in panel.measured()) >= FEWEST]
    if not worth:
        return None
    kept = worth
    if len(worth) > MOST_PANELS:
        strongest = sorted(worth, key=lambda panel: -max(abs(cell.value) for cell in panel.measured()))[:MOST_PANELS]
        kept = [panel for panel in worth if panel in strongest]
        notes = (f"the {MOST_PANELS} strongest of {len(worth)} grids", *notes)
    said = {panel.subtitle for panel in kept}
    if len(kept) > 1 and len(said) == 1:  # what holds for all of them is said once
        notes, kept = (*notes, *said), [replace(panel, subtitle="") for panel in kept]
    return HeatMap(
        name=named(name, result, metric),
        title=plain(f"{result.graph.name}: {title[:1].lower()}{title[1:]}"),
        quantity=effect_on(result, metric),
        panels=tuple(kept),
        row_axis=row_axis,
        column_axis=column_axis,
        note="; ".join(filter(None, dict.fromkeys((*notes, runs_note(result, metric))))),
    )


def runs_note(result: RunResult, metric: str) -> str:
    """`n = 64 pairs; logit_diff is 16.8 in the clean run, −16.7 in the corrupted one`."""
    from circuitgraph.drawing.style import number

    rows = [row for row in result.rows if row.metric == metric]
    if not rows:
        return ""
    first = rows[0]
    pairs = f"n\u00a0=\u00a0{first.n}\u00a0pairs"
    text = f"{pairs}; {plain(metric, 40)} is {number(first.metric_base)} in the {first.base} run"
    if first.metric_other is None:
        return text
    other = BaseRun.CORRUPTED if first.base == BaseRun.CLEAN.value else BaseRun.CLEAN
    return f"{text}, {number(first.metric_other)} in the {other.value} one"

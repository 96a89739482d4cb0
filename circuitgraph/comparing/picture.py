"""Comparison -> pictures: the graphs of A, B and B − A on one layout, the scatter plot, and all of it together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from circuitgraph.comparing.groups import standing
from circuitgraph.comparing.records import Alone, By, Comparison, Comparisons, Correlation, Matched, Quantity
from circuitgraph.comparing.text import RESAMPLED, letters
from circuitgraph.drawing import Scene
from circuitgraph.drawing.beside import beside
from circuitgraph.drawing.compared import Name, Side, compared
from circuitgraph.drawing.matrix import matrix
from circuitgraph.drawing.scatter import Dot, scatter
from circuitgraph.errors import InputError
from circuitgraph.graph.claims import CircuitGraph, replaced
from circuitgraph.results.records import Row, RunResult

SMALL_MULTIPLES = 4
"""Pictures in a row, of more than two runs: the matrix first."""


@dataclass(frozen=True)
class Stage:
    """What the scenes of a comparison have in common."""

    graph: CircuitGraph
    ids: Mapping[str, str]
    """Key of a matched experiment → its id in the graph."""
    positions: Sequence[str]
    names: Mapping[str, Name] = field(default_factory=dict)
    layers: bool = True


def scenes(found: Comparison) -> tuple[Scene, Scene, Scene]:
    """The graphs of A, of B and of the difference, on the identical layout and scale of widths.

    Raises:
        InputError: nothing that was matched can be drawn.
    """
    stage = stage_of(found)
    alone = [_alone_ids(found.only_a, stage), _alone_ids(found.only_b, stage)]
    only_in = {
        id_: f"{letter}: {label}" for letter, label, ids in zip("AB", found.labels, alone, strict=True) for id_ in ids
    }
    difference = [_difference(row, stage.ids[row.key]) for row in found.rows if row.key in stage.ids]
    shares = found.quantity is Quantity.NORMALIZED
    graphs = [
        Side(
            f"{letter}  {label}",
            [*_side(found, stage, which), *_own(found, run, alone[which])],
            graph=run.graph if found.across else None,
            subtitle=_counted(found),
            shares=shares,
        )
        for which, (letter, label, run) in enumerate(zip("AB", found.labels, (found.a, found.b), strict=True))
    ]
    subtitle = f"{_paired(found)} {_counted(found)}".strip()
    sides = [*graphs, Side("B − A", difference, difference=True, only_in=only_in, subtitle=subtitle, shares=shares)]
    a, b, subtracted = _drawn(stage, sides)
    return a, b, subtracted


def scatter_scene(found: Comparison) -> Scene:
    """B against A, one point for each matched experiment."""
    a, b = found.labels
    said = _correlation(found.agreement.spearman)
    return scatter(
        [_dot(row) for row in found.rows],
        a=a,
        b=b,
        title="B against A",
        subtitle=[f"{found.metric}, {len(found.rows):,} experiments.{said}"],
        quantity="normalized effect" if found.quantity is Quantity.NORMALIZED else "effect",
    )


def picture(found: Comparison | Comparisons) -> Scene:
    """A | B | B − A and the scatter plot; of more than two runs the matrix of correlations and a graph for each."""
    if isinstance(found, Comparison):
        return beside([*scenes(found), scatter_scene(found)], title=f"{found.labels[0]} and {found.labels[1]}")
    table = matrix_scene(found)
    return beside([table, *multiples(found)], title=table.title, across=SMALL_MULTIPLES)


def matrix_scene(found: Comparisons) -> Scene:
    """The rank correlations of each run with each."""
    runs = range(len(found.labels))
    cells = [[found.spearman(i, j) for j in runs] for i in runs]
    return matrix(
        [[(cell.value, cell.low, cell.high) for cell in row] for row in cells],
        letters(len(found.labels)),
        found.labels,
        title="Rank correlation of effects",
        subtitle=f"{found.metric}, Spearman over matched experiments; {RESAMPLED}",
    )


def multiples(found: Comparisons) -> tuple[Scene, ...]:
    """The graph of every run on one layout: what the first has in common with all others; () where that is nothing."""
    pairs = list(found.first)
    shared = set[str].intersection(*({row.key for row in pair.rows} for pair in pairs))
    stage = stage_of(pairs[0])
    ids = {key: id_ for key, id_ in stage.ids.items() if key in shared}
    if not ids:
        return ()
    stage = Stage(_peopled(stage.graph.only(ids.values())), ids, stage.positions, stage.names, stage.layers)
    shares = pairs[0].quantity is Quantity.NORMALIZED
    told = [pair.b.graph if pair.across else None for pair in pairs]
    first = pairs[0].a.graph if any(told) else None
    sides = [Side(f"A  {found.labels[0]}", _side(pairs[0], stage, 0), graph=first, shares=shares)]
    for letter, pair, graph in zip(letters(len(found.labels))[1:], pairs, told, strict=True):
        sides.append(Side(f"{letter}  {pair.labels[1]}", _side(pair, stage, 1), graph=graph, shares=shares))
    return _drawn(stage, sides)


def _peopled(graph: CircuitGraph) -> CircuitGraph:
    """Without the groups that no experiment has a member of."""
    nodes = {end.node for sender, receiver, _ in graph.arcs() for end in (sender, receiver)}
    nodes |= {address.node for claim in graph.claims for address in replaced(claim)}
    groups = (group for group in graph.groups if any(member.node in nodes for member in group.members))
    return replace(graph, groups=tuple(groups))


def stage_of(found: Comparison) -> Stage:
    """The graph that is drawn: the union of both; of groups, one with a stand-in for each.

    Raises:
        InputError: nothing that was matched can be drawn.
    """
    positions = found.a.provenance.get("settings", {}).get("positions") or ()
    if found.graph is not None:
        return Stage(found.graph, {row.key: row.ids_a[0] for row in found.rows}, positions)
    made = standing(found)
    if not made.ids:
        raise InputError("nothing to draw: no matched pair of groups is an edge or a node")
    return Stage(made.graph, made.ids, positions, made.names, layers=False)


def _paired(found: Comparison) -> str:
    """How the differences were made."""
    pairs = sorted({row.n_a if row.n_a == row.n_b else f"{row.n_a} and {row.n_b}" for row in found.rows}, key=str)
    how = {True: "Paired", False: "Unpaired", None: "Paired where prompts are the same:"}[found.paired]
    return f"{how} differences, {pairs[0]} prompt pairs."


def _counted(found: Comparison) -> str:
    """What a group's arrows and boxes say."""
    return "" if found.by is By.ADDRESS else "Means over the experiments between two groups. ×: members (in A | in B)."


def _drawn(stage: Stage, sides: Sequence[Side]) -> tuple[Scene, ...]:
    return compared(stage.graph, sides, positions=stage.positions, names=stage.names, layers=stage.layers)


def _side(found: Comparison, stage: Stage, which: int) -> list[Row]:
    """The matched experiments as one of the runs has them, in the quantity that is compared."""
    run = (found.a, found.b)[which]
    known = {row.id: row for row in run.rows if row.metric == found.metric}
    rows: list[Row] = []
    for each in found.rows:
        if each.key in stage.ids:
            own = known[(each.ids_a, each.ids_b)[which][0]]
            numbers = (each.a, each.a_low, each.a_high) if which == 0 else (each.b, each.b_low, each.b_high)
            rows.append(_row(stage.ids[each.key], each.label, found.metric, numbers, own))
    return rows


def _own(found: Comparison, run: RunResult, ids: Iterable[str]) -> list[Row]:
    """What one run alone has."""
    wanted = set(ids)
    rows = [row for row in run.rows if row.metric == found.metric and row.id in wanted]
    if found.quantity is Quantity.EFFECT:
        return [_row(row.id, row.label, found.metric, (row.effect, row.ci_low, row.ci_high), row) for row in rows]
    return [
        _row(
            row.id,
            row.label,
            found.metric,
            (row.normalized_effect, row.normalized_ci_low, row.normalized_ci_high),
            row,
        )
        for row in rows
        if row.normalized_effect is not None
    ]


def _alone_ids(items: Sequence[Alone], stage: Stage) -> list[str]:
    """Of experiments that one run alone has, those that are in the graph."""
    return [id_ for item in items for id_ in item.ids if id_ in stage.graph.by_id]


def _difference(each: Matched, id_: str) -> Row:
    numbers = (each.difference, each.ci_low, each.ci_high)
    return _row(id_, each.label, f"B − A of {each.metric}", numbers, None, n=min(each.n_a, each.n_b))


def _row(
    id_: str,
    label: str,
    metric: str,
    numbers: tuple[float, float | None, float | None],
    own: Row | None,
    n: int = 0,
) -> Row:
    """A row that is only drawn: `numbers` are its effect and interval; of `own` it takes what the legend tells."""
    value, low, high = numbers
    return Row(
        id=id_,
        kind="",
        label=label,
        sender=None,
        sender_position=None,
        receiver=None,
        receiver_position=None,
        path=None,
        base="" if own is None else own.base,
        source="" if own is None else own.source,
        metric=metric,
        metric_base=1.0 if own is None else own.metric_base,
        metric_other=None,
        metric_patched=0.0,
        effect=value,
        normalized_effect=None,
        std_error=None,
        ci_low=low,
        ci_high=high,
        n=n if own is None else own.n,
        executor="" if own is None else own.executor,
    )


def _correlation(found: Correlation) -> str:
    if found.value is None:
        return ""
    between = "" if found.low is None or found.high is None else f" [{found.low:.2f}, {found.high:.2f}]"
    return f" Spearman {found.value:.2f}{between}.".replace("-", "−")


def _dot(row: Matched) -> Dot:
    return Dot(
        row.label, row.a, row.b, row.a_low, row.a_high, row.b_low, row.b_high, row.difference, row.ci_low, row.ci_high
    )

"""A run, or a file of another tool, -> a file of another tool; the body of `circuitgraph.export`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from circuitgraph.drawing.data import Attributed, attributed, graphml, node_link
from circuitgraph.drawing.style import finding
from circuitgraph.errors import FileError, InputError, did_you_mean
from circuitgraph.interchange.eap import graph_text
from circuitgraph.interchange.formats import Content, is_exchanged, read_file
from circuitgraph.interchange.from_run import (
    MEANINGS,
    POSITIONS,
    as_importance,
    membership,
    metric_of,
    refuse,
    scored,
    told,
)
from circuitgraph.interchange.matrix import write_matrix
from circuitgraph.interchange.prompts import Pairs
from circuitgraph.interchange.records import Direction, ScoredGraph
from circuitgraph.interchange.tables import Table, table_of, table_text
from circuitgraph.results.files import check_writable, write_text
from circuitgraph.results.load import load_run
from circuitgraph.results.records import RunResult

Tell = Callable[[str], None]


class Target(StrEnum):
    """What a file that is written can be."""

    EAP_JSON = "eap-json"
    MIB = "mib"
    GRAPHML = "graphml"
    NETWORKX_JSON = "networkx-json"
    CSV = "csv"


ENDINGS = {
    Target.EAP_JSON: (".json",),
    Target.MIB: (".json", ".pt"),
    Target.GRAPHML: (".graphml",),
    Target.NETWORKX_JSON: (".json",),
    Target.CSV: (".csv",),
}


def export(
    what: RunResult | Content | str | Path,
    path: str | Path,
    to: str | None = None,
    *,
    metric: str | None = None,
    top: int | None = None,
    threshold: float | None = None,
    direction: str | None = None,
    drop: bool = False,
    circuit: bool = False,
    tell: Tell = lambda _note: None,
) -> Path:
    """Write a file; see `circuitgraph.export`."""
    place = Path(path)
    target = target_named(to, place)
    turn = direction_named(direction)
    check_writable(place)
    _check_kind(place)
    if isinstance(what, str | Path):
        what = load_run(what) if Path(what).is_dir() else _file(Path(what), tell)
    if target in (Target.EAP_JSON, Target.MIB):
        graph = _graph(what, target, metric=metric, direction=turn, drop=drop, circuit=circuit, tell=tell)
        _write_graph(place, graph.kept(top, threshold), target)
        return place
    given = {"top": top, "threshold": threshold, "direction": direction, "drop": drop, "circuit": circuit}
    if idle := [name for name, value in given.items() if value not in (None, False)]:
        raise InputError(f"{idle[0]} goes with eap-json and mib; {target} holds everything as it was measured")
    if metric is not None and target is Target.CSV:
        raise InputError("a csv holds all metrics, each in its own rows; metric goes with the other formats")
    write_text(place, _text(what, target, metric))
    return place


def _check_kind(place: Path) -> None:
    """Refuse to replace a file which is none that `export` writes: a run's own, prompts, weights.

    Raises:
        FileError: there is one.
    """
    if place.exists() and not is_exchanged(place):
        raise FileError(f"'{place}' is there already, and is none that export writes; give the file another name")


def target_named(to: str | None, path: Path) -> Target:
    """The format of a name, or of a file's ending.

    Raises:
        InputError: there is no such format; the ending belongs to several, or to none, or to another.
    """
    ending = path.suffix.lower()
    if to is None:
        fitting = [target for target, endings in ENDINGS.items() if ending in endings]
        if len(fitting) != 1:
            choices = ", ".join(fitting or Target)
            raise InputError(f"'{path.name}' does not tell the format by its ending; say which: {choices}")
        return fitting[0]
    if to not in list(Target):
        raise InputError(f"'{to}' is no format that is written{did_you_mean(to, Target)}")
    if ending not in ENDINGS[Target(to)]:
        raise InputError(f"'{path.name}': a file of {to} ends in {' or '.join(ENDINGS[Target(to)])}")
    return Target(to)


def direction_named(name: str | None) -> Direction | None:
    """The direction of a name.

    Raises:
        InputError: there is none.
    """
    choices = [Direction.EFFECT, Direction.IMPORTANCE]
    if name is not None and name not in choices:
        raise InputError(f"'{name}' is no direction of scores{did_you_mean(name, choices)}")
    return None if name is None else Direction(name)


def _file(path: Path, tell: Tell) -> Content:
    found = read_file(path)
    for note in found.notes:
        tell(note)
    return found.content


def _graph(
    what: RunResult | Content,
    target: Target,
    *,
    metric: str | None,
    direction: Direction | None,
    drop: bool,
    circuit: bool,
    tell: Tell,
) -> ScoredGraph:
    """The scores of a run, or those that a file holds, as they are written."""
    if isinstance(what, ScoredGraph):
        if metric is not None or drop or circuit:
            raise InputError(
                "metric, drop and circuit go with a run; a file of scores has one metric and fits as it is"
            )
        graph = what
    elif not isinstance(what, RunResult):
        raise InputError(f"this file holds {_kind(what)}, from which no {target} is made; export the run itself")
    elif circuit:
        if target is not Target.MIB:
            raise InputError(
                "a circuit without scores is written as mib; EAP-IG's own reader needs a score for each edge"
            )
        if metric is not None or direction is not None:
            raise InputError("circuit writes no scores; it goes without metric and direction")
        graph = membership(what)
        if note := graph.about.get(POSITIONS):
            tell(f"note: {note}")
        return graph
    else:
        graph = _run_graph(what, target, metric, drop=drop, tell=tell)
    if direction is not None:
        graph = graph.turned(direction) if graph.direction is not Direction.UNKNOWN else graph.told(direction)
    elif target is Target.MIB and graph.scored:
        graph = as_importance(graph, _metric_name(graph))
    if graph.scored:
        graph = replace(graph, about={**graph.about, "meaning": MEANINGS[graph.direction]})
    if graph.direction is Direction.UNKNOWN and graph.scored:
        tell(f"note: {MEANINGS[Direction.UNKNOWN]}; they are written as they are")
    return graph


def _run_graph(result: RunResult, target: Target, metric: str | None, *, drop: bool, tell: Tell) -> ScoredGraph:
    graph, left = scored(result, metric=metric)
    name = result.graph.name
    circuit = " --circuit writes which edges belong to the circuit, without scores." if target is Target.MIB else (
        " --to mib --circuit writes which edges belong to the circuit, without scores."
    )  # fmt: skip
    if not drop or not graph.edges:
        ways = ["--drop leaves them out." + circuit] if graph.edges else ["Nothing else is in it." + circuit]
        refuse(left, name, target, ways)
    if not graph.edges:
        raise InputError(f"{name} has no edges to write")
    if left:
        number = sum(map(len, left.values()))
        tell("\n".join([f"left out: {number:,} experiments that have no place in {target}:", *told(left)]))
        dropped = [arrow for arrows in left.values() for arrow in arrows]
        graph = replace(graph, about={**graph.about, "left_out": dropped})
    return graph


def _metric_name(graph: ScoredGraph) -> str:
    metric = graph.about.get("metric")
    return str(metric.get("name")) if isinstance(metric, dict) else "the metric of this file"


def _write_graph(path: Path, graph: ScoredGraph, target: Target) -> None:
    if path.suffix.lower() == ".pt":
        write_matrix(path, graph)
    else:
        write_text(path, graph_text(graph, scores_needed=target is Target.EAP_JSON))


def _text(what: RunResult | Content, target: Target, metric: str | None) -> str:
    match target, what:
        case Target.CSV, RunResult():
            return table_text(table_of(what.rows, what.graph))
        case Target.CSV, Table():
            return table_text(what)
        case _, RunResult():
            name = metric_of(what, metric)
            rows = [row for row in what.rows if row.metric == name]
            graph = attributed(what.graph, finding(what.graph, rows))
        case _, Attributed():
            graph = what
        case _:
            raise InputError(f"this file holds {_kind(what)}, from which no {target} is made; export the run itself")
    return graphml(graph) if target is Target.GRAPHML else node_link(graph)


def _kind(content: Content | RunResult) -> str:
    match content:
        case ScoredGraph():
            return "scores of edges"
        case Table():
            return "the table of a run"
        case Attributed():
            return "a drawn graph"
        case Pairs():
            return "prompts"
        case _:
            return "a run"

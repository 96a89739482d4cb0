"""Experiment + ModelShape -> what every part of the model does in every stage. Pure data: nothing is placed here.

Derived from the plan alone: who is written and recorded, what an isolation leaves free, and who reaches whom.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from circuitgraph.errors import RefusedError
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import ALL_PORTS, Address, KVHead, Logits, Node, Port
from circuitgraph.plans.explain import other_of, stages
from circuitgraph.plans.types import (
    Counterfactual,
    Experiment,
    Free,
    Isolate,
    Mean,
    Recorded,
    Resample,
    Source,
    Swap,
    Value,
)
from circuitgraph.unrolled.parts import Part, Side, covers, heads_of, named, parts_of

REFERENCE = "reference set"


class Does(StrEnum):
    """How a part's value in a run comes about."""

    COMPUTED = "computed"
    """As in the unpatched run: nothing that it reads has changed."""
    KEPT = "kept"
    """Computed, and kept for the stages that follow."""
    FROZEN = "frozen"
    """Held at its value in the base run, whatever it reads."""
    REPLACED = "replaced"
    """Its output is set to its value in the source."""
    PUT = "put"
    """Its input is set: to what an earlier stage recorded, or to its value in the source."""
    RECOMPUTED = "recomputed"
    """Computed anew from a changed input."""
    IDLE = "idle"
    """Nothing that is read in this run depends on it."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one part does in one run."""

    does: Does
    source: Source | None = None
    """Where a value that is put comes from; None = an earlier stage recorded it."""
    put: tuple[Port, ...] = ()
    """The ports at which an input is set; () = the whole input of a part without ports."""
    recorded: bool = False
    """Whether its input is recorded."""
    ports: tuple[Port, ...] = ()
    """The ports that are recorded; () = the whole input of a part without ports."""


class Change(NamedTuple):
    """The points of the residual stream from which and to which a changed value is carried, and what it is."""

    first: int
    last: int
    does: Does
    source: Source | None


@dataclass(frozen=True, slots=True)
class Column:
    """The whole model in one run."""

    run: str
    """`clean`, `corrupted` or `reference set`: whose values unchanged parts have."""
    cells: Mapping[Part, Cell]
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: its name, what `plan` says of it, and its runs, one or two."""

    name: str
    said: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Unrolled:
    """One experiment, ready to be drawn."""

    experiment: Experiment
    shape: ModelShape
    parts: tuple[Part, ...]
    stages: tuple[Stage, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The runs of all stages."""
        return tuple(column for stage in self.stages for column in stage.columns)


def unroll(experiment: Experiment, shape: ModelShape, metrics: Sequence[str]) -> Unrolled:
    """What every part does in every stage. `metrics` are readable names, as `plan` prints them.

    Raises:
        RefusedError: it has no stages that could be told apart, its inputs being exchanged in one run; or it names
            something that has no place in the picture.
    """
    if any(isinstance(write, Swap) for write in experiment.propagate.writes):
        raise RefusedError(
            f"'{experiment.label}' exchanges the inputs of its receivers in a single run (a set, or receivers: add): "
            "there are no stages to draw; draw one of its edges by itself, or the whole with circuitgraph render"
        )
    parts = parts_of(experiment, shape)
    for address in named(experiment):
        if not any(covers(address.node, part, shape) for part in parts):
            raise RefusedError(f"'{experiment.label}': {address} has no place in a method diagram")
    told = stages(experiment, metrics)
    runs = [
        _cached(experiment, shape, parts),
        *((_isolated(experiment, isolation, shape, parts),) for isolation in experiment.isolations),
        (_propagated(experiment, shape, parts),),
    ]
    drawn = tuple(Stage(name, said, columns) for (name, said), columns in zip(told, runs, strict=True))
    return Unrolled(experiment, shape, parts, drawn)


def _cached(experiment: Experiment, shape: ModelShape, parts: Sequence[Part]) -> tuple[Column, ...]:
    """The base run and, where values are taken from one, the other prompt or the reference set."""
    base = Column(experiment.base.value, dict.fromkeys(parts, Cell(Does.COMPUTED)))
    run = _other_run(experiment)
    if run is None:
        return (base,)
    kept = [write.address.node for write in experiment.writes if isinstance(write, Value)]
    cells = {
        part: Cell(Does.KEPT if any(covers(node, part, shape) for node in kept) else Does.COMPUTED) for part in parts
    }
    return base, Column(run, cells)


def _other_run(experiment: Experiment) -> str | None:
    if any(isinstance(source, Counterfactual) for source in experiment.sources):
        return other_of(experiment.base)
    if any(isinstance(source, Mean | Resample) for source in experiment.sources):
        return REFERENCE
    return None


def _isolated(experiment: Experiment, isolation: Isolate, shape: ModelShape, parts: Sequence[Part]) -> Column:
    """Stage 2: everything frozen but what is written, what is free, and what lies on the way."""
    starts = [_reaching(write.address.node, shape) for write in isolation.writes]
    ends = [address.node for address in isolation.record]

    def untouched(part: Part) -> Cell:
        if part.side is Side.HEADS or (part.side is Side.MLP and isolation.free is Free.NONE):
            return Cell(Does.FROZEN)
        if not any(shape.can_reach(part.node, end) for end in ends):
            return Cell(Does.IDLE)
        changed = any(shape.can_reach(start, part.node) for start in starts)
        return Cell(Does.RECOMPUTED if changed else Does.COMPUTED)

    last = max(shape.read_at(end) for end in ends)
    change = _change(isolation.writes, shape, last, isolation.writes[0])
    cells = _cells(parts, isolation.writes, isolation.record, shape, untouched)
    return Column(experiment.base.value, cells, change)


def _propagated(experiment: Experiment, shape: ModelShape, parts: Sequence[Part]) -> Column:
    """Stage 3: everything that can be reached from what is written is computed anew."""
    writes = [write for write in experiment.propagate.writes if not isinstance(write, Swap)]
    starts = [_reaching(write.address.node, shape) for write in writes]

    def untouched(part: Part) -> Cell:
        changed = any(shape.can_reach(start, part.node) for start in starts)
        return Cell(Does.RECOMPUTED if changed else Does.COMPUTED)

    change = _change(writes, shape, 2 * shape.layers, None)
    return Column(experiment.base.value, _cells(parts, writes, (), shape, untouched), change)


def _cells(
    parts: Sequence[Part],
    writes: Sequence[Value | Recorded],
    record: Sequence[Address],
    shape: ModelShape,
    untouched: Callable[[Part], Cell],
) -> dict[Part, Cell]:
    found: dict[Part, Cell] = {}
    for part in parts:
        here = [write for write in writes if covers(write.address.node, part, shape)]
        read = [address for address in record if covers(address.node, part, shape)]
        cell = _written(part, here) if here else untouched(part)
        if read:
            does = Does.FROZEN if cell.does is Does.IDLE else cell.does
            cell = Cell(does, cell.source, cell.put, recorded=True, ports=_ports(part, read))
        found[part] = cell
    return found


def _written(part: Part, writes: Sequence[Value | Recorded]) -> Cell:
    source = next((write.source for write in writes if isinstance(write, Value)), None)
    if any(isinstance(write, Value) and not write.address.ports for write in writes):
        return Cell(Does.REPLACED, source)
    return Cell(Does.PUT, source, _ports(part, [write.address for write in writes]))


def _ports(part: Part, addresses: Iterable[Address]) -> tuple[Port, ...]:
    """The ports that are meant, in the order q, k, v; () for a part that has none."""
    if part.side is not Side.HEADS:
        return ()
    named = {
        port
        for address in addresses
        for port in address.ports or (ALL_PORTS[1:] if isinstance(address.node, KVHead) else ALL_PORTS)
    }
    return tuple(port for port in Port if port in named)


def _reaching(node: Node, shape: ModelShape) -> Node:
    """A node that writes where this one's change arrives: a shared key or value reaches its query heads' outputs."""
    return heads_of(node, shape)[0] if isinstance(node, KVHead) else node


def _change(
    writes: Sequence[Value | Recorded], shape: ModelShape, last: int, first_write: Value | Recorded | None
) -> Change | None:
    """From the first point that a write reaches to `last`; None where all are behind it."""
    first = min(shape.written_at(write.address.node) for write in writes)
    if first > last or all(isinstance(write.address.node, Logits) for write in writes):
        return None
    match first_write:
        case Value(_, source):
            return Change(first, last, Does.REPLACED, source)
        case Recorded():
            return Change(first, last, Does.PUT, None)
        case None:
            return Change(first, last, Does.RECOMPUTED, None)

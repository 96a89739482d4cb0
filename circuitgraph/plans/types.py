"""The logical plan: what is done for each experiment, as data that can be printed, hashed and compared.

An edge has one isolation, so its three stages are: cache, that isolation, propagate.
A node has none, a chain one per hop, a set none but swaps. A whole circuit is the set of all edges outside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from circuitgraph.graph.claims import Base, Counterfactual, Mean, Prune, Resample, Source, Zero
from circuitgraph.nodes import Address, Position
from circuitgraph.showing import Shown
from circuitgraph.spec.model import BaseRun

__all__ = [
    "Base", "Counterfactual", "Experiment", "Free", "Isolate", "Mean", "Plan", "Propagate",
    "Prune", "Recorded", "Resample", "Source", "Swap", "Value", "Write", "Zero",
]  # fmt: skip


class Free(StrEnum):
    """What is recomputed while a sender is isolated; everything else is frozen at the base run."""

    NONE = "none"
    MLPS = "mlps"


@dataclass(frozen=True, slots=True)
class Value:
    """Set the output of `address` to its value in `source`, but not at the positions in `kept`."""

    address: Address
    source: Source
    kept: tuple[Position, ...] = ()


@dataclass(frozen=True, slots=True)
class Recorded:
    """Set the input of `address` to what isolation number `isolation` recorded there."""

    address: Address
    isolation: int


@dataclass(frozen=True, slots=True)
class Swap:
    """Add to the input at `port`, for each sender: its write in `source` − its write in this run.

    `kept`, one entry for each sender if there are any: positions at which it keeps its write in this run.
    """

    senders: tuple[Address, ...]
    port: Address
    source: Source
    kept: tuple[tuple[Position, ...], ...] = ()


Write = Value | Recorded | Swap


@dataclass(frozen=True, slots=True)
class Isolate:
    """Stage 2: a run in which only the written nodes (and what is `free`) differ from the base run."""

    writes: tuple[Value | Recorded, ...]
    free: Free
    record: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Propagate:
    """Stage 3: the base run with these writes and everything downstream free; the metric is read here."""

    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class Experiment:
    """One measured number per prompt pair. `id` hashes what decides it; `label` is for people."""

    id: str
    kind: str
    label: str
    base: BaseRun
    isolations: tuple[Isolate, ...]
    propagate: Propagate
    repeat: int = 1

    @property
    def writes(self) -> tuple[Write, ...]:
        """Everything that is written, stage by stage."""
        return (*(write for isolation in self.isolations for write in isolation.writes), *self.propagate.writes)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The distinct sources this experiment takes values from."""
        found: list[Source] = []
        for write in self.writes:
            if not isinstance(write, Recorded) and write.source not in found:
                found.append(write.source)
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Plan(Shown):
    """All experiments of a spec, in the order in which it names them."""

    name: str
    experiments: tuple[Experiment, ...]

"""What a discovery found: every edge or node with its effect, what was kept, and the spec made of it. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from circuitgraph.showing import Shown
from circuitgraph.spec.model import CircuitSpec, DiscoverSection


@dataclass(frozen=True, slots=True)
class Found:
    """One edge (sender and receiver) or node (sender alone) that was looked at, in canonical text.

    `effect` is in the metric's units, a mean over the discovery pairs. `effects`: mean of metric(patched) −
    metric(base) when it alone is patched. `acdc`: D(without it) − D(with it) when its turn came; None if it went
    without a run, because its receiver no longer led to the logits.
    """

    sender: str
    receiver: str | None
    effect: float | None
    kept: bool

    @property
    def label(self) -> str:
        """`a2.h1 → a3.h0<q>`, or the node."""
        return self.sender if self.receiver is None else f"{self.sender} → {self.receiver}"

    @property
    def size(self) -> float:
        """|effect|; 0 where nothing was run."""
        return 0.0 if self.effect is None else abs(self.effect)


@dataclass(frozen=True, eq=False)
class Discovery(Shown):
    """A finished search.

    Attributes:
        settings: the method, what was looked at, the threshold: as they were used.
        metric, base: the primary metric's column; the run that was patched.
        metric_base, metric_other: its mean in that run and in the other one (None without one).
        pairs: how many prompt pairs were used; `prompts` says which, `held_out` which others the spec names.
        ranked: everything that was looked at: what was kept first, then by |effect|.
        experiments: how many were run; `acdc` runs none for edges into receivers that are cut off.
        distance: of `acdc`: D of what was kept.
        spec: the circuit found, on prompts held apart; None if nothing was kept.
        path, pairs_path: the files written, if any.
    """

    settings: DiscoverSection
    metric: str
    base: str
    metric_base: float
    metric_other: float | None
    pairs: int
    prompts: str
    held_out: str
    ranked: tuple[Found, ...]
    experiments: int
    distance: float | None
    spec: CircuitSpec | None
    path: Path | None = None
    pairs_path: Path | None = None
    warnings: tuple[str, ...] = ()

    @property
    def kept(self) -> tuple[Found, ...]:
        """What is in the circuit, the largest |effect| first."""
        return tuple(found for found in self.ranked if found.kept)


def in_order(found: list[Found]) -> tuple[Found, ...]:
    """What was kept first, then by |effect|; ties as they were."""
    return tuple(sorted(found, key=lambda one: (not one.kept, -one.size)))

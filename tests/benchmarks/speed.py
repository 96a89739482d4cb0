"""Milliseconds per edge, ours and theirs in turns, and how far apart the numbers are."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from circuitgraph.prompts.pairs import PromptSet
from tests.benchmarks.lens import Lens
from tests.benchmarks.ours import Ours
from tests.benchmarks.report import Table
from tests.benchmarks.rows import Peer, Row, spread
from tests.benchmarks.setting import Prompts, Sides
from tests.benchmarks.timing import SHAPES, Clock, Shape, peak, seconds

COLUMNS = (
    "edges",
    "timed",
    "ms/edge",
    "TransformerLens",
    "ratio",
    "target",
    "÷ literal",
    "÷ forward",
    "GFLOP/edge",
    "of peak",
    "apart",
    "effect",
)
LEGEND = """\
timed             how many of the edges were measured together, evenly chosen
TransformerLens   ms per edge: get_act_patch_direct_path, one hooked forward pass, or node patching
ratio, target     theirs / ours, and what it should be at 8 × 16 on two CPU cores
÷ literal         the literal executor / ours
÷ forward         a plain forward pass of TransformerLens over the same prompts / ours: edges in the time of one pass
of peak           matrix products of the whole measurement (stages 2 and 3, metric) / its time / the fastest product;
                  0.7 or more where products are what an edge costs
apart             largest |ours − theirs| / max(|metric|, 1) over edges and pairs, TransformerLens and literal executor
effect            largest |effect| among the edges compared
Not timed on either side: loading, and the unpatched runs (both are given cached activations). Both compute in
float32 without gradients, in one process, in turns; medians over rounds."""


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        tokens: of all timed edges together, ours; None = every edge.
        theirs: tokens of the edges TransformerLens is timed with.
        rounds: how often all take their turns.
        products: the matrix products that are timed in each round.
        clock: wall time, or the time of processors.
    """

    tokens: int | None = 432 * 128
    theirs: int = 6 * 128
    rounds: int = 3
    products: Sequence[Shape] = SHAPES
    clock: Clock = time.perf_counter

    def ours_of(self, edges: int, prompts: Prompts) -> int:
        """How many of the edges are timed."""
        return edges if self.tokens is None else max(24, self.tokens // (prompts.pairs * prompts.tokens))

    def theirs_of(self, prompts: Prompts) -> int:
        """How many edges TransformerLens and the literal executor are timed with."""
        return max(3, self.theirs // (prompts.pairs * prompts.tokens))


@dataclass(frozen=True)
class Times:
    """Seconds per edge in one round; of a forward pass; the peak in operations per second."""

    ours: float
    theirs: float
    literal: float
    forward: float
    peak: float


@dataclass(frozen=True)
class Found:
    """One row, measured."""

    row: Row
    edges: int
    timed: int
    times: tuple[Times, ...]
    flops: float
    """Per edge."""
    apart: float
    effect: float

    @property
    def ratio(self) -> float:
        """How many times faster than TransformerLens."""
        return median(t.theirs / t.ours for t in self.times)

    def cells(self, prompts: Prompts) -> list[str]:
        """As COLUMNS."""
        target = "" if self.row.target is None else f"{self.row.target[prompts.late]:g}×"
        return [
            str(self.edges),
            str(self.timed),
            f"{1000 * median(t.ours for t in self.times):.3g}",
            f"{1000 * median(t.theirs for t in self.times):.4g}",
            f"{self.ratio:.3g}×",
            target,
            f"{median(t.literal / t.ours for t in self.times):.3g}×",
            f"{median(t.forward / t.ours for t in self.times):.3g}×",
            f"{self.flops / 1e9:.3g}",
            f"{median(self.flops / t.ours / t.peak for t in self.times):.2f}",
            f"{self.apart:.1e}",
            f"{self.effect:.2g}",
        ]


def table(sides: Sides, prompts: Prompts, rows: tuple[Row, ...], effort: Effort) -> Iterator[Table]:
    """All rows on one set of prompts."""
    found = []
    for row in rows:
        print(f"{prompts}: {row.name}", file=sys.stderr)
        found.append(measure(sides, prompts, row, effort))
    yield Table(str(prompts), ("", *COLUMNS), [[each.row.name, *each.cells(prompts)] for each in found])


def measure(sides: Sides, prompts: Prompts, row: Row, effort: Effort) -> Found:
    """One row: numbers first, which also warms up all sides, then the times."""
    model, made = sides.ours, prompts.made(sides.ours.shape.vocab or 0)
    claims = row.claims(model.shape)
    ours = Ours(model, made, spread(claims, effort.ours_of(len(claims), prompts)))
    few = Ours(model, made, spread(claims, effort.theirs_of(prompts)))
    peer = _PeerTurn(sides, made, row, effort.theirs_of(prompts))
    flops = ours.flops() / len(ours)
    apart, effect = _apart(few.fast(), few.literal(), few.unpatched())
    if row.alike and row.claim is not None:
        same = Ours(model, made, [row.claim(ends) for ends in peer.asked])
        another, more = _apart(same.fast(), peer(), same.unpatched())
        apart, effect = max(apart, another), max(effect, more)
    times = tuple(_round(effort, ours, few, peer, sides.ours.device) for _ in range(effort.rounds))
    return Found(row, len(claims), len(ours), times, flops, apart, effect)


class _PeerTurn:
    """What TransformerLens does in a round."""

    def __init__(self, sides: Sides, made: PromptSet, row: Row, count: int) -> None:
        self.asked = row.asked(sides.ours.shape, count)
        batch = Ours(sides.ours, made, row.claims(sides.ours.shape)[:1]).batch
        self.lens = Lens(sides.theirs, batch)
        self._peer = row.peer

    def __call__(self) -> NDArray[np.float64]:
        match self._peer:
            case Peer.DIRECT:
                return self.lens.direct(self.asked)
            case Peer.LOGITS:
                return self.lens.to_logits(self.asked)
            case Peer.NODES:
                return self.lens.nodes(self.asked)


def _round(effort: Effort, ours: Ours, few: Ours, peer: _PeerTurn, device: torch.device) -> Times:
    clock = effort.clock
    return Times(
        ours=seconds(ours.fast, device, clock) / len(ours),
        theirs=seconds(peer, device, clock) / len(peer.asked),
        literal=seconds(few.literal, device, clock) / len(few),
        forward=seconds(peer.lens.forward, device, clock),
        peak=peak(device, effort.products, clock).flops,
    )


def _apart(ours: NDArray[np.float64], theirs: NDArray[np.float64], base: NDArray[np.float64]) -> tuple[float, float]:
    """Largest deviation, relative to max(|metric|, 1), and largest effect."""
    deviation = np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1)
    return float(deviation.max()), float(np.abs(theirs - base).max())

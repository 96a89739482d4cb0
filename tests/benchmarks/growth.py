"""How the cost of a run grows with edges, pairs, tokens and layers: one of them varied at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from circuitgraph.graph.claims import Claim
from circuitgraph.graph.shape import ModelShape
from circuitgraph.models.bridge import TransformerModel
from tests.benchmarks.ours import Ours
from tests.benchmarks.report import Table
from tests.benchmarks.setting import Prompts
from tests.benchmarks.timing import Clock, seconds
from tests.measuring import edge

COLUMNS = ("ms", "ms/edge", "× base", "counted", "forwards", "counted")
LEGEND = """\
× base     time of all edges / time of the base case
counted    the same of the operations that `circuitgraph plan --explain` adds up (circuitgraph.plans.work)
forwards   time of all edges / time of a plain forward pass over the same prompts, with the logits of every token"""


@dataclass(frozen=True)
class Case:
    """Edges from heads of layer 0 into q of heads of a later layer."""

    edges: int
    pairs: int
    tokens: int
    receiver: int

    def claims(self, shape: ModelShape) -> list[Claim]:
        """Every head of layer 0 in turn, for one receiver after the other."""
        ends = ((sender, receiver) for receiver in range(shape.heads) for sender in range(shape.heads))
        chosen = [next(ends) for _ in range(min(self.edges, shape.heads**2))]
        return [edge(f"a0.h{sender}", f"a{self.receiver}.h{receiver}<q>") for sender, receiver in chosen]


BASE = Case(edges=48, pairs=8, tokens=16, receiver=9)
VARIED = {
    "edges": (24, 48, 96),
    "pairs": (4, 8, 16, 32),
    "tokens": (16, 32, 64),
    "receiver": (1, 4, 7, 9, 10, 11),
}
QUICK = Case(edges=4, pairs=2, tokens=7, receiver=2)
QUICK_VARIED = {"edges": (4, 8), "receiver": (1, 2, 3)}


@dataclass(frozen=True)
class Cost:
    """Seconds and operations: of all edges, without the unpatched runs, and of a plain forward pass."""

    edges: int
    seconds: float
    flops: int
    forward_seconds: float
    forward_flops: int

    def cells(self, base: Cost) -> list[str]:
        """As COLUMNS."""
        return [
            f"{1000 * self.seconds:.0f}",
            f"{1000 * self.seconds / self.edges:.3g}",
            f"{self.seconds / base.seconds:.2f}",
            f"{self.flops / base.flops:.2f}",
            f"{self.seconds / self.forward_seconds:.3g}",
            f"{self.flops / self.forward_flops:.3g}",
        ]


def growth(model: TransformerModel, clock: Clock, *, quick: bool = False) -> Iterator[Table]:
    """One table: the base case once, then what differs from it in one way."""
    base, varied = (QUICK, QUICK_VARIED) if quick else (BASE, VARIED)
    cost_of(model, replace(base, edges=2), clock)  # Warms up.
    known = {base: cost_of(model, base, clock)}
    rows = []
    for name, values in varied.items():
        for value in values:
            case = replace(base, **{name: value})
            print(f"growth: {name} {value}", file=sys.stderr)
            known[case] = known.get(case) or cost_of(model, case, clock)
            label = f"receiver in layer {value}" if name == "receiver" else f"{value} {name}"
            rows.append([label + (" (base)" if case == base else ""), *known[case].cells(known[base])])
    title = (
        f"Growth around {base.edges} edges a0.h* → a{base.receiver}.h*<q>, {base.pairs} pairs × {base.tokens} tokens, "
        "first difference at token 2"
    )
    yield Table(title, ("", *COLUMNS), rows)


def cost_of(model: TransformerModel, case: Case, clock: Clock) -> Cost:
    """Measure one case once; the forward pass is the best of three."""
    prompts = Prompts(case.pairs, case.tokens, late=False).made(model.shape.vocab or 0)
    ours = Ours(model, prompts, case.claims(model.shape))
    forwards = [seconds(lambda: _forward(model, ours), model.device, clock) for _ in range(3)]
    return Cost(len(ours), seconds(ours.fast, model.device, clock), ours.counted, min(forwards), ours.forward)


@torch.no_grad()
def _forward(model: TransformerModel, ours: Ours) -> None:
    model.run(ours.batch.clean)

"""Circuit graphs and made-up rows for the drawing tests: no model, no files."""

from __future__ import annotations

import random
from collections.abc import Callable

from circuitgraph.drawing.scene import Rect
from circuitgraph.graph.claims import (
    ChainClaim,
    CircuitGraph,
    Claim,
    EdgeClaim,
    Group,
    Intervention,
    NodeClaim,
    SetClaim,
    Zero,
    claim_id,
    claim_label,
)
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import parse
from circuitgraph.results.records import Row
from circuitgraph.spec.model import BaseRun, PathKind

USUAL = Intervention()
THROUGH_MLPS = Intervention(path=PathKind.THROUGH_MLPS)
DENOISING = Intervention(base=BaseRun.CORRUPTED)
UNLIKE = Intervention(PathKind.THROUGH_MLPS, BaseRun.CORRUPTED, Zero())


def edge(sender: str, receiver: str, label: str | None = None, how: Intervention = USUAL) -> EdgeClaim:
    return EdgeClaim(tuple(map(parse, sender.split())), tuple(map(parse, receiver.split())), how, label)


def group(name: str, members: str, label: str | None = None, note: str | None = None) -> Group:
    return Group(name, tuple(map(parse, members.split())), label, note)


def graph(*claims: Claim, name: str = "test", shape: ModelShape | None = None, groups: tuple[Group, ...] = (),
          description: str | None = None) -> CircuitGraph:  # fmt: skip
    return CircuitGraph(name, shape or ModelShape(12, 12, 12), groups, claims, description)


def row(claim: Claim, effect: float, half: float | None = 0.1, *, metric: str = "logit_diff", n: int = 64) -> Row:
    """A row whose interval is effect ± half; None = no interval."""
    low, high = (None, None) if half is None else (effect - half, effect + half)
    return Row(claim_id(claim), "edge", claim_label(claim), None, None, None, None, "direct", "clean", "counterfactual",
               metric, 3.5, -3.0, 3.5 + effect, effect, None, half, low, high, n, "literal")  # fmt: skip


def rows(graph: CircuitGraph, seed: int = 0) -> list[Row]:
    """Made-up effects of both signs and very different sizes, some with an interval around 0."""
    draw = random.Random(seed)  # noqa: S311  # made-up numbers
    return [row(claim, draw.choice([1, 1, -1]) * draw.expovariate(1) ** 2 * 0.3, 0.05) for claim in graph.claims]


def mini() -> CircuitGraph:
    """The circuit of a four-layer model: two hops, then the name movers."""
    early, middle, late = ("a0.h1", "a0.h3"), ("a1.h0", "a1.h2"), ("a2.h0", "a2.h3", "a3.h1", "a3.h2")
    claims = [claim for h in early for claim in (edge("input@S2", f"{h}<q>@S2"), edge("input@S1", f"{h}<k,v>@S1"))]
    claims += [edge(f"{a}@S2", f"{b}<v>@S2") for a in early for b in middle]
    claims += [edge(f"{b}@END", f"{m}<q>@END") for b in middle for m in late]
    claims += [claim for m in late for claim in (edge(f"{m}@END", "logits"), edge("input@IO", f"{m}<k,v>@IO"))]
    groups = (
        group("detectors", " ".join(early), "Duplicate detectors", "attend to the earlier mention of a name"),
        group("inhibition", " ".join(middle), "Inhibition heads"),
        group("movers", "a2.h0 a2.h3 a3.h1", "Name movers"),
        group("negative", "a3.h2", "Negative mover"),
    )
    return graph(*claims, name="mini", shape=ModelShape(4, 4, 4), groups=groups, description="Detect, inhibit, move.")


IOI_CLASSES = {
    "previous": "2.2 4.11",
    "duplicate": "0.1 0.10 3.0",
    "induction": "5.5 5.8 5.9 6.9",
    "s_inhibition": "7.3 7.9 8.6 8.10",
    "movers": "9.6 9.9 10.0",
    "backup": "9.0 9.7 10.1 10.2 10.6 10.10 11.2 11.9",
    "negative": "10.7 11.10",
}


def ioi() -> CircuitGraph:
    """The 26 heads of the published circuit in GPT-2 small, every pair of connected classes."""
    claims: list[Claim] = []

    def connect(senders: str, receivers: str, place: str, ports: str) -> None:
        for sender in IOI_CLASSES.get(senders, senders).split():
            for receiver in IOI_CLASSES.get(receivers, receivers).split():
                one = edge(f"{sender}@{place}", f"{receiver}{ports}" + (f"@{place}" if ports else ""))
                if shape.can_reach(one.senders[0].node, one.receivers[0].node):
                    claims.append(one)

    shape = ModelShape(12, 12, 12)
    connect("input", "previous", "S1+1", "<q>")
    connect("input", "previous", "S1", "<k,v>")
    connect("input", "duplicate", "S2", "<q,k,v>")
    connect("previous", "induction", "S1+1", "<k,v>")
    connect("input", "s_inhibition", "END", "<q>")
    connect("induction", "s_inhibition", "S2", "<k,v>")
    connect("duplicate", "s_inhibition", "S2", "<k,v>")
    for late in ("movers", "backup", "negative"):
        connect("s_inhibition", late, "END", "<q>")
        connect("input", late, "IO", "<k,v>")
        connect(late, "logits", "END", "")
    return graph(*claims, name="ioi", shape=shape, groups=tuple(group(n, m) for n, m in IOI_CLASSES.items()))


def mixed() -> CircuitGraph:
    """Parallel blocks, MLPs, shared keys and values, residual boundaries; nodes, a joined edge, a set and a chain."""
    return graph(
        edge("input", "m0"), edge("input", "a0.kv1<k>"), edge("m0", "a1.h2<q>"), edge("m0", "m2"),
        edge("m2", "a3.h5<q,k>"), edge("r3", "a4"), edge("a3.h5", "r5"), edge("a4", "m5"), edge("r5", "a5.h0"),
        edge("m5", "logits"), edge("m0", "logits"),
        edge("input m0", "m5 logits", "joined"),
        NodeClaim((parse("m2"),)),
        NodeClaim((parse("m4"), parse("a3.h5"))),
        SetClaim(((parse("a0.h1"), parse("a4")), (parse("a1.h2"), parse("logits")))),
        ChainClaim((parse("input"), parse("a0.h1<v>"), parse("a3.h5<v>"), parse("logits"))),
        name="mixed", shape=ModelShape(6, 8, 4, parallel=True),
    )  # fmt: skip


def ways() -> CircuitGraph:
    """One edge and one node measured in several ways, a usual edge, and a group whose edges are all unusual."""
    patched = ("a2.h1@END", UNLIKE), ("m5@END", USUAL), ("m5", DENOISING)
    claims: list[Claim] = [NodeClaim((parse(node),), how) for node, how in patched]
    claims += [edge("a0.h0@S2", "a2.h0<v>@S2", how=how) for how in (USUAL, THROUGH_MLPS, DENOISING, UNLIKE)]
    claims += [edge(f"a0.h{i}@S2", f"a2.h{j}<v>@S2", how=THROUGH_MLPS) for i in (1, 2) for j in (1, 2)]
    claims += [edge(f"a2.h{j}@END", to) for j in (0, 1, 2) for to in ("m5@END", "logits")]
    groups = group("early", "a0.h0 a0.h1 a0.h2"), group("late", "a2.h0 a2.h1 a2.h2")
    return graph(*claims, name="ways", groups=groups)


def tangle(edges: int, layers: int, seed: int, positions: tuple[str, ...] = ("@S1", "@S2", "@END")) -> CircuitGraph:
    """Random distinct edges between random heads."""
    draw = random.Random(seed)  # noqa: S311  # made-up numbers
    shape = ModelShape(layers, 16, 16)
    heads = [f"a{layer}.h{draw.randrange(16)}" for layer in range(layers) for _ in range(4)]
    claims: dict[str, Claim] = {}
    while len(claims) < edges:
        sender, receiver = draw.choice(["input", *heads]), draw.choice([*heads, "logits"])
        if shape.can_reach(parse(sender).node, parse(receiver).node):
            port = "" if receiver == "logits" else draw.choice(["", "<q>", "<k>", "<v>", "<k,v>"])
            one = edge(sender + (at := draw.choice(positions)), receiver + port + at)
            claims[claim_id(one)] = one
    return graph(*claims.values(), name="tangle", shape=shape)


NASTY = "<script>alert('x')</script> & \"q\" \\N \\l ]]>\nline two שלום עולם 😀 \x00\x08\ufffe"


def nasty() -> CircuitGraph:
    """Text that breaks careless writers, wherever a user can write text."""
    claims = (
        edge("input@END", "a0.h0<q>@END", NASTY),
        edge("a0.h0@END", "logits", "long " * 80),
        NodeClaim((parse("a0.h0@END"),), label=NASTY),
    )
    groups = (group("g", "a0.h0", NASTY, NASTY), group("h", "a1.h0", "wide " * 40))
    return graph(*claims, name=NASTY + "x" * 300, groups=groups, description=NASTY * 20)


def inside(inner: Rect, outer: Rect) -> bool:
    """Whether a rectangle lies in another."""
    return outer.contains((inner.x, inner.y)) and outer.contains((inner.right, inner.bottom))


GRAPHS: dict[str, Callable[[], CircuitGraph]] = {
    "mini": mini,
    "ioi": ioi,
    "mixed": mixed,
    "ways": ways,
    "nasty": nasty,
    "one": lambda: graph(edge("a5.h5@S2", "a9.h6<q>@S2")),
    "tangle": lambda: tangle(40, 6, 1),
}

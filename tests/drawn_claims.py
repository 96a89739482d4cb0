"""hypothesis strategies: models, prompts, metrics and experiments as any spec could ask for them.

What a spec may not ask for is never drawn, instead of being drawn and thrown away: choices are made from lists of what
`graph.rules` allows. Token ids come from a seed: they are many, and nobody needs to see them shrink.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from hypothesis import strategies as st

from circuitgraph.errors import InputError
from circuitgraph.graph import rules
from circuitgraph.graph.claims import (
    Base,
    ChainClaim,
    Claim,
    Counterfactual,
    EdgeClaim,
    Intervention,
    Mean,
    NodeClaim,
    Prune,
    Resample,
    Source,
    Zero,
)
from circuitgraph.graph.partition import partition_nodes
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import (
    MLP,
    Address,
    Attention,
    Head,
    Input,
    KVHead,
    Logits,
    Neuron,
    Node,
    Port,
    Position,
    Residual,
)
from circuitgraph.plans import circuits
from circuitgraph.plans.build import experiment_of
from circuitgraph.plans.types import Experiment
from circuitgraph.prompts.pairs import Pair, PromptSet
from circuitgraph.spec.model import Align, BaseRun, PathKind, PluginSpec
from tests.measuring import reference_spec
from tests.tiny import FAMILIES, Sizes

SIZES = (Sizes(), Sizes(1, 2, 1, 8, 16, 30), Sizes(2, 3, 1, 4, 20, 37), Sizes(4, 4, 4, 4, 12, 64))
"""Few, so that each model is loaded once: usual; one layer; one shared key; four layers of which none is shared."""
DTYPES = ("float64", "float64", "float64", "float32", "bfloat16")
LENGTHS = (6, 7, 8, 9, 5, 8, 9, 4, 3, 2, 1)
"""In some families a query sees no more than 4 tokens: windows end after and before the first token that changes."""


class ModelChoice(NamedTuple):
    """Which tiny model."""

    family: str
    size: Sizes
    dtype: str


@dataclass(frozen=True)
class Prompts:
    """Pairs and reference prompts, and the positions that all of them have (None = everywhere)."""

    pairs: PromptSet
    reference: PromptSet
    positions: tuple[Position | None, ...]

    @property
    def even(self) -> bool:
        """Whether all prompts have one length."""
        return len({len(pair) for pair in (*self.pairs.pairs, *self.reference.pairs)}) == 1

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt, as its author counts them."""
        return min(len(pair) - pair.start for pair in (*self.pairs.pairs, *self.reference.pairs))


def model_choices(families: Sequence[str] = FAMILIES, dtypes: Sequence[str] = DTYPES) -> st.SearchStrategy[ModelChoice]:
    """A family, a size and a precision."""
    return st.builds(ModelChoice, st.sampled_from(families), st.sampled_from(SIZES), st.sampled_from(dtypes))


# Prompts --------------------------------------------------------------------------------------


@st.composite
def prompts(draw: st.DrawFn, vocab: int) -> Prompts:
    """1–7 pairs of 1–3 lengths, which begin to differ anywhere or nowhere."""
    random = Random(draw(st.integers(0, 2**16)))  # noqa: S311 (no secret)
    lengths = draw(st.lists(st.sampled_from(LENGTHS), min_size=1, max_size=3))
    start = draw(st.integers(0, 1)) if min(lengths) > 1 else 0
    length = st.sampled_from(lengths)
    pairs = [_pair(draw, random, vocab, draw(length), start) for _ in range(draw(st.integers(1, 7)))]
    reference = [_pair(draw, random, vocab, draw(length), start) for _ in range(draw(st.integers(2, 4)))]
    every = (*pairs, *reference)
    candidates = [Position(name, offset) for name in ("END", "A", "B") for offset in (0, 1, -1)]
    candidates += [Position("", index) for index in (0, 1, -1, -2)]
    there = [position for position in candidates if all(_has(pair, position) for pair in every)]
    return Prompts(PromptSet(tuple(pairs)), PromptSet(tuple(reference)), (None, *there))


def _pair(draw: st.DrawFn, random: Random, vocab: int, length: int, start: int) -> Pair:
    clean = [random.randrange(vocab) for _ in range(length)]
    corrupted = list(clean)
    first = draw(st.integers(0, length))
    for at in range(first, draw(st.integers(first, length))):
        corrupted[at] = random.randrange(vocab)
    answers = random.sample(range(vocab), random.choice((2, 2, 3, 4)))
    named = {name: draw(st.integers(0, length - 1)) for name in ("A", "B")}
    split = random.randrange(1, len(answers))
    return Pair(
        tuple(clean),
        tuple(corrupted),
        tuple(answers[:split]),
        tuple(answers[split:]),
        {**named, "END": length - 1},
        start,
    )


def _has(pair: Pair, position: Position) -> bool:
    try:
        pair.index(position)
    except InputError:
        return False
    return True


@st.composite
def metrics(draw: st.DrawFn, some: Prompts) -> tuple[PluginSpec, ...]:
    """1–4 metrics, each read where it likes."""
    kinds = [
        {"name": "logit_diff"},
        {"name": "logit_diff", "reduce": "max"},
        {"name": "logit", "reduce": "max"},
        {"name": "log_prob"},
        {"name": "prob"},
        {"name": "prob_diff"},
        *({"name": "kl", "to": to} for to in ("base", "clean", "corrupted")),
    ]
    where = st.sampled_from([str(position) for position in some.positions if position is not None])
    chosen = draw(st.lists(st.tuples(st.sampled_from(kinds), where), min_size=1, max_size=4))
    return tuple(PluginSpec(**kind, at=at) for kind, at in chosen)


# Experiments ----------------------------------------------------------------------------------


class Scene(NamedTuple):
    """What experiments are drawn for."""

    shape: ModelShape
    prompts: Prompts


@st.composite
def experiments(draw: st.DrawFn, scene: Scene) -> list[Experiment]:
    """One entry of a spec: mostly one experiment, of a sweep one for each token."""
    kind = draw(st.sampled_from(_KINDS))
    return draw(kind(scene))


@st.composite
def _edge(draw: st.DrawFn, scene: Scene) -> list[Experiment]:
    sender, receiver = draw(_ends(scene))
    return [draw(_measured(scene, EdgeClaim((sender,), (receiver,)), (sender,)))]


@st.composite
def _joined(draw: st.DrawFn, scene: Scene) -> list[Experiment]:
    """Joined senders, joined receivers or both: those that take part, as `graph.entries` chooses them."""
    sender, receiver = draw(_ends(scene))
    senders, receivers = [sender], [receiver]
    shape = scene.shape
    for more in draw(st.lists(senders_of(scene), max_size=2)):
        reaches = any(shape.can_reach(more.node, each.node) for each in receivers)
        if reaches and _together(scene, (*senders, more), rules.joint_problem):
            senders.append(more)
    for more in draw(st.lists(receivers_of(scene), max_size=2)):
        reached = any(shape.can_reach(each.node, more.node) for each in senders)
        some = (*receivers, more)
        if reached and _together(scene, some, rules.receivers_problem) and not rules.overwrite_problem(shape, some):
            receivers.append(more)
    return [draw(_measured(scene, EdgeClaim(tuple(senders), tuple(receivers)), senders))]


@st.composite
def _nodes(draw: st.DrawFn, scene: Scene) -> list[Experiment]:
    """A node, or several of any layers."""
    nodes: list[Address] = []
    for node in draw(st.lists(_patched(scene), min_size=1, max_size=3)):
        if _together(scene, (*nodes, node), rules.joint_problem):
            nodes.append(node)
    return [draw(_measured(scene, NodeClaim(tuple(nodes)), nodes))]


@st.composite
def _sweep(draw: st.DrawFn, scene: Scene) -> list[Experiment]:
    """`@each`: a node at every token in turn."""
    node = draw(_patched(scene))
    tokens = range(min(scene.prompts.shortest, 4))
    swept = [node.at(Position("", token)) for token in tokens]
    first = draw(_measured(scene, NodeClaim((swept[0],)), swept))
    how = Intervention(base=first.base, source=first.sources[0])
    return [first, *(experiment_of(NodeClaim((each,), how), scene.shape) for each in swept[1:])]


@st.composite
def _pruned(draw: st.DrawFn, scene: Scene) -> list[Experiment]:
    nodes = [Address(node) for node in _all_nodes(scene.shape) if rules.pruned_problem(Address(node)) is None]
    some: list[Address] = []
    for node in draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=3)):
        if rules.joint_problem(scene.shape, (*some, node)) is None:
            some.append(node)
    how = Intervention(base=draw(st.sampled_from(BaseRun)), source=Prune())
    return [experiment_of(NodeClaim(tuple(some), how), scene.shape)]


@st.composite
def _node_circuit(draw: st.DrawFn, scene: Scene) -> list[Experiment]:
    """Nodes that stay, at some positions, while all others are replaced; or the other way round."""
    nodes = draw(st.lists(st.sampled_from(partition_nodes(scene.shape)), max_size=4, unique=True))
    circuit = {node: () if (at := draw(_position(scene))) is None else (at,) for node in nodes}
    kind = draw(st.sampled_from([circuits.only_nodes, circuits.without_nodes])) if nodes else circuits.only_nodes
    source = draw(_source(scene, [Address(Input())]))
    return [kind(circuit, scene.shape, "circuit", draw(st.sampled_from(BaseRun)), source)]


@st.composite
def _chain(draw: st.DrawFn, scene: Scene) -> list[Experiment]:
    """Two to four nodes, one after the other."""
    hops = list(draw(_ends(scene)))
    for _ in range(draw(st.integers(0, 2))):
        last = hops[-1]
        inner = Address(last.node, last.ports, last.position, draw(_position(scene)))
        later = [node for node in _receiving(scene.shape) if scene.shape.can_reach(last.node, node)]
        if not later or rules.inner_problem(scene.shape, inner) is not None:
            break
        hops[-1:] = [inner, draw(_receiver(scene, later))]
    return [draw(_measured(scene, ChainClaim(tuple(hops)), hops[:1]))]


_KINDS = (_edge, _edge, _joined, _joined, _nodes, _chain, _chain, _sweep, _pruned, _node_circuit)


@st.composite
def _measured(draw: st.DrawFn, scene: Scene, claim: Claim, replaced: Sequence[Address]) -> Experiment:
    """The experiment of a claim, on some base, along some path and with some source."""
    path = PathKind.DIRECT if isinstance(claim, NodeClaim) else draw(st.sampled_from(PathKind))
    how = Intervention(path, draw(st.sampled_from(BaseRun)), draw(_source(scene, replaced)))
    match claim:
        case EdgeClaim(senders, receivers):
            claim = EdgeClaim(senders, receivers, how)
        case NodeClaim(nodes):
            claim = NodeClaim(nodes, how)
        case ChainClaim(hops):
            claim = ChainClaim(hops, how)
    return experiment_of(claim, scene.shape)


@st.composite
def _source(draw: st.DrawFn, scene: Scene, replaced: Sequence[Address]) -> Source:
    """A source that has values for all that is replaced."""
    aligned = [
        align
        for align in (Align.POOLED, Align.NAME, Align.POSITION)
        if all(rules.aligned_problem(address, align) is None for address in replaced)
        and (align is not Align.POSITION or scene.prompts.even)
    ]
    kinds = ["counterfactual", "counterfactual", "zero", "base", *(["mean", "resample"] if aligned else [])]
    kind = draw(st.sampled_from(kinds))
    if kind in ("counterfactual", "zero", "base"):
        return {"counterfactual": Counterfactual(), "zero": Zero(), "base": Base()}[kind]
    reference = reference_spec(draw(st.sampled_from(aligned)), draw(st.sampled_from(BaseRun)))
    if kind == "mean":
        return Mean(reference)
    return Resample(reference, draw(st.integers(1, 2)), draw(st.integers(0, 3)))


# Addresses ------------------------------------------------------------------------------------

_SOME_PORTS = ((), (Port.Q,), (Port.K,), (Port.V,), (Port.K, Port.V))


def _all_nodes(shape: ModelShape) -> list[Node]:
    """Every node of a model; of the neurons, two of each layer."""
    layers = range(shape.layers)
    found: list[Node] = [Input(), Logits()]
    found += [Head(layer, index) for layer in layers for index in range(shape.heads)]
    found += [Attention(layer) for layer in layers]
    found += [KVHead(layer, index) for layer in layers for index in range(shape.kv_heads if shape.grouped else 0)]
    found += [MLP(layer) for layer in layers]
    found += [Neuron(layer, index) for layer in layers for index in (1, 5)]
    found += [Residual(layer) for layer in range(1, shape.layers + 1)]
    found += [Residual(layer, mid=True) for layer in layers]
    return [node for node in found if shape.problem_with(node) is None]


def _sending(shape: ModelShape) -> list[Node]:
    return [node for node in _all_nodes(shape) if rules.sender_problem(shape, Address(node)) is None]


def _receiving(shape: ModelShape) -> list[Node]:
    return [node for node in _all_nodes(shape) if rules.receiver_problem(Address(node)) is None]


def _position(scene: Scene) -> st.SearchStrategy[Position | None]:
    """Everywhere, or one of the positions; the named ones more often than their neighbours."""
    named = [p for p in scene.prompts.positions if p is None or (p.name and not p.offset)]
    return st.sampled_from([None, *named, *scene.prompts.positions])


def senders_of(scene: Scene) -> st.SearchStrategy[Address]:
    """A sender."""
    return st.builds(
        lambda node, position: Address(node, (), position), st.sampled_from(_sending(scene.shape)), _position(scene)
    )


def receivers_of(scene: Scene) -> st.SearchStrategy[Address]:
    """A receiver, with ports and position."""
    return _receiver(scene, _receiving(scene.shape))


@st.composite
def _receiver(draw: st.DrawFn, scene: Scene, nodes: Sequence[Node]) -> Address:
    node = draw(st.sampled_from(nodes))
    ports = [ports for ports in _SOME_PORTS if rules.receiver_problem(Address(node, ports)) is None]
    return Address(node, draw(st.sampled_from(ports)), draw(_position(scene)))


@st.composite
def _ends(draw: st.DrawFn, scene: Scene) -> tuple[Address, Address]:
    """A sender, and a receiver that it can reach."""
    shape = scene.shape
    receiving = _receiving(shape)
    sending = [node for node in _sending(shape) if any(shape.can_reach(node, other) for other in receiving)]
    sender = Address(draw(st.sampled_from(sending)), (), draw(_position(scene)))
    return sender, draw(_receiver(scene, [node for node in receiving if shape.can_reach(sender.node, node)]))


@st.composite
def _patched(draw: st.DrawFn, scene: Scene) -> Address:
    """A node to be patched: its output, or a port, of heads also the pattern."""
    shape = scene.shape
    wanted = [
        Address(node, ports)
        for node in _all_nodes(shape)
        for ports in (*_SOME_PORTS, (Port.PATTERN,))
        if rules.patched_problem(shape, Address(node, ports)) is None
    ]
    chosen = draw(st.sampled_from(wanted))
    return chosen.at(draw(_position(scene)))


def _together(
    scene: Scene, some: Sequence[Address], rule: Callable[[ModelShape, Sequence[Address]], str | None]
) -> bool:
    """Whether ends may be changed together, also where their positions are one token in some pair."""
    for pair in scene.prompts.pairs.pairs:
        tokens = [a if a.position is None else a.at(Position("", pair.index(a.position))) for a in some]
        if rule(scene.shape, tokens) is not None:
            return False
    return rule(scene.shape, some) is None

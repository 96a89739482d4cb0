"""What is said about an experiment around its picture: what it is called, and where its positions lie. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from circuitgraph.errors import InputError
from circuitgraph.graph.claims import Claim, claim_arrow, claim_label
from circuitgraph.graph.shape import ModelShape
from circuitgraph.graph.usual import settings
from circuitgraph.nodes import Position
from circuitgraph.plans.types import Counterfactual, Experiment, Prune
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.unrolled.parts import named


def technique(experiment: Experiment) -> str:
    """`path patching`, `ablation` …: what people call such an experiment."""
    (source, *_) = experiment.sources
    exchanged = isinstance(source, Counterfactual)
    match experiment.kind:
        case "node":
            return "Pruning" if isinstance(source, Prune) else "Activation patching" if exchanged else "Ablation"
        case "chain":
            return "Path patching along a chain" if exchanged else "Ablation along a chain"
        case _:
            return "Path patching" if exchanged else "Edge ablation"


def subtitle(claim: Claim, experiment: Experiment, model: str, shape: ModelShape) -> str:
    """What is measured, how, and on which model."""
    arrow = [] if claim_label(claim) == claim_arrow(claim) else [claim_arrow(claim)]
    how = ", ".join(f"{name}: {value}" for name, value in settings(claim).items())
    heads = f"{shape.layers} layer{'s' * (shape.layers > 1)} × {shape.heads} head{'s' * (shape.heads > 1)}"
    extra = [note for note, there in ((", parallel blocks", shape.parallel), (", no MLPs", not shape.mlps)) if there]
    return "  ·  ".join([technique(experiment), *arrow, how, f"{model}: {heads}{''.join(extra)}"])


def positions(experiment: Experiment, prompts: PromptSet | None) -> list[str]:
    """A sentence for each position that the experiment names: which token it is."""
    found: dict[Position, None] = {}
    for address in named(experiment):
        found.update((place, None) for place in (address.position, address.output) if place is not None)
    if not found:
        return []
    told = "; ".join(f"@{place}: {_where(place, prompts)}" for place in found)
    return [f"{told}. A node at a position is changed there and nowhere else."]


def _where(place: Position, prompts: PromptSet | None) -> str:
    """`token 14 of 15 in every prompt`; the first token of a prompt as written is 0."""
    if prompts is None:
        return "which token, the prompts say, and they could not be read here"
    try:
        indexes = [pair.index(place) - pair.start for pair in prompts.pairs]
    except InputError:
        return "not in every prompt"
    lengths = {len(pair) - pair.start for pair in prompts.pairs}
    last = all(len(pair) - 1 - pair.start == index for pair, index in zip(prompts.pairs, indexes, strict=True))
    if max(indexes) < 0:
        return "the BOS token"
    return f"token {_span(indexes)} of {_span(lengths)}, counted from 0{' (the last)' * last}"


def _span(numbers: Sequence[int] | set[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"

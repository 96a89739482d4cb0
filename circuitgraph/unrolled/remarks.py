"""What is said about an experiment around its picture: what it is called, and where its positions lie. Pure."""

from __future__ import annotations

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
    told = ". ".join(f"@{place} is {_where(place, prompts)}" for place in found)
    counted = "" if prompts is None else "; tokens are counted from 0"
    return [f"{told}. A node at a position is changed there and nowhere else{counted}."]


def _where(place: Position, prompts: PromptSet | None) -> str:
    """`the last token of every prompt`, `token 4 to 8, by prompt`; the first token of a prompt as written is 0."""
    if prompts is None:
        return "named in the prompts, which could not be read here"
    try:
        indexes = {pair.index(place) - pair.start for pair in prompts.pairs}
        last = all(pair.index(place) == len(pair) - 1 for pair in prompts.pairs)
    except InputError:
        return "not in every prompt"
    low, high = min(indexes), max(indexes)
    if high < 0:
        return "the BOS token"
    if low != high:
        return f"the last token of every prompt ({low} to {high})" if last else f"token {low} to {high}, by prompt"
    return f"the last token of every prompt ({low})" if last else f"token {low} of every prompt"

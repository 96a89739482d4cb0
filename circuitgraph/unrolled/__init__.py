"""The picture of one experiment: the model unrolled, once for each stage, as the plan says. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from circuitgraph.drawing.scene import Scene
from circuitgraph.graph.claims import CircuitGraph, Claim, claim_label
from circuitgraph.plans.build import experiment_of
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.unrolled.compose import scene_of
from circuitgraph.unrolled.find import find_claim
from circuitgraph.unrolled.remarks import positions, subtitle
from circuitgraph.unrolled.states import Unrolled, unroll

__all__ = ["Unrolled", "find_claim", "picture", "scene_of", "unroll"]


def picture(
    graph: CircuitGraph,
    claim: Claim,
    metrics: Sequence[str],
    *,
    model: str,
    prompts: PromptSet | None = None,
    title: str | None = None,
) -> Scene:
    """The stages of one claim of a graph as a scene.

    Args:
        metrics: readable names, as `plan` prints them.
        model: what the model is called.
        prompts: say where named positions lie.

    Raises:
        RefusedError: the claim has no stages: its inputs are exchanged in a single run.
    """
    experiment = experiment_of(claim, graph.shape)
    unrolled = unroll(experiment, graph.shape, metrics)
    return scene_of(
        unrolled,
        title=title or claim_label(claim),
        subtitle=subtitle(claim, experiment, model, graph.shape),
        remarks=positions(experiment, prompts),
    )

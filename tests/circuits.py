"""Random circuits on a tiny model, measured in one line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuitgraph.graph.partition import Circuit, NodeCircuit, Positions, partition_edges, partition_nodes
from circuitgraph.graph.shape import ModelShape
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.nodes import Position
from circuitgraph.plans.types import Experiment, Plan
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.results.records import Measured
from tests.measuring import measure_both

EVERYWHERE: tuple[Positions, ...] = ((),)
MIXED: tuple[Positions, ...] = ((), (Position("A"),), (Position("B"), Position("END")))


def random_circuit(shape: ModelShape, seed: int, positions: Sequence[Positions] = EVERYWHERE) -> Circuit:
    """Each edge of the partition with probability 1/2, at one of `positions` by lot."""
    stream = np.random.default_rng(seed)
    chosen = [edge for edge in partition_edges(shape) if stream.random() < 0.5]
    return {edge: positions[int(stream.integers(len(positions)))] for edge in chosen}


def random_nodes(shape: ModelShape, seed: int, positions: Sequence[Positions] = EVERYWHERE) -> NodeCircuit:
    """Likewise for nodes."""
    stream = np.random.default_rng(seed)
    chosen = [node for node in partition_nodes(shape) if stream.random() < 0.5]
    return {node: positions[int(stream.integers(len(positions)))] for node in chosen}


def measure_circuits(
    model: TransformerModel, prompts: PromptSet, *experiments: Experiment, reference: PromptSet | None = None
) -> list[Measured]:
    """Every experiment under the logit difference."""
    return measure_both(model, Plan("test", experiments), prompts, reference=reference)

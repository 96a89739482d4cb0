"""A spec's circuit on a model's shape: frozen values, one claim per experiment. No model, no files, no torch."""

from circuitgraph.graph.build import build_graph, expand
from circuitgraph.graph.claims import CircuitGraph, Claim, claim_id, claim_label
from circuitgraph.graph.shape import ModelShape

__all__ = ["CircuitGraph", "Claim", "ModelShape", "build_graph", "claim_id", "claim_label", "expand"]

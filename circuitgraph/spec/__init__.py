"""A spec file: its model, its loader, its schema. Torch-free, and quick to import."""

from circuitgraph.spec.loader import Reading, load, read_spec
from circuitgraph.spec.model import CircuitSpec
from circuitgraph.spec.source import Place, SpecSource

__all__ = ["CircuitSpec", "Place", "Reading", "SpecSource", "load", "read_spec"]

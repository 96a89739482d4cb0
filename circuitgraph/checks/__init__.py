"""Everything that can be known before a model runs. Torch-free; answers in about a second."""

from circuitgraph.checks.checked import Checked, SpecLike, check

__all__ = ["Checked", "SpecLike", "check"]

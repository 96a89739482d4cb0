"""Everything that can be known before a model runs. Torch-free; answers in about a second."""

from circuitgraph.checks.checked import Checked, check, check_spec

__all__ = ["Checked", "check", "check_spec"]

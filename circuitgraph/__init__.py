"""Write down the circuit you believe in; circuitgraph measures every edge of it and draws what it found."""

from __future__ import annotations

from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circuitgraph.api import (
        attention,
        attribution,
        check,
        compare,
        diagram,
        discover,
        evaluate,
        explain,
        export,
        import_circuit,
        load,
        load_run,
        plan,
        plot,
        render,
        report,
        run,
        test,
    )
    from circuitgraph.comparing.records import Comparison, Comparisons
    from circuitgraph.discovery.records import Discovery
    from circuitgraph.errors import CircuitGraphError, SpecError
    from circuitgraph.graph.claims import CircuitGraph
    from circuitgraph.judging import Verdicts
    from circuitgraph.plans.types import Plan
    from circuitgraph.results.attention import AttentionTable
    from circuitgraph.results.attribution import AttributionTable
    from circuitgraph.results.evaluated import Evaluation
    from circuitgraph.results.records import RunResult
    from circuitgraph.spec.model import CircuitSpec

__version__ = _version("circuitgraph")

_FUNCTIONS = (
    "attention", "attribution", "check", "compare", "diagram", "discover", "evaluate", "explain", "export",
    "import_circuit", "load", "load_run", "plan", "plot", "render", "report", "run", "test",
)  # fmt: skip
_HOME = {
    **dict.fromkeys(_FUNCTIONS, "circuitgraph.api"),
    **dict.fromkeys(("CircuitGraphError", "SpecError"), "circuitgraph.errors"),
    "AttentionTable": "circuitgraph.results.attention",
    "AttributionTable": "circuitgraph.results.attribution",
    "CircuitGraph": "circuitgraph.graph.claims",
    **dict.fromkeys(("Comparison", "Comparisons"), "circuitgraph.comparing.records"),
    "Evaluation": "circuitgraph.results.evaluated",
    "CircuitSpec": "circuitgraph.spec.model",
    "Discovery": "circuitgraph.discovery.records",
    "Plan": "circuitgraph.plans.types",
    "RunResult": "circuitgraph.results.records",
    "Verdicts": "circuitgraph.judging",
}

__all__ = [
    "AttentionTable", "AttributionTable", "CircuitGraph", "CircuitGraphError", "CircuitSpec", "Comparison",
    "Comparisons", "Discovery", "Evaluation", "Plan", "RunResult", "SpecError", "Verdicts",
    "attention", "attribution", "check", "compare", "diagram", "discover", "evaluate", "explain", "export",
    "import_circuit", "load", "load_run", "plan", "plot", "render", "report", "run", "test",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # On first use: `import circuitgraph` alone loads neither pydantic nor torch.
    if name not in _HOME:
        raise AttributeError(f"module 'circuitgraph' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

"""The Python API: load, check, plan, run, test, render. The command line is a thin face over these.

import circuitgraph as cg

spec = cg.load("specs/ioi-mini.yaml")
print(cg.explain(spec))
result = cg.run(spec)
cg.render(result, "circuit.svg")
"""

from circuitgraph.api.exchanging import compare, export, import_circuit
from circuitgraph.api.measuring import attention, attribution, discover, estimating, evaluate, executor_named, run, test
from circuitgraph.api.picturing import check_plot, diagram, draw_stages, drawn_part, plot, render, report, unplotted
from circuitgraph.api.specs import check, explain, load, load_run, plan

__all__ = [
    "attention",
    "attribution",
    "check",
    "check_plot",
    "compare",
    "diagram",
    "discover",
    "draw_stages",
    "drawn_part",
    "estimating",
    "evaluate",
    "executor_named",
    "explain",
    "export",
    "import_circuit",
    "load",
    "load_run",
    "plan",
    "plot",
    "render",
    "report",
    "run",
    "test",
    "unplotted",
]

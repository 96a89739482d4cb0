"""A checked spec -> how it is run, and the memory that takes. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from circuitgraph.catalog import metrics
from circuitgraph.checks import Checked
from circuitgraph.execute.memory import Load
from circuitgraph.execute.settings import DEFAULT
from circuitgraph.plans import PromptShape, build_plan
from circuitgraph.plans.physical import Physical, physical_of
from circuitgraph.plans.schedule import Executor, parts_of

BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
"""Of a number, by dtype."""


def physical_plan(found: Checked, executor: Executor) -> tuple[Physical, int | None]:
    """How a checked spec is run, and the memory this takes beside the model in bytes, where there is enough of it.

    Costs are 0 and the memory is None where the model's sizes or the prompts are not known on this machine.
    """
    plan, names = build_plan(found.graph), [metric.name for metric in found.spec.metrics]
    read = {getattr(metrics.lookup(m.name).read(m.parameters), "position", None) for m in found.spec.metrics}
    prompts = PromptShape(()) if found.prompts is None else PromptShape.of(found.prompts, read=len(read))
    physical = physical_of(plan, found.shape, prompts, executor, _columns(found, names))
    if not physical.forward or found.prompts is None:
        return physical, None
    parts = parts_of(plan, found.shape, prompts, executor)
    sides = 2 if found.prompts.paired else 1
    load = Load.of(found.shape, parts, prompts.lengths, sides, names, BYTES[found.spec.model.dtype])
    return physical, load.predicted(DEFAULT)


def _columns(found: Checked, names: Sequence[str]) -> int | None:
    """Columns of the vocabulary that metrics read for a pair; None = all."""
    if found.prompts is None or not all(metrics.lookup(name).answers_only for name in names):
        return None
    return max(len(pair.answers) + len(pair.wrong_answers) for pair in found.prompts.pairs)

"""Plans: what is done for each experiment, as data. No torch."""

from circuitgraph.plans.build import build_plan, experiment_of
from circuitgraph.plans.cost import Cost, cost_of, describe_cost
from circuitgraph.plans.encode import plan_hash, plan_to_json
from circuitgraph.plans.explain import explain, explain_kinds, explain_plan
from circuitgraph.plans.physical import describe_physical
from circuitgraph.plans.types import Experiment, Plan
from circuitgraph.plans.work import PromptShape

__all__ = [
    "Cost", "Experiment", "Plan", "PromptShape", "build_plan", "cost_of", "describe_cost", "describe_physical",
    "experiment_of", "explain", "explain_kinds", "explain_plan", "plan_hash", "plan_to_json",
]  # fmt: skip

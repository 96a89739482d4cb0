"""The physical plan: its operations against PyTorch's own count, its parts, and what `plan --explain` prints."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from torch.utils.flop_counter import FlopCounterMode

from circuitgraph.execute.bind import bind_batches, bind_metrics
from circuitgraph.execute.fast.executor import FastExecutor, Item
from circuitgraph.execute.fast.needed import needed_sites
from circuitgraph.graph.claims import CircuitGraph, Claim, Mean
from circuitgraph.plans import Plan, PromptShape, build_plan
from circuitgraph.plans import schedule as schedule_module
from circuitgraph.plans.physical import describe_physical, physical_of
from circuitgraph.plans.schedule import Executor, parts_of
from circuitgraph.plans.work import forward_work
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.spec.model import PathKind
from tests.measuring import LOGIT_DIFF, edge, edge_set, node, reference_spec
from tests.tiny import random_prompts

PROMPTS = random_prompts(pairs=4, length=9)
FAMILIES = ("gpt2", "llama", "gpt_neox", "gemma2")

CASES: dict[str, list[Claim]] = {
    "a query": [edge("a0.h1", "a1.h2<q>")],
    "a query at END": [edge("a0.h1", "a1.h2<q>@END")],
    "a query of the last layer": [edge("a0.h1", "a2.h1<q>")],
    "an MLP": [edge("a0.h0", "m1")],
    "logits": [edge("a1.h0", "logits")],
    "a node": [node("a1.h0")],
    "nodes of two layers": [node(["a0.h0", "a1.h2"])],
    "one stream, four receivers": [edge("a0.h0", f"a1.h{i}<q>") for i in range(4)],
    "through MLPs": [edge("a0.h0", "a2.h0<q>", path=PathKind.THROUGH_MLPS)],
}


def plan_of(model, claims) -> Plan:
    return build_plan(CircuitGraph("physical", model.shape, (), tuple(claims)))


def executor_of(model, plan: Plan, prompts: PromptSet) -> FastExecutor:
    metrics = bind_metrics([LOGIT_DIFF])
    (batch,) = bind_batches(plan, prompts, metrics, model.shape, model.device, 64)
    return FastExecutor(model, batch, metrics, sites=needed_sites(plan.experiments, model.shape))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_forward_pass_is_counted_exactly(tiny_model, family):
    model = tiny_model(family)
    (batch,) = bind_batches(Plan("none", ()), PROMPTS, bind_metrics([LOGIT_DIFF]), model.shape, model.device, 64)
    with FlopCounterMode(display=False) as counter:
        model.run(batch.clean)
    assert forward_work(model.shape, PromptShape.of(PROMPTS)) == counter.get_total_flops()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox"])
def test_operations_are_those_that_the_executor_performs(tiny_model, family, case):
    """To 5 %: attention to the tokens before the first that changes is counted for all experiments, not once."""
    model = tiny_model(family)
    plan = plan_of(model, CASES[case])
    executor, items = executor_of(model, plan, PROMPTS), [Item(e, 0) for e in plan.experiments]
    executor.measure(items)  # Keys are laid out for attention once.
    with FlopCounterMode(display=False) as counter:
        executor.measure(items)
    found = physical_of(plan, model.shape, PromptShape.of(PROMPTS), Executor.FAST, columns=2)
    assert not found.literal
    assert found.flops - found.cache == pytest.approx(counter.get_total_flops(), rel=0.05)


def test_what_is_said_not_to_run_changes_nothing(tiny_model):
    """Prompts that are alike up to their end: a sender before the difference cannot change."""
    model = tiny_model("gpt2")
    pairs = [(p.clean, (*p.clean[:-1], (p.clean[-1] + 1) % 50)) for p in PROMPTS.pairs]
    alike = PromptSet(tuple(p.__class__(c, d, (1,), (2,), p.positions) for p, (c, d) in zip(PROMPTS.pairs, pairs)))  # noqa: B905
    plan = plan_of(model, [edge("a0.h1@B", "logits"), edge("a0.h1", "logits"), edge("a0.h1@END", "logits")])
    found = physical_of(plan, model.shape, PromptShape.of(alike), Executor.FAST, columns=2)
    executor = executor_of(model, plan, alike)
    values = executor.measure([Item(e, 0) for e in plan.experiments])[0]
    unchanged = (values == executor.unpatched(plan.experiments[0].base)[0][0]).all(axis=1)
    assert unchanged.tolist() == [True, False, False]
    assert found.idle <= int(np.sum(unchanged))


def test_every_experiment_is_in_one_part_and_the_literal_ones_come_last(tiny_model, monkeypatch):
    model = tiny_model("gpt2")
    claims = [edge_set([("a0.h0", "a1.h0<q>"), ("a0.h0", "logits")])]
    claims += [edge(f"a0.h{i}", f"a2.h{j}<q>") for j in range(3) for i in range(4)]
    claims += [node("a1.h1", source=Mean(reference_spec()))]
    plan, shape = plan_of(model, claims), PromptShape.of(PROMPTS)
    monkeypatch.setattr(schedule_module, "PART_EXPERIMENTS", 4)
    parts = parts_of(plan, model.shape, shape, Executor.AUTO)
    ids = [experiment.id for part in parts for experiment in part.experiments]
    assert sorted(ids) == sorted(experiment.id for experiment in plan.experiments)
    assert [part.executor for part in parts] == [Executor.FAST] * 4 + [Executor.LITERAL]
    assert parts == parts_of(plan, model.shape, shape, Executor.AUTO)
    senders = [[str(e.isolations[0].writes[0].address) for e in part.experiments if e.isolations] for part in parts]
    assert all(len(set(some)) <= 2 for some in senders)  # Experiments of one sender stand together.
    (literal,) = parts_of(plan, model.shape, shape, Executor.LITERAL)[:1]
    assert literal.executor is Executor.LITERAL


def test_the_text_names_what_is_literal_and_why(tiny_model):
    model = tiny_model("gpt2")
    plan = plan_of(model, [edge("a0.h0", "a1.h0<q>"), edge_set([("a0.h0", "a1.h0<q>"), ("a0.h0", "logits")])])
    found = physical_of(plan, model.shape, PromptShape.of(PROMPTS), Executor.AUTO, columns=2)
    text = "\n".join(describe_physical(found, memory=3 * 2**20))
    assert "1 experiment one head mixed again, from r1.mid on" in text
    assert "literal    1 experiment: edges patched together" in text
    assert "memory     about 3 MiB beside the model" in text
    assert "in all" in text
    unknown = physical_of(plan, model.shape, PromptShape(()), Executor.AUTO, columns=None)
    assert "forwards (" not in "\n".join(describe_physical(unknown))


def test_the_command_prints_text_and_json_without_torch():
    script = (
        "import sys\nfrom circuitgraph import cli\n"
        "sys.argv = ['circuitgraph', 'plan', 'specs/all-edges-ioi-mini.yaml', '--explain', *sys.argv[1:]]\n"
        "try:\n    cli.main()\nfinally:\n    assert 'torch' not in sys.modules\n"
    )
    text, data = (
        subprocess.run([sys.executable, "-c", script, *more], capture_output=True, text=True, check=True).stdout
        for more in ([], ["--json"])
    )
    assert "41 experiments at the final stream: a norm and a product with the columns that are read" in text
    run = json.loads(data)["run"]
    assert sum(step["experiments"] for step in run["propagate"]) == 479
    assert run["flops"] > run["forward"] > 0
    assert run["memory"] > 0

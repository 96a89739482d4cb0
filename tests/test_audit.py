"""The audit of the fast executor: what it recomputes, what it tolerates, and how a run ends that it stops."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import circuitgraph as cg
from circuitgraph import prepared
from circuitgraph.errors import AuditError
from circuitgraph.execute.audit import LEAST, MOST, ROUNDINGS, Audit
from circuitgraph.execute.fast.propagate import Stack
from circuitgraph.graph.claims import CircuitGraph, Zero
from circuitgraph.plans import build_plan, schedule
from circuitgraph.plans.routes import start_of
from circuitgraph.plans.types import Experiment
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.results.columns import read_measured
from circuitgraph.spec.kinds import PathKind
from circuitgraph.spec.model import BaseRun
from tests.measuring import edge, node, scale_of
from tests.test_cli import EDGES, NODES, write_spec
from tests.tiny import random_prompts

SET = {"set": [{"sender": "a0.h1", "receiver": "a1.h2<v>"}, {"sender": "m0", "receiver": "logits"}]}


@pytest.fixture
def spec(checkpoint, tmp_path) -> Path:
    return write_spec(tmp_path / "specs", checkpoint("gpt2"))


@pytest.fixture
def broken(monkeypatch) -> None:
    """The fast executor takes a weight of layer 0 for another, by a tenth of a percent; the literal one does not."""
    load = prepared.load

    def loaded(found: Any) -> Any:
        model = load(found)
        layer = model.lean.attention[0]
        object.__setattr__(layer, "weight", 1.001 * layer.weight)
        return model

    monkeypatch.setattr(prepared, "load", loaded)


# A run that is stopped --------------------------------------------------------------------------


@pytest.mark.usefixtures("broken")
def test_a_wrong_number_stops_the_run_and_is_not_kept(circuitgraph, spec, tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "PART_EXPERIMENTS", 1)
    ended = circuitgraph("run", spec, "--out", "run")
    assert (ended.status, ended.out) == (4, "")
    said = re.search(
        r"error: the audit failed: '(\S+ → \S+)', logit_diff, pair (\d): the fast executor says (\S+), "
        r"the literal one (\S+), a deviation of \S+ \(tolerated 1\.0e-09\); nothing of this part was kept",
        ended.err,
    )
    assert said, ended.err
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["status"] == "failed"
    assert "the audit failed" in record["error"]
    assert not (tmp_path / "run/edges.parquet").exists()

    literal = cg.run(spec, executor="literal")
    ids = {row.label: row.id for row in literal.rows}
    assert float(said[4]) == pytest.approx(patched(spec, ids[said[1]], int(said[2])), rel=1e-6)
    assert float(said[3]) != float(said[4])
    for part in (tmp_path / "run/parts").glob("*.parquet"):
        for item in read_measured(part):
            assert item.id != ids[said[1]]
            assert np.abs(item.effect - literal.effects[item.id, "logit_diff"]).max() <= 1e-9 * scale_of(item).max()


def patched(spec: Path, id_: str, pair: int) -> float:
    """The patched metric of one pair (from 1), which a run directory keeps."""
    out = spec.parent / "literal"
    cg.run(spec, out=out, executor="literal")
    return next(float(m.metric_patched[pair - 1]) for m in read_measured(out / "effects.parquet") if m.id == id_)


@pytest.mark.usefixtures("broken")
def test_the_api_raises_and_only_a_default_run_audits(circuitgraph, spec):
    with pytest.raises(AuditError, match=r"the audit failed: .*Run with --executor literal"):
        cg.run(spec)
    assert cg.run(spec, executor="fast").audit is None
    assert cg.run(spec, executor="literal").audit is None
    for executor in ("fast", "literal"):
        ended = circuitgraph("run", spec, "--out", executor, "--executor", executor)
        assert ended.status == 0
        assert "audit" not in ended.err
        assert cg.load_run(executor).audit is None


# What a run says of its audit -------------------------------------------------------------------


def test_what_was_found_is_told_kept_and_read_back(circuitgraph, checkpoint, tmp_path):
    spec = write_spec(tmp_path / "specs", checkpoint("gpt2"), edges=[*EDGES, SET])
    ended = circuitgraph("run", spec, "--out", "run")
    found = cg.load_run("run").audit
    assert found is not None
    assert (found.experiments, found.pairs, found.tolerated) == (6, 5, 1e-9)
    assert 0 <= found.deviation <= 1e-9
    assert found.label in {row.label for row in cg.load_run("run").rows}
    assert json.loads((tmp_path / "run/run.json").read_text())["audit"] == asdict(found)
    assert str(found) in ended.err.splitlines()
    assert re.fullmatch(
        r"audit: 6 experiments recomputed literally on 5 pairs; largest deviation \S+ \(tolerated 1\.0e-09\)",
        str(found),
    )
    said = "1 of 7 experiments was run literally: circuitgraph plan --explain says why"
    assert said in ended.err.splitlines()
    assert cg.run(spec).audit == found


# The sample -------------------------------------------------------------------------------------

SORTS = [
    *(edge(sender, "logits", base=base) for base in BaseRun for sender in ("a0.h1", "a0.h2", "m0", "input")),
    *(edge("a0.h1", f"a1.h{h}<{port}>") for h in range(4) for port in "qkv"),
    *(edge("input", f"a2.h{h}<{port}>", path=PathKind.THROUGH_MLPS) for h in range(4) for port in "qkv"),
    *(node(f"a{layer}.h{h}") for layer in range(3) for h in range(4)),
    *(node(f"m{layer}", source=Zero()) for layer in range(3)),
    edge(["a0.h1", "a0.h2"], ["a1.h0<q>", "a2.h1<k>"]),
]


def sort(experiment: Experiment, shape: Any) -> Any:
    """What a sample must not leave out, said once more: kind, base, sources, what is free, where a run begins."""
    sources = tuple(type(write.source).__name__ for write in experiment.writes if hasattr(write, "source"))
    frees = tuple(isolation.free for isolation in experiment.isolations)
    start = start_of(experiment, shape)
    return experiment.kind, experiment.base, frozenset(sources), frees, start.kind, start.point // 2


def audit_of(model: Any, seed: int, prompts: PromptSet, experiments: list[Experiment]) -> Audit:
    audit = Audit(model, seed)
    audit.choose(experiments, prompts)
    return audit


def test_the_sample_is_drawn_with_the_seed_from_every_sort(tiny_model):
    model, prompts = tiny_model("gpt2"), random_prompts(20, lengths=(7, 9, 8))
    experiments = list(build_plan(CircuitGraph("sorts", model.shape, (), tuple(SORTS))).experiments)
    sorts = {e.id: sort(e, model.shape) for e in experiments}
    assert LEAST < len(set(sorts.values())) <= MOST
    audits = [audit_of(model, seed, prompts, experiments) for seed in (0, 0, 1)]
    assert (audits[0].chosen, audits[0].rows) == (audits[1].chosen, audits[1].rows)
    assert audits[0].chosen != audits[2].chosen
    assert audits[0].rows != audits[2].rows
    for audit in audits:
        assert {sorts[id_] for id_ in audit.chosen} == set(sorts.values())
        assert len(audit.chosen) <= MOST
        assert len(audit.rows) == 8
        assert {min(map(len, prompts.pairs)), max(map(len, prompts.pairs))} <= {
            len(prompts.pairs[i]) for i in audit.rows
        }


@pytest.mark.parametrize(("experiments", "expected"), [(3, 3), (8, 8), (12, 8)])
def test_at_least_eight_are_recomputed_if_there_are_as_many(tiny_model, experiments, expected):
    model = tiny_model("gpt2")
    plan = build_plan(CircuitGraph("nodes", model.shape, (), tuple(SORTS[8 : 8 + experiments])))
    assert len(audit_of(model, 0, random_prompts(3), list(plan.experiments)).chosen) == expected


def test_the_shortest_and_the_longest_pair_are_always_among_them(tiny_model):
    model = tiny_model("gpt2")
    pairs = list(random_prompts(30, length=6).pairs)
    pairs[17], pairs[4] = random_prompts(1, length=3).pairs[0], random_prompts(1, length=11).pairs[0]
    for seed in range(10):
        rows = audit_of(model, seed, PromptSet(tuple(replace(pair) for pair in pairs)), []).rows
        assert {17, 4} <= rows
        assert len(rows) == 8


# Half precision ---------------------------------------------------------------------------------


def test_in_half_precision_what_is_tolerated_is_a_few_roundings(checkpoint, tmp_path, monkeypatch):
    dtype = torch.bfloat16
    model = {"name": str(checkpoint("gpt2")), "dtype": "bfloat16"}
    spec = write_spec(tmp_path, checkpoint("gpt2"), model=model, edges=EDGES, nodes=NODES)
    found = cg.run(spec).audit
    assert found is not None
    assert found.deviation <= found.tolerated
    assert ROUNDINGS * torch.finfo(dtype).eps <= found.tolerated < 1
    finals = Stack.finals
    monkeypatch.setattr(Stack, "finals", lambda self, x, point: -finals(self, x, point))
    with pytest.raises(AuditError):
        cg.run(spec)

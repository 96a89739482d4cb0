"""The example that compares a hypothesis with random edges: like is compared with like."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import circuitgraph as cg
from circuitgraph.graph import build_graph
from examples import random_edges

SPEC = """
version: 1
name: three
model: ioi-mini
prompts: {generator: {name: ioi, n: 4, corruption: swap_s2}}
metrics: [logit_diff]
edges:
  - {sender: a3.h0@END, receiver: logits, base: corrupted}
  - {sender: a3.h1@END, receiver: logits, source: zero}
  - {sender: [a3.h0@END, a3.h1@END], receiver: logits, join: senders, label: both movers}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "three.yaml"
    path.write_text(SPEC)
    return path


def test_random_edges_keep_base_and_source(spec: Path) -> None:
    loaded = cg.load(spec)
    checked = cg.check(loaded)
    edges = random_edges.random_edges(checked, 10, 0)
    assert {(edge.how.base.value, str(edge.how.source)) for edge in edges} == {
        ("corrupted", "counterfactual"),
        ("clean", "zero"),
    }
    entries = [random_edges.entry(edge) for edge in edges]
    again = type(loaded).model_validate({**loaded.model_dump(mode="json"), "edges": entries})
    assert [edge.how for edge in build_graph(again, checked.shape).edges] == [edge.how for edge in edges]


def test_joined_edges_are_left_out_and_counted(spec: Path, monkeypatch, capsys) -> None:
    spec.write_text(SPEC.replace("source: zero", "path: direct"))  # zero is not executed yet
    monkeypatch.setattr(sys, "argv", ["random_edges.py", str(spec), "--edges", "3"])
    random_edges.main()
    printed = capsys.readouterr().out
    assert "left out: 1 of 3 experiments, which are no single edges" in printed
    assert "both movers" not in printed
    assert "a3.h0@END → logits" in printed

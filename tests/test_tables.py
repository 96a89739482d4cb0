"""The table that `run` prints: ranked, with what is unusual marked and what is doubtful said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from circuitgraph.graph.claims import CircuitGraph, EdgeClaim, claim_id, claim_label
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import parse
from circuitgraph.plans import Plan
from circuitgraph.results import stretched_warning
from circuitgraph.results.records import Measured, Row, RunResult
from circuitgraph.tables import ranked_table

CLAIM = EdgeClaim((parse("a0.h1"),), (parse("a1.h2<q>"),))
ROW = Row(
    id=claim_id(CLAIM), kind="edge", label="a0.h1 → a1.h2<q>", sender="a0.h1", sender_position=None,
    receiver="a1.h2<q>", receiver_position=None, path="direct", base="clean", source="counterfactual",
    metric="logit_diff", metric_base=3.0, metric_other=-1.0, metric_patched=2.5, effect=-0.5, normalized_effect=0.125,
    std_error=0.1, ci_low=-0.7, ci_high=-0.3, n=8, executor="literal",
)  # fmt: skip


def table(*changes: dict[str, Any], top: int = 30, claims: tuple[EdgeClaim, ...] = (CLAIM,)) -> list[str]:
    rows = tuple(replace(ROW, **change) for change in changes)
    graph = CircuitGraph("toy", ModelShape(2, 4, 4), (), claims)
    result = RunResult(graph, Plan("toy", ()), rows, {(ROW.id, "logit_diff"): np.zeros(8)}, {}, ("logit_diff",))
    return ranked_table(result, top).splitlines()


def test_the_largest_effect_comes_first_with_five_digits():
    lines = table({"label": "small", "effect": 0.00123456}, {"label": "large", "effect": -16.56789})
    assert lines[0] == "logit_diff: 3 in the clean run, 8 pairs; -1 in the other run (gap -4)"
    assert lines[-2].split()[:2] == ["large", "-16.568"]
    assert lines[-1].split()[:2] == ["small", "+0.001"]


def test_tiny_effects_keep_their_digits():
    assert table({"effect": 0.000012345678})[-1].split("  ")[1].strip() == "+0.000012346"


def test_only_what_is_unusual_is_marked():
    lines = table({"label": "a"}, {"label": "b"}, {"label": "c", "path": "through-mlps"}, {"label": "d", "path": None})
    assert "path: direct, where nothing else is said" in lines
    assert [line.split("  ")[0] for line in lines[-4:]] == ["a", "b", "c (through-mlps)", "d"]


def test_a_label_that_several_experiments_share_is_followed_by_the_edge():
    senders = ("a0.h1", "shared"), ("a0.h2", "shared"), ("a0.h3", "alone"), ("a0.h0", None)
    claims = tuple(EdgeClaim((parse(name),), (parse("logits"),), label=label) for name, label in senders)
    changes = [{"id": claim_id(claim), "label": claim_label(claim)} for claim in claims]
    lines = table(*changes, claims=claims)[-4:]
    assert [line.split("  ")[0] for line in lines] == [
        "shared: a0.h1 → logits",
        "shared: a0.h2 → logits",
        "alone",
        "a0.h0 → logits",
    ]


def test_each_base_has_its_own_line():
    lines = table({}, {"base": "corrupted", "metric_base": -1.0, "metric_other": 3.0})
    assert lines[0].startswith("logit_diff: 3 in the clean run")
    assert lines[1].startswith("logit_diff: -1 in the corrupted run")


def test_doubt_is_said_and_what_is_missing_is_a_dash():
    doubtful, alone = table(
        {"ci_low": -0.7, "ci_high": 0.1}, {"effect": 0.1, "ci_low": None, "ci_high": None, "normalized_effect": None}
    )[-2:]
    assert doubtful.endswith("contains 0")
    assert alone.split()[-2:] == ["–", "–"]


def test_what_is_left_out_is_counted():
    assert table({}, {}, {}, top=1)[-1] == "… 2 more"


def test_nothing():
    assert table() == ["nothing was measured"]


def test_an_interval_beyond_every_pair_is_warned_about():
    base = np.zeros(8)
    measured = Measured(ROW.id, "logit_diff", base, None, np.linspace(-0.8, -0.2, 8))
    inside = replace(ROW, ci_low=-0.7, ci_high=-0.3)
    beyond = replace(ROW, label="far", ci_low=-30.0, ci_high=-0.3)
    cut = replace(ROW, label="cut", interval="bootstrap-t-cut", ci_low=-0.7, ci_high=-0.2)
    assert stretched_warning([inside], [measured]) is None
    assert "the interval of far (logit_diff): it reaches" in (stretched_warning([inside, beyond], [measured]) or "")
    assert "the interval of cut (logit_diff)" in (stretched_warning([inside, cut], [measured]) or "")


def test_intervals_beyond_every_pair_are_counted_for_each_metric():
    base = np.zeros(8)
    measured = [Measured(ROW.id, name, base, None, np.linspace(-0.8, -0.2, 8)) for name in ("logit_diff", "kl")]
    far = replace(ROW, label="far", ci_low=-30.0, ci_high=-0.3)
    rows = [far, replace(far, label="other"), replace(far, metric="kl")]
    assert "of far and 1 more (logit_diff), of far (kl): it" in (stretched_warning(rows, measured) or "")

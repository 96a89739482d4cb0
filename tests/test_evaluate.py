"""`evaluate`: what its numbers are, against plain arithmetic, and what it prints and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import circuitgraph as cg
from circuitgraph.evaluation.agenda import agenda_of
from circuitgraph.evaluation.aim import Aim, aim_of
from circuitgraph.evaluation.curve import areas, mib_counts
from circuitgraph.evaluation.drops import drops_of
from circuitgraph.evaluation.expected import judged, region_of
from circuitgraph.evaluation.random_circuits import all_fixed, random_circuits, without_alternative
from circuitgraph.evaluation.text import report
from circuitgraph.graph.claims import Counterfactual, Group
from circuitgraph.graph.partition import PartitionEdge, partition_edges
from circuitgraph.graph.shape import ModelShape
from circuitgraph.models.loading import load_model
from circuitgraph.models.locate import Location
from circuitgraph.nodes import MLP, Head, Logits, Port, Position, parse
from circuitgraph.results.evaluated import CurveKind, Evaluation, MetricScores, Scored, Share
from circuitgraph.spec.model import BaseRun, CircuitExpectSpec, ExpectSpec, Of
from circuitgraph.stats import Verdict
from tests.circuits import measure_circuits
from tests.measuring import edge, measure_all
from tests.tiny import TELLING, random_prompts

IOI_MINI = Path(__file__).parents[1] / "specs" / "ioi-mini.yaml"
SMALL = ModelShape(2, 2, 2)
END, S2 = Position("END"), Position("S2")


# Arithmetic -------------------------------------------------------------------------------------


def test_areas_worked_by_hand():
    """F = 0, 0.5, 1.2, 1 at k = 0, 0.1, 0.5, 1.

    CPR = 0.1·0.25 + 0.4·0.85 + 0.5·1.1 = 0.915; |1 − F| = 1, 0.5, 0.2, 0: CMD = 0.1·0.75 + 0.4·0.35 + 0.5·0.1 = 0.265.
    """
    cpr, cmd = areas([0, 0.1, 0.5, 1], [0, 0.5, 1.2, 1])
    assert cpr == pytest.approx(0.915)
    assert cmd == pytest.approx(0.265)
    assert areas([0, 1], [1, 1]) == (1, 0)
    assert areas([0, 1], [0, 1]) == (0.5, 0.5)


@pytest.mark.parametrize("shares", [[0, 0.5], [0.1, 1], [0, 0.5, 0.5, 1], [0]])
def test_a_curve_runs_from_nothing_to_everything(shares):
    with pytest.raises(ValueError, match="from share 0 to share 1"):
        areas(shares, [0.0] * len(shares))


def test_the_grid_of_mib():
    assert mib_counts(32_491) == (0, 32, 64, 162, 324, 649, 1624, 3249, 6498, 16245, 32491)
    assert mib_counts(10) == (0, 1, 2, 5, 10)


def test_what_is_expected_becomes_a_region_and_a_verdict():
    assert str(region_of(ExpectSpec(sign="positive"))) == "> 0"
    assert str(region_of(ExpectSpec(at_least=0.9))) == "at least 0.9"
    whole, circuit, rest = (
        Scored(0.0, Share(1.0)),
        Scored(0.0, Share(0.95, 0.92, 0.98)),
        Scored(0.0, Share(0.2, 0, 0.4)),
    )
    scores = MetricScores("m", whole, whole, circuit, rest, (), None, None)
    demanded = CircuitExpectSpec(faithfulness=ExpectSpec(at_least=0.9), completeness=ExpectSpec(within=0.1))
    enough, all_of_it = judged(demanded, scores, 16)
    assert (enough.what, enough.verdict, enough.pairs_needed) == ("faithfulness", Verdict.SUPPORTED, None)
    # 0.2 ± 0.2 has to shrink to clear 0.1: by more than half, so more than four times the pairs.
    assert (all_of_it.what, all_of_it.verdict, all_of_it.pairs_needed) == ("completeness", Verdict.UNDECIDED, 65)
    assert judged(None, scores, 16) == ()


# Drops and random circuits ----------------------------------------------------------------------


def edge_aim(*, groups: tuple[Group, ...] = ()) -> Aim:
    return aim_with(
        {
            PartitionEdge(Head(0, 0), Head(1, 1), Port.Q): (END,),
            PartitionEdge(Head(0, 0), MLP(1)): (S2, END),
            PartitionEdge(Head(1, 1), Logits()): (),
        },
        groups,
    )


def aim_with(circuit: dict[Any, Any], groups: tuple[Group, ...] = (), of: Of = Of.EDGES) -> Aim:
    return Aim("test", of, BaseRun.CLEAN, Counterfactual(), SMALL, circuit, {}, groups)


def test_drops_of_edges_nodes_and_groups():
    groups = tuple(
        Group(name, tuple(map(parse, members)))
        for name, members in {
            "early": ("a0.h0",),
            "there": ("a0.h0@END",),
            "queries": ("a1.h1<q>",),
            "keys": ("a1.h1<k>",),
            "late": ("a1",),
        }.items()
    )  # fmt: skip
    found = {
        f"{d.kind} {d.name}": (d.count, {str(e): at for e, at in d.rest.items()})
        for d in drops_of(edge_aim(groups=groups))
    }
    q, m, out = "a0.h0 → a1.h1<q>", "a0.h0 → m1", "a1.h1 → logits"
    assert found == {
        f"edge {q} @END": (1, {m: (S2, END), out: ()}),
        f"edge {m} @S2, END": (1, {q: (END,), out: ()}),
        f"edge {out}": (1, {q: (END,), m: (S2, END)}),
        "node a0.h0": (2, {out: ()}),
        "node a1.h1": (2, {m: (S2, END)}),
        "node m1": (1, {q: (END,), out: ()}),
        "group early": (2, {out: ()}),
        "group there": (2, {m: (S2,), out: ()}),  # only at END
        "group queries": (1, {m: (S2, END), out: ()}),  # what enters there; nothing enters at <k>
        "group late": (2, {m: (S2, END)}),
    }


def test_random_circuits_are_of_the_same_make_and_reproducible():
    aim = edge_aim()

    def make(circuit: Any) -> list[tuple[str, ...]]:
        return sorted(
            (type(e.sender).__name__, type(e.receiver).__name__, str(e.port), str(at)) for e, at in circuit.items()
        )

    drawn = random_circuits(aim, 50, seed=3)
    assert all(make(circuit) == make(aim.circuit) for circuit in drawn)
    assert drawn == random_circuits(aim, 50, seed=3)
    assert drawn[:10] == random_circuits(aim, 10, seed=3)
    assert drawn != random_circuits(aim, 50, seed=4)
    senders = {str(edge) for circuit in drawn for edge in circuit if isinstance(edge.receiver, Logits)}  # type: ignore[union-attr]
    assert senders == {f"{head} → logits" for head in ("a0.h0", "a0.h1", "a1.h0", "a1.h1")}
    assert without_alternative(aim) == ()


def test_a_kind_without_alternative_is_named():
    alone = aim_with({PartitionEdge(MLP(0), MLP(1)): (), PartitionEdge(Head(0, 0), Logits()): ()})
    assert without_alternative(alone) == ("1 of 1 MLP → MLP",)
    assert not all_fixed(alone)
    everything = aim_with(dict.fromkeys(partition_edges(SMALL), ()))
    assert all_fixed(everything)
    assert agenda_of(everything, 20, 0, CurveKind.NONE).random == ()


@pytest.mark.parametrize("family", TELLING)
@pytest.mark.parametrize("of", list(Of))
def test_the_curve_begins_at_nothing_and_ends_at_everything(tiny_model, family, of):
    """F(∅) = 0, F(everything) = 1, and the last step but one is the circuit itself; in every family."""
    model, prompts = tiny_model(family), random_prompts(3, 6)
    every = Aim("x", of, BaseRun.CLEAN, Counterfactual(), model.shape, {}, {}, ()).every
    whole = Aim("x", of, BaseRun.CLEAN, Counterfactual(), model.shape, dict.fromkeys(every, ()), {}, ())
    full, empty = measure_circuits(model, prompts, whole.alone(whole.circuit, ""), whole.alone({}, ""))
    gap = (full.metric_base - full.metric_other).mean()  # type: ignore[operator]
    assert (full.metric_patched - full.metric_other).mean() / gap == pytest.approx(1, abs=1e-5)  # type: ignore[operator]
    assert (empty.metric_patched - empty.metric_other).mean() / gap == pytest.approx(0, abs=1e-5)  # type: ignore[operator]


@pytest.mark.parametrize(("positions", "whole"), [((), True), ((END,), False)])
def test_a_curve_of_all_edges_ends_at_the_whole_model_only_where_they_are_everywhere(positions, whole):
    """An edge at a position is one edge of the model, but not all of it."""
    every = partition_edges(SMALL)
    ending = every[-1]
    agenda = agenda_of(aim_with({**dict.fromkeys(every, ()), ending: positions}), 0, 0, CurveKind.HYPOTHESIS)
    kept, last = agenda.steps(every)[-1]
    assert kept == len(every)
    assert (last is None) == whole
    assert whole or (last is not None and last.id == agenda.circuit.id)


# The whole of it on ioi-mini ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluated() -> Evaluation:
    torch.set_num_threads(1)
    return cg.evaluate(IOI_MINI, overrides=["prompts.generator.n=8", "model.dtype=float64"], random=3)


def test_shares_are_ratios_of_means(evaluated):
    scores = evaluated.primary
    gap = scores.base.metric - scores.empty.metric
    for scored in (scores.circuit, scores.rest, scores.base, scores.empty):
        assert scored.faithfulness.value == pytest.approx((scored.metric - scores.empty.metric) / gap, abs=1e-12)
    assert scores.base.faithfulness.value == 1
    assert scores.empty.faithfulness.value == 0
    assert 0.9 < scores.faithfulness.value < 1.05
    assert abs(scores.completeness.value) < 0.05
    for share in (scores.faithfulness, scores.completeness):
        assert share.low <= share.value <= share.high


def test_changes_are_differences_of_faithfulness(evaluated):
    scores = evaluated.primary
    sizes = [abs(item.change.value) for item in scores.dropped]
    assert sizes == sorted(sizes, reverse=True)
    assert {item.kind.value for item in scores.dropped} == {"edge", "node", "group"}
    assert sum(item.kind == "edge" for item in scores.dropped) == len(evaluated.parts) == 24
    for item in scores.dropped:
        assert item.change.value == pytest.approx(item.faithfulness.value - scores.faithfulness.value, abs=1e-12)


def test_the_curve_passes_through_the_circuit(evaluated):
    curve, scores = evaluated.primary.curve, evaluated.primary
    assert [point.kept for point in curve.points] == [*range(25), 479]
    assert curve.points[24].faithfulness == scores.faithfulness
    assert curve.points[0].faithfulness.value == 0
    assert curve.points[-1].faithfulness.value == 1
    ranked = [item.name for item in scores.dropped if item.kind == "edge"]
    assert list(curve.ranking) == ranked
    smallest = next(item for item in scores.dropped if item.name == ranked[-1])
    assert curve.points[23].faithfulness == smallest.faithfulness
    assert (curve.cpr, curve.cmd) == areas(
        [p.share for p in curve.points], [p.faithfulness.value for p in curve.points]
    )


def test_random_circuits_do_nothing_of_the_task(evaluated):
    random = evaluated.primary.random
    assert len(random.faithfulness) == 3
    assert random.lowest <= random.median <= random.highest < 0.5
    assert random.below == 1


def test_where_the_numbers_come_from(evaluated):
    origin = evaluated.provenance
    assert len(origin["spec_sha256"]) == len(origin["model_fingerprint"]) == len(origin["prompts_sha256"]) == 64
    assert origin["settings"]["evaluation"] == {"curve": "hypothesis", "circuits": 3, "random_seed": 0}
    assert origin["experiments"] == evaluated.runs < 64  # some steps of the curve are drops already
    json.dumps(evaluated.to_json(), allow_nan=False)
    assert evaluated.warnings == ("only 8 pairs: intervals rest on so few independent samples and may be too narrow",)


# The command ----------------------------------------------------------------------------------------


NODES = {
    "version": 1,
    "name": "nodes",
    "model": "ioi-mini",
    "prompts": {"generator": {"name": "ioi", "n": 8, "seed": 0, "corruption": "swap_s2"}},
    "metrics": [{"name": "logit_diff"}, {"name": "prob"}],
    "intervention": {
        "reference": {
            "prompts": {"generator": {"name": "ioi", "n": 12, "seed": 1, "corruption": "abc"}},
            "side": "corrupted",
            "align": "pooled",
        }
    },
    "groups": {"movers": ["a3.h0", "a3.h1"]},
    "edges": [
        {"sender": "a0.h0@S2", "receiver": "a2.h0<v>@S2"},
        {"sender": "a2.h0@END", "receiver": "movers<q>@END"},
        {"sender": "movers@END", "receiver": "logits"},
    ],
    "circuit": {"of": "nodes", "keep": ["input", "m*"], "source": "mean", "random": {"circuits": 2}},
}


def written(path: Path, **changes: Any) -> Path:
    path.write_text(yaml.safe_dump({**NODES, **changes}, sort_keys=False))
    return path


def test_a_node_circuit_with_kept_nodes_and_means(circuitgraph, tmp_path):
    expect = {"faithfulness": {"at_least": 0.99}}
    spec = written(tmp_path / "nodes.yaml", circuit={**NODES["circuit"], "expect": expect})
    ended = circuitgraph("evaluate", spec, "--curve", "all", "-o", "report.json")
    assert ended.status == 0
    assert "nodes: 4 of the model's 16 nodes; kept in every run: input, m0, m1, m2, m3" in ended.out
    assert "what is outside the circuit carries: mean" in ended.out
    assert "empty circuit (what is kept alone)" in ended.out
    assert "expected: faithfulness at least 0.99: " in ended.out
    assert "also measured: prob (see --json)" in ended.out
    found = json.loads((tmp_path / "report.json").read_text())
    assert [scores["metric"] for scores in found["metrics"]] == ["logit_diff", "prob"]
    assert {item["kind"] for item in found["metrics"][0]["dropped"]} == {"node", "group"}
    assert found["provenance"]["settings"]["reference"]["size"] == 12
    assert [p["kept"] for p in found["metrics"][0]["curve"]["points"]] == [0, 1, 3, 8, 16]
    assert found["expected"][0]["verdict"] in ("supported", "refuted", "undecided")


def test_json_is_data_and_notes_go_elsewhere(circuitgraph, tmp_path):
    few = ("--random", "0", "--curve", "none", "--json")
    ended = circuitgraph("evaluate", written(tmp_path / "edges.yaml", circuit={}), *few)
    found = json.loads(ended.out)
    assert (ended.status, found["pairs"], found["model_parts"]) == (0, 8, 479)
    assert found["metrics"][0]["curve"] is None
    assert found["metrics"][0]["random"]["faithfulness"] == []
    # The circuit and its complement; 5 edges, 3 heads (without a0.h0 is without its one edge), the movers.
    assert "11 runs over all pairs on ioi-mini: 2 of the circuit, its complement and the empty circuit, 9" in ended.err


def test_the_report(evaluated):
    lines = report(evaluated, 3).splitlines()
    assert lines[0] == "ioi-mini: 24 of the model's 479 edges"
    assert any(line.startswith("circuit alone ") and line.endswith("  faithfulness") for line in lines)
    assert any(line.startswith("circuit knocked out ") and line.endswith("  completeness") for line in lines)
    assert "… 21 more (--top, --json)" in lines
    assert "between 24 and 479 edges nothing was measured: a straight line" in lines
    assert max(map(len, lines)) < 120


def test_no_shares_without_a_gap(circuitgraph, tmp_path):
    """The clean prompt on both sides: the whole model and the empty circuit are one."""
    same = {"clean": [3, 4, 5, 6], "corrupted": [3, 4, 5, 6], "answers": [7], "wrong_answers": [8]}
    spec = written(
        tmp_path / "same.yaml",
        model="ioi-mini",
        prompts={"pairs": [same, {**same, "answers": [9]}, {**same, "answers": [10]}]},
        edges=[{"sender": "a3.h0", "receiver": "logits"}],
        circuit={},
        intervention={},
    )
    ended = circuitgraph("evaluate", spec, "--random", "1")
    assert ended.status == 0
    assert "no shares: the whole model and the empty circuit cannot be told apart: they differ by 0" in ended.out
    assert "random circuits: 1 were run; there are no shares to compare" in ended.out
    assert circuitgraph("evaluate", spec, "--json", "--random", "1").status == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"circuit": {"keep": ["input"]}}, "this circuit is one of edges; leave it out, or write of: nodes"),
        ({"circuit": {"of": "nodes", "keep": ["inputs"]}}, "'inputs' is no node and no group; did you mean 'input'?"),
        ({"circuit": {"of": "nodes", "keep": ["m0.n3"]}}, "m0.n3 sends no edge of the finest partition"),
        ({"circuit": {"of": "nodes", "keep": ["a0.h0<q>"]}}, "a sender has one output and no port; write a0.h0"),
        ({"circuit": {"of": "nodes", "keep": ["m0@S9"]}}, "'S9' is no position of these prompts"),
        ({"circuit": {"source": "mean"}, "intervention": {}}, "source: mean needs a reference set"),
        ({"edges": [{"sender": "m0.n1", "receiver": "logits"}]}, "m0.n1 sends no edge of the finest partition"),
    ],
)
def test_what_is_wrong_is_shown_in_the_file(circuitgraph, tmp_path, changes, message):
    ended = circuitgraph("evaluate", written(tmp_path / "wrong.yaml", **changes))
    assert ended.status == 2
    assert message in ended.err
    assert "wrong.yaml:" in ended.err
    assert "^" in ended.err


def test_a_reference_that_gives_values_at_names_only_is_refused(circuitgraph, tmp_path):
    reference = {**NODES["intervention"]["reference"], "align": "name"}
    ended = circuitgraph("evaluate", written(tmp_path / "named.yaml", intervention={"reference": reference}))
    assert ended.status == 2
    assert "align: name gives values at named positions only, and a circuit as a whole needs them" in ended.err
    aligned = {**reference, "align": "position"}
    ended = circuitgraph("evaluate", written(tmp_path / "aligned.yaml", intervention={"reference": aligned}))
    assert "align: position needs prompts of one length" in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--curve", "hypotheses"), "--curve: 'hypotheses' is no curve; did you mean 'hypothesis'?"),
        (("-o", "report.html"), "an evaluation is written as JSON; let the name end in .json"),
        (("-o", "nowhere/report.json"), "there is no directory nowhere"),
        (("--set", "edges=[]", "--set", "nodes=[a3.h0]"), "a circuit is what edges: add up to, and there are none"),
    ],
)
def test_misuse_is_told_before_anything_runs(circuitgraph, arguments, message):
    ended = circuitgraph("evaluate", IOI_MINI, *arguments)
    assert ended.status == 2
    assert message in ended.err
    assert "runs over all pairs" not in ended.err


@pytest.mark.parametrize("place", ["/proc/report.json", "report.json"])
def test_a_place_that_cannot_be_written_is_told_before_anything_runs(circuitgraph, tmp_path, place):
    (tmp_path / "report.json").mkdir()
    ended = circuitgraph("evaluate", IOI_MINI, "-o", place)
    assert ended.status == 5
    assert f"cannot write {place}: " in ended.err
    assert "runs over all pairs" not in ended.err


def test_ctrl_c_leaves_nothing_behind(circuitgraph, tmp_path, monkeypatch):
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("circuitgraph.evaluation.measure.scores", interrupted)
    arguments = ("--set", "prompts.generator.n=2", "--random", "0", "--curve", "none", "-o", "report.json")
    ended = circuitgraph("evaluate", IOI_MINI, *arguments)
    assert (ended.status, ended.out, ended.err.splitlines()[-1]) == (130, "", "interrupted")
    assert list(tmp_path.iterdir()) == []


def test_keep_that_holds_every_node(tmp_path):
    spec = written(tmp_path / "kept.yaml", circuit={"of": "nodes", "keep": ["a*.h*"]})
    with pytest.raises(cg.CircuitGraphError, match="keep holds every node of the circuit"):
        aim_of(cg.check(spec))


def test_misuse_from_python():
    with pytest.raises(cg.CircuitGraphError, match="'none at all' is no curve"):
        cg.evaluate(IOI_MINI, curve="none at all")
    with pytest.raises(cg.CircuitGraphError, match="random is a number of circuits, not -1"):
        cg.evaluate(IOI_MINI, random=-1)


def test_every_edge_by_itself_ranks_the_curve(checkpoint, tmp_path):
    """The ranking against the effect of each edge, written as text and measured as an edge of a spec is."""
    prompts = random_prompts(4, 6)
    pairs = [
        {"clean": list(p.clean), "corrupted": list(p.corrupted or ()), "answers": list(p.answers),
         "wrong_answers": list(p.wrong_answers)} for p in prompts.pairs
    ]  # fmt: skip
    model = {"name": str(checkpoint("tl_attention_only")), "dtype": "float64"}
    spec = written(
        tmp_path / "all.yaml",
        model=model,
        prompts={"pairs": pairs},
        metrics=["logit_diff"],
        intervention={},
        edges=[{"sender": "a0.h0", "receiver": "logits"}],
        groups={},
        circuit={"random": {"circuits": 0}},
    )
    curve = cg.evaluate(spec, curve="all").primary.curve
    assert curve is not None
    # input: 36 ports and logits; heads of layer 0: 24 and 1, of layer 1: 12 and 1, of layer 2: 1.
    assert len(curve.ranking) == 37 + 4 * 25 + 4 * 13 + 4 * 1 == 193
    loaded = load_model(Location("directory", "x", checkpoint("tl_attention_only")), dtype="float64", device="cpu")
    claims = [edge(*name.split(" → ")) for name in curve.ranking]
    sizes = [abs(float(found.effect.mean())) for found in measure_all(loaded, claims, prompts)]
    assert sizes == sorted(sizes, reverse=True)
    assert [point.kept for point in curve.points] == [0, 1, 3, 9, 19, 38, 96, 193]

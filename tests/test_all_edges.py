"""`edges: all`: which edges it stands for, its short forms, and what the commands make of very many edges."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitgraph.checks import check
from circuitgraph.discovery.ranking import claims_of
from circuitgraph.drawing import render, scene, svg, what_is_drawn
from circuitgraph.drawing.strongest import MOST_ARROWS, shown
from circuitgraph.errors import InputError, SpecError
from circuitgraph.graph import build_graph
from circuitgraph.graph.claims import CircuitGraph, EdgeClaim, Intervention, NodeClaim, SetClaim, claim_id
from circuitgraph.graph.partition import PartitionEdge, partition_edges
from circuitgraph.graph.selection import selected_edges
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import MLP, Address, Head, Input, KVHead, Logits, parse
from circuitgraph.plans import build_plan, explain_kinds, explain_plan
from circuitgraph.results import Measured, summarise
from circuitgraph.spec import load
from circuitgraph.spec.dump import dump_spec
from circuitgraph.spec.model import AllSpec, CircuitSpec, Of, PathKind
from circuitgraph.spec.schema import json_schema
from circuitgraph.spec.whole import layers_of
from circuitgraph.stats import intervals, normalized, same_sign, sign_flip_p
from tests.render_graphs import row, rows
from tests.test_cli import write_spec

SPECS = Path(__file__).parents[1] / "specs"
SHAPE = ModelShape(3, 4, 2)
PROMPTS = {"pairs": [{"clean": [1, 2, 3], "corrupted": [1, 4, 3], "answers": [5], "wrong_answers": [6],
                      "positions": {"S": 1}}]}  # fmt: skip


def spec_of(edges: object, **sections: object) -> CircuitSpec:
    model = {"name": "some-org/some-model", "shape": {"layers": 3, "heads": 4, "kv_heads": 2, "vocab": 9}}
    start = {"version": 1, "name": "all", "model": model, "prompts": PROMPTS, "metrics": ["logit_diff"]}
    return CircuitSpec.model_validate({**start, "edges": edges, **sections})


def claims(edges: object, shape: ModelShape = SHAPE, **sections: object) -> tuple[EdgeClaim, ...]:
    return build_graph(spec_of(edges, **sections), shape).edges


# Which edges ------------------------------------------------------------------------------------

KINDS = {Input: "input", Head: "heads", KVHead: "heads", MLP: "mlps", Logits: "logits"}

shapes = st.builds(
    lambda layers, groups, size, mlps, parallel: ModelShape(
        layers, groups * size, groups, mlps=mlps, parallel=parallel
    ),
    *(st.integers(1, 4), st.integers(1, 2), st.integers(1, 2), st.booleans(), st.booleans()),
)


def some(*values: str) -> st.SearchStrategy[list[str] | None]:
    return st.none() | st.lists(st.sampled_from(values), min_size=1, max_size=3)


layer_lists = st.none() | st.lists(
    st.integers(0, 3) | st.sampled_from(["0-1", "1-3", "2-2", "0-3"]), min_size=1, max_size=2
)
filters = st.builds(
    AllSpec,
    senders=some("input", "heads", "mlps"),
    receivers=some("heads", "mlps", "logits"),
    ports=some("q", "k", "v"),
    sender_layers=layer_lists,
    receiver_layers=layer_lists,
)


def is_in(layer: int, written: tuple[int | str, ...]) -> bool:
    """Read another way than `layers_of` does."""
    return any(layer in range(int(str(w)[0]), int(str(w)[-1]) + 1) for w in written)


def is_wanted(edge: PartitionEdge, wanted: AllSpec) -> bool:
    """Each filter on its own: what it does not apply to passes where its kind is named, or nothing is asked."""
    ends = (
        (edge.sender, wanted.senders, wanted.sender_layers),
        (edge.receiver, wanted.receivers, wanted.receiver_layers),
    )
    for node, kinds, layers in ends:
        if kinds is not None and KINDS[type(node)] not in kinds:
            return False
        has_layer = not isinstance(node, Input | Logits)
        if layers is not None and (not is_in(node.layer, layers) if has_layer else kinds is None):
            return False
    if wanted.ports is None:
        return True
    return wanted.receivers is not None if edge.port is None else edge.port.value in wanted.ports


@settings(max_examples=300, deadline=None)
@given(shapes, filters)
def test_filters_leave_what_a_count_by_hand_leaves(shape, wanted):
    selection = selected_edges(wanted, shape)
    expected = tuple(edge for edge in partition_edges(shape) if is_wanted(edge, wanted))
    if selection.problems:
        assert selection.edges == ()
        named = {key for key, _ in selection.problems}
        assert named != {None} or expected == ()
    else:
        assert selection.edges == expected != ()


@pytest.mark.parametrize(
    ("wanted", "edges"),
    [
        ({}, 32_491),
        # 13 senders each below layer 11's heads, times 12 × 3 ports: 1 input + 11 × 13.
        ({"receiver_layers": 11, "receivers": "heads"}, (1 + 11 * 13) * 36),
        ({"receiver_layers": 11, "ports": "q"}, (1 + 11 * 13) * 12),
        ({"senders": "input"}, 12 * 36 + 12 + 1),
        ({"receivers": "logits"}, 1 + 12 * 13),
        ({"receivers": "logits", "sender_layers": "9-11"}, 3 * 13),
        ({"receivers": "logits", "senders": ["input", "heads"], "sender_layers": [0, "9-10"]}, 1 + 3 * 12),
        ({"receivers": ["heads", "logits"], "senders": "input", "ports": ["k", "v"]}, 12 * 24 + 1),
    ],
)
def test_edges_of_gpt2_counted_by_hand(wanted, edges):
    assert len(selected_edges(AllSpec.model_validate(wanted), ModelShape(12, 12, 12)).edges) == edges


def test_all_edges_are_those_that_discover_ranks():
    found = claims("all")
    assert list(map(claim_id, found)) == list(map(claim_id, claims_of(SHAPE, Of.EDGES, Intervention())))
    shared = {str(edge.receivers[0]) for edge in found if edge.receivers[0].ports and edge.receivers[0].node.layer == 1}
    assert shared == {f"a1.h{i}<q>" for i in range(4)} | {f"a1.kv{i}<{port}>" for i in range(2) for port in "kv"}


def test_an_entry_sets_position_and_intervention_of_all_its_edges():
    entry = {"all": {"senders": "input", "receivers": "logits", "at": "S+1"}, "path": "through-mlps", "label": "on"}
    (found,) = claims([entry], intervention={"base": "corrupted"})
    assert (found.senders, found.receivers) == ((parse("input@S+1"),), (parse("logits@S+1"),))
    assert (found.how.path, found.how.base.value, found.label) == (PathKind.THROUGH_MLPS, "corrupted", "on")


def test_entries_stand_beside_others():
    assert len(claims([{"all": {"receivers": "logits"}}, {"sender": "a0.h1@S", "receiver": "m1@S"}])) == 1 + 3 * 5 + 1


def test_what_positions_make_zero_is_a_warning_as_for_patterns():
    found = check(spec_of([{"all": {"senders": "heads", "at": "S"}}]))
    assert [warning for warning in found.warnings if "structurally zero" in warning]
    with pytest.raises(SpecError, match="structurally zero"):
        check(spec_of([{"all": {"receivers": "logits", "at": "S"}}]))


# How it is written ------------------------------------------------------------------------------


def test_layers_and_ranges():
    assert layers_of((3, "0-1", 0, "5-5", "0007-8")) == (0, 1, 3, 5, 7, 8)


HEAD = "version: 1\nname: x\nmodel: ioi-mini\nprompts: {generator: ioi}\nmetrics: [logit_diff]\n"


@pytest.mark.parametrize(
    "text", ["edges: all", "edges: [all]", "edges: [{all: {}}]", "edges:\n- all\n", "edges:\n- all:\n", 'edges: "all"']
)
def test_short_forms_are_one_and_the_same(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(HEAD + text)
    spec = load(path)
    assert spec.edges[0].all == AllSpec()
    assert dump_spec(spec).splitlines()[-1] == "edges: all"
    assert load(path, ["edges.0.all.ports=q", "edges.0.source=zero"]).edges[0].all == AllSpec(ports=("q",))
    assert len(check(path).graph.claims) == 479


def test_a_spec_with_every_key_written_out_is_the_same():
    spec = spec_of(["all", {"sender": "a0.h1@S", "receiver": "m1@S"}])
    assert CircuitSpec.model_validate(spec.model_dump(mode="json", by_alias=True)) == spec


def test_the_dump_of_filters_is_what_a_person_would_write():
    entry = {"all": {"senders": ["input"], "sender_layers": [0, "4-7"], "at": -1}, "base": "corrupted"}
    dumped = dump_spec(spec_of([entry]))
    assert dumped.partition("edges:\n")[2] == (
        "- all:\n    senders: input\n    sender_layers: [0, 4-7]\n    at: '-1'\n  base: corrupted\n"
    )


@settings(deadline=None)
@given(filters)
def test_dumped_filters_load_as_the_same(tmp_path_factory, wanted):
    spec = spec_of([{"all": wanted}, {"all": wanted, "base": "corrupted"}])
    path = tmp_path_factory.getbasetemp() / "filters.yaml"
    path.write_text(dump_spec(spec), encoding="utf-8")
    assert load(path) == spec


@pytest.mark.parametrize(
    ("edges", "valid"),
    [
        ("all", True),
        (["all", {"all": {}}], True),
        ([{"all": {"senders": "heads", "sender_layers": "0-3", "receiver_layers": [1, "2-3"], "ports": ["q"]}}], True),
        ("every", False),
        ([{"all": {"senders": "head"}}], False),
        ([{"all": {"sender_layers": "0..3"}}], False),
        ([{"all": {"sender_layers": -1}}], False),
        ([{"all": {}, "chain": ["a0.h0", "logits"]}], False),
    ],
)
def test_the_schema_knows_it(edges, valid):
    jsonschema = pytest.importorskip("jsonschema")
    data = {**yaml.safe_load(HEAD), "edges": edges}
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(data) is valid


# Very many edges --------------------------------------------------------------------------------


def test_check_and_plan_of_gpt2_are_quick_and_leave_torch_alone():
    code = (
        "import sys, circuitgraph.cli as cli\n"
        "try: cli.main()\n"
        "finally: print('torch' in sys.modules, 'networkx' in sys.modules, file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", code, "plan", str(SPECS / "all-edges-gpt2.yaml")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == "False False"
    assert "--all shows every experiment" in ended.stderr
    assert "32,491 experiments of 15 kinds, one of each is shown" in ended.stdout
    more = [int(number.replace(",", "")) for number in re.findall(r"and ([\d,]+) more like it", ended.stdout)]
    assert sum(more) + 15 == 32_491
    assert len(ended.stdout.splitlines()) < 100


def test_plan_shows_every_experiment_where_that_is_asked(circuitgraph):
    path = str(SPECS / "all-edges-ioi-mini.yaml")
    some, every, data = (circuitgraph("plan", path, *flag).out for flag in ((), ("--all",), ("--json",)))
    assert some.count("propagate  ") == 15
    assert every.count("propagate  ") == 479
    assert len(json.loads(data)["experiments"]) == 479
    few = circuitgraph("plan", path, "--set", "edges.0.all.receivers=logits")
    assert few.out.count("propagate  ") == 21
    assert "--all" not in few.err


def test_one_of_each_kind_tells_settings_and_positions_apart():
    entries = [
        {"all": {"receivers": "logits", "senders": "mlps"}},
        {"all": {"receivers": "logits", "senders": "mlps"}, "source": "zero"},
        {"all": {"receivers": "logits", "senders": "mlps", "at": "END"}},
        {"all": {"receivers": "logits", "senders": "mlps"}, "path": "through-mlps"},
        {"chain": ["m0", "m1", "logits"]},
        {"set": [{"sender": "m0", "receiver": "m1"}, {"sender": "m0", "receiver": "m2"}]},
    ]
    plan = build_plan(build_graph(spec_of(entries, nodes=["m0", "m1", "a0.h0"]), SHAPE))
    said = explain_kinds(plan, ["logit_diff at END"])
    assert said.count("and 2 more like it") == 4
    assert said.endswith("17 experiments of 8 kinds, one of each is shown")
    for block in said.split("\n\n")[:-1]:
        assert re.sub(r"\n     and \d+ more like it", "", block) in explain_plan(plan, ["logit_diff at END"])


@pytest.mark.parametrize("clusters", [None, [f"t{i % 7}" for i in range(64)]], ids=["pairs", "clusters"])
def test_a_table_of_many_rows_has_the_numbers_of_each_row_by_itself(clusters):
    """Bit for bit: however many experiments are summarised together."""
    graph = build_graph(spec_of("all"), ModelShape(4, 4, 4))
    plan, draw = build_plan(graph), np.random.default_rng(0)
    base, other = draw.normal(3, 1, 64), draw.normal(-3, 1, 64)
    sizes = np.exp(draw.normal(-4, 2, len(plan.experiments)))
    measured = [
        Measured(e.id, "m", base, other, base + size * draw.normal(draw.normal(), 1, 64))
        for e, size in zip(plan.experiments, sizes, strict=True)
    ]
    table = summarise(plan, measured, graph, metrics=["m"], clusters=clusters, seed=5)
    assert len(table) > 256  # more than one block
    for found, item in list(zip(table, measured, strict=True))[::24]:
        effect = item.effect[None]
        one = intervals(effect, clusters, seed=5)
        share = normalized(effect, other - base, clusters, seed=5)
        assert (found.effect, found.std_error) == (one.mean[0], one.std_error[0])
        assert (found.ci_low, found.ci_high, found.interval) == (one.low[0], one.high[0], one.method[0])
        assert (found.normalized_effect, found.normalized_ci_low) == (share.value[0], share.low[0])
        assert found.p_value == sign_flip_p(effect, clusters, seed=5)[0]
        assert found.same_sign == same_sign(effect)[0]
        means = (item.metric_base.mean(), other.mean(), item.metric_patched.mean())
        assert (found.metric_base, found.metric_other, found.metric_patched) == means


# Pictures ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many() -> CircuitGraph:
    """More arrows than a picture holds, and two nodes that are patched by themselves."""
    shape = ModelShape(5, 7, 7)
    edges = tuple(EdgeClaim((Address(e.sender),), (e.target,)) for e in partition_edges(shape))
    assert len(edges) > MOST_ARROWS
    return CircuitGraph("many", shape, (), (*edges, NodeClaim((parse("m0"),)), NodeClaim((parse("a0.h0"),))))


def test_of_very_many_edges_the_strongest_are_drawn_and_the_picture_says_so(many):
    found = rows(many)
    part = shown(many, found)
    effects = {one.id: abs(one.effect) for one in found}
    drawn = [effects[claim_id(edge)] for edge in part.graph.edges]
    left_out = [effects[claim_id(edge)] for edge in many.edges if edge not in part.graph.edges]
    assert len(drawn) == MOST_ARROWS
    assert min(drawn) >= max(left_out)
    assert [claim for claim in part.graph.claims if isinstance(claim, NodeClaim)] == list(many.claims[-2:])
    assert part.found.largest == max(effects.values())
    said = f"1,000 strongest of {len(many.edges):,} edges, by |effect| (all others: at most "
    picture = scene(many, found)
    assert part.note is not None
    assert part.note.startswith(f"the {said}")
    assert any(text.text.startswith(f"The {said}") for text in picture.texts)
    assert len(picture.arrows) == MOST_ARROWS
    assert svg(picture).count("data-sender=") == MOST_ARROWS


def test_equal_effects_are_taken_in_the_order_of_the_spec(many):
    part = shown(many, [row(claim, 1.0) for claim in many.claims])
    assert part.graph.edges == many.edges[:MOST_ARROWS]


def test_arrows_are_counted_not_experiments(many):
    """A set has as many arrows as edges; the strongest experiment is drawn whole."""
    pairs = [(edge.senders[0], edge.receivers[0]) for edge in many.edges]
    large, small = SetClaim(tuple(pairs[:900])), SetClaim(tuple(pairs[900:950]))
    both = CircuitGraph("sets", many.shape, (), (large, small, *many.edges[:100]))

    def drawn(of_large: float, of_small: float) -> list[int]:
        effects = {claim_id(large): of_large, claim_id(small): of_small}
        part = shown(both, [row(claim, effects.get(claim_id(claim), 0.1)) for claim in both.claims])
        return [sum(isinstance(claim, kind) for claim in part.graph.claims) for kind in (SetClaim, EdgeClaim)]

    assert drawn(3.0, 2.0) == [2, 50]
    assert drawn(0.01, 2.0) == [1, 100]


def test_up_to_the_limit_everything_is_drawn(many):
    fewer = CircuitGraph("fewer", many.shape, (), many.edges[:MOST_ARROWS])
    part = shown(fewer, rows(fewer))
    assert (part.graph, part.note) == (fewer, None)
    assert shown(fewer, None).graph == fewer


def test_very_many_edges_without_effects_are_no_picture(many, tmp_path):
    with pytest.raises(InputError, match=r"arrows are too many to draw, and without effects none is stronger"):
        render(many, tmp_path / "x.svg")
    render(many, tmp_path / "x.graphml")
    assert (tmp_path / "x.graphml").read_text().count("<edge ") == len(many.edges)


def test_data_hold_all_edges(many, tmp_path):
    found = rows(many)
    render(many, tmp_path / "x.json", rows=found)
    data = json.loads((tmp_path / "x.json").read_text())
    assert len(data["edges"]) == len(many.edges)
    assert len(data["scene"]["arrows"]) == MOST_ARROWS
    assert (what_is_drawn(many, found, "x.json") or "").endswith("; the data are of all")
    assert what_is_drawn(many, found, "x.graphml") is None


def test_run_and_render_say_what_is_drawn(circuitgraph, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("circuitgraph.drawing.strongest.MOST_ARROWS", 2)
    path = write_spec(tmp_path, checkpoint("gpt2"), edges=[{"all": {"receivers": "logits", "at": "END"}}], nodes=[])
    ended = circuitgraph("run", path)
    assert ended.status == 0
    drawn = re.search(r"^drawn: the 2 strongest of (\d+) edges, by \|effect\|", ended.err, re.MULTILINE)
    assert drawn is not None
    assert len(ended.out.splitlines()) > int(drawn[1])
    assert (tmp_path / "runs/tiny/circuit.svg").read_text().count("data-sender=") == 2
    ended = circuitgraph("render", "runs/tiny", "-o", "finding.svg")
    assert ended.err.splitlines()[0] == drawn.string[drawn.start() :].splitlines()[0]
    assert ended.err.splitlines()[1] == "wrote finding.svg"
    assert circuitgraph("render", path, "-o", "x.svg").status == 2

"""Files of other tools: names and edges are theirs, numbers come back as they were, and what has no place is said."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import networkx
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import circuitgraph as cg
from circuitgraph.errors import InputError
from circuitgraph.graph.build import build_graph
from circuitgraph.graph.claims import CircuitGraph, Intervention, NodeClaim, Zero, claim_id, claim_label
from circuitgraph.graph.partition import circuit_of, partition_edges
from circuitgraph.graph.shape import ModelShape
from circuitgraph.interchange.eap import graph_text, read_graph
from circuitgraph.interchange.formats import Format
from circuitgraph.interchange.importing import Imported
from circuitgraph.interchange.jsontext import JsonText
from circuitgraph.interchange.records import Edge, Mark, ScoredGraph, Sizes, all_edges, all_nodes, nodes_of
from circuitgraph.interchange.tables import guarded, unguarded
from circuitgraph.nodes import parse
from circuitgraph.results.records import RunResult
from circuitgraph.spec.model import BaseRun, CircuitSpec
from tests.eap_ig import EapGraph, edge_names, node_names
from tests.render_graphs import DENOISING, THROUGH_MLPS, edge, graph, group, mixed
from tests.runs_by_hand import every_edge, run_of

SMALL = ModelShape(2, 3, 3, d_model=16)
PARALLEL = replace(SMALL, parallel=True)


KINDS = """
version: 1
name: kinds
model: {name: org/model}
prompts: {generator: ioi}
metrics: [logit_diff]
groups: {pair: [a0.h1, a0.h2]}
edges:
  - {sender: "input@S2", receiver: "a0.h1<k,v>@S2"}
  - {sender: a0.h1, receiver: "a1.h2<v>", label: "=named, by hand"}
  - {sender: pair, receiver: logits, join: senders, source: zero}
  - {sender: a0.h0, receiver: ["a1.h0<q>", "a1.h1<q>"], join: receivers, path: through-mlps}
  - {sender: pair@END, receiver: ["a1.h0<q>@END", m1@END], join: both, receivers: add, base: corrupted}
  - {chain: [input, "a0.h1<v>@S2>END", "a1.h2<q>", logits]}
  - {set: [{sender: a0.h1, receiver: "a1.h2<k,v>"}, {sender: m0, receiver: logits}]}
  - {sender: r1, receiver: m1.n3}
nodes:
  - {node: [m0, a1.h1@END], join: senders}
  - {node: a0.h1, prune: true}
  - {node: m1@-1, source: zero, label: last}
"""


def kinds() -> CircuitGraph:
    """Every kind of experiment, in many ways."""
    spec = CircuitSpec.model_validate(yaml.safe_load(KINDS.replace("generator: ioi", "generator: {name: ioi}")))
    return build_graph(spec, ModelShape(2, 3, 3, d_model=16, d_mlp=8))


def effects_of(circuit: CircuitGraph) -> list[float]:
    """Different effects of both signs, no two of a size."""
    return [(-1) ** i * (0.5 + i / 7) for i in range(len(circuit.claims))]


def run_on(circuit: CircuitGraph, **more: object) -> RunResult:
    return run_of(circuit, effects_of(circuit), **more)  # type: ignore[arg-type]  # keywords of run_of


def content_of(path: Path) -> ScoredGraph:
    found = cg.import_circuit(path).content
    assert isinstance(found, ScoredGraph)
    return found


# EAP-IG's graph ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(12, 12, False), (12, 12, True), (1, 1, False), (3, 2, True), (11, 3, False)])
def test_nodes_and_edges_are_those_of_eap_ig_in_its_order(sizes):
    ours = Sizes(*sizes)
    assert [str(node) for node in all_nodes(ours)] == node_names(sizes[0], sizes[1])
    assert [str(edge) for edge in all_edges(ours)] == edge_names(*sizes)


@pytest.mark.parametrize("parallel", [False, True])
def test_they_are_also_the_edges_that_a_run_of_all_edges_measures(parallel):
    shape = replace(SMALL, parallel=parallel)
    theirs = set(all_edges(Sizes(2, 3, parallel)))
    assert {Edge(edge.sender, edge.target) for edge in partition_edges(shape)} == theirs


def test_the_file_for_the_shape_of_gpt2_has_158_nodes_and_32491_edges(tmp_path):
    sizes = Sizes(12, 12, False, 768)
    marks = {edge: Mark(float(i), True) for i, edge in enumerate(all_edges(sizes))}
    text = graph_text(ScoredGraph(sizes, marks), scores_needed=True)
    value = json.loads(text)
    assert list(value["nodes"]) == node_names(12, 12)
    assert len(value["nodes"]) == 158
    assert list(value["edges"]) == edge_names(12, 12, False)
    assert len(value["edges"]) == 32_491
    assert value["cfg"] == {"n_layers": 12, "n_heads": 12, "parallel_attn_mlp": False, "d_model": 768}
    path = tmp_path / "gpt2.json"
    path.write_text(text, encoding="utf-8")
    back, notes = read_graph(JsonText.read(path))
    assert (back.edges, notes) == (marks, ())


def test_a_run_is_read_by_eap_ig_s_rules_as_it_was_measured(tmp_path):
    circuit = every_edge(SMALL)
    result = run_on(circuit)
    path = cg.export(result, tmp_path / "run.json", "eap-json")
    theirs = EapGraph.from_json(path)
    for row in result.rows:
        assert theirs.scores[theirs.cell(f"{row.sender}->{row.receiver}")] == pytest.approx(row.effect, rel=1e-7)
    assert theirs.edges() == set(edge_names(2, 3, False))
    assert all(theirs.nodes_inside.values())
    about = json.loads(path.read_text())["about"]
    assert (about["direction"], about["base"], about["source"]) == ("effect", "clean", "counterfactual")
    assert (about["metric"], about["n"], about["path"]) == ({"name": "logit_diff", "at": "END"}, 64, "direct")


def test_an_edge_that_was_not_measured_is_not_listed_and_no_zero(tmp_path):
    circuit = graph(edge("a0.h1", "a1.h2<v>"), edge("input", "logits"), shape=SMALL)
    path = cg.export(run_of(circuit, [0.5, -0.25]), tmp_path / "two.json", "eap-json")
    value = json.loads(path.read_text())
    assert value["edges"] == {
        "a0.h1->a1.h2<v>": {"score": 0.5, "in_graph": True},
        "input->logits": {"score": -0.25, "in_graph": True},
    }
    inside = {name for name, info in value["nodes"].items() if info["in_graph"]}
    assert inside == {"input", "a0.h1", "a1.h2", "logits"}
    assert "score 0" in value["about"]["not_listed"]


@pytest.mark.parametrize("absolute", [True, False])
def test_mib_ranks_our_edges_by_what_they_do_for_the_metric(absolute, tmp_path):
    """CPR takes the largest scores, CMD the largest sizes: of edges that help, and of all."""
    circuit = every_edge(SMALL)
    result = run_on(circuit)
    theirs = EapGraph.from_json(cg.export(result, tmp_path / "importances.json", "mib"), scores_optional=True)
    value = abs if absolute else float.__neg__
    best = sorted(result.rows, key=lambda row: -value(row.effect))[:5]
    assert theirs.top(5, absolute=absolute) == {f"{row.sender}->{row.receiver}" for row in best}


def test_mib_has_the_other_sign_and_says_so(tmp_path):
    result = run_on(graph(edge("a0.h1", "logits"), shape=SMALL))
    path = cg.export(result, tmp_path / "mib.json", "mib")
    value = json.loads(path.read_text())
    assert value["edges"]["a0.h1->logits"]["score"] == -result.rows[0].effect
    assert value["about"]["direction"] == "importance"
    assert value["about"]["meaning"].startswith("score = metric(base run) − metric(edge patched)")
    same = cg.export(result, tmp_path / "effect.json", "mib", direction="effect")
    assert json.loads(same.read_text())["edges"]["a0.h1->logits"]["score"] == result.rows[0].effect


def test_importance_needs_a_metric_of_which_more_is_better_and_the_clean_run(tmp_path):
    divergence = run_on(graph(edge("a0.h1", "logits"), shape=SMALL), metrics=["kl"])
    with pytest.raises(InputError, match="'kl' it is not known that more is better"):
        cg.export(divergence, tmp_path / "x.json", "mib")
    denoising = run_on(graph(edge("a0.h1", "logits", how=DENOISING), shape=SMALL))
    with pytest.raises(InputError, match="patched the corrupted one"):
        cg.export(denoising, tmp_path / "x.json", "mib")
    for result in (divergence, denoising):
        cg.export(result, tmp_path / "x.json", "mib", direction="effect")
    assert content_of(tmp_path / "x.json").about["base"] == "corrupted"


def test_a_metric_can_be_chosen(tmp_path):
    result = run_on(graph(edge("a0.h1", "logits"), shape=SMALL), metrics=["logit_diff", "prob"])
    found = content_of(cg.export(result, tmp_path / "x.json", "eap-json", metric="prob"))
    assert [mark.score for mark in found.edges.values()] == [2 * result.rows[0].effect]
    assert found.about["metric_label"] == "prob"
    with pytest.raises(InputError, match="'porb' is no metric of this run; did you mean 'prob'"):
        cg.export(result, tmp_path / "x.json", "eap-json", metric="porb")


def test_top_and_threshold_choose_by_size(tmp_path):
    result = run_on(every_edge(SMALL))
    ranked = [f"{row.sender}->{row.receiver}" for row in result.ranked()]
    top = EapGraph.from_json(cg.export(result, tmp_path / "top.json", "eap-json", top=4))
    assert top.edges() == set(ranked[:4])
    least = abs(result.ranked()[6].effect)
    some = EapGraph.from_json(cg.export(result, tmp_path / "some.json", "eap-json", threshold=least))
    assert some.edges() == set(ranked[:7])
    assert np_nonzero(some) == len(result.rows)  # scores of the others are kept
    ends = {end.split("<")[0] for name in some.edges() for end in name.split("->")}
    assert {name for name, inside in some.nodes_inside.items() if inside} == ends - {"logits"}


def np_nonzero(found: EapGraph) -> int:
    return int((found.scores != 0).sum())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"top": 0}, "top is a number from 1 to"),
        ({"top": 100_000}, "top is a number from 1 to"),
        ({"threshold": math.nan}, "threshold is held against |score|, and is a number from 0; not nan"),
        ({"threshold": -0.5}, "a number from 0; not -0.5"),
        ({"threshold": 1e9}, "no |score| is 1e+09 or more; the largest is"),
        ({"top": 1, "threshold": 1.0}, "top or threshold, not both"),
        ({"direction": "efect"}, "'efect' is no direction of scores; did you mean 'effect'"),
        ({"circuit": True}, "a circuit without scores is written as mib"),
    ],
)
def test_choices_that_cannot_be_met(more, said, tmp_path):
    with pytest.raises(InputError) as error:
        cg.export(run_on(every_edge(SMALL)), tmp_path / "x.json", "eap-json", **more)
    assert said in str(error.value)
    assert not list(tmp_path.iterdir())


# What has no place ------------------------------------------------------------------------------


def test_what_has_no_place_is_listed_in_one_message_and_left_out_when_asked(tmp_path):
    result = run_on(mixed())
    with pytest.raises(InputError) as error:
        cg.export(result, tmp_path / "x.json", "eap-json")
    lines = str(error.value).splitlines()
    assert "have no place in eap-json" in lines[0]
    reasons = " ".join(lines)
    for word in ("chains", "sets of edges", "patch nodes", "join several", "query heads share"):
        assert word in reasons, word
    assert not list(tmp_path.iterdir())
    circuit = graph(edge("a0.h1", "logits"), edge("a0.h1@END", "logits"), shape=SMALL)
    said: list[str] = []
    path = cg.export(run_on(circuit), tmp_path / "x.json", "eap-json", drop=True, tell=said.append)
    assert list(json.loads(path.read_text())["edges"]) == ["a0.h1->logits"]
    assert json.loads(path.read_text())["about"]["left_out"] == ["a0.h1@END → logits"]
    assert "left out: 1 experiments" in said[0]
    assert "a0.h1@END → logits" in said[0]


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        (edge("a0.h1", "a1.h2"), "reach several inputs of a head"),
        (edge("a0.h1", "a1.h2<k,v>"), "reach several inputs of a head"),
        (edge("a0.h1", "a1.h2<pattern>"), "or its pattern"),
        (edge("a0.h1", "r1"), "do not go from input, a head or an MLP to"),
        (edge("a0", "logits"), "do not go from input, a head or an MLP to"),
        (edge("m0.n3", "logits"), "do not go from input, a head or an MLP to"),
        (edge("a0.h0", "logits", how=THROUGH_MLPS), "go through MLPs"),
        (edge("a0.h0@END", "logits"), "are at a position"),
        (edge("a0.h0 a0.h1", "logits"), "join several senders"),
    ],
)
def test_edges_that_eap_ig_does_not_have(claim, reason, tmp_path):
    circuit = graph(claim, shape=SMALL)
    for drop in (False, True):  # nothing is left when the only one is dropped
        with pytest.raises(InputError, match=reason):
            cg.export(run_on(circuit), tmp_path / "x.json", "eap-json", drop=drop)


def test_a_path_through_mlps_where_none_lies_between_is_the_direct_one(tmp_path):
    circuit = graph(edge("a0.h0", "m0", how=THROUGH_MLPS), shape=SMALL)
    assert list(content_of(cg.export(run_on(circuit), tmp_path / "x.json", "eap-json")).edges) == [
        Edge(parse("a0.h0").node, parse("m0"))
    ]


def test_shared_keys_have_no_place_and_each_head_s_view_has(tmp_path):
    grouped = ModelShape(2, 4, 2, d_model=16)
    with pytest.raises(InputError, match="there each query head has its own"):
        cg.export(run_on(graph(edge("a0.h1", "a1.kv1<k>"), shape=grouped)), tmp_path / "x.json", "eap-json")
    own = graph(edge("a0.h1", "a1.h3<k>"), shape=grouped)
    assert list(content_of(cg.export(run_on(own), tmp_path / "x.json", "eap-json")).edges) == [
        Edge(parse("a0.h1").node, parse("a1.h3<k>"))
    ]


@pytest.mark.parametrize("other", [DENOISING, Intervention(source=Zero())])
def test_edges_patched_in_different_ways_are_refused(other, tmp_path):
    circuit = graph(edge("a0.h1", "logits"), edge("a0.h0", "logits", how=other), shape=SMALL)
    with pytest.raises(InputError, match=r"the edges differ in (base|source)"):
        cg.export(run_on(circuit), tmp_path / "x.json", "eap-json", drop=True)


def test_a_circuit_without_scores_is_what_mib_reads(tmp_path):
    """Groups, ports, positions and paths through MLPs become the edges of the partition that they stand for."""
    circuit = graph(
        edge("input@S2", "a0.h1@S2"), edge("a0.h1@S2", "a1.h0<v>@S2", how=THROUGH_MLPS), edge("a1.h0@END", "logits"),
        shape=SMALL,
    )  # fmt: skip
    said: list[str] = []
    path = cg.export(run_on(circuit), tmp_path / "circuit.json", "mib", circuit=True, tell=said.append)
    theirs = EapGraph.from_json(path, scores_optional=True)
    assert theirs.edges() == {
        "input->a0.h1<q>", "input->a0.h1<k>", "input->a0.h1<v>", "a0.h1->a1.h0<v>", "a0.h1->m0", "m0->a1.h0<v>",
        "a1.h0->logits",
    }  # fmt: skip
    assert not theirs.scores.any()
    assert "score" not in path.read_text().split('"about"')[0]
    assert "at every token" in said[0]
    with pytest.warns(UserWarning, match="named positions are left out"):  # Python is told as well
        cg.export(run_on(circuit), path, "mib", circuit=True)
    made = cg.import_circuit(path)
    assert any("the circuit had positions, which the file leaves out" in note for note in made.notes)
    grouped = ModelShape(2, 4, 2, d_model=16)
    shared = cg.export(run_on(graph(edge("a0.h1", "a1.kv1<k>"), shape=grouped)), path, "mib", circuit=True)
    assert EapGraph.from_json(shared, scores_optional=True).edges() == {"a0.h1->a1.h2<k>", "a0.h1->a1.h3<k>"}


GROUPED = """{"model_type": "llama", "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
"hidden_size": 16, "vocab_size": 50, "intermediate_size": 32, "max_position_embeddings": 16, "head_dim": 4}"""


@pytest.mark.parametrize("ending", [".json", ".pt"])
def test_a_circuit_with_shared_keys_comes_back_as_it_was(ending, tmp_path):
    """The file has them of each query head; `evaluate` takes the edges to what is shared alone."""
    (tmp_path / "config.json").write_text(GROUPED)
    claims = [edge("a0.h1", "a1.kv1<k>"), edge("m0", "a1.kv0<v>"), edge("a0.h1", "a1.h3<q>"), edge("a1.h3", "logits")]
    circuit = graph(*claims, shape=ModelShape(2, 4, 2, d_model=16))
    path = cg.export(run_on(circuit), tmp_path / f"c{ending}", "mib", circuit=True)
    made = cg.import_circuit(path, model=str(tmp_path))
    assert made.spec is not None
    assert {(each.sender, each.receiver) for each in made.spec.edges} == {
        (("a0.h1",), ("a1.kv1<k>",)), (("m0",), ("a1.kv0<v>",)), (("a0.h1",), ("a1.h3<q>",)), (("a1.h3",), ("logits",)),
    }  # fmt: skip
    assert any("the edges of all of a group are one edge in the spec" in note for note in made.notes)
    assert circuit_of(build_graph(made.spec, circuit.shape)) == circuit_of(circuit)


def test_keys_of_some_heads_of_a_group_are_noted_and_their_scores_are_not_the_group_s(tmp_path):
    (tmp_path / "config.json").write_text(GROUPED)
    claims = [edge("a0.h1", f"a1.h{i}<k>") for i in (0, 1, 2)]
    path = cg.export(run_on(graph(*claims, shape=ModelShape(2, 4, 2, d_model=16))), tmp_path / "s.json", "eap-json")
    made = cg.import_circuit(path, tmp_path / "s.yaml", model=str(tmp_path))
    assert made.spec is not None
    assert [each.receiver for each in made.spec.edges] == [("a1.kv0<k>",), ("a1.h2<k>",)]
    assert any("1 edges reach those of some heads of a group alone, such as a0.h1->a1.h2<k>" in n for n in made.notes)
    assert any("scores of single query heads are none of it" in note for note in made.notes)
    lines = [line for line in made.text.splitlines() if line.startswith("- {sender")]
    assert [" # " in line for line in lines] == [False, True]
    assert (tmp_path / "s.scores.csv").read_text().count("a1.h") == 3
    unknown = cg.import_circuit(path).spec
    assert unknown is not None
    assert len(unknown.edges) == 3


# Import -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [SMALL, PARALLEL], ids=["sequential", "parallel"])
def test_the_spec_of_an_export_measures_the_same_experiments(shape, tmp_path):
    circuit = every_edge(shape)
    path = cg.export(run_on(circuit), tmp_path / "x.json", "eap-json")
    made = cg.import_circuit(path, tmp_path / "x.yaml")
    spec = cg.load(tmp_path / "x.yaml")
    assert made.spec is not None
    assert spec.edges == made.spec.edges
    again = build_graph(spec, shape)
    assert {claim_id(claim) for claim in again.claims} == {claim_id(claim) for claim in circuit.claims}
    assert (spec.model.name, spec.metrics[0].name) == ("org/model", "logit_diff")
    assert spec.prompts.generator is not None
    assert made.written == (tmp_path / "x.yaml", tmp_path / "x.scores.csv")


def test_the_scores_beside_the_spec_have_the_ids_of_its_experiments(tmp_path):
    import pandas

    result = run_on(every_edge(SMALL, Intervention(base=BaseRun.CORRUPTED, source=Zero())))
    path = cg.export(result, tmp_path / "x.json", "eap-json")
    cg.import_circuit(path, tmp_path / "y.yaml", top=3)
    table = pandas.read_csv(tmp_path / "y.scores.csv").set_index("id")
    for row in result.rows:
        assert table.score[row.id] == row.effect
        assert (table.direction[row.id], table.base[row.id], table.source[row.id]) == ("effect", "corrupted", "zero")
    assert table.in_graph.sum() == 3
    spec = cg.load(tmp_path / "y.yaml")
    assert {claim_id(claim) for claim in build_graph(spec, SMALL).claims} == set(table[table.in_graph].index)
    assert (spec.intervention.base, spec.intervention.source) == ("corrupted", "zero")


def test_what_the_file_does_not_say_is_said_in_the_spec(tmp_path):
    """A file as EAP-IG writes it: which difference its scores are depends on the metric that was used."""
    path = tmp_path / "theirs.json"
    value = {
        "cfg": {"n_layers": 2, "n_heads": 3, "parallel_attn_mlp": False, "d_model": 16},
        "nodes": {name: {"in_graph": True} for name in node_names(2, 3)},
        "edges": {name: {"score": 0.25, "in_graph": name == "a0.h1->logits"} for name in edge_names(2, 3, False)},
    }
    path.write_text(json.dumps(value))
    made = cg.import_circuit(path)
    assert made.spec is not None
    assert [edge.sender for edge in made.spec.edges] == [("a0.h1",)]
    assert made.spec.model.name == "name-the-model"
    assert made.spec.model.shape is not None
    assert (made.spec.model.shape.layers, made.spec.model.shape.heads) == (2, 3)
    assert isinstance(made.content, ScoredGraph)
    assert made.content.direction == "unknown"
    for said in ("which model it is", "the file has no prompts", "does not say the metric"):
        assert said in made.text, said
    assert "does not say which difference they are" in made.text
    with pytest.raises(InputError, match="layers: 2, and the model named has 4"):
        cg.import_circuit(path, model="ioi-mini")
    cg.import_circuit(path, tmp_path / "spec.yaml")
    with pytest.raises(cg.SpecError, match="'name-the-model' is no model"):
        cg.check(tmp_path / "spec.yaml")
    told = cg.import_circuit(path, direction="importance").content
    assert isinstance(told, ScoredGraph)
    turned = cg.export(told, tmp_path / "turned.json", "eap-json", direction="effect")
    assert content_of(turned).edges[Edge(parse("a0.h1").node, parse("logits"))] == Mark(-0.25, True)
    with pytest.raises(InputError, match="says itself that its scores are effect, not importance"):
        cg.import_circuit(turned, direction="importance")


def test_an_import_is_a_spec_that_check_accepts(tmp_path):
    shape = ModelShape(4, 4, 4, d_model=64)
    result = run_on(graph(edge("a0.h1", "a2.h0<v>"), edge("m3", "logits"), shape=shape))
    path = cg.export(result, tmp_path / "x.json", "eap-json")
    cg.import_circuit(path, tmp_path / "x.yaml", model="ioi-mini")
    assert len(cg.check(tmp_path / "x.yaml").graph.claims) == 2
    full = cg.export(run_on(every_edge(shape)), tmp_path / "full.json", "eap-json")
    cg.import_circuit(full, tmp_path / "full.yaml", model="ioi-mini")
    assert "\nedges: all\n" in (tmp_path / "full.yaml").read_text()


def test_groups_come_back(tmp_path):
    circuit = graph(edge("a0.h1", "logits"), shape=SMALL, groups=(group("early", "a0.h1 m0"),))
    for name, to in (("x.json", "eap-json"), ("x.graphml", None)):
        spec = cg.import_circuit(cg.export(run_on(circuit), tmp_path / name, to)).spec
        assert spec is not None
        assert spec.groups["early"].nodes[0] == "a0.h1"


# Identity ---------------------------------------------------------------------------------------

numbers = st.floats(allow_nan=False, allow_infinity=False)
sizes = st.builds(Sizes, st.integers(1, 3), st.integers(1, 3), st.booleans(), st.integers(1, 99))


@st.composite
def scored_graphs(draw: st.DrawFn, *, every: bool) -> ScoredGraph:
    """Some edges of a model, or every one, with scores of all sizes."""
    of = draw(sizes)
    edges = list(all_edges(of))
    chosen = edges if every else draw(st.lists(st.sampled_from(edges), min_size=1, max_size=12, unique=True))
    scores = draw(st.lists(numbers, min_size=len(chosen), max_size=len(chosen)))
    inside = draw(st.lists(st.booleans(), min_size=len(chosen), max_size=len(chosen)))
    marks = {edge: Mark(score, yes) for edge, score, yes in zip(chosen, scores, inside, strict=True)}
    marks = {edge: marks[edge] for edge in edges if edge in marks}
    nodes = nodes_of({edge for edge, mark in marks.items() if mark.in_graph}, dict.fromkeys(all_nodes(of), Mark()))
    direction = draw(st.sampled_from(["effect", "importance", "unknown"]))
    texts = draw(st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3))
    return ScoredGraph(of, marks, nodes, {**texts, "direction": direction, "metric": {"name": "logit_diff"}})


def round_trip(value: object, path: Path, to: str, **more: object) -> Imported:
    """Export, import, export: the two files are the same, and so is what was read."""
    notes: list[str] = []
    first = cg.export(value, path, to, tell=notes.append, **more)  # type: ignore[arg-type]  # any content
    bytes_before = first.read_bytes()
    made = cg.import_circuit(first, top=1 if to in ("eap-json", "mib") else None)
    from circuitgraph.interchange.formats import read_file

    content = read_file(first).content
    if isinstance(content, ScoredGraph) and first.suffix == ".pt":  # torch's own bytes hold names of storages
        said = None if content.direction == "unknown" else content.direction
        cg.export(content, path.with_name("again.pt"), to, direction=said, tell=notes.append)
        assert read_file(path.with_name("again.pt")).content == content
        return made
    again = cg.export(content, path.with_name(f"again{path.suffix}"), to, tell=notes.append)
    assert again.read_bytes() == bytes_before
    return made


@settings(max_examples=40, deadline=None)
@given(found=scored_graphs(every=False), to=st.sampled_from(["eap-json", "mib"]))
def test_scores_come_back_to_the_last_bit(found, to, tmp_path_factory):
    path = tmp_path_factory.mktemp("trip") / "graph.json"
    round_trip(found, path, to)
    turns = to == "mib" and found.direction == "effect"
    back = content_of_any(path)
    assert back.sizes == found.sizes
    for edge_, mark in found.edges.items():
        sign = -1 if turns else 1
        assert back.edges[edge_] == Mark(sign * (mark.score or 0.0), mark.in_graph)
    if not turns:
        assert bits(back) == bits(found)


def bits(found: ScoredGraph) -> list[str]:
    return [math.nan.hex() if mark.score is None else mark.score.hex() for mark in found.edges.values()]


def content_of_any(path: Path) -> ScoredGraph:
    from circuitgraph.interchange.formats import read_file

    content = read_file(path).content
    assert isinstance(content, ScoredGraph)
    return content


@settings(max_examples=15, deadline=None)
@given(found=scored_graphs(every=True))
def test_matrices_come_back_to_the_last_bit(found, tmp_path_factory):
    path = tmp_path_factory.mktemp("trip") / "graph.pt"
    round_trip(found, path, "mib", direction="effect" if found.direction == "effect" else None)
    assert bits(content_of_any(path)) == bits(found)


def test_a_matrix_is_laid_out_as_eap_ig_reads_it(tmp_path):
    result = run_on(every_edge(SMALL))
    cg.export(result, tmp_path / "run.json", "eap-json")
    cg.export(result, tmp_path / "run.pt", "mib", direction="effect")
    theirs = EapGraph.from_json(tmp_path / "run.json")
    held = torch.load(tmp_path / "run.pt", weights_only=True)
    assert held["src_nodes"] == theirs.senders
    assert held["dst_nodes"] == theirs.ports
    assert torch.equal(held["edges_scores"].float(), torch.from_numpy(theirs.scores))
    assert torch.equal(held["edges_in_graph"], torch.from_numpy(theirs.inside))
    assert held["nodes_in_graph"].tolist() == [theirs.nodes_inside[name] for name in theirs.senders]
    some = run_on(graph(edge("a0.h1", "logits"), shape=SMALL))
    with pytest.raises(InputError, match=r"a matrix has a place for every edge: write \.json"):
        cg.export(some, tmp_path / "some.pt", "mib")
    alone = cg.export(some, tmp_path / "some.pt", "mib", circuit=True)  # membership is known of every edge
    assert content_of(alone).edges[Edge(parse("a0.h1").node, parse("logits"))] == Mark(None, True)


def test_a_matrix_alone_tells_layers_and_heads(tmp_path):
    scores = torch.arange(157 * 445, dtype=torch.float32).reshape(157, 445)
    torch.save(scores, tmp_path / "alone.pt")
    made = cg.import_circuit(tmp_path / "alone.pt", top=1)
    assert isinstance(made.content, ScoredGraph)
    assert made.content.sizes == Sizes(12, 12)
    assert len(made.content.edges) == 32_491
    assert made.content.edges[Edge(parse("m11").node, parse("logits"))].score == 157 * 445 - 1


TEXTS = st.text(max_size=12) | st.sampled_from(
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'", "''=1", "＝1", '"', "a,b", "</a><script>", "\u202e",
     "NaN", "1e5", "", " ", "\x00", "\x0b"]
)  # fmt: skip


@given(text=st.text() | TEXTS)
def test_a_guarded_cell_is_no_formula_and_comes_back(text):
    cell = guarded(text)
    assert unguarded(cell) == text
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))


@settings(max_examples=40, deadline=None)
@given(labels=st.lists(TEXTS, min_size=3, max_size=3), effects=st.lists(numbers, min_size=3, max_size=3))
def test_tables_come_back_cell_by_cell(labels, effects, tmp_path_factory):
    claims = [edge("a0.h1", "logits"), edge("a0.h1 a0.h2@END", "a1.h1<k,v>@S2"), edge("m0", "logits")]
    circuit = graph(*claims, shape=SMALL)
    result = run_of(circuit, [0.0] * 3)
    rows = tuple(
        replace(row, label=label, effect=effect)
        for row, label, effect in zip(result.rows, labels, effects, strict=True)
    )
    path = tmp_path_factory.mktemp("trip") / "table.csv"
    round_trip(replace(result, rows=rows), path, "csv")
    from circuitgraph.interchange.formats import read_file
    from circuitgraph.interchange.tables import Table

    table = read_file(path).content
    assert isinstance(table, Table)
    assert [line.row for line in table.lines] == list(rows)


def test_every_kind_of_experiment_comes_back_from_a_table(tmp_path):
    circuit = kinds()
    result = run_on(circuit, metrics=["logit_diff", "kl"])
    spec = round_trip(result, tmp_path / "mixed.csv", "csv").spec
    assert spec is not None
    again = build_graph(spec, circuit.shape)
    assert {claim_id(claim): claim_label(claim) for claim in again.claims} == {
        claim_id(claim): claim_label(claim) for claim in circuit.claims
    }


@pytest.mark.parametrize("ending", [".graphml", ".json"])
def test_graphs_come_back_byte_by_byte_and_as_the_same_experiments(ending, tmp_path):
    circuit = kinds()
    to = "graphml" if ending == ".graphml" else "networkx-json"
    made = round_trip(run_on(circuit), tmp_path / f"kinds{ending}", to)
    assert made.spec is not None
    again = build_graph(made.spec, circuit.shape)
    edges = {claim_id(claim) for claim in circuit.claims if not isinstance(claim, NodeClaim)}
    assert {claim_id(claim) for claim in again.claims} == edges
    assert any("patched by themselves" in note for note in made.notes)
    assert not any("joined receivers" in note for note in made.notes)


def test_a_graph_that_does_not_say_how_receivers_are_joined_is_noted_and_a_wrong_word_refused(tmp_path):
    circuit = graph(edge("a0.h1", "a1.h0<q> a1.h1<q>"), shape=SMALL)
    path = cg.export(run_on(circuit), tmp_path / "x.json", "networkx-json")
    text = path.read_text()
    path.write_text(text.replace('"receivers": "overwrite"', '"receivers": ""'))  # as earlier versions have it
    assert any("whether joined receivers are overwritten" in note for note in cg.import_circuit(path).notes)
    path.write_text(text.replace('"receivers": "overwrite"', '"receivers": "ad"'))
    with pytest.raises(InputError, match="joined receivers are no 'ad'; did you mean 'add'"):
        cg.import_circuit(path)


def test_networkx_reads_what_is_written_for_it(tmp_path):
    result = run_on(every_edge(SMALL))
    value = json.loads(cg.export(result, tmp_path / "x.json", "networkx-json").read_text())
    assert "scene" not in value
    for read in (
        networkx.node_link_graph(value, edges="edges"),
        networkx.read_graphml(cg.export(result, tmp_path / "x.graphml"), force_multigraph=True),
    ):
        assert read.number_of_edges() == len(result.rows)
        found = {key: data["effect"] for *_, key, data in read.edges(keys=True, data=True)}
        assert found == {row.id: row.effect for row in result.rows}


def test_one_file_becomes_that_of_another_tool(tmp_path):
    result = run_on(every_edge(SMALL))
    path = cg.export(result, tmp_path / "x.json", "eap-json")
    direct = cg.export(result, tmp_path / "a.json", "mib")
    assert cg.export(path, tmp_path / "b.json", "mib").read_bytes() == direct.read_bytes()
    as_json = cg.export(result, tmp_path / "n.json", "networkx-json")
    as_xml = cg.export(as_json, tmp_path / "n.graphml")
    assert as_xml.read_bytes() == cg.export(result, tmp_path / "m.graphml").read_bytes()
    with pytest.raises(InputError, match="this file holds scores of edges, from which no csv is made"):
        cg.export(path, tmp_path / "x.csv")


def test_nothing_that_is_written_holds_nan(tmp_path):
    """A score that is missing is left out, and one that is not finite never becomes a number."""
    sizes_ = Sizes(2, 3, False, 16)
    edges = list(all_edges(sizes_))
    found = ScoredGraph(sizes_, {edges[0]: Mark(None, False), edges[1]: Mark(1.0, True)})
    text = graph_text(found, scores_needed=True)
    assert list(json.loads(text)["edges"]) == [str(edges[1])]
    with pytest.raises(ValueError, match="not JSON compliant"):
        graph_text(ScoredGraph(sizes_, {edges[0]: Mark(math.nan, True)}), scores_needed=True)
    with pytest.raises(InputError, match="is in the graph and has no score"):
        graph_text(ScoredGraph(sizes_, {edges[0]: Mark(None, True)}), scores_needed=True)
    assert json.loads(graph_text(ScoredGraph(sizes_, {edges[0]: Mark(None, True)}), scores_needed=False))["edges"] == {
        str(edges[0]): {"in_graph": True}
    }


def test_the_format_is_told_by_the_ending_where_it_can_be(tmp_path):
    result = run_on(graph(edge("a0.h1", "logits"), shape=SMALL))
    assert cg.import_circuit(cg.export(result, tmp_path / "x.csv")).format is Format.CSV
    with pytest.raises(InputError, match="say which: eap-json, mib, networkx-json"):
        cg.export(result, tmp_path / "x.json")
    with pytest.raises(InputError, match=r"a file of csv ends in \.csv"):
        cg.export(result, tmp_path / "x.json", "csv")
    with pytest.raises(InputError, match="'gexf' is no format that is written"):
        cg.export(result, tmp_path / "x.json", "gexf")
    with pytest.raises(InputError, match="top goes with eap-json and mib"):
        cg.export(result, tmp_path / "x.csv", top=3)

"""Specs expand into graphs: who is measured, together with whom, and what is refused."""

from __future__ import annotations

import io
from typing import Any

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitgraph.errors import SpecError
from circuitgraph.graph import CircuitGraph, ModelShape, build_graph, claim_id, claim_label, expand
from circuitgraph.graph.claims import EdgeClaim, Mean, NodeClaim, Resample, SetClaim
from circuitgraph.graph.usual import settings as settings_of
from circuitgraph.graph.usual import unusual_settings, usual_settings
from circuitgraph.nodes import Head, Logits, parse, parse_node, split
from circuitgraph.spec.model import BaseRun, CircuitSpec, PathKind, ReceiverMode

SHAPE = ModelShape(layers=3, heads=4, kv_heads=2, d_mlp=8)
BASE = {
    "version": 1,
    "name": "test",
    "model": "toy",
    "prompts": {"pairs": [{"clean": [1, 2], "corrupted": [1, 3], "answers": [4]}]},
    "metrics": [{"name": "logit"}],
}


def spec(**parts: Any) -> CircuitSpec:
    return CircuitSpec.model_validate(BASE | parts)


def build(shape: ModelShape = SHAPE, **parts: Any) -> CircuitGraph:
    return build_graph(spec(**parts), shape)


def arrows(graph: CircuitGraph) -> list[str]:
    return [claim_label(claim) for claim in graph.claims]


def messages(shape: ModelShape = SHAPE, **parts: Any) -> list[str]:
    return [problem.message for problem in expand(spec(**parts), shape)[1]]


def edge(sender: Any, receiver: Any, **more: Any) -> dict[str, Any]:
    return {"sender": sender, "receiver": receiver, **more}


GROUPS = {"movers": ["a2.h0", "a2.h1"], "early": ["a0.h0", "a1.h3"]}


class TestExpansion:
    def test_every_spelling_is_one_node(self):
        spellings = ["a2.h1", "2.1", "L2H1", "A2.1", "blocks.2.attn.hook_z[:, :, 1]"]
        graphs = [build(edges=[edge(text, "logits")]) for text in spellings]
        assert {claim_id(graph.claims[0]) for graph in graphs} == {claim_id(graphs[0].claims[0])}
        assert arrows(graphs[-1]) == ["a2.h1 → logits"]

    def test_a_group_gives_an_experiment_for_each_pair(self):
        graph = build(groups=GROUPS, edges=[edge("early", "movers<q>@END")])
        assert arrows(graph) == [
            "a0.h0 → a2.h0<q>@END",
            "a0.h0 → a2.h1<q>@END",
            "a1.h3 → a2.h0<q>@END",
            "a1.h3 → a2.h1<q>@END",
        ]
        assert {(claim.sender_group, claim.receiver_group) for claim in graph.edges} == {("early", "movers")}

    @pytest.mark.parametrize(
        ("join", "expected"),
        [
            ("senders", ["a0.h0 + a1.h3 → a2.h0", "a0.h0 + a1.h3 → a2.h1"]),
            ("receivers", ["a0.h0 → a2.h0 + a2.h1", "a1.h3 → a2.h0 + a2.h1"]),
            ("both", ["a0.h0 + a1.h3 → a2.h0 + a2.h1"]),
        ],
    )
    def test_joined_members_share_an_experiment(self, join, expected):
        assert arrows(build(groups=GROUPS, edges=[edge("early", "movers", join=join)])) == expected

    def test_a_suffix_fills_in_what_members_lack(self):
        graph = build(groups={"mixed": ["a2.h0<k>", "a2.h1@S1"]}, edges=[edge("a0.h0", "mixed<k>@S1")])
        assert arrows(graph) == ["a0.h0 → a2.h0<k>@S1", "a0.h0 → a2.h1<k>@S1"]

    def test_a_group_may_hold_groups_and_patterns(self):
        groups = {"all": ["movers", "a0.h*"], "movers": ["a2.h0"]}
        graph = build(groups=groups, edges=[edge("all", "logits")])
        assert arrows(graph) == [f"{name} → logits" for name in ("a2.h0", "a0.h0", "a0.h1", "a0.h2", "a0.h3")]
        assert [group.name for group in graph.groups] == ["all", "movers"]

    def test_a_pattern_leaves_out_who_cannot_reach(self):
        graph = build(edges=[edge("a*.h0", "a1.h2<q>")])
        assert arrows(graph) == ["a0.h0 → a1.h2<q>"]

    def test_a_pattern_joins_the_receivers_that_each_sender_reaches(self):
        graph = build(edges=[edge("a*.h0", ["a1.h2<q>", "a2.h2<q>"], join="receivers")])
        assert arrows(graph) == ["a0.h0 → a1.h2<q> + a2.h2<q>", "a1.h0 → a2.h2<q>"]

    def test_joined_patterns_leave_out_idle_ends(self):
        (claim,) = build(edges=[edge("a*.h0", "a*.h1<q>", join="both")]).edges
        assert [str(s) for s in claim.senders] == ["a0.h0", "a1.h0"]
        assert [str(r) for r in claim.receivers] == ["a1.h1<q>", "a2.h1<q>"]

    def test_a_list_is_a_group_without_a_name(self):
        (claim,) = build(edges=[edge(["m0", "a1.h0"], "logits", join="senders", label="both")]).edges
        assert [str(s) for s in claim.senders] == ["m0", "a1.h0"]
        assert (claim.sender_group, claim.label) == (None, "both")

    def test_chains_expand_like_edges(self):
        graph = build(edges=[{"chain": ["input@S1", "a*.h0<v>@S1>END", "a2.h*<q>@END", "logits"]}])
        assert len(graph.claims) == 2 * 4
        assert arrows(graph)[0] == "input@S1 → a0.h0<v>@S1>END → a2.h0<q>@END → logits"

    def test_a_set_is_one_experiment_and_always_added(self):
        edges = [{"set": [edge("a0.h*", "logits"), edge("m1", "a2.h0<k>")], "source": "zero"}]
        (claim,) = build(edges=edges).claims
        assert isinstance(claim, SetClaim)
        assert len(claim.edges) == 5
        assert (claim.how.receivers, claim.how.path) == (ReceiverMode.ADD, PathKind.DIRECT)
        assert str(claim.how.source) == "zero"

    def test_nodes_alone_and_together(self):
        graph = build(groups=GROUPS, nodes=["movers@END", {"node": "movers", "join": "senders"}, "a1.h0<v>", "r1"])
        assert arrows(graph) == ["a2.h0@END", "a2.h1@END", "a2.h0 + a2.h1", "a1.h0<v>", "r1"]
        assert all(isinstance(claim, NodeClaim) for claim in graph.claims)
        assert graph.claims[0].group == "movers"

    def test_entries_override_the_intervention(self):
        reference = {"prompts": BASE["prompts"]}
        graph = build(
            intervention={"path": "through-mlps", "source": "mean", "reference": reference, "draws": 3, "seed": 5},
            edges=[
                edge("a0.h0", "logits"),
                edge("a0.h0", "logits", path="direct", base="corrupted", source="resample"),
            ],
        )
        first, second = (claim.how for claim in graph.claims)
        assert (first.path, first.base) == (PathKind.THROUGH_MLPS, BaseRun.CLEAN)
        assert isinstance(first.source, Mean)
        assert (second.path, second.base) == (PathKind.DIRECT, BaseRun.CORRUPTED)
        assert isinstance(second.source, Resample)
        assert (second.source.draws, second.source.seed) == (3, 5)

    def test_a_million_experiments_are_a_mistake(self):
        shape = ModelShape(layers=12, heads=12, kv_heads=12, d_mlp=3072)
        (message,) = messages(shape, edges=[edge("m*.n*", "a*.h*")])
        assert "5,308,416 experiments" in message


class TestRules:
    @pytest.mark.parametrize(
        ("sender", "receiver"),
        [("a0.h0", "r1.mid"), ("m0", "a1<k>"), ("a1", "m1"), ("r1", "a1.h0"), ("m0.n3", "m1.n2"), ("input", "m0")],
    )
    def test_edges_that_exist(self, sender, receiver):
        assert build(edges=[edge(sender, receiver)]).claims

    def test_mlps_do_not_hear_their_own_block_in_parallel_models(self):
        parallel = ModelShape(layers=3, heads=4, kv_heads=4, parallel=True)
        assert build(edges=[edge("a1.h0", "m1")]).claims
        (message,) = messages(parallel, edges=[edge("a1.h0", "m1")])
        assert "run in parallel" in message
        assert arrows(build(parallel, edges=[edge("a*.h0", "m1")])) == ["a0.h0 → m1"]

    def test_both_ports_of_a_head_may_be_joined(self):
        assert build(edges=[edge("a0.h0", ["a1.h0<q>", "a1.h0<v>"], join="receivers")]).claims

    def test_different_positions_of_a_node_may_be_joined(self):
        assert build(edges=[edge(["a0.h0@S1", "a0.h0@S2"], "logits", join="senders")]).claims

    def test_residual_stream_holds_what_was_written_before_it(self):
        assert messages(edges=[edge(["r1", "a0.h0"], "logits", join="senders")]) == [
            "edges.0.sender: r1 and a0.h0 cannot be changed together: a0.h0 is part of r1"
        ]
        assert build(edges=[edge(["r1", "a1.h0"], "logits", join="senders")]).claims

    def test_overwrite_is_refused_only_where_it_would_erase(self):
        receivers = ["a1.h0<q>", "logits"]
        assert "would erase it" in messages(edges=[edge("a0.h0", receivers, join="receivers")])[0]
        assert build(edges=[edge("a0.h0", receivers, join="receivers", receivers="add")]).claims
        assert build(edges=[edge("a0.h0", ["r1", "a1.h0<q>"], join="receivers")]).claims

    def test_a_wildcard_that_meets_a_written_edge_is_a_duplicate(self):
        (message,) = messages(edges=[edge("a0.h1", "logits"), edge("a0.h*", "logits")])
        assert message == "edges.1: a0.h1 → logits is measured twice, first in edges.0"

    def test_the_same_edge_on_another_base_is_no_duplicate(self):
        assert len(build(edges=[edge("a0.h1", "logits"), edge("a0.h1", "logits", base="corrupted")]).claims) == 2

    def test_build_raises_all_problems_expand_keeps_the_rest(self):
        bad = spec(groups=GROUPS, edges=[edge("movres", "logits"), edge("m9", "logits"), edge("m1", "logits")])
        with pytest.raises(SpecError) as raised:
            build_graph(bad, SHAPE)
        assert len(raised.value.problems) == 2
        assert arrows(expand(bad, SHAPE)[0]) == ["m1 → logits"]


@given(
    layers=st.integers(1, 4),
    heads=st.integers(1, 3),
    parallel=st.booleans(),
    mlps=st.booleans(),
    sender=st.sampled_from(["a*.h*", "m*", "input", "a*", "r*", "a0.h*"]),
    receiver=st.sampled_from(["a*.h*<q>", "a*.h*", "m*", "logits", "r*", "a*.kv*<k>"]),
    join=st.sampled_from(["none", "senders", "receivers"]),
)
@settings(max_examples=150, deadline=None)
def test_patterns_give_each_possible_edge_once(layers, heads, parallel, mlps, sender, receiver, join):
    """Against counting by hand: every pair of nodes that the shape connects, no pair twice."""
    shape = ModelShape(layers, heads, heads, parallel=parallel, mlps=mlps)
    graph, _ = expand(spec(edges=[edge(sender, receiver, join=join)]), shape)
    found = [(s, r) for s, r, _ in graph.arcs()]
    ends = [split(text) for text in (sender, receiver)]
    nodes = [shape.expand(pattern) for end in ends if (pattern := parse_node(end.name)) is not None]
    possible = [(s, r) for s in nodes[0] for r in nodes[1] if shape.can_reach(s, r)]
    assert sorted(map(str, possible)) == sorted(str((s.node, r.node)) for s, r in found)
    assert len(graph.by_id) == len(graph.claims)


class TestView:
    def graph(self) -> CircuitGraph:
        return build(
            groups=GROUPS,
            edges=[
                edge("early@S1", "movers<k>@S1", label='<b>&"both"', join="both"),
                {"chain": ["input@S1", "a0.h1<v>@S1>END", "logits"]},
                {"set": [edge("m0@S1", "logits"), edge("m0@S2", "logits")]},
            ],
            nodes=["a1.h1"],
        )

    def test_every_arc_is_an_edge(self):
        graph = self.graph()
        view = graph.to_networkx()
        assert view.number_of_edges() == len(list(graph.arcs())) == 4 + 2 + 2
        assert set(view.nodes) == {str(node) for node in graph.nodes}
        assert view.nodes["a2.h0"] == {
            "kind": "head", "layer": 2, "groups": "movers", "label": "a2.h0", "patched": False,
        }  # fmt: skip
        assert view.nodes["a1.h1"]["patched"]
        joined = view.edges["a0.h0", "a2.h0", claim_id(graph.claims[0])]
        assert (joined["ports"], joined["sender_position"], joined["joined"]) == ("k", "S1", True)
        leaving = view.edges["a0.h1", "logits", claim_id(graph.claims[1])]
        assert (leaving["kind"], leaving["sender_position"]) == ("chain", "END")

    def test_joined_ends_that_cannot_meet_have_no_arc(self):
        graph = build(edges=[edge(["a1.h0", "a2.h1"], ["a2.h0<q>", "m2"], join="both")])
        arcs = [(str(sender), str(receiver)) for sender, receiver, _ in graph.arcs()]
        assert arcs == [("a1.h0", "a2.h0<q>"), ("a1.h0", "m2"), ("a2.h1", "m2")]
        assert sorted(graph.to_networkx().edges()) == [("a1.h0", "a2.h0"), ("a1.h0", "m2"), ("a2.h1", "m2")]

    def test_graphml_keeps_everything(self):
        view = self.graph().to_networkx()
        file = io.BytesIO()
        networkx.write_graphml(view, file)
        back = networkx.parse_graphml(file.getvalue().decode(), force_multigraph=True)
        assert dict(back.nodes(data=True)) == dict(view.nodes(data=True))
        ends = sorted((s, r, data["label"], data["sender"]) for s, r, data in view.edges(data=True))
        assert sorted((s, r, data["label"], data["sender"]) for s, r, data in back.edges(data=True)) == ends


def test_settings_that_most_experiments_have_go_without_saying():
    through, corrupted = {"path": "through-mlps"}, {"base": "corrupted"}
    claims = build(
        edges=[edge("m0", "m2", **through), edge("m0", "m1"), edge("m0", "logits", **corrupted)],
        nodes=[{"node": "m1", **corrupted}],
    ).claims
    found = [settings_of(claim) for claim in claims]
    usual = usual_settings(found)
    assert usual == {"path": "direct", "base": "clean"}  # of two and two bases, the first
    assert [unusual_settings(each, usual) for each in found] == [through, {}, corrupted, corrupted]
    assert "path" not in found[-1]
    assert usual_settings(found[:0]) == {}


def test_nodes_stand_in_the_order_the_model_runs_them():
    graph = build(edges=[edge(["m1", "a0.h3", "input", "a0.h1", "m0"], "logits")])
    assert [str(node) for node in graph.nodes] == ["input", "a0.h1", "a0.h3", "m0", "m1", "logits"]


def test_labels_and_order_do_not_change_an_experiment():
    ends = (parse("a0.h0"), parse("a0.h1")), (parse("logits"),)
    claim = EdgeClaim(*ends, label="one", sender_group="group")
    assert claim_id(claim) == claim_id(EdgeClaim(ends[0][::-1], ends[1]))
    assert claim_id(claim) != claim_id(EdgeClaim(ends[0][:1], ends[1]))


def test_shape_reaches():
    assert SHAPE.can_reach(Head(2, 0), Logits())
    assert not SHAPE.can_reach(Logits(), Head(2, 0))

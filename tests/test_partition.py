"""The finest partition, and what the claims of a spec are as a set of its edges."""

from __future__ import annotations

import pytest

from circuitgraph.errors import InputError
from circuitgraph.graph.claims import ChainClaim, CircuitGraph, Claim, Intervention, NodeClaim, Origin, SetClaim
from circuitgraph.graph.partition import (
    circuit_nodes,
    circuit_of,
    partition_edges,
    partition_nodes,
    partition_targets,
)
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import parse
from circuitgraph.spec.model import PathKind
from tests.measuring import edge

SMALL = ModelShape(2, 2, 2)
GROUPED = ModelShape(2, 4, 2)
THROUGH = PathKind.THROUGH_MLPS


@pytest.mark.parametrize(
    ("shape", "nodes", "edges"),
    [
        (ModelShape(12, 12, 12), 157, 32_491),  # GPT-2 small, as auto-circuit and EAP-IG count
        # input: 6 ports of layer 0, 6 of layer 1, 2 MLPs, logits = 15; two heads of layer 0: m0, 6, m1, logits = 9
        # each; m0: 6 + 1 + 1 = 8; two heads of layer 1: m1, logits = 2 each; m1: logits = 1.
        (SMALL, 7, 15 + 2 * 9 + 8 + 2 * 2 + 1),
        # Heads and MLP of a block do not see each other: the heads of layer 0 lose m0, those of layer 1 lose m1.
        (ModelShape(2, 2, 2, parallel=True), 7, 15 + 2 * 8 + 8 + 2 * 1 + 1),
        # No MLPs: input 13; heads of layer 0: 6 ports and logits; heads of layer 1: logits.
        (ModelShape(2, 2, 2, mlps=False), 5, 13 + 2 * 7 + 2 * 1),
        # 4 q, 2 k, 2 v a layer. input: 8 + 8 + 2 + 1; heads of layer 0: m0, 8, m1, logits; m0: 8 + 1 + 1.
        (GROUPED, 11, 19 + 4 * 11 + 10 + 4 * 2 + 1),
    ],
)
def test_nodes_and_edges_counted_by_hand(shape, nodes, edges):
    found = partition_edges(shape)
    assert (len(partition_nodes(shape)), len(found), len(set(found))) == (nodes, edges, edges)
    assert all(shape.can_reach(edge.sender, edge.receiver) for edge in found)


def test_receivers_in_the_order_in_which_they_read():
    named = " ".join(map(str, partition_targets(ModelShape(1, 2, 1))))
    assert named == "a0.h0<q> a0.h1<q> a0.kv0<k> a0.kv0<v> m0 logits"


def circuit(*claims: Claim, shape: ModelShape = SMALL) -> dict[str, str]:
    """The edges of claims as text, with their positions."""
    found = circuit_of(CircuitGraph("test", shape, (), claims))
    return {str(one): " ".join(map(str, at)) for one, at in found.items()}


def chain(*hops: str, path: PathKind = PathKind.DIRECT) -> ChainClaim:
    return ChainClaim(tuple(map(parse, hops)), Intervention(path=path))


@pytest.mark.parametrize(
    ("claim", "edges"),
    [
        (edge("a0.h1@END", "a1.h0<q>"), {"a0.h1 → a1.h0<q>": "END"}),
        (edge("a0.h1", "a1.h0<k>@S2"), {"a0.h1 → a1.h0<k>": "S2"}),
        (edge("a0.h1@S2", "m1@S2"), {"a0.h1 → m1": "S2"}),
        (edge("m0", "logits"), {"m0 → logits": ""}),
        (edge("input", "a0.h1"), {f"input → a0.h1<{port}>": "" for port in "qkv"}),
        (edge("input", "a0.h1<k,v>"), {f"input → a0.h1<{port}>": "" for port in "kv"}),
        (edge("a0", "m1"), {"a0.h0 → m1": "", "a0.h1 → m1": ""}),
        (edge("m0", "a1<q>"), {"m0 → a1.h0<q>": "", "m0 → a1.h1<q>": ""}),
        # Joined: every pair that the residual stream connects.
        (edge(["a0.h0", "a1.h0"], ["a1.h1<q>", "m1"]), {"a0.h0 → a1.h1<q>": "", "a0.h0 → m1": "", "a1.h0 → m1": ""}),
        # Through MLPs: there, to each MLP between, between them, and on.
        (
            edge("a0.h0@B", "logits", path=THROUGH),
            dict.fromkeys(("a0.h0 → logits", "a0.h0 → m0", "m0 → m1", "m0 → logits", "a0.h0 → m1", "m1 → logits"), "B"),
        ),
        (edge("a0.h0", "m0", path=THROUGH), {"a0.h0 → m0": ""}),
        (edge("input", "m0", path=THROUGH), {"input → m0": ""}),
        (
            SetClaim(((parse("input@A"), parse("a0.h0<v>")), (parse("a0.h0"), parse("logits@END")))),
            {"input → a0.h0<v>": "A", "a0.h0 → logits": "END"},
        ),
        (NodeClaim((parse("a0.h0"),)), {}),
        # An inner hop enters where its input is, and is sent on from its output position, or from everywhere.
        (chain("input@A", "a0.h0<v>@A", "logits"), {"input → a0.h0<v>": "A", "a0.h0 → logits": ""}),
        (
            chain("input@A", "a0.h0<v>@A>END", "m1@END", "logits@END"),
            {"input → a0.h0<v>": "A", "a0.h0 → m1": "END", "m1 → logits": "END"},
        ),
        (
            chain("input", "a0.h0<q>", "a1.h1<q>", path=THROUGH),
            dict.fromkeys(("input → a0.h0<q>", "a0.h0 → a1.h1<q>", "a0.h0 → m0", "m0 → a1.h1<q>"), ""),
        ),
    ],
)
def test_what_a_claim_is_as_edges(claim, edges):
    assert circuit(claim) == edges


def test_shared_keys_are_one_receiver():
    assert circuit(edge("m0", "a1.kv1<k>"), shape=GROUPED) == {"m0 → a1.kv1<k>": ""}
    assert circuit(edge("m0", "a1<k,v>"), shape=GROUPED) == {
        f"m0 → a1.kv{index}<{port}>": "" for port in "kv" for index in (0, 1)
    }
    assert circuit(edge("m0", "a1.h3<q>"), shape=GROUPED) == {"m0 → a1.h3<q>": ""}


def test_positions_of_several_claims_are_joined():
    both = circuit(edge("m0@A", "logits"), edge("m0@B", "logits"), edge("m0@A", "m1"), edge("m0", "m1"))
    assert both == {"m0 → logits": "A B", "m0 → m1": ""}


def test_nodes_of_a_circuit_are_its_senders_where_they_send():
    claims = (edge("a0.h0@A", "m0"), edge("a0.h0@B", "m1"), edge("m0@A", "m1"), edge("m0", "logits"))
    found = circuit_nodes(circuit_of(CircuitGraph("test", SMALL, (), claims)))
    assert {str(node): " ".join(map(str, at)) for node, at in found.items()} == {"a0.h0": "A B", "m0": ""}


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (edge("m0.n3", "logits"), "m0.n3 sends no edge of the finest partition; those are sent by input, heads"),
        (edge("r1", "logits"), "r1 sends no edge of the finest partition"),
        (edge("m0", "r2"), "r2 receives no edge of the finest partition; heads, MLPs and logits do"),
        (edge("m0", "m1.n2"), "m1.n2 receives no edge of the finest partition"),
        (edge("m0@A", "m1@B"), "m0@A → m1@B names two positions; in a circuit as a whole an edge has one"),
    ],
)
def test_what_is_no_edge_is_refused_with_its_place(claim, message):
    object.__setattr__(claim, "origin", Origin(7, 3, "edges.0"))
    with pytest.raises(InputError, match=f"line 7: {message}"):
        circuit(claim)


def test_a_query_head_s_view_of_shared_keys_is_refused():
    with pytest.raises(InputError, match=r"a1\.h3<k> is one query head's view .* write a1\.kv1<k>"):
        circuit(edge("m0", "a1.h3<k>"), shape=GROUPED)


def test_all_refusals_at_once():
    with pytest.raises(InputError) as raised:
        circuit(edge("r1", "logits"), edge("m0", "r2"))
    assert len(str(raised.value).splitlines()) == 2

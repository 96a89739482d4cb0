"""Addresses: every spelling people use is read, the canonical one is written, the rest is refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitgraph.errors import AddressError
from circuitgraph.nodes import (
    ALL_PORTS,
    MLP,
    Address,
    Attention,
    Head,
    Input,
    KVHead,
    Logits,
    Neuron,
    NodePattern,
    Port,
    Position,
    Residual,
    instantiate,
    is_part,
    is_pattern,
    layer_of,
    parse,
    parse_node,
    parse_position,
    split,
)

SPELLINGS = {
    "input": ["input", "embed", "r0", "INPUT", "blocks.0.hook_resid_pre", " input "],
    "a9.h6": ["a9.h6", "9.6", "L9H6", "l9h6", "A9.6", "A9.H6", "blocks.9.attn.hook_z[:, :, 6]"],
    "a9.h10": ["9.10", "a9.h10", "L9H10", "blocks.9.attn.hook_z[:,:,10]", "blocks.9.attn.hook_result[:, :, 10]"],
    "a9": ["a9", "A9", "blocks.9.hook_attn_out"],
    "m9": ["m9", "M9", "MLP 9", "mlp9", "blocks.9.hook_mlp_out"],
    "m9.n123": ["m9.n123", "L9N123", "blocks.9.mlp.hook_post[:, :, 123]"],
    "r9": ["r9", "blocks.9.hook_resid_pre"],
    "r9.mid": ["r9.mid", "blocks.9.hook_resid_mid"],
    "r0.mid": ["r0.mid", "blocks.0.hook_resid_mid"],
    "logits": ["logits", "Logits"],
    "a9.kv2<k>": ["a9.kv2<k>", "a9.kv2.k", "A9.KV2<K>"],
    "a9.h6<q>": ["a9.h6<q>", "a9.h6.q", "a9.6_q", "A9.6.Q", "9.6.q", "L9H6.q", "blocks.9.attn.hook_q[:, :, 6]"],
    "a9.h6<k,v>": ["a9.h6<k,v>", "a9.h6<v,k>", "a9.h6 < k , v >", "9.6<K,V>"],
    "a9.h6<q>@END": ["a9.h6<q>@END", "9.6.q@END", "a9.h6<q> @ END", "blocks.9.attn.hook_q[:, :, 6]@END"],
    "a5.h5@S2": ["a5.h5@S2", "5.5@S2"],
    "m0@S1+1": ["m0@S1+1", "MLP 0@S1 + 1"],
    "m0@S1-2": ["m0@S1-2"],
    "input@-1": ["input@-1", "embed@-1"],
    "input@0": ["input@0", "input@+0"],
    "a2.h3<v>@S2>END": ["a2.h3<v>@S2>END", "2.3.v@S2 > END"],
}


@pytest.mark.parametrize(("canonical", "text"), [(name, text) for name, texts in SPELLINGS.items() for text in texts])
def test_every_spelling_is_read_and_written_back_canonically(canonical, text):
    assert str(parse(text)) == canonical


def test_an_address_is_a_value():
    assert parse("9.6<q>@S1+1") == Address(Head(9, 6), (Port.Q,), Position("S1", 1))
    assert parse("a9.kv2<k,v>").ports == (Port.K, Port.V)
    assert parse("input@-1").position == Position("", -1)
    assert parse("a2.h3<v>@S2>END").output == Position("END")
    assert parse("r0").node == Input()
    assert parse("a1.h0").at(Position("END")) == parse("a1.h0@END")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no address"),
        ("@END", "no address"),
        ("movers", "no node"),
        ("a9.x6", "no node"),
        ("9", "no node"),
        ("a9.h6<q", "no node"),
        ("a-1.h0", "no node"),
        ("a9.h9999999999", "no node"),
        ("a９.h6", "no node"),
        ("a9.h6<x>", "no port"),
        ("a9.h6<>", "no port"),
        ("a9.h6<q,q>", "no port"),
        ("a9.h6@", "no node"),
        ("a9.h6@S1++1", "no position"),
        ("a9.h6@END-", "no position"),
        ("a*.h6", "pattern"),
        ("a9.h*", "pattern"),
    ],
)
def test_what_is_no_address_is_refused_by_name(text, said):
    with pytest.raises(AddressError, match=said):
        parse(text)


@pytest.mark.parametrize("text", ["", "+", "S1+", "1S", "a b", "9" * 5000])
def test_what_is_no_position_is_refused(text):
    with pytest.raises(AddressError, match="is no position"):
        parse_position(text)


@pytest.mark.parametrize("text", ["-0", "-00"])
def test_minus_zero_is_not_the_first_token(text):
    for read, what in ((parse_position, text), (parse, f"a9.h6@{text}"), (parse, f"a9.h6<v>@END>{text}")):
        with pytest.raises(AddressError, match=f"'@{text}' is no position; the last token is @-1, the first @0"):
            read(what)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("a*.h*", NodePattern("h", None, None)),
        ("a*.h3", NodePattern("h", None, 3)),
        ("a2.h*", NodePattern("h", 2, None)),
        ("L*H3", NodePattern("h", None, 3)),
        ("a*", NodePattern("a", None, None)),
        ("m*", NodePattern("m", None, None)),
        ("m3.n*", NodePattern("n", 3, None)),
        ("r*", NodePattern("r", None, None)),
        ("r*.mid", NodePattern("mid", None, None)),
        ("a*.kv0", NodePattern("kv", None, 0)),
    ],
)
def test_patterns_stand_for_no_single_node(text, pattern):
    assert parse_node(text) == pattern
    assert instantiate(pattern) is None


def test_a_group_keeps_its_name_ports_and_position():
    reference = split("movers<q>@END")
    assert (reference.name, reference.ports, reference.position) == ("movers", (Port.Q,), Position("END"))
    assert parse_node("movers") is None


def test_parts_and_layers():
    assert is_part(Head(3, 1), Attention(3))
    assert is_part(KVHead(3, 1), Attention(3))
    assert is_part(Neuron(3, 1), MLP(3))
    assert not is_part(Head(3, 1), Attention(2))
    assert not is_part(Head(3, 1), MLP(3))
    assert [layer_of(node) for node in (Input(), Logits(), Head(4, 0), Residual(2, mid=True))] == [None, None, 4, 2]


numbers = st.integers(0, 200)
nodes = st.one_of(
    st.just(Input()),
    st.just(Logits()),
    st.builds(Attention, numbers),
    st.builds(Head, numbers, numbers),
    st.builds(KVHead, numbers, numbers),
    st.builds(MLP, numbers),
    st.builds(Neuron, numbers, numbers),
    st.builds(Residual, st.integers(1, 200)),
    st.builds(Residual, numbers, st.just(True)),
)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True)
positions = st.one_of(
    st.builds(Position, names, st.integers(-99, 99)), st.builds(Position, st.just(""), st.integers(-99, 99))
)
ports = st.sets(st.sampled_from(ALL_PORTS)).map(lambda chosen: tuple(port for port in ALL_PORTS if port in chosen))


@given(nodes, ports, st.none() | positions, st.none() | positions)
def test_what_is_written_is_read_back(node, chosen, position, output):
    address = Address(node, chosen, position, output if position is not None else None)
    assert parse(str(address)) == address


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_an_address_error(text):
    try:
        address = parse(text)
    except AddressError:
        return
    assert parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "kind", "index", "sae"),
    [
        ("sae.res2.f17", "f", 17, "res2"),
        ("sae.Late-5_b.f0", "f", 0, "Late-5_b"),
        ("sae.res2.f*", "f", None, "res2"),
        ("sae.res2.error", "error", None, "res2"),
    ],
)
def test_parts_of_a_stream_are_read_by_the_name_of_their_autoencoder(text, kind, index, sae):
    pattern = parse_node(text)
    assert pattern == NodePattern(kind, None, index, sae)
    assert is_pattern(pattern) == text.endswith("*")
    with pytest.raises(AddressError, match="belongs to a sparse autoencoder, which the saes: of a spec declare"):
        parse(f"{text}@END")


@pytest.mark.parametrize("text", ["sae.res2", "sae.res2.f", "sae.res2.f-1", "sae.2.f1", "sae.res2.h1", "sae..f1"])
def test_what_only_looks_like_a_feature_is_no_node(text):
    assert parse_node(text) is None

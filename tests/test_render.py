"""Drawing: what is drawn, how effects look and where everything stands; nothing overlaps, nothing is cut off."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitgraph.drawing import Scene, scene
from circuitgraph.drawing.curves import dashes, length, points, spaced
from circuitgraph.drawing.diagram import diagram
from circuitgraph.drawing.scene import Dash, Panel, Rect, Sample, Stroke, Text
from circuitgraph.drawing.spacing import settle
from circuitgraph.drawing.style import NEGATIVE, POSITIVE, UNDECIDED, finding, number, signed
from circuitgraph.drawing.tags import LETTERS
from circuitgraph.drawing.text import fit, width, wrap
from circuitgraph.errors import InputError, NotFiniteError
from circuitgraph.graph.claims import Base, ChainClaim, CircuitGraph, Claim, NodeClaim, Prune, claim_id
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import parse
from circuitgraph.spec.model import BaseRun, PathKind, SourceKind
from tests.render_graphs import (
    DENOISING,
    GRAPHS,
    THROUGH_MLPS,
    UNLIKE,
    edge,
    graph,
    group,
    inside,
    mixed,
    row,
    rows,
    tangle,
    ways,
)


@pytest.fixture(params=GRAPHS)
def drawn(request: pytest.FixtureRequest) -> CircuitGraph:
    return GRAPHS[request.param]()


# What is drawn


def columns(graph: CircuitGraph) -> list[str]:
    return [str(position) for position in diagram(graph).columns]


def test_one_box_for_each_node_at_each_position() -> None:
    picture = scene(graph(edge("m0@S1", "m2@S1"), edge("m0@S2", "m2@S2"), edge("m0", "m3")))
    assert {box.key for box in picture.boxes} == {"m0@S1", "m2@S1", "m0@S2", "m2@S2", "m0", "m3"}


def test_a_position_on_either_end_is_the_position_of_both() -> None:
    keys = {
        (arrow.tail, arrow.head) for arrow in scene(graph(edge("m0", "m2@END"), edge("a1.h1@END", "logits"))).arrows
    }
    assert keys == {("m0@END", "m2@END"), ("a1.h1@END", "logits@END")}


def test_a_head_stands_where_it_writes_and_its_keys_cross_columns() -> None:
    picture = scene(graph(edge("a0.h1@S2", "a2.h3<v>@S2"), edge("a2.h3@END", "logits")))
    assert {(arrow.tail, arrow.head, arrow.port) for arrow in picture.arrows} == {
        ("a0.h1@S2", "a2.h3@END", "v"),
        ("a2.h3@END", "logits@END", ""),
    }


def test_a_head_that_writes_at_two_positions_keeps_a_box_for_its_keys() -> None:
    claims = edge("m0@S2", "a2.h3<k>@S2"), edge("a2.h3@END", "logits"), edge("a2.h3@X", "m5@X")
    assert "a2.h3@S2" in {box.key for box in scene(graph(*claims)).boxes}


def test_a_chain_is_in_one_piece_whatever_else_its_heads_write() -> None:
    hops = "input@S2", "a2.h1<v>@S2>END", "a3.h1<q>@END", "logits"
    chain, other = ChainClaim(tuple(map(parse, hops))), edge("a2.h1@S2", "a3.h1<k>@S2")
    picture = scene(graph(chain, other))
    assert {(arrow.tail, arrow.head) for arrow in picture.arrows if arrow.id == claim_id(chain)} == {
        ("input@S2", "a2.h1@END"),
        ("a2.h1@END", "a3.h1@END"),
        ("a3.h1@END", "logits@END"),
    }
    assert [(arrow.tail, arrow.head) for arrow in picture.arrows if arrow.id == claim_id(other)] == [
        ("a2.h1@S2", "a3.h1@END")
    ]


def test_heads_of_one_entry_stand_together_though_one_is_also_used_at_all_positions() -> None:
    late = [edge(f"a2.h{i}@FIRST", "logits") for i in (0, 1)]
    entry = [edge("m1", f"a2.h{i}<v>") for i in (0, 1)]
    chain = ChainClaim(tuple(map(parse, ("m0", "a2.h0<v>", "logits"))))
    picture = scene(graph(*late, *entry, chain))
    ends = {(arrow.tail, arrow.head) for arrow in picture.arrows}
    assert {("m1", "a2.h0@FIRST"), ("m1", "a2.h1@FIRST"), ("m0", "a2.h0"), ("a2.h0", "logits")} <= ends


def test_columns_follow_offsets_attention_and_the_names_bos_and_end() -> None:
    claims = edge("m0@END", "m2@END"), edge("m0@S1+1", "m2@S1+1"), edge("m0@S1", "m2@S1"), edge("m0@BOS", "m2@BOS")
    assert columns(graph(*claims)) == ["BOS", "S1", "S1+1", "END"]
    assert columns(graph(edge("a3.h0@A", "m5@A"), edge("m0@B", "a3.h0<v>@B"))) == ["B", "A"]
    assert columns(graph(edge("m0@-1", "m1@-1"), edge("m0@2", "m1@2"), edge("m0@0", "m1@0")))[-2:] == ["0", "2"]


def test_columns_stand_in_the_order_of_the_prompt_where_it_is_known() -> None:
    claims = [edge(f"m0@{name}", f"m2@{name}") for name in ("END", "X", "S1+1", "S2", "S1", "IO")]
    picture = scene(
        graph(*claims, edge("a1.h0@S1", "a2.h1<v>@S1"), edge("a2.h1@IO", "m3")), positions=["IO", "S1", "S2"]
    )
    assert [panel.texts[0].text for panel in picture.columns] == ["IO", "S1", "S1+1", "S2", "X", "END"]


def test_rows_of_one_layer_say_which_half_they_are() -> None:
    def names(*claims: Claim) -> list[str]:
        return [text.text for text in scene(graph(*claims)).texts if text.text.startswith("layer")]

    assert names(edge("a3.h0", "m3"), edge("m3", "a4.h0<q>")) == ["layer 3 attention", "layer 3 MLP", "layer 4"]
    assert names(edge("a2.h0", "m3")) == ["layer 2", "layer 3"]


def test_rows_rise_with_the_layers() -> None:
    picture = scene(
        graph(edge("input", "a0.h1<q>"), edge("a0.h1", "m0"), edge("m0", "a5.h5<v>"), edge("a5.h5", "logits"))
    )
    by_height = sorted(picture.boxes, key=lambda box: -box.panel.rect.y)
    assert [box.key for box in by_height] == ["input", "a0.h1", "m0", "a5.h5", "logits"]


def test_members_of_a_group_stand_in_its_cluster_idle_ones_too() -> None:
    claim = edge("a9.h6@END", "logits")
    picture = scene(graph(claim, groups=(group("movers", "a9.h6 a9.h9", "Name movers"),)))
    (cluster,) = picture.clusters
    members = [box for box in picture.boxes if box.group == "movers"]
    assert {box.key for box in members} == {"a9.h6@END", "a9.h9@END"}
    assert all(inside(box.panel.rect, cluster.rect) for box in members)
    assert [text.text for text in picture.headers[0].texts] == ["Name movers"]


def test_groups_that_alternate_are_drawn_in_parts_so_that_every_arrow_rises() -> None:
    claims = edge("a0.h0", "a2.h0<q>"), edge("a2.h0", "a4.h0<v>"), edge("a4.h0", "a6.h0<k>")
    picture = scene(graph(*claims, groups=(group("A", "a0.h0 a4.h0"), group("B", "a2.h0 a6.h0"))))
    assert sorted(panel.texts[0].text for panel in picture.headers) == ["A", "A", "B", "B"]
    assert all(arrow.curve[0][1] > arrow.tip[0][1] for arrow in picture.arrows)


def test_joined_edges_sets_and_chains_are_arrows_of_one_id_and_one_style() -> None:
    subject = mixed()
    picture = scene(subject, rows(subject))
    by_id = {id_: [a for a in picture.arrows if a.id == id_] for id_ in subject.by_id}
    assert sorted(len(found) for found in by_id.values()) == [0, 0] + [1] * 11 + [2, 3, 4]
    assert all(len({arrow.stroke for arrow in found}) <= 1 for found in by_id.values())


def test_node_experiments_colour_the_box_and_write_the_effect_in_it() -> None:
    claim = NodeClaim((parse("m2@END"),))
    subject = graph(claim, edge("m2@END", "m5@END"))
    (patched,) = [b for b in scene(subject, [row(claim, -1.5)]).boxes if b.ids]
    assert patched.key == "m2@END"
    assert patched.ids == (claim_id(claim),)
    assert [text.text for text in patched.panel.texts] == ["m2", "−1.50"]
    assert patched.panel.border is not None
    assert patched.panel.border.color == NEGATIVE
    assert patched.panel.fill != "#ffffff"


# What is measured otherwise than most


def legend_of(picture: Scene) -> str:
    return " ".join(mark.text for mark in picture.legend if isinstance(mark, Text)).replace("\u00a0", " ")


def test_edges_of_another_path_base_or_source_carry_a_letter_near_their_tail() -> None:
    ends = "a3.h0@END", "logits"
    claims = [edge(*ends), edge(*ends, how=DENOISING), edge(*ends, how=THROUGH_MLPS), edge("m3@END", "logits")]
    picture = scene(graph(*claims), [row(claim, 1.0) for claim in claims])
    (corrupted,) = (arrow for arrow in picture.arrows if arrow.id == claim_id(claims[1]))
    (through,) = (arrow for arrow in picture.arrows if arrow.id == claim_id(claims[2]))
    assert {panel.texts[0].text for panel in picture.tags} == {"x", "m"}
    for arrow, letter in ((corrupted, "x"), (through, "m")):
        (panel,) = (panel for panel in picture.tags if panel.texts[0].text == letter)
        middle = panel.rect.center, panel.rect.y + panel.rect.height / 2
        near = spaced(arrow.curve, 1.0)
        assert min(math.dist(middle, point) for point in near[: len(near) // 2]) < 1
    assert corrupted.tooltip.splitlines()[1] == "base: corrupted"
    assert through.tooltip.splitlines()[1] == "path: through-mlps"
    assert {arrow.unusual for arrow in picture.arrows} == {(), ("corrupted",), ("through-mlps",)}


def test_the_legend_names_the_letters_and_what_goes_without() -> None:
    claims = edge("m0", "m1"), edge("m0", "m2"), edge("m0", "m3", how=UNLIKE)
    picture = scene(graph(*claims))
    letters = [mark.texts[0].text for mark in picture.legend if isinstance(mark, Panel)]
    assert letters == ["x", "m", "0"]
    text = legend_of(picture)
    for part in ("base: corrupted", "path: through-mlps", "source: zero"):
        assert part in text
    assert "(noising), unless a letter says otherwise" in text
    assert "path: direct (the residual stream alone carries the change), unless a letter says otherwise" in text
    alike = scene(graph(*claims[:2]))
    assert "letter" not in legend_of(alike)
    assert not alike.tags
    assert not any(isinstance(mark, Panel) for mark in alike.legend)


def test_where_most_edges_pass_through_mlps_the_direct_ones_are_marked() -> None:
    claims = edge("m0", "m3", how=THROUGH_MLPS), edge("m0", "m4", how=THROUGH_MLPS), edge("m0", "m5")
    picture = scene(graph(*claims))
    assert [panel.texts[0].text for panel in picture.tags] == ["d"]
    assert "path: through-mlps (the residual stream and the MLPs in between" in legend_of(picture)


def test_patched_nodes_carry_the_letters_of_the_effect_they_show() -> None:
    usual, other = NodeClaim((parse("m2"),)), NodeClaim((parse("m2"),), DENOISING)
    subject = graph(usual, other, NodeClaim((parse("m3"),)))

    def of_m2(effect: float) -> tuple[str, ...]:
        picture = scene(subject, [row(usual, 1.0), row(other, effect)])
        (box,) = (box for box in picture.boxes if box.node == "m2")
        assert "m2 (base: corrupted): logit_diff" in (box.panel.tooltip or "")
        assert [panel.texts[0].text for panel in picture.tags] == ["x"] * len(box.unusual)
        return box.unusual

    assert of_m2(2.0) == ("corrupted",)
    assert of_m2(0.5) == ()


def test_every_setting_has_a_letter_of_its_own() -> None:
    assert {*PathKind, *BaseRun, *SourceKind, str(Prune()), str(Base())} <= {*LETTERS}
    assert len({*LETTERS.values()}) == len(LETTERS)


def test_letters_stay_apart_and_on_the_canvas() -> None:
    picture = scene(ways(), rows(ways()))
    rects = [panel.rect for panel in picture.tags]
    assert len(rects) == (1 + 1 + 3) + 4 + 2 + 1  # the edges of a0.h0, those of its group, a2.h1, m5
    assert not any(a.overlaps(b) for i, a in enumerate(rects) for b in rects[:i])
    assert all(inside(rect, Rect(0, 0, picture.width, picture.height)) for rect in rects)
    assert not any(note.rect.overlaps(rect) for note in picture.notes for rect in rects)


# How effects look


def test_sign_is_hue_and_dashes_size_is_width_and_undecided_is_dotted_grey() -> None:
    claims = [edge("m0", f"m{i}") for i in range(1, 6)]
    effects = [(4.0, 0.1), (-1.0, 0.1), (0.5, 0.6), (0.25, None)]
    found = [row(claim, effect, half) for claim, (effect, half) in zip(claims, effects, strict=False)]
    strokes = {arrow.id: arrow.stroke for arrow in scene(graph(*claims), found).arrows}
    up, down, unsure, alone, missing = (strokes[claim_id(claim)] for claim in claims)
    assert (up.color, up.dash) == (POSITIVE, Dash.SOLID)
    assert (down.color, down.dash) == (NEGATIVE, Dash.DASHED)
    assert (unsure.color, unsure.dash) == (UNDECIDED, Dash.DOTTED)
    assert (alone.color, alone.dash) == (POSITIVE, Dash.SOLID)
    assert missing.color not in (POSITIVE, NEGATIVE, UNDECIDED)
    assert up.width == pytest.approx(2 * down.width) == pytest.approx(4 * alone.width)


def test_an_effect_without_an_interval_is_pale_and_the_legend_says_so() -> None:
    tested, alone, patched = edge("m0", "m1"), edge("m0", "m2"), NodeClaim((parse("m3"),))
    picture = scene(graph(tested, alone, patched), [row(tested, 1.0), row(alone, -1.0, None), row(patched, -1.0, None)])
    opacity = {arrow.id: arrow.stroke.opacity for arrow in picture.arrows}
    assert opacity[claim_id(alone)] <= opacity[claim_id(tested)] / 2
    (box,) = [box for box in picture.boxes if box.ids]
    assert box.panel.border is not None
    assert (box.panel.border.color, box.panel.border.opacity) == (NEGATIVE, opacity[claim_id(alone)])
    (arrow,) = [arrow for arrow in picture.arrows if arrow.id == claim_id(alone)]
    assert arrow.tooltip.endswith("logit_diff: −1.00 (no interval), n = 64")
    texts = [mark.text for mark in picture.legend if isinstance(mark, Text)]
    samples = [mark.stroke for mark in picture.legend if isinstance(mark, Sample) and mark.tip]
    assert samples[texts.index("no interval (a single pair or cluster)")].opacity == opacity[claim_id(alone)]
    assert "negative: patching lowers logit_diff" in texts


@pytest.mark.parametrize("effect", [0.01, -0.01])
def test_what_is_rounded_to_nothing_has_no_sign(effect: float) -> None:
    claims = edge("m0", "m1"), edge("m0", "m2")
    picture = scene(graph(*claims), [row(claims[0], -34.6), row(claims[1], effect, 0.001)])
    assert {note.texts[0].text for note in picture.notes} == {"−34.6", "0.0"}


def test_only_the_first_metric_is_drawn() -> None:
    claim = edge("m0", "m1")
    found = [row(claim, 1.0), row(claim, -2.0, metric="kl")]
    (arrow,) = scene(graph(claim), found).arrows
    assert arrow.stroke.color == POSITIVE


def test_the_legend_tells_metric_pairs_direction_and_path() -> None:
    claim = edge("m0", "a2.h1<q>")
    text = " ".join(mark.text for mark in scene(graph(claim), [row(claim, 1.0)]).legend if isinstance(mark, Text))
    text = text.replace("\u00a0", " ")
    for part in ("logit_diff(patched) − logit_diff(base)", "n = 64", "noising", "path: direct", "√|effect|", "q, k, v"):
        assert part in text
    hypothesis = " ".join(mark.text for mark in scene(graph(claim)).legend if isinstance(mark, Text))
    assert "not measured" in hypothesis
    assert "effect" not in hypothesis


def test_the_legend_of_a_divergence_from_the_base_run_knows_no_sign() -> None:
    claims = edge("m0", "m1"), edge("m0", "m2")
    found = [replace(row(claim, 0.5, metric="kl"), metric_base=0.0) for claim in claims]
    text = " ".join(mark.text for mark in scene(graph(*claims), found).legend if isinstance(mark, Text))
    assert "positive" not in text
    assert "|" not in text
    assert "effect = 0.500" in text
    found[0] = replace(found[0], metric_base=0.1)
    text = " ".join(mark.text for mark in scene(graph(*claims), found).legend if isinstance(mark, Text))
    assert "positive: patching raises kl" in text


def test_the_legend_shows_widths_that_occur() -> None:
    claims = [edge("m0", f"m{i}") for i in (1, 2, 3)]
    effects = [row(claim, effect) for claim, effect in zip(claims, (-8.0, 7.0, 3.0), strict=True)]
    widths = [mark.text for mark in scene(graph(*claims), effects[:2]).legend if isinstance(mark, Text)]
    assert "|effect| = 8.00" in widths
    assert "2.00" not in widths
    assert not any("effect" in mark.text for mark in scene(graph(*claims)).legend if isinstance(mark, Text))


def test_what_of_a_node_is_patched_is_written_whole() -> None:
    claim = NodeClaim((parse("a2.h0<pattern>@END"),))
    (box,) = scene(graph(claim), [row(claim, -38.1)]).boxes
    assert [text.text for text in box.panel.texts] == ["a2.h0", "attn −38.1"]


def test_verdicts_are_in_tooltips_and_counted_in_the_legend() -> None:
    refuted, supported = edge("a5.h5@S2", "a9.h6<q>@S2"), NodeClaim((parse("m2@END"),))
    judged = [
        replace(row(refuted, -0.5), expected="> 0", verdict="refuted"),
        replace(row(supported, -1.5), expected="< 0", verdict="supported"),
    ]
    picture = scene(graph(refuted, supported), judged)
    assert picture.arrows[0].tooltip.endswith("n = 64; refuted: expected > 0")
    (box,) = [box for box in picture.boxes if box.ids]
    assert box.panel.tooltip is not None
    assert box.panel.tooltip.endswith("n = 64; supported: expected < 0")
    assert "Expectations: 1 refuted, 1 supported." in legend_of(picture)


def test_tooltips_carry_addresses_effect_interval_and_n() -> None:
    claim = edge("a5.h5@S2", "a9.h6<q>@S2", "my label")
    (arrow,) = scene(graph(claim), [row(claim, -0.5, 0.25)]).arrows
    assert arrow.tooltip.splitlines() == [
        "a5.h5@S2 → a9.h6<q>@S2",
        "my label",
        "logit_diff: −0.500 [−0.750, −0.250], n = 64",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-5.189, "−5.19"), (0.0123, "0.0123"), (123.4, "123"), (2e-9, "2.0e-09"), (3e6, "3.0e+06")],
)
def test_numbers_have_three_digits_and_a_real_minus(value: float, text: str) -> None:
    assert number(value) == text.replace("-", "−")


# Where it is drawn


def _shrunk(rect: Rect) -> Rect:
    return Rect(rect.x + 0.5, rect.y + 0.5, rect.width - 1, rect.height - 1)


def assert_readable(picture: Scene) -> None:
    """Nothing overlaps, no text leaves its place, no arrow runs through a box or through a cluster of others."""
    rects = {box.key: box.panel.rect for box in picture.boxes}
    canvas = Rect(0, 0, picture.width, picture.height)
    listed = list(rects.values())
    assert not any(a.overlaps(b) for i, a in enumerate(listed) for b in listed[:i])
    clusters = [cluster.rect for cluster in picture.clusters]
    assert not any(a.overlaps(b) for i, a in enumerate(clusters) for b in clusters[:i])
    notes = [note.rect for note in picture.notes]
    assert not any(a.overlaps(b) for i, a in enumerate(notes) for b in [*notes[:i], *listed, *clusters])
    assert all(inside(rect, canvas) for rect in [*listed, *clusters, *notes])
    for arrow in picture.arrows:
        assert not any(note.contains(point) for note in notes for point in spaced(arrow.curve, 1.0)), "a note on a line"
    for panel in [
        *(box.panel for box in picture.boxes),
        *picture.headers,
        *(p for b in picture.boxes for p in b.ports),
    ]:
        assert all(width(text.text, text.size, bold=text.bold) <= panel.rect.width for text in panel.texts)
    for text in (*picture.texts, *(mark for mark in picture.legend if isinstance(mark, Text))):
        assert text.x + width(text.text, text.size, bold=text.bold) <= picture.width
    for arrow in picture.arrows:
        ends = rects[arrow.tail], rects[arrow.head]
        strange = [rect for rect in clusters if not any(inside(end, rect) for end in ends)]
        for point in points(arrow.curve):
            assert not any(_shrunk(rect).contains(point) for rect in strange)
            assert canvas.contains(point)
            hit = [key for key, rect in rects.items() if _shrunk(rect).contains(point)]
            assert not hit, f"{arrow.sender} → {arrow.receiver} runs through {hit}"


def test_nothing_overlaps_and_nothing_is_cut_off(drawn: CircuitGraph) -> None:
    assert_readable(scene(drawn))
    assert_readable(scene(drawn, rows(drawn)))


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 60), st.integers(2, 12), st.integers(0, 10**6), st.sampled_from([("",), ("@END",), ("@A", "@B", "")])
)
def test_any_graph_is_readable(edges: int, layers: int, seed: int, positions: tuple[str, ...]) -> None:
    assert_readable(scene(tangle(edges, layers, seed, positions)))


def test_arrows_end_at_their_port_and_start_at_their_box_or_cluster(drawn: CircuitGraph) -> None:
    picture = scene(drawn)
    boxes = {box.key: box for box in picture.boxes}
    for arrow in picture.arrows:
        head, tail = boxes[arrow.head], boxes[arrow.tail].panel.rect
        badges = {panel.texts[0].text: panel.rect for panel in head.ports}
        port = badges[arrow.port] if arrow.port else head.panel.rect
        x, y = arrow.tip[0]
        assert y == pytest.approx(port.bottom)
        assert port.x <= x <= port.right
        starts = [tail.y, *(c.rect.y for c in picture.clusters if inside(tail, c.rect))]
        assert any(arrow.curve[0][1] == pytest.approx(y) for y in starts)


def test_effects_stand_beside_their_own_arrow_or_nowhere(drawn: CircuitGraph) -> None:
    found = finding(drawn, rows(drawn))
    picture = scene(drawn, rows(drawn))
    for note in picture.notes:
        near = [
            (min(_distance(note.rect, point) for point in spaced(arrow.curve, 1.0)) - arrow.stroke.width / 2, arrow)
            for arrow in picture.arrows
        ]
        distance, nearest = min(near, key=lambda each: each[0])
        (text,) = note.texts
        assert distance < 4
        assert text.text == signed(found.rows[nearest.id].effect, found.digits)
        assert text.color == nearest.stroke.color


def _distance(rect: Rect, point: tuple[float, float]) -> float:
    x, y = point
    return math.hypot(max(rect.x - x, 0.0, x - rect.right), max(rect.y - y, 0.0, y - rect.bottom))


def test_every_strong_effect_of_a_small_circuit_is_written() -> None:
    subject = graph(edge("input", "a0.h1<q>"), edge("a0.h1", "m2"), edge("m2", "logits"))
    found = [row(claim, effect) for claim, effect in zip(subject.claims, (1.0, -2.0, 3.0), strict=True)]
    assert {note.texts[0].text for note in scene(subject, found).notes} == {"+1.00", "−2.00", "+3.00"}


def test_arrows_that_run_the_same_way_stay_apart() -> None:
    claims = [edge(f"a0.h{i}@S2", f"a5.h{i}<v>@S2") for i in range(4)]
    out = [edge(f"a5.h{i}@END", "logits") for i in range(4)]
    arrows = [arrow for arrow in scene(graph(*claims, *out)).arrows if arrow.port == "v"]
    for one, other in pairwise(sorted(arrows, key=lambda arrow: arrow.curve[0][0])):
        middle = spaced(other.curve, 1.0)[len(spaced(other.curve, 1.0)) // 2]
        assert min(math.dist(middle, point) for point in spaced(one.curve, 1.0)) > 4


def test_a_narrow_picture_is_filled_from_the_left() -> None:
    picture = scene(graph(edge("input@S2", "a0.h1<q>@S2"), edge("a0.h1@END", "logits")))
    names = [text for text in picture.texts if text.text.startswith("layer")]
    assert {text.x for text in names} == {picture.texts[0].x}
    assert picture.columns[0].rect.x - max(text.x + width(text.text, text.size) for text in names) < 30
    assert picture.width - picture.columns[-1].rect.right < 30


@given(st.floats(3, 600), st.floats(0.9, 5), st.sampled_from([Dash.DASHED, Dash.DOTTED]))
def test_dashed_lines_begin_and_end_with_a_whole_dash(long: float, wide: float, dash: Dash) -> None:
    curve = ((0.0, 0.0), (0.0, long / 3), (0.0, long * 2 / 3), (0.0, long))
    found = dashes(curve, Stroke("#000000", wide, dash))
    assert found is not None
    on, off = found
    assert (long + off) / (on + off) == pytest.approx(round((long + off) / (on + off)))
    assert length(curve) == pytest.approx(long)


def test_a_cluster_of_many_heads_takes_several_lines_and_stays_readable() -> None:
    heads = [f"a{layer}.h{i}" for layer in (1, 2) for i in range(10)]
    claims = [edge("input", f"{h}<v>") for h in heads] + [edge(h, "logits") for h in heads]
    claims += [edge("a1.h0", "a2.h1<q>"), edge("a1.h3", "a2.h9<k>")]
    picture = scene(graph(*claims, groups=(group("many", " ".join(heads)),)))
    assert len({box.panel.rect.y for box in picture.boxes if box.group}) == 4
    assert_readable(picture)


def test_five_hundred_edges_are_drawn_and_the_weak_ones_fade() -> None:
    subject = tangle(500, 8, 3)
    arrows = scene(subject, rows(subject)).arrows
    assert len(arrows) == 500
    assert arrows[0].stroke.opacity < 0.5 < arrows[-1].stroke.opacity


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12), st.floats(0, 20), st.floats(1, 150))
def test_settled_places_keep_order_distance_and_walls(wishes: list[float], distance: float, room: float) -> None:
    places = settle(wishes, [distance] * (len(wishes) - 1), -room, room)
    fits = distance * (len(wishes) - 1) <= 2 * room
    assert all(-room - 1e-6 <= place <= room + 1e-6 for place in places)
    assert all(b - a >= (distance if fits else 0) - 1e-6 for a, b in pairwise(places))


def test_settled_places_are_the_wishes_where_these_fit() -> None:
    assert settle([0.0, 10.0, 30.0], [5.0, 5.0], -1, 40) == [0.0, 10.0, 30.0]
    assert settle([10.0, 10.0], [4.0], 0, 40) == [8.0, 12.0]


# Text


def test_widths_are_those_of_arial() -> None:
    assert width("a", 1000) == pytest.approx(556, abs=1)
    assert width("W", 1000, bold=True) == pytest.approx(944, abs=1)
    assert width("e\u0301", 10) == width("e", 10)


def test_text_is_cut_and_wrapped_to_its_limit() -> None:
    assert fit("short", 10, 100) == "short"
    assert width(fit("x" * 500, 10, 100), 10) <= 100
    lines = wrap("some words " * 12, 10, 150, lines=3)
    assert len(lines) == 3
    assert all(width(line, 10) <= 150 for line in lines)
    assert lines[-1].endswith("…")
    assert wrap("", 10, 100, lines=2) == ()
    even = wrap("one two three four five six", 10, 110, lines=3)
    assert len(even) == 2
    assert abs(width(even[0], 10) - width(even[1], 10)) < 30


def test_rows_of_another_graph_are_refused() -> None:
    with pytest.raises(InputError, match=r"m0 → m9.*belongs to no edge or node of 'test'"):
        scene(graph(edge("m0", "m1")), [row(edge("m0", "m9"), 1.0)])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_refused_by_name(bad: float) -> None:
    claim = edge("m0", "m1")
    with pytest.raises(NotFiniteError, match="m0 → m1"):
        scene(graph(claim), [replace(row(claim, 1.0), effect=bad)])


def test_a_graph_of_nothing_but_groups_is_drawn() -> None:
    picture = scene(graph(groups=(group("movers", "a9.h6 a9.h9"),), shape=ModelShape(12, 12, 12)))
    assert {box.key for box in picture.boxes} == {"a9.h6", "a9.h9"}
    assert_readable(picture)

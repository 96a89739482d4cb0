"""Method diagrams: what every part does in every stage, where it stands, and how an experiment is named."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

import circuitgraph as cg
from circuitgraph.drawing import svg
from circuitgraph.drawing.scene import Rect, Sample, Scene
from circuitgraph.drawing.text import width
from circuitgraph.errors import InputError, RefusedError
from circuitgraph.graph.claims import (
    ChainClaim,
    CircuitGraph,
    Claim,
    Counterfactual,
    EdgeClaim,
    Intervention,
    Mean,
    NodeClaim,
    Prune,
    Resample,
    SetClaim,
    Source,
    Zero,
    claim_id,
)
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import (
    MLP,
    Address,
    Attention,
    Head,
    Input,
    KVHead,
    Logits,
    Node,
    Port,
    Position,
    Residual,
    parse,
)
from circuitgraph.plans import experiment_of, explain
from circuitgraph.spec.model import BaseRun, PairSpec, PathKind, PromptsSpec, ReceiverMode, ReferenceSpec
from circuitgraph.unrolled import Unrolled, find_claim, picture, unroll
from circuitgraph.unrolled.looks import CLEAN as GREY
from circuitgraph.unrolled.looks import CORRUPTED, EMPTY, FROM_REFERENCE, RECOMPUTED, filling
from circuitgraph.unrolled.rows import rows_of
from circuitgraph.unrolled.states import Change, Column, Does
from tests.render_graphs import NASTY
from tests.test_docs import script
from tests.test_render_formats import SVG, SvgFile

ROOT = Path(__file__).parents[1]
SPEC = ROOT / "specs" / "seed-path-patching.yaml"
SMALL = ModelShape(3, 2, 2)
GPT2 = ModelShape(12, 12, 12)
THROUGH = PathKind.THROUGH_MLPS
METRICS = ["logit_diff at END"]
REFERENCE = ReferenceSpec(prompts=PromptsSpec(pairs=(PairSpec(clean=(1, 2)), PairSpec(clean=(3, 4)))))


def addresses(text: str) -> tuple[Address, ...]:
    return tuple(map(parse, text.split()))


def edge(senders: str, receivers: str, /, **how: object) -> EdgeClaim:
    return EdgeClaim(addresses(senders), addresses(receivers), Intervention(**how))  # type: ignore[arg-type]  # keywords come from the test


def chain(*hops: str, **how: object) -> ChainClaim:
    return ChainClaim(tuple(map(parse, hops)), Intervention(**how))  # type: ignore[arg-type]  # as above


def node(nodes: str, **how: object) -> NodeClaim:
    return NodeClaim(addresses(nodes), Intervention(**how))  # type: ignore[arg-type]  # as above


def unrolled(claim: Claim, shape: ModelShape = SMALL) -> Unrolled:
    return unroll(experiment_of(claim, shape), shape, METRICS)


def drawn(claim: Claim, shape: ModelShape = SMALL) -> Scene:
    return picture(CircuitGraph("test", shape, (), (claim,)), claim, METRICS, model="a/model")


def doing(column: Column, does: Does) -> str:
    """The parts that do this, by node, in the order of the model."""
    return " ".join(str(part.node) for part, cell in column.cells.items() if cell.does is does)


def recorded(column: Column) -> dict[str, str]:
    return {str(part.node): "".join(cell.ports) for part, cell in column.cells.items() if cell.recorded}


# What every part does ---------------------------------------------------------------------------


def test_path_patching_through_mlps_as_the_seed_draws_it() -> None:
    cache, isolate, propagate = unrolled(edge("a0.h0", "a2.h0", path=THROUGH)).stages
    clean, corrupted = cache.columns
    assert (clean.run, corrupted.run) == ("clean", "corrupted")
    assert {cell.does for cell in clean.cells.values()} == {Does.COMPUTED}
    assert doing(corrupted, Does.KEPT) == "a0.h0"
    (column,) = isolate.columns
    assert doing(column, Does.REPLACED) == "a0.h0"
    assert doing(column, Does.RECOMPUTED) == "m0 m1"
    assert doing(column, Does.FROZEN) == "a0.h1 a1.h0 a1.h1 a2.h0 a2.h1"
    assert doing(column, Does.IDLE) == "m2 logits"
    assert recorded(column) == {"a2.h0": "qkv"}
    assert column.change == Change(1, 4, Does.REPLACED, Counterfactual())
    (column,) = propagate.columns
    assert doing(column, Does.PUT) == "a2.h0"
    assert doing(column, Does.RECOMPUTED) == "m2 logits"
    assert doing(column, Does.COMPUTED) == "input a0.h0 a0.h1 m0 a1.h0 a1.h1 m1 a2.h1"
    assert column.change == Change(5, 6, Does.RECOMPUTED, None)


def test_a_direct_path_passes_through_nothing() -> None:
    (column,) = unrolled(edge("a0.h0", "a2.h0<q>")).stages[1].columns
    assert doing(column, Does.RECOMPUTED) == ""
    assert doing(column, Does.FROZEN) == "a0.h1 m0 a1.h0 a1.h1 m1 a2.h0 a2.h1 m2"
    assert recorded(column) == {"a2.h0": "q"}


def test_in_parallel_blocks_the_mlp_beside_the_sender_is_not_on_the_path() -> None:
    _, isolate, propagate = unrolled(edge("a0.h0", "a2.h0", path=THROUGH), ModelShape(3, 2, 2, parallel=True)).stages
    assert doing(isolate.columns[0], Does.RECOMPUTED) == "m1"
    assert doing(isolate.columns[0], Does.COMPUTED) == "input m0"
    assert doing(propagate.columns[0], Does.RECOMPUTED) == "logits"  # m2 reads what a2.h0 reads
    assert [row.layers for row in rows_of(unrolled(edge("a0.h0", "a2.h0"), ModelShape(3, 2, 2, parallel=True)))] == [
        (), (0,), (1,), (2,), (),
    ]  # fmt: skip


def test_a_model_without_mlps_has_no_boxes_for_them() -> None:
    made = unrolled(edge("a0.h0", "a1.h1<v>", path=THROUGH), ModelShape(2, 2, 2, mlps=False))
    assert [str(part.node) for part in made.parts] == ["input", "a0.h0", "a0.h1", "a1.h0", "a1.h1", "logits"]
    assert all(not row.right for row in rows_of(made))


def test_a_shared_key_reaches_all_its_query_heads() -> None:
    _, isolate, propagate = unrolled(edge("m0", "a1.kv1<k>"), ModelShape(3, 8, 2)).stages
    (part,) = (part for part, cell in isolate.columns[0].cells.items() if cell.recorded)
    assert [str(head) for head in part.heads] == ["a1.h4", "a1.h5", "a1.h6", "a1.h7"]
    assert isolate.columns[0].cells[part].ports == (Port.K,)
    assert doing(propagate.columns[0], Does.PUT) == "a1.kv1"
    assert doing(propagate.columns[0], Does.RECOMPUTED) == "m1 a2.h0 m2 logits"  # a2.h0 stands for 8 heads
    assert doing(propagate.columns[0], Does.COMPUTED) == "input a0.h0 m0 a1.h0"


def test_a_shared_key_without_a_port_has_no_query() -> None:
    assert recorded(unrolled(edge("m0", "a1.kv1"), ModelShape(3, 8, 2)).stages[1].columns[0]) == {"a1.kv1": "kv"}


def test_a_node_has_two_stages() -> None:
    cache, propagate = unrolled(node("a1.h0@END")).stages
    assert doing(cache.columns[1], Does.KEPT) == "a1.h0"
    (column,) = propagate.columns
    assert doing(column, Does.REPLACED) == "a1.h0"
    assert doing(column, Does.RECOMPUTED) == "m1 a2.h0 a2.h1 m2 logits"


def test_an_input_of_a_node_is_put_in_and_the_node_computed_from_it() -> None:
    (column,) = unrolled(node("a1.h0<pattern>@END")).stages[1].columns
    assert doing(column, Does.PUT) == "a1.h0"
    (cell,) = (cell for cell in column.cells.values() if cell.does is Does.PUT)
    assert (cell.put, cell.source) == ((Port.PATTERN,), Counterfactual())


def test_each_hop_of_a_chain_is_isolated() -> None:
    made = unrolled(chain("a0.h0", "a1.h1<v>", "a2.h0<q>", path=THROUGH))
    assert [stage.name for stage in made.stages] == ["cache", "isolate 1", "isolate 2", "propagate"]
    first, second, last = (stage.columns[0] for stage in made.stages[1:])
    assert (doing(first, Does.REPLACED), doing(first, Does.RECOMPUTED), recorded(first)) == (
        "a0.h0",
        "m0",
        {"a1.h1": "v"},
    )
    assert (doing(second, Does.PUT), doing(second, Does.RECOMPUTED), recorded(second)) == (
        "a1.h1",
        "m1",
        {"a2.h0": "q"},
    )
    assert doing(second, Does.FROZEN) == "a0.h0 a0.h1 a1.h0 a2.h0 a2.h1"
    assert doing(last, Does.PUT) == "a2.h0"
    assert [part.role for part in made.parts if part.role] == ["sender", "hop 1", "receiver"]


def test_joined_ends_change_together_and_each_receiver_is_recorded() -> None:
    _, isolate, propagate = unrolled(edge("a0.h0 m0", "a1.h0<q> a2.h1", path=THROUGH)).stages
    assert doing(isolate.columns[0], Does.REPLACED) == "a0.h0 m0"
    assert doing(isolate.columns[0], Does.RECOMPUTED) == "m1"
    assert recorded(isolate.columns[0]) == {"a1.h0": "q", "a2.h1": "qkv"}
    assert doing(propagate.columns[0], Does.PUT) == "a1.h0 a2.h1"
    assert doing(propagate.columns[0], Does.RECOMPUTED) == "m1 a2.h0 m2 logits"


def test_a_whole_layer_is_one_part_and_a_neuron_is_taken_out_of_its_mlp() -> None:
    made = unrolled(edge("a0", "m1.n7"), ModelShape(2, 4, 4, d_mlp=16))
    assert [str(part.node) for part in made.parts] == ["input", "a0", "m0", "a1.h0", "m1.n7", "m1", "logits"]
    assert [part.count for part in made.parts] == [1, 4, 1, 4, 1, 1, 1]
    assert doing(made.stages[2].columns[0], Does.COMPUTED) == "input a0 m0 a1.h0 m1"


def test_what_goes_into_the_logits_changes_nothing_on_the_way() -> None:
    _, isolate, propagate = unrolled(edge("m1", "logits")).stages
    assert recorded(isolate.columns[0]) == {"logits": ""}
    assert doing(propagate.columns[0], Does.PUT) == "logits"
    assert doing(propagate.columns[0], Does.RECOMPUTED) == ""
    assert propagate.columns[0].change is None


def test_a_point_of_the_stream_stands_between_the_layers() -> None:
    made = unrolled(edge("m0", "r2"))
    assert [str(row.middle.first.node) for row in rows_of(made) if row.middle] == ["input", "r2", "logits"]
    assert recorded(made.stages[1].columns[0]) == {"r2": ""}
    assert doing(made.stages[2].columns[0], Does.RECOMPUTED) == "a2.h0 a2.h1 m2 logits"


@pytest.mark.parametrize("claim", [
    SetClaim(((parse("a0.h0"), parse("a1.h0")),)),
    edge("a0.h0", "a1.h0 a2.h0", receivers=ReceiverMode.ADD),
])  # fmt: skip
def test_what_is_exchanged_in_one_run_has_no_stages(claim: Claim) -> None:
    with pytest.raises(RefusedError, match="no stages to draw"):
        unrolled(claim)


def test_a_receiver_on_the_way_to_another_is_recomputed_and_recorded() -> None:
    scene = drawn(edge("a0.h0", "m0 a2.h1<q>", path=THROUGH))
    assert words(scene, "isolate:clean:m0") == ["receiver", "m0", "recomputed; input recorded"]
    assert words(scene, "isolate:clean:a2.h1") == ["receiver", "a2.h1", "recorded"]
    (other_inputs,) = lines_into(scene, "propagate:clean:a2.h1")
    assert other_inputs.stroke.color == RECOMPUTED  # its k and v read what m0 has changed
    frozen = drawn(edge("a0.h0", "m0 a2.h1<q>"))
    assert words(frozen, "isolate:clean:m0") == ["receiver", "m0", "input recorded"]


def test_many_neurons_share_a_box() -> None:
    shape = ModelShape(2, 2, 2, d_mlp=64)
    rows = rows_of(unrolled(edge(" ".join(f"m0.n{i}" for i in (1, 7, 40)), "logits"), shape))
    assert [[group.name for group in row.right] for row in rows if row.right] == [
        ["m0.n1, n7, n40", "rest of m0"],
        ["m1"],
    ]


# How it looks -----------------------------------------------------------------------------------


def fills(scene: Scene, stage: str, run: str) -> dict[str, str]:
    found = {box.node: box.panel.fill for box in scene.boxes if box.key.startswith(f"{stage}:{run}:")}
    return {name: fill for name, fill in found.items() if fill is not None}


def test_grey_is_clean_and_green_corrupted() -> None:
    scene = drawn(edge("a0.h0", "a2.h0", path=THROUGH))
    assert set(fills(scene, "cache", "clean").values()) == {filling(GREY)}
    assert set(fills(scene, "cache", "corrupted").values()) == {filling(CORRUPTED)}
    isolate = fills(scene, "isolate", "clean")
    assert [name for name, fill in isolate.items() if fill == filling(CORRUPTED)] == ["a0.h0"]
    assert isolate["a0.h1"] == isolate["input"] == filling(GREY)
    dashed = {box.key for box in scene.boxes if box.panel.border and box.panel.border.color == RECOMPUTED}
    assert dashed == {"isolate:clean:m0", "isolate:clean:m1", "propagate:clean:m2", "propagate:clean:logits"}


def test_denoising_swaps_the_roles() -> None:
    claim = edge("a0.h0", "a2.h0", base=BaseRun.CORRUPTED)
    scene = drawn(claim)
    assert [column.run for column in unrolled(claim).columns] == ["corrupted", "clean", "corrupted", "corrupted"]
    isolate = fills(scene, "isolate", "corrupted")
    assert (isolate["a0.h0"], isolate["a0.h1"]) == (filling(GREY), filling(CORRUPTED))
    assert words(scene, "isolate:corrupted:a0.h0") == ["sender", "a0.h0", "clean"]
    assert "denoising" in said(scene)


def lines_into(scene: Scene, key: str) -> list[Sample]:
    """The lines that end at the lower edge of a box."""
    (rect,) = (box.panel.rect for box in scene.boxes if box.key == key)
    tips = [(line, line.tip[0]) for line in scene.lines if line.tip]
    return [line for line, (x, y) in tips if abs(y - rect.bottom) < 0.01 and rect.x < x < rect.right]


def test_what_is_frozen_reads_nothing_and_the_path_leads_to_the_ports() -> None:
    scene = drawn(edge("a0.h0", "a2.h0<q,v>", path=THROUGH))
    assert lines_into(scene, "isolate:clean:a1.h0") == lines_into(scene, "isolate:clean:a0.h0") == []
    assert [line.stroke.color for line in lines_into(scene, "isolate:clean:a2.h0")] == [CORRUPTED] * 2
    assert [line.stroke.color for line in lines_into(scene, "isolate:clean:m1")] == [CORRUPTED]
    assert [line.stroke.color for line in lines_into(scene, "propagate:clean:a2.h0")] == [GREY]  # k is its own
    assert [line.stroke.color for line in lines_into(scene, "propagate:clean:m2")] == [RECOMPUTED]
    assert lines_into(drawn(edge("a0.h0", "a2.h0")), "propagate:clean:a2.h0") == []


def words(scene: Scene, key: str) -> list[str]:
    (box,) = (box for box in scene.boxes if box.key == key)
    return [text.text for text in box.panel.texts]


def said(scene: Scene) -> str:
    """The texts of the key."""
    return " ".join(getattr(mark, "text", "") for mark in scene.legend)


@pytest.mark.parametrize(
    ("source", "runs", "color", "word", "legend"),
    [
        (Zero(), ["clean"], EMPTY, "zero", "zero"),
        (Mean(REFERENCE), ["clean", "reference set"], FROM_REFERENCE, "mean", "mean over the reference set"),
        (Resample(REFERENCE, 4), ["clean", "reference set"], FROM_REFERENCE, "resampled", "4 draws, effects averaged"),
    ],
)
def test_sources_are_told_apart_in_colour_and_words(
    source: Source, runs: list[str], color: str, word: str, legend: str
) -> None:
    claim = edge("a0.h0", "a2.h0", source=source)
    scene = drawn(claim)
    assert [column.run for column in unrolled(claim).stages[0].columns] == runs
    (box,) = (box for box in scene.boxes if box.key == "isolate:clean:a0.h0")
    assert box.panel.border is not None
    assert box.panel.border.color == color
    assert words(scene, "isolate:clean:a0.h0") == ["sender", "a0.h0", word]
    assert legend in said(scene)
    assert "corrupted" not in svg(scene)


def test_pruning_is_no_ablation() -> None:
    scene = drawn(node("a1.h0", source=Prune()))
    assert words(scene, "propagate:clean:a1.h0") == ["patched", "a1.h0", "pruned"]
    assert "output weights set to zero" in said(scene)
    assert "Pruning" in scene.texts[1].text


def test_captions_are_the_very_words_of_the_plan() -> None:
    for claim in (
        edge("a0.h0", "a2.h0<q>", path=THROUGH),
        node("a1.h0"),
        chain("a0.h0", "a1.h1<v>", "a2.h0", "logits"),
    ):
        scene = drawn(claim)
        captions = [" ".join(text.text for text in panel.texts[1:]) for panel in scene.columns]
        assert captions == [line[11:] for line in explain(experiment_of(claim, SMALL), METRICS)]


def test_the_ports_of_a_receiver_are_badges_and_its_position_is_in_its_name() -> None:
    scene = drawn(edge("a5.h5@S2", "a9.h6<q>@END"), GPT2)
    (box,) = (box for box in scene.boxes if box.key == "isolate:clean:a9.h6@END")
    assert [text.text for text in box.panel.texts] == ["receiver", "a9.h6", "@END", "recorded"]
    assert [badge.texts[0].text for badge in box.ports] == ["q"]


def test_of_a_large_model_what_is_not_named_shares_boxes() -> None:
    rows = rows_of(unrolled(edge("a2.h5", "a9.h6<q>", path=THROUGH), GPT2))
    named = [[group.name for group in (*row.left, *row.right)] for row in rows if row.middle is None]
    assert [row.layers for row in rows if row.middle is None] == [
        (0, 1), (2,), (2,), tuple(range(3, 9)), (9,), (9,), (10, 11),
    ]  # fmt: skip
    assert named == [
        ["24 heads", "2 MLPs"], ["11 other heads", "a2.h5"], ["m2"], ["72 heads", "6 MLPs"],
        ["11 other heads", "a9.h6"], ["m9"], ["24 heads", "2 MLPs"],
    ]  # fmt: skip
    many = rows_of(unrolled(edge("a2.h5", "a9.h0 a9.h6 a9.h9"), GPT2))
    assert ["9 other heads", "a9.h0, h6, h9"] in [[group.name for group in row.left] for row in many]


def test_svg_is_as_it_was(snapshot: SnapshotAssertion) -> None:
    assert svg(drawn(edge("a5.h5@S2", "a9.h6<q>@END", path=THROUGH), GPT2)) == snapshot(extension_class=SvgFile)


def test_text_of_users_stays_text() -> None:
    claim = EdgeClaim(addresses("a0.h0"), addresses("a2.h0"), label=NASTY)
    graph = CircuitGraph(NASTY, SMALL, (), (claim,))
    text = svg(picture(graph, claim, [NASTY], model=NASTY, title=NASTY))
    root = ElementTree.fromstring(text)  # noqa: S314
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg", "title", "desc", "g", "rect", "path", "polygon", "text",
    }  # fmt: skip
    assert "<script" not in text
    assert "\x00" not in text


# Where it stands --------------------------------------------------------------------------------


@st.composite
def shapes(draw: st.DrawFn) -> ModelShape:
    kv, each = draw(st.sampled_from([1, 2, 3, 4])), draw(st.sampled_from([1, 2, 3, 8]))
    mlps = draw(st.booleans())
    return ModelShape(
        draw(st.integers(1, 14)), kv * each, kv, d_mlp=32, mlps=mlps, parallel=mlps and draw(st.booleans())
    )


POSITIONS = [None, Position("END"), Position("S1", 1), Position("A_LONG_NAME"), Position("", -1)]
SOURCES = [Counterfactual(), Zero(), Mean(REFERENCE), Resample(REFERENCE, 3)]


def nodes(shape: ModelShape, layer: int) -> list[Node]:
    """Some nodes of a layer."""
    found: list[Node] = [Head(layer, 0), Head(layer, shape.heads - 1), Attention(layer)]
    return found + ([MLP(layer)] if shape.mlps else []) + ([Residual(layer)] if layer else [])


@st.composite
def claims(draw: st.DrawFn) -> tuple[Claim, ModelShape]:
    """An edge, a chain or a node, ends joined or not, at any positions, through any path, with any source."""
    shape = draw(shapes())
    how = Intervention(draw(st.sampled_from(PathKind)), draw(st.sampled_from(BaseRun)), draw(st.sampled_from(SOURCES)))
    place = st.sampled_from(POSITIONS)
    ordered: list[Node] = [Input(), *(each for layer in range(shape.layers) for each in nodes(shape, layer)), Logits()]
    hops = [draw(st.sampled_from(ordered[:-1]))]
    if draw(st.integers(0, 4)) == 0:
        return NodeClaim((Address(hops[0], (), draw(place)),), how), shape
    for _ in range(draw(st.integers(1, 4))):
        later = [each for each in ordered if shape.can_reach(hops[-1], each)]
        if later:
            hops.append(draw(st.sampled_from(later)))
    ends = [Address(hop, _ports(draw, hop), draw(place)) for hop in hops]
    first = Address(hops[0], (), ends[0].position)
    if len(hops) > 2:
        return ChainClaim((first, *ends[1:]), how), shape
    last = list(ends[1:])
    if isinstance(hops[1], Head) and shape.heads > 1:
        others = draw(st.integers(0, min(4, shape.heads - 1)))
        last = [Address(Head(hops[1].layer, i), ends[1].ports, draw(place)) for i in range(others + 1)]
    if isinstance(hops[1], Attention) and draw(st.booleans()):
        last = [Address(KVHead(hops[1].layer, shape.kv_heads - 1), (Port.K,), ends[1].position)]
    return EdgeClaim((first,), tuple(last), how), shape


def _ports(draw: st.DrawFn, of: Node) -> tuple[Port, ...]:
    ports = [(), (Port.Q,), (Port.K, Port.V)]
    return draw(st.sampled_from(ports)) if isinstance(of, Head | Attention) else ()


@given(claims())
@settings(max_examples=120)
def test_nothing_overlaps_and_nothing_is_cut_off(drawn_claim: tuple[Claim, ModelShape]) -> None:
    claim, shape = drawn_claim
    scene = drawn(claim, shape)
    canvas = Rect(0, 0, scene.width, scene.height)
    boxes = [box.panel.rect for box in scene.boxes]
    assert scene.width <= 1600
    assert len({box.key for box in scene.boxes}) == len(boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    panels = [panel.rect for panel in scene.columns]
    assert all(canvas.holds(rect) for rect in panels)
    assert not any(a.overlaps(b) for i, a in enumerate(panels) for b in panels[:i])
    assert all(any(panel.holds(rect) for panel in panels) for rect in boxes)
    for box in scene.boxes:
        for panel in (box.panel, *box.ports):
            assert box.panel.rect.holds(panel.rect)
            assert all(panel.rect.holds(place_of(text)) for text in panel.texts), box.key
        tops = [text.y for text in box.panel.texts]
        assert all(below - above > 10 for above, below in pairwise(tops))
    loose = [*scene.texts, *(mark for mark in scene.legend if hasattr(mark, "anchor"))]
    loose += [text for panel in (*scene.columns, *scene.clusters) for text in panel.texts]
    texts = [place_of(text) for text in loose]
    assert all(canvas.holds(rect) for rect in texts)
    assert not any(a.overlaps(b) for i, a in enumerate(texts) for b in [*texts[:i], *boxes])


def place_of(text) -> Rect:
    """Where a line of text is."""
    wide = width(text.text, text.size, bold=text.bold)
    left = text.x - {"start": 0.0, "middle": wide / 2, "end": wide}[text.anchor]
    return Rect(left, text.y - 0.75 * text.size, wide, 0.95 * text.size)


@given(claims())
@settings(max_examples=60)
def test_no_line_runs_through_a_box_or_a_text(drawn_claim: tuple[Claim, ModelShape]) -> None:
    scene = drawn(*drawn_claim)
    texts = [place_of(text) for panel in (*scene.columns, *scene.clusters) for text in panel.texts]
    for line in scene.lines:
        for (x0, y0), (x1, y1) in segments(line):
            assert x0 == pytest.approx(x1) or y0 == pytest.approx(y1)  # upright or level
            area = Rect(min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0))
            for rect in [*texts, *(box.panel.rect for box in scene.boxes)]:
                inner = Rect(rect.x + 0.6, rect.y + 0.6, rect.width - 1.2, rect.height - 1.2)
                assert not inner.overlaps(area)


def segments(line: Sample) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """The straight pieces of a line."""
    return list(pairwise([line.curve[0], *line.curve[3::3]]))


# How an experiment is named ---------------------------------------------------------------------

NAMED = CircuitGraph("named", GPT2, (), (
    edge("a0.h0", "a2.h0"),
    EdgeClaim(addresses("a0.h0"), addresses("a2.h0"), Intervention(path=THROUGH), "through MLPs"),
    edge("a5.h5@S1+1", "a9.h6<q>@END"),
    edge("a5.h5@END a6.h9@END", "logits"),
    edge("m3", "m8"),
    edge("m3", "m8", base=BaseRun.CORRUPTED),
    chain("a0.h0", "a1.h1<v>", "logits"),
    node("m3@END"),
    SetClaim(((parse("a0.h0"), parse("a1.h0")), (parse("a0.h1"), parse("logits"))), label="a set"),
))  # fmt: skip


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("a0.h0 → a2.h0", 0), ("0.0->2.0", 0), ("L0H0 -> a2.h0<q,k,v>", 0), ("through MLPs", 1), ("Through mlps", 1),
        ("5.5@S1+1 -> blocks.9.attn.hook_q[:, :, 6]@END", 2), ("a6.h9@END + a5.h5@END -> logits", 3),
        ("a0.h0 -> a1.h1.v -> logits", 6), ("MLP 3@END", 7), ("a set", 8),
        *((claim_id(claim)[:length], i) for i, claim in enumerate(NAMED.claims) for length in (6, 12)),
    ],
)  # fmt: skip
def test_an_experiment_is_found_by_its_label_its_addresses_or_its_id(text: str, index: int) -> None:
    assert find_claim(NAMED, text) is NAMED.claims[index]


def test_an_unknown_experiment_comes_with_those_that_are_near() -> None:
    with pytest.raises(
        InputError, match=r"'5.5 -> 9.6' is none of the 9 .* did you mean 'a5.h5@S1\+1 → a9.h6<q>@END'\?"
    ):
        find_claim(NAMED, "5.5 -> 9.6")
    with pytest.raises(InputError, match="did you mean 'through MLPs'"):
        find_claim(NAMED, "throuhg MLPs")
    with pytest.raises(InputError, match="has no experiments to draw"):
        find_claim(CircuitGraph("empty", GPT2, (), ()), "x")


def test_a_name_of_several_experiments_comes_with_their_ids() -> None:
    with pytest.raises(InputError, match="names 2 experiments; name one by its id") as raised:
        find_claim(NAMED, "m3 -> m8")
    assert f"{claim_id(NAMED.claims[5])}  m3 → m8 (path: direct, base: corrupted" in str(raised.value)


# The command, and the pages ---------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_the_command_draws_and_prints_the_stages(circuitgraph, tmp_path, suffix) -> None:
    ended = circuitgraph("plan", SPEC, "--diagram", "0.0 -> 2.0", "-o", f"edge.{suffix}")
    assert (ended.status, ended.err) == (0, f"wrote edge.{suffix}\n")
    assert ended.out.startswith(
        "a0.h0 → a2.h0\n     cache      clean run and corrupted run; keep a0.h0 of the latter\n"
    )
    start = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[suffix]
    assert (tmp_path / f"edge.{suffix}").read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--diagram", "0.0 -> 2.0"], 2, "--diagram needs a file: -o edge.svg"),
        (["-o", "x.svg"], 2, "-o goes with --diagram EDGE"),
        (["--diagram", "0.0 -> 2.0", "-o", "x.svg", "--json"], 2, "goes without --all, --explain and --json"),
        (["--diagram", "0.0 -> 2.0", "-o", "x.jpg"], 2, "'x.jpg' names no picture by its ending"),
        (["--diagram", "0.1 -> 2.0", "-o", "x.svg"], 2, "did you mean 'a0.h0 → a2.h0'?"),
        (["--diagram", "0.0 -> 2.0", "-o", "no/x.svg"], 5, "cannot write 'no/x.svg'"),
    ],
)
def test_what_cannot_be_drawn_is_said(circuitgraph, tmp_path, options, status, message) -> None:
    ended = circuitgraph("plan", SPEC, *options)
    assert ended.status == status
    assert message in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("at", "told"), [
    ("END", "the last token of every prompt (2 to 3)"),
    ("S", "token 1 of every prompt"),
    ("S+1", "token 2 of every prompt"),
])  # fmt: skip
def test_a_note_says_which_token_a_position_is(tmp_path, at, told) -> None:
    pairs = [{"clean": [1, 2, 3, 4][:n], "corrupted": [1, 5, 3, 4][:n], "answers": [6], "wrong_answers": [7],
              "positions": {"S": 1}} for n in (3, 4)]  # fmt: skip
    shape = {"layers": 2, "heads": 2, "vocab": 9}
    spec = {"version": 1, "name": "x", "model": {"name": "a/b", "shape": shape}, "prompts": {"pairs": pairs},
            "metrics": ["logit_diff"], "nodes": [f"a0.h0@{at}"]}  # fmt: skip
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(spec))
    drawn_to = cg.diagram(tmp_path / "x.yaml", f"a0.h0@{at}", tmp_path / "x.svg", title="A title")
    text = drawn_to.read_text()
    assert f"@{at} is {told}" in text
    assert ">A title<" in text


DIAGRAMS = script("make_diagrams")
SHOWN = list(DIAGRAMS.shown())


def test_the_page_shows_an_edge_a_node_and_a_chain() -> None:
    assert len(SHOWN) >= 4


@pytest.mark.parametrize("shown", SHOWN, ids=[each.image for each in SHOWN])
def test_the_pictures_of_the_page_are_what_its_commands_draw(tmp_path, shown) -> None:
    """`make docs` draws them anew."""
    written = cg.diagram(ROOT / shown.spec, shown.experiment, tmp_path / "x.svg")
    assert written.read_text("utf-8") == (ROOT / "docs" / shown.image).read_text("utf-8")

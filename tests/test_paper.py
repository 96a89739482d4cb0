"""Drawing: the style of a paper's figure. Groups are boxes, and one arrow stands for all edges between two of them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from circuitgraph import api
from circuitgraph.drawing import Example, Scene, Style, grouped, render, scene
from circuitgraph.drawing.scene import Dash, Rect, Text
from circuitgraph.drawing.style import NEGATIVE, POSITIVE, UNDECIDED
from circuitgraph.graph.claims import CircuitGraph, NodeClaim, claim_id
from circuitgraph.nodes import Position, parse
from tests.render_graphs import (
    DENOISING,
    GRAPHS,
    THROUGH_MLPS,
    edge,
    graph,
    group,
    inside,
    ioi,
    mini,
    row,
    rows,
)  # fmt: skip
from tests.test_docs import script

FIRST, SECOND = group("low", "a0.h1 a0.h10", "Low heads", "what they do"), group("high", "a2.h0 a2.h1")


def two() -> CircuitGraph:
    claims = [edge(f"{s}@END", f"{r}<{port}>@END") for s in ("a0.h1", "a0.h10") for r in ("a2.h0", "a2.h1")
              for port in "qv"]  # fmt: skip
    return graph(*claims, groups=(FIRST, SECOND))


def texts(picture: Scene, key: str) -> list[str]:
    (box,) = (box for box in picture.boxes if box.key == key)
    return [text.text for text in box.panel.texts]


def legend_of(picture: Scene) -> str:
    return " ".join(mark.text for mark in picture.legend if isinstance(mark, Text))


def test_a_group_is_one_box_with_its_members_written_in_it() -> None:
    picture = grouped(two())
    assert {box.key for box in picture.boxes} == {"low@END", "high@END"}
    assert texts(picture, "low@END") == ["Low heads", "0.1", "0.10"]
    (low,) = (box for box in picture.boxes if box.key == "low@END")
    assert (low.node, low.group, low.position) == ("a0.h1 a0.h10", "low", "END")
    assert low.panel.tooltip == "Low heads\nwhat they do\na0.h1@END, a0.h10@END"
    assert not picture.clusters


def test_one_arrow_for_each_port_carries_the_ids_of_its_edges() -> None:
    subject = two()
    arrows = grouped(subject).arrows
    assert [(a.tail, a.head, a.port, len(a.ids)) for a in sorted(arrows, key=lambda a: a.port)] == [
        ("low@END", "high@END", "q", 4),
        ("low@END", "high@END", "v", 4),
    ]
    assert {id_ for arrow in arrows for id_ in arrow.ids} == set(subject.by_id)
    assert sorted(panel.texts[0].text for panel in grouped(subject).tags) == ["q", "v"]


def test_an_arrow_shows_the_strongest_whose_interval_leaves_out_0() -> None:
    claims = [edge(f"{s}@END", f"{r}<q>@END") for s in ("a0.h1", "a0.h10") for r in ("a2.h0", "a2.h1")]
    subject = graph(*claims, groups=(FIRST, SECOND))
    effects = [(5.0, 9.0), (-2.0, 0.5), (1.0, 0.1), (0.1, 0.2)]
    found = [row(claim, *effect) for claim, effect in zip(claims, effects, strict=True)]
    picture = grouped(subject, found)
    (arrow,) = picture.arrows
    assert arrow.id == claim_id(claims[1])
    assert (arrow.stroke.color, arrow.stroke.dash) == (NEGATIVE, Dash.DASHED)
    assert [note.texts[0].text for note in picture.notes] == ["−2.00"]
    first, seen, stronger, *_ = arrow.tooltip.splitlines()
    assert first == "low@END → high@END <q>: 4 edges"
    assert seen == "a0.h1@END → a2.h1<q>@END: logit_diff −2.00 [−2.50, −1.50]"
    assert stronger == (
        "a0.h1@END → a2.h0<q>@END: logit_diff +5.00 [−4.00, +14.0]; passed over, as its interval contains 0"
    )
    assert arrow.tooltip.count("passed over") == 1
    assert "of those whose interval leaves out 0 if there are any" in legend_of(picture)
    passed = "Larger effects that are not shown, as their intervals contain 0: a0.h1@END → a2.h0<q>@END: +5.00."
    assert passed in legend_of(picture)
    assert "|effect| = 2.00" in legend_of(picture)

    unsure = grouped(subject, [row(claim, 1.0 + i, 9.0) for i, claim in enumerate(claims)])
    assert (unsure.arrows[0].stroke.color, unsure.arrows[0].id) == (UNDECIDED, claim_id(claims[3]))
    assert "passed over" not in unsure.arrows[0].tooltip
    assert "not shown" not in legend_of(unsure)


def test_edges_that_are_measured_in_different_ways_are_different_arrows() -> None:
    usual = [edge(f"a0.h{i}@END", "a2.h0<q>@END") for i in (1, 10)]
    others = [edge("a0.h1@END", "a2.h0<q>@END", how=how) for how in (THROUGH_MLPS, DENOISING)]
    claims = [*usual, *others]
    subject = graph(*claims, groups=(FIRST, SECOND))
    picture = grouped(subject, [row(claim, 1.0 + i) for i, claim in enumerate(claims)])
    assert {(arrow.ids, arrow.unusual) for arrow in picture.arrows} == {
        (tuple(map(claim_id, usual)), ()),
        ((claim_id(others[0]),), ("through-mlps",)),
        ((claim_id(others[1]),), ("corrupted",)),
    }
    assert sorted(tag.texts[0].text for tag in picture.tags) == ["m", "q", "q", "q", "x"]
    assert "to one input of members of another, measured in one way: it shows" in legend_of(picture)
    assert "measured in one way" not in legend_of(grouped(two()))


def test_what_is_patched_together_is_one_experiment_with_one_effect() -> None:
    joined = edge("a0.h1@END a0.h10@END", "a2.h0<q>@END a2.h1<q>@END")
    subject = graph(joined, groups=(FIRST, SECOND))
    picture = grouped(subject, [row(joined, -3.0)])
    (arrow,) = picture.arrows
    assert arrow.tooltip.splitlines() == [
        "low@END → high@END <q>: 4 edges in 1 experiment",
        "a0.h1@END + a0.h10@END → a2.h0<q>@END + a2.h1<q>@END: logit_diff −3.00 [−3.10, −2.90]",
    ]
    assert "the effect of the strongest experiment" in legend_of(picture)
    assert "The edges of a joined edge, a chain or a set share one effect, that of all of them together." in legend_of(
        picture
    )
    assert "share" not in legend_of(grouped(two()))


def test_the_effect_of_patching_a_member_stands_beside_its_name() -> None:
    patched = NodeClaim((parse("a0.h1@END"),)), NodeClaim((parse("m1@END"),))
    subject = graph(*patched, *two().claims, groups=(FIRST, SECOND))
    picture = grouped(subject, [row(patched[0], 1.25), row(patched[1], -0.5)])
    assert texts(picture, "low@END") == ["Low heads", "0.1", "+1.25", "0.10"]
    assert texts(picture, "m1@END") == ["m1", "−0.50"]
    (low,) = (box for box in picture.boxes if box.key == "low@END")
    assert [text.color for text in low.panel.texts][2] == POSITIVE
    assert low.ids == (claim_id(patched[0]),)
    assert texts(grouped(subject), "m1@END") == ["m1", "patched"]


def test_a_patched_input_of_a_member_is_named_before_its_effect() -> None:
    query = NodeClaim((parse("a2.h1<q>@END"),))
    subject = graph(query, *two().claims, groups=(FIRST, SECOND))
    picture = grouped(subject, [row(query, -17.0)])
    assert texts(picture, "high@END") == ["high", "2.0", "2.1", "q −17.0"]
    assert "With q before it: only that input of the head is patched." in legend_of(picture)
    assert texts(grouped(subject), "high@END")[-1] == "q patched"
    assert "“patched”: the node itself is patched" in legend_of(grouped(subject))
    pattern = NodeClaim((parse("m1@END"),)), NodeClaim((parse("a1.h1<pattern>@END"),))
    alone = grouped(graph(*pattern), [row(claim, 1.0) for claim in pattern])
    assert texts(alone, "a1.h1@END") == ["1.1", "attn +1.00"]
    assert "With attn before it: only the attention pattern." in legend_of(alone)


def test_patched_members_carry_the_letters_of_the_effect_they_show() -> None:
    heads = NodeClaim((parse("a0.h1@END"),)), NodeClaim((parse("a0.h10@END"),), DENOISING)
    lone = NodeClaim((parse("m1@END"),), DENOISING)
    subject = graph(*heads, lone, *two().claims, groups=(FIRST, SECOND))
    picture = grouped(subject, [row(claim, 1.0) for claim in (*heads, lone)])
    boxes = {box.key: box.panel.rect for box in picture.boxes}
    letters = [tag.rect for tag in picture.tags if tag.texts[0].text == "x"]
    assert [inside(rect, boxes["low@END"]) for rect in letters] == [True, False]
    assert letters[1].overlaps(boxes["m1@END"])
    assert [box.unusual for box in picture.boxes if box.unusual] == [("corrupted",)]


def test_edges_between_members_are_told_not_drawn() -> None:
    inner = edge("a0.h1@END", "a2.h0<q>@END")
    picture = grouped(graph(inner, edge("a2.h0@END", "logits"), groups=(group("all", "a0.h1 a2.h0"),)))
    assert len(picture.arrows) == 1
    assert "1 edge between members of one box is not drawn." in legend_of(picture)
    (box,) = (box for box in picture.boxes if box.group)
    assert "1 edge between its members:\na0.h1@END → a2.h0<q>@END" in (box.panel.tooltip or "")
    twice = grouped(graph(inner, replace(inner, how=DENOISING), groups=(group("all", "a0.h1 a2.h0"),)))
    assert (twice.boxes[0].panel.tooltip or "").splitlines()[-3:] == [
        "1 edge in 2 experiments between its members:",
        "a0.h1@END → a2.h0<q>@END",
        "a0.h1@END → a2.h0<q>@END (base: corrupted)",
    ]
    assert "1 edge between members of one box is not drawn." in legend_of(twice)


def test_the_tokens_of_the_example_stand_below_their_positions() -> None:
    example = Example([" When", " Mary", " and", " John"], {"S1": 1, "END": 3})
    assert example.token(Position("S1", 1)) == "and"
    assert example.token(Position("S2")) is None
    assert example.token(Position("S1", 9)) is None
    subject = graph(edge("a0.h1@S1", "a2.h0<v>@S1"), edge("a2.h0@END", "logits"), groups=(FIRST, SECOND))
    columns = grouped(subject, example=example).columns
    assert [[text.text for text in panel.texts] for panel in columns] == [["S1", "“Mary”"], ["END", "“John”"]]
    assert [len(panel.texts) for panel in grouped(subject).columns] == [1, 1]


@pytest.mark.parametrize("name", [name for name in GRAPHS if name != "nasty"])
def test_nothing_overlaps_and_nothing_depends_on_what_was_measured(name: str) -> None:
    subject = GRAPHS[name]()
    alone, found = grouped(subject), grouped(subject, rows(subject))
    boxes = [box.panel.rect for box in alone.boxes]
    assert boxes == [box.panel.rect for box in found.boxes]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(inside(rect, Rect(0, 0, alone.width, alone.height)) for rect in boxes)
    assert len({box.key for box in alone.boxes}) == len(boxes)
    assert {a.tail for a in alone.arrows} | {a.head for a in alone.arrows} <= {box.key for box in alone.boxes}
    assert {id_ for arrow in alone.arrows for id_ in arrow.ids} <= set(subject.by_id)


def test_the_published_circuit_has_a_box_for_each_class() -> None:
    picture = grouped(ioi())
    assert {box.group for box in picture.boxes if box.group} == {
        "previous", "duplicate", "induction", "s_inhibition", "movers", "backup", "negative",
    }  # fmt: skip
    assert len(picture.arrows) < 30 < 120 < sum(1 for _ in ioi().arcs())


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf", ".dot", ".json"])
def test_every_format_is_written_in_this_style(suffix: str, tmp_path: Path) -> None:
    written = render(mini(), tmp_path / f"x{suffix}", rows=rows(mini()), style="paper")
    assert written.stat().st_size > 1000
    if suffix == ".json":
        drawn = json.loads(written.read_text())["scene"]["arrows"]
        assert {id_ for arrow in drawn for id_ in arrow["ids"]} == set(mini().by_id)
    if suffix == ".svg":
        ids = "".join(arrow.ids[0] for arrow in scene(mini()).arrows if arrow.ids)
        assert ids == ""
        assert written.read_text().count('class="boxes"') == 1


def test_a_spec_is_drawn_with_the_tokens_of_its_first_prompt(tmp_path: Path) -> None:
    text = api.render("specs/ioi-mini.yaml", tmp_path / "x.svg", style=Style.PAPER).read_text()
    assert ">S2<" in text
    assert text.count(">“") == 2
    assert ">“" not in api.render("specs/ioi-gpt2.yaml", tmp_path / "y.svg", style="paper").read_text()


PICTURES = script("make_pictures")
DRAWN = PICTURES.commands(PICTURES.PAGE.read_text(encoding="utf-8"))


def test_the_pages_pictures_of_specs_are_what_its_commands_draw(tmp_path: Path) -> None:
    """`make docs` draws them again, those of runs too."""
    found = PICTURES.draw(tmp_path, [command for command in DRAWN if command.startswith("render specs/")])
    assert set(found) == {"ioi-gpt2.svg", "ioi-gpt2-paper.svg"}
    for name, path in found.items():
        assert path.read_text() == (PICTURES.IMAGES / name).read_text()


def test_every_picture_of_the_page_has_its_command() -> None:
    page = PICTURES.PAGE.read_text(encoding="utf-8")
    shown = re.findall(r'images/([\w-]+\.(?:svg|png))[)"]', page)
    assert shown == [command.split(" -o ")[1].split()[0] for command in DRAWN if command.startswith("render")]

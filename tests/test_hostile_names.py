"""Drawing: whatever users call things, a picture and its data are the same but for the text shown."""

from __future__ import annotations

import json
import re
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from typing import Any

import networkx
import pygraphviz
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitgraph.drawing import Style, dot, grouped, scene, svg
from circuitgraph.drawing.data import attributed, graphml, node_link
from circuitgraph.drawing.raster import raster
from circuitgraph.drawing.scene import Scene
from circuitgraph.drawing.style import finding
from circuitgraph.drawing.text import END_OF_ISOLATE, ISOLATE, TURNS, fit, isolated, one_line, width, wrap
from circuitgraph.graph.claims import CircuitGraph, NodeClaim
from circuitgraph.nodes import Position, parse
from circuitgraph.results.records import Row
from tests.render_graphs import edge, graph, group, row, rows

OVERRIDE, POP = "\u202e", "\u202c"
HOSTILE = [
    "<script>alert('x')</script>",
    "\"' onload=\"alert(1)\" x='",
    "]]> <!-- & &amp; &#0; -->",
    f"{OVERRIDE}desrever{POP}",
    f"never closed {OVERRIDE}\u2067\u2066 right to left",
    "שלום 12 עולם",
    "مرحبا",
    "two\nlines\r\nand\u2028three\ttabs",
    "=HYPERLINK(\"http://x\")",
    "\\N \\l \\G %s {x|y} <b>",
    "-1 +1 @SUM(1)",
    "\x00\x08\x1b[31m\ufffe\ud800",
    "😀👨‍👩‍👧 ﷽ e\u0301\u0300\u0302",
    "",
    "   ",
    "x" * 10_000,
    "long words " * 1_000,
]  # fmt: skip
NAMES = st.sampled_from(HOSTILE) | st.text(max_size=30) | st.tuples(*[st.sampled_from(HOSTILE[:-2])] * 2).map("".join)


def named(*names: str) -> tuple[CircuitGraph, list[Row]]:
    """Two groups, edges between them and a node that is patched, with a name wherever users give one."""
    title, description, label, first, second, note, place, metric = names
    claims = [
        replace(edge(f"a0.h{i}@P", f"a2.h{j}<v>@P", label if i == j else None), sender_group=first)
        for i in (0, 1)
        for j in (0, 1)
    ]
    position = Position(place.strip() or "P")
    claims = [
        replace(
            claim,
            senders=tuple(replace(each, position=position) for each in claim.senders),
            receivers=tuple(replace(each, position=position) for each in claim.receivers),
        )
        for claim in claims
    ]
    groups = group(f"1{first}", "a0.h0 a0.h1", first, note), group(f"2{second}", "a2.h0 a2.h1", second, note)
    subject = graph(*claims, NodeClaim((parse("m3"),), label=label), name=title, groups=groups, description=description)
    return subject, [replace(each, metric=metric) for each in rows(subject)]


PLAIN = named("title", "description", "label", "first", "second", "note", "place", "metric")
HOSTILE_SETS = [[name] * 8 for name in HOSTILE]


def drawn(subject: tuple[CircuitGraph, list[Row]], style: Style) -> Scene:
    return grouped(*subject) if style is Style.PAPER else scene(*subject)


def skeleton(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """Elements with the names of their attributes and who they belong to, without the lines of text."""
    found = []
    for element in ElementTree.fromstring(text).iter():  # noqa: S314
        kind = element.tag.rpartition("}")[2]
        if kind != "text":
            names = sorted(set(element.attrib) - {"stroke-dasharray"})
            found.append((kind, (*names, re.sub(r"[0-9a-f]{12}", "id", element.get("data-id", "")))))
    return found


@pytest.mark.parametrize("style", Style)
@settings(max_examples=20, deadline=None)
@given(st.lists(NAMES, min_size=8, max_size=8))
def test_svg_is_the_same_but_for_its_text(style: Style, names: list[str]) -> None:
    subject = named(*names)
    text = svg(drawn(subject, style))
    assert skeleton(text) == skeleton(svg(drawn(PLAIN, style)))
    turns = [char for char in text if char in TURNS]
    assert turns == [ISOLATE, END_OF_ISOLATE] * (len(turns) // 2)


def attributes(read: Any) -> set[str]:
    """The names of the attributes of a graph's edges; pygraphviz has no types for them."""
    return {name for each in read.edges() for name in each.attr}


@pytest.mark.parametrize("names", HOSTILE_SETS, ids=range(len(HOSTILE)))
def test_every_hostile_name_leaves_every_format_whole(names: list[str]) -> None:
    subject, found = named(*names)
    picture = scene(subject, found)
    assert skeleton(svg(picture)) == skeleton(svg(scene(*PLAIN)))

    read, plain = (pygraphviz.AGraph(string=dot(each)) for each in (picture, scene(*PLAIN)))
    assert (read.number_of_nodes(), read.number_of_edges()) == (plain.number_of_nodes(), plain.number_of_edges())
    assert len(read.subgraphs()) == len(plain.subgraphs()) == 2
    assert attributes(read) == attributes(plain)

    held = attributed(subject, finding(subject, found))
    xml = networkx.parse_graphml(graphml(held), force_multigraph=True)
    link = json.loads(node_link(held, picture), parse_constant=pytest.fail)
    assert set(xml.nodes) == {node["id"] for node in link["nodes"]} == {"a0.h0", "a0.h1", "a2.h0", "a2.h1", "m3"}
    assert xml.number_of_edges() == len(link["edges"]) == 4
    labels = {attributes.get("label", "") for *_, attributes in xml.edges(data=True)}
    assert one_line(names[0]) in labels or not one_line(names[0])
    assert link["graph"]["name"] == names[0].encode("utf-8", "replace").decode()


@pytest.mark.parametrize("name", [*HOSTILE[:9], HOSTILE[-2]], ids=range(10))
def test_pictures_are_painted_whatever_the_names(name: str) -> None:
    assert raster(grouped(*named(*[name] * 8)), "png").startswith(b"\x89PNG")


def test_ten_thousand_characters_take_no_time() -> None:
    begun = time.process_time()
    for name in (HOSTILE[-1], HOSTILE[-2]):
        svg(scene(*named(*[name] * 8)))
    assert time.process_time() - begun < 1.5


@given(NAMES)
def test_a_line_has_no_turns_of_direction_but_whole_isolates(name: str) -> None:
    assert not set(TURNS) & set(one_line(name)) - {ISOLATE, END_OF_ISOLATE}
    once = isolated(name)
    assert one_line(once) == once
    assert isolated(once) == once
    assert once.count(ISOLATE) == once.count(END_OF_ISOLATE) <= 1


@given(NAMES, st.floats(20, 200))
def test_cut_text_is_a_start_of_the_text_and_fits(name: str, limit: float) -> None:
    cut = fit(name, 10, limit)
    assert cut == one_line(name) or one_line(name).startswith(cut.rstrip("…"))
    assert width(cut, 10) <= limit or cut == "…"
    for line in wrap(isolated(name), 10, limit, lines=3):
        assert line.count(ISOLATE) == line.count(END_OF_ISOLATE)


def test_right_to_left_names_stay_apart_from_the_numbers_beside_them() -> None:
    subject, found = named(*["שלום 12"] * 8)
    tooltip = scene(subject, found).arrows[-1].tooltip
    assert f"{ISOLATE}שלום 12{END_OF_ISOLATE}: " in tooltip
    assert row(subject.claims[0], 1.0).metric == "logit_diff"

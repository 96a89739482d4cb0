"""Drawing: every format is what it claims to be, and nothing a user wrote gets out of its quotes."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import networkx
import pygraphviz
import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from circuitgraph import api
from circuitgraph.drawing import FORMATS, Layout, dot, render, scene, svg
from circuitgraph.drawing.curves import spaced
from circuitgraph.drawing.text import FONT_DIRECTORY
from circuitgraph.errors import FileError, InputError
from circuitgraph.graph.claims import CircuitGraph, NodeClaim, SetClaim
from circuitgraph.nodes import parse
from circuitgraph.plans import build_plan
from circuitgraph.results.records import RunResult
from tests.render_graphs import (
    GRAPHS,
    NASTY,
    THROUGH_MLPS,
    edge,
    graph,
    inside,
    mini,
    mixed,
    nasty,
    row,
    rows,
    tangle,
    ways,
)

SVG = "{http://www.w3.org/2000/svg}"
ROOT = Path(__file__).parent.parent


@pytest.fixture(params=GRAPHS)
def drawn(request: pytest.FixtureRequest) -> CircuitGraph:
    return GRAPHS[request.param]()


class SvgFile(SingleFileSnapshotExtension):
    """One .svg file for each snapshot, so that it can be looked at."""

    _write_mode = WriteMode.TEXT
    file_extension = "svg"


@pytest.mark.parametrize("name", ["mini", "mixed"])
@pytest.mark.parametrize("kind", ["hypothesis", "finding"])
def test_svg_is_as_it_was(name: str, kind: str, snapshot: SnapshotAssertion) -> None:
    subject = GRAPHS[name]()
    found = rows(subject) if kind == "finding" else None
    assert svg(scene(subject, found)) == snapshot(extension_class=SvgFile)


def test_svg_is_the_same_in_every_process() -> None:
    code = (
        "from tests.render_graphs import ioi, rows\n"
        "from circuitgraph.drawing import scene, svg\n"
        "print(svg(scene(ioi(), rows(ioi()))))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(texts) == 1


def test_svg_holds_a_title_a_description_and_tooltips(drawn: CircuitGraph) -> None:
    root = ElementTree.fromstring(svg(scene(drawn)))  # noqa: S314
    assert root.find(f"{SVG}title") is not None
    assert (root.findtext(f"{SVG}desc") or "").startswith("Circuit graph of")
    arrows = root.findall(f"{SVG}g[@class='arrows']/{SVG}g")
    assert len(arrows) == sum(1 for _ in drawn.arcs())
    assert all("→" in (arrow.findtext(f"{SVG}title") or "") for arrow in arrows)
    assert {arrow.get("data-id") for arrow in arrows} <= set(drawn.by_id)


def test_text_of_users_stays_text() -> None:
    subject = nasty()
    text = svg(scene(subject, rows(subject)))
    root = ElementTree.fromstring(text)  # noqa: S314
    assert "<script" not in text
    assert "\x00" not in text
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg", "title", "desc", "g", "rect", "path", "polygon", "text",
    }  # fmt: skip
    assert "<script>alert('x')</script> & \"q\" \\N \\l ]]>" in " ".join(root.itertext())
    assert "שלום עולם 😀" in " ".join(root.itertext())


def test_dot_is_read_back_with_every_box_arrow_and_label() -> None:
    subject = nasty()
    read = pygraphviz.AGraph(string=dot(scene(subject, rows(subject))))
    assert set(read.nodes()) == {"input@END", "a0.h0@END", "logits@END", "a1.h0"}
    assert set(read.edges()) == {("input@END", "a0.h0@END"), ("a0.h0@END", "logits@END")}
    assert read.get_node("a0.h0@END").attr["label"].startswith("a0.h0")
    assert "\\\\N" in read.get_edge("input@END", "a0.h0@END").attr["tooltip"]  # a literal \N, not the node's name


def test_graphml_and_json_are_read_back_by_networkx(tmp_path: Path, drawn: CircuitGraph) -> None:
    found = rows(drawn)
    effects = {each.id: each.effect for each in found}
    xml = networkx.read_graphml(render(drawn, tmp_path / "x.graphml", rows=found), force_multigraph=True)
    data = json.loads(render(drawn, tmp_path / "x.json", rows=found).read_text(), parse_constant=pytest.fail)
    link = networkx.node_link_graph(data, edges="edges")
    for read in (xml, link):
        assert set(read.nodes) == {str(node) for node in drawn.nodes}
        assert read.number_of_edges() == sum(1 for _ in drawn.arcs())
        for *_, attributes in read.edges(data=True):
            assert attributes["effect"] == pytest.approx(effects[attributes["claim"]])
            assert attributes["patched_with"] == str(drawn.by_id[attributes["claim"]].how.source)
    assert {box["node"] for box in data["scene"]["boxes"]} == {str(node) for node in drawn.nodes}


def test_every_format_says_what_is_measured_otherwise(tmp_path: Path) -> None:
    subject = ways()
    root = ElementTree.parse(render(subject, tmp_path / "x.svg")).getroot()  # noqa: S314
    letters = [text.text for text in root.findall(f"{SVG}g[@class='tags']//{SVG}text")]
    assert {*letters} == {"m", "x", "0"}
    read = pygraphviz.AGraph(string=dot(scene(subject)))
    assert {edge.attr["taillabel"] or "" for edge in read.edges()} == {
        "", "through-mlps", "corrupted", "through-mlps, corrupted, zero",
    }  # fmt: skip
    assert read.get_node("a2.h1@END").attr["xlabel"] == "corrupted, zero"
    drawn = json.loads(render(subject, tmp_path / "x.json").read_text())["scene"]
    assert ["through-mlps", "corrupted", "zero"] in [arrow["unusual"] for arrow in drawn["arrows"]]
    assert [box["unusual"] for box in drawn["boxes"] if box["node"] == "m5"] == [["corrupted"]]


def test_png_shows_the_ring_of_a_letter(tmp_path: Path) -> None:
    subject = graph(edge("m0", "m3"), edge("m0", "m4"), edge("m0", "m5", how=THROUGH_MLPS))
    (ring,) = scene(subject).tags
    pixels = _pixels(render(subject, tmp_path / "x.png").read_bytes())
    middle = round(2 * (ring.rect.y + ring.rect.height / 2))
    across = pixels[middle][round(2 * ring.rect.x) - 1 : round(2 * ring.rect.right) + 2]
    assert any(min(pixel) > 240 for pixel in across)  # its inside is paper
    assert sum(max(pixel) < 200 for pixel in across[:4]) >= 1  # its left side is a line


def test_a_patched_node_carries_its_strongest_effect(tmp_path: Path) -> None:
    weak, strong = NodeClaim((parse("m2"),)), NodeClaim((parse("m2@END"),))
    subject = graph(weak, strong)
    written = render(subject, tmp_path / "x.graphml", rows=[row(weak, 0.1, None), row(strong, -2.0)])
    assert networkx.read_graphml(written).nodes["m2"]["effect"] == -2.0


def _png_size(data: bytes) -> tuple[int, int]:
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", data[16:24])


def test_png_is_painted_at_144_dots_per_inch(tmp_path: Path) -> None:
    subject = mini()
    picture = scene(subject, rows(subject))
    width_, height = _png_size(render(subject, tmp_path / "x.png", rows=rows(subject)).read_bytes())
    assert abs(width_ - 2 * picture.width) <= 4
    assert abs(height - 2 * picture.height) <= 4


def test_png_shows_what_the_scene_says(tmp_path: Path) -> None:
    """The colour at the middle of an arrow, a box and the background, read from the pixels."""
    claim = edge("m0", "m1")
    subject = graph(claim)
    picture = scene(subject, [row(claim, 1.0)])
    pixels = _pixels(render(subject, tmp_path / "x.png", rows=[row(claim, 1.0)]).read_bytes())
    x, y = spaced(picture.arrows[0].curve, 1.0)[6]
    red, green, blue = pixels[round(2 * y)][round(2 * x)]
    assert blue > 120 > red
    assert green < 160
    assert pixels[3][3] == (255, 255, 255)
    rect = picture.boxes[0].panel.rect
    lines = pixels[round(2 * rect.y) : round(2 * rect.bottom)]
    ink = [pixel for line in lines for pixel in line[round(2 * rect.x) : round(2 * rect.right)]]
    assert min(sum(each) for each in ink) < 200  # letters


def _pixels(data: bytes) -> list[list[tuple[int, int, int]]]:
    """RGB rows of an 8-bit RGB or RGBA PNG."""
    wide, tall = _png_size(data)
    depth, color = data[24], data[25]
    assert (depth, color) in ((8, 2), (8, 6))
    step = 3 if color == 2 else 4
    packed, at = b"", 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        packed += data[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    raw, rows_, above = zlib.decompress(packed), [], bytearray(wide * step)
    for y in range(tall):
        start = y * (wide * step + 1)
        line = bytearray(raw[start + 1 : start + 1 + wide * step])
        for i in range(len(line)):
            left, up, corner = (line[i - step], above[i], above[i - step]) if i >= step else (0, above[i], 0)
            match raw[start]:
                case 1:
                    line[i] = (line[i] + left) & 255
                case 2:
                    line[i] = (line[i] + up) & 255
                case 3:
                    line[i] = (line[i] + (left + up) // 2) & 255
                case 4:
                    near = min(
                        (abs(up - corner), 0, left),
                        (abs(left - corner), 1, up),
                        (abs(left + up - 2 * corner), 2, corner),
                    )
                    line[i] = (line[i] + near[2]) & 255
        rows_.append([(line[i], line[i + 1], line[i + 2]) for i in range(0, len(line), step)])
        above = line
    return rows_


def test_pdf_uses_the_font_that_ships_with_the_package(tmp_path: Path) -> None:
    data = render(mini(), tmp_path / "x.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    streams = [part.split(b"endstream")[0].lstrip(b"\r\n") for part in data.split(b"stream")[1::2]]
    text = data + b"".join(zlib.decompressobj().decompress(s) for s in streams if s[:1] == b"x")
    assert b"CircuitgraphSans" in text


def test_the_font_keeps_its_licence() -> None:
    licence = (FONT_DIRECTORY / "OFL.txt").read_text()
    assert "SIL OPEN FONT LICENSE Version 1.1" in licence
    assert "Red Hat" in licence
    assert sum(path.stat().st_size for path in FONT_DIRECTORY.iterdir()) < 800_000


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_takes_every_graph(tmp_path: Path, suffix: str) -> None:
    for make in (nasty, mixed):
        subject = make()
        written = render(subject, tmp_path / f"{subject.name[:4].strip('<')}{suffix}", rows=rows(subject), title=NASTY)
        assert written.stat().st_size > 500
    assert not list(tmp_path.glob(".*"))


def test_dot_layout_places_every_box_once(tmp_path: Path) -> None:
    subject = mini()
    picture = scene(subject, rows(subject), layout=Layout.DOT)
    boxes = {box.key: box.panel.rect for box in picture.boxes}
    assert boxes.keys() == {box.key for box in scene(subject).boxes}
    listed = list(boxes.values())
    assert not any(a.overlaps(b) for i, a in enumerate(listed) for b in listed[:i])
    assert boxes["logits@END"].y < boxes["a2.h0@END"].y < boxes["a1.h0@END"].y
    for cluster in picture.clusters:
        assert any(inside(rect, cluster.rect) for rect in listed)
    assert render(subject, tmp_path / "x.svg", layout="dot").read_text() != svg(scene(subject))


def test_a_run_is_drawn_in_the_order_of_its_prompts(tmp_path: Path) -> None:
    subject = mini()
    found = tuple(rows(subject))
    origin = {"settings": {"positions": ["IO", "S2", "S1", "END"]}}
    result = RunResult(subject, build_plan(subject), found, {}, origin, ("logit_diff",))
    drawn = api.render(result, tmp_path / "x.svg").read_text()
    assert drawn == svg(scene(subject, found, positions=["IO", "S2", "S1"])) != svg(scene(subject, found))
    older = api.render(replace(result, provenance={}), tmp_path / "y.svg").read_text()
    assert older == svg(scene(subject, found))


# Refusals


def test_an_unknown_ending_names_the_formats(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"'x\.pgn' names no format.*'\.png'.*\.svg, \.png, \.pdf, \.dot, \.graphml, \.json"
    ):
        render(mini(), tmp_path / "x.pgn")
    assert not list(tmp_path.iterdir())


def test_an_unknown_layout_names_the_layouts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'dott' is no layout.*'dot'.*layered"):
        render(mini(), tmp_path / "x.svg", layout="dott")


def test_dot_refuses_too_many_edges(tmp_path: Path) -> None:
    """Of one set, which is drawn whole or not at all."""
    edges = [(s, r) for s, r, _ in tangle(501, 8, 3).arcs()]
    one = graph(SetClaim(tuple(edges)))
    with pytest.raises(InputError, match=r"501 arrows are too many.*500.*'layered'"):
        render(one, tmp_path / "x.svg", rows=rows(one), layout="dot")


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"cannot write .*missing"):
        render(mini(), tmp_path / "missing" / "x.svg")
    (tmp_path / "taken.svg").mkdir()
    with pytest.raises(FileError, match="taken"):
        render(mini(), tmp_path / "taken.svg")
    with pytest.raises(FileError, match=r"cannot write '.*xx\.svg': File name too long"):
        render(mini(), tmp_path / f"{'x' * 300}.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["taken.svg"]


def test_an_existing_file_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "x.svg"
    target.write_text("old")
    assert render(mini(), str(target)) == target
    ElementTree.parse(BytesIO(target.read_bytes()))  # noqa: S314
    assert [path.name for path in tmp_path.iterdir()] == ["x.svg"]


def test_importing_and_drawing_an_svg_load_nothing_heavy() -> None:
    code = (
        "import sys, circuitgraph.drawing\n"
        "from circuitgraph.graph.claims import *; from circuitgraph.graph.shape import ModelShape\n"
        "g = CircuitGraph('x', ModelShape(2, 2, 2), (), ())\n"
        "circuitgraph.drawing.svg(circuitgraph.drawing.scene(g))\n"
        "print([m for m in ('torch', 'pygraphviz', 'graphviz', 'networkx', 'numpy', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Plots: values are the table's, scales zero-centred and shared, labels safe, files the same each time."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

import circuitgraph as cg
from circuitgraph.drawing.style import NEGATIVE, POSITIVE, UNDECIDED
from circuitgraph.errors import FileError, InputError
from circuitgraph.execute.weights import read_patterns
from circuitgraph.nodes import Head
from circuitgraph.plotting import (
    Bar,
    Bars,
    Cell,
    Column,
    HeatMap,
    Panel,
    Patterns,
    Quantity,
    choose,
    drawn,
    pictures_of,
    worth_drawing,
)
from circuitgraph.plotting.bars import attribution_pictures, effect_bars
from circuitgraph.plotting.files import sheet_of
from circuitgraph.plotting.labels import cut, file_name, plain, token_label
from circuitgraph.plotting.maps import digits_for
from circuitgraph.plotting.ranked import color_of, interval_text, span_of
from circuitgraph.plotting.sheet import Sheet, every, inches
from circuitgraph.plotting.sweeps import heat_maps
from circuitgraph.plotting.theme import DIVERGING, MISSING, SEQUENTIAL, colours, ink_on, themed
from circuitgraph.results.attribution import AttributionTable, Summands, attribution_table
from circuitgraph.spec.model import BaseRun
from tests.test_docs import ROOT, script
from tests.tiny import random_prompts

SVG = "{http://www.w3.org/2000/svg}"
SWEEP = """\
version: 1
name: sweep
model: ioi-mini
prompts:
  generator: {name: ioi, n: 6, seed: 0, corruption: swap_s2, order: abba,
              text: "When {A} and {B} walked to the {PLACE}, {S2} handed a {OBJECT} to"}
metrics: [logit_diff, {name: prob, label: "p$x_1$ <&>"}]
groups: {movers: [a3.h0, a3.h1]}
nodes:
  - {node: "a*.h*@END"}
  - {node: "a*.h*@END", base: corrupted}
  - {node: "a*.h*@S2", source: zero}
  - {node: "r*@each"}
  - {node: "m*@S2"}
edges:
  - {sender: "a*.h*@END", receiver: logits}
  - {sender: "m*@END", receiver: logits}
  - {sender: "a2.h*@END", receiver: "movers<q>@END", join: receivers}
attribution: {unit: head, of: clean}
"""
EACH = ["BOS", *map(str, range(14))]
"""What `@each` stands for in these prompts, from left to right."""
Q = Quantity("effect on logit_diff", "logits", "raises logit_diff", "lowers logit_diff")


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    """A run with sweeps of every kind, two metrics and an attribution."""
    place = tmp_path_factory.mktemp("plots")
    (place / "sweep.yaml").write_text(SWEEP)
    cg.run(place / "sweep.yaml", out=place / "run")
    return place / "run"


@pytest.fixture(scope="module")
def result(directory) -> cg.RunResult:
    return cg.load_run(directory)


def by_name(result: cg.RunResult) -> dict[str, Any]:
    return {picture.name: picture for picture in pictures_of(result)}


# What is in a plot ------------------------------------------------------------------------------


def test_every_kind_of_sweep_has_its_map(result):
    assert list(by_name(result)) == [
        "heads", "positions", "edges", "bars", "heads.2-p-x-1", "positions.2-p-x-1", "edges.2-p-x-1", "bars.2-p-x-1",
        "attribution", "attribution-bars",
    ]  # fmt: skip
    assert worth_drawing(result)


def rows_by(result: cg.RunResult, metric: str, **fields: str | None) -> dict[str, cg.results.records.Row]:
    """Rows by sender; all their fields but the sender's are given."""
    return {
        str(row.sender): row
        for row in result.rows
        if row.metric == metric and all(getattr(row, key) == value for key, value in fields.items())
    }


@pytest.mark.parametrize("metric", [0, 1])
def test_the_cells_of_heads_are_the_rows_of_the_table(result, metric):
    name = result.metrics[metric]
    heads, _, _ = heat_maps(result, name)
    assert [(panel.title, panel.subtitle) for panel in heads.panels] == [
        ("Noising: clean run, corrupted values", "heads at END"),
        ("Denoising: corrupted run, clean values", "heads at END"),
        ("Zero in the clean run", "heads at S2"),
    ]
    ways = [("clean", "counterfactual", "END"), ("corrupted", "counterfactual", "END"), ("clean", "zero", "S2")]
    for panel, (base, source, position) in zip(heads.panels, ways, strict=True):
        fields = {"kind": "node", "base": base, "source": source, "sender_position": position}
        rows = rows_by(result, name, **fields)
        assert panel.rows == ("0", "1", "2", "3")
        assert [column.label for column in panel.columns] == ["0", "1", "2", "3"]
        for layer in range(4):
            for head in range(4):
                row = rows[f"a{layer}.h{head}"]
                cell = panel.cells[layer][head]
                assert cell == Cell(row.effect, row.ci_low, row.ci_high, row.label)


def test_positions_are_columns_with_the_first_pairs_tokens(result):
    positions = by_name(result)["positions"]
    (panel, mlps) = positions.panels
    assert (panel.title, mlps.title) == ("Residual stream", "MLPs")
    assert panel.rows == ("input", "r1", "r2", "r3")
    tokens = result.provenance["settings"]["tokens"]
    assert len(panel.columns) == len(tokens["clean"]) == 15
    changed = [i for i, (a, b) in enumerate(zip(tokens["clean"], tokens["corrupted"], strict=True)) if a != b]
    assert changed == [tokens["at"]["S2"]]
    for i, column in enumerate(panel.columns):
        clean, corrupted = token_label(tokens["clean"][i]), token_label(tokens["corrupted"][i])
        assert column.label == (f"{clean} / {corrupted}" if i in changed else clean)
    above = {column.above for column in panel.columns}
    assert above >= {"BOS", "IO", "S1", "S2", "END", "PLACE", "OBJECT", "0"}
    assert panel.columns[tokens["at"]["S2"]].above == "S2"
    assert positions.column_axis == "token of the first pair of 6 (clean / corrupted)"
    for i, position in ((tokens["at"]["S2"], "9"), (tokens["at"]["END"], "13")):
        rows = rows_by(result, "logit_diff", kind="node", sender_position=position)
        for r, name in enumerate(panel.rows):
            cell = panel.cells[r][i]
            assert cell is not None
            assert cell.value == rows[name].effect
    assert [column.label for column in mlps.columns] == [panel.columns[changed[0]].label]


def test_prompts_of_several_lengths_have_names_of_positions_for_tokens(result):
    settings = result.provenance["settings"]
    tokens = {**settings["tokens"], "one_length": False}
    mixed = replace(result, provenance={**result.provenance, "settings": {**settings, "tokens": tokens}})
    positions = by_name(mixed)["positions"]
    assert positions.column_axis == "position"
    assert [column.label for column in positions.panels[0].columns] == EACH
    assert {column.above for column in positions.panels[0].columns} == {""}


def test_edges_have_a_grid_for_each_receiver_and_what_was_not_measured_is_none(result):
    edges = by_name(result)["edges"]
    to_logits, to_movers = edges.panels
    assert (to_logits.title, to_movers.title) == ("→ logits", "→ a3.h0<q> + a3.h1<q>@END")
    assert to_logits.subtitle == ""  # the same for both: in the note
    assert "senders at END; noising: clean run, corrupted values" in edges.note
    assert [column.label for column in to_logits.columns] == ["0", "1", "2", "3", "MLP"]
    rows = rows_by(result, "logit_diff", kind="edge", receiver="logits")
    for layer in range(4):
        for i, name in enumerate([*(f"a{layer}.h{head}" for head in range(4)), f"m{layer}"]):
            cell = to_logits.cells[layer][i]
            assert cell is not None
            assert cell.value == rows[name].effect
    measured = [[cell is not None for cell in row] for row in to_movers.cells]
    assert measured == [[False] * 4, [False] * 4, [True] * 4, [False] * 4]


def test_fewer_than_four_cells_are_no_map(result):
    few = [row for row in result.primary if row.kind == "node" and row.sender in ("a0.h0", "a0.h1", "a0.h2")]
    few = [row for row in few if (row.base, row.sender_position) == ("clean", "END")]
    assert len(few) == 3
    small = replace(result, rows=tuple(few), metrics=("logit_diff",), attribution=None)
    assert heat_maps(small) == ()
    assert not worth_drawing(small)
    assert [picture.name for picture in pictures_of(small)] == ["bars"]


def test_a_run_of_an_older_version_has_position_names_for_tokens(result):
    settings = {key: value for key, value in result.provenance["settings"].items() if key != "tokens"}
    old = replace(result, provenance={**result.provenance, "settings": settings})
    positions = by_name(old)["positions"]
    assert positions.column_axis == "position"
    assert [column.label for column in positions.panels[0].columns] == EACH


def test_bars_are_the_largest_effects_with_their_intervals(result):
    bars = effect_bars(result, top=5)
    assert bars is not None
    ranked = result.ranked()
    assert [(bar.value, bar.low, bar.high) for bar in bars.bars] == [
        (r.effect, r.ci_low, r.ci_high) for r in ranked[:5]
    ]
    assert bars.note.startswith(f"the 5 largest of {len(ranked)} effects; clean run, counterfactual, unless said")
    for bar, row in zip(bars.bars, ranked, strict=False):
        usual = (row.base, row.source) == ("clean", "counterfactual")
        assert bar.label == (row.label if usual else f"{row.label} ({row.base} run, {row.source})")


def test_units_are_those_of_the_metric_behind_a_label(result):
    first, second = (by_name(result)[name].quantity for name in ("heads", "heads.2-p-x-1"))
    assert (first.label, first.rises) == ("effect on logit_diff (logits)", "raises logit_diff")
    assert second.label == "effect on p$x_1$ <&> (probability)"


def test_an_attribution_is_a_map_of_heads_and_mlps(result):
    table = result.attribution
    picture = by_name(result)["attribution"]
    (panel,) = picture.panels
    values = {row.name: row for row in table.rows}
    for layer in range(4):
        for i, name in enumerate([*(f"a{layer}.h{head}" for head in range(4)), f"m{layer}"]):
            row = values[name]
            assert panel.cells[layer][i] == Cell(row.value, row.ci_low, row.ci_high, name)
    assert "all components together: " in picture.note
    bars = by_name(result)["attribution-bars"]
    ranked = sorted(table.rows, key=lambda row: -abs(row.value))
    assert [bar.value for bar in bars.bars] == [row.value for row in ranked[:20]]


def split_table() -> AttributionTable:
    parts = tuple((f"a0.h{h}", "head", 0, token) for h in range(2) for token in ("IO", "else"))
    values = np.arange(24, dtype=float).reshape(4, 6) - 9
    found = [Summands("logit_diff", at, parts, values, values.sum(axis=0)) for at in ("END", "S2")]
    return attribution_table(found, name="x", model="m", of="clean", unit="head")


def test_an_attribution_by_token_is_head_by_token():
    table = split_table()
    pictures: dict[str, Any] = {picture.name: picture for picture in attribution_pictures(table)}
    assert list(pictures) == ["attribution-tokens", "attribution-bars", "attribution-bars.S2"]
    for panel, at in zip(pictures["attribution-tokens"].panels, ("END", "S2"), strict=True):
        assert panel.rows == ("a0.h0", "a0.h1")
        assert [column.label for column in panel.columns] == ["IO", "else"]
        want = {(row.name, row.token): row.value for row in table.rows if row.at == at}
        assert [[cell.value for cell in row if cell] for row in panel.cells] == [
            [want[name, token] for token in ("IO", "else")] for name in panel.rows
        ]


def test_kinds_and_names_choose(result):
    pictures = pictures_of(result)
    assert [p.name for p in choose(pictures, "heatmap")][:3] == ["heads", "positions", "edges"]
    assert [p.name for p in choose(pictures, "bars")] == ["bars", "bars.2-p-x-1"]
    assert [p.name for p in choose(pictures, "attribution")] == ["attribution", "attribution-bars"]
    assert [p.name for p in choose(pictures, "positions")] == ["positions"]
    assert {p.name for p in pictures_of(result, metric="logit_diff")} == {
        "heads", "positions", "edges", "bars", "attribution", "attribution-bars",
    }  # fmt: skip
    with pytest.raises(InputError, match="'heatmp' is no kind of plot; did you mean 'heatmap'"):
        choose(pictures, "heatmp")
    with pytest.raises(InputError, match="'logit_dif' is no metric of this run; did you mean 'logit_diff'"):
        pictures_of(result, metric="logit_dif")
    with pytest.raises(InputError, match="nothing to plot as attribution: the spec has no attribution section"):
        choose(pictures_of(replace(result, attribution=None)), "attribution")


# Colours and scales -----------------------------------------------------------------------------


def grid(values: Sequence[Sequence[float | None]], title: str = "t") -> Panel:
    cells = tuple(tuple(None if v is None else Cell(v, v - 0.5, v + 0.5, "c") for v in row) for row in values)
    columns = tuple(Column(str(i)) for i in range(len(values[0])))
    return Panel(title, tuple(map(str, range(len(values)))), columns, cells)


def two_panels() -> HeatMap:
    return HeatMap(
        "m", "title", Q, (grid([[1.0, -4.0], [None, 0.1]]), grid([[0.5, 0.0], [2.0, -1.0]])), "layer", "head"
    )


def test_all_panels_have_one_scale_with_zero_in_its_middle():
    with themed():
        sheet = sheet_of(two_panels())
        meshes = [mesh for axes in sheet.figure.axes for mesh in axes.collections if mesh.get_array().size <= 4]
        assert len(meshes) == 2
        assert [mesh.get_clim() for mesh in meshes] == [(-4.0, 4.0)] * 2
        # A cell that was not measured has no colour; the hatch behind it shows.
        assert np.array_equal(np.ma.getmaskarray(meshes[0].get_array()).ravel(), [False, False, True, False])
        assert [sum(patch.get_hatch() is not None for patch in axes.patches) for axes in sheet.figure.axes[:2]] == [
            1,
            0,
        ]
        # 0.1 ± 0.5, 0.5 ± 0.5 and 0 ± 0.5 are marked: their intervals contain 0.
        assert [sum(len(line.get_xdata()) for line in axes.lines) for axes in sheet.figure.axes[:2]] == [1, 2]


def test_the_middle_is_white_and_the_sides_have_the_hues_of_circuit_pictures():
    with themed():
        shades, weights = colours(DIVERGING), colours(SEQUENTIAL)
        assert shades(0.5)[:3] == pytest.approx((1, 1, 1), abs=1e-9)
        for place, hue in ((0.2, NEGATIVE), (0.8, POSITIVE)):
            expected = [int(hue[i : i + 2], 16) / 255 for i in (1, 3, 5)]
            assert shades(place)[:3] == pytest.approx(expected, abs=0.02)
        light = [[0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b, _ in scale(np.linspace(0, 1, 65))]
                 for scale in (shades, weights)]  # fmt: skip
    # Told apart without hue, too: darker and darker to both ends, and from 0 to 1.
    assert all(a < b for a, b in zip(light[0][:32], light[0][1:33], strict=True))
    assert all(a > b for a, b in zip(light[0][32:-1], light[0][33:], strict=True))
    assert all(a > b for a, b in zip(light[1], light[1][1:], strict=False))
    assert (ink_on((1, 1, 1, 1)), ink_on((0.02, 0.24, 0.4, 1))) == ("#1f2733", "#ffffff")


def test_a_map_of_zeros_can_be_drawn():
    picture = HeatMap("m", "t", Q, (grid([[0.0, 0.0], [0.0, 0.0]]),), "layer", "head")
    assert picture.limit == 1.0
    assert b"<svg" in drawn(picture)


@pytest.mark.parametrize(("limit", "digits"), [(333.0, 0), (33.4, 1), (3.3, 2), (0.33, 2), (0.033, 3), (1e-9, 6)])
def test_numbers_in_cells_have_enough_digits(limit, digits):
    assert digits_for(limit) == digits


def test_bars_are_grey_where_undecided_and_pale_without_interval():
    colors = [color_of(Bar("b", *values)) for values in ((1.0, 0.5, 1.5), (-1.0, -2.0, -0.5), (1.0, -0.1, 2.0))]
    assert colors == [POSITIVE, NEGATIVE, UNDECIDED]
    assert color_of(Bar("b", 1.0, None, None)) not in (POSITIVE, NEGATIVE, UNDECIDED)
    assert interval_text(Bar("b", 0.777, 0.531, 1.018)) == "+0.78  [+0.53, +1.02]"
    assert interval_text(Bar("b", -0.0194, -0.0798, 0.041)) == "−0.0194  [−0.0798, +0.0410]"
    assert interval_text(Bar("b", 0.0, None, None)) == "0"
    low, high = span_of(Bars("b", "t", Q, (Bar("b", 1.0, 0.5, 1.5), Bar("c", 2.0, 1.0, 4.0))))
    assert low == 0
    assert high >= 4
    assert span_of(Bars("b", "t", Q, (Bar("b", 0.0, None, None),))) == (-1, 1)


def test_attention_is_drawn_from_0_to_1_whatever_is_there():
    weights = np.array([[[1.0, 0.0], [0.001, 0.25]], [[0.5, 0.0], [0.0, 0.5]]])
    with themed():
        sheet = sheet_of(Patterns("a", "t", ("x", "y"), ("", "END"), ("a0.h0", "a0.h1"), weights))
        shades = colours(SEQUENTIAL)
        first, second = (axes.collections[0] for axes in sheet.figure.axes[:2])
        assert np.allclose(first.get_facecolor(), shades([1.0, 0.25]))  # 0.001 is white to the eye
        assert np.allclose(second.get_facecolor(), shades([0.5, 0.5]))
        corners = [tuple(path.vertices[0]) for path in first.get_paths()]
        assert corners == [(0, 0), (1, 1)]  # (key, query)


# Labels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (" Mary", "·Mary"),
        ("  ", "··"),
        ("\n", "↵"),
        ("\r\n\t", "↵↵→"),
        ("a\x00b", "a<0>b"),
        ("\u202eabc", "<202e>abc"),
        ("", "∅"),
        (" extraordinarily-long", "·extraordinar…"),
        ("$x^2$", "$x^2$"),
    ],
)
def test_tokens_are_shown_so_that_nothing_is_invisible(text, label):
    assert token_label(text) == label


def test_other_labels_are_one_line():
    assert plain("a\nb\x07  c\u2028d") == "a b c d"
    assert len(plain("x" * 1000)) == 64
    assert cut("abcdef", 4) == "abc…"
    assert file_name("../p$x_1$ <&>/…") == "p-x-1"


HOSTILE = ["$x^2$", r"\frac{1}{0}$", "<b>&amp;</b>", "$\\undefined{", "]]>", "日本", "\u0000"]


def texts_of(svg: bytes) -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314


def test_labels_that_look_like_formulas_and_markup_are_written_as_they_are():
    labels = tuple(token_label(text) for text in HOSTILE)
    values = [[float(i) for i in range(len(labels))]] * 2
    panel = replace(grid(values), columns=tuple(map(Column, labels)), title=plain(HOSTILE[0]))
    weights = np.eye(len(labels))[None]
    pictures = (
        HeatMap("m", plain(HOSTILE[1]), Q, (panel,), "layer", "token"),
        Bars("b", "t", Q, tuple(Bar(label, 1.0, 0.5, 1.5) for label in labels)),
        Patterns("a", "t", labels, ("",) * len(labels), ("a0.h0",), weights),
    )
    for picture in pictures:
        written = texts_of(drawn(picture))
        assert set(labels) <= set(written)
        for kind, start in (("png", b"\x89PNG"), ("pdf", b"%PDF")):
            assert drawn(picture, kind).startswith(start)


def boxes(sheet: Sheet) -> list[tuple[str, float, float, float, float]]:
    """The places of all texts on a page, as matplotlib will draw them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(sheet.figure).get_renderer()
    found = []
    for text in sheet.figure.texts:
        box = text.get_window_extent(renderer)
        found.append((text.get_text(), box.x0, box.y0, box.x1, box.y1))
    return found


@pytest.mark.parametrize("shape", [(4, 4), (12, 12), (32, 32), (13, 40), (2, 1)])
def test_no_label_of_a_map_overlaps_another_or_leaves_the_page(shape):
    rng = np.random.default_rng(0)
    values: list[list[float | None]] = [[float(x) for x in row] for row in rng.standard_normal(shape)]
    columns = tuple(
        Column(f"·token{i}" if shape[1] == 40 else str(i), f"P{i}" if i % 3 == 0 else "") for i in range(shape[1])
    )
    panels = tuple(replace(grid(values, f"A panel with quite a long title {i}"), columns=columns) for i in range(2))
    picture = HeatMap("m", "gpt2: a title that is too long for a page with one column", Q, panels, "layer", "head",
                      "n = 64 pairs; logit_diff is 16.8 in the clean run, −16.7 in the corrupted one")  # fmt: skip
    with themed():
        sheet = sheet_of(picture)
        placed = boxes(sheet)
        width, height = sheet.figure.bbox.width, sheet.figure.bbox.height
    for text, x0, y0, x1, y1 in placed:
        assert 0 <= x0 < x1 <= width, text
        assert 0 <= y0 < y1 <= height, text
    overlaps = [
        (a[0], b[0])
        for i, a in enumerate(placed)
        for b in placed[:i]
        if min(a[3], b[3]) - max(a[1], b[1]) > 1 and min(a[4], b[4]) - max(a[2], b[2]) > 2
    ]
    assert overlaps == []


def test_numbers_are_written_only_where_they_fit():
    with themed():
        small, large = (HeatMap("m", "t", Q, (grid([[-33.3] * n] * n),), "layer", "head") for n in (4, 30))
        assert "−33.3" in [text.get_text() for axes in sheet_of(small).figure.axes for text in axes.texts]
        assert [text for axes in sheet_of(large).figure.axes for text in axes.texts] == []


def test_every_leaves_room():
    assert every(("0",) * 12, 0.46, 0.2) == 1
    assert every(("0",) * 32, 0.13, 0.2) == 2
    assert every(("0",) * 3, 0.001, 10.0) == 3
    assert inches("MMMM", 8) > inches("iiii", 8)


# Files ------------------------------------------------------------------------------------------


def test_the_same_picture_gives_the_same_bytes_whatever_the_user_has_set(result):
    import matplotlib as mpl

    picture = two_panels()
    first = {kind: drawn(picture, kind) for kind in ("svg", "png", "pdf")}
    ElementTree.fromstring(first["svg"])  # noqa: S314
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "text.parse_math": True, "svg.hashsalt": "other"}):
        assert {kind: drawn(picture, kind) for kind in first} == first
        assert mpl.rcParams["font.size"] == 30


def test_a_run_writes_its_plots(directory, result):
    written = {path.name: path.read_bytes() for path in (directory / "plots").iterdir()}
    assert set(written) == {f"{picture.name}.svg" for picture in pictures_of(result)}
    for picture in pictures_of(result)[:3]:
        # What is drawn from the files is what was drawn from memory.
        assert drawn(picture) == written[f"{picture.name}.svg"]


def test_plot_writes_a_file_or_all(circuitgraph, directory, tmp_path):
    ended = circuitgraph("plot", directory, "-o", "one.png")
    assert (ended.status, ended.out) == (0, "")
    assert "drawn: heads; there are also positions, edges, bars" in ended.err
    assert ended.err.endswith("wrote one.png\n")
    ended = circuitgraph("plot", directory, "-o", "e.svg", "--kind", "edges")
    assert (ended.status, ended.err) == (0, "wrote e.svg\n")
    ended = circuitgraph("plot", directory, "-o", "b.pdf", "--kind", "bars", "--metric", "logit_diff", "--top", "3")
    assert (ended.status, ended.err) == (0, "wrote b.pdf\n")
    ended = circuitgraph("plot", directory, "-o", "all", "--metric", "logit_diff")
    assert ended.status == 0
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == [
        "attribution-bars.svg", "attribution.svg", "bars.svg", "edges.svg", "heads.svg", "positions.svg",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["-o", "x.jpg"], 2, "'x.jpg' names no format by its ending"),
        (["-o", "x.svg", "--kind", "head"], 2, "'head' is no kind of plot; did you mean 'heads'?"),
        (["-o", "x.svg", "--metric", "logit"], 2, "'logit' is no metric of this run"),
        (["-o", "missing/x.svg"], 5, "there is no directory missing"),
    ],
    ids=["ending", "kind", "metric", "directory"],
)
def test_what_cannot_be_plotted_is_said(circuitgraph, directory, arguments, status, message):
    ended = circuitgraph("plot", directory, *arguments)
    assert (ended.status, ended.out) == (status, "")
    assert message in ended.err


def test_plot_of_no_run_is_said(circuitgraph):
    ended = circuitgraph("plot", "nowhere", "-o", "x.svg")
    assert ended.status == 5
    assert "nowhere is no run directory: nothing is there" in ended.err


def test_without_matplotlib_the_message_says_what_to_install(circuitgraph, directory, result, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ended = circuitgraph("plot", directory, "-o", "x.svg")
    assert (ended.status, ended.err) == (2, f"{MISSING}\n")
    for command in ("attention", "attribution"):  # before the spec is even read
        ended = circuitgraph(command, "nothing.yaml", "--plot", "x.svg")
        assert (ended.status, ended.err) == (2, f"{MISSING}\n")
    with pytest.raises(InputError, match="plots need matplotlib"):
        drawn(two_panels())
    with pytest.raises(InputError, match="plots need matplotlib"):
        cg.plot(result, tmp_path / "x.svg")
    # A run goes on without them, and says so where there was something to plot.
    spec = tmp_path / "sweep.yaml"
    spec.write_text(SWEEP.replace("n: 6", "n: 2"))
    ended = circuitgraph("run", spec, "--out", "run", "--executor", "fast")
    assert ended.status == 0
    assert MISSING in ended.err
    assert not (tmp_path / "run" / "plots").exists()


def test_plot_needs_neither_torch_nor_a_model(directory, tmp_path):
    program = (
        "import sys\nfrom circuitgraph.cli import main\n"
        f"sys.argv = ['circuitgraph', 'plot', {str(directory)!r}, '-o', 'x.svg', '--kind', 'heads']\n"
        "try:\n    main()\nexcept SystemExit as exit:\n    assert exit.code == 0\n"
        "print(sorted({'torch', 'transformer_lens', 'matplotlib', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "['matplotlib']\n"


def test_check_and_help_do_not_import_matplotlib(tmp_path):
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    program = (
        "import sys\nfrom circuitgraph.cli import main\nsys.argv = ['circuitgraph', 'check', 'sweep.yaml']\n"
        "try:\n    main()\nexcept SystemExit as exit:\n    assert exit.code == 0\n"
        "print({'matplotlib', 'circuitgraph.plotting'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


# Attention patterns -----------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_patterns_are_the_models(tiny_model, family):
    """Those of single forward passes: rows that add up to 1, nothing of the future."""
    from circuitgraph.models.sites import Site, SiteKind

    model, prompts = tiny_model(family), random_prompts(3, lengths=(5, 7, 6))
    heads = [Head(2, 1), Head(0, 0), Head(1, 2)]
    for row in range(3):
        for run in BaseRun:
            found = read_patterns(model, prompts, heads, row, run)
            pair = prompts.pairs[row]
            ids = pair.clean if run is BaseRun.CLEAN else pair.corrupted
            assert found.shape == (3, len(pair), len(pair))
            assert found.sum(axis=-1) == pytest.approx(1, abs=1e-6)  # some softmax in float32
            assert np.triu(found, 1).max() == 0
            for head, pattern in zip(heads, found, strict=True):
                site = Site(SiteKind.PATTERN, head.layer)
                whole = model.run(torch.tensor([ids]), reads=[site]).reads[site][0, head.index]
                assert np.array_equal(pattern, whole.double().numpy())


def test_attention_draws_one_prompt_beside_the_table_of_all(circuitgraph, tmp_path):
    spec = tmp_path / "sweep.yaml"
    spec.write_text(SWEEP)
    ended = circuitgraph("attention", spec, "--plot", "a.svg", "--pair", "2", "--from", "END", "--to", "IO")
    assert ended.status == 0
    assert "wrote a.svg" in ended.err
    assert "a3.h0" in ended.out
    written = texts_of((tmp_path / "a.svg").read_bytes())
    assert "pair 2, clean prompt" in written
    assert {"a3.h0 (movers)", "a3.h1 (movers)", "attention weight (share of 1)"} <= set(written)
    assert "END  to" in written
    assert circuitgraph("attention", spec, "--pair", "2").status == 2
    ended = circuitgraph("attention", spec, "--plot", "a.svg", "--pair", "7")
    assert (ended.status, ended.out) == (2, "")
    assert "there is no pair 7: the spec has 6, counted from 1" in ended.err


def test_patterns_agree_with_the_table(tmp_path):
    spec = tmp_path / "one.yaml"
    spec.write_text(SWEEP.replace("n: 6", "n: 2"))
    table = cg.attention(spec, heads="a3", from_="END", to=["IO", "S2"], pair=1)
    other = cg.attention(spec, heads="a3", from_="END", to=["IO", "S2"], pair=2)
    assert table.patterns is not None
    assert other.patterns is not None
    assert "patterns" not in table.to_json()
    for row in table.rows:
        if row.to_position is None:
            continue
        each = []
        for patterns in (table.patterns, other.patterns):
            query, key = (patterns.names.index(name) for name in (row.from_position, row.to_position))
            each.append(patterns.weights[patterns.heads.index(row.head), query, key])
        assert math.isclose(row.weight, sum(each) / 2, abs_tol=1e-6)
    with pytest.raises(InputError, match="attention patterns are of one pair"):
        cg.plot(replace(table, patterns=None), tmp_path / "x.svg")


def test_attribution_is_plotted_by_its_command(circuitgraph, tmp_path):
    spec = tmp_path / "sweep.yaml"
    spec.write_text(SWEEP.replace("n: 6", "n: 2"))
    ended = circuitgraph("attribution", spec, "--plot", "heads.svg", "--set", "metrics=[logit_diff]")
    assert ended.status == 0
    assert "wrote heads.svg" in ended.err
    assert "written towards logit_diff (logits)" in texts_of((tmp_path / "heads.svg").read_bytes())
    ended = circuitgraph("attribution", spec, "--plot", "x.gif")
    assert (ended.status, ended.out) == (2, "")


def test_a_place_that_cannot_be_written_is_said(result, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot make"):
        cg.plot(result, tmp_path / "file" / "x")


# The page ---------------------------------------------------------------------------------------


def test_the_pictures_of_the_page_are_what_its_commands_draw(tmp_path):
    """Word by word; numbers to what float32 may differ by between machines. `make docs` draws them anew."""
    again = script("make_plots").draw(tmp_path)
    shown = {path.name: path for path in (ROOT / "docs" / "images" / "plots").iterdir()}
    assert set(again) == set(shown)
    for name, path in shown.items():
        ours, theirs = (" ".join(texts_of(file.read_bytes())).split() for file in (again[name], path))
        assert len(ours) == len(theirs), name
        for here, there in zip(ours, theirs, strict=True):
            if here != there:
                a, b = (float(word.strip("[],;%").replace("−", "-")) for word in (here, there))
                assert a == pytest.approx(b, rel=0.01, abs=0.11), (name, here, there)

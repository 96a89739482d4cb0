"""What notebooks are given to show: types, escaping, what stays out of everybody else's way, the frame of a page."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import yaml
from IPython.core.formatters import DisplayFormatter

import circuitgraph as cg
from circuitgraph.notebook import TOP, frame
from circuitgraph.showing import Framed
from tests.test_cli import PROMPTS, write_pairs

HTML, SVG, PLAIN = "text/html", "image/svg+xml", "text/plain"
HOSTILE = "<script>alert(\"1\")</script>\u202e\u05d0 & 'x' =1+1 " + "a" * 10_000
"""Markup, quotes, text from right to left, a formula, and much of it."""


@pytest.fixture(scope="module")
def path(checkpoint, tmp_path_factory):
    """A spec whose labels are hostile."""
    place = tmp_path_factory.mktemp("notebook")
    write_pairs(place / "pairs.jsonl", PROMPTS)
    spec = {
        "version": 1,
        "name": "shown",
        "description": HOSTILE,
        "model": {"name": str(checkpoint("gpt2")), "dtype": "float64"},
        "prompts": {"file": "pairs.jsonl"},
        "metrics": ["logit_diff"],
        "groups": {"some": {"nodes": ["a0.h0", "a0.h1"], "label": HOSTILE}},
        "edges": [
            {"sender": "some", "receiver": "a1.h2<v>@B", "expect": {"at_most": -1000}},
            {"sender": "a1.h0@END", "receiver": "logits", "label": HOSTILE},
        ],
    }
    file = place / "shown.yaml"
    file.write_text(yaml.safe_dump(spec, allow_unicode=True), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def verdicts(path):
    return cg.test(path)


@pytest.fixture(scope="module")
def result(verdicts):
    return verdicts.result


@pytest.fixture(scope="module")
def other(path):
    return cg.run(path, overrides=["model.dtype=float32"])


MAKERS = {
    "result": lambda path, one, two: one,
    "graph": lambda path, one, two: one.graph,
    "checked": lambda path, one, two: cg.check(path),
    "plan": lambda path, one, two: cg.plan(path),
    "comparison": lambda path, one, two: cg.compare(one, two, labels=["one", HOSTILE]),
    "comparisons": lambda path, one, two: cg.compare(one, two, one, labels=["one", HOSTILE, "three"]),
}


@pytest.fixture(scope="module", params=MAKERS)
def value(request, path, result, other):
    return MAKERS[request.param](path, result, other)


class Reader(HTMLParser):
    """The elements of a piece of HTML, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text.append(data)


def displayed(value: object, **wanted: object) -> dict[str, str]:
    """What IPython sends to a front end."""
    formatter = DisplayFormatter()
    formatter.active_types = formatter.format_types  # as in a kernel, and not in a terminal
    data, _ = formatter.format(value, **wanted)  # type: ignore[arg-type]
    return data


def picture_in(html: str) -> str:
    """The SVG inside the first image."""
    found = re.search(r'<img src="data:image/svg\+xml;base64,([^"]+)"', html)
    assert found is not None
    return base64.b64decode(found[1]).decode()


def test_ipython_shows_what_the_value_gives(value):
    data = displayed(value)
    assert data == value._repr_mimebundle_()
    assert {HTML, PLAIN} <= data.keys() <= {HTML, SVG, PLAIN}
    assert displayed(value, include=[PLAIN]) == {PLAIN: data[PLAIN]}
    assert displayed(value, exclude=[HTML, SVG]) == {PLAIN: data[PLAIN]}


def test_marimo_asks_for_html_first_and_for_everything_with_empty_lists(value):
    assert value._repr_html_() == value._repr_mimebundle_(include=[], exclude=[])[HTML]


def test_pictures_are_images_of_their_own(path, result):
    for value in (result, result.graph, cg.check(path)):
        bundle = value._repr_mimebundle_()
        assert picture_in(bundle[HTML]) == bundle[SVG]
        assert bundle[SVG].startswith("<?xml")


def test_two_outputs_of_one_notebook_share_nothing(value):
    """No ids, classes, styles or scripts: only elements, with their own looks."""
    read = Reader(value._repr_html_())
    assert set(read.tags) <= {"img", "p", "br", "table", "thead", "tbody", "tr", "th", "td", "pre"}
    assert {name for name, _ in read.attributes} <= {"src", "alt", "width", "style", "dir", "title"}


def test_hostile_labels_are_text(value):
    html = value._repr_html_()
    assert "<script" not in html
    told = "".join(Reader(html).text) + "".join(text or "" for _, text in Reader(html).attributes)
    assert '<script>alert("1")</script>' in told


def test_a_run_is_its_picture_and_its_largest_effects(result):
    bundle = result._repr_mimebundle_()
    cells = Reader(bundle[HTML]).text
    for row in result.ranked():
        assert f"{row.effect:+.3f}"[:5] in "".join(cells)
    assert "refuted: expected at most -1000" in "".join(cells)
    assert bundle[PLAIN].startswith("shown\n")


def test_a_comparison_is_four_pictures_and_what_compare_prints(result, other):
    bundle = cg.compare(result, other)._repr_mimebundle_()
    for title in ("B − A", "B against A"):
        assert title in bundle[SVG]
    assert "matched by address" in bundle[PLAIN]
    assert bundle[PLAIN] in "".join(Reader(bundle[HTML]).text)


def test_a_plan_tells_count_cost_and_the_stages_of_its_first_experiments(path):
    plan = cg.plan(path)
    for text in (plan._repr_mimebundle_()[PLAIN], " ".join(Reader(plan._repr_html_() or "").text)):
        assert "3 experiments" in text
        assert "one edge at a time, caching anew for each" in text
        assert text.count("isolate") == 3 + 1  # and once in the cost
    many = cg.plan(path, ["nodes=['a*.h*@END']"])
    assert f"… {len(many.experiments) - 3} more" in many._repr_mimebundle_()[PLAIN]


def test_tables_say_what_their_commands_print(verdicts, path):
    assert verdicts._repr_mimebundle_() == {PLAIN: verdicts.text()}
    assert verdicts._repr_html_() is None
    table = cg.attention(path, heads=["a0.h0"])
    assert "mean attention weights" in table._repr_mimebundle_()[PLAIN]
    spec = cg.load(path)
    assert spec._repr_mimebundle_()[PLAIN].startswith("version: 1\nname: shown\n")


def test_too_much_to_draw_is_said_and_listed(path):
    graph = cg.check(path, ["edges=all"]).graph
    bundle = replace(graph, claims=graph.claims * 5)._repr_mimebundle_()
    assert SVG not in bundle
    assert "too many to draw" in bundle[HTML]
    assert f"… {5 * len(graph.claims) - 2 * TOP:,} more" in bundle[PLAIN]


def test_values_without_a_model_show_themselves_without_torch(path):
    program = (
        f"import sys, circuitgraph as cg; checked = cg.check({str(path)!r}); plan = cg.plan({str(path)!r})\n"
        "for value in (checked, checked.graph, plan, checked.spec): value._repr_mimebundle_()\n"
        "print('\\n'.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"torch", "pandas", "pyarrow", "networkx", "matplotlib", "IPython"} & set(done.stdout.split()) == set()


def test_a_frame_holds_its_page_whole():
    page = '<!doctype html><p title="a">"&amp;\' </iframe><script>document.title = "<b>"</script>\n'
    html = frame(page, 300, 'x" onload="alert(1)')
    read = Reader(html)
    assert read.tags == ["iframe"]
    attributes = dict(read.attributes)
    assert attributes["srcdoc"] == page
    assert attributes["title"] == 'x" onload="alert(1)'
    assert attributes["sandbox"] == "allow-scripts allow-downloads"  # no same origin, no forms, no top navigation
    assert "height:300px" in (attributes["style"] or "")


def test_a_frame_shows_a_picture_where_frames_are_not_kept():
    framed = Framed("<iframe></iframe>", {SVG: "<svg/>", PLAIN: "a page"})
    assert displayed(framed) == {HTML: "<iframe></iframe>", SVG: "<svg/>", PLAIN: "a page"}
    assert displayed(framed, exclude=[HTML]) == {SVG: "<svg/>", PLAIN: "a page"}
    assert framed._repr_html_() == "<iframe></iframe>"


@pytest.mark.parametrize("height", [0, -1, "80vh", 12.5, True])
def test_a_height_is_a_number_of_pixels(result, height):
    with pytest.raises(cg.CircuitGraphError, match="number of pixels"):
        result.show(height=height)

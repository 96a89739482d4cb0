"""The report without a browser: its data are the run's, every text is escaped, and it stays small."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas
import pytest

import circuitgraph as cg
from circuitgraph.comparing import compare_all
from circuitgraph.drawing import scene
from circuitgraph.errors import FileError, InputError, NotFiniteError
from circuitgraph.graph.claims import NodeClaim
from circuitgraph.nodes import parse
from circuitgraph.plans import explain_plan
from circuitgraph.reporting import page
from circuitgraph.reporting.assemble import embedded, policy
from circuitgraph.reporting.geometry import SCALE, path
from circuitgraph.reporting.heading import facts, warnings
from circuitgraph.reporting.sheets import MOST
from circuitgraph.results import RunResult
from tests.made_runs import SPEC, all_of_gpt2, made_run, result_of
from tests.render_graphs import GRAPHS, edge, graph, nasty, row, rows

HOSTILE = "</script><script>alert(1)</script><!--<b>&amp;\"'\u2028\u202e\n=1+1"


class Reading(HTMLParser):
    """What a browser would find: the data block, scripts, styles, ids, and every element's name."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.blocks: dict[str, list[str]] = {"script": [], "style": [], "data": []}
        self.text: list[str] = []
        self._inside: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs
        if tag in ("script", "style"):
            self._inside = "data" if ("type", "application/json") in attrs else tag

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside = None

    def handle_data(self, data: str) -> None:
        (self.text if self._inside is None else self.blocks[self._inside]).append(data)

    @property
    def data(self) -> Any:
        return json.loads("".join(self.blocks["data"]))


def column(found: Any, i: int) -> Any:
    return found["all"] if isinstance(found, dict) else found[i]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunResult:
    return made_run(tmp_path_factory.mktemp("runs") / "one")


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> RunResult:
    """The same prompts, another corruption, and an edge more."""
    text = SPEC.replace("swap_s2", "abc").replace("nodes: [m3@END]", "  - {sender: input@S2, receiver: m0@S2}")
    return made_run(tmp_path_factory.mktemp("runs") / "two", text.replace("made-up", "made-otherwise"), seed=5)


def _filled(text: str, names: list[str]) -> str:
    """A sentence with its addresses."""
    return re.sub("⟦(\\d+)⟧", lambda match: names[int(match[1])], text)


# The data ---------------------------------------------------------------------------------------


def test_the_numbers_are_those_of_edges_parquet(run):
    data = Reading(page([run])).data
    table = pandas.read_parquet(Path(str(run.directory)) / "edges.parquet")
    (sheet,), (view,) = data["sheets"], data["views"]
    assert list(view["metrics"]) == ["logit_diff", "divergence"]
    for metric, columns in view["metrics"].items():
        wanted = table[table.metric == metric].set_index("id")
        assert sheet["items"]["id"] == list(wanted.index)
        for name in data["columns"]:
            for i, value in enumerate(wanted[name]):
                shown = column(columns[name], i)
                assert shown == value or (shown is None and pandas.isna(value)), (metric, name)
    for name in ("sender", "sender_position", "receiver", "receiver_position", "kind", "base", "source"):
        found = [column(sheet["items"][name], i) for i in range(len(sheet["items"]["id"]))]
        assert found == [None if pandas.isna(value) else value for value in wanted[name]]
    assert {*data["columns"], "id", "kind", "label", "sender", "sender_position", "receiver", "receiver_position",
            "path", "base", "source", "metric"} == {*table.columns}  # fmt: skip


def test_the_stages_are_those_of_the_plan(run):
    items = Reading(page([run])).data["sheets"][0]["items"]
    told = [
        [_filled(items["texts"][k], names) for k in column(items["stages"], i)]
        for i, names in enumerate(items["names"])
    ]
    wanted = [
        block.splitlines()[1:]
        for block in explain_plan(run.plan, ["logit_diff at END", "divergence at END"]).split("\n\n")
    ]
    assert told == [[re.sub(r"^(\w+)\s+", r"\1: ", line.strip()) for line in block] for block in wanted]


def test_the_lines_are_those_of_the_spec(run):
    items = Reading(page([run])).data["sheets"][0]["items"]
    places, texts = items["origins"]["0"]["places"], items["origins"]["0"]["texts"]
    lines = SPEC.splitlines()
    assert len(set(places)) == 7
    for id_, place in zip(items["id"], places, strict=True):
        assert place == run.graph.by_id[id_].origin.line
        assert texts[str(place)] == lines[place - 1].strip()


def test_the_places_are_those_of_the_picture(run):
    drawn = scene(run.graph, run.primary, positions=run.provenance["settings"]["positions"])
    found = Reading(page([run])).data["sheets"][0]["scene"]
    assert [box["key"] for box in found["boxes"]] == [box.key for box in drawn.boxes]
    for ours, theirs in zip(found["boxes"], drawn.boxes, strict=True):
        assert ours["rect"][:2] == [round(theirs.panel.rect.x * SCALE), round(theirs.panel.rect.y * SCALE)]
        assert ours.get("cluster") is None or found["clusters"][ours["cluster"]]["group"] == theirs.group
    ids = Reading(page([run])).data["sheets"][0]["items"]["id"]
    assert [ids[arrow[0]] for arrow in found["arrows"]] == [arrow.id for arrow in drawn.arrows]
    assert [arrow[4] for arrow in found["arrows"]] == [path(arrow.curve) for arrow in drawn.arrows]
    assert len(found["notes"]) == len(drawn.notes)
    by_id = {each.id: each for each in run.primary}
    for (i, *_), note in zip(found["notes"], drawn.notes, strict=True):  # each note belongs to the arrow it is beside
        effect = by_id[ids[found["arrows"][i][0]]].effect
        assert note.texts[0].text.replace("−", "-") == f"{effect:+.2f}"
    assert [letter[3] for letter in found["letters"]] == ["through-mlps"] * 4
    assert {ids[found["arrows"][letter[4]][0]] for letter in found["letters"]} == {
        each.id for each in run.primary if each.path == "through-mlps"
    }


@pytest.mark.parametrize("name", list(GRAPHS))
def test_every_curve_keeps_its_ends(name):
    """The short form of a path goes where the curve goes, to a tenth of a point for each of its pieces."""
    made = GRAPHS[name]()
    for arrow in scene(made, rows(made)).arrows:
        text = path(arrow.curve)
        start = [int(number) for number in re.findall(r"-?\d+", text.split("c")[0].split("v")[0])]
        x, y = start
        for command, numbers in re.findall(r"([cv])([^cv]*)", text):
            values = [int(number) for number in re.findall(r"-?\d+", numbers)]
            if command == "v":
                y += values[0]
            else:
                assert len(values) % 6 == 0
                x, y = x + sum(values[4::6]), y + sum(values[5::6])
        assert (x, y) == tuple(round(value * SCALE) for value in arrow.curve[-1])


# Comparisons ------------------------------------------------------------------------------------


def test_a_comparison_shares_one_sheet(run, other):
    data = Reading(page([run, other])).data
    assert len(data["sheets"]) == 1
    (pair,) = data["pairs"]
    comparison = compare_all([run, other]).pairs[0, 1]
    ids = data["sheets"][0]["items"]["id"]
    for side in ("a", "b", "difference"):
        view = data["views"][pair[side]]["metrics"]["logit_diff"]
        wanted = {each.id: each for each in comparison.rows_of(side)}
        assert len(wanted) == {"a": 18, "b": 18, "difference": 17}[side]
        for i, id_ in enumerate(ids):
            each = wanted.get(id_)
            for name in ("effect", "ci_low", "ci_high", "q_value"):
                assert column(view[name], i) == (getattr(each, name) if each else None)
    difference = data["views"][pair["difference"]]
    for each in comparison.rows:
        i = ids.index(each.ids_a[0])
        assert [column(side["effect"], i) for side in difference["sides"]] == [each.a, each.b]
        assert column(difference["metrics"]["logit_diff"]["metric_patched"], i) is None
    assert pair["agreement"]["spearman"]["value"] == comparison.agreement.spearman.value
    assert [name for name, origin in data["sheets"][0]["items"]["origins"].items() if origin["texts"]] == ["0", "1"]


def test_three_runs_share_one_sheet_and_show_each_pair(run, other, tmp_path):
    third = made_run(tmp_path / "three", SPEC.replace("made-up", "again"), seed=9)
    data = Reading(page([run, other, third])).data
    assert len(data["sheets"]) == 1
    assert [pair["runs"] for pair in data["pairs"]] == [[0, 1], [0, 2], [1, 2]]
    assert len(data["views"]) == 6  # three runs, three differences


def test_runs_matched_by_group_have_a_table_of_their_own(run, tmp_path):
    wide = made_run(tmp_path / "wide", SPEC.replace("made-up", "by-group"), seed=2)
    comparison = cg.compare(run, wide, match="group")
    data = Reading(page([run, wide], comparison)).data
    (pair,) = data["pairs"]
    assert pair["matched_by"] == "group"
    lines = data["sheets"][data["views"][pair["difference"]]["sheet"]]
    assert lines["scene"] is None
    assert lines["items"]["arrow"] == [each.label for each in comparison.rows]
    assert data["views"][pair["difference"]]["metrics"]["logit_diff"]["effect"] == [
        each.difference for each in comparison.rows
    ]


# The heading ------------------------------------------------------------------------------------


def shown(html: str) -> str:
    return "".join(Reading(html).text)


def test_a_run_that_is_an_estimate_says_so_above_all(run):
    estimated = replace(run, rows=tuple(replace(each, executor="eap") for each in run.rows))
    assert "measured17 edges, 1 node" in shown(facts([run], ["one"], {}))
    said = shown(facts([estimated], ["one"], {}))
    assert "ESTIMATED by eap from gradients, not measured17 edges, 1 node" in said
    assert "ESTIMATED by eap from gradients, not measured: 17 edges" in shown(
        facts([run, estimated], ["one", "two"], {})
    )


def test_a_metric_stands_once_whoever_measured_it(run):
    """Executors round what the metric is in the base run differently."""
    rows = [
        replace(each, metric_base=each.metric_base * (1 + 1e-7), executor="literal") if i % 2 else each
        for i, each in enumerate(run.rows)
    ]
    assert shown(facts([replace(run, rows=tuple(rows))], ["one"], {})).count("logit_diff at END, n = 12") == 1


def test_several_runs_have_a_line_each(run, other):
    html = facts([run, other], ["one", "two"], compare_all([run, other]).pairs)
    lines = [shown(line) for line in html.split("<li>")[1:]]
    assert [line.split(" · ")[0] for line in lines[:2]] == ["one", "two"]
    for line, result in zip(lines, (run, other), strict=False):
        row = result.rows[0]
        clean, corrupted = (f"{value:.3g}".replace("-", "−") for value in (row.metric_base, row.metric_other))
        assert f"ioi-mini · n = 12 · logit_diff at END: clean {clean}, corrupted {corrupted}, gap −6.50 · " in line
        assert "1 more metric · " in line
    assert lines[2].startswith("one and two: 17 in both")
    assert lines[3].startswith("they differ in: ")
    assert len(lines) == 4


def test_of_several_runs_warnings_say_whose_they_are(run, other):
    own = replace(run, warnings=("too few pairs",) * 2)
    pairs = compare_all([run, other]).pairs
    assert shown(warnings([own], ["one"], {})) == "too few pairs"
    same = [shown(item) for item in warnings([run, other], ["one", "two"], pairs).split("<li>")[1:]]
    assert same[0] == "one, two: a made-up warning"
    several = [shown(item) for item in warnings([own, other], ["one", "two"], pairs).split("<li>")[1:]]
    assert several[:2] == ["one: too few pairs", "two: a made-up warning"]
    many = replace(run, warnings=tuple(f"warning {i}" for i in range(9)))
    folded = warnings([many, other], ["one", "two"], {})
    assert folded.index("warning 2") < folded.index("<summary>7 more</summary>") < folded.index("warning 3")


def test_each_of_several_runs_is_made_again_in_its_own_directory(run, tmp_path):
    runs = [made_run(tmp_path / name, SPEC) for name in ("one", "the other one")]
    text = shown(page(runs))
    assert re.search(r"circuitgraph run spec.yaml --out runs/one\b", text)
    assert "circuitgraph run spec.yaml --out 'runs/the other one'" in text
    assert "--out runs/made-up" not in text


# Escaping ---------------------------------------------------------------------------------------


FORMULAS = ("=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1+1", " =1+1", "＝1+1")


def hostile() -> RunResult:
    made = replace(nasty(), name=HOSTILE, description=HOSTILE * 3)
    made = replace(made, claims=(edge("input@END", "a0.h0<q>@END", HOSTILE), *made.claims[1:],
                   *(edge("input@END", f"a0.h{i + 1}<q>@END", text) for i, text in enumerate(FORMULAS))))  # fmt: skip
    return replace(result_of(made, rows(made)), warnings=(HOSTILE,))


def test_no_text_becomes_markup():
    honest = Reading(page([result_of(made := graph(edge("input@END", "a0.h0<q>@END")), rows(made))]))
    text = page([hostile()], title=HOSTILE)
    read = Reading(text)
    assert len(read.blocks["script"]) == len(honest.blocks["script"]) == 1
    assert read.blocks["script"] == honest.blocks["script"]
    assert "b" not in {name for name, _ in read.attributes}
    assert read.names.count("script") == honest.names.count("script") == 2
    assert read.data["title"] == HOSTILE
    assert HOSTILE in read.data["sheets"][0]["items"]["label"]
    assert "".join(read.text).count(HOSTILE) >= 3  # title, description and warning, as they are
    assert "\x00" not in text
    assert not {name for name, _ in read.attributes if name.startswith("on") or name == "style"}


def test_data_cannot_end_their_script():
    text = embedded({"x": "</script>\u2028\u2029<!-- & \ud800"})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"x": "</script>\u2028\u2029<!-- & \ud800"}


def test_the_policy_names_this_style_and_this_program():
    text = page([result_of(made := graph(edge("input", "logits")), rows(made))])
    read = Reading(text)
    (css,), (js,) = read.blocks["style"], read.blocks["script"]
    (said,) = [value for name, value in read.attributes if name == "content" and value and "default-src" in value]
    assert said == policy(css, js)
    assert said.startswith("default-src 'none'; ")
    assert "unsafe" not in said
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", css + js)
    assert "innerHTML" not in js
    assert "eval(" not in js
    assert not [value for name, value in read.attributes if name in ("src", "href") and not str(value).startswith("#")]


def test_ids_are_unique_and_links_lead_somewhere(run, other):
    for runs in ([run], [run, other]):
        read = Reading(page(runs))
        ids = [value for name, value in read.attributes if name == "id"]
        assert len(ids) == len(set(ids))
        for name, value in read.attributes:
            if name in ("aria-labelledby", "aria-describedby", "for"):
                assert set(str(value).split()) <= set(ids)
            if name == "href":
                assert str(value)[1:] in ids


# Size -------------------------------------------------------------------------------------------


def test_a_thousand_edges_are_less_than_a_megabyte():
    text = page([all_of_gpt2(1000)])
    data = Reading(text).data
    assert len(data["sheets"][0]["items"]["id"]) == len(data["sheets"][0]["scene"]["arrows"]) == 1000
    assert len(text.encode()) < 850_000  # of a megabyte: what a run with a directory adds is small


def test_all_edges_of_ioi_mini_are_on_one_page(tmp_path):
    text = (Path(__file__).parents[1] / "specs" / "all-edges-ioi-mini.yaml").read_text(encoding="utf-8")
    every = made_run(tmp_path / "all", text)
    made = page([every])
    (sheet,) = Reading(made).data["sheets"]
    assert len(every.rows) == len(sheet["items"]["id"]) == len(sheet["scene"]["arrows"]) == sheet["all"] == 479
    assert len(made.encode()) < 600_000


def test_of_very_many_edges_the_strongest_are_on_the_page():
    every = all_of_gpt2(4000)
    text = page([every])
    (sheet,) = Reading(text).data["sheets"]
    assert len(every.rows) == sheet["all"] == 4000
    assert set(sheet["items"]["id"]) == {each.id for each in every.ranked()[:MOST]}
    assert sheet["least"] == abs(every.ranked()[MOST].effect)
    assert len(text.encode()) < 1_000_000


# The API and the command ------------------------------------------------------------------------


def test_the_api_writes_a_file(run, tmp_path):
    file = cg.report(run, tmp_path / "report.html", title="A title")
    assert file.read_text(encoding="utf-8") == page([run], title="A title")
    assert cg.report(str(run.directory), tmp_path / "again.html").read_text(encoding="utf-8") == page([run])


def test_a_run_kept_in_memory_has_a_page(run):
    text = page([replace(run, directory=None, provenance={})])
    assert Reading(text).data["sheets"][0]["items"]["origins"]["0"]["texts"] == {}
    assert "made-up" in text


def test_what_cannot_be_reported(run, tmp_path):
    with pytest.raises(InputError, match=r"'report\.pdf': a report is an \.html file"):
        cg.report(run, tmp_path / "report.pdf")
    with pytest.raises(InputError, match="a report is of a run"):
        cg.report([], tmp_path / "report.html")
    with pytest.raises(FileError, match="cannot write"):
        cg.report(run, tmp_path / "missing" / "report.html")
    claim = NodeClaim((parse("m3"),))
    broken = result_of(graph(claim), [replace(row(claim, 1.0), p_value=float("nan"))])
    with pytest.raises(NotFiniteError, match=r"m3 \(id \w{12}\): p_value of logit_diff is not finite"):
        page([broken])


def test_the_command(circuitgraph, run, other, tmp_path):
    ended = circuitgraph("report", run.directory, other.directory, "-o", "report.html", "--title", "Two")
    assert (ended.status, ended.out, ended.err) == (0, "", "wrote report.html\n")
    assert "<title>Two</title>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    ended = circuitgraph("report", "nothing", "-o", "report.html")
    assert ended.status == 5
    assert "nothing" in ended.err
    ended = circuitgraph("report", run.directory, "-o", "report.pdf")
    assert (ended.status, ended.err) == (2, "'report.pdf': a report is an .html file\n")
    ended = circuitgraph("report", run.directory, other.directory, "-o", "kl.html", "--metric", "divergence")
    assert ended.status == 0
    assert [
        list(view["metrics"]) for view in Reading((tmp_path / "kl.html").read_text(encoding="utf-8")).data["views"]
    ] == [["divergence"]] * 3
    ended = circuitgraph("report", run.directory, "-o", "kl.html", "--metric", "divergence")
    assert (ended.status, ended.err) == (2, "a report of one run has all of its metrics, to choose from on the page\n")

"""What stands beside graph and table in a report: its numbers are the run's, and no text can be more than text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import circuitgraph as cg
from circuitgraph.reporting.sections import sections, spec_lines
from circuitgraph.reporting.sections.charts import Axis
from circuitgraph.reporting.sections.figures import percent, shown
from circuitgraph.reporting.sections.mapped import level_class
from circuitgraph.reporting.sections.markup import Markup, element, joined
from circuitgraph.reporting.sections.originated import citation, commands
from circuitgraph.reporting.sections.planned import physical_of_run
from circuitgraph.results.attribution import AttributionRow
from circuitgraph.results.evaluated import Scored, Share
from circuitgraph.results.records import RunResult
from circuitgraph.results.screening import compare

SPECS = Path(__file__).parent.parent / "specs"
CSS = Path(cg.__file__).parent / "reporting" / "page" / "sections.css"
HOSTILE = ("<script>alert('x')</script>\"&amp;", "a\u202egnp.exe\u2066", "\x00\x07\ud800", "=cmd|' /C calc'!A0",
           "x" * 10_000, "line\nbreak\r\u2028", "שלום עולם", "</style><!--", "{}%\\$")  # fmt: skip


# Runs -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], RunResult]:
    """name of a spec → its run on few prompts, read from its directory."""
    place, made = tmp_path_factory.mktemp("runs"), {}
    more = {"induction-mini": ["baseline.edges=2"]}

    def get(name: str) -> RunResult:
        if name not in made:
            few = ["prompts.generator.n=4", *more.get(name, ())]
            cg.run(SPECS / f"{name}.yaml", out=place / name, overrides=few, executor="fast")
            if name == "induction-mini":
                cg.evaluate(place / name, random=3)
            made[name] = cg.load_run(place / name)
        return made[name]

    return get


NAMES = ("ioi-mini", "ioi-mini-methods", "induction-mini", "ioi-mini-nodes")


# A strict reading of HTML -----------------------------------------------------------------------


@dataclass
class Node:
    """An element, with what is in it."""

    tag: str
    attributes: dict[str, str | None]
    inside: list[Node | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(part if isinstance(part, str) else part.text for part in self.inside)

    def all(self, tag: str, kind: str | None = None) -> Iterator[Node]:
        for part in self.inside:
            if isinstance(part, Node):
                if part.tag == tag and (kind is None or kind in (part.attributes.get("class") or "").split()):
                    yield part
                yield from part.all(tag, kind)

    @property
    def numbers(self) -> list[float]:
        return [float(each.attributes["value"] or "nan") for each in self.all("data")]


class Strict(HTMLParser):
    """Refuses tags that are not closed in order, handlers, styles, links that leave the page, comments."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "style", "iframe", "object", "img", "link", "meta", "base", "form", "br"), tag
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), attrs
        assert not [name for name in names if name == "style" or name.startswith("on") or name in ("href", "src")]
        node = Node(tag, dict(attrs))
        self.open[-1].inside.append(node)
        self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)

    def handle_comment(self, data: str) -> None:
        pytest.fail(f"a comment: {data[:80]}")

    def handle_decl(self, decl: str) -> None:
        pytest.fail(f"a declaration: {decl[:80]}")

    def handle_pi(self, data: str) -> None:
        pytest.fail(f"an instruction: {data[:80]}")


def parsed(html: str) -> Node:
    """The elements of a section; it must be well-formed as HTML and as XML."""
    ElementTree.fromstring(f"<section>{html}</section>")  # noqa: S314 - our own
    reader = Strict()
    reader.feed(html)
    reader.close()
    assert len(reader.open) == 1, [node.tag for node in reader.open]
    return reader.root


def found(result: RunResult) -> dict[str, Node]:
    return {section.id: parsed(section.html) for section in sections(result)}


# What every section keeps to --------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_sections_are_well_formed_static_and_styled_by_classes_that_there_are(runs, name):
    made = sections(runs(name))
    styled = set(re.findall(r"\.(s-[a-z0-9-]+)", CSS.read_text()))
    ids: list[str] = []
    for section in made:
        root = parsed(section.html)
        for node in everything(root):
            ids += [node.attributes["id"] or ""] if "id" in node.attributes else []
            classes = set((node.attributes.get("class") or "").split())
            assert classes <= styled | PLAIN, (section.id, classes - styled)
    assert len(ids) == len(set(ids))
    assert len({section.id for section in made}) == len(made)
    prefixed = sections(runs(name), prefix="b-")
    assert [section.id for section in prefixed] == [f"b-{section.id}" for section in made]
    assert 'id="b-spec-L1"' in next(s.html for s in prefixed if s.id == "b-spec")


PLAIN = {"s-tick", "s-table", "s-figure", "s-maps", "s-edges", "s-sum", "s-axis", "s-n", "s-more"}
"""Classes that need no style of their own."""


def everything(node: Node) -> Iterator[Node]:
    for part in node.inside:
        if isinstance(part, Node):
            yield part
            yield from everything(part)


def test_only_variables_have_colours():
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(", CSS.read_text()) == []


def test_what_does_not_apply_is_left_out(runs):
    always = {"spec", "plan", "provenance", "prompts"}
    assert {s.id for s in sections(runs("ioi-mini"))} == always | {"attention"}
    assert {s.id for s in sections(runs("ioi-mini-methods"))} == always | {"attention", "attribution", "heat-maps"}
    assert {s.id for s in sections(runs("ioi-mini-nodes"))} == always | {"heat-maps"}
    more = {"attention", "evaluation", "baseline"}
    assert {s.id for s in sections(runs("induction-mini"))} - {"heat-maps"} == always | more
    bare = replace(runs("ioi-mini"), prompts=(), attention=None, spec_text=None)
    assert {s.id for s in sections(bare)} == {"plan", "provenance"}


# Section by section -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_spec_line_by_line(runs, name):
    result = runs(name)
    lines = list(found(result)["spec"].all("span", "s-line"))
    text = Path(result.directory or "", "spec.yaml").read_text()
    assert [line.text for line in lines] == text.splitlines()
    assert [line.attributes["id"] for line in lines] == [f"spec-L{n}" for n in range(1, len(lines) + 1)]
    where = spec_lines(result)
    assert set(where) == set(result.graph.by_id)
    assert all(lines[number - 1].text.strip() for number in where.values())


def test_lines_are_those_of_the_text_that_is_shown(runs, tmp_path):
    """A run that was just made, with overrides, knows the lines of a file that is not shown."""
    few = ["prompts.generator.n=2", "edges=[{sender: m3, receiver: logits}]"]
    fresh = cg.run(SPECS / "ioi-mini.yaml", out=tmp_path / "run", overrides=few, executor="fast")
    lines = (fresh.spec_text or "").splitlines()
    (number,) = spec_lines(fresh).values()
    assert "sender: m3" in lines[number - 1]
    assert fresh.spec_text == (tmp_path / "run" / "spec.yaml").read_text()
    assert spec_lines(replace(fresh, directory=None)) == {}


@pytest.mark.parametrize("name", NAMES)
def test_prompts_token_by_token(runs, name):
    result = runs(name)
    pairs = list(found(result)["prompts"].all("div", "s-pair"))
    assert len(pairs) == len(result.prompts) >= 4
    for pair, prompt in zip(pairs, result.prompts, strict=True):
        columns = list(pair.all("li", "s-tok"))
        texts = [[each.text for each in column.all("bdi", "s-text")] for column in columns]
        assert [text[0] for text in texts] == list(prompt.clean_tokens)
        assert [text[1] for text in texts] == list(prompt.corrupted_tokens or ())
        differs = ["s-differs" in (column.attributes["class"] or "") for column in columns]
        assert differs == [a != b for a, b in zip(prompt.clean, prompt.corrupted or (), strict=True)]
        assert any(differs)
        for at, column in enumerate(columns):
            (name_of,) = column.all("bdi", "s-name")
            assert {n for n in name_of.text.strip().split(", ") if n} == {
                n for n, i in prompt.positions.items() if i == at
            }
        answers = [each.text for each in pair.all("bdi", "s-answer")]
        assert answers == [*prompt.answer_tokens, *prompt.wrong_answer_tokens]


@pytest.mark.parametrize("name", NAMES)
def test_the_plan(runs, name):
    result = runs(name)
    root = found(result)["plan"]
    counted = sum(int(number) for number in next(root.all("dd")).numbers)
    assert counted == len(result.plan.experiments)
    stages = list(root.all("div", "s-stages"))
    strongest = result.ranked()[: len(stages)]
    assert [next(each.all("b")).text for each in stages] == [row.label for row in strongest]
    assert [each.numbers for each in stages] == [[row.effect] for row in strongest]
    physical = physical_of_run(result)
    table = next(root.all("table", "s-cost"))
    *_, total = table.all("tr")
    assert total.numbers == [physical.forwards, physical.flops]
    steps = [list(row.all("td"))[1].numbers for row in table.all("tr") if list(row.all("td"))]
    assert sum(sum(numbers) for numbers in steps) == len(result.plan.experiments)
    assert physical.edge_at_a_time in [int(number) for number in root.numbers]


def test_the_cost_is_what_plan_explain_says(runs, circuitgraph):
    result = runs("ioi-mini")
    ended = circuitgraph(
        "plan", Path(result.directory or "") / "spec.yaml", "--explain", "--json", "--executor", "fast"
    )
    said = json.loads(ended.out)["run"]
    assert json.loads(json.dumps(physical_of_run(result).to_json())) == {
        key: value for key, value in said.items() if key != "memory"
    }


def test_provenance(runs):
    result = runs("induction-mini")
    text = found(result)["provenance"].text
    origin = result.provenance
    for key in ("spec_sha256", "plan_sha256", "prompts_sha256", "model_fingerprint", "created", "finished"):
        assert origin[key] in text
    for version in origin["versions"].values():
        assert version in text
    for warning in result.warnings:
        assert warning in text
    assert "circuitgraph run spec.yaml --out runs/induction-mini --executor fast\ncircuitgraph evaluate" in text
    assert citation(origin).startswith(f"@misc{{circuit-{origin['spec_sha256'][:12]},")
    screened = replace(result, screening=screening_of(result), evaluation=None)
    assert commands(screened) == [
        "circuitgraph run SPEC.yaml --out runs/induction-mini --executor fast --screen eap --top 3"
    ]


def test_the_evaluation(runs):
    result = runs("induction-mini")
    evaluation = result.evaluation
    assert evaluation is not None
    root, scores = found(result)["evaluation"], evaluation.primary
    cards = [card.numbers for card in root.all("div", "s-card")]
    faith, complete = scores.faithfulness, scores.completeness
    edges = [item for item in scores.dropped if item.kind == "edge"]
    needed = sum(item.change.high is not None and item.change.high < 0 for item in edges)
    assert cards == [
        [faith.value, faith.low, faith.high], [complete.value, complete.low, complete.high],
        [needed, len(edges)], [scores.random.below if scores.random else None],
    ]  # fmt: skip
    assert 0 < needed < len(edges)
    drops = {next(row.all("th")).text: row.numbers for row in root.all("tr") if list(row.all("th"))}
    for item in scores.dropped:
        numbers = [item.change.value, item.change.low, item.change.high, item.faithfulness.value]
        assert drops[item.name][:4] == [number for number in numbers if number is not None]
    points = [row.numbers for row in next(t for t in root.all("table") if "kept" in next(t.all("th")).text).all("tr")]
    assert scores.curve is not None
    assert points[1:] == [[p.kept, p.share, p.faithfulness.value, p.metric] for p in scores.curve.points]
    values = [each.numbers[0] for each in next(root.all("ul", "s-values")).all("li")]
    assert scores.random is not None
    assert values == sorted(value for value in scores.random.faithfulness if value is not None)
    assert len(list(root.all("circle", "s-random"))) == len(values)
    verdicts = [each.text for each in root.all("li")][: len(evaluation.expected)]
    assert all(
        str(item.verdict) in said and item.what in said
        for said, item in zip(verdicts, evaluation.expected, strict=True)
    )
    assert {scores.curve.cpr, scores.curve.cmd} <= set(root.numbers)


def test_an_edge_without_which_the_circuit_does_better_is_not_needed(runs):
    result = runs("induction-mini")
    scores = result.evaluation.primary
    better = tuple(replace(d, change=replace(d.change, low=0.1, high=0.2)) for d in scores.dropped)
    changed = replace(result.evaluation, metrics=(replace(scores, dropped=better),))
    cards = list(found(replace(result, evaluation=changed))["evaluation"].all("div", "s-card"))
    assert cards[2].numbers[0] == 0


def test_an_evaluation_without_shares(runs):
    result = runs("induction-mini")
    scores = result.evaluation.primary
    none = Scored(1.0, Share(None))
    without = replace(scores, base=none, empty=none, circuit=none, rest=none, no_share="they cannot be told apart",
                      dropped=tuple(replace(d, change=Share(None), faithfulness=Share(None)) for d in scores.dropped),
                      random=replace(scores.random, faithfulness=(None, None), below=None, median=None),
                      curve=replace(scores.curve, cpr=None, cmd=None, points=tuple(
                          replace(p, faithfulness=Share(None)) for p in scores.curve.points)))  # fmt: skip
    changed = replace(result, evaluation=replace(result.evaluation, metrics=(without,)))
    text = found(changed)["evaluation"].text
    assert "There are no shares: they cannot be told apart." in text
    assert "2 were run; there are no shares to compare." in text
    assert "There are no shares to draw." in text


@pytest.mark.parametrize("name", ["ioi-mini-methods", "ioi-mini-nodes"])
def test_heat_maps_hold_every_node_of_a_sweep(runs, name):
    result = runs(name)
    root = found(result)["heat-maps"]
    cells = [cell.numbers[0] for cell in root.all("td") if cell.numbers]
    swept = [row for row in result.rows if row.kind == "node"]
    if name == "ioi-mini-nodes":
        assert sorted(cells) == sorted(row.effect for row in swept)
    else:
        assert {row.effect for row in swept} <= set(cells)
    titles = {cell.attributes.get("title") for cell in root.all("td")}
    row = max(swept, key=lambda row: abs(row.effect))
    assert f"{row.label}: {shown(row.effect)} [{shown(row.ci_low or 0)}, {shown(row.ci_high or 0)}]" in titles
    strongest = max(abs(value) for value in cells)
    for cell in root.all("td"):
        if cell.numbers and name == "ioi-mini-nodes":
            assert level_class(cell.numbers[0], strongest) in (cell.attributes["class"] or "").split()


def test_levels_of_colour():
    assert [level_class(value, 2.0) for value in (-2, -1, -0.05, 0, 0.2, 2)] == [
        "s-n10",
        "s-n5",
        "s-p0",
        "s-p0",
        "s-p1",
        "s-p10",
    ]
    assert level_class(0, 0) == "s-p0"


def test_attribution(runs):
    result = runs("ioi-mini-methods")
    table = result.attribution
    assert table is not None
    root = found(result)["attribution"]
    bars = {
        next(r.all("th")).text: r.numbers for t in root.all("table", "s-bars") for r in t.all("tr") if list(r.all("td"))
    }
    assert bars == {
        row.label: [x for x in (row.value, row.ci_low, row.ci_high, row.share) if x is not None] for row in table.rows
    }
    (said,) = root.all("p", "s-sum")
    assert said.numbers == [len(table.rows), pytest.approx(sum(r.value for r in table.rows)), table.totals[0].value,
                            table.totals[0].residue]  # fmt: skip


def test_attention(runs):
    result = runs("ioi-mini")
    table = result.attention
    assert table is not None
    root = found(result)["attention"]
    assert root.numbers[-len([r for r in table.rows if r.visible]) :] == [
        row.weight for row in table.rows if row.visible
    ]
    body = [row for row in root.all("tr") if list(row.all("td"))]
    heads = [next(row.all("th")).text for row in body]
    assert heads == [row.head for row in table.rows[:: len(table.to_positions) + 1]]


def test_random_edges(runs):
    result = runs("induction-mini")
    root = found(result)["baseline"]
    rows = {next(r.all("th")).text: r.numbers for r in root.all("tr") if list(r.all("td"))}
    for row in result.primary:
        if row.percentile is not None:
            assert rows[row.label] == [row.percentile / 100, row.percentile_of, row.effect]
    assert len(list(root.all("circle", "s-random"))) == len(result.baseline)


def screening_of(result: RunResult) -> Any:
    rows = result.primary
    estimates = [(row.id, row.label, row.effect * 0.5 + 0.1) for row in rows]
    effects = {row.id: row.effect for row in rows[:3]}
    return compare("eap", rows[0].metric, ("4 pairs", "4 others"), estimates, effects)


def test_screening(runs):
    result = runs("induction-mini")
    screening = screening_of(result)
    root = found(replace(result, screening=screening))["screening"]
    rows = {next(r.all("th")).text: r.numbers for r in root.all("tr") if list(r.all("td"))}
    assert rows == {
        row.label: [x for x in (row.rank, row.estimate, row.effect) if x is not None] for row in screening.rows
    }
    assert len(list(root.all("circle"))) == 3


def test_estimates_are_said_to_be_estimates(runs):
    result = runs("induction-mini")
    rows = tuple(replace(row, executor="eap") for row in result.rows)
    estimated = replace(result, rows=rows, provenance={**result.provenance, "executor": "eap"})
    nodes = found(estimated)
    assert "Estimated, not measured." in nodes["estimates"].text
    assert not list(nodes["plan"].all("table", "s-cost"))  # what a measurement would cost is not what it took


# Hostile text -----------------------------------------------------------------------------------


def poisoned(value: Any, text: str) -> Any:
    """The same value with `text` put before every name, label and token in it."""
    if isinstance(value, str):
        return text + value
    if isinstance(value, tuple):
        return tuple(poisoned(item, text) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        fixed = {"name"} if isinstance(value, AttributionRow) else set()  # an address: never text of others
        names = [f.name for f in fields(value) if f.init and f.name in TEXTS - fixed]
        deep = [f.name for f in fields(value) if f.init and f.name in DEEP]
        return replace(value, **{name: poisoned(getattr(value, name), text) for name in (*names, *deep)})
    return value


TEXTS = {"name", "label", "clean_tokens", "corrupted_tokens", "answer_tokens", "wrong_answer_tokens", "cluster",
         "group", "from_position", "to_position", "to_positions", "metric", "at", "token", "region", "ranking",
         "without_alternative", "no_share", "warnings", "parts", "kept", "source", "screened_on",
         "measured_on"}  # fmt: skip
DEEP = {"rows", "totals", "metrics", "dropped", "random", "curve", "expected"}


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("name", ["induction-mini", "ioi-mini-methods"])
def test_hostile_text_is_text(runs, name, text):
    result = runs(name)
    rows = tuple(replace(row, label=text + row.label) for row in result.rows)
    origin = dict(result.provenance)
    origin |= {"name": text, "versions": {text: text}, "platform": {"system": text}, "created": text, "device": text}
    origin["settings"] = {**origin["settings"], "model": {"name": text, "kind": text}, "positions": [text],
                          "files": {"directory": text, "names": [text]}}  # fmt: skip
    prompts = tuple(replace(poisoned(p, text), positions={**p.positions, text: 1}) for p in result.prompts[:2])
    spoilt = replace(
        result,
        rows=rows,
        provenance=origin,
        prompts=prompts,
        warnings=(text,),
        spec_text=text + "\n" + (result.spec_text or ""),
        attention=poisoned(result.attention, text),
        attribution=None if result.attribution is None else poisoned(result.attribution, text),
        evaluation=None if result.evaluation is None else poisoned(result.evaluation, text),
        screening=poisoned(screening_of(result), text),
    )
    for section in sections(spoilt):
        parsed(section.html)  # refuses tags, handlers and comments that are not ours
        html = section.html
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\ud800-\udfff]", html), section.id
        html.encode()
    spec = parsed(next(s.html for s in sections(spoilt) if s.id == "spec"))
    if text.isprintable():
        assert next(spec.all("span", "s-line")).text == text


def test_the_builder_refuses_what_has_no_place_in_a_report():
    assert element("p", {"title": '"<'}, "<b>", Markup("<b>x</b>"), None, ["&"]) == (
        '<p title="&quot;&lt;">&lt;b&gt;<b>x</b>&amp;</p>'
    )
    assert joined("a\u202eb\x00") == "a&lt;202e&gt;b&lt;0&gt;"
    for wrong in (("script", {}), ("p", {"style": "x"}), ("p", {"onclick": "x"}), ("p", {"a b": "x"}),
                  ("p", {"href": "javascript:x"}), ("p", {"src": "x"})):  # fmt: skip
        with pytest.raises(ValueError, match="has no place in a report"):
            element(*wrong)


# Numbers and axes -------------------------------------------------------------------------------


def test_numbers_as_people_read_them():
    assert [shown(x, 1) for x in (-10.25, 0.04, -0.04, 0)] == ["−10.2", "0.0", "0.0", "0"]
    assert shown(2.5, sign=True) == "+2.50"
    assert str(percent(-0.0001)) == '<data class="s-n" value="-0.0001">0.0\u00a0%</data>'
    assert str(percent(0.5, sign=True)) == '<data class="s-n" value="0.5">+50.0\u00a0%</data>'
    assert "–" in percent(None)


@pytest.mark.parametrize("values", [[0.0], [0.0, 1.0], [-3.2, 7.9], [1e-9, 2e-9], [-1e6, 5e5], [0.0, 0.0], [5.0]])
def test_an_axis_holds_its_values(values):
    axis = Axis.over(values, "x")
    assert axis.low <= min(values) <= max(values) <= axis.high
    assert 2 <= len(axis.ticks) <= 8
    assert len({axis.said(tick) for tick in axis.ticks}) == len(axis.ticks)
    assert 0 <= axis.at(values[0], 0, 100) <= 100


@pytest.mark.parametrize("values", [[0.0], [0.0, 16.6], [1e-12, 3.0], [0.09, 0.0]])
def test_an_axis_of_powers_holds_its_values(values):
    axis, place = Axis.powers(values, "x")
    assert all(axis.low <= place(value) <= axis.high + 0.1 for value in values)

"""Reading a spec: scalars as written, places kept, overrides checked, as much as possible read at once."""

import copy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitgraph import catalog
from circuitgraph.errors import FileError, SpecError
from circuitgraph.spec import load, read_spec
from circuitgraph.spec.dump import dump_spec
from circuitgraph.spec.model import CircuitSpec, PathKind
from circuitgraph.spec.schema import json_schema
from circuitgraph.spec.yaml_reader import YamlFloat, plain_scalar, read_yaml

SPECS = sorted((Path(__file__).parent.parent / "specs").glob("*.yaml"))

TEXT = """\
version: 1
name: demo
model: ioi-mini
prompts:
  generator: {name: ioi, n: 8}
metric: {name: logit_diff, at: END}
groups:
  movers: [a3.h0, "3.10"]
  NO: a1.h1
edges:
  - {sender: "input@S2", receiver: "a0.h1<q>@S2"}
  - {sender: movers@END, receiver: logits, path: through-mlps}
nodes: [a1.h1, {node: [m0, m1], join: senders}]
"""


@pytest.fixture
def spec_file(tmp_path):
    def write(text=TEXT):
        path = tmp_path / "demo.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_spec_is_read(spec_file):
    spec = load(spec_file())
    assert spec.model.name == "ioi-mini"
    assert spec.metrics[0].parameters == {"at": "END"}
    assert spec.groups["movers"].nodes == ("a3.h0", "3.10")
    assert spec.groups["NO"].nodes == ("a1.h1",)
    assert spec.edges[0].receiver == ("a0.h1<q>@S2",)
    assert spec.edges[1].path is PathKind.THROUGH_MLPS
    assert [entry.node for entry in spec.nodes] == [("a1.h1",), ("m0", "m1")]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("False", False), ("yes", "yes"), ("on", "on"), ("NO", "NO"), ("null", None), ("~", None),
        ("", None), ("none", "none"), ("12", 12), ("-3", -3), ("010", "010"), ("0x10", "0x10"), ("1_000", "1_000"),
        ("1:30", "1:30"), ("2020-01-01", "2020-01-01"), ("9.10", 9.1), ("1e-5", 1e-5), ("1.5e3", 1500.0),
        (".5", 0.5), ("9.h6", "9.h6"), ("-.inf", float("-inf")), ("9" * 200, "9" * 200),
    ],
)  # fmt: skip
def test_plain_scalars_are_what_a_reader_expects(text, value):
    read = plain_scalar(text)
    assert read == value
    assert type(read) is (YamlFloat if isinstance(value, float) else type(value))


def test_a_number_remembers_how_it_was_written():
    number = read_yaml("a: 9.10", "x").data["a"]
    assert (number, number.raw) == (9.1, "9.10")
    assert copy.deepcopy(number).raw == "9.10"


def test_keys_are_always_text_and_quotes_always_make_text():
    assert read_yaml("on: 'true'\n3: '9.10'\nnull: \"\"", "x").data == {"on": "true", "3": "9.10", "null": ""}


def test_aliases_are_written_out_with_the_place_where_they_are_used():
    document = read_yaml("a: &x [1, 2]\nb: *x\n", "x")
    assert document.data == {"a": [1, 2], "b": [1, 2]}
    assert (document.source.origin(("b",)).line, document.source.origin(("b", 1)).line) == (2, 1)


def test_places_of_keys_values_and_what_lies_beyond_them(spec_file):
    source = read_spec(spec_file()).source
    at = {
        ("edges", 1, "receiver"): (12, 36),
        ("edges", 1, "receiver", 0): (12, 36),
        ("metrics", 0, "at"): (6, 32),
        ("model", "name"): (3, 8),
        ("groups", "movers", 1): (8, 19),
        ("groups", "movers", "nodes", 1): (8, 11),
        ("intervention", "path"): (1, 1),
    }
    assert {loc: (source.origin(loc).line, source.origin(loc).column) for loc in at} == at
    key = source.origin(("edges", 1, "path"), key=True)
    assert (key.line, key.column) == (12, 44)
    assert source.problem(("edges", 1, "path"), "!").source == TEXT.splitlines()[11]


def test_overrides_are_applied_before_validation(spec_file):
    settings = [
        "prompts.generator.n=32",
        "model.name=gpt2",
        "metric.at=-1",
        "metrics.0.reduce=max",
        "edges.0.path=direct",
    ]
    spec = load(spec_file(), [*settings, "intervention.base=corrupted", "groups.movers=[a3.h1, '3.20']", "name='1'"])
    assert spec.prompts.generator is not None
    assert spec.prompts.generator.parameters["n"] == 32
    assert spec.model.name == "gpt2"
    assert spec.metrics[0].parameters == {"at": -1, "reduce": "max"}
    assert spec.intervention.base == "corrupted"
    assert spec.groups["movers"].nodes == ("a3.h1", "3.20")
    assert spec.name == "1"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("promts.bos=true", "'promts' is no key of a spec; did you mean 'prompts'?"),
        ("prompts.generator.m=3", "'m' is no key of generator 'ioi'"),
        ("prompts.generator.n=many", "'many' is text; n needs a whole number"),
        ("metrics.1.at=END", "'1' is no entry of metrics, which has entries 0 to 0"),
        ("name.first=x", "'first' is no key of name, which is a single value"),
        ("edges.0.sender=9.10", "9.10 without quotes is the number 9.1"),
        ("model.dtype=half", "'half' is no dtype"),
        ("groups.movers=[a1.h1", "not closed"),
        ("name", "write key=value"),
        ("=x", "write key=value"),
    ],
)
def test_overrides_that_cannot_be_are_told_by_their_own_text(spec_file, setting, said):
    with pytest.raises(SpecError) as raised:
        load(spec_file(), [setting])
    assert str(raised.value).startswith(f"--set {setting}: ")
    assert said in str(raised.value)


def test_what_cannot_be_read_is_left_out_and_the_rest_keeps_its_places(spec_file):
    text = TEXT.replace('{sender: "input@S2"', "{sender: 9.10").replace("logit_diff", "logit_dif")
    reading = read_spec(spec_file(text))
    assert len(reading.problems) == 2
    assert reading.unread == {"metrics"}
    assert reading.spec is not None
    assert [edge.sender for edge in reading.spec.edges] == [("movers@END",)]
    assert reading.source.origin(("edges", 0)).line == 12


def test_entries_that_mention_an_unreadable_group_are_left_out_with_it(spec_file):
    reading = read_spec(spec_file(TEXT.replace('[a3.h0, "3.10"]', "[3.10]")))
    assert [problem.line for problem in reading.problems] == [8]
    assert reading.spec is not None
    assert "movers" not in reading.spec.groups
    assert [edge.sender for edge in reading.spec.edges] == [("input@S2",)]


def test_an_unknown_key_does_not_hide_the_rest_of_its_entry(spec_file):
    reading = read_spec(spec_file(TEXT.replace("path: through", "pathh: through")))
    assert [problem.message.split(";")[0] for problem in reading.problems] == ["'pathh' is no key of an edge"]
    assert reading.spec is not None
    assert len(reading.spec.edges) == 2


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileError, match="there is no file"):
        load(tmp_path / "absent.yaml")
    with pytest.raises(FileError, match="is a directory"):
        load(tmp_path)
    with pytest.raises(FileError, match="cannot be read"):
        load("a\0b")


def test_windows_line_ends_and_byte_order_marks(tmp_path):
    path = tmp_path / "demo.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").replace("END}", "EN D}").encode())
    with pytest.raises(SpecError, match=r"demo\.yaml:6:32: .*no position"):
        load(path)


def test_long_lines_are_shown_around_the_problem(spec_file):
    with pytest.raises(SpecError) as raised:
        load(spec_file(TEXT.replace("demo", "demo # " + "x" * 500).replace("at: END", "at: 1.5, label: " + "y" * 500)))
    shown, caret = str(raised.value).splitlines()[-2:]
    assert shown[caret.index("^") :].startswith("1.5, label")
    assert len(shown) < 140


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_any_text_is_read_or_explained(text):
    document = read_yaml(text, "x")
    assert (document.data is None) <= bool(document.problems)


plain = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
tricky = st.sampled_from(
    ["9.10", "NO", "1e-5", "true", "a*.h*", "~", "a0.h1<q,k>@END", "- x", "2020-01-01", "x: y", "#"]
)
texts = plain | tricky
overrides = st.fixed_dictionaries({}, optional={"label": texts, "path": st.sampled_from(PathKind)})
edges = st.one_of(
    st.builds(dict, sender=st.lists(texts, min_size=1, max_size=3), receiver=texts),
    st.builds(dict, chain=st.lists(texts, min_size=2, max_size=3)),
    st.builds(dict, set=st.lists(st.builds(dict, sender=texts, receiver=texts), min_size=1, max_size=2)),
)
pairs = st.builds(
    dict,
    clean=texts | st.lists(st.integers(0, 99), max_size=3),
    answers=st.lists(texts | st.integers(0, 99), max_size=2),
    positions=st.dictionaries(texts, st.integers(-9, 9), max_size=2),
    cluster=st.none() | texts | st.integers(0, 9),
)
specs = st.builds(
    CircuitSpec,
    version=st.just(1),
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True),
    description=st.none() | texts,
    model=texts | st.builds(dict, name=texts, dtype=st.just("float64")),
    prompts=st.builds(dict, pairs=st.lists(pairs, max_size=2)),
    metrics=st.just([{"name": "kl", "to": "clean"}]) | st.builds(lambda t: [{"name": "logit", "label": t}], texts),
    groups=st.dictionaries(texts, texts | st.builds(dict, nodes=texts, note=texts), max_size=2),
    edges=st.lists(st.builds(lambda a, b: a | b, edges, overrides), min_size=1, max_size=3),
    nodes=st.lists(texts, max_size=2),
)


@given(specs)
def test_a_dumped_spec_loads_as_the_same_spec(tmp_path_factory, spec):
    path = tmp_path_factory.getbasetemp() / "dumped.yaml"
    path.write_text(dump_spec(spec), encoding="utf-8", newline="")
    assert load(path) == spec


DUMPED = """\
version: 1
name: demo
model: ioi-mini
prompts:
  generator: {name: ioi, n: 8}
metrics:
- {name: logit_diff, at: END}
groups:
  movers: [a3.h0, '3.10']
  'NO': [a1.h1]
edges:
- {sender: input@S2, receiver: a0.h1<q>@S2}
- {sender: movers@END, receiver: logits, path: through-mlps}
nodes:
- a1.h1
- node: [m0, m1]
  join: senders
"""


def test_the_dump_is_what_a_person_would_write(spec_file):
    assert dump_spec(load(spec_file())) == DUMPED


def test_the_schema_knows_every_plugin_and_describes_its_parameters():
    defs = json_schema()["$defs"]
    metrics = {branch["title"]: branch for branch in defs["MetricSpec"]["oneOf"]}
    assert metrics["kl"]["properties"]["name"]["const"] == "kl"
    assert "reference" in metrics["kl"]["properties"]["to"]["description"]
    assert {branch["title"] for branch in defs["GeneratorSpec"]["oneOf"]} == set(catalog.generators.names())


def references(value):
    if isinstance(value, dict):
        yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
        yield from (found for item in value.values() for found in references(item))
    elif isinstance(value, list):
        yield from (found for item in value for found in references(item))


def test_every_reference_of_the_schema_leads_somewhere():
    schema = json_schema()
    assert {ref.removeprefix("#/$defs/") for ref in references(schema)} <= set(schema["$defs"])


@pytest.fixture(scope="module")
def validator():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(json_schema())
    return jsonschema.Draft202012Validator(json_schema())


@pytest.mark.parametrize("text", [TEXT, *(path.read_text() for path in SPECS)])
def test_valid_specs_satisfy_the_schema(validator, text):
    assert [error.message for error in validator.iter_errors(read_yaml(text, "x").data)] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("logit_diff", "logit_dif"),
        ("n: 8", "m: 8"),
        ("edges:", "edegs:"),
        ("metric:", "metrik:"),
        ("receiver: logits, ", ""),
        ("sender: movers@END", "sender: []"),
        ("n: 8}", "n: 8}\n  file: x"),
        ("through-mlps", "mlps"),
        ("version: 1", "version: 2"),
    ],
)
def test_broken_specs_do_not(validator, old, new):
    assert old in TEXT
    assert not validator.is_valid(read_yaml(TEXT.replace(old, new), "x").data)

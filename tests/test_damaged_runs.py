"""Runs that were damaged, mixed or edited: each kind is refused in one line that names its file, none in silence.

And what would do such damage: commands that write into a run directory.
"""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from circuitgraph.api import render, report
from circuitgraph.errors import FileError
from circuitgraph.results import load_run
from circuitgraph.results.attention import AttentionRow, AttentionTable
from circuitgraph.results.files import check_no_runs_file, check_writable, write_text
from circuitgraph.results.screening import Estimated, Screening
from circuitgraph.results.tablefiles import read_records, write_records
from tests.made_runs import SPEC, made_run

EDGES, EFFECTS, BASELINE, PROMPTS, RECORD = (
    "edges.parquet", "effects.parquet", "baseline.parquet", "prompts.jsonl", "run.json",
)  # fmt: skip
PAIRS = 12


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two finished runs of one spec whose numbers differ."""
    place = tmp_path_factory.mktemp("runs")
    made_run(place / "made", SPEC, seed=0, pairs=PAIRS)
    made_run(place / "other", SPEC, seed=1, pairs=PAIRS)
    return place


@pytest.fixture
def run(place, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(place / "made", tmp_path / "run")


def rewritten(name, change):
    """Damage to a table, as lists: column → values."""

    def damage(run):
        table = parquet.read_table(run / name)
        columns = {column: table[column].to_pylist() for column in table.column_names}
        changed = change(columns) or columns
        types = {c: table.schema.field(c).type for c in columns if changed[c] == columns[c]}
        made = {c: pa.array(values, types.get(c)) for c, values in changed.items() if values is not None}
        parquet.write_table(pa.table(made), run / name)

    return damage


def first(column, value):
    """The first row of a column replaced."""
    return lambda c: {**c, column: [value, *c[column][1:]]}


def every(column, value):
    return lambda c: {**c, column: [value(v) if callable(value) else value for v in c[column]]}


def rows(choose):
    """The rows that are kept, by their numbers: lists of numbers in, lists out."""

    def change(columns):
        kept = choose(list(range(len(columns["id"]))))
        return {name: [values[i] for i in kept] for name, values in columns.items()}

    return change


def of_first(columns):
    return sum(id_ == columns["id"][0] and m == columns["metric"][0]
               for id_, m in zip(columns["id"], columns["metric"], strict=True))  # fmt: skip


def without_first_experiment(columns):
    return rows(lambda i: i[of_first(columns) :])(columns)


def first_experiment_twice(columns):
    return rows(lambda i: [*i[: of_first(columns)], *i])(columns)


def told(**changes):
    """Damage to run.json."""

    def damage(run):
        record = json.loads((run / RECORD).read_text())
        (run / RECORD).write_text(json.dumps(record | changes))

    return damage


def settings(**changes):
    def damage(run):
        record = json.loads((run / RECORD).read_text())
        told(settings=record["settings"] | changes)(run)

    return damage


def lacking(key):
    def damage(run):
        record = json.loads((run / RECORD).read_text())
        del record[key]
        (run / RECORD).write_text(json.dumps(record))

    return damage


def lines(change):
    """Damage to the prompts, as records."""

    def damage(run):
        records = [json.loads(line) for line in (run / PROMPTS).read_text().splitlines()]
        (run / PROMPTS).write_text("".join(json.dumps(record) + "\n" for record in change(records)))

    return damage


def in_first_prompt(**changes):
    return lines(lambda records: [records[0] | changes, *records[1:]])


def baseline(**changes):
    """A table of random edges: the first edge of the run, as if it were another, with a change."""

    def damage(run):
        row = read_records(run / EDGES, type(load_run(run).rows[0]))[0][0]
        write_records(run / BASELINE, type(row), [replace(row, **{"id": "0" * 12} | changes)])

    return damage


def attention(n=PAIRS, about=True):
    def damage(run):
        row = AttentionRow(None, "a0.h0", "END", None, 1.0, None, None, None, n, n, None)
        if about:
            AttentionTable("made-up", "ioi-mini", "clean", ("END",), (), n, (row,)).write(run / "attention.parquet")
        else:
            write_records(run / "attention.parquet", AttentionRow, [row])

    return damage


def screening(run):
    rows = (Estimated("0" * 12, "an edge", 1.0, 1, 1.0),)
    Screening("eap", "logit_diff", "a", "b", 1, None, None, 1.0, {}, rows).write(run / "screening.parquet")


def copied(name):
    """A file of the run of another seed."""

    def damage(run):
        shutil.copy(run.parent / "other" / name, run / name)

    return damage


DAMAGES = {
    # edges.parquet
    "the table of another seed": (copied(EDGES), EDGES, "the mean of its pairs in effects"),
    "an effect edited": (rewritten(EDGES, first("effect", 99.0)), EDGES, r"effect of .* is 99\.0"),
    "an effect nudged": (rewritten(EDGES, lambda c: first("effect", c["effect"][0] * 1.000001)(c)), EDGES, "effect of"),
    "a mean edited": (rewritten(EDGES, first("metric_patched", 9.0)), EDGES, r"metric_patched of .* is 9\.0"),
    "the other mean edited": (rewritten(EDGES, first("metric_other", 9.0)), EDGES, r"metric_other of .* is 9\.0"),
    "a share edited": (rewritten(EDGES, first("normalized_effect", 0.5)), EDGES, r"normalized_effect of .* is 0\.5"),
    "a row twice": (rewritten(EDGES, rows(lambda i: [*i, 0])), EDGES, "2 times"),
    "the first row missing": (rewritten(EDGES, rows(lambda i: i[1:])), EDGES, "it lacks"),
    "a row missing": (rewritten(EDGES, rows(lambda i: i[:3] + i[4:])), EDGES, "it lacks"),
    "rows in another order": (rewritten(EDGES, rows(lambda i: i[::-1])), EDGES, "order of the plan"),
    "no rows": (rewritten(EDGES, rows(lambda i: [])), EDGES, "it has no rows"),
    "an unknown id": (rewritten(EDGES, first("id", "deadbeef0000")), EDGES, "experiment deadbeef0000, which the plan"),
    "NaN": (rewritten(EDGES, first("effect", math.nan)), EDGES, "column effect is not finite in row 1"),
    "infinity": (rewritten(EDGES, first("ci_low", -math.inf)), EDGES, "column ci_low is not finite in row 1"),
    "no effect": (rewritten(EDGES, first("effect", None)), EDGES, "column effect is empty in row 1"),
    "text for numbers": (rewritten(EDGES, every("effect", str)), EDGES, "column effect is not numbers"),
    "text in a column of few": (rewritten(EDGES, every("q_value", str)), EDGES, "column q_value is not numbers"),
    "numbers for text": (rewritten(EDGES, every("label", 1)), EDGES, "column label is not text"),
    "no metric": (rewritten(EDGES, every("metric", None)), EDGES, "column metric is empty in row 1"),
    "no label": (rewritten(EDGES, first("label", None)), EDGES, "column label is empty in row 1"),
    "another metric": (rewritten(EDGES, every("metric", "prob")), EDGES, "times under prob"),
    "an unknown kind": (rewritten(EDGES, first("kind", "zzz")), EDGES, "zzz with base clean, not edge"),
    "another base": (rewritten(EDGES, first("base", "corrupted")), EDGES, "with base corrupted, not edge"),
    "an unknown verdict": (rewritten(EDGES, first("verdict", "maybe")), EDGES, "is 'maybe', none of supported"),
    "half a pair": (rewritten(EDGES, every("n", 8.5)), EDGES, "column n is not whole numbers"),
    "another n": (rewritten(EDGES, every("n", 8)), EDGES, "n of .* is 8, and effects.parquet has 12 pairs"),
    "draws": (rewritten(EDGES, first("draws", 3)), EDGES, "draws of .* is 3"),
    "no column n": (rewritten(EDGES, every("n", None)), EDGES, "column n is empty"),
    # effects.parquet
    "the pairs of another seed": (copied(EFFECTS), EDGES, "the mean of its pairs in effects"),
    "an experiment missing": (rewritten(EFFECTS, without_first_experiment), EFFECTS, "it lacks"),
    "an experiment twice": (rewritten(EFFECTS, first_experiment_twice), EFFECTS, "2 times"),
    "a pair missing at the end": (rewritten(EFFECTS, rows(lambda i: i[:-1])), EFFECTS, "has 11 pairs"),
    "a pair missing within": (rewritten(EFFECTS, rows(lambda i: i[:3] + i[4:])), EFFECTS, "pairs are not complete"),
    "no pairs": (rewritten(EFFECTS, rows(lambda i: [])), EFFECTS, "it lacks"),
    "NaN in a pair": (rewritten(EFFECTS, first("metric_patched", math.nan)), EFFECTS, "not finite in row 1"),
    "nothing in a pair": (rewritten(EFFECTS, first("metric_base", None)), EFFECTS, "metric_base is empty in row 1"),
    "no other in a pair": (rewritten(EFFECTS, first("metric_other", None)), EFFECTS, "metric_other is empty for some"),
    "text in pairs": (rewritten(EFFECTS, every("metric_base", str)), EFFECTS, "column metric_base is not numbers"),
    "an effect of a pair": (rewritten(EFFECTS, first("effect", 9.0)), EFFECTS, r"effect is not metric_patched"),
    "a pair edited": (
        rewritten(EFFECTS, lambda c: first("effect", 9.0 - c["metric_base"][0])(first("metric_patched", 9.0)(c))),
        EDGES,
        "metric_patched of",
    ),
    "the id of a pair": (rewritten(EFFECTS, lambda c: rows_with(c, "id", 3, "deadbeef0000")), EFFECTS, "id in row 4"),
    "text for pairs": (rewritten(EFFECTS, every("pair", str)), EFFECTS, "column pair is not whole numbers"),
    # beside them
    "fewer prompts": (lines(lambda r: r[:3]), PROMPTS, "it has 3 prompts, and edges.parquet 12 pairs"),
    "more prompts": (lines(lambda r: r * 2), PROMPTS, "it has 24 prompts"),
    "other prompts": (in_first_prompt(answers=[3]), PROMPTS, "not the prompts that were measured"),
    "prompts in another order": (lines(lambda r: r[::-1]), PROMPTS, "not the prompts that were measured"),
    "a position moved": (
        in_first_prompt(positions={"BOS": 0, "IO": 2, "S1": 2, "S2": 3, "END": 4}), PROMPTS, "not the prompts",
    ),
    "no prompts": (lines(lambda r: []), PROMPTS, "it has 0 prompts"),
    "more ids than texts": (in_first_prompt(clean=[9, 0, 1, 2, 3, 4]), PROMPTS, "line 1 .* has 6 ids and 5 texts"),
    "fewer texts": (in_first_prompt(answer_tokens=[]), PROMPTS, "answers has 1 ids and 0 texts"),
    "sides of two lengths": (
        in_first_prompt(corrupted=[1], corrupted_tokens=["a"]), PROMPTS, "clean has 5 ids and corrupted 1",
    ),
    "text for an id": (in_first_prompt(clean=["x", 1, 2, 3, 4]), PROMPTS, r"clean\[0\] is 'x', not a whole number"),
    "no positions": (in_first_prompt(positions=None), PROMPTS, "positions is no mapping"),
    "a position far away": (in_first_prompt(positions={"END": 99}), PROMPTS, "position END is outside of the 5 ids"),
    "a deep prompt": (lambda run: (run / PROMPTS).write_text("[" * 100_000), PROMPTS, "line 1 is damaged"),
    "the table as its own baseline": (
        lambda run: shutil.copy(run / EDGES, run / BASELINE), BASELINE, "is no random edge",
    ),
    "a baseline edited": (baseline(effect=99.0), BASELINE, "is not metric_patched"),
    "a baseline of other pairs": (baseline(n=3), BASELINE, "measured on 3 pairs"),
    "percentiles without a baseline": (
        rewritten(EDGES, first("percentile_of", 3)), BASELINE, "0 random edges, and edges.parquet compares with 3",
    ),
    "attention of other pairs": (attention(n=3), "attention.parquet", "not of the 12 pairs"),
    "attention alone": (attention(about=False), "attention.parquet", "name is missing"),
    "another screening": (screening, "screening.parquet", "not those of edges.parquet"),
    # run.json
    "no settings": (lacking("settings"), RECORD, "settings is missing"),
    "no versions": (lacking("versions"), RECORD, "versions is missing"),
    "no shape": (lacking("shape"), RECORD, "shape is missing"),
    "settings null": (told(settings=None), RECORD, "settings is no mapping"),
    "warnings null": (told(warnings=None), RECORD, "warnings is no list"),
    "warnings of numbers": (told(warnings=[1]), RECORD, r"warnings\[0\] is 1, not text"),
    "versions null": (told(versions=None), RECORD, "versions is no mapping"),
    "an audit of another form": (
        told(audit={"experiments": "many", "pairs": 1, "deviation": 0, "tolerated": 0}),
        RECORD,
        "audit.experiments is 'many', not a whole number",
    ),
    "an audit that lacks all": (told(audit={"zzz": 1}), RECORD, "audit.experiments is missing"),
    "an audit of text": (told(audit="x"), RECORD, "audit is no mapping"),
    "saes without site": (told(saes=[{"name": "s", "width": 4}]), RECORD, r"saes\[0\].site is missing"),
    "saes of no site": (told(saes=[{"name": "s", "width": 4, "site": "?"}]), RECORD, "it is damaged"),
    "layers of text": (
        told(shape={"layers": "x", "heads": 1, "kv_heads": 1}), RECORD, "shape.layers is 'x', not a whole number",
    ),
    "a shape of a list": (told(shape=[1]), RECORD, "shape is no mapping"),
    "each of a number": (settings(each=5), RECORD, "settings.each is no list"),
    "each of no position": (settings(each=["??"]), RECORD, "it is damaged"),
    "a spec of another form": (settings(spec={"edges": 5}), RECORD, "it is damaged"),
    "tokens of another form": (settings(tokens={"clean": 5}), RECORD, "settings.tokens"),
    "nested deep": (lambda run: (run / RECORD).write_text("[" * 100_000), RECORD, "it is damaged"),
    "version 0": (told(format_version=0), RECORD, "format_version is 0, not a whole number from 1"),
    "version true": (told(format_version=True), RECORD, "format_version is True"),
}  # fmt: skip


def rows_with(columns, name, at, value):
    return {**columns, name: [value if i == at else v for i, v in enumerate(columns[name])]}


@pytest.mark.parametrize(("damage", "file", "said"), DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_run_is_refused_in_one_line_that_names_the_file(place, run, damage, file, said):
    shutil.copytree(place / "other", run.parent / "other")
    damage(run)
    with pytest.raises(FileError, match=said) as caught:
        load_run(run)
    assert str(run / file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [every("effect", lambda v: v), every("draws", None)])
def test_a_table_that_was_only_written_again_is_read(run, change):
    rewritten(EDGES, change)(run)
    rewritten(EFFECTS, every("effect", lambda v: v))(run)
    baseline()(run)
    attention()(run)
    assert len(load_run(run).baseline) == 1


def test_columns_and_keys_of_later_versions_and_columns_that_earlier_ones_lack(run):
    before = load_run(run).rows
    rewritten(EDGES, lambda c: {**{k: v for k, v in c.items() if k != "verdict"}, "verdict": None, "later": c["n"]})(
        run
    )
    rewritten(EFFECTS, lambda c: c | {"executor": None})(run)
    told(later={"x": 1})(run)
    assert load_run(run).rows == tuple(replace(row, verdict=None) for row in before)


@pytest.mark.parametrize(
    ("damage", "status"),
    [(copied(EDGES), 5), (rewritten(EDGES, first("effect", math.nan)), 5), (told(settings=None), 5)],
)
def test_no_command_reads_a_damaged_run(circuitgraph, place, tmp_path, damage, status):
    shutil.copytree(place / "other", tmp_path / "other")
    shutil.copytree(place / "made", tmp_path / "run")
    damage(tmp_path / "run")
    for command in (["report", "run", "-o", "x.html"], ["compare", "run", "other"], ["export", "run", "-o", "x.csv"],
                    ["render", "run", "-o", "x.svg"]):  # fmt: skip
        ended = circuitgraph(*command)
        assert (ended.status, "run/" in ended.err, ended.err.count("\n")) == (status, True, 1), ended
    assert not list(tmp_path.glob("x.*"))


# --- a run's files are its own --------------------------------------------------------------------


def content(run):
    return {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    "command",
    [
        ["export", "run", "--to", "mib", "--drop", "-o", "run/run.json"],
        ["export", "run", "-o", "run/x.csv"],
        ["export", "run", "-o", "run/edges.parquet.csv"],
        ["render", "run", "-o", "run/run.json"],
        ["render", "run", "-o", "run/x.svg"],
        ["render", "run", "-o", "link/run.json"],
        ["report", "run", "-o", "run/x.html"],
        ["compare", "run", "run", "-o", "run/parts/00001.parquet"],
        ["import", "scores.csv", "--force", "-o", "run/spec.yaml"],
    ],
    ids=" ".join,
)
def test_nothing_else_is_written_into_a_run_directory(circuitgraph, place, tmp_path, command):
    run = shutil.copytree(place / "made", tmp_path / "run")
    (tmp_path / "link").symlink_to("run")
    (tmp_path / "scores.csv").write_text("sender,receiver,score\na0.h0,logits,1.0\n")
    before = content(run)
    ended = circuitgraph(*command)
    assert ended.status == 5, ended
    assert f"{command[-1].split('/', maxsplit=1)[0]} is a run directory" in ended.err
    assert content(run) == before


def test_a_runs_drawing_and_plots_are_made_anew(run):
    render(run, run / "circuit.svg")
    check_no_runs_file(run / "plots" / "effects.svg", own=("plots",))
    check_writable(run / "evaluation.json", own=("evaluation.json",))
    assert load_run(run).rows


def test_a_directory_with_some_other_run_json_is_no_run_directory(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    check_writable(tmp_path / "x.csv")
    (tmp_path / "run.json").write_text('{"format": "circuitgraph run", ')
    with pytest.raises(FileError, match="is a run directory"):
        check_writable(tmp_path / "x.csv")


def test_a_link_stays_and_what_it_points_to_is_written(run, tmp_path):
    (tmp_path / "there").mkdir()
    for name, write in (("a.txt", lambda path: write_text(path, "text")), ("a.svg", lambda path: render(run, path))):
        link, target = tmp_path / name, tmp_path / "there" / name
        link.symlink_to(target)
        write(link)
        assert link.is_symlink()
        assert target.stat().st_size
    assert sorted(file.name for file in (tmp_path / "there").iterdir()) == ["a.svg", "a.txt"]


# --- what is not there ----------------------------------------------------------------------------


def test_what_is_no_run_directory_is_called_that(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for name, said in (("empty", "it holds no run.json"), ("nowhere", "nothing is there"), ("file", "it is a file")):
        with pytest.raises(FileError, match=f"{name} is no run directory: {said}"):
            load_run(tmp_path / name)


def test_a_missing_directory_is_named_and_no_temporary_file(run):
    for write in (lambda: report(run, "no/a.html"), lambda: write_text(Path("no/a.txt"), "")):
        with pytest.raises(FileError, match=r"cannot write no/a\.\w+: there is no directory no$"):
            write()

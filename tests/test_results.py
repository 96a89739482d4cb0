"""The table, and the run directory with its locks, parts and refusals. Real files, real processes."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from circuitgraph.errors import FileError, InputError, LockError, NotFiniteError
from circuitgraph.graph import ModelShape, build_graph
from circuitgraph.plans import build_plan
from circuitgraph.results import (
    Measured,
    RunDirectory,
    check_finite,
    load_run,
    provenance,
    summarise,
)
from circuitgraph.results.columns import read_measured, read_rows, write_effects, write_part, write_rows
from circuitgraph.results.lock import DirectoryLock
from circuitgraph.results.manifest import Status, read_manifest
from circuitgraph.results.prompts import Prompt, read_prompts, write_prompts
from circuitgraph.results.provenance import sha256_file, sha256_text, versions
from circuitgraph.spec import load
from circuitgraph.stats import intervals, normalized

SPEC = """\
version: 1
name: toy
model: {name: ./nowhere, shape: {layers: 3, heads: 2}}
prompts:
  pairs: [{clean: [1, 2], corrupted: [1, 3], answers: [1], wrong_answers: [2]}]
metrics: [{name: logit_diff}, {name: prob}]
groups: {movers: [a2.h0, a2.h1]}
edges:
  - {sender: "input@END", receiver: "a0.h1<q>@END", label: first}
  - {sender: "a0.h*@END", receiver: "movers<q>@END", join: both}
  - {sender: a1.h0, receiver: logits, base: corrupted, source: zero, path: through-mlps}
  - {chain: [a0.h0, "a1.h1<v>", logits]}
  - {set: [{sender: a0.h0, receiver: m1}, {sender: "a1.h1@END", receiver: logits}]}
nodes: ["a1.h0@END"]
"""
SHAPE = ModelShape(layers=3, heads=2, kv_heads=2)
METRICS = ("logit_diff", "prob")
PAIRS = 16


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    file = tmp_path_factory.mktemp("spec") / "toy.yaml"
    file.write_text(SPEC)
    return build_graph(load(file), SHAPE)


@pytest.fixture(scope="module")
def plan(graph):
    return build_plan(graph)


@pytest.fixture(scope="module")
def measured(plan):
    """Every experiment under both metrics; bases share their values, as in a run."""
    random = np.random.default_rng(0)
    clean = {metric: random.normal(3, 0.5, PAIRS) for metric in METRICS}
    corrupted = {metric: random.normal(0, 0.5, PAIRS) for metric in METRICS}
    found = []
    for experiment in plan.experiments:
        for metric in METRICS:
            base, other = clean[metric], corrupted[metric]
            if experiment.base == "corrupted":
                base, other = other, base
            patched = base + random.normal(-0.3, 0.2, PAIRS)
            found.append(Measured(experiment.id, metric, base, other, patched))
    return tuple(found)


@pytest.fixture(scope="module")
def rows(plan, measured, graph):
    return summarise(plan, measured, graph, metrics=METRICS, seed=3)


@pytest.fixture(scope="module")
def manifest(plan):
    return provenance(
        spec_text=SPEC, plan=plan, shape=SHAPE, model_fingerprint="f" * 64, prompts_sha256="p" * 64, threads=2
    )


def plain(measured):
    """What is measured as lists, which can be compared."""
    values = ((m, (m.metric_base, m.metric_other, m.metric_patched)) for m in measured)
    return [(m.id, m.metric, [None if v is None else v.tolist() for v in of_m]) for m, of_m in values]


# --- the table -----------------------------------------------------------------------------------


def test_rows_hold_all_experiments_of_the_first_metric_then_the_next(rows, plan):
    ids = [experiment.id for experiment in plan.experiments]
    assert [(row.metric, row.id) for row in rows] == [(metric, i) for metric in METRICS for i in ids]


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (0, ("edge", "first", "input", "END", "a0.h1<q>", "END", "direct", "clean", "counterfactual")),
        (1, ("edge", "a0.h0@END + a0.h1@END → a2.h0<q>@END + a2.h1<q>@END", "a0.h0 + a0.h1", "END",
             "a2.h0<q> + a2.h1<q>", "END", "direct", "clean", "counterfactual")),
        (2, ("edge", "a1.h0 → logits", "a1.h0", None, "logits", None, "through-mlps", "corrupted", "zero")),
        (3, ("chain", "a0.h0 → a1.h1<v> → logits", "a0.h0", None, "logits", None, "direct", "clean",
             "counterfactual")),
        (4, ("set", "{a0.h0 → m1, a1.h1@END → logits}", "a0.h0 + a1.h1", "all + END", "m1 + logits", None, "direct",
             "clean", "counterfactual")),
        (5, ("node", "a1.h0@END", "a1.h0", "END", None, None, None, "clean", "counterfactual")),
    ],
)  # fmt: skip
def test_columns_that_say_what_was_done(rows, index, expected):
    row = rows[index]
    where = (row.sender, row.sender_position, row.receiver, row.receiver_position, row.path)
    assert (row.kind, row.label, *where, row.base, row.source) == expected


def test_columns_that_say_what_was_found(rows, measured):
    row, item = rows[0], measured[0]
    effect = item.metric_patched - item.metric_base
    found = intervals([effect], seed=3)
    share = normalized([effect], item.metric_other - item.metric_base, seed=3)
    assert row.metric_base == item.metric_base.mean()
    assert row.metric_other == item.metric_other.mean()
    assert row.metric_patched == item.metric_patched.mean()
    assert row.effect == pytest.approx(effect.mean(), rel=1e-14)
    assert (row.std_error, row.ci_low, row.ci_high) == (found.std_error[0], found.low[0], found.high[0])
    assert (row.normalized_effect, row.normalized_ci_low, row.normalized_ci_high) == pytest.approx(
        (share.value[0], share.low[0], share.high[0])
    )
    assert (row.n, row.executor, row.interval, row.significant) == (PAIRS, "literal", "bootstrap-t", True)


def test_the_gap_of_a_base_is_its_own(rows, measured):
    denoising = next(row for row in rows if row.base == "corrupted")
    item = next(m for m in measured if m.id == denoising.id)
    gap = item.metric_other.mean() - item.metric_base.mean()
    assert gap > 0
    assert denoising.normalized_effect == pytest.approx(item.effect.mean() / gap)


def test_no_other_prompt_means_no_normalized_effect(plan, measured, graph):
    alone = [replace(item, metric_other=None) for item in measured]
    for row in summarise(plan, alone, graph, metrics=METRICS):
        assert (row.metric_other, row.normalized_effect, row.normalized_ci_low) == (None, None, None)
        assert row.ci_low is not None


def test_a_gap_that_may_be_zero_means_no_normalized_effect(plan, measured, graph):
    closed = [replace(item, metric_other=item.metric_base + (-1) ** np.arange(PAIRS)) for item in measured]
    for row in summarise(plan, closed, graph, metrics=METRICS):
        assert row.normalized_effect is None
        assert row.metric_other is not None


def test_one_pair_has_no_error_and_no_interval(plan, measured, graph):
    first = [Measured(m.id, m.metric, m.metric_base[:1], m.metric_other[:1], m.metric_patched[:1]) for m in measured]
    row = summarise(plan, first, graph, metrics=METRICS)[0]
    assert (row.std_error, row.ci_low, row.ci_high, row.interval, row.n) == (None, None, None, None, 1)
    assert row.significant is False


def test_clusters_widen_the_intervals_by_their_own_method(plan, measured, graph):
    clusters = [f"t{i % 4}" for i in range(PAIRS)]
    row = summarise(plan, measured, graph, metrics=METRICS, clusters=clusters)[0]
    assert row.interval == "cluster-t"
    assert row.std_error == intervals([measured[0].effect], clusters, seed=0).std_error[0]


@pytest.mark.parametrize("field", ["metric_base", "metric_other", "metric_patched"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_names_its_experiment(plan, measured, graph, field, value):
    spoilt = getattr(measured[2], field).copy()
    spoilt[[5, 9]] = value
    broken = [*measured[:2], replace(measured[2], **{field: spoilt}), *measured[3:]]
    label, name = plan.experiments[1].label, plan.experiments[1].id
    with pytest.raises(NotFiniteError) as caught:
        summarise(plan, broken, graph, metrics=METRICS)
    assert str(caught.value) == (
        f"{label} (id {name}): {field} of logit_diff is not finite for 2 of 16 pairs, "
        f"first pair 5 (counted from 0): {value}"
    )
    with pytest.raises(NotFiniteError):
        check_finite(plan, broken[2:3])
    check_finite(plan, measured)


def test_an_experiment_that_was_not_measured_is_not_skipped(plan, measured, graph):
    with pytest.raises(ValueError, match="1 experiments were not measured, first first under prob"):
        summarise(plan, [measured[0], *measured[2:]], graph, metrics=METRICS)


# --- columns -------------------------------------------------------------------------------------


def test_the_table_has_the_documented_columns_in_order(tmp_path, rows):
    write_rows(tmp_path / "edges.parquet", rows)
    documented = (
        "id, kind, label, sender, sender_position, receiver, receiver_position, path, base, source, metric, "
        "metric_base, metric_other, metric_patched, effect, normalized_effect, std_error, ci_low, ci_high, n, executor"
    )
    schema = parquet.read_schema(tmp_path / "edges.parquet")
    assert ", ".join(schema.names[:21]) == documented
    assert ", ".join(schema.names[21:]) == (
        "normalized_ci_low, normalized_ci_high, interval, same_sign, p_value, q_value, draws, draw_std, expected, "
        "verdict, pairs_needed, percentile, percentile_of"
    )
    assert str(schema.field("normalized_effect").type) == "double"
    assert str(schema.field("n").type) == "int64"


def test_rows_come_back_as_they_went(tmp_path, rows):
    odd = replace(rows[0], label='" → \\ <&>\n', sender=None, normalized_effect=None, std_error=0.1 + 0.2)
    write_rows(tmp_path / "edges.parquet", [odd, *rows])
    assert read_rows(tmp_path / "edges.parquet") == (odd, *rows)
    write_rows(tmp_path / "none.parquet", [])
    assert read_rows(tmp_path / "none.parquet") == ()


def test_columns_of_a_later_version_are_left_out_and_missing_ones_refused(tmp_path, rows):
    frame = pandas.DataFrame([asdict(row) for row in rows])
    frame.assign(later=1).drop(columns=["interval"]).to_parquet(tmp_path / "later.parquet")
    assert [row.interval for row in read_rows(tmp_path / "later.parquet")] == [None] * len(rows)
    frame.drop(columns=["effect"]).to_parquet(tmp_path / "less.parquet")
    with pytest.raises(FileError, match="no column effect"):
        read_rows(tmp_path / "less.parquet")


floats = hnp.arrays(np.float64, 3, elements=st.floats(allow_nan=False, allow_infinity=False))
items = st.builds(Measured, st.text("ab", min_size=1), st.sampled_from(METRICS), floats, st.none() | floats, floats)


@settings(deadline=None)  # Files are written.
@given(st.lists(items, max_size=4))
def test_parts_keep_every_bit(tmp_path_factory, measured):
    file = tmp_path_factory.mktemp("part") / "1.parquet"
    write_part(file, measured)
    assert plain(read_measured(file)) == plain(measured)


def test_effects_list_every_pair_with_its_cluster(tmp_path, measured, monkeypatch):
    monkeypatch.setattr("circuitgraph.results.columns._ROWS_AT_ONCE", 3 * PAIRS)
    clusters = [f"t{i % 4}" for i in range(PAIRS)]
    write_effects(tmp_path / "effects.parquet", measured, clusters)
    frame = pandas.read_parquet(tmp_path / "effects.parquet")
    assert list(frame) == [
        "id", "metric", "pair", "cluster", "metric_base", "metric_other", "metric_patched", "effect",
        "executor",
    ]  # fmt: skip
    assert len(frame) == len(measured) * PAIRS
    assert (frame["effect"] == frame["metric_patched"] - frame["metric_base"]).all()
    assert frame["cluster"].tolist() == clusters * len(measured)
    assert plain(read_measured(tmp_path / "effects.parquet")) == plain(measured)


# --- a run, start to end -------------------------------------------------------------------------


def run(path, manifest, measured, rows, **options):
    with RunDirectory.create(path, manifest, SPEC, **options) as directory:
        done = directory.finished_parts()
        for start in range(0, len(measured), 4):
            if measured[start].id not in done:
                directory.write_part(measured[start : start + 4])
        directory.finish(rows, warnings=["only 4 clusters"], draw=lambda: "<svg/>")


def files(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*"))


FINISHED = [
    "circuit.svg", "edges.parquet", "effects.parquet", "parts", "parts/00001.parquet", "parts/00002.parquet",
    "parts/00003.parquet", "run.json", "spec.yaml",
]  # fmt: skip


def test_a_finished_run_holds_what_is_documented_and_nothing_else(tmp_path, manifest, measured, rows):
    path = tmp_path / "runs" / "toy"
    run(path, manifest, measured, rows)
    assert files(path) == FINISHED
    assert (path / "spec.yaml").read_text() == SPEC
    assert (path / "circuit.svg").read_text() == "<svg/>"
    record = json.loads((path / "run.json").read_text(), parse_constant=pytest.fail)
    assert (record["format_version"], record["status"]) == (1, "done")
    assert record["finished"] >= record["created"]
    assert {key: record[key] for key in manifest} == manifest


def test_a_run_loads_as_it_was_written(tmp_path, manifest, measured, rows, graph, plan):
    run(tmp_path / "toy", manifest, measured, rows)
    result = load_run(tmp_path / "toy")
    assert result.rows == rows
    assert result.plan == plan
    assert result.graph == graph
    assert result.metrics == METRICS
    assert result.warnings == ("only 4 clusters",)
    assert result.directory == str(tmp_path / "toy")
    assert result.provenance["model_fingerprint"] == "f" * 64
    assert list(result.effects) == [(row.id, row.metric) for row in rows]
    for item in measured:
        np.testing.assert_array_equal(result.effects[item.id, item.metric], item.effect)
    assert list(result.to_frame()["id"]) == [row.id for row in rows]


def test_provenance_is_strict_json_and_says_what_ran(plan, manifest):
    assert json.loads(json.dumps(manifest, allow_nan=False)) == manifest
    assert manifest["spec_sha256"] == sha256_text(SPEC)
    assert manifest["versions"] == versions()
    assert manifest["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert manifest["versions"]["torch"]
    assert manifest["created"].endswith("+00:00")
    assert ModelShape(**manifest["shape"]) == SHAPE


def test_numbers_that_json_has_not_are_refused(tmp_path, manifest):
    with pytest.raises(ValueError, match="JSON compliant"):
        RunDirectory.create(tmp_path / "toy", {**manifest, "seed": float("nan")}, SPEC)
    DirectoryLock(tmp_path / "toy").release()


@pytest.mark.parametrize(("change", "text"), [({}, SPEC + "#"), ({"plan_sha256": ...}, SPEC)])
def test_a_manifest_must_be_of_this_spec_and_whole(tmp_path, manifest, change, text):
    given = {key: value for key, value in manifest.items() if key not in change}
    with pytest.raises(ValueError, match=r"another spec text|has no plan_sha256"):
        RunDirectory.create(tmp_path / "toy", given, text)
    assert not (tmp_path / "toy").exists()


# --- what is there already -----------------------------------------------------------------------


@contextmanager
def unchanged(path):
    before = {file: (file.read_bytes() if file.is_file() else None) for file in path.rglob("*")}
    yield
    assert {file: (file.read_bytes() if file.is_file() else None) for file in path.rglob("*")} == before


@pytest.mark.parametrize("name", ["notes.txt", "run.json"])
@pytest.mark.parametrize("options", [{}, {"resume": True}, {"replace": True}])
def test_a_directory_that_is_no_run_is_never_written_into(tmp_path, manifest, name, options):
    (tmp_path / name).write_text('{"mine": true}')
    with unchanged(tmp_path), pytest.raises(InputError, match="no run directory"):
        RunDirectory.create(tmp_path, manifest, SPEC, **options)


def test_an_empty_directory_is_used(tmp_path, manifest, measured, rows):
    run(tmp_path, manifest, measured, rows)
    assert files(tmp_path) == FINISHED


def test_a_file_in_the_way_is_named(tmp_path, manifest):
    (tmp_path / "toy").write_text("")
    for path in (tmp_path / "toy", tmp_path / "toy" / "below"):
        with pytest.raises(FileError, match=re.escape(str(path))):
            RunDirectory.create(path, manifest, SPEC)


def test_a_finished_run_is_not_overwritten(tmp_path, manifest, measured, rows):
    run(tmp_path / "toy", manifest, measured, rows)
    with unchanged(tmp_path), pytest.raises(InputError, match=r"holds a finished run; .*--out, .*--force"):
        RunDirectory.create(tmp_path / "toy", manifest, SPEC)
    with pytest.raises(InputError, match="not both"):
        RunDirectory.create(tmp_path / "toy", manifest, SPEC, resume=True, replace=True)


def test_resuming_a_finished_run_changes_no_result(tmp_path, manifest, measured, rows):
    run(tmp_path / "toy", manifest, measured, rows)
    run(tmp_path / "toy", manifest, measured, rows, resume=True)
    assert files(tmp_path / "toy") == FINISHED
    assert load_run(tmp_path / "toy").rows == rows


@pytest.mark.parametrize(
    ("error", "status", "described"),
    [
        (KeyboardInterrupt, Status.INTERRUPTED, "is interrupted"),
        (NotFiniteError("a9.h6 is not finite"), Status.FAILED, "is failed"),
        (None, Status.INTERRUPTED, "is interrupted"),
    ],
)
def test_a_run_that_ends_early_says_so_and_can_be_resumed(tmp_path, manifest, measured, rows, error, status, described):
    path = tmp_path / "toy"
    with suppress(KeyboardInterrupt, NotFiniteError), RunDirectory.create(path, manifest, SPEC) as directory:
        directory.write_part(measured[:4])
        if error is not None:
            raise error
    record = read_manifest(path)
    assert record["status"] == status
    assert record.get("error") == ("NotFiniteError: a9.h6 is not finite" if status is Status.FAILED else None)
    with pytest.raises(InputError, match=f"{described}; continue it with --resume"):
        RunDirectory.create(path, manifest, SPEC)
    with pytest.raises(InputError, match=rf"no finished run \(status: {status}\)"):
        load_run(path)

    with RunDirectory.create(path, {**manifest, "created": "later"}, SPEC, resume=True) as directory:
        assert directory.finished_parts() == {measured[0].id, measured[2].id}
        directory.write_part(measured[4:])
        directory.finish(rows)
    assert load_run(path).rows == rows
    record = read_manifest(path)
    assert (record["created"], len(record["resumed"])) == (manifest["created"], 1)
    assert "error" not in record


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_fingerprint": "0"}, "model differs"),
        ({"plan_sha256": "0", "prompts_sha256": "0"}, "plan differs, prompts differ"),
        ({"dtype": "float64"}, "dtype differs (float32 then, float64 now)"),
        ({"device": "cuda"}, "device differs (cpu then, cuda now)"),
        ({"executor": "fast"}, "executor differs (literal then, fast now)"),
    ],
)
def test_another_run_is_not_resumed(tmp_path, manifest, measured, changes, message):
    path = tmp_path / "toy"
    with RunDirectory.create(path, manifest, SPEC) as directory:
        directory.write_part(measured[:4])
    with unchanged(tmp_path), pytest.raises(InputError, match=f": {re.escape(message)}; --resume .*--out"):
        RunDirectory.create(path, {**manifest, **changes}, SPEC, resume=True)
    other = SPEC + "# a comment\n"
    with pytest.raises(InputError, match="spec differs"):
        RunDirectory.create(path, {**manifest, "spec_sha256": sha256_text(other)}, other, resume=True)


@pytest.mark.parametrize("package", ["circuitgraph", "torch", "transformer_lens"])
def test_a_run_is_not_resumed_by_other_versions(tmp_path, manifest, measured, rows, package):
    def with_version(version):
        return {**manifest, "versions": {**manifest["versions"], package: version}}

    run(tmp_path / "toy", with_version("0.1.0"), measured, rows)
    message = f"cannot be resumed: {package} version differs (0.1.0 then, 0.2.0 now); --resume with"
    with unchanged(tmp_path), pytest.raises(InputError, match=re.escape(message)):
        RunDirectory.create(tmp_path / "toy", with_version("0.2.0"), SPEC, resume=True)
    run(tmp_path / "toy", with_version("0.1.0"), measured, rows, resume=True)
    with pytest.raises(ValueError, match=r"has no versions\.circuitgraph, versions\.torch"):
        RunDirectory.create(tmp_path / "toy", {**manifest, "versions": {}}, SPEC)


def test_versions_that_decide_no_number_do_not_matter(tmp_path, manifest, measured, rows):
    run(tmp_path / "toy", manifest, measured, rows)
    other = {**manifest, "threads": 9, "versions": {**manifest["versions"], "python": "3.99"}}
    run(tmp_path / "toy", other, measured, rows, resume=True)


def test_a_run_that_did_not_record_its_device_is_not_resumed(tmp_path, manifest, measured, rows):
    run(tmp_path / "toy", manifest, measured, rows)
    record = json.loads((tmp_path / "toy/run.json").read_text())
    del record["device"]
    (tmp_path / "toy/run.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=re.escape("device differs (unknown then, cpu now)")):
        RunDirectory.create(tmp_path / "toy", manifest, SPEC, resume=True)


def test_resume_where_nothing_is_starts_a_run(tmp_path, manifest, measured, rows):
    run(tmp_path / "toy", manifest, measured, rows, resume=True)
    assert "resumed" not in read_manifest(tmp_path / "toy")


# --- replacing -----------------------------------------------------------------------------------


def test_a_run_is_replaced_only_when_the_new_one_is_finished(tmp_path, manifest, measured, rows):
    path, newer = tmp_path / "toy", {**manifest, "seed": 1}
    run(path, manifest, measured, rows)
    with RunDirectory.create(path, newer, SPEC, replace=True) as directory:
        directory.write_part(measured)
        assert read_manifest(path)["seed"] == 0
        with pytest.raises(LockError):
            RunDirectory.create(path, newer, SPEC, replace=True)
        directory.finish(rows)
        with pytest.raises(LockError):
            RunDirectory.create(path, newer, SPEC)
    assert [entry.name for entry in tmp_path.iterdir()] == ["toy"]
    assert load_run(path).provenance["seed"] == 1
    assert files(path) == [name for name in FINISHED if name not in ("circuit.svg", *FINISHED[5:7])]


def test_a_failed_replacement_leaves_the_finished_run(tmp_path, manifest, measured, rows):
    path = tmp_path / "toy"
    run(path, manifest, measured, rows)
    with unchanged(path), suppress(RuntimeError), RunDirectory.create(path, manifest, SPEC, replace=True) as directory:
        directory.write_part(measured[:4])
        raise RuntimeError
    assert load_run(path).rows == rows
    assert read_manifest(tmp_path / "toy.new")["status"] == "failed"
    run(path, {**manifest, "seed": 2}, measured, rows, replace=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["toy"]
    assert load_run(path).provenance["seed"] == 2


def test_what_a_killed_replacement_left_is_cleared_away(tmp_path, manifest, measured, rows):
    for name in ("toy", "toy.new", "toy.old"):
        run(tmp_path / name, manifest, measured, rows)
    run(tmp_path / "toy", {**manifest, "seed": 4}, measured, rows, replace=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["toy"]
    assert load_run(tmp_path / "toy").provenance["seed"] == 4


def test_a_run_with_a_users_files_in_it_is_not_replaced(tmp_path, manifest, measured, rows):
    run(tmp_path / "toy", manifest, measured, rows)
    (tmp_path / "toy" / "thesis.tex").write_text("years of work")
    with unchanged(tmp_path), pytest.raises(InputError, match=r"holds thesis\.tex, which no run writes"):
        RunDirectory.create(tmp_path / "toy", manifest, SPEC, replace=True)


def test_replacing_nothing_is_a_plain_run_and_links_are_followed(tmp_path, manifest, measured, rows):
    run(tmp_path / "there", manifest, measured, rows, replace=True)
    (tmp_path / "toy").symlink_to("there")
    run(tmp_path / "toy", {**manifest, "seed": 3}, measured, rows, replace=True)
    assert (tmp_path / "toy").is_symlink()
    assert load_run(tmp_path / "toy").provenance["seed"] == 3


# --- writers that die, writers that meet ---------------------------------------------------------

WRITER = """
import json, sys, time
from pathlib import Path
import numpy as np
from circuitgraph.results import Measured, RunDirectory
from circuitgraph.results.files import write_whole

path, manifest, spec = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
directory = RunDirectory.create(path, manifest, spec)
directory.write_part([Measured("one", "logit_diff", np.ones(3), None, np.zeros(3))])

def half(file):
    file.write(b"PAR1 half a part")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)

write_whole(path / "parts" / "00002.parquet", half)
"""


def test_a_killed_writer_leaves_whole_parts_and_no_lock(tmp_path, manifest):
    path = tmp_path / "toy"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), json.dumps(manifest), SPEC], stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        with pytest.raises(LockError, match=f"being written by process {writer.pid} on "):
            RunDirectory.create(path, manifest, SPEC, resume=True)
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    assert (path / "parts" / "00002.parquet.tmp").exists()
    with pytest.raises(InputError, match="was killed; continue it with --resume"):
        RunDirectory.create(path, manifest, SPEC)
    with RunDirectory.create(path, manifest, SPEC, resume=True) as directory:
        assert directory.finished_parts() == {"one"}
        assert files(path) == [".lock", "parts", "parts/00001.parquet", "run.json", "spec.yaml"]
        directory.write_part([Measured("two", "logit_diff", np.ones(3), None, np.ones(3))])
        assert directory.finished_parts() == {"one", "two"}


def test_a_second_writer_is_refused_until_the_first_ends(tmp_path, manifest):
    with RunDirectory.create(tmp_path, manifest, SPEC), pytest.raises(LockError, match=f"process {os.getpid()} "):
        RunDirectory.create(tmp_path, manifest, SPEC, resume=True)
    with RunDirectory.create(tmp_path, manifest, SPEC, resume=True):
        pass


def test_a_refused_or_failed_start_keeps_no_lock(tmp_path, manifest, measured, rows):
    run(tmp_path / "toy", manifest, measured, rows)
    for options in ({}, {"replace": True}):
        with suppress(InputError), RunDirectory.create(tmp_path / "toy", manifest, SPEC, **options):
            pass
        DirectoryLock(tmp_path / "toy").release()
    assert files(tmp_path / "toy") == FINISHED


def test_a_lock_that_its_holder_removed_is_no_lock(tmp_path):
    first = DirectoryLock(tmp_path)
    (tmp_path / ".lock").unlink()
    second = DirectoryLock(tmp_path)
    first.release()
    first.release()
    with pytest.raises(LockError):
        DirectoryLock(tmp_path)
    second.release()
    assert files(tmp_path) == []


@contextmanager
def full_disk(after):
    """Files end at `after` bytes: what the system does when a disk is full, but for the error's number."""
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_names_the_file_and_leaves_nothing_half_written(tmp_path, manifest, measured):
    big = np.random.default_rng(0).normal(size=20_000)
    directory = RunDirectory.create(tmp_path, manifest, SPEC)
    directory.write_part(measured[:2])
    with pytest.raises(FileError, match=r"cannot write .*00002\.parquet: File too large"), directory, full_disk(50_000):
        directory.write_part([Measured("big", "prob", big, None, big)])
    assert files(tmp_path) == ["parts", "parts/00001.parquet", "run.json", "spec.yaml"]
    assert read_manifest(tmp_path)["status"] == "failed"
    assert "00002.parquet" in read_manifest(tmp_path)["error"]


def test_a_full_disk_at_the_end_does_not_hide_the_first_error(tmp_path, manifest):
    directory = RunDirectory.create(tmp_path, manifest, SPEC)
    with pytest.raises(NotFiniteError, match="first"), full_disk(after=10), directory:
        raise NotFiniteError("first")
    assert read_manifest(tmp_path)["status"] == "running", "the last thing that could be written"
    DirectoryLock(tmp_path).release()


# --- directories that cannot be read -------------------------------------------------------------


def finished(tmp_path, manifest, measured, rows) -> Path:
    run(tmp_path / "toy", manifest, measured, rows)
    return tmp_path / "toy"


def damage_part(path):
    (path / "parts" / "00002.parquet").write_bytes(b"PAR1 nonsense PAR1")


def test_a_damaged_part_is_named_with_its_remedy(tmp_path, manifest, measured, rows):
    path = finished(tmp_path, manifest, measured, rows)
    damage_part(path)
    with RunDirectory.create(path, manifest, SPEC, resume=True) as directory:  # noqa: SIM117
        with pytest.raises(FileError, match=r"00002\.parquet: it is damaged .*delete this part and --resume"):
            directory.finished_parts()


def with_record(path, **changes):
    record = json.loads((path / "run.json").read_text()) | changes
    (path / "run.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda p: (p / "run.json").unlink(), FileError, r"toy is no run directory: it holds no run\.json"),
        (lambda p: (p / "run.json").write_text('{"format'), FileError, r"cannot read .*run\.json: it is damaged"),
        (lambda p: (p / "run.json").write_text("[]"), InputError, "no run directory of circuitgraph"),
        (lambda p: (p / "run.json").write_bytes(b"\xff\xfe{"), FileError, "it is damaged"),
        (lambda p: with_record(p, format_version=2), InputError, "run format 2; .* reads up to 1: update it"),
        (lambda p: with_record(p, status="running"), InputError, "no finished run"),
        (lambda p: with_record(p, shape={"sides": 3}), FileError, r"run\.json: shape\.layers is missing"),
        (lambda p: with_record(p, plan_sha256="0"), FileError, "another plan"),
        (lambda p: (p / "spec.yaml").unlink(), FileError, r"cannot read .*spec\.yaml"),
        (lambda p: (p / "spec.yaml").write_text(SPEC + "\n"), FileError, "changed after the run"),
        (lambda p: (p / "edges.parquet").unlink(), FileError, r"cannot read .*edges\.parquet: "),
        (lambda p: (p / "edges.parquet").write_bytes(b"PAR1"), FileError, r"edges\.parquet: it is damaged"),
        (lambda p: (p / "effects.parquet").write_bytes(b""), FileError, r"effects\.parquet: it is damaged"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, manifest, measured, rows, spoil, error, message):
    path = finished(tmp_path, manifest, measured, rows)
    spoil(path)
    with pytest.raises(error, match=message) as caught:
        load_run(path)
    assert "\n" not in str(caught.value)


def test_pairs_that_are_not_complete_are_refused(tmp_path, measured):
    write_part(tmp_path / "whole.parquet", measured[:2])
    table = parquet.read_table(tmp_path / "whole.parquet")
    parquet.write_table(table.slice(3), tmp_path / "cut.parquet")
    with pytest.raises(FileError, match="pairs are not complete"):
        list(read_measured(tmp_path / "cut.parquet"))


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(FileError, match="nowhere"):
        load_run(tmp_path / "nowhere")


def test_hashes_of_files_are_of_their_bytes(tmp_path):
    (tmp_path / "a").write_text("text")
    assert sha256_file(tmp_path / "a") == sha256_text("text")
    with pytest.raises(FileError, match="No such file"):
        sha256_file(tmp_path / "b")


def test_reading_and_writing_import_no_torch():
    code = (
        "import sys, circuitgraph.results, circuitgraph.stats;"
        "print([m for m in ('torch', 'pandas', 'pyarrow', 'networkx') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


# Prompts ----------------------------------------------------------------------------------------


def test_prompts_are_kept_as_they_were_read(tmp_path):
    alone = Prompt((0, 4), None, (5,), (), {"END": 1}, 1, None, ("<s>", ' "a\n'), None, (" b",), ())
    pair = replace(
        alone,
        corrupted=(0, 6),
        corrupted_tokens=("<s>", " é"),
        cluster="#1",
        wrong_answers=(7,),
        wrong_answer_tokens=("c",),
    )
    write_prompts(tmp_path / "prompts.jsonl", [alone, pair])
    assert read_prompts(tmp_path / "prompts.jsonl") == (alone, pair)


@pytest.mark.parametrize("line", ["{", "[]", '{"clean": [1]}', '{"unknown": 1}'])
def test_damaged_prompts_name_the_line(line, tmp_path):
    path = tmp_path / "prompts.jsonl"
    write_prompts(path, [Prompt((0,), None, (5,), (), {}, 0, None, ("a",), None, ("b",), ())])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(FileError, match=r"prompts\.jsonl: line 2 is damaged"):
        read_prompts(path)

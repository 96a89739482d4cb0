"""The Python API: what is public, the way from a spec to a drawing, and results that come back as they were."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

import circuitgraph as cg
from circuitgraph.errors import FileError
from circuitgraph.execute.parts import Parts
from circuitgraph.graph.claims import Origin
from circuitgraph.results import RunResult
from tests.measuring import edge, measure_all, node, scale_of
from tests.test_cli import PROMPTS, write_pairs

EDGES = [
    {"sender": "a0.h1", "receiver": ["a1.h2<v>@B", "a2.h0<q>@END"]},
    {"sender": "a1.h0@END", "receiver": "logits", "label": "a label"},
]
CLAIMS = [
    edge("a0.h1", "a1.h2<v>@B"),
    edge("a0.h1", "a2.h0<q>@END"),
    edge("a1.h0@END", "logits"),
    node("m1@B"),
]

# The names of the table's columns are a promise: they keep their order, and new ones come after them.
COLUMNS = [
    "id", "kind", "label", "sender", "sender_position", "receiver", "receiver_position", "path", "base", "source",
    "metric", "metric_base", "metric_other", "metric_patched", "effect", "normalized_effect", "std_error", "ci_low",
    "ci_high", "n", "executor",
]  # fmt: skip


@pytest.fixture(scope="module")
def path(checkpoint, tmp_path_factory) -> Path:
    """A spec file whose model and prompts are named relative to it."""
    directory = tmp_path_factory.mktemp("specs")
    (directory / "model").symlink_to(checkpoint("gpt2"))
    write_pairs(directory / "pairs.jsonl", PROMPTS)
    spec = {
        "version": 1,
        "name": "tiny",
        "model": {"name": "model", "dtype": "float64"},
        "prompts": {"file": "pairs.jsonl"},
        "metrics": ["logit_diff", {"name": "kl", "label": "divergence"}],
        "groups": {"late": ["a2.h0", "m2"]},
        "edges": EDGES,
        "nodes": ["m1@B"],
    }
    file = directory / "tiny.yaml"
    file.write_text("# a comment\n" + yaml.safe_dump(spec, sort_keys=False))
    return file


@pytest.fixture(scope="module")
def result(path) -> RunResult:
    """The spec's run, kept in memory."""
    return cg.run(path)


# What is public ---------------------------------------------------------------------------------


def test_the_public_names():
    assert cg.__all__ == [
        "AttentionTable", "AttributionTable", "CircuitGraph", "CircuitGraphError", "CircuitSpec", "Comparison",
        "Comparisons", "Discovery", "Evaluation", "Plan", "RunResult", "SpecError", "Verdicts",
        "attention", "attribution", "check", "compare", "diagram", "discover", "evaluate", "explain", "export",
        "import_circuit", "load", "load_run", "plan", "plot", "render", "report", "run", "test",
    ]  # fmt: skip
    assert dir(cg) == sorted([*cg.__all__, "__version__"])
    for name in cg.__all__:
        assert getattr(cg, name).__name__ == name


def test_a_name_that_is_not_public_is_no_attribute():
    with pytest.raises(AttributeError, match="module 'circuitgraph' has no attribute 'plam'"):
        _ = cg.plam  # type: ignore[attr-defined]  # it is not there: that is the point


def test_no_submodule_takes_the_name_of_a_function():
    """An import of `circuitgraph.plan` would put a module where `circuitgraph.plan(...)` was."""
    modules = [module.name for module in pkgutil.iter_modules(cg.__path__)]
    assert set(modules) & set(cg.__all__) == set()
    for name in set(modules) - {"__main__"}:
        importlib.import_module(f"circuitgraph.{name}")
    for name in (
        "check",
        "diagram",
        "discover",
        "evaluate",
        "explain",
        "load",
        "load_run",
        "plan",
        "render",
        "run",
        "test",
    ):
        assert callable(getattr(cg, name))


# From spec to drawing ---------------------------------------------------------------------------


def test_the_whole_way(path, tmp_path):
    spec = cg.load(path)
    assert isinstance(spec, cg.CircuitSpec)
    assert spec.name == "tiny"
    checked = cg.check(path)
    assert (len(checked.graph.claims), checked.prompts and len(checked.prompts)) == (4, 5)
    plan = cg.plan(path)
    assert isinstance(plan, cg.Plan)
    assert [experiment.label for experiment in plan.experiments] == [
        "a0.h1 → a1.h2<v>@B",
        "a0.h1 → a2.h0<q>@END",
        "a label",
        "m1@B",
    ]
    assert cg.explain(path).startswith("1. a0.h1 → a1.h2<v>@B\n     cache      clean run and corrupted run;")
    assert "read logit_diff at END, kl at END" in cg.explain(path)
    result = cg.run(path, out=tmp_path / "run")
    assert result.directory == str(tmp_path / "run")
    assert isinstance(result, cg.RunResult)
    assert isinstance(result.graph, cg.CircuitGraph)
    assert result.plan == plan
    for what, name in ((path, "a.svg"), (spec, "b.svg"), (result, "c.svg"), (tmp_path / "run", "d.svg")):
        assert cg.render(what, tmp_path / name) == tmp_path / name
    drawn = {name: (tmp_path / f"{name}.svg").read_bytes() for name in "abcd"}
    assert drawn["a"] == drawn["b"] != drawn["c"] == drawn["d"]
    assert drawn["c"] == (tmp_path / "run/circuit.svg").read_bytes()


def test_numbers_are_the_executors(path, tiny_model, result):
    measured = measure_all(tiny_model("gpt2"), CLAIMS, PROMPTS)
    assert [row.id for row in result.primary] == [m.id for m in measured]
    assert {row.executor for row in result.rows} == {"fast"}
    literal = cg.run(path, executor="literal")
    assert {row.executor for row in literal.rows} == {"literal"}
    for row, exact, m in zip(result.primary, literal.primary, measured, strict=True):
        scale = max(1, scale_of(m).max())
        assert exact.effect == pytest.approx(m.effect.mean(), abs=1e-12)
        assert np.array_equal(literal.effects[row.id, "logit_diff"], m.effect)
        assert row.effect == pytest.approx(m.effect.mean(), rel=0, abs=1e-9 * scale)
        assert np.abs(result.effects[row.id, "logit_diff"] - m.effect).max() <= 1e-9 * scale
        assert row.n == len(PROMPTS)


def test_a_spec_in_memory_keeps_the_directory_of_its_paths(path, result, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = cg.load(path)
    assert spec.directory == path.parent
    assert [row.effect for row in cg.run(spec).rows] == [row.effect for row in result.rows]
    changed = spec.model_copy(update={"name": "other"})
    assert cg.check(changed).prompts == cg.check(spec).prompts
    assert cg.plan(changed).experiments == cg.plan(path).experiments


def test_a_spec_made_in_python_is_relative_to_the_working_directory(path, monkeypatch):
    spec = cg.CircuitSpec.model_validate(yaml.safe_load(path.read_text()))
    monkeypatch.chdir(path.parent)
    assert cg.plan(spec).experiments == cg.plan(path).experiments
    monkeypatch.chdir("/")
    with pytest.raises(cg.SpecError, match="'model' is no model"):
        cg.check(spec)


def test_overrides_go_with_files(path):
    assert cg.load(path, ["name=other"]).name == "other"
    assert len(cg.plan(path, ["nodes=[]"]).experiments) == 3
    assert "zero" in cg.explain(path, ["intervention.source=zero"])
    with pytest.raises(cg.CircuitGraphError, match="overrides go with a file"):
        cg.check(cg.load(path), ["name=other"])


# Results ----------------------------------------------------------------------------------------


def test_the_table_has_the_promised_columns_in_their_order(result):
    frame = result.to_frame()
    assert list(frame.columns)[: len(COLUMNS)] == COLUMNS
    assert len(frame) == 8
    assert list(frame["metric"]) == ["logit_diff"] * 4 + ["divergence"] * 4
    assert list(frame["label"][:4]) == [experiment.label for experiment in result.plan.experiments]
    node_row = frame.iloc[3]
    assert (node_row["kind"], node_row["sender"], node_row["sender_position"]) == ("node", "m1", "B")
    assert node_row[["receiver", "receiver_position", "path"]].isna().all()
    assert np.allclose(frame["effect"], frame["metric_patched"] - frame["metric_base"], atol=1e-12)


def test_kl_is_never_negative_and_starts_at_zero(result):
    assert result.metrics == ("logit_diff", "divergence")
    for row in result.rows[4:]:
        assert row.metric_base == 0
        assert row.effect > 0
        assert (result.effects[row.id, "divergence"] >= 0).all()


def test_ranked_is_by_size_whatever_the_sign(result):
    ranked = result.ranked()
    assert set(ranked) == set(result.primary) == set(result.rows[:4])
    sizes = [abs(row.effect) for row in ranked]
    assert sizes == sorted(sizes, reverse=True)
    assert min(row.effect for row in ranked) < 0 < max(row.effect for row in ranked)


def without_origins(graph: cg.CircuitGraph) -> cg.CircuitGraph:
    return replace(graph, claims=tuple(replace(claim, origin=Origin()) for claim in graph.claims))


def test_a_run_equals_its_reloaded_directory(path, result, tmp_path):
    written = cg.run(path, out=tmp_path / "run")
    loaded = cg.load_run(tmp_path / "run")
    # Lines of the spec file are known to a run that has just checked it, and not to one that is loaded.
    assert without_origins(loaded.graph) == without_origins(written.graph)
    for name in ("plan", "rows", "metrics", "warnings", "directory"):
        assert getattr(loaded, name) == getattr(written, name), name
    assert loaded.effects.keys() == written.effects.keys() == result.effects.keys()
    for key, effect in loaded.effects.items():
        assert np.array_equal(effect, written.effects[key])
        assert np.array_equal(effect, result.effects[key])
    assert loaded.rows == result.rows
    shared = {key: value for key, value in loaded.provenance.items() if key in written.provenance}
    assert shared == written.provenance
    assert (tmp_path / "run/spec.yaml").read_text() == path.read_text()
    assert loaded.to_frame().equals(written.to_frame())


def test_a_run_of_a_spec_in_memory_reloads_too(path, result, tmp_path):
    cg.run(cg.load(path), out=tmp_path / "run")
    loaded = cg.load_run(tmp_path / "run")
    assert loaded.rows == result.rows
    assert loaded.plan == result.plan


def test_float32_is_float64_to_single_precision(path, result):
    single = cg.run(path, overrides=["model.dtype=float32"])
    assert (single.provenance["dtype"], result.provenance["dtype"]) == ("float32", "float64")
    ours = np.array([row.effect for row in single.rows])
    theirs = np.array([row.effect for row in result.rows])
    assert np.abs(ours - theirs).max() < 1e-3 * np.abs(theirs).max()
    assert (ours != theirs).any()
    assert [row.id for row in single.rows] == [row.id for row in result.rows]


def test_a_second_run_is_the_same_to_the_last_bit(path, result):
    assert cg.run(path).rows == result.rows


def test_progress_goes_up_to_all(path):
    seen: list[tuple[int, int]] = []
    cg.run(path, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (8, 8)  # 4 experiments on prompts of two lengths
    assert {total for _, total in seen} == {8}


# What is refused --------------------------------------------------------------------------------


def test_out_is_written_once_unless_replaced_or_resumed(path, tmp_path):
    cg.run(path, out=tmp_path / "run")
    with pytest.raises(cg.CircuitGraphError, match="holds a finished run"):
        cg.run(path, out=tmp_path / "run")
    assert cg.run(path, out=tmp_path / "run", resume=True).rows
    assert cg.run(path, out=tmp_path / "run", replace=True, overrides=["nodes=[]"]).rows
    assert len(cg.load_run(tmp_path / "run").plan.experiments) == 3


def test_resuming_a_finished_run_measures_nothing_again(path, tmp_path, result, monkeypatch):
    cg.run(path, out=tmp_path / "run")
    monkeypatch.setattr(Parts, "measure", lambda *_: pytest.fail("measured again"))
    seen: list[tuple[int, int]] = []
    resumed = cg.run(path, out=tmp_path / "run", resume=True, progress=lambda *step: seen.append(step))
    assert resumed.rows == result.rows
    assert seen == [(8, 8)]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda path: cg.run(path, executor="fats"), cg.CircuitGraphError, "'fats' is no executor"),
        (lambda path: cg.render(path, "x.jpg"), cg.CircuitGraphError, "names no format"),
        (lambda path: cg.render(path, "x.svg", layout="dto"), cg.CircuitGraphError, "did you mean 'dot'"),
        (lambda path: cg.load("nothing.yaml"), FileError, "there is no file 'nothing.yaml'"),
        (lambda path: cg.load_run("nothing"), FileError, "nothing"),
        (lambda path: cg.load_run(path.parent), FileError, "run.json"),
        (lambda path: cg.check(path, ["model.name=./nothing"]), cg.SpecError, "no model directory './nothing'"),
    ],
)
def test_what_cannot_be_done_raises_its_own_class(path, tmp_path, monkeypatch, call, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as raised:
        call(path)
    assert message in str(raised.value)
    assert list(tmp_path.iterdir()) == []

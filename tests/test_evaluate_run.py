"""`evaluate RUN`: the circuit of a finished run, kept beside its numbers; and evaluation.json read back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import circuitgraph as cg
from circuitgraph.errors import FileError, InputError
from circuitgraph.results.decode import decoded
from circuitgraph.results.evaluated import (
    Curve,
    CurveKind,
    CurvePoint,
    DropKind,
    Dropped,
    Evaluation,
    Expected,
    MetricScores,
    RandomCircuits,
    Scored,
    Share,
)
from circuitgraph.results.lock import DirectoryLock
from circuitgraph.stats import Verdict

PAIRS = [
    {"clean": [1, 2, 3, 4], "corrupted": [1, 5, 3, 4], "answers": [7], "wrong_answers": [8]},
    {"clean": [1, 6, 3, 9], "corrupted": [1, 7, 3, 9], "answers": [2], "wrong_answers": [8]},
    {"clean": [4, 6, 2, 9], "corrupted": [4, 1, 2, 9], "answers": [3], "wrong_answers": [5]},
]
SPEC: dict[str, Any] = {
    "version": 1,
    "name": "relative",
    "model": {"name": "./model", "dtype": "float64"},
    "prompts": {"file": "pairs.jsonl"},
    "metrics": ["logit_diff"],
    "edges": [{"sender": "a0.h0", "receiver": "a1.h1<q>"}, {"sender": "a1.h1", "receiver": "logits"}],
}


@pytest.fixture(scope="module")
def made(checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a spec that names a model and prompts beside it, its run, and that run's evaluation."""
    place = tmp_path_factory.mktemp("relative")
    shutil.copytree(checkpoint("tl_attention_only"), place / "model")
    (place / "pairs.jsonl").write_text("".join(f"{json.dumps(pair)}\n" for pair in PAIRS))
    (place / "spec.yaml").write_text(yaml.safe_dump(SPEC))
    cg.run(place / "spec.yaml", out=place / "runs" / "one")
    cg.evaluate(place / "runs" / "one", random=2, curve="none")
    return place


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be spoilt."""
    return Path(shutil.copytree(made / "runs" / "one", tmp_path / "run"))


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_it_is_the_evaluation_of_the_spec(made, run):
    """Files that the spec names are found from the run's copy of it, wherever the run lies."""
    of_spec = cg.evaluate(made / "spec.yaml", random=2, curve="none")
    found = cg.load_run(run).evaluation
    assert found is not None
    assert replace(found, provenance={}) == replace(of_spec, provenance={})
    again = cg.evaluate(run, random=0, curve="none")
    assert again.faithfulness == found.faithfulness
    assert cg.load_run(run).evaluation == again  # in the place of the one before
    manifest = json.loads((run / "run.json").read_text())
    for key in ("spec_sha256", "model_fingerprint", "prompts_sha256"):
        assert again.provenance[key] == manifest[key]


def test_the_command(made, run, circuitgraph):
    (run / "evaluation.json").unlink()
    assert cg.load_run(run).evaluation is None
    ended = circuitgraph("evaluate", run, "--random", "0", "--curve", "none", "-o", "report.json")
    assert ended.status == 0
    assert "relative: 2 of the model's" in ended.out
    assert f"wrote {run}/evaluation.json" in ended.err
    assert json.loads(Path("report.json").read_text()) == json.loads((run / "evaluation.json").read_text())


def test_a_run_that_is_replaced_loses_it(made, circuitgraph, tmp_path):
    place = shutil.copytree(made, tmp_path / "all")
    ended = circuitgraph("run", place / "spec.yaml", "--out", place / "runs" / "one", "--force")
    assert ended.status == 0, ended.err
    assert cg.load_run(place / "runs" / "one").evaluation is None
    assert not (place / "runs" / "one" / "evaluation.json").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: r["provenance"].update(prompts_sha256="0"), r"it is of another run \(prompts differ\)"),
        (lambda r: r["provenance"].update(model_fingerprint="0"), r"it is of another run \(model differs\)"),
        (lambda r: r["provenance"].update(spec_sha256="0"), r"it is of another run \(spec differs\)"),
        (lambda r: r.update(kind="else"), "it is no evaluation"),
        (lambda r: r.update(format=2), "it has format 2; this version of circuitgraph reads 1"),
        (lambda r: r.pop("parts"), "parts is missing"),
        (lambda r: r.update(more=1), "more is not known to this version"),
        (lambda r: r["metrics"][0].update(metric=3), r"metrics\[0\].metric is 3, not text"),
        (lambda r: r["metrics"][0]["circuit"].update(metric="3"), r"circuit.metric is '3', not a number"),
        (lambda r: r["metrics"][0]["circuit"].update(metric=float("nan")), "it is damaged.*NaN is no number"),
        (lambda r: r["metrics"][0]["dropped"][0].update(kind="leaf"), r"dropped\[0\].kind is 'leaf', none of edge"),
        (lambda r: r.update(pairs=True), "pairs is True, not a whole number"),
    ],
)
def test_what_is_damaged_or_of_another_run_is_refused(run, spoil, message):
    changed(run / "evaluation.json", spoil)
    with pytest.raises(FileError, match=message):
        cg.load_run(run)


def test_what_the_run_was_made_of_must_still_be_there(made, circuitgraph, tmp_path):
    place = Path(shutil.copytree(made, tmp_path / "all"))
    run = place / "runs" / "one"
    changed(run / "run.json", lambda r: r["settings"]["files"].update(directory=str(place)))
    pairs = place / "pairs.jsonl"
    pairs.write_text(pairs.read_text().replace("[1, 5, 3, 4]", "[1, 9, 3, 4]"))
    before = (run / "evaluation.json").read_bytes()
    ended = circuitgraph("evaluate", run)
    assert ended.status == 2
    assert f"{run} is not evaluated: prompts differ from what the run was made of" in ended.err
    pairs.unlink()
    ended = circuitgraph("evaluate", run)
    assert ended.status == 2
    assert f"names pairs.jsonl, relative to {place}, and nothing is there now" in ended.err
    changed(run / "run.json", lambda r: r["settings"].pop("files"))
    ended = circuitgraph("evaluate", run)
    assert ended.status == 2
    assert "names ./model, pairs.jsonl, relative to the spec that the run was made from" in ended.err
    assert (run / "evaluation.json").read_bytes() == before
    assert not (run / ".lock").exists()


def test_misuse(run, circuitgraph, tmp_path):
    ended = circuitgraph("evaluate", run, "--set", "name=other")
    assert (ended.status, "is a finished run, whose spec is not overridden" in ended.err) == (2, True)
    with pytest.raises(InputError, match="whose spec is not overridden"):
        cg.evaluate(run, overrides=["name=other"])
    lock = DirectoryLock(run)
    ended = circuitgraph("evaluate", run)
    lock.release()
    assert (ended.status, "is being written by process" in ended.err) == (5, True)
    changed(run / "run.json", lambda r: r.update(status="interrupted"))
    ended = circuitgraph("evaluate", run)
    assert (ended.status, "holds no finished run (status: interrupted)" in ended.err) == (2, True)
    (tmp_path / "empty").mkdir()
    ended = circuitgraph("evaluate", "empty")
    assert (ended.status, "empty is no run directory: it holds no run.json" in ended.err) == (5, True)
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_spec_that_was_changed_after_the_run_is_refused(run, circuitgraph):
    (run / "spec.yaml").write_text((run / "spec.yaml").read_text() + "# more\n")
    ended = circuitgraph("evaluate", run)
    assert (ended.status, "was changed after the run" in ended.err) == (5, True)


def test_a_spec_that_names_no_file_keeps_no_place(tmp_path):
    """A run says where it was made only if it has to."""
    result = cg.run(
        IOI_MINI, out=tmp_path / "run", overrides=["prompts.generator.n=2", "edges=[{sender: m3, receiver: logits}]"]
    )
    assert "files" not in result.provenance["settings"]


IOI_MINI = Path(__file__).parent.parent / "specs" / "ioi-mini.yaml"


def test_json_and_back_is_the_identity():
    share = Share(0.5, None, 0.75)
    scored = Scored(1.25, share)
    scores = MetricScores(
        metric="m",
        base=scored,
        empty=Scored(-1.0, Share(None)),
        circuit=scored,
        rest=scored,
        dropped=(Dropped(DropKind.NODE, "a0.h0", 2, share, share),),
        random=RandomCircuits(3, (0.1, None), 0.1, 0.1, 0.1, 1.0, ("k",)),
        curve=Curve(CurveKind.ALL, ("a", "b"), (CurvePoint(0, 0.0, 1.0, share),), 0.5, None),
        no_share="for a reason",
    )
    found = Evaluation(
        "n", "edges", "clean", "zero", 3, ("a",), 9, (), True, (scores, replace(scores, random=None, curve=None)),
        (Expected("faithfulness", "> 0", Verdict.UNDECIDED, None),), 4, {"seed": 0, "deep": {"a": [1]}}, ("w",),
    )  # fmt: skip
    assert Evaluation.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_what_is_no_mapping_is_told(value):
    with pytest.raises(ValueError, match="it is no mapping"):
        decoded(Share, value)

"""The command line: what each command prints and writes, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
import yaml

from circuitgraph.execute.audit import tolerance_of
from circuitgraph.execute.fast.executor import FastExecutor
from circuitgraph.execute.literal import LiteralExecutor
from circuitgraph.execute.parts import Parts
from circuitgraph.plans import schedule
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.results.lock import DirectoryLock
from circuitgraph.spec import load
from circuitgraph.spec.model import BaseRun
from tests.measuring import edge, measure_all, node, scale_of
from tests.tiny import TELLING, random_prompts

Checkpoint = Callable[[str], Path]


def write_pairs(path: Path, prompts: PromptSet) -> None:
    """JSONL of token ids. END is not written down: it always exists."""
    lines = [
        json.dumps(
            {
                "clean": pair.clean,
                "corrupted": pair.corrupted,
                "answers": pair.answers,
                "wrong_answers": pair.wrong_answers,
                "positions": {name: at for name, at in pair.positions.items() if name != "END"},
            }
        )
        for pair in prompts.pairs
    ]
    path.write_text("".join(f"{line}\n" for line in lines))


PROMPTS = random_prompts(5, lengths=(6, 7))
EDGES: list[Any] = [
    {"sender": "input@A", "receiver": "a0.h1<k>@A"},
    {"sender": "a0.h1", "receiver": ["a1.h2<v>@B", "a2.h0<q>@END"]},
    {"sender": "a1.h0@END", "receiver": "logits"},
    {"sender": ["a0.h0", "a0.h1"], "receiver": "a2.h3<q>@END", "join": "senders", "base": "corrupted"},
]
NODES: list[Any] = ["a2.h3@END"]
CLAIMS = [
    edge("input@A", "a0.h1<k>@A"),
    edge("a0.h1", "a1.h2<v>@B"),
    edge("a0.h1", "a2.h0<q>@END"),
    edge("a1.h0@END", "logits"),
    edge(["a0.h0", "a0.h1"], "a2.h3<q>@END", base=BaseRun.CORRUPTED),
    node("a2.h3@END"),
]


def write_spec(directory: Path, model_directory: Path, pairs: PromptSet = PROMPTS, /, **parts: Any) -> Path:
    """A spec beside its prompts, on a tiny checkpoint in float64."""
    directory.mkdir(parents=True, exist_ok=True)
    write_pairs(directory / "pairs.jsonl", pairs)
    spec = {
        "version": 1,
        "name": "tiny",
        "model": {"name": str(model_directory), "dtype": "float64"},
        "prompts": {"file": "pairs.jsonl"},
        "metrics": ["logit_diff"],
        "edges": EDGES,
        "nodes": NODES,
    } | parts
    path = directory / "tiny.yaml"
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    return path


@pytest.fixture
def spec(checkpoint, tmp_path) -> Path:
    """A spec on the tiny GPT-2, in a folder of its own."""
    return write_spec(tmp_path / "specs", checkpoint("gpt2"))


def table(directory: Path) -> pandas.DataFrame:
    return pandas.read_parquet(directory / "edges.parquet")


# The commands -----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", TELLING)
def test_run_measures_every_family_as_the_executor_does(circuitgraph, checkpoint, tiny_model, tmp_path, family):
    with_mlp = [] if family == "tl_attention_only" else [{"sender": "m0", "receiver": "m2@END"}]
    spec = write_spec(tmp_path / "specs", checkpoint(family), edges=EDGES + with_mlp)
    ended = circuitgraph("run", spec)
    assert ended.status == 0, ended.err
    claims = [*CLAIMS[:-1], *([edge("m0", "m2@END")] if with_mlp else []), CLAIMS[-1]]
    model = tiny_model(family)
    expected = measure_all(model, claims, PROMPTS)
    rows = table(tmp_path / "runs" / "tiny")
    assert list(rows["id"]) == [measured.id for measured in expected]
    # Rounding of the fast executor, relative to the metric, which is in the thousands in some of these models.
    scale = max(1, *(scale_of(m).max() for m in expected))
    assert np.abs(rows["effect"] - [m.effect.mean() for m in expected]).max() < tolerance_of(model) * scale
    assert np.abs(rows["metric_base"] - [m.metric_base.mean() for m in expected]).max() < 1e-9 * scale
    assert set(rows["executor"]) == {"fast"}
    assert np.count_nonzero(rows["effect"]) > len(claims) / 2  # without norms attention saturates
    assert list(rows["base"]) == ["clean"] * 4 + ["corrupted"] + ["clean"] * (len(claims) - 5)


def test_run_prints_a_table_and_where_the_files_are(circuitgraph, spec, tmp_path):
    ended = circuitgraph("run", spec, "--top", "2")
    lines = ended.out.splitlines()
    assert lines[0].startswith("logit_diff: ")
    assert lines[0].count("5 pairs") == 1
    measured = table(tmp_path / "runs" / "tiny")
    usual = measured["base"].mode()[0]  # the run has both bases: the rarer one is marked
    assert f"base: {usual}, where nothing else is said" in lines
    largest = measured.sort_values("effect", key=np.abs, ascending=False)
    shown = [line.split("  ")[0] for line in lines[lines.index("") + 2 :]]
    marks = {base: "" if base == usual else f" ({base})" for base in measured["base"]}
    expected = [row.label + marks[row.base] for row in largest[:2].itertuples()]
    assert shown == [*expected, "… 4 more"]
    assert "runs/tiny" in ended.err
    files = {path.name for path in (tmp_path / "runs" / "tiny").iterdir()}
    tables = {"prompts.jsonl", "edges.parquet", "effects.parquet"}
    assert files == tables | {"run.json", "spec.yaml", "parts", "circuit.svg"}
    assert (tmp_path / "runs" / "tiny" / "spec.yaml").read_text() == spec.read_text()


def test_run_as_a_program_of_its_own(spec, tmp_path):
    """`python -m circuitgraph`, in a fresh process and another directory."""
    program = [sys.executable, "-m", "circuitgraph"]
    done = subprocess.run([*program, "run", str(spec), "--json"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [row["id"] for row in report["rows"]] == list(table(tmp_path / "runs" / "tiny")["id"])
    assert "Traceback" not in done.stderr


def test_check_says_what_it_found(circuitgraph, spec, checkpoint):
    ended = circuitgraph("check", spec)
    assert ended.status == 0
    assert ended.out.splitlines() == [
        "tiny: ok",
        f"  model    {checkpoint('gpt2')} (3 layers × 4 heads)",
        "  claims   5 edges, 1 node; groups: none",
        "  prompts  5 pairs of 6 to 7 tokens",
    ]
    assert ended.err == ""


def test_check_lists_every_problem_and_exits_2(circuitgraph, checkpoint, tmp_path):
    edges = [{"sender": "a9.h0", "receiver": "logits"}, {"sender": "a0.h0@Q", "receiver": "a1.h0<q>@Q"}]
    ended = circuitgraph("check", write_spec(tmp_path, checkpoint("gpt2"), edges=edges))
    assert ended.status == 2
    assert ended.out == ""
    assert "a9.h0 has layer 9; this model has layers 0 to 2" in ended.err
    assert "'Q' is no position" in ended.err
    assert "tiny.yaml:" in ended.err


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"circuit": {"of": "nodes", "keep": ["a9.h0"]}}, "a9.h0 has layer 9; this model has layers 0 to 2"),
        ({"circuit": {"keep": ["a0.h0"]}}, "this circuit is one of edges"),
        ({"circuit": {"source": "mean"}}, "source: mean needs a reference set"),
        ({"circuit": {"expect": {"faithfulness": "positive"}}, "edges": []}, "a circuit is what edges: add up to"),
        ({"circuit": {"base": "corrupted"}, "edges": [{"sender": "m0.n3", "receiver": "logits"}]}, "m0.n3 sends no"),
        ({"discover": {"method": "acdc"}}, "acdc needs a threshold τ above 0"),
        ({"discover": {"of": "nodes", "method": "acdc", "most": 3, "threshold": 1}}, "'most' goes with method"),
    ],
)  # fmt: skip
def test_check_finds_what_evaluate_and_discover_would_refuse(circuitgraph, checkpoint, tmp_path, sections, message):
    ended = circuitgraph("check", write_spec(tmp_path, checkpoint("gpt2"), **sections))
    assert ended.status == 2
    assert message in ended.err
    assert ended.out == ""


def test_run_does_not_need_a_circuit_as_a_whole(circuitgraph, checkpoint, tmp_path):
    edges = [{"sender": "m0.n3", "receiver": "logits"}]
    path = write_spec(tmp_path, checkpoint("gpt2"), edges=edges, nodes=[], circuit={"base": "corrupted"})
    assert circuitgraph("run", path).status == 0


def test_plan_shows_three_stages_per_edge_and_the_cost(circuitgraph, spec):
    ended = circuitgraph("plan", spec)
    assert ended.status == 0
    assert [line[5:14].strip() for line in ended.out.splitlines()[1:4]] == ["cache", "isolate", "propagate"]
    assert "6 experiments, 13 forward passes: 2 to cache, 5 to isolate, 6 to propagate" in ended.out
    assert "one pass = 5 prompts, 32 tokens" in ended.out


def test_render_draws_a_spec_and_a_run(circuitgraph, spec, tmp_path):
    assert circuitgraph("render", spec, "-o", "hypothesis.svg").status == 0
    assert circuitgraph("run", spec).status == 0
    ended = circuitgraph("render", "runs/tiny", "-o", "finding.png", "--title", "A title")
    assert ended.status == 0
    assert ended.out == ""
    assert ended.err == "wrote finding.png\n"
    assert (tmp_path / "hypothesis.svg").read_text().startswith("<")
    assert (tmp_path / "finding.png").read_bytes().startswith(b"\x89PNG")
    circuitgraph("render", "runs/tiny", "-o", "again.svg")
    assert (tmp_path / "again.svg").read_text() == (tmp_path / "runs/tiny/circuit.svg").read_text()


def test_render_refuses_what_is_empty(circuitgraph, checkpoint, tmp_path):
    path = write_spec(tmp_path, checkpoint("gpt2"), edges=[], nodes=[], discover={"threshold": 1})
    ended = circuitgraph("render", path, "-o", "empty.svg")
    assert (ended.status, "nothing to draw" in ended.err) == (2, True)
    assert not (tmp_path / "empty.svg").exists()


def test_schema_is_a_json_schema_that_the_spec_meets(circuitgraph, spec):
    import jsonschema

    ended = circuitgraph("schema")
    jsonschema.validate(yaml.safe_load(spec.read_text()), json.loads(ended.out))
    assert ended.err == ""


@pytest.mark.parametrize("command", ["check", "plan", "run"])
def test_json_on_stdout_can_be_parsed_whatever_goes_to_stderr(circuitgraph, checkpoint, tmp_path, command):
    """The pairs are identical, which is worth warnings; they go to stderr, each once."""
    same = PromptSet(tuple(type(p)(p.clean, p.clean, p.answers, p.wrong_answers, p.positions) for p in PROMPTS.pairs))
    spec = write_spec(tmp_path, checkpoint("gpt2"), same, edges=EDGES[2:3], nodes=[])
    ended = circuitgraph(command, spec, "--json")
    assert ended.status == 0
    report = json.loads(ended.out)
    warnings = [line for line in ended.err.splitlines() if line.startswith("warning: ")]
    assert any("clean and corrupted are the same in all 5 pairs" in line for line in warnings)
    assert len(set(warnings)) == len(warnings)
    match command:
        case "check":
            assert (report["claims"], report["pairs"], len(report["warnings"])) == (1, 5, len(warnings))
        case "plan":
            assert report["experiments"][0]["label"] == "a1.h0@END → logits"
            assert report["cost"]["forwards"] == 4
            assert report["pass"] == {"prompts": 5, "tokens": 32}
            assert len(report["sha256"]) == 64
        case "run":
            (row,) = report["rows"]
            assert (row["effect"], row["normalized_effect"]) == (0, None)
            assert report["provenance"]["dtype"] == "float64"


def test_help_and_version(circuitgraph):
    from importlib.metadata import version

    assert circuitgraph("--version") == (0, f"circuitgraph {version('circuitgraph')}\n", "")
    for arguments in (["--help"], ["-h"], *([command, "--help"] for command in ("check", "plan", "run", "render"))):
        ended = circuitgraph(*arguments)
        assert (ended.status, ended.err) == (0, "")
        assert ended.out.startswith("Usage: circuitgraph ")
    assert circuitgraph().err.startswith("Usage: circuitgraph ")


# Options ----------------------------------------------------------------------------------------


def test_set_overrides_the_spec_and_the_run_keeps_what_was_run(circuitgraph, spec, tmp_path):
    ended = circuitgraph("run", spec, "--set", "name=other", "--set", "model.dtype=float32", "--set", "metric.name=kl")
    assert ended.status == 0, ended.err
    rows = table(tmp_path / "runs" / "other")
    assert set(rows["metric"]) == {"kl"}
    assert json.loads((tmp_path / "runs/other/run.json").read_text())["dtype"] == "float32"
    kept = load(tmp_path / "runs/other/spec.yaml")
    assert (kept.name, kept.model.dtype, kept.metrics[0].name) == ("other", "float32", "kl")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.dtype", "--set model.dtype: write key=value"),
        ("model.dtyp=float32", "'dtyp' is no key of model"),
        ("model.dtype=float12", "float12"),
        ("edges.77.path=direct", "'77' is no entry of edges"),
    ],
)
def test_set_that_cannot_be_applied_exits_2(circuitgraph, spec, setting, message):
    ended = circuitgraph("check", spec, "--set", setting)
    assert ended.status == 2
    assert message in ended.err


def test_out_names_the_run_directory(circuitgraph, spec, tmp_path):
    assert circuitgraph("run", spec, "--out", "deep/down/here").status == 0
    assert (tmp_path / "deep/down/here/edges.parquet").is_file()
    assert not (tmp_path / "runs").exists()


def test_a_finished_run_is_refused_and_force_replaces_it(circuitgraph, spec, tmp_path):
    assert circuitgraph("run", spec).status == 0
    before = (tmp_path / "runs/tiny/run.json").read_bytes()
    refused = circuitgraph("run", spec, "--set", "metric.name=kl")
    assert refused.status == 2
    assert "--force" in refused.err
    assert (tmp_path / "runs/tiny/run.json").read_bytes() == before
    assert circuitgraph("run", spec, "--set", "metric.name=kl", "--force").status == 0
    assert set(table(tmp_path / "runs/tiny")["metric"]) == {"kl"}


HUB = {"name": "organisation/model", "shape": {"layers": 3, "heads": 4}}
TEXT = {"pairs": [{"clean": "a b", "corrupted": "a c", "answers": ["d"], "wrong_answers": ["e"]}]}


@pytest.mark.parametrize("command", ["check", "plan"])
def test_strict_exits_2_where_something_cannot_be_checked(circuitgraph, tmp_path, command):
    spec = write_spec(
        tmp_path, Path(), model=HUB, prompts=TEXT, edges=[{"sender": "m0", "receiver": "logits"}], nodes=[]
    )
    ended = circuitgraph(command, spec)
    assert ended.status == 0
    assert "not checked: prompts" in ended.err
    strict = circuitgraph(command, spec, "--strict")
    assert (strict.status, strict.out) == (2, "")
    assert "--strict: 1 thing could not be checked" in strict.err


def test_strict_is_content_where_everything_is_checked(circuitgraph, spec):
    assert circuitgraph("check", spec, "--strict").status == 0


# How a run ends early ---------------------------------------------------------------------------


def test_ctrl_c_exits_130_and_resume_gives_the_same_rows(circuitgraph, spec, tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "PART_EXPERIMENTS", 2)
    assert circuitgraph("run", spec, "--out", "whole").status == 0
    parts, measure = [], Parts.measure

    def interrupted(*arguments: Any) -> Any:
        if len(parts) == 2:
            raise KeyboardInterrupt
        parts.append(measure(*arguments))
        return parts[-1]

    with monkeypatch.context() as patch:
        patch.setattr(Parts, "measure", interrupted)
        ended = circuitgraph("run", spec, "--out", "broken")
    assert ended.status == 130
    resume = f"circuitgraph run {spec} --out broken --resume"
    assert ended.err.splitlines()[-1] == f"interrupted; go on with: {resume}"
    assert ended.out == ""
    assert json.loads((tmp_path / "broken/run.json").read_text())["status"] == "interrupted"
    assert not (tmp_path / "broken/edges.parquet").exists()

    refused = circuitgraph("run", spec, "--out", "broken")
    assert refused.status == 2
    assert "--resume" in refused.err
    assert circuitgraph("render", "broken", "-o", "x.svg").status == 2

    monkeypatch.setattr(Parts, "measure", lambda *a: parts.append(None) or measure(*a))
    assert circuitgraph(*resume.split()[1:]).status == 0
    assert len(parts) == 3  # the two parts of before, and the one that was missing
    pandas.testing.assert_frame_equal(table(tmp_path / "broken"), table(tmp_path / "whole"), check_exact=True)
    assert (tmp_path / "broken/circuit.svg").read_text() == (tmp_path / "whole/circuit.svg").read_text()


def test_resume_with_another_spec_is_refused(circuitgraph, spec, tmp_path):
    assert circuitgraph("run", spec).status == 0
    ended = circuitgraph("run", spec, "--resume", "--set", "metric.name=kl")
    assert ended.status == 2
    assert "cannot be resumed: spec" in ended.err


@pytest.mark.parametrize("executor", ["literal", "fast"])
def test_a_number_that_is_not_finite_exits_4_and_names_the_experiment(
    circuitgraph, spec, tmp_path, monkeypatch, executor
):
    """One patched value of one pair becomes NaN, in the only experiment with two senders."""
    patched, measure = LiteralExecutor.patched, FastExecutor.measure

    def broken(self: Any, experiment: Any, draw: int = 0) -> Any:
        for value in patched(self, experiment, draw):
            if " + " in experiment.label:
                value[-1] = torch.nan
            yield value

    def broken_too(self: Any, items: Any, *arguments: Any) -> Any:
        values = measure(self, items, *arguments)
        values[:, [" + " in item.experiment.label for item in items], -1] = np.nan
        return values

    monkeypatch.setattr(LiteralExecutor, "patched", broken)
    monkeypatch.setattr(FastExecutor, "measure", broken_too)
    ended = circuitgraph("run", spec, "--executor", executor)
    assert ended.status == 4
    assert "a0.h0 + a0.h1 → a2.h3<q>@END" in ended.err
    assert "logit_diff" in ended.err
    assert json.loads((tmp_path / "runs/tiny/run.json").read_text())["status"] == "failed"
    assert not (tmp_path / "runs/tiny/edges.parquet").exists()


def test_a_model_that_fails_its_proofs_exits_4(circuitgraph, spec, tmp_path, monkeypatch):
    from circuitgraph.models.bridge import TransformerModel

    logits = TransformerModel.logits
    monkeypatch.setattr(TransformerModel, "logits", lambda self, *a, **k: 1.01 * logits(self, *a, **k))
    ended = circuitgraph("run", spec)
    assert ended.status == 4
    assert ended.err.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "runs").exists()


def test_a_locked_run_directory_exits_5(circuitgraph, spec, tmp_path):
    (tmp_path / "runs/tiny").mkdir(parents=True)
    lock = DirectoryLock(tmp_path / "runs/tiny")
    try:
        ended = circuitgraph("run", spec)
    finally:
        lock.release()
    assert ended.status == 5
    assert f"is being written by process {os.getpid()}" in ended.err


def truncated(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:3000])


def without_weights(model: Path) -> None:
    (model / "model.safetensors").unlink()


def broken_config(model: Path) -> None:
    (model / "config.json").write_text('{"model_type": ')


def unknown_family(model: Path) -> None:
    (model / "config.json").write_text('{"model_type": "gpt9"}')


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncated, "error: "),
        (without_weights, "no *.safetensors file"),
        (broken_config, "config.json: cannot be read as JSON"),
        (unknown_family, "'gpt9' is no model family"),
    ],
)
def test_a_broken_model_exits_5(circuitgraph, checkpoint, tmp_path, spoil, message):
    model = shutil.copytree(checkpoint("gpt2"), tmp_path / "model")
    spoil(model)
    ended = circuitgraph("run", write_spec(tmp_path, model))
    assert ended.status == 5
    assert message in ended.err
    assert not (tmp_path / "runs").exists()


# Bad usage --------------------------------------------------------------------------------------

USAGE: dict[str, tuple[Sequence[str], int, str]] = {
    "no command": ([], 2, "Usage: circuitgraph"),
    "unknown command": (["chekc", "SPEC"], 2, "No such command 'chekc'. Did you mean 'check'?"),
    "unknown option": (["check", "SPEC", "--jsno"], 2, "No such option: --jsno"),
    "missing argument": (["check"], 2, "Missing argument 'SPEC'"),
    "missing output": (["render", "SPEC"], 2, "Missing option '-o' / '--output'"),
    "one argument too many": (["plan", "SPEC", "SPEC"], 2, "unexpected extra argument"),
    "option without value": (["run", "SPEC", "--out"], 2, "'--out' requires an argument"),
    "missing file": (["check", "nothing.yaml"], 5, "there is no file 'nothing.yaml'"),
    "missing file for a run": (["run", "nothing.yaml"], 5, "there is no file 'nothing.yaml'"),
    "file under a file": (["check", "latin.yaml/x.yaml"], 5, "error: "),
    "name too long": (["check", "x" * 300], 5, "error: "),
    "link to itself": (["check", "loop.yaml"], 5, "error: "),
    "run under a file": (["run", "SPEC", "--out", "latin.yaml/run"], 5, "latin.yaml/run"),
    "drawing over a directory": (["render", "SPEC", "-o", "folder.svg"], 5, "cannot write 'folder.svg'"),
    "spec not to be read": (["check", "secret.yaml"], 5, "'secret.yaml' cannot be read: Permission denied"),
    "empty argument": (["check", ""], 5, "error: "),
    "directory as spec": (["check", "empty"], 5, "'empty' is a directory; give the spec file in it"),
    "run directory as spec": (["check", "done"], 5, "'done' is a directory; give the spec file in it"),
    "directory that is no run": (["render", "empty", "-o", "x.svg"], 5, "empty"),
    "latin-1": (["check", "latin.yaml"], 2, "latin.yaml:2:10: the file is not UTF-8 text: byte 0xe9"),
    "utf-16": (["plan", "wide.yaml"], 2, "the file is not UTF-8 text"),
    "binary": (["check", "binary.yaml"], 2, "the file is not UTF-8 text: byte 0x80"),
    "missing directory for a drawing": (["render", "SPEC", "-o", "no/x.svg"], 5, "cannot write 'no/x.svg'"),
    "unknown format": (["render", "SPEC", "-o", "x.jpg"], 2, "have: .svg, .png, .pdf"),
    "no format": (["render", "SPEC", "-o", "x"], 2, "'x' names no format by its ending; have: .svg"),
    "empty output": (["render", "SPEC", "-o", ""], 2, "names no format"),
    "unknown style": (["render", "SPEC", "-o", "x.svg", "--style", "papper"], 2, "did you mean 'paper'?"),
    "a style and a layout": (
        ["render", "SPEC", "-o", "x.svg", "--style", "paper", "--layout", "dot"],
        2,
        "the style 'paper' has a layout of its own",
    ),
    "unknown layout": (["render", "SPEC", "-o", "x.svg", "--layout", "dto"], 2, "did you mean 'dot'?"),
    "top 0": (["run", "SPEC", "--top", "0"], 2, "Invalid value for '--top'"),
    "top x": (["run", "SPEC", "--top", "x"], 2, "Invalid value for '--top'"),
    "unknown executor": (
        ["run", "SPEC", "--executor", "fats"],
        2,
        "'fats' is no executor; did you mean 'fast'?",
    ),
    "memory without a unit it knows": (
        ["run", "SPEC", "--memory", "4 gigs"],
        2,
        "'4 gigs' is no size; write bytes, or",
    ),
    "no memory": (["run", "SPEC", "--memory", "0"], 2, "with KiB, MiB, GiB, KB, MB or GB: 4GiB"),
    "resume and force": (["run", "SPEC", "--resume", "--force"], 2, "either resumed or replaced"),
    "out is a file": (["run", "SPEC", "--out", "latin.yaml"], 5, "it is a file"),
    "out is somebody's directory": (["run", "SPEC", "--out", "somebodys"], 2, "not empty and no run directory"),
}


@pytest.mark.parametrize("name", USAGE)
def test_bad_usage_is_said_in_plain_words(circuitgraph, spec, tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "somebodys").mkdir()
    (tmp_path / "somebodys" / "thesis.tex").write_text("")
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "run.json").write_text("{}")
    (tmp_path / "latin.yaml").write_bytes("version: 1\nname: caf\xe9\n".encode("latin-1"))
    (tmp_path / "wide.yaml").write_bytes(spec.read_text().encode("utf-16"))
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "folder.svg").mkdir()
    (tmp_path / "secret.yaml").touch(mode=0)
    if name == "spec not to be read" and os.access(tmp_path / "secret.yaml", os.R_OK):
        pytest.skip("this user may read everything")
    before = sorted(path.name for path in tmp_path.iterdir())
    arguments, status, message = USAGE[name]
    ended = circuitgraph(*(str(spec) if argument == "SPEC" else argument for argument in arguments))
    assert (ended.status, ended.out) == (status, "")
    assert message in ended.err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_what_cannot_be_executed_is_refused_before_the_model_is_loaded(circuitgraph, checkpoint, tmp_path):
    ends = {"sender": ["a0.h1", "m1.n5"], "receiver": ["m1.n5", "a2.h1<q>"], "join": "both"}
    spec = write_spec(tmp_path, checkpoint("gpt2"), edges=[ends])
    assert circuitgraph("plan", spec).status == 0
    ended = circuitgraph("run", spec)
    assert ended.status == 2
    assert "m1.n5 is both a joined sender and a joined receiver" in ended.err
    assert not (tmp_path / "runs").exists()


# Where stdout goes ------------------------------------------------------------------------------


def shell(command: str, spec: Path) -> subprocess.CompletedProcess[str]:
    program = f"{sys.executable} -m circuitgraph"
    return subprocess.run(
        ["bash", "-c", command.format(program=program, spec=spec)], cwd=spec.parent, capture_output=True, text=True
    )


def test_a_reader_that_goes_away_is_no_error(spec):
    done = shell("{program} schema | head -n 1; echo ${{PIPESTATUS[0]}}", spec)
    assert done.stdout.split() == ["{", "0"]
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_exits_5_in_one_line(spec):
    done = shell("{program} plan {spec} > /dev/full", spec)
    assert done.returncode == 5
    assert done.stderr.splitlines() == ["error: [Errno 28] No space left on device"]


def test_output_is_utf8_in_a_plain_locale(spec):
    done = shell("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 {program} plan {spec}", spec)
    assert done.returncode == 0, done.stderr
    assert "input@A → a0.h1<k>@A" in done.stdout

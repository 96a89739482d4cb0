"""Runs that are interrupted, killed or short of memory: how they go on, and with which numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch

import circuitgraph as cg
from circuitgraph import prepared, reading
from circuitgraph.cli.shared import ProgressBar
from circuitgraph.cli.sizes import bytes_of
from circuitgraph.errors import InputError, RefusedError
from circuitgraph.execute.fast.executor import FastExecutor
from circuitgraph.execute.parts import Parts
from circuitgraph.execute.settings import Settings
from circuitgraph.models import threads
from circuitgraph.plans import schedule
from circuitgraph.prompts.pairs import PromptSet
from tests.test_cli import EDGES, write_pairs, write_spec
from tests.tiny import random_prompts

ROOT = Path(__file__).parents[1]
REFERENCE = {"prompts": {"file": "reference.jsonl"}, "align": "pooled"}
TABLES = ("edges", "effects", "baseline")
MIXED: list[Any] = [
    *EDGES,
    {"sender": "m0", "receiver": "a2.h3<k>", "path": "through-mlps"},
    {"sender": "a0.h2@B", "receiver": "a1.h1<v>@B", "source": "resample"},
    {"set": [{"sender": "a0.h1", "receiver": "a1.h2<v>"}, {"sender": "m0", "receiver": "logits"}]},
]
"""Both executors, lengths that differ, draws; `spec` adds random edges and two metrics."""


def with_answers(prompts: PromptSet) -> PromptSet:
    """Random tokens may give an answer twice, which a spec must not."""
    numbered = enumerate(prompts.pairs)
    return PromptSet(tuple(replace(pair, answers=(3 + i, 15), wrong_answers=(20 + i,)) for i, pair in numbered))


@pytest.fixture
def spec(checkpoint, tmp_path) -> Path:
    write_pairs_of_reference(tmp_path / "specs")
    return write_spec(
        tmp_path / "specs",
        checkpoint("gpt2"),
        with_answers(random_prompts(6, lengths=(6, 9, 7))),
        edges=MIXED,
        metrics=["logit_diff", "kl"],
        intervention={"reference": REFERENCE, "draws": 3},
        baseline={"edges": 2, "seed": 1},
    )


def write_pairs_of_reference(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    write_pairs(directory / "reference.jsonl", with_answers(random_prompts(5, seed=7, lengths=(8, 6))))


@pytest.fixture
def _loaded_once(monkeypatch) -> None:
    """Many runs of one model, which is loaded for the first."""
    load, loaded = prepared.load, {}

    def once(found: Any) -> Any:
        if "model" not in loaded:
            loaded["model"] = load(found)
        return loaded["model"]

    for part in (prepared, reading):
        monkeypatch.setattr(part, "load", once)


@pytest.fixture
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def same_tables(one: Path, other: Path) -> bool:
    """Every value of every table, exactly."""
    for name in TABLES:
        ours, theirs = (pandas.read_parquet(directory / f"{name}.parquet") for directory in (one, other))
        pandas.testing.assert_frame_equal(ours, theirs, check_exact=True)
    return True


def record(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "run.json").read_text())


def stop_after(parts: int, seen: list[int]) -> Callable[..., Any]:
    """`Parts.measure` that is interrupted when so many parts are done, and notes how many threads compute."""
    measure, done = Parts.measure, []

    def measured(self: Parts, part: Any) -> Any:
        if len(done) == parts:
            raise KeyboardInterrupt
        seen.append(torch.get_num_threads())
        done.append(measure(self, part))
        return done[-1]

    return measured


# Interrupted ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_loaded_once", "_threads")
def test_a_run_that_goes_on_after_any_part_has_the_numbers_of_one_that_was_not_interrupted(spec, tmp_path, monkeypatch):
    """Begun with little memory and one thread, gone on with without either: what run.json holds decides."""
    monkeypatch.setattr(schedule, "PART_EXPERIMENTS", 6)
    monkeypatch.setattr(threads, "SMALL", 1)  # so that the number of threads is PyTorch's, as for large models
    torch.set_num_threads(1)
    cg.run(spec, out=tmp_path / "whole", memory=60_000)
    small = record(tmp_path / "whole")["schedule"]
    assert small["tokens"] < Settings().tokens
    parts = len(list((tmp_path / "whole/parts").iterdir()))
    assert parts >= 4
    assert set(pandas.read_parquet(tmp_path / "whole/edges.parquet")["executor"]) == {"fast", "literal"}
    for done in range(parts):
        seen: list[int] = []
        out = tmp_path / str(done)
        torch.set_num_threads(1)
        with monkeypatch.context() as patch:
            patch.setattr(Parts, "measure", stop_after(done, seen))
            with pytest.raises(KeyboardInterrupt):
                cg.run(spec, out=out, memory=60_000)
        assert len(list((out / "parts").iterdir())) == done
        torch.set_num_threads(2)
        with monkeypatch.context() as patch:
            patch.setattr(Parts, "measure", stop_after(parts, seen))
            resumed = cg.run(spec, out=out, resume=True)
        assert len(seen) == parts
        assert set(seen) == {1}
        assert record(out)["schedule"] == resumed.provenance["schedule"] == small
        assert record(out)["threads"] == 1
        assert same_tables(out, tmp_path / "whole")
        assert record(out)["audit"] == record(tmp_path / "whole")["audit"]


def test_ctrl_c_says_how_to_go_on(circuitgraph, spec, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Parts, "measure", stop_after(0, []))
        ended = circuitgraph("run", spec, "--out", "a b", "--set", "baseline.edges=1", "--executor", "fast")
        again = circuitgraph("run", spec, "--out", "a b", "--set", "baseline.edges=1", "--executor", "fast", "--force")
    assert ended.status == again.status == 130
    advice = f"circuitgraph run {spec} --out 'a b' --set baseline.edges=1 --executor fast --resume"
    assert ended.err.splitlines()[-1] == f"interrupted; go on with: {advice}"
    assert again.err.splitlines()[-1] == "interrupted; a b is as it was"


# Killed -----------------------------------------------------------------------------------------


def test_twenty_kills_at_random_moments_change_no_bit(spec, tmp_path):
    command = [sys.executable, "-m", "tests.killed_runs", str(spec), str(tmp_path), "20", "3"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    said = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout.splitlines()[-1])
    attempts = found["attempts"]
    assert found["whole"] == attempts[-1]["ended"] == 0, said.stderr
    assert [each["ended"] for each in attempts].count(-9) >= 10  # the rest had finished before
    assert sum(bool(each["parts"]) for each in attempts) >= 2  # so that it did go on
    begun: list[str] = []
    for each in attempts:
        # The part in which the last one was killed is measured again, and no other.
        again = [part for part in each["parts"] if part in begun]
        assert again in ([], begun[-1:])
        begun += each["parts"]
    whole = pandas.read_parquet(tmp_path / "whole/edges.parquet")
    random = pandas.read_parquet(tmp_path / "whole/baseline.parquet")
    assert len(set(begun)) == len({*whole["id"], *random["id"]})
    assert same_tables(tmp_path / "killed", tmp_path / "whole")


# Short of memory --------------------------------------------------------------------------------

ERRORS = {
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "cpu": RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to …"),
    "numpy": MemoryError("Unable to allocate 2.00 GiB for an array"),
}


def out_of_memory(error: Exception, times: int, sizes: list[int]) -> Callable[..., Any]:
    """`FastExecutor.measure` that fails so many times; `sizes` are the tokens it may use at once."""
    measure = FastExecutor.measure

    def measured(self: FastExecutor, *arguments: Any) -> Any:
        sizes.append(self._tokens)
        if len(sizes) <= times:
            raise error
        return measure(self, *arguments)

    return measured


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_what_is_taken_for_memory_that_ran_out(spec, monkeypatch, error):
    monkeypatch.setattr(FastExecutor, "measure", out_of_memory(error, 1, sizes := []))
    cg.run(spec, overrides=["baseline.edges=1", "metrics=[logit_diff]"], memory=2**30)
    assert sizes[:2] == [2048, 1024]


def test_memory_that_nothing_fits_into_is_told(spec):
    overrides = ["baseline.edges=1", "metrics=[logit_diff]"]
    said = "memory: about "
    assert not any(w.startswith(said) for w in cg.run(spec, overrides=overrides, memory=2**30).warnings)
    (warning,) = (w for w in cg.run(spec, overrides=overrides, memory=1).warnings if w.startswith(said))
    assert warning.endswith("MiB are needed, a pair and a token at a time")


@pytest.mark.usefixtures("_loaded_once")
def test_where_memory_runs_out_a_run_goes_on_with_half_as_much_at_once(spec, tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "PART_EXPERIMENTS", 3)
    whole, sizes = cg.run(spec, memory=2**30), []
    out, warning = tmp_path / "run", "memory ran out: the run went on with 512 tokens at once; numbers are equal to"
    with monkeypatch.context() as patch:
        patch.setattr(FastExecutor, "measure", out_of_memory(ERRORS["cpu"], 2, sizes))
        patch.setattr(Parts, "measure", stop_after(2, []))
        with pytest.raises(KeyboardInterrupt):
            cg.run(spec, out=out, memory=2**30)
    assert sizes[:4] == [2048, 1024, 512, 512]
    begun, ended = record(out)["schedule"], record(out)["halved"]
    assert (begun["tokens"], begun["pairs"]) == (2048, 64)
    assert (ended["tokens"], ended["pairs"]) == (512, 16)

    del sizes[:]
    monkeypatch.setattr(FastExecutor, "measure", out_of_memory(ERRORS["cpu"], 0, sizes))
    result = cg.run(spec, out=out, resume=True, memory=2**30)
    assert set(sizes) == {512}
    assert record(out)["schedule"] == begun
    assert record(out)["halved"] == result.provenance["halved"] == ended
    assert cg.load_run(out).warnings == result.warnings
    assert sum(said.startswith(warning) for said in result.warnings) == 1
    assert not any(said.startswith("memory ran out") for said in whole.warnings)
    for one, two in zip(result.rows, whole.rows, strict=True):
        assert abs(one.effect - two.effect) <= 1e-9 * max(1, abs(two.metric_base), abs(two.metric_other or 0))


@pytest.mark.usefixtures("_loaded_once")
def test_where_not_even_one_token_fits_it_is_said(spec, monkeypatch):
    monkeypatch.setattr(FastExecutor, "measure", out_of_memory(ERRORS["cpu"], 1000, sizes := []))
    with pytest.raises(RefusedError, match="there is not enough memory to measure a single pair"):
        cg.run(spec)
    assert sizes[-1] == 1


def test_other_errors_are_not_taken_for_it(spec, monkeypatch):
    monkeypatch.setattr(FastExecutor, "measure", out_of_memory(RuntimeError("shapes differ"), 1, []))
    with pytest.raises(RuntimeError, match="shapes differ"):
        cg.run(spec)


LIMITED = """\
import json, resource, sys
from pathlib import Path
import torch
import circuitgraph as cg
from circuitgraph import prepared, reading
torch.set_num_threads(1)
spec, out, room = sys.argv[1], sys.argv[2], int(sys.argv[3])
load, loaded = prepared.load, []
def once(found):
    if not loaded:
        loaded.append(load(found))
    return loaded[0]
prepared.load = once
literal = cg.run(spec, executor="literal")
pages = int(Path("/proc/self/statm").read_text().split()[0])
# What libraries, freed memory and stacks of threads map differs by gigabytes between machines, and none of it is in
# use: `ulimit -v` for a whole process would have to be found for each. So the limit is what is mapped now, and room.
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + room, resource.RLIM_INFINITY))
result = cg.run(spec, out=out)
greedy = cg.run(spec, memory=2**40, executor="fast")
print(json.dumps({
    "literal": [row.metric_patched for row in literal.rows],
    "ours": [row.metric_patched for row in result.rows],
    "greedy": [row.metric_patched for row in greedy.rows],
    "scale": [max(abs(row.metric_base), abs(row.metric_other), 1) for row in literal.rows],
    "schedules": [run.provenance.get("halved", run.provenance["schedule"]) for run in (result, greedy)],
    "warnings": greedy.warnings,
}))
"""


def test_a_model_of_the_shape_of_gpt2_small_runs_in_little_memory(tmp_path):
    spec = gpt2_small(tmp_path)
    command = [sys.executable, "-c", LIMITED, str(spec), str(tmp_path / "run"), str(96 * 2**20)]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert said.returncode == 0, said.stderr
    found: Mapping[str, Any] = json.loads(said.stdout.splitlines()[-1])
    for name in ("ours", "greedy"):
        for ours, literal, scale in zip(found[name], found["literal"], found["scale"], strict=True):
            assert abs(ours - literal) <= 1e-4 * scale
    assert found["schedules"][0]["tokens"] < Settings().tokens


def gpt2_small(directory: Path) -> Path:
    """A spec on a random model of that shape; its weights are drawn small, so that it is quick to make."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config()).save_pretrained(directory / "model")
    edges = [
        {"sender": "a3.h1", "receiver": "a9.h6<q>"},
        {"sender": "input", "receiver": "m8"},
        {"sender": "a9.h9@END", "receiver": "logits"},
    ]
    pairs = with_answers(random_prompts(4, length=16))
    return write_spec(directory, directory / "model", pairs, model={"name": "model"}, edges=edges, nodes=["a9.h2"])


# What is said while it runs ---------------------------------------------------------------------


def test_progress_is_in_experiments_with_their_rate():
    bar = ProgressBar("announced", 300)
    assert bar._said(10, 900, 5.0) == "3/300 experiments"
    assert bar._said(40, 900, 6.0) == "13/300 experiments, 10/s"
    assert bar._said(910, 900, 65.0) == "303/300 experiments, 300/min"
    steps = ProgressBar("announced")
    assert steps._said(1, 1200, 0.0) == "1/1,200 steps"
    assert steps._said(601, 1200, 60.0) == "601/1,200 steps, 10/s"


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GiB", 2**32), ("1.5 kib", 1536), ("3MiB", 3 * 2**20), ("2MB", 2_000_000), ("1kB", 1000), ("77", 77)],
)
def test_sizes(text, size):
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1", "0", "4 gigs", "1e9", "4GiBs", "٣", "0.2"])
def test_what_is_no_size(text):
    with pytest.raises(InputError, match="write bytes, or a number with KiB, MiB, GiB, KB, MB or GB: 4GiB"):
        bytes_of(text)

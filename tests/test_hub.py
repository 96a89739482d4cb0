"""Hub models: found in the hub's cache without network, run from there by the code that runs directories."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, checkpoint) -> Path:
    """A hub cache that holds the tiny Llama as `some-org/tiny`."""
    model = tmp_path / "cache" / "models--some-org--tiny"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    snapshot = model / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for file in checkpoint("llama").iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    return tmp_path / "cache"


def circuitgraph(directory: Path, *arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "circuitgraph", *arguments]
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)


def write_spec(directory: Path, model: object) -> None:
    pair = {"clean": [5, 6, 7], "corrupted": [5, 9, 7], "answers": [4], "wrong_answers": [3]}
    spec = {
        "version": 1,
        "name": "hub",
        "model": model,
        "prompts": {"pairs": [pair, {**pair, "clean": [5, 6, 8], "corrupted": [5, 9, 8]}]},
        "metrics": [{"name": "logit_diff"}],
        "edges": [{"sender": "a0.h1", "receiver": "a1.h2<q>"}],
    }
    (directory / "spec.yaml").write_text(json.dumps(spec))


def test_a_cached_hub_model_is_run_without_network(tmp_path, cache):
    write_spec(tmp_path, "some-org/tiny")
    done = circuitgraph(tmp_path, "run", "spec.yaml", "--json", cache=cache)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["provenance"]["settings"]["model"] == {"kind": "hub", "name": "some-org/tiny"}
    assert report["rows"][0]["effect"] != 0


def test_a_hub_model_that_is_not_here_says_so(tmp_path, cache):
    write_spec(tmp_path, {"name": "some-org/absent", "shape": {"layers": 3, "heads": 4}})
    assert circuitgraph(tmp_path, "check", "spec.yaml", cache=cache).returncode == 0
    done = circuitgraph(tmp_path, "run", "spec.yaml", cache=cache)
    assert done.returncode == 5
    assert "'some-org/absent' could not be downloaded" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_revision_is_looked_up(tmp_path, cache):
    write_spec(tmp_path, {"name": "some-org/tiny", "revision": COMMIT})
    done = circuitgraph(tmp_path, "check", "spec.yaml", cache=cache)
    assert done.returncode == 0, done.stderr
    assert "3 layers × 4 heads" in done.stdout

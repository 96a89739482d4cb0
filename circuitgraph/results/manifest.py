"""run.json: what marks a directory as a run, how far the run is, and which run it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from circuitgraph.errors import FileError, InputError
from circuitgraph.results import lock
from circuitgraph.results.files import PARTIAL, file_errors

FORMAT = "circuitgraph run"
FORMAT_VERSION = 1
MANIFEST, SPEC, PARTS = "run.json", "spec.yaml", "parts"
EDGES, EFFECTS, BASELINE, DRAWING = "edges.parquet", "effects.parquet", "baseline.parquet", "circuit.svg"
ATTENTION, ATTRIBUTION = "attention.parquet", "attribution.parquet"
SCREENING, PLOTS = "screening.parquet", "plots"
PROMPTS = "prompts.jsonl"
EVALUATION = "evaluation.json"
OWN = frozenset(
    {
        MANIFEST, SPEC, PARTS, EDGES, EFFECTS, BASELINE, DRAWING, ATTENTION, ATTRIBUTION, SCREENING, PLOTS, PROMPTS,
        EVALUATION, lock.NAME,
    }
)  # fmt: skip
"""All that a run directory can hold."""
IDENTITY = {
    "spec_sha256": "spec",
    "plan_sha256": "plan",
    "model_fingerprint": "model",
    "prompts_sha256": "prompts",
    "saes_sha256": "sparse autoencoders",
    "dtype": "dtype",
    "device": "device",
    "executor": "executor",
    "versions.circuitgraph": "circuitgraph version",
    "versions.torch": "torch version",
    "versions.transformer_lens": "transformer_lens version",
}
"""Keys of run.json that must be equal for two runs to be the same run, and what they stand for.

What computes is among them: parts of one run hold numbers that were rounded alike.
"""
KEPT = ("schedule", "threads", "halved", "audit")
"""Keys of run.json that a run which goes on has from when it began: they decide how its numbers are rounded."""
HASHES = ("spec_sha256", "plan_sha256", "model_fingerprint", "prompts_sha256", "saes_sha256")
"""Those of them whose values tell a reader nothing."""


class Status(StrEnum):
    """How far a run is. `running` without a lock means that its process was killed."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


def inspect(path: Path) -> dict[str, Any] | None:
    """The run.json of a run directory; None where there is nothing yet.

    Raises:
        InputError: something else is there, or a run of a newer format.
        FileError: it cannot be read.
    """
    with file_errors("read", path):
        if not path.exists():
            return None
        if not path.is_dir():
            raise FileError(f"cannot use {path} as a run directory: it is a file")
        names = {entry.name for entry in path.iterdir()}
    if MANIFEST in names:
        return read_manifest(path)
    if names <= {lock.NAME, MANIFEST + PARTIAL}:
        return None
    raise InputError(f"{path} is not empty and no run directory, so nothing is written there; choose another --out")


def read_manifest(path: Path) -> dict[str, Any]:
    """run.json of the directory `path`.

    Raises:
        InputError: it is no run's, or of a newer format.
        FileError: it is missing or damaged.
    """
    file = path / MANIFEST
    with file_errors("read", file):
        text = file.read_bytes()
    try:
        record = json.loads(text)
    except ValueError as error:
        raise FileError(f"cannot read {file}: it is damaged ({error})") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise InputError(f"{path} is no run directory of circuitgraph: its {MANIFEST} is something else")
    version = record.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise InputError(
            f"{path} has run format {version}; this version of circuitgraph reads up to {FORMAT_VERSION}: update it"
        )
    return record


def identity(record: Mapping[str, Any]) -> dict[str, Any]:
    """The values under the keys of IDENTITY; keys that run.json lacks are left out."""
    versions = record.get("versions") or {}
    flat = {**record, **{f"versions.{package}": version for package, version in versions.items()}}
    return {key: flat[key] for key in IDENTITY if key in flat}


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What makes two records different runs: `spec differs`, `device differs (cuda then, cpu now)`."""
    before, after = identity(then), identity(now)
    return [
        f"{word} {'differ' if word.endswith('s') else 'differs'}"
        + ("" if key in HASHES else f" ({before.get(key, 'unknown')} then, {after.get(key, 'unknown')} now)")
        for key, word in IDENTITY.items()
        if before.get(key) != after.get(key)
    ]


def other_origin(origin: Mapping[str, Any], record: Mapping[str, Any]) -> list[str]:
    """What sets the spec, model, prompts or dictionaries of an origin apart from those of a run: `model differs`."""
    words = {key: IDENTITY[key] for key in HASHES if key != "plan_sha256" and origin.get(key) != record.get(key)}
    return [f"{word} {'differ' if word.endswith('s') else 'differs'}" for word in words.values()]

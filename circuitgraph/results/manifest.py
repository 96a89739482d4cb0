"""run.json: what marks a directory as a run, how far the run is, and which run it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from circuitgraph.errors import FileError, InputError
from circuitgraph.graph.shape import ModelShape
from circuitgraph.results import names
from circuitgraph.results.decode import decoded
from circuitgraph.results.files import PARTIAL, file_errors, read_json
from circuitgraph.results.names import FORMAT, FORMAT_VERSION, MANIFEST

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


TOLD = ("shape", "settings", "versions", "executor")
"""Keys of run.json that a finished run of every version has, and that its readers need."""


@dataclass(frozen=True, slots=True)
class SaeOrigin:
    """A sparse autoencoder that a run was measured with."""

    name: str
    site: str
    width: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """The first pair, for pictures."""

    clean: tuple[str, ...]
    corrupted: tuple[str, ...] | None
    at: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the spec and the command line resolved to."""

    spec: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    pairs: int = 0
    positions: tuple[str, ...] = ()
    each: tuple[str, ...] | None = None
    screened: tuple[str, ...] | None = None
    tokens: Tokens | None = None
    reference: Mapping[str, Any] | None = None
    files: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Audited:
    """As `Findings`, whose values are all there: one that is missing is not 0."""

    experiments: int
    pairs: int
    deviation: float
    tolerated: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What readers rely on in run.json: a key may be missing, but none is of another kind."""

    status: str | None = None
    name: str = ""
    spec_sha256: str = ""
    plan_sha256: str = ""
    model_fingerprint: str | None = None
    prompts_sha256: str | None = None
    saes: tuple[SaeOrigin, ...] = ()
    saes_sha256: str | None = None
    experiments: int = 0
    settings: Resolved = Resolved()
    seed: int = 0
    device: str | None = None
    dtype: str | None = None
    executor: str = ""
    threads: int | None = None
    shape: ModelShape | None = None
    versions: Mapping[str, str | None] = field(default_factory=dict)
    platform: Mapping[str, Any] = field(default_factory=dict)
    created: str | None = None
    finished: str | None = None
    resumed: tuple[str, ...] = ()
    error: str | None = None
    warnings: tuple[str, ...] = ()
    audit: Audited | None = None


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
        held = {entry.name for entry in path.iterdir()}
    if MANIFEST in held:
        return read_manifest(path)
    if held <= {names.LOCK, MANIFEST + PARTIAL}:
        return None
    raise InputError(f"{path} is not empty and no run directory, so nothing is written there; choose another --out")


def read_manifest(path: Path) -> dict[str, Any]:
    """run.json of the directory `path`.

    Raises:
        InputError: it is no run's, or of a newer format.
        FileError: it is missing or damaged.
    """
    file = path / MANIFEST
    if not file.exists():
        what = f"it holds no {MANIFEST}" if path.is_dir() else "it is a file" if path.exists() else "nothing is there"
        raise FileError(f"{path} is no run directory: {what}")
    record = read_json(file)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise InputError(f"{path} is no run directory of circuitgraph: its {MANIFEST} is something else")
    version = record.get("format_version")
    if type(version) is not int or version < 1:
        raise FileError(f"cannot read {file}: format_version is {version!r}, not a whole number from 1")
    if version > FORMAT_VERSION:
        raise InputError(
            f"{path} has run format {version}; this version of circuitgraph reads up to {FORMAT_VERSION}: update it"
        )
    recorded(path, record)
    return record


def recorded(path: Path, record: Mapping[str, Any]) -> Recorded:
    """What readers rely on in the run.json of the directory `path`.

    Raises:
        FileError: a part of it is of another kind; the message names its place.
    """
    try:
        return decoded(Recorded, record, loose=True)
    except ValueError as error:
        raise FileError(f"cannot read {path / MANIFEST}: {error}") from error


def check_told(path: Path, record: Mapping[str, Any]) -> None:
    """Refuse a run.json that lacks what every finished run says.

    Raises:
        FileError: the message names what is missing.
    """
    if missing := [key for key in TOLD if key not in record]:
        raise FileError(f"cannot read {path / MANIFEST}: {missing[0]} is missing")


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

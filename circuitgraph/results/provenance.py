"""Where a run came from: versions, hashes and settings as one JSON value. Imports none of what it names."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from circuitgraph.graph.shape import ModelShape
from circuitgraph.plans.encode import plan_hash
from circuitgraph.plans.types import Plan
from circuitgraph.results.files import file_errors

PACKAGES = ("circuitgraph", "torch", "transformer_lens", "transformers", "tokenizers", "safetensors", "numpy")


def provenance(
    *,
    spec_text: str,
    plan: Plan,
    shape: ModelShape,
    model_fingerprint: str,
    prompts_sha256: str | None = None,
    saes: Sequence[Mapping[str, Any]] = (),
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "cpu",
    dtype: str = "float32",
    executor: str = "literal",
    schedule: Mapping[str, Any] | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """What `run.json` says of a run's origin, in JSON types.

    Args:
        spec_text: the spec as it was run, overrides included: `load_run` rebuilds graph and plan from it.
        saes: of each sparse autoencoder its name, site, width, settings and the sha256 of its file.
        settings: what the spec and the command line resolved to.
        schedule: sizes of what is computed at once.
    """
    return {
        "name": plan.name,
        "spec_sha256": sha256_text(spec_text),
        "plan_sha256": plan_hash(plan),
        "model_fingerprint": model_fingerprint,
        "prompts_sha256": prompts_sha256,
        "saes": [dict(sae) for sae in saes],
        "saes_sha256": sha256_text(json.dumps([dict(sae) for sae in saes], sort_keys=True)) if saes else None,
        "experiments": len(plan.experiments),
        "settings": dict(settings or {}),
        "seed": seed,
        "device": device,
        "dtype": dtype,
        "executor": executor,
        "schedule": None if schedule is None else dict(schedule),
        "threads": threads,
        "shape": asdict(shape),
        "versions": versions(),
        "platform": {"system": platform.platform(), "machine": platform.machine(), "cpus": os.cpu_count()},
        "created": now(),
    }


def versions() -> dict[str, str | None]:
    """Python and the packages that decide a number, without importing them; None = not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def sha256_text(text: str) -> str:
    """Hex sha256 of the text's UTF-8 bytes."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes.

    Raises:
        FileError: the file cannot be read.
    """
    with file_errors("read", path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

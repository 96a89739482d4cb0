"""The identity of a model: sha256 over its config, tokenizer and weight files. No torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from circuitgraph.errors import ModelError

_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")


def weight_files(directory: Path) -> tuple[Path, ...]:
    """The safetensors files of a model directory.

    Raises:
        ModelError: there are none (pickled weights are never read).
    """
    files = tuple(sorted(directory.glob("*.safetensors")))
    if not files:
        raise ModelError(f"{directory}: no *.safetensors file; other weight formats are not read")
    return files


def fingerprint(directory: Path) -> str:
    """Hex digest over name and bytes of config, tokenizer and weights."""
    digest = hashlib.sha256()
    for file in (*(directory / name for name in _FILES), *weight_files(directory)):
        if not file.is_file():
            continue
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()

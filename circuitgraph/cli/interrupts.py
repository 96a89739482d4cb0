"""What Ctrl-C leaves behind, in words: how to go on with a run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def interruption(directory: Path, spec: str, overrides: Sequence[str], executor: str) -> Iterator[None]:
    """Inside the block an interruption says how to go on; `main` prints it."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(_advice(directory, spec, overrides, executor)) from stop


def _advice(directory: Path, spec: str, overrides: Sequence[str], executor: str) -> str:
    if directory.with_name(f"{directory.name}.new").exists():
        # A run that replaces another is built beside it, and begun anew.
        return f"{directory} is as it was"
    words = ["circuitgraph", "run", spec, "--out", str(directory)]
    for override in overrides:
        words += ["--set", override]
    if executor != "auto":
        words += ["--executor", executor]
    return f"go on with: {shlex.join([*words, '--resume'])}"

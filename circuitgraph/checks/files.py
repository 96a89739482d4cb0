"""A spec -> the files and directories that it names relative to itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from circuitgraph.checks.checked import Checked
from circuitgraph.spec.model import CircuitSpec


def directory_of(checked: Checked) -> Path:
    """What relative paths of the spec are relative to."""
    return checked.spec.directory if checked.path is None else checked.path.parent


def relative_files(spec: CircuitSpec, *, own_model: bool) -> tuple[str, ...]:
    """What a spec names that is found only from its directory; () = it can be read from anywhere.

    Args:
        own_model: whether its model is a directory, not a bundled model or one of the hub.
    """
    return tuple(dict.fromkeys(name for name in _named(spec, own_model) if not Path(name).is_absolute()))


def _named(spec: CircuitSpec, own_model: bool) -> Iterator[str]:
    if own_model and not spec.model.name.startswith("~"):
        yield spec.model.name
    reference = spec.intervention.reference
    for prompts in (spec.prompts, *([] if reference is None else [reference.prompts])):
        if prompts.file is not None:
            yield prompts.file
    yield from (sae.file for sae in spec.saes.values())

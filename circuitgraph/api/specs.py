"""Specs and runs as they are read, checked and planned. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from circuitgraph.checks import Checked, SpecLike
from circuitgraph.checks import check as check_spec
from circuitgraph.plans import Plan, build_plan, explain_plan
from circuitgraph.spec import CircuitSpec
from circuitgraph.spec import load as load_spec
from circuitgraph.spec.metrics import metric_names
from circuitgraph.spec.model import CircuitSection

if TYPE_CHECKING:
    from circuitgraph.results.records import RunResult


def load(path: str | Path, overrides: Sequence[str] = ()) -> CircuitSpec:
    """Read a spec file; `overrides` are texts such as `prompts.generator.n=32`.

    Raises:
        SpecError: everything that is wrong with the text, its keys and its values.
        FileError: the file cannot be read.
    """
    return load_spec(path, overrides).in_directory(Path(path).parent)


def check(spec: SpecLike, overrides: Sequence[str] = ()) -> Checked:
    """Check a spec, and what its `circuit:` and `discover:` sections ask of it; torch is not imported.

    Raises:
        SpecError, InputError: everything that is wrong with the spec, or with its circuit, or with what it looks for.
        FileError: a file cannot be read.
        ModelError: the model's config cannot be read.
    """
    found = check_spec(spec, overrides)
    if found.spec.circuit != CircuitSection():
        from circuitgraph.evaluation.aim import aim_of

        aim_of(found)
    if found.spec.discover is not None:
        from circuitgraph.discovery.asked import check_discovery

        check_discovery(found)
    return found


def plan(spec: SpecLike, overrides: Sequence[str] = ()) -> Plan:
    """The plan of a spec: one experiment per edge, chain, set or node; torch is not imported.

    Raises:
        SpecError: everything that is wrong with the spec.
    """
    return build_plan(check_spec(spec, overrides).graph)


def explain(spec: SpecLike, overrides: Sequence[str] = ()) -> str:
    """The plan in words: three readable stages per edge."""
    found = check_spec(spec, overrides)
    return explain_plan(build_plan(found.graph), metric_names(found.spec))


def load_run(path: str | Path) -> RunResult:
    """Read a finished run directory.

    Raises:
        InputError: it is no run directory, or the run is not finished.
        FileError: a file in it is missing or damaged.
    """
    from circuitgraph.results import load_run as read

    return read(path)

"""The Python API: load, check, plan, run, render. The command line is a thin face over these.

import circuitgraph as cg

spec = cg.load("specs/ioi-mini.yaml")
print(cg.explain(spec))
result = cg.run(spec)
cg.render(result, "circuit.svg")
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from circuitgraph.catalog import MetricParams, metrics
from circuitgraph.checks import SpecLike, check
from circuitgraph.errors import InputError, did_you_mean
from circuitgraph.plans import Plan, build_plan, explain_plan
from circuitgraph.spec import CircuitSpec
from circuitgraph.spec import load as load_spec

if TYPE_CHECKING:
    from circuitgraph.evaluation.records import Evaluation
    from circuitgraph.prepared import Progress
    from circuitgraph.results.records import RunResult

EXECUTORS = ("auto", "literal")


def load(path: str | Path, overrides: Sequence[str] = ()) -> CircuitSpec:
    """Read a spec file; `overrides` are texts such as `prompts.generator.n=32`.

    Raises:
        SpecError: everything that is wrong with the text, its keys and its values.
        FileError: the file cannot be read.
    """
    return load_spec(path, overrides).in_directory(Path(path).parent)


def plan(spec: SpecLike, overrides: Sequence[str] = ()) -> Plan:
    """The plan of a spec: one experiment per edge, chain, set or node; torch is not imported.

    Raises:
        SpecError: everything that is wrong with the spec.
    """
    return build_plan(check(spec, overrides).graph)


def explain(spec: SpecLike, overrides: Sequence[str] = ()) -> str:
    """The plan in words: three readable stages per edge."""
    found = check(spec, overrides)
    return explain_plan(build_plan(found.graph), metric_names(found.spec))


def metric_names(spec: CircuitSpec) -> list[str]:
    """The metrics of a spec as people say them: `logit_diff at END`."""
    names = []
    for metric in spec.metrics:
        params = metrics.lookup(metric.name).read(metric.parameters)
        at = params.at if isinstance(params, MetricParams) else "END"
        names.append(f"{metric.name} at {at}")
    return names


def run(
    spec: SpecLike,
    *,
    out: str | Path | None = None,
    executor: str = "auto",
    overrides: Sequence[str] = (),
    resume: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Measure every experiment of a spec.

    Args:
        out: a run directory to write (tables, drawing, provenance); None = keep the result in memory.
        executor: `literal`, or `auto`, which is `literal` until there is a faster one.
        resume: go on with the run in `out`.
        replace: put this run in the place of a finished one in `out`.
        progress: called with (steps done, steps in all).

    Raises:
        SpecError: everything that is wrong with the spec.
        RefusedError: something in it cannot be executed yet.
        ModelError, AuditError: the model cannot be loaded, or does not pass its proofs.
        NotFiniteError: NaN or infinity in a value; the message names the experiment.
        FileError, LockError: the run directory cannot be used.
    """
    if executor not in EXECUTORS:
        raise InputError(f"'{executor}' is no executor{did_you_mean(executor, EXECUTORS)}")
    if out is not None:
        from circuitgraph.results import check_place

        check_place(out, resume=resume, replace=replace)
    from circuitgraph.running import Running  # imports torch

    return Running(spec, overrides, progress).result(out, resume=resume, replace=replace)


def evaluate(
    spec: SpecLike,
    *,
    overrides: Sequence[str] = (),
    random: int | None = None,
    curve: str = "hypothesis",
    progress: Progress | None = None,
) -> Evaluation:
    """Measure the circuit of a spec as a whole: faithfulness, completeness, minimality (docs/evaluate.md).

    Args:
        random: how many random circuits to compare with; None = as the spec says.
        curve: `hypothesis` (its edges, ranked by what dropping each one does), `all` (every edge of the model, ranked
            by its exact effect: one experiment each), or `none`.
        progress: called with (steps done, steps in all).

    Raises:
        SpecError, InputError: everything that is wrong with the spec, and with its edges as one circuit.
        ModelError, AuditError: the model cannot be loaded, or does not pass its proofs.
        NotFiniteError: NaN or infinity in a value; the message names the run.
    """
    from circuitgraph.evaluation.curve import CurveKind

    if curve not in list(CurveKind):
        raise InputError(f"'{curve}' is no curve{did_you_mean(curve, list(CurveKind))}")
    if random is not None and random < 0:
        raise InputError(f"random is a number of circuits, not {random}")
    from circuitgraph.evaluation.measure import Evaluating  # imports torch

    return Evaluating(spec, overrides, progress, circuits=random, curve=CurveKind(curve)).result()


def render(what: RunResult | SpecLike, path: str | Path, *, layout: str = "layered", title: str | None = None) -> Path:
    """Draw a spec (the hypothesis) or a run (the finding); the file ending picks the format.

    `what` is a RunResult, a CircuitSpec, a spec file or a run directory.

    Raises:
        SpecError, InputError: the spec is wrong, or there is no such format or layout.
        FileError: a file cannot be read or written.
    """
    from circuitgraph.drawing import render as draw
    from circuitgraph.results.records import RunResult

    if isinstance(what, str | Path) and Path(what).is_dir():
        what = load_run(what)
    if isinstance(what, RunResult):
        positions = what.provenance.get("settings", {}).get("positions")
        return draw(what.graph, path, rows=what.primary, layout=layout, title=title, positions=positions)
    found = check(what)
    positions = found.prompts.position_names() if found.prompts else None
    return draw(found.graph, path, layout=layout, title=title, positions=positions)


def load_run(path: str | Path) -> RunResult:
    """Read a finished run directory.

    Raises:
        InputError: it is no run directory, or the run is not finished.
        FileError: a file in it is missing or damaged.
    """
    from circuitgraph.results import load_run as read

    return read(path)


__all__ = ["check", "evaluate", "explain", "load", "load_run", "plan", "render", "run"]

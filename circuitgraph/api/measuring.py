"""What runs a model: experiments, verdicts, readings, searches, circuits as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from circuitgraph.checks import SpecLike
from circuitgraph.checks import check as check_spec
from circuitgraph.errors import InputError, did_you_mean
from circuitgraph.plans.schedule import Executor
from circuitgraph.spec import CircuitSpec
from circuitgraph.spec.model import EstimateMethod
from circuitgraph.spec.overrides import Options

if TYPE_CHECKING:
    from circuitgraph.discovery.records import Discovery
    from circuitgraph.judging import Verdicts
    from circuitgraph.prepared import Progress
    from circuitgraph.results.attention import AttentionTable
    from circuitgraph.results.attribution import AttributionTable
    from circuitgraph.results.evaluated import Evaluation
    from circuitgraph.results.records import RunResult

EXECUTORS = tuple(executor.value for executor in Executor)


def run(
    spec: SpecLike,
    *,
    out: str | Path | None = None,
    executor: str = "auto",
    memory: int | None = None,
    estimate: str | None = None,
    screen: str | None = None,
    top: int = 100,
    overrides: Sequence[str] = (),
    resume: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Measure every experiment of a spec; or estimate it, where the spec or `estimate` says so (docs/estimates.md).

    Args:
        out: a run directory to write (tables, drawing, provenance); None = keep the result in memory.
        executor: `auto`: fast where possible, and a sample of that recomputed literally; `fast`: without the sample;
            `literal`: everything by whole forward passes.
        memory: bytes that may be used beside the model; a share of what is free if not given.
        estimate: a method (`eap`, `atp`, `eap-ig-inputs`, …) instead of the spec's.
        screen: a method that estimates everything; the `top` largest are measured, on prompts held apart.
        top: how many.
        resume: go on with the run in `out`.
        replace: put this run in the place of a finished one in `out`.
        progress: called with (steps done, steps in all).

    Raises:
        SpecError: everything that is wrong with the spec.
        RefusedError: something in it cannot be executed.
        ModelError: the model cannot be loaded.
        AuditError: the model does not pass its proofs, or the executors do not agree on an experiment.
        NotFiniteError: NaN or infinity in a value; the message names the experiment.
        FileError, LockError: the run directory cannot be used.
    """
    wanted = executor_named(executor)
    spec, overrides = estimating(spec, overrides, estimate, screen)
    if screen is not None and (resume or top < 1):
        raise InputError("a screened run is not resumed: start it anew" if resume else f"top is a number, not {top}")
    if out is not None:
        from circuitgraph.results import check_place

        check_place(out, resume=resume, replace=replace)
    if screen is not None:
        from circuitgraph.screening import screened_run  # imports torch

        return screened_run(
            spec, overrides, top, out=out, executor=wanted, memory=memory, replace=replace, progress=progress
        )
    from circuitgraph.running import Running  # imports torch

    return Running(spec, overrides, progress, wanted, memory).result(out, resume=resume, replace=replace)


def executor_named(name: str) -> Executor:
    """The executor of a name.

    Raises:
        InputError: there is none.
    """
    if name not in EXECUTORS:
        raise InputError(f"'{name}' is no executor{did_you_mean(name, EXECUTORS)}")
    return Executor(name)


def estimating(
    spec: SpecLike, overrides: Sequence[str], estimate: str | None, screen: str | None
) -> tuple[SpecLike, Sequence[str]]:
    """A spec and its overrides with a method of estimation as its `estimate:` asks for.

    Raises:
        InputError: two methods, or no such method.
    """
    if estimate is not None and screen is not None:
        raise InputError("estimate or screen, not both: a screened run estimates everything first")
    method = estimate or screen
    if method is None:
        return spec, overrides
    methods = [each.value for each in EstimateMethod]
    if method not in methods:
        raise InputError(f"'{method}' is no method of estimation{did_you_mean(method, methods)}")
    if isinstance(spec, CircuitSpec):
        return Options("estimate", {"method": method}).onto(spec), overrides
    return spec, (*overrides, f"estimate.method={method}")


def test(
    spec: SpecLike,
    *,
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    replace: bool = False,
    progress: Progress | None = None,
) -> Verdicts:
    """Measure a spec and judge everything it expects: `cg.test("circuit.yaml").check()` makes it a regression test.

    A refuted hypothesis raises nothing here: see `Verdicts.check`. What `run` raises is raised here too.

    Args:
        out: as in `run`.
        replace: as in `run`.

    Raises:
        InputError: the spec expects nothing, or estimates.
    """
    from circuitgraph.judging import Verdicts, judge_circuit, judge_run, ordered, refuse_nothing_expected

    found = check_spec(spec, overrides)
    refuse_nothing_expected(found.spec, found.graph)
    if found.spec.estimate is not None:
        raise InputError(
            "what a spec expects is said of effects, and this one asks for estimates: test it without 'estimate'"
        )
    result = evaluation = None
    if any(claim.expect is not None for claim in found.graph.claims):
        result = run(spec, out=out, overrides=overrides, replace=replace, progress=progress)
    if found.spec.circuit.expect is not None:
        from circuitgraph.evaluation.measure import Evaluating  # imports torch
        from circuitgraph.results.evaluated import CurveKind

        only = {"circuits": 0, "curve": CurveKind.NONE, "minimality": False}
        evaluation = Evaluating(spec, overrides, progress, **only).result()
    judged = [*(judge_run(result) if result else ()), *(judge_circuit(evaluation, found) if evaluation else ())]
    path = None if found.path is None else str(found.path)
    return Verdicts(found.spec.name, ordered(judged), result, path, evaluation)


def attention(
    spec: SpecLike,
    *,
    heads: str | Sequence[str] | None = None,
    from_: str | Sequence[str] | None = None,
    to: str | Sequence[str] | None = None,
    run: str | None = None,
    pair: int | None = None,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> AttentionTable:
    """What heads attend to: mean attention weights between named positions, with standard errors and intervals.

    Arguments win over the spec's `attention:` section.

    Args:
        heads: heads, layers, patterns or groups; the heads of all groups (or all heads, without groups) if not given.
        from_: positions that attend; every named position that all prompts have, if not given.
        to: positions that are attended to; the same.
        run: whose attention, of the `clean` or of the `corrupted` prompts.
        pair: a pair (counted from 1) whose whole patterns are kept too, as the table's `patterns`, to be plotted.
        progress: called with (prompts read, prompts in all).

    Raises:
        SpecError: everything that is wrong with the spec, or with an argument.
        ModelError, AuditError: the model cannot be loaded, or does not pass its proofs.
        NotFiniteError: NaN or infinity in a weight; the message names the head.
    """
    from circuitgraph.reading import read_attention  # imports torch

    lists = {"heads": heads, "from": from_, "to": to}
    given = {
        key: [value] if isinstance(value, str) else list(value) for key, value in lists.items() if value is not None
    }
    options = Options("attention", given if run is None else {**given, "run": run})
    return read_attention(spec, options, overrides, progress or (lambda _done, _total: None), pair)


def attribution(
    spec: SpecLike,
    *,
    unit: str | None = None,
    of: str | None = None,
    at: str | Sequence[str] | None = None,
    tokens: bool | None = None,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> AttributionTable:
    """Direct logit attribution: the metric as a sum over what each component writes towards it (docs/attribution.md).

    Arguments win over the spec's `attribution:` section; a spec without one is read with its defaults.

    Args:
        unit: `component`, `head` or `neuron`.
        of: `clean`, `corrupted` or `difference` (clean − corrupted).
        at: positions to read at, each by itself; where the metric is read, if not given.
        tokens: whether heads are split by the token that they attended to.
        progress: called with (prompts read, prompts in all).

    Raises:
        SpecError: everything that is wrong with the spec, or with an argument; no metric that is linear in the
            logits; a model whose logits pass a soft cap.
        ModelError, AuditError: the model cannot be loaded, or does not pass its proofs; or the sum is not the metric.
        NotFiniteError: NaN or infinity in a value; the message names the component.
    """
    from circuitgraph.reading import read_attribution  # imports torch

    positions = [at] if isinstance(at, str) else at
    given = {"unit": unit, "of": of, "at": None if positions is None else list(positions), "tokens": tokens}
    options = Options("attribution", {key: value for key, value in given.items() if value is not None})
    return read_attribution(spec, options, overrides, progress or (lambda _done, _total: None))


def discover(
    spec: SpecLike,
    path: str | Path | None = None,
    *,
    method: str | None = None,
    of: str | None = None,
    threshold: float | None = None,
    most: int | None = None,
    overrides: Sequence[str] = (),
    replace: bool = False,
    progress: Progress | None = None,
) -> Discovery:
    """Look for a circuit among all edges (or nodes) of the model, and make a spec of it on other prompts.

    `method`, `of`, `threshold` and `most` go before the spec's `discover:` section. The spec's own edges and
    nodes are not used.

    Args:
        path: the spec file to write; prompt pairs that have to be written go beside it. None = write nothing.
        method: `effects` ranks each edge by its exact effect; `acdc` prunes (`circuitgraph.discovery.acdc`).
        of: `edges` or `nodes`.
        threshold: `effects` keeps |effect| above it; `acdc`: τ.
        most: `effects` keeps so many at most, the largest.
        replace: write over files that are there.
        progress: called with (steps done, steps in all).

    Raises:
        SpecError: everything that is wrong with the spec.
        InputError, RefusedError: no such method; too few prompts to hold some apart; nothing found to write.
        ModelError, AuditError: the model cannot be loaded, or does not pass its proofs.
        NotFiniteError: NaN or infinity in a value; the message names the edge.
        FileError: a file is there already, or cannot be written.
    """
    from circuitgraph.discovery.finding import discover as find  # imports torch

    return find(
        spec,
        path,
        overrides=overrides,
        method=method,
        of=of,
        threshold=threshold,
        most=most,
        replace=replace,
        progress=progress,
    )


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
        spec: or a run directory: the circuit of the spec that was run, kept there as evaluation.json.
        random: how many random circuits to compare with; None = as the spec says.
        curve: `hypothesis` (its edges, ranked by what dropping each one does), `all` (every edge of the model, ranked
            by its exact effect: one experiment each), or `none`.
        progress: called with (steps done, steps in all).

    Raises:
        SpecError, InputError: everything that is wrong with the spec, and with its edges as one circuit.
        ModelError, AuditError: the model cannot be loaded, or does not pass its proofs.
        NotFiniteError: NaN or infinity in a value; the message names the run.
        FileError, LockError: the run directory cannot be used.
    """
    from circuitgraph.evaluation.of_run import evaluate_run, is_run
    from circuitgraph.results.evaluated import CurveKind

    if curve not in list(CurveKind):
        raise InputError(f"'{curve}' is no curve{did_you_mean(curve, list(CurveKind))}")
    if random is not None and random < 0:
        raise InputError(f"random is a number of circuits, not {random}")
    if isinstance(spec, str | Path) and is_run(spec):
        if overrides:
            raise InputError(f"{spec} is a finished run, whose spec is not overridden; evaluate the spec instead")
        return evaluate_run(spec, progress, circuits=random, curve=CurveKind(curve))
    from circuitgraph.evaluation.measure import Evaluating  # imports torch

    return Evaluating(spec, overrides, progress, circuits=random, curve=CurveKind(curve)).result()

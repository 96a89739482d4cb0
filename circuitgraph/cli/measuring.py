"""The commands that measure a spec: run, test."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from circuitgraph.cli.interrupts import interruption
from circuitgraph.cli.shared import (
    Json,
    ProgressBar,
    Set,
    Spec,
    Strict,
    app,
    checked_spec,
    count,
    note,
    print_json,
)
from circuitgraph.cli.sizes import bytes_of

if TYPE_CHECKING:
    from circuitgraph.judging import Verdicts
    from circuitgraph.results.records import RunResult

ATTRIBUTED = 8
"""Rows of an attribution that `run` prints."""


@app.command()
def run(
    spec: Spec,
    out: Annotated[
        str | None, typer.Option("--out", metavar="DIR", help="The run directory.", show_default="runs/<name>")
    ] = None,
    set_: Set = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a finished run.")] = False,
    executor: Annotated[
        str, typer.Option("--executor", metavar="auto|fast|literal", help="How to execute; auto = fast, and audited.")
    ] = "auto",
    memory: Annotated[
        str | None,
        typer.Option("--memory", metavar="SIZE", help="Use so much beside the model, e.g. 4GiB.", show_default="half"),
    ] = None,
    estimate: Annotated[
        str | None,
        typer.Option("--estimate", metavar="METHOD", help="Estimate from gradients instead: eap, atp, eap-ig-inputs …"),
    ] = None,
    screen: Annotated[
        str | None,
        typer.Option("--screen", metavar="METHOD", help="Estimate everything, measure the --top largest."),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            "--top",
            metavar="N",
            min=1,
            help="Rows to print; with --screen, how many are measured.",
            show_default="30; 100",
        ),
    ] = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Measure every edge of a spec and write tables, drawing and provenance to a run directory."""
    from circuitgraph import api

    _, overrides = api.estimating(spec, set_ or (), estimate, screen)
    checked = checked_spec(spec, overrides, strict)
    directory = Path(out) if out is not None else Path("runs") / checked.spec.name
    number = len(checked.graph.claims)
    verb = "" if checked.spec.estimate is None else f" estimated by {checked.spec.estimate.method}"
    announcement = f"{checked.spec.name}: {count(number, 'experiment')}{verb} on {checked.location.name} → {directory}"
    with interruption(directory, spec, set_ or (), executor), ProgressBar(announcement, number) as progress:
        result = api.run(
            spec,
            out=directory,
            executor=executor,
            memory=None if memory is None else bytes_of(memory),
            estimate=estimate,
            screen=screen,
            top=top or 100,
            overrides=set_ or (),
            resume=resume,
            replace=force,
            progress=progress,
        )
    for line in _executed(result, executor):
        note(line)
    for warning in result.warnings[len(checked.warnings) :]:  # the rest was said before the run
        note(f"warning: {warning}")
    if as_json:
        print_json(_run_report(result))
        return
    from circuitgraph.tables import attribution_tables, ranked_table

    if result.screening is not None:
        typer.echo(f"{result.screening}\n")
    typer.echo(ranked_table(result, 30 if top is None or screen is not None else top))
    if result.attribution is not None:
        typer.echo(f"\n{attribution_tables(result.attribution, ATTRIBUTED)}")
    note(f"\ntables, drawing and provenance: {directory}/")
    if (directory / "plots").is_dir():
        note(f"plots of its sweeps: {directory}/plots/")
    elif missing := api.unplotted(result):
        note(missing)
    if drawn := api.drawn_part(result, "circuit.svg"):
        note(drawn)
    note("next: " + shlex.join(["circuitgraph", "render", str(directory), "-o", f"{directory.absolute().name}.png"]))


@app.command()
def test(
    spec: Spec,
    out: Annotated[str | None, typer.Option("--out", metavar="DIR", help="Keep the run in this directory.")] = None,
    set_: Set = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a finished run.")] = False,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Measure a spec and judge what it expects: exit 0 supported, 1 refuted, 3 undecided."""
    from circuitgraph import api

    checked = checked_spec(spec, set_, strict)
    with ProgressBar(f"{checked.spec.name}: testing on {checked.location.name}") as progress:
        found = api.test(spec, out=out, overrides=set_ or (), replace=force, progress=progress)
    measured = [found.result, found.evaluation]
    warnings = dict.fromkeys(warning for each in measured if each is not None for warning in each.warnings)
    for warning in warnings:
        if warning not in checked.warnings:  # those were said before
            note(f"warning: {warning}")
    if as_json:
        print_json(_verdict_report(found))
    else:
        typer.echo(found.text())
    found.check()


def _executed(result: RunResult, executor: str) -> list[str]:
    """What the audit found, and how much of a run the fast executor could not do."""
    lines = [] if result.audit is None else [str(result.audit)]
    executors = [row.executor for row in (*result.primary, *result.baseline)]
    if executor != "literal" and (slow := executors.count("literal")):
        said = f"{slow:,} of {count(len(executors), 'experiment')} {'was' if slow == 1 else 'were'} run literally"
        lines.append(f"{said}: circuitgraph plan --explain says why")
    return lines


def _verdict_report(found: Verdicts) -> dict[str, Any]:
    from dataclasses import asdict

    listed = [{**asdict(item), "place": item.place} for item in found.judged]
    return {"name": found.name, "verdict": found.verdict.value, "expectations": listed}


def _run_report(result: RunResult) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "directory": result.directory,
        "provenance": dict(result.provenance),
        "warnings": list(result.warnings),
        "rows": [asdict(row) for row in result.rows],
        "baseline": [asdict(row) for row in result.baseline],
        "screening": None if result.screening is None else asdict(result.screening),
    }

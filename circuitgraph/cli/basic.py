"""The commands of one spec and its run: check, plan, run, render, plot, schema."""

from __future__ import annotations

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
    UsageError,
    app,
    checked_spec,
    count,
    note,
    print_json,
)
from circuitgraph.cli.sizes import bytes_of

if TYPE_CHECKING:
    from circuitgraph.checks import Checked
    from circuitgraph.judging import Verdicts
    from circuitgraph.results.records import RunResult

ATTRIBUTED = 8
"""Rows of an attribution that `run` prints."""
MOST_SHOWN = 200
"""Of more experiments than this, `plan` shows one of each kind."""


@app.command()
def check(spec: Spec, set_: Set = None, strict: Strict = False, as_json: Json = False) -> None:
    """Find everything that is wrong with a spec, before any model runs."""
    from circuitgraph import api

    checked = checked_spec(spec, set_, strict, api.check)
    if as_json:
        print_json(_check_report(checked))
        return
    for line in _summary(checked):
        typer.echo(line)


@app.command()
def plan(
    spec: Spec,
    set_: Set = None,
    every: Annotated[
        bool, typer.Option("--all", help=f"Show every experiment, also where there are more than {MOST_SHOWN}.")
    ] = False,
    physical: Annotated[
        bool, typer.Option("--explain", help="Show also how it is run: what is shared and stacked, and its cost.")
    ] = False,
    executor: Annotated[str, typer.Option("--executor", metavar="auto|fast|literal", help="For --explain.")] = "auto",
    diagram: Annotated[
        str | None,
        typer.Option(
            "--diagram", metavar="EDGE", help="Draw the stages of one experiment: its label, addresses or id."
        ),
    ] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="For --diagram: .svg .png .pdf")
    ] = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Show what will be done for each edge: its three stages, and what they cost."""
    if diagram is not None or output is not None:
        _draw_stages(spec, diagram, output, set_, strict, others=as_json or physical or every)
        return
    from circuitgraph.api import executor_named, metric_names
    from circuitgraph.explaining import physical_plan
    from circuitgraph.plans import (
        PromptShape,
        build_plan,
        cost_of,
        describe_cost,
        describe_physical,
        explain_kinds,
        explain_plan,
        plan_hash,
        plan_to_json,
    )

    checked = checked_spec(spec, set_, strict)
    made = build_plan(checked.graph)
    cost = cost_of(made)
    prompts = None if checked.prompts is None else PromptShape(tuple(map(len, checked.prompts.pairs)))
    how = physical_plan(checked, executor_named(executor)) if physical else None
    if as_json:
        counts = {name: getattr(cost, name) for name in (*cost.__slots__, "forwards")}
        tokens = None if prompts is None else {"prompts": len(prompts.lengths), "tokens": prompts.tokens}
        run = {} if how is None else {"run": {**how[0].to_json(), "memory": how[1]}}
        said = {} if checked.spec.estimate is None else {"estimate": checked.spec.estimate.model_dump(mode="json")}
        print_json({**plan_to_json(made), "sha256": plan_hash(made), "cost": counts, "pass": tokens, **run, **said})
        return
    if checked.spec.estimate is not None:
        typer.echo(f"estimated by {checked.spec.estimate.method}: not the runs below, but how they begin to change\n")
    whole = every or len(made.experiments) <= MOST_SHOWN
    typer.echo((explain_plan if whole else explain_kinds)(made, metric_names(checked.spec)))
    if not whole:
        note("--all shows every experiment, --json all of them as data")
    typer.echo()
    for line in describe_cost(cost, prompts) if how is None else describe_physical(*how):
        typer.echo(line)


def _draw_stages(
    spec: str, experiment: str | None, output: str | None, set_: list[str] | None, strict: bool, *, others: bool
) -> None:
    """`plan --diagram`: a picture of one experiment; what it shows is printed too."""
    from circuitgraph import api
    from circuitgraph.plans import experiment_of, explain
    from circuitgraph.unrolled import find_claim

    if experiment is None:
        raise UsageError("-o goes with --diagram EDGE; a picture of the whole spec: circuitgraph render SPEC -o FILE")
    if output is None:
        raise UsageError("--diagram needs a file: -o edge.svg")
    if others:
        raise UsageError("--diagram goes without --all, --explain and --json")
    checked = checked_spec(spec, set_, strict)
    claim = find_claim(checked.graph, experiment)
    made = experiment_of(claim, checked.shape)
    written = api.draw_stages(checked, claim, output)
    typer.echo("\n".join([made.label, *(f"     {line}" for line in explain(made, api.metric_names(checked.spec)))]))
    note(f"wrote {written}")


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
    note(f"next: circuitgraph render {directory} -o {directory.absolute().name}.png")


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


@app.command()
def render(
    what: Annotated[str, typer.Argument(metavar="SPEC|RUN", help="A spec file (the hypothesis) or a run directory.")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help=".svg .png .pdf .dot .graphml .json")],
    layout: Annotated[
        str, typer.Option("--layout", metavar="layered|dot", help="Own layout, or Graphviz'.")
    ] = "layered",
    title: Annotated[str | None, typer.Option("--title", help="A title of your own.")] = None,
) -> None:
    """Draw a spec, or a run with its results."""
    from circuitgraph import api

    note(f"wrote {api.render(what, output, layout=layout, title=title, tell=note)}")


@app.command()
def plot(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run directory.")],
    output: Annotated[
        str,
        typer.Option("-o", "--output", metavar="FILE|DIR", help="One plot (.svg .png .pdf), or a directory for all."),
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            metavar="heatmap|bars|attribution|NAME",
            help="Of this kind, or the plot of this name.",
            show_default="all; of several, a file gets the first",
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", metavar="METRIC", help="Of one metric.", show_default="all")
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, max=200, help="Bars of a bar chart.")] = 20,
) -> None:
    """Plot a run's sweeps as heat maps, its largest effects as bars, and its attribution. Needs no model."""
    from circuitgraph import api

    for written in api.plot(Path(run), output, kind=kind, metric=metric, top=top, tell=note):
        note(f"wrote {written}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of a spec, for editors."""
    from circuitgraph.spec.schema import json_schema

    print_json(json_schema())


def _summary(checked: Checked) -> list[str]:
    spec, graph = checked.spec, checked.graph
    kinds = {"edge": 0, "node": 0, "chain": 0, "set": 0}
    for claim in graph.claims:
        kinds[type(claim).__name__.removesuffix("Claim").lower()] += 1
    counted = ", ".join(count(number, kind) for kind, number in kinds.items() if number)
    shape = checked.shape
    lines = [
        f"{spec.name}: ok",
        f"  model    {checked.location.name} ({shape.layers} layers × {shape.heads} heads)",
        f"  claims   {counted or 'none'}; groups: {', '.join(group.name for group in graph.groups) or 'none'}",
    ]
    if (reading := checked.attention) is not None:
        heads = count(len({read.head for read in reading.heads}), "head")
        positions = f"{len(reading.from_positions)} × {len(reading.to_positions)} positions"
        lines.append(f"  reads    attention of {heads}, {positions}, in {reading.run} prompts")
    if checked.prompts is not None:
        lengths = sorted({len(pair) for pair in checked.prompts.pairs})
        span = f"{lengths[0]}" if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
        lines.append(f"  prompts  {count(len(checked.prompts), 'pair')} of {span} tokens")
    return lines


def _check_report(checked: Checked) -> dict[str, Any]:
    return {
        "name": checked.spec.name,
        "model": checked.location.name,
        "claims": len(checked.graph.claims),
        "pairs": None if checked.prompts is None else len(checked.prompts),
        "warnings": list(checked.warnings),
        "unchecked": list(checked.unchecked),
    }


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

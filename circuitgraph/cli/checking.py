"""The commands that look at a spec before anything is measured: check, plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from circuitgraph.cli.shared import (
    Json,
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

if TYPE_CHECKING:
    from circuitgraph.checks import Checked

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
    from circuitgraph.api import executor_named
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
    from circuitgraph.spec.metrics import metric_names

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
    from circuitgraph.spec.metrics import metric_names
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
    typer.echo("\n".join([made.label, *(f"     {line}" for line in explain(made, metric_names(checked.spec)))]))
    note(f"wrote {written}")


def _summary(checked: Checked) -> list[str]:
    spec, graph = checked.spec, checked.graph
    kinds = {"edge": 0, "node": 0, "chain": 0, "set": 0}
    for claim in graph.claims:
        kinds[claim.kind] += 1
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

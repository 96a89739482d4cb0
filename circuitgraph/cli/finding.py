"""The command that looks for a circuit: discover."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from circuitgraph.cli.shared import Json, ProgressBar, Set, Spec, Strict, app, checked_spec, note, print_json


@app.command()
def discover(
    spec: Spec,
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="The spec to write (YAML).")],
    method: Annotated[
        str | None, typer.Option("--method", metavar="effects|acdc", help="Rank by exact effect, or prune.")
    ] = None,
    of: Annotated[str | None, typer.Option("--of", metavar="edges|nodes", help="What to look for.")] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", metavar="X", help="effects: keep |effect| > X; acdc: τ.")
    ] = None,
    most: Annotated[int | None, typer.Option("--most", metavar="K", help="effects: keep at most K.")] = None,
    set_: Set = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Rows of the table to print.")] = 30,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Look for a circuit in the whole model and write it as a spec, to be measured on other prompts."""
    from circuitgraph import api
    from circuitgraph.discovery.aims import aims_of, describe_aims
    from circuitgraph.discovery.report import discovery_json, discovery_table

    checked = checked_spec(spec, set_, strict)
    aims = aims_of(checked.spec, method=method, of=of, threshold=threshold, most=most)
    cost = describe_aims(aims, checked.shape)
    with ProgressBar(f"{checked.spec.name}: {cost} of {checked.location.name} → {output}") as progress:
        found = api.discover(
            spec,
            output,
            method=method,
            of=of,
            threshold=threshold,
            most=most,
            overrides=set_ or (),
            replace=force,
            progress=progress,
        )
    for warning in found.warnings:
        if warning not in checked.warnings:  # those were said before
            note(f"warning: {warning}")
    if as_json:
        print_json(discovery_json(found))
    else:
        typer.echo(discovery_table(found, top))
    note(f"\ndiscovered on {found.prompts}")
    note(f"{found.path} measures on others, {found.held_out}")
    if found.pairs_path is not None:
        note(f"they are in {found.pairs_path}")
    note("next: " + shlex.join(["circuitgraph", "run", str(found.path)]))

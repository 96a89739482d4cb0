"""The commands that read activations and patch nothing: attention."""

from __future__ import annotations

from typing import Annotated

import typer

from circuitgraph.cli.shared import Json, ProgressBar, Set, Spec, app, note, print_json


@app.command()
def attention(
    spec: Spec,
    heads: Annotated[
        list[str] | None,
        typer.Option(
            "--heads",
            metavar="HEADS",
            help="A head, layer (a3), pattern (a*.h0) or group; may be repeated.",
            show_default="the heads of all groups",
        ),
    ] = None,
    from_: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="POSITION",
            help="A position that attends; may be repeated.",
            show_default="all named positions",
        ),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="POSITION",
            help="A position attended to; may be repeated.",
            show_default="all named positions",
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="clean|corrupted", help="Whose attention is read.", show_default="clean"),
    ] = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Show what heads attend to: mean attention weights between named positions."""
    from circuitgraph import api
    from circuitgraph.tables import weights_table

    with ProgressBar(f"{spec}: reading attention") as progress:
        table = api.attention(spec, heads=heads, from_=from_, to=to, run=run, overrides=set_ or (), progress=progress)
    for warning in table.warnings:
        note(f"warning: {warning}")
    if as_json:
        print_json(table.to_json())
        return
    typer.echo(weights_table(table))

"""The commands that read activations and patch nothing: attention, attribution."""

from __future__ import annotations

from typing import Annotated

import typer

from circuitgraph.cli.shared import Json, ProgressBar, Set, Spec, app, note, print_json
from circuitgraph.errors import InputError


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
    plot: Annotated[
        str | None,
        typer.Option("--plot", metavar="FILE", help="Draw the whole patterns of one prompt: .svg .png .pdf"),
    ] = None,
    pair: Annotated[
        int | None, typer.Option("--pair", metavar="N", min=1, help="Of which pair, for --plot.", show_default="1")
    ] = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Show what heads attend to: mean attention weights between named positions."""
    from circuitgraph import api
    from circuitgraph.plotting import check_plot_file
    from circuitgraph.tables import weights_table

    if plot is not None:
        check_plot_file(plot)
        pair = 1 if pair is None else pair
    elif pair is not None:
        raise InputError("--pair says whose patterns --plot draws; the table is of all prompts")
    with ProgressBar(f"{spec}: reading attention") as progress:
        table = api.attention(
            spec, heads=heads, from_=from_, to=to, run=run, pair=pair, overrides=set_ or (), progress=progress
        )
    for warning in table.warnings:
        note(f"warning: {warning}")
    if plot is not None:
        note(f"wrote {api.plot(table, plot)[0]}")
    if as_json:
        print_json(table.to_json())
        return
    typer.echo(weights_table(table))


@app.command()
def attribution(
    spec: Spec,
    unit: Annotated[
        str | None,
        typer.Option(
            "--unit", metavar="component|head|neuron", help="What the metric is taken apart into.", show_default="head"
        ),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option("--of", metavar="clean|corrupted|difference", help="Whose metric.", show_default="clean"),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            "--at", metavar="POSITION", help="Where it is read; may be repeated.", show_default="as the metric says"
        ),
    ] = None,
    tokens: Annotated[bool, typer.Option("--tokens", help="Split each head by the token that it attended to.")] = False,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="Write all rows, per prompt: .parquet or .csv")
    ] = None,
    plot: Annotated[
        str | None,
        typer.Option("--plot", metavar="FILE|DIR", help="Draw it (.svg .png .pdf), or all of it to a directory."),
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Rows of each table to print.")] = 20,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Take the metric apart into what each component writes towards it (direct logit attribution)."""
    from circuitgraph import api
    from circuitgraph.results.attribution import check_output
    from circuitgraph.tables import attribution_tables

    if output is not None:
        check_output(output)
    if plot is not None:
        api.check_plot(plot)
    with ProgressBar(f"{spec}: reading what components write") as progress:
        table = api.attribution(
            spec, unit=unit, of=of, at=at, tokens=tokens or None, overrides=set_ or (), progress=progress
        )
    for warning in table.warnings:
        note(f"warning: {warning}")
    if output is not None:
        table.save(output)
        note(f"wrote {output}")
    if plot is not None:
        for written in api.plot(table, plot, top=min(top, 200), tell=note):
            note(f"wrote {written}")
    if as_json:
        print_json(table.to_json())
        return
    typer.echo(attribution_tables(table, top))

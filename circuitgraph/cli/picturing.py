"""The commands that draw, and the one that prints the schema: render, plot, schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from circuitgraph.cli.shared import (
    app,
    note,
    print_json,
)

if TYPE_CHECKING:
    pass


@app.command()
def render(
    what: Annotated[str, typer.Argument(metavar="SPEC|RUN", help="A spec file (the hypothesis) or a run directory.")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help=".svg .png .pdf .dot .graphml .json")],
    layout: Annotated[
        str, typer.Option("--layout", metavar="layered|dot", help="Own layout, or Graphviz'.")
    ] = "layered",
    style: Annotated[
        str,
        typer.Option(
            "--style",
            metavar="plain|paper",
            help="Every edge an arrow; or, as a paper's figure, groups as boxes with their heads inside.",
        ),
    ] = "plain",
    title: Annotated[str | None, typer.Option("--title", help="A title of your own.")] = None,
) -> None:
    """Draw a spec, or a run with its results."""
    from circuitgraph import api

    note(f"wrote {api.render(what, output, layout=layout, style=style, title=title, tell=note)}")


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

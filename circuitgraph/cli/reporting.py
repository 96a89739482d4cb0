"""The command that makes a page of runs: report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from circuitgraph.cli.shared import ProgressBar, app, note


@app.command()
def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="A run directory; several are compared.")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="The page: .html")],
    title: Annotated[str | None, typer.Option("--title", help="A title of your own.")] = None,
    metric: Annotated[
        str | None,
        typer.Option("--metric", metavar="METRIC", help="What several are compared in.", show_default="the first"),
    ] = None,
) -> None:
    """Make one HTML page of a run, or of several compared: graph, table, spec, plan, prompts. Needs no model."""
    from circuitgraph import api

    listed = [Path(run) for run in runs]
    with ProgressBar("", verb="resampling prompts") as progress:
        written = api.report(listed, output, title=title, metric=metric, progress=progress)
    note(f"wrote {written}")

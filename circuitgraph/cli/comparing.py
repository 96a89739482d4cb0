"""The command that holds runs against each other: compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from circuitgraph.cli.shared import Json, ProgressBar, Set, app, count, note, print_json

if TYPE_CHECKING:
    from circuitgraph.checks import Checked
    from circuitgraph.comparing.gather import Job


@app.command()
def compare(
    what: Annotated[
        list[str],
        typer.Argument(metavar="A [B …]", help="Run directories or spec files; specs are run.", show_default=False),
    ],
    set_: Set = None,
    estimate: Annotated[
        str | None,
        typer.Option(
            "--estimate", metavar="METHOD", help="Compare one spec with its estimate: eap, atp, eap-ig-inputs …"
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", metavar="METRIC", help="Which metric.", show_default="the first of A")
    ] = None,
    match: Annotated[
        str,
        typer.Option(
            "--map", metavar="auto|address|group", help="How to match; auto = by address in one architecture."
        ),
    ] = "auto",
    of: Annotated[
        str,
        typer.Option(
            "--of", metavar="auto|effect|normalized", help="Differences of what; auto = effects in one architecture."
        ),
    ] = "auto",
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="TEXT", help="What a run is called; once for each, in order.")
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Rows to print.")] = 20,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="A picture (.svg .png .pdf), or data (.json .csv .parquet)."
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="DIR", help="Keep what is run, as DIR/<name>.", show_default="in memory"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace finished runs in DIR.")] = False,
    as_json: Json = False,
) -> None:
    """Compare runs edge by edge: differences with intervals, rank correlations, and both graphs side by side."""
    from circuitgraph.comparing import Comparison, compare_all, compare_two
    from circuitgraph.comparing.gather import gather
    from circuitgraph.comparing.text import matrix_report, report
    from circuitgraph.comparing.write import check_output, write

    if output is not None:
        check_output(output)
    warned = dict[str, None]()

    def watch(job: Job, checked: Checked) -> ProgressBar:
        for warning in checked.warnings:
            _warn(warning, warned)
        named = checked.spec.name if job.label is None else f"{checked.spec.name}, {job.label}"
        number = len(checked.graph.claims)
        return ProgressBar(f"{named}: {count(number, 'experiment')} on {checked.location.name}", number)

    runs, names = gather(
        what, labels=label, overrides=set_ or (), estimate=estimate, out=out, replace=force, watch=watch
    )
    for run, name in zip(runs, names, strict=True):
        for warning in run.warnings:
            _warn(f"{name}: {warning}", warned)
    options = {"metric": metric, "by": match, "quantity": of}
    with ProgressBar("", verb="resampling prompts") as progress:
        if len(runs) == 2:
            found = compare_two(*runs, labels=(names[0], names[1]), progress=progress, **options)
        else:
            found = compare_all(runs, labels=names, progress=progress, **options)
    pairs = [found] if isinstance(found, Comparison) else found.pairs.values()
    for warning in (warning for pair in pairs for warning in pair.warnings):
        _warn(warning, warned)
    if as_json:
        print_json(found.to_json())
    else:
        typer.echo(report(found, top) if isinstance(found, Comparison) else matrix_report(found, top))
    if output is not None:
        write(found, Path(output))
        note(f"wrote {output}")


def _warn(warning: str, said: dict[str, None]) -> None:
    """Say it once: both runs may be warned of the same."""
    if warning not in said:
        note(f"warning: {warning}")
        said[warning] = None

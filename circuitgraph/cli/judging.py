"""The commands that judge a circuit as a whole: evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from circuitgraph.cli.shared import Json, ProgressBar, Set, Strict, app, checked_spec, count, note, print_json


@app.command()
def evaluate(
    spec: Annotated[str, typer.Argument(metavar="SPEC|RUN", help="A spec file, or a run directory: kept there too.")],
    set_: Set = None,
    random: Annotated[
        int | None,
        typer.Option("--random", metavar="N", min=0, help="Random circuits.", show_default="circuit.random.circuits"),
    ] = None,
    curve: Annotated[
        str,
        typer.Option("--curve", metavar="hypothesis|all|none", help="Whose edges the curve ranks; all: every edge."),
    ] = "hypothesis",
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="Write everything as JSON (.json).")
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Rows of each list to print.")] = 12,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Measure the circuit as a whole: is it enough, is it all, is each part of it needed?"""
    from circuitgraph import api
    from circuitgraph.errors import InputError, did_you_mean
    from circuitgraph.evaluation.agenda import agenda_of
    from circuitgraph.evaluation.aim import aim_of
    from circuitgraph.evaluation.of_run import is_run, spec_of_run
    from circuitgraph.evaluation.text import report
    from circuitgraph.results.evaluated import CurveKind
    from circuitgraph.results.files import check_writable, write_json
    from circuitgraph.results.names import EVALUATION

    if curve not in list(CurveKind):
        raise InputError(f"--curve: '{curve}' is no curve{did_you_mean(curve, list(CurveKind))}")
    if output is not None and Path(output).suffix != ".json":
        raise InputError(f"-o {output}: an evaluation is written as JSON; let the name end in .json")
    if output is not None and not Path(output).absolute().parent.is_dir():
        raise InputError(f"-o {output}: there is no directory {Path(output).parent}")
    run = spec_of_run(spec) if is_run(spec) else None
    if run is not None and set_:
        raise InputError(f"--set: {spec} is a finished run, whose spec is not overridden; evaluate the spec instead")
    checked = checked_spec(spec if run is None else run.spec, set_, strict)
    if output is not None:
        beside = run is not None and Path(output).resolve() == (run.directory / EVALUATION).resolve()
        check_writable(Path(output), own=(EVALUATION,) if beside else ())
    settings = checked.spec.circuit.random
    wanted = settings.circuits if random is None else random
    runs = agenda_of(aim_of(checked), wanted, settings.seed, CurveKind(curve)).runs
    parts = ", ".join(f"{number} {what}" for what, number in runs if number)
    whole = count(sum(number for _, number in runs), "run")
    with ProgressBar(f"{checked.spec.name}: {whole} over all pairs on {checked.location.name}: {parts}") as progress:
        found = api.evaluate(spec, overrides=set_ or (), random=random, curve=curve, progress=progress)
    for warning in found.warnings[len(checked.warnings) :]:  # the rest was said before the run
        note(f"warning: {warning}")
    if output is not None:
        write_json(Path(output), found.to_json())
        note(f"wrote {output}")
    if run is not None:
        note(f"wrote {run.directory / EVALUATION}")
    if as_json:
        print_json(found.to_json())
        return
    typer.echo(report(found, top))

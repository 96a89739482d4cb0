"""The command line: a thin face over the Python API. stdout is data, stderr is progress and log.

Exits: 0 ok · 2 bad input or usage · 4 audit failed or a number is not finite · 5 file, lock or model
loading · 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from circuitgraph.errors import CircuitGraphError, InputError, ResourceError, UncheckedError

if TYPE_CHECKING:
    from circuitgraph.checks import Checked
    from circuitgraph.prepared import Progress
    from circuitgraph.results.records import RunResult

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Write down the circuit you believe in; circuitgraph measures every edge of it and draws what it found.",
)

_UsageError: Any = typer.BadParameter.__base__
"""click's UsageError, from click or from the copy of it that newer typers carry."""

Spec = Annotated[str, typer.Argument(metavar="SPEC", help="A spec file (YAML).")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value of the spec, e.g. prompts.generator.n=32."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 2 if something cannot be checked on this machine.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _version(wanted: bool) -> None:
    if wanted:
        from circuitgraph import __version__

        typer.echo(f"circuitgraph {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The options of `circuitgraph` itself."""


@app.command()
def check(spec: Spec, set_: Set = None, strict: Strict = False, as_json: Json = False) -> None:
    """Find everything that is wrong with a spec, before any model runs."""
    checked = _checked(spec, set_, strict)
    if as_json:
        _print_json(_check_report(checked))
        return
    for line in _summary(checked):
        typer.echo(line)


@app.command()
def plan(spec: Spec, set_: Set = None, strict: Strict = False, as_json: Json = False) -> None:
    """Show what will be done for each edge: its three stages, and what they cost."""
    from circuitgraph.api import metric_names
    from circuitgraph.plans import (
        PromptShape,
        build_plan,
        cost_of,
        describe_cost,
        explain_plan,
        plan_hash,
        plan_to_json,
    )

    checked = _checked(spec, set_, strict)
    made = build_plan(checked.graph)
    cost = cost_of(made)
    prompts = None if checked.prompts is None else PromptShape(tuple(map(len, checked.prompts.pairs)))
    if as_json:
        counts = {name: getattr(cost, name) for name in (*cost.__slots__, "forwards")}
        tokens = None if prompts is None else {"prompts": len(prompts.lengths), "tokens": prompts.tokens}
        _print_json({**plan_to_json(made), "sha256": plan_hash(made), "cost": counts, "pass": tokens})
        return
    typer.echo(explain_plan(made, metric_names(checked.spec)))
    typer.echo()
    for line in describe_cost(cost, prompts):
        typer.echo(line)


@app.command()
def run(
    spec: Spec,
    out: Annotated[
        str | None, typer.Option("--out", metavar="DIR", help="The run directory.", show_default="runs/<name>")
    ] = None,
    set_: Set = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a finished run.")] = False,
    executor: Annotated[str, typer.Option("--executor", metavar="auto|literal", help="How to execute.")] = "auto",
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Rows of the table to print.")] = 30,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Measure every edge of a spec and write tables, drawing and provenance to a run directory."""
    from circuitgraph import api

    checked = _checked(spec, set_, strict)
    directory = Path(out) if out is not None else Path("runs") / checked.spec.name
    experiments = _count(len(checked.graph.claims), "experiment")
    with _ProgressBar(f"{checked.spec.name}: {experiments} on {checked.location.name} → {directory}") as progress:
        result = api.run(
            spec,
            out=directory,
            executor=executor,
            overrides=set_ or (),
            resume=resume,
            replace=force,
            progress=progress,
        )
    for warning in result.warnings[len(checked.warnings) :]:  # the rest was said before the run
        _note(f"warning: {warning}")
    if as_json:
        _print_json(_run_report(result))
        return
    from circuitgraph.tables import ranked_table

    typer.echo(ranked_table(result, top))
    _note(f"\ntables, drawing and provenance: {directory}/")
    _note(f"next: circuitgraph render {directory} -o {directory.absolute().name}.png")


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

    _note(f"wrote {api.render(what, output, layout=layout, title=title)}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of a spec, for editors."""
    from circuitgraph.spec.schema import json_schema

    _print_json(json_schema())


def _checked(spec: str, overrides: Sequence[str] | None, strict: bool) -> Checked:
    """Check a spec; warnings and what could not be checked go to stderr."""
    from circuitgraph import api

    found = api.check(spec, overrides or ())
    for warning in found.warnings:
        _note(f"warning: {warning}")
    for item in found.unchecked:
        _note(f"not checked: {item}")
    if strict and found.unchecked:
        raise UncheckedError(f"--strict: {_count(len(found.unchecked), 'thing')} could not be checked, see above")
    return found


def _summary(checked: Checked) -> list[str]:
    spec, graph = checked.spec, checked.graph
    kinds = {"edge": 0, "node": 0, "chain": 0, "set": 0}
    for claim in graph.claims:
        kinds[type(claim).__name__.removesuffix("Claim").lower()] += 1
    counted = ", ".join(_count(number, kind) for kind, number in kinds.items() if number)
    shape = checked.shape
    lines = [
        f"{spec.name}: ok",
        f"  model    {checked.location.name} ({shape.layers} layers × {shape.heads} heads)",
        f"  claims   {counted}; groups: {', '.join(group.name for group in graph.groups) or 'none'}",
    ]
    if checked.prompts is not None:
        lengths = sorted({len(pair) for pair in checked.prompts.pairs})
        span = f"{lengths[0]}" if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
        lines.append(f"  prompts  {_count(len(checked.prompts), 'pair')} of {span} tokens")
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _check_report(checked: Checked) -> dict[str, Any]:
    return {
        "name": checked.spec.name,
        "model": checked.location.name,
        "claims": len(checked.graph.claims),
        "pairs": None if checked.prompts is None else len(checked.prompts),
        "warnings": list(checked.warnings),
        "unchecked": list(checked.unchecked),
    }


def _run_report(result: RunResult) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "directory": result.directory,
        "provenance": dict(result.provenance),
        "warnings": list(result.warnings),
        "rows": [asdict(row) for row in result.rows],
    }


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def _note(text: str) -> None:
    typer.echo(text, err=True)


class _ProgressBar:
    """A progress bar on stderr, silent where nobody watches; the announcement comes when measuring starts."""

    def __init__(self, announcement: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._announcement: str | None = announcement
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("loading the model", total=None)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self._update

    def _update(self, done: int, total: int) -> None:
        if self._announcement is not None:
            _note(self._announcement)
            if done >= total:
                _note("nothing is left to measure")
            self._announcement = None
        self._bar.update(self._task, completed=done, total=total, description="measuring")

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def main() -> None:
    """Entry point: run a command and turn errors into messages and exit statuses."""
    try:
        status = _invoke(sys.argv[1:])
    except CircuitGraphError as error:
        _note(str(error) if "\n" in str(error) or isinstance(error, InputError) else f"error: {error}")
        status = error.exit_status
    except (KeyboardInterrupt, typer.Abort):
        _note("interrupted; --resume goes on with a run")
        status = 130
    except BrokenPipeError:
        # The reader of stdout went away (`| head`): not an error.
        _drop_stdout()
        status = 0
    except OSError as error:
        _note(f"error: {error}")
        _drop_stdout()
        status = ResourceError.exit_status
    sys.exit(status)


def _invoke(arguments: list[str]) -> int:
    """Run a command. Typer's own entry would give broken pipes and ^C statuses of its own."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("circuitgraph", arguments) as context:
            command.invoke(context)
    except typer.Exit as ended:
        return ended.exit_code
    except _UsageError as error:
        error.show()
        return error.exit_code
    return 0


def _drop_stdout() -> None:
    """What is left in the buffer goes nowhere, so that the interpreter does not fail on it when it ends."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

"""What the commands share: the application, its options, notes and progress on stderr, JSON on stdout."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from circuitgraph.errors import UncheckedError

if TYPE_CHECKING:
    from circuitgraph.checks import Checked, SpecLike
    from circuitgraph.prepared import Progress

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Write down the circuit you believe in; circuitgraph measures every edge of it and draws what it found.",
)

UsageError: Any = typer.BadParameter.__base__
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


def checked_spec(
    spec: SpecLike, overrides: Sequence[str] | None, strict: bool, check: Callable[..., Checked] | None = None
) -> Checked:
    """Check a spec, with `check` if it is given; warnings and what could not be checked go to stderr."""
    from circuitgraph import checks

    found = (check or checks.check)(spec, overrides or ())
    for warning in found.warnings:
        note(f"warning: {warning}")
    for item in found.unchecked:
        note(f"not checked: {item}")
    if strict and found.unchecked:
        raise UncheckedError(f"--strict: {count(len(found.unchecked), 'thing')} could not be checked, see above")
    return found


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def note(text: str) -> None:
    typer.echo(text, err=True)


class ProgressBar:
    """A progress bar on stderr, silent where nobody watches; the announcement comes when measuring starts."""

    def __init__(self, announcement: str, experiments: int | None = None, *, verb: str = "measuring") -> None:
        """
        Args:
            experiments: how many are measured, where steps are experiments counted over batches.
            verb: what is done, if not measuring: then no model is loaded and nothing is announced.
        """
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._announcement: str | None = announcement if verb == "measuring" else None
        self._verb = verb
        self._experiments = experiments
        self._begun: tuple[float, int] | None = None
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeRemainingColumn(),
            console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("loading the model" if verb == "measuring" else verb, total=None, said="")

    def __enter__(self) -> Progress:
        self._bar.start()
        return self._update

    def _update(self, done: int, total: int) -> None:
        if self._announcement is not None:
            note(self._announcement)
            if done >= total:
                note("nothing is left to measure")
            self._announcement = None
        said = self._said(done, total, monotonic())
        self._bar.update(self._task, completed=done, total=total, description=self._verb, said=said)

    def _said(self, done: int, total: int, now: float) -> str:
        """`120/300 experiments, 14/s`; what an interrupted run had measured before does not count for the rate."""
        if self._begun is None:
            self._begun = (now, done)
        since, before = self._begun
        share = 1.0 if self._experiments is None else self._experiments / max(total, 1)
        noun = "steps" if self._experiments is None else "experiments"
        said = f"{int(done * share):,}/{round(total * share):,} {noun}"
        if now - since < 1 or done <= before:
            return said
        rate = (done - before) * share / (now - since)
        return f"{said}, {rate:.0f}/s" if rate >= 10 else f"{said}, {60 * rate:.0f}/min"

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

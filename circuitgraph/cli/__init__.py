"""The command line: a thin face over the Python API. stdout is data, stderr is progress and log.

Exits: 0 ok · 1 a hypothesis is refuted · 2 bad input or usage · 3 a hypothesis is undecided · 4 audit failed or
a number is not finite · 5 file, lock or model loading · 130 interrupted.
"""

from __future__ import annotations

import os
import sys

import typer

# Importing a module of commands registers them, in the order in which --help lists them.
from circuitgraph.cli import checking  # noqa: F401

# isort: split
from circuitgraph.cli import measuring, picturing  # noqa: F401

# isort: split
from circuitgraph.cli import reporting  # noqa: F401

# isort: split
from circuitgraph.cli import finding, judging, reading  # noqa: F401

# isort: split
from circuitgraph.cli import comparing, interchange  # noqa: F401

# isort: split
from circuitgraph.cli.shared import UsageError, app, note
from circuitgraph.errors import CircuitGraphError, InputError, ResourceError, VerdictError

__all__ = ["app", "main"]


def main() -> None:
    """Entry point: run a command and turn errors into messages and exit statuses."""
    try:
        status = _invoke(sys.argv[1:])
    except CircuitGraphError as error:
        plain = "\n" in str(error) or isinstance(error, InputError | VerdictError)
        note(str(error) if plain else f"error: {error}")
        status = error.exit_status
    except (KeyboardInterrupt, typer.Abort) as stop:
        note("; ".join(["interrupted", *map(str, stop.args)]))
        status = 130
    except BrokenPipeError:
        # The reader of stdout went away (`| head`): not an error.
        _drop_stdout()
        status = 0
    except OSError as error:
        note(f"error: {error}")
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
    except UsageError as error:
        error.show()
        return error.exit_code
    return 0


def _drop_stdout() -> None:
    """What is left in the buffer goes nowhere, so that the interpreter does not fail on it when it ends."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

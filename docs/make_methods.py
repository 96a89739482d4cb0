"""Pages that show what commands print -> the same with the output of every command. `make docs` runs it.

After each command that stands below the spec it is for, or names one of `specs/`,

    circuitgraph run NAME.yaml

what the command prints is put; `printed` is also what tests compare the page with.

python docs/make_methods.py
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from circuitgraph.cli import app

NAMES = ("methods", "attribution", "four-techniques", "evaluate", "induction-mini", "ioi-mini")
PAGES = tuple(Path(__file__).with_name(f"{name}.md") for name in NAMES)
SHOWN = re.compile(
    r"(?:```yaml\n(?P<spec>(?:(?!```)[^\n]*\n)*)```\n\n)?"
    r"(?P<command>    circuitgraph [^\n]*)\n\n"
    r"<!-- output -->\n(?P<output>(?:(?:    [^\n]*)?\n)*)"
)


def shown(text: str) -> Iterator[tuple[str | None, str, str]]:
    """Spec, command and the output that the page shows, for each command on it."""
    for found in SHOWN.finditer(text):
        output = "\n".join(line.removeprefix("    ") for line in found["output"].strip("\n").splitlines())
        yield found["spec"], found["command"].strip(), output


def printed(spec: str | None, command: str, directory: Path) -> str:
    """What a command prints for a spec, run in a directory that may be written to."""
    words = [str(directory / word) if word.endswith(".yaml") else word for word in shlex.split(command)[1:]]
    if spec is None:
        words[1] = str(PAGES[0].parents[1] / shlex.split(command)[2])
    else:
        words[1] = str(directory / "spec.yaml")
        (directory / "spec.yaml").write_text(spec, encoding="utf-8")
    if words[0] == "run":
        words += ["--out", str(directory / "run")]
    out = StringIO()
    with redirect_stdout(out), typer.main.get_command(app).make_context("circuitgraph", words) as context:
        context.command.invoke(context)
    return out.getvalue().strip("\n")


def page(text: str) -> str:
    """The page with every output anew."""

    def write(found: re.Match[str]) -> str:
        with TemporaryDirectory() as directory:
            output = printed(found["spec"], found["command"], Path(directory))
        lines = "\n".join(f"    {line}".rstrip() for line in output.splitlines())
        spec = "" if found["spec"] is None else f"```yaml\n{found['spec']}```\n\n"
        return f"{spec}{found['command']}\n\n<!-- output -->\n\n{lines}\n\n"

    return SHOWN.sub(write, text)


def executed() -> list[tuple[str, str]]:
    """Page and command, for each command that this script carries out."""
    pages = [(f"docs/{path.name}", path.read_text(encoding="utf-8")) for path in PAGES]
    return [(name, command) for name, text in pages for _, command, _ in shown(text)]


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")

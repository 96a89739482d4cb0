"""docs/compare.md -> the same with the output of its commands, and the pictures on it. `make docs` runs it.

After each command above `Try it`, in their order and in one directory with a copy of specs/, what it prints is put.

python docs/make_compare.py
"""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from circuitgraph.cli import app

PAGE = Path(__file__).with_name("compare.md")
IMAGES = PAGE.parent / "images"
SPECS = PAGE.parents[1] / "specs"
SHOWN = re.compile(
    r"(?P<command>    circuitgraph [^\n]*)\n\n<!-- output -->\n(?P<output>(?:(?:    [^\n]*)?\n)*)", re.MULTILINE
)


def shown() -> list[tuple[str, str]]:
    """Each command and the output that the page shows."""
    return [
        (
            found["command"].strip(),
            "\n".join(line.removeprefix("    ") for line in found["output"].strip("\n").split("\n")),
        )
        for found in SHOWN.finditer(PAGE.read_text(encoding="utf-8"))
    ]


def executed() -> set[tuple[str, str]]:
    """The commands of the page that are run here, and compared with what it shows by tests/test_docs.py."""
    return {("docs/compare.md", command) for command, _ in shown()}


def printed(directory: Path) -> list[str]:
    """What the commands print, run in a directory in which their files are left."""
    shutil.copytree(SPECS, directory / "specs")
    found: list[str] = []
    with contextlib.chdir(directory):
        for command, _ in shown():
            out = StringIO()
            with (
                contextlib.redirect_stdout(out),
                typer.main.get_command(app).make_context("circuitgraph", shlex.split(command)[1:]) as context,
            ):
                context.command.invoke(context)
            found.append(out.getvalue().strip("\n"))
    return found


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        outputs = iter(printed(Path(place)))

        def write(found: re.Match[str]) -> str:
            lines = "\n".join(f"    {line}".rstrip() for line in next(outputs).splitlines())
            return f"{found['command']}\n\n<!-- output -->\n\n{lines}\n\n"

        PAGE.write_text(SHOWN.sub(write, PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        for picture in sorted(Path(place).glob("compare-*.svg")):
            shutil.copyfile(picture, IMAGES / picture.name)

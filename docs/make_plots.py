"""docs/plots.md -> the pictures on it, by the commands on it. `make docs` runs it.

python docs/make_plots.py
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

PAGE = Path(__file__).with_name("plots.md")
IMAGES = PAGE.parent / "images" / "plots"
SPECS = PAGE.parents[1] / "specs"
COMMAND = re.compile(r"^    circuitgraph (.*)$", re.MULTILINE)


def commands(text: str) -> list[str]:
    """The commands on the page above `Try it`, in their order."""
    return COMMAND.findall(text.partition("\n## Try it")[0])


def draw(directory: Path) -> dict[str, Path]:
    """Run every command of the page in an empty directory: name → the picture that it wrote."""
    shutil.copytree(SPECS, directory / "specs")
    with contextlib.chdir(directory), contextlib.redirect_stdout(StringIO()):
        for command in commands(PAGE.read_text(encoding="utf-8")):
            with typer.main.get_command(app).make_context("circuitgraph", shlex.split(command)) as context:
                context.command.invoke(context)
    return {path.name: path for path in sorted(directory.glob("*.svg"))}


def executed() -> list[tuple[str, str]]:
    """Page and command, for each command that this script carries out."""
    text = PAGE.read_text(encoding="utf-8")
    return [("docs/plots.md", f"circuitgraph {command}") for command in commands(text)]


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        for name, path in draw(Path(place)).items():
            shutil.copyfile(path, IMAGES / name)

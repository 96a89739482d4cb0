"""docs/pictures.md -> the pictures on it, by the commands on it. `make docs` runs it.

python docs/make_pictures.py
"""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from circuitgraph.cli import app

PAGE = Path(__file__).with_name("pictures.md")
IMAGES = PAGE.parent / "images"
SPECS = PAGE.parents[1] / "specs"
COMMAND = re.compile(r"^    circuitgraph (.*)$", re.MULTILINE)


def commands(text: str) -> list[str]:
    """The commands on the page above `Try it`, in their order."""
    return COMMAND.findall(text.partition("\n## Try it")[0])


def draw(directory: Path, chosen: Iterable[str]) -> dict[str, Path]:
    """Run commands in an empty directory: name → the picture that was written."""
    shutil.copytree(SPECS, directory / "specs")
    with contextlib.chdir(directory), contextlib.redirect_stdout(StringIO()):
        for command in chosen:
            words = shlex.split(command, comments=True)
            with typer.main.get_command(app).make_context("circuitgraph", words) as context:
                context.command.invoke(context)
    return {path.name: path for path in sorted([*directory.glob("*.svg"), *directory.glob("*.png")])}


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        for name, path in draw(Path(place), commands(PAGE.read_text(encoding="utf-8"))).items():
            shutil.copyfile(path, IMAGES / name)

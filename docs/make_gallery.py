"""docs/gallery.md -> the pictures on it, each by the commands below it. `make docs` runs it.

python docs/make_gallery.py

The commands are read from the page and run in its order, in an empty directory with a copy of specs/. The last command
of an entry writes its picture, under the picture's own name.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import typer

from circuitgraph.cli import app

PAGE = Path(__file__).with_name("gallery.md")
SPECS = PAGE.parents[1] / "specs"
ENTRY = re.compile(
    r"^### (?P<title>.+)\n\n!\[[^\]]+\]\((?P<image>images/[\w/.-]+)\)\n\n"
    r"(?P<said>[^#\s](?:(?!\n###)[\s\S])*?)\n\n(?P<commands>(?:    circuitgraph [^\n]+\n)+)",
    re.MULTILINE,
)


class Entry(NamedTuple):
    """A picture of the page: where it lies beside the page, and the commands that make it."""

    title: str
    image: str
    said: str
    commands: tuple[str, ...]

    @property
    def written(self) -> str:
        """The file that the last command writes."""
        words = shlex.split(self.commands[-1])
        return words[words.index("-o" if "-o" in words else "--plot") + 1]

    @property
    def is_measured(self) -> bool:
        """Whether a model is run for it."""
        return any(
            shlex.split(command)[1] in ("run", "attention", "compare") for command in self.commands
        ) or "runs/" in str(self)


def entries() -> list[Entry]:
    """The pictures of the page, in its order."""
    found = ENTRY.finditer(PAGE.read_text(encoding="utf-8"))
    return [
        Entry(each["title"], each["image"], each["said"], tuple(map(str.strip, each["commands"].splitlines())))
        for each in found
    ]


def draw(chosen: Sequence[Entry], directory: Path) -> None:
    """Run the commands of entries in a directory, which has nothing in it but specs/ then."""
    shutil.copytree(SPECS, directory / "specs")
    with contextlib.chdir(directory), contextlib.redirect_stdout(StringIO()):
        for command in dict.fromkeys(command for entry in chosen for command in entry.commands):
            with typer.main.get_command(app).make_context("circuitgraph", shlex.split(command)[1:]) as context:
                context.command.invoke(context)


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        draw(entries(), Path(place))
        for entry in entries():
            shutil.copyfile(Path(place) / entry.written, PAGE.parent / entry.image)

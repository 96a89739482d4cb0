"""docs/method-diagram.md -> its pictures, each drawn by the command below it. `make docs` runs it.

python docs/make_diagrams.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import circuitgraph

PAGE = Path(__file__).with_name("method-diagram.md")
SHOWN = re.compile(
    r"!\[[^\]]*\]\((images/[\w-]+\.svg)\)\n\n    (circuitgraph plan (\S+) --diagram \"([^\"]+)\" -o \S+)\n"
)


class Shown(NamedTuple):
    """A picture of the page, the command below it, the spec it is of, and the experiment."""

    image: str
    command: str
    spec: str
    experiment: str


def shown() -> Iterator[Shown]:
    """The pictures of the page."""
    yield from (Shown(*found) for found in SHOWN.findall(PAGE.read_text(encoding="utf-8")))


def executed() -> list[tuple[str, str]]:
    """Page and command, for each command that this script carries out."""
    return [("docs/method-diagram.md", each.command) for each in shown()]


if __name__ == "__main__":
    for each in shown():
        circuitgraph.diagram(PAGE.parents[1] / each.spec, each.experiment, PAGE.parent / each.image)

"""Pages and specs -> the commands and the Python that they show, each with the line where it stands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = tuple(sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]))
SPECS = tuple(sorted((ROOT / "specs").glob("*.yaml")))

PROGRAMS = ("circuitgraph", "make", "python", "pip", "zensical")
_STARTS = rf"(?:[A-Z_]+=\S+ )?(?:{'|'.join(PROGRAMS)})(?: \S|$)"
_SHOWN = re.compile(rf"(?: {{4}}|\$ )(?={_STARTS})(?P<text>.*)")
_FENCED = re.compile(rf"(?:\$ )?(?={_STARTS})(?P<text>.*)")
_INLINE = re.compile(rf"`(?={_STARTS})(?P<text>[^`]+)`")
_COMMENT = re.compile(rf"#\s+(?={_STARTS})(?P<text>.*)")
SHELLS = ("", "bash", "sh", "console", "shell", "text")


@dataclass(frozen=True)
class Command:
    """A command as a page shows it, without what is said about it behind it."""

    page: str
    line: int
    text: str

    @property
    def words(self) -> list[str]:
        """The words of its first program: without a pipe, a redirection, and settings of the environment before it."""
        words = shlex.split(self.text)
        while "=" in words[0]:
            words = words[1:]
        ends = [at for at, word in enumerate(words) if word in ("|", ">", "&&")]
        return words[: min(ends, default=len(words))]

    @property
    def is_mention(self) -> bool:
        """The name of a command in a sentence, with an option or without: nothing that could be run."""
        words = self.words
        named = [word for word in words[2:] if not word.startswith("-")]
        return words[0] == "circuitgraph" and not named and words[1:] != ["schema"]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def name_of(path: Path) -> str:
    """The path of a page in the repository."""
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page."""
    found: list[Block] = []
    lines = path.read_text(encoding="utf-8").splitlines()
    opened: tuple[int, str] | None = None
    for at, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if opened is None:
            opened = at, line.strip("`").strip()
        else:
            first, language = opened
            found.append(Block(name_of(path), first + 1, language, "\n".join(lines[first + 1 : at]) + "\n"))
            opened = None
    assert opened is None, f"{path.name}: a fenced block is not closed"
    return found


def commands(path: Path) -> list[Command]:
    """The commands that a page, or the comments of a spec, show, in the order in which they stand there."""
    found = _of_comments(path) if path.suffix == ".yaml" else _of_page(path)
    return [Command(name_of(path), line, _without_remark(text)) for line, text in found]


def _of_comments(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if match := _COMMENT.match(line):
            yield number, match["text"]


def _of_page(path: Path) -> Iterator[tuple[int, str]]:
    fenced = {block.line + at: block.language for block in blocks(path) for at in range(block.text.count("\n") + 1)}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        language = fenced.get(number - 1)
        if language is None:
            if match := _SHOWN.match(line):
                yield number, match["text"]
            elif not line.startswith("    "):
                yield from ((number, match["text"]) for match in _INLINE.finditer(line))
        elif language in SHELLS and (match := _FENCED.match(line)):
            yield number, match["text"]


def _without_remark(text: str) -> str:
    """Remarks are set off by two spaces or more, or by a number sign."""
    return re.split(r"\s{2,}|\s+# ", text.strip())[0].strip()

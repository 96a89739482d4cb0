"""A place where the commands of a page are run one after the other, as a reader would, but on few prompt pairs."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer
import yaml

from circuitgraph import cli
from tests.page_commands import ROOT, Block, Command, blocks

PAIRS = 4
"""Specs ask a generator for at most so many prompt pairs here, whatever they say on the page."""

LESS = {
    "evaluate ": ("--random", "1", "--curve", "none"),
    "acdc": ("--threshold", "9"),
    "eap-ig": ("--set", "estimate.steps=2"),
    "all-edges-gpt2.yaml --explain": ("--set", "edges.0.all.receiver_layers=11"),
}
"""Part of a command → what is added to it, so that it takes a second: the last of two options counts."""

STAND_INS = {
    "SPEC": "specs/ioi-mini.yaml",
    "RUN": "runs/ioi-mini",
    "A": "runs/ioi-mini",
    "B": "runs/ioi-mini-abc",
    "C": "specs/ioi-mini.yaml",
    "A.yaml": "specs/ioi-mini.yaml",
    "B.yaml": "specs/ioi-mini-abc.yaml",
    "runs/A": "runs/ioi-mini",
    "runs/B": "runs/ioi-mini-abc",
    "EDGE": "a3.h0@END -> logits",
    "DIR": "runs/somewhere",
    "FILE": "file.svg",
}
"""What is put for words in capitals."""


def subcommands() -> dict[str, Any]:
    """Name → command of the command line. Typer brings a click of its own."""
    return typer.main.get_command(cli.app).commands  # pyright: ignore[reportAttributeAccessIssue]


def options_of(name: str) -> set[str]:
    """The options of a command, as they are written."""
    parameters = subcommands()[name].params
    return {option for each in parameters for option in (*each.opts, *each.secondary_opts)} | {"--help"}


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


@dataclass
class Desk:
    """A directory with the specs, a directory for each page, and run directories that all pages share."""

    root: Path
    done: dict[tuple[str, ...], Ended] = field(default_factory=dict)
    wrote: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shutil.copytree(ROOT / "specs", self.root / "specs")
        for path in (self.root / "specs").glob("*.yaml"):
            path.write_text(fewer(path.read_text(encoding="utf-8")), encoding="utf-8")
        (self.root / "runs").mkdir()

    def at(self, page: str) -> Path:
        """The directory in which the commands of a page are run."""
        place = self.root / page.replace("/", "_").removesuffix(".md")
        if not place.exists():
            place.mkdir()
            for name in ("specs", "runs"):
                (place / name).symlink_to(self.root / name)
        return place

    def run(self, command: Command) -> Ended:
        """Run a command of a page. What it needs is made before: files that the page shows, and runs of specs."""
        place = self.at(command.page)
        words = [STAND_INS.get(word, word) for word in command.words]
        rest = command.text.partition(" | ")[2]
        target = re.search(r" > (\S+)$", command.text)
        with contextlib.chdir(place):
            self._make_ready(command, _read(words))
            ended = self._python(words) if words[0] == "python" else self._circuitgraph(words[1:])
            if target:
                Path(target[1]).write_text(ended.out, encoding="utf-8")
            if rest and ended.status == 0:
                ended = _piped(ended.out, rest)
        return ended

    def execute(self, block: Block) -> None:
        """Run a block of Python, in the directory of its page."""
        with contextlib.chdir(self.at(block.page)), contextlib.redirect_stdout(io.StringIO()):
            self._make_ready(block, re.findall(r"""["'](runs/[\w-]+|[\w-]+\.yaml)""", block.text))
            exec(compile(block.text, str(block), "exec"), {"__name__": "page"})  # noqa: S102

    def _circuitgraph(self, words: list[str]) -> Ended:
        replaces = "--force" in options_of(words[0]) and "--resume" not in words
        words = [*words, *_less(words), *(["--force"] if replaces else [])]
        key = (*words, *(Path(word).read_text() for word in words if word.endswith(".yaml") and Path(word).is_file()))
        directory = next((word for before, word in pairwise(words) if before == "--out"), " ".join(words[:2]))
        beside = {"-o", "--output", "--plot"} & {*words}  # in the directory of the page
        if beside or key not in self.done or self.wrote.get(directory) != key:
            self.done[key], self.wrote[directory] = invoked(words), key
        return self.done[key]

    def _python(self, words: list[str]) -> Ended:
        if words[1] == "-c":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(words[2], {"__name__": "page"})  # noqa: S102
            return Ended(0, out.getvalue(), "")
        ended = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, check=False, cwd=ROOT)
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def _make_ready(self, reader: Command | Block, names: Iterable[str]) -> None:
        for name in names:
            if name.startswith("runs/") and not Path(name).exists():
                self._measure(name)
            elif name.endswith(".yaml") and not name.startswith("specs/"):
                write_spec(reader, Path(name))

    def _measure(self, directory: str) -> None:
        spec = Path("specs") / f"{Path(directory).name}.yaml"
        assert spec.exists(), f"nothing above makes {directory}, and there is no {spec}"
        ended = self._circuitgraph(["run", str(spec)])
        assert ended.status == 0, ended.err


def write_spec(reader: Command | Block, path: Path) -> None:
    """The spec of this name that the page shows above its reader; else what an earlier command has written."""
    shown = [block for block in blocks(ROOT / reader.page) if block.language == "yaml" and "version:" in block.text]
    above = [block for block in shown if block.line < reader.line]
    named = [block for block in above if yaml.safe_load(block.text)["name"] == path.stem]
    if path.exists() and not named:
        return
    assert above, f"{path} is not shown above on the page, and no command above writes it"
    text = (named or above)[-1].text
    path.write_text(fewer(text), encoding="utf-8")
    if pairs := yaml.safe_load(text)["prompts"].get("file"):
        lines = (block.text for block in blocks(ROOT / reader.page) if block.language == "json")
        Path(pairs).write_text("".join(lines), encoding="utf-8")


def _read(words: list[str]) -> Iterator[str]:
    """The words of a command that name what it reads."""
    for before, word in pairwise(words):
        if before not in ("-o", "--output", "--out", "--plot"):
            yield word


def fewer(spec: str) -> str:
    """The text of a spec with few prompt pairs."""
    spec = re.sub(r"\bn: (\d+)", lambda found: f"n: {min(int(found[1]), PAIRS)}", spec)
    return re.sub(r"\bgenerator: (\w+)", rf"generator: {{name: \1, n: {PAIRS}}}", spec)


def _less(words: list[str]) -> list[str]:
    """The options that leave a command little to do."""
    return [word for part, less in LESS.items() if part in " ".join(words) for word in less]


def invoked(words: list[str]) -> Ended:
    """A command line in this process: its exit status, never a traceback."""
    before, sys.argv = sys.argv, ["circuitgraph", *words]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            cli.main()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
        except BaseException:
            status = 1
            traceback.print_exc()
        else:
            status = 0
        finally:
            sys.argv = before
    return Ended(status, out.getvalue(), err.getvalue())


def _piped(text: str, rest: str) -> Ended:
    """The programs behind a pipe, with what comes before it as input."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    ended = subprocess.run(
        ["bash", "-c", rest],
        input=text, capture_output=True, text=True, check=False, env=os.environ | {"PATH": os.pathsep.join(places)},
    )  # fmt: skip
    return Ended(ended.returncode, ended.stdout, ended.stderr)

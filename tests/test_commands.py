"""Every command and every line of Python that README, docs and specs show is run, or it is said why not.

A new command on a page is run by this test, on few prompt pairs. If it cannot be, it belongs into `NOT_RUN`, with the
reason; or a script `docs/make_*.py` runs it for the page, and lists it in `executed()`.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.page_commands import PAGES, ROOT, SPECS, Block, Command, blocks, commands, name_of
from tests.page_desk import STAND_INS, Desk, Ended, options_of, subcommands

HUB = "downloads GPT-2 from the hub"
TRAINING = "trains a model: minutes"
SLOW = "up to minutes; tests/test_benchmarks.py runs the same with --quick"

NOT_RUN = {
    "make test": "is what runs this test",
    "make docs": "writes into docs/; tests hold every page and picture that it makes against its script",
    "make site": "tests/test_site.py builds the site",
    "make bench": SLOW,
    "python -m tests.benchmarks --speed --prompts 8x16 --rounds 2": SLOW,
    "python -m tests.benchmarks --estimates --threads 1 --cpu-time": SLOW,
    "python -m tests.benchmarks --estimates": SLOW,
    "python -m tests.benchmarks --growth --threads 1 --cpu-time": SLOW,
    "python -m tests.benchmarks --memory": SLOW,
    "python -m tests.benchmarks --drawing --cpu-time --threads 1": SLOW,
    "python -m tests.benchmarks --quick --growth": "tests/test_benchmarks.py runs it",
    "python tests/benchmarks/calibration.py": "minutes; tests/test_calibration.py runs its cases with fewer draws",
    "python tests/benchmarks/calibration.py --small": "a minute; as above",
    "python -m pytest tests/test_imports.py": "make test runs it",
    "python examples/train_ioi_mini.py --seed 3 --steps 2200 --out retrained": TRAINING,
    "python examples/train_induction_mini.py --seed 0 --steps 1500 --out retrained": TRAINING,
    "python examples/train_ioi_sae.py --out /tmp/sae.safetensors --seed 1 --steps 1000": TRAINING,
    "pip install 'circuitgraph[plots]'": "changes the environment",
    "pip install jupyterlab 'circuitgraph[plots]'": "changes the environment",
    "circuitgraph import prompts.json -o pairs.jsonl": "of another tool; tests/test_interchange_files.py reads such",
    "circuitgraph run specs/ioi-gpt2.yaml": HUB,
    "circuitgraph run specs/greater-than-gpt2.yaml": HUB,
    "circuitgraph run specs/all-edges-gpt2.yaml": HUB,
    "circuitgraph plan specs/all-edges-gpt2.yaml": "tests/test_all_edges.py runs it",
}
"""Command → why it is not run. It is parsed all the same: its options and the files that it names have to exist."""

ALL = [command for path in (*PAGES, *SPECS) for command in commands(path)]
SHOWN = [command for command in ALL if not command.is_mention]
MENTIONED = [command for command in ALL if command.is_mention]
PYTHON = [block for path in PAGES for block in blocks(path) if block.language == "python"]


def _built() -> set[tuple[str, str]]:
    """Page and command, for each command that a script of docs/ runs."""
    found: set[tuple[str, str]] = set()
    for path in sorted((ROOT / "docs").glob("make_*.py")):
        if "def executed()" in path.read_text(encoding="utf-8"):
            spec = importlib.util.spec_from_file_location(path.stem, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            found |= set(module.executed())
    return found


BUILT = _built()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


def run_here(command: Command) -> bool:
    """Whether the tests below run a command."""
    return command.text not in NOT_RUN and (command.page, command.text) not in BUILT


# What is shown is found ---------------------------------------------------------------------------


def test_commands_are_found_wherever_they_stand(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "Do `make demo` and `circuitgraph run a.yaml`; `circuitgraph test` says.\n\n"
        "    circuitgraph check a.yaml      # remark\n"
        '    circuitgraph plan a.yaml --diagram "a0.h0 -> logits" -o x.svg\n'
        "    what it prints\n\n"
        "```console\n$ circuitgraph schema > x.json\nwhat it prints\n```\n\n"
        "```yaml\n# circuitgraph run no.yaml\n```\n\n"
        "    TORCH_INDEX=https://x make demo\n"
    )
    spec = tmp_path / "a.yaml"
    spec.write_text("# A spec.\n#\n#   circuitgraph run a.yaml     # remark\nname: a # circuitgraph no\n")
    import tests.page_commands as module

    before, module.ROOT = module.ROOT, tmp_path
    try:
        found = commands(page)
        assert [(command.line, command.text, command.is_mention) for command in found] == [
            (1, "make demo", False),
            (1, "circuitgraph run a.yaml", False),
            (1, "circuitgraph test", True),
            (3, "circuitgraph check a.yaml", False),
            (4, 'circuitgraph plan a.yaml --diagram "a0.h0 -> logits" -o x.svg', False),
            (8, "circuitgraph schema > x.json", False),
            (16, "TORCH_INDEX=https://x make demo", False),
        ]
        assert [command.text for command in commands(spec)] == ["circuitgraph run a.yaml"]
    finally:
        module.ROOT = before


def test_many_are_found():
    assert len(SHOWN) > 100
    assert {command.page for command in SHOWN} >= {"README.md", "docs/quickstart.md", "specs/ioi-mini.yaml"}
    assert len({command.words[1] for command in SHOWN if command.words[0] == "circuitgraph"}) >= 10


def test_what_is_said_not_to_be_run_is_still_shown():
    assert sorted(NOT_RUN.keys() - {command.text for command in ALL}) == []
    assert sorted(BUILT - {(command.page, command.text) for command in ALL}) == []


# Every command is understood ------------------------------------------------------------------------


@pytest.mark.parametrize("command", sorted({each.text: each for each in SHOWN}.values(), key=str), ids=str)
def test_every_command_is_one_that_exists(command):
    match command.words:
        case ["circuitgraph", *words]:
            name, rest = words[0], [STAND_INS.get(word, word) for word in words[1:]]
            _subcommand(name).make_context(name, rest).close()
        case ["make", *words]:
            target = [word for word in words if "=" not in word]
            ended = subprocess.run(["make", "-n", *target], cwd=ROOT, capture_output=True, text=True, check=False)
            assert ended.returncode == 0, ended.stderr
        case ["python", "-c", text]:
            ast.parse(text)
        case ["python", *words]:
            _exists_with_options(words)
        case ["pip", "install", *words]:
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            named = [word.removeprefix("circuitgraph[").removesuffix("]") for word in words if "circuitgraph" in word]
            assert named
            assert set(named) <= extras.keys()
        case words:
            pytest.fail(f"{command}: teach this test what {words[0]} is")


def test_every_command_that_a_sentence_names_exists():
    for command in MENTIONED:
        given = {word.partition("=")[0] for word in command.words[2:] if word.startswith("--")}
        assert given <= options_of(command.words[1]), command


def test_every_option_in_a_sentence_exists():
    """`--random N`, and a command's name with options: `run --estimate eap`."""
    names = subcommands()
    every = {option for name in names for option in options_of(name)}
    unknown = []
    for path in PAGES:
        text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for span in re.findall(r"`([^`\n]+)`", text):
            words = span.split()
            options = {word for word in re.split(r"[\s=|]+", span) if re.fullmatch(r"--[a-z][\w-]*", word)}
            if words[0] in names:
                known = options_of(words[0])
            elif words[0].startswith("--"):
                known = every
            else:
                continue
            unknown += [f"{name_of(path)}: {span}" for option in options if option not in known]
    assert unknown == []


def _subcommand(name: str) -> Any:
    have = subcommands()
    assert name in have, f"{name} is no command; have: {', '.join(have)}"
    return have[name]


def _exists_with_options(words: list[str]) -> None:
    """A script or a module of this repository, and the options that it is given, as they stand in its text."""
    if words[:2] == ["-m", "pytest"]:
        assert all((ROOT / word).exists() for word in words[2:])
        return
    if words[0] == "-m":
        module = ROOT / words[1].replace(".", "/")
        script = module / "__main__.py" if module.is_dir() else module.with_suffix(".py")
    else:
        script = ROOT / words[0]
    text = script.read_text(encoding="utf-8")
    assert [word for word in words if word.startswith("--") and f'"{word}"' not in text] == []


# Every command is run -------------------------------------------------------------------------------

HERE = [command for command in SHOWN if run_here(command)]
READ = {name_of(path): [item for item in (*HERE, *PYTHON) if item.page == name_of(path)] for path in (*PAGES, *SPECS)}


@pytest.mark.parametrize("page", [page for page, items in READ.items() if items])
def test_what_a_page_shows_works(page, desk):
    """From top to bottom, as a reader would. What fails is named; the rest of the page is run all the same."""
    failed = []
    for item in sorted(READ[page], key=lambda item: item.line):
        if isinstance(item, Block):
            desk.execute(item)
            continue
        for ended in _ended(desk, item):
            if not _ended_well(item, ended):
                failed.append(f"{item}\n    exit {ended.status}: {ended.err.strip()[-500:]}")
    assert not failed, "\n".join([*failed, "", __doc__ or ""])


def _ended(desk: Desk, command: Command) -> Iterator[Ended]:
    match command.words:
        case ["circuitgraph" | "python", *_]:
            yield desk.run(command)
        case ["make", *words]:
            recipe = _recipe([word for word in words if "=" not in word])
            assert recipe, f"{command}: make prints no circuitgraph command that could be run; put it into NOT_RUN"
            for line in recipe:
                yield desk.run(Command(command.page, command.line, line))
        case words:
            pytest.fail(f"{command}: nothing here runs {words[0]}; put it into NOT_RUN, with the reason")


def _recipe(targets: list[str]) -> list[str]:
    """The circuitgraph commands that make would run, without those that install."""
    installed = [option for name in (".installed", ".installed-dev") for option in ("-o", f".venv/{name}")]
    printed = subprocess.run(["make", "-n", *installed, *targets], cwd=ROOT, capture_output=True, text=True, check=True)
    return [f"circuitgraph {line.partition('/bin/circuitgraph ')[2]}" for line in printed.stdout.splitlines()
            if "/bin/circuitgraph " in line]  # fmt: skip


def _ended_well(command: Command, ended: Ended) -> bool:
    """`test` may find that few pairs cannot tell; a pipe may be closed early."""
    if command.words[:2] == ["circuitgraph", "test"]:
        return ended.status in (0, 3)
    return ended.status == 0

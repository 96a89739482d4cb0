"""Fixtures that every test file shares: tiny checkpoints on disk, loaded once per session."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import typer
from hypothesis import settings

from circuitgraph import cli, prepared
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.loading import load_model
from circuitgraph.models.locate import Location
from tests.browser import browser as browser  # once for all files: a process cannot have two Playwrights
from tests.tiny import save_checkpoint

# make test-long: random examples, and what fails is printed as a line that brings it back.
settings.register_profile("long", max_examples=2000, derandomize=False, deadline=None, database=None, print_blob=True)


UNTRACED = frozenset((
    "all_edges", "attention", "attribution", "audit", "benchmarks", "chains", "circuits", "cli", "discover", "docs",
    "evaluate", "execute_run", "fast", "hostile_names", "hub", "identities", "judging", "literal_against_hf",
    "models", "node_matrix", "node_oracle", "notebooks", "order", "plots", "render", "report", "report_page",
    "resume", "saes", "sets", "site", "wheel",
))  # fmt: skip
"""Long files that reach the lines of others again and again: counting them takes half as long again."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The pages' commands first: pages share runs, and one worker gets what stands first as one piece."""
    items.sort(key=lambda item: item.path.stem != "test_commands")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """By hand: pytest-cov's own mark stops one of the two tracers that it has in a worker, and the other goes on."""
    counts = item.config.pluginmanager.hasplugin("_cov")  # else a debugger has the trace, if anyone
    if not counts or item.path.stem.removeprefix("test_") not in UNTRACED:
        return (yield)
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)


def pytest_collection_finish() -> None:
    """What the imports made stays; looking through it again and again for garbage takes a twentieth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny matrices are slower on many threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _bundled_models_are_loaded_once() -> Iterator[None]:
    """Hundreds of commands run on them. Loading itself is what tests/test_models.py and subprocesses test."""
    load, loaded = prepared.load_model, {}

    def once(location: Location, **how: Any) -> TransformerModel:
        if location.kind != "bundled":
            return load(location, **how)
        key = (location.name, *how.values())
        if key not in loaded:
            loaded[key] = load(location, **how)
        return loaded[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepared, "load_model", once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _the_command_line_is_made_once() -> Iterator[None]:
    """From the signatures of all commands, for each of the thousand calls; a program does it once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        yield


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """family → directory of a tiny checkpoint."""
    made: dict[str, Path] = {}

    def get(family: str) -> Path:
        if family not in made:
            made[family] = save_checkpoint(family, tmp_path_factory.mktemp(family))
        return made[family]

    return get


@pytest.fixture(scope="session")
def tiny_model(checkpoint: Callable[[str], Path]) -> Callable[..., TransformerModel]:
    """(family, dtype) → loaded tiny model."""
    loaded: dict[tuple[str, str], TransformerModel] = {}

    def get(family: str, dtype: str = "float64") -> TransformerModel:
        if (family, dtype) not in loaded:
            loaded[family, dtype] = load_model(
                Location("directory", family, checkpoint(family)), dtype=dtype, device="cpu"
            )
        return loaded[family, dtype]

    return get


@pytest.fixture
def circuitgraph(monkeypatch, capfd, tmp_path) -> Callable[..., Ended]:
    """Run a command in this process, in an empty directory; a traceback would fail the test."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["circuitgraph", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, out, err)

    return run

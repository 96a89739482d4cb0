"""The notebooks of examples/: they run headless, and say what is committed with them; `make docs` writes them anew."""

from __future__ import annotations

import importlib.util
import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
LARGEST = 300_000
"""Bytes of a notebook with its pictures."""

_found = importlib.util.spec_from_file_location("make_notebooks", ROOT / "docs" / "make_notebooks.py")
assert _found is not None
assert _found.loader is not None
MAKE = importlib.util.module_from_spec(_found)
_found.loader.exec_module(MAKE)

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def words(cell: Any) -> list[str]:
    """All that a cell says, word by word; of pictures, what is said in their place."""
    said = []
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        html = re.sub(r'src="[^"]*"', "", data.get("text/html", ""))
        said += [output["output_type"], output.get("text", ""), data.get("text/plain", "")]
        said += [unescape(re.sub(r"<[^>]*>", " ", html)), *re.findall(r'alt="([^"]*)"', html)]
    return " ".join(said).split()


def number(word: str) -> float:
    return float(word.strip("[](),%"))


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs_and_says_what_it_said(path, tmp_path):
    """Numbers to what float32 may differ by between machines."""
    again, before = MAKE.executed(path, tmp_path), read(path)
    for ours, theirs in zip(again.cells, before.cells, strict=True):
        here, there = words(ours), words(theirs)
        assert len(here) == len(there), theirs.source
        for new, old in zip(here, there, strict=True):
            if new != old:
                assert number(new) == pytest.approx(number(old), rel=0.01, abs=0.002), (theirs.source, new, old)


def test_there_are_three():
    assert [path.stem for path in NOTEBOOKS] == ["better-than-random", "first-circuit", "two-corruptions"]


@each_notebook
def test_a_notebook_is_small_and_of_no_machine(path):
    assert path.stat().st_size < LARGEST
    notebook = read(path)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert cell.metadata == {}
        for output in cell.get("outputs", ()):
            assert output.get("name") != "stderr"
            shown = json.dumps(output)
            assert "<iframe" not in shown
            assert not re.search(r"/(?:home|root|tmp|Users)/", shown)


@each_notebook
def test_a_notebook_shows_pictures_and_ends_with_something_to_try(path):
    cells = read(path).cells
    assert [cell.execution_count for cell in cells if cell.cell_type == "code"] == [
        n for n, _ in enumerate((cell for cell in cells if cell.cell_type == "code"), start=1)
    ]
    pictures = [
        out for cell in cells for out in cell.get("outputs", ()) if "<img" in out.get("data", {}).get("text/html", "")
    ]
    assert len(pictures) >= 2
    assert cells[0].source.startswith("# ")
    assert cells[-1].source.startswith("## Now you\n")


@each_notebook
def test_notebooks_lead_to_each_other(path):
    for cell in read(path).cells:
        for target in re.findall(r"\]\(([^)]+)\)", cell.source if cell.cell_type == "markdown" else ""):
            assert (path.parent / target).exists(), target

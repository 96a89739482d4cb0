"""The pages: the reference is up to date, specs are valid, links lead somewhere, no path is of one machine."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from circuitgraph.checks import check

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "circuitgraph").rglob("README.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r'\]\(([^)\s]+)\)|\bsrc="([^"]+)"')


def fences(page: Path, language: str) -> list[str]:
    return [text for name, text in FENCE.findall(page.read_text(encoding="utf-8")) if name == language]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ +(.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


SPECS = [
    pytest.param(page, text, id=f"{page.name}-{number}")
    for page in PAGES
    if page.name != "specs.md"  # the files of specs/: check is run on those themselves
    for number, text in enumerate(fences(page, "yaml"))
    if "version:" in text
]


def test_the_spec_reference_is_up_to_date():
    """`make docs` writes it anew."""
    assert (ROOT / "docs" / "spec.md").read_text(encoding="utf-8") == script("make_reference").reference()


def test_the_pages_hold_specs():
    assert {param.values[0].name for param in SPECS} >= {"README.md", "quickstart.md", "prompts.md", "addresses.md"}


@pytest.mark.parametrize(("page", "text"), SPECS)
def test_every_spec_on_a_page_is_valid(page, text, tmp_path):
    """Files that a spec names are written from the same page's JSON blocks."""
    spec = tmp_path / "spec.yaml"
    spec.write_text(text, encoding="utf-8")
    name = yaml.safe_load(text)["prompts"].get("file")
    if name is not None:
        (tmp_path / name).write_text("".join(fences(page, "json")), encoding="utf-8")
    checked = check(spec)
    assert checked.unchecked == ()
    assert checked.warnings == ()
    readouts = (checked.spec.attention, checked.spec.attribution, checked.spec.discover)
    assert checked.graph.claims or any(section is not None for section in readouts)


def script(name: str) -> ModuleType:
    """A script of docs/ as a module."""
    found = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


METHODS = script("make_methods")
SHOWN = [example for path in METHODS.PAGES for example in METHODS.shown(path.read_text(encoding="utf-8"))]


def test_every_technique_and_evaluation_is_shown():
    assert len(SHOWN) == 21
    assert all(output for _, _, output in SHOWN)


@pytest.mark.parametrize(
    ("spec", "command", "output"),
    SHOWN,
    ids=[command.split()[2] if spec is None else yaml.safe_load(spec)["name"] for spec, command, _ in SHOWN],
)
def test_what_a_page_shows_is_what_its_specs_print(spec, command, output, tmp_path):
    """Word by word; numbers to what float32 may differ by between machines. `make docs` writes the page anew."""
    assert_same_words(METHODS.printed(spec, command, tmp_path).split(), output.split())


def assert_same_words(again: list[str], shown: list[str]) -> None:
    assert len(again) == len(shown)
    for ours, theirs in zip(again, shown, strict=True):
        if ours != theirs:
            here, there = (float(word.strip("[](),%")) for word in (ours, theirs))
            assert here == pytest.approx(there, rel=0.01, abs=0.002), (ours, theirs)


COMPARED = script("make_compare")


def test_what_the_page_of_comparisons_shows_is_what_its_commands_print_and_draw(tmp_path):
    """As above; and pictures of the same marks."""
    assert len(COMPARED.shown()) == 2
    for again, (_, shown) in zip(COMPARED.printed(tmp_path), COMPARED.shown(), strict=True):
        assert_same_words(again.split(), shown.split())
    for picture in (tmp_path / name for name in ("compare-corruptions.svg", "compare-eap.svg")):
        drawn, kept = (path.read_text(encoding="utf-8") for path in (picture, ROOT / "docs" / "images" / picture.name))
        marks = ("<path", "<text", "<rect", "data-id")
        assert [drawn.count(mark) for mark in marks] == [kept.count(mark) for mark in marks]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_and_images_lead_somewhere(page):
    for target in map("".join, LINK.findall(prose(page))):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name} links to {target}"
        assert file.is_relative_to(ROOT), f"{page.name} links out of the repository: {target}"
        if page.is_relative_to(ROOT / "docs"):
            assert file.is_relative_to(ROOT / "docs"), f"{page.name}: on the docs site there is no {target}"
        assert not anchor or anchor in anchors(file), f"{page.name}: {file.name} has no heading for #{anchor}"


def test_the_index_leads_to_every_page():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if page != "index.md" and f"({page})" not in index] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_python_on_a_page_compiles(page):
    for text in fences(page, "python"):
        compile(text, page.name, "exec")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_files_that_a_page_names_exist(page):
    paths = re.findall(r"\b(?:specs|examples|tests|docs|circuitgraph)/[\w./-]+\.\w+", prose(page))
    paths += [f"tests/{name}" for name in re.findall(r"`(test_\w+\.py)`", prose(page))]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_no_path_of_one_machine_is_in_the_repository():
    """Absolute paths below home and work directories, in any tracked text file."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    machine = re.compile(r"(?<![\w.~-])/(?:home|root|Users|work|mnt|srv)/[\w.-]+")
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        file = ROOT / name
        if not file.is_file() or b"\0" in (content := file.read_bytes()):
            continue
        found += [f"{name}: {match}" for match in machine.findall(content.decode("utf-8", errors="replace"))]
    assert found == []

"""The docs site: built without a warning, complete, nothing from other hosts; and the pages that scripts write."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml

import circuitgraph
from tests.page_commands import ROOT
from tests.test_docs import script

DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src",
          "embed": "src", "object": "data", "image": "href", "use": "href"}  # fmt: skip
"""Tag → the attribute whose target a browser fetches by itself. Those of `link` are looked at by their `rel`."""


class Parsed(HTMLParser):
    """A page of the site: its anchors, its links, and what a browser fetches for it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") not in ("canonical", "next", "prev", "alternate"):
            self.fetched.append(given.get("href", ""))
        if tag in LOADED:
            self.fetched.append(given.get(LOADED[tag], given.get("xlink:href", "")))
        self.fetched += [part.split()[0] for part in given.get("srcset", "").split(",") if part.strip()]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `make site` builds it."""
    out = tmp_path_factory.mktemp("site")
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    assert "WARNING" not in said
    assert "ERROR" not in said
    return out


@pytest.fixture(scope="module")
def parsed(site: Path) -> dict[Path, Parsed]:
    return {path.resolve(): Parsed(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


# The site ---------------------------------------------------------------------------------------


def test_every_page_is_built(site):
    assert [page for page in PAGES if not (site / page).with_suffix(".html").exists()] == []


def leaves(nav: Any) -> Iterator[str]:
    """The pages of a nav."""
    match nav:
        case str():
            yield nav
        case list():
            for part in nav:
                yield from leaves(part)
        case dict():
            for part in nav.values():
                yield from leaves(part)


def test_every_page_is_in_the_nav_once():
    nav = list(leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))
    missing = [page for page in PAGES if page not in nav]
    assert missing == [], f"write these into `nav:` of mkdocs.yml: {missing}"
    assert sorted(nav) == PAGES


def test_nothing_comes_from_other_hosts(site, parsed):
    foreign = [
        f"{path.name}: {target}"
        for path, page in parsed.items()
        for target in page.fetched
        if urlsplit(target).scheme not in ("", "data") or target.startswith("//")
    ]
    for sheet in site.rglob("*.css"):
        text = re.sub(r"url\(\"data:[^\"]*\"\)", "", sheet.read_text(encoding="utf-8"))
        foreign += [f"{sheet.name}: {found}" for found in re.findall(r"(?:url\(|@import)[^;)]*//[^;)]*", text)]
    assert foreign == []
    assert len([target for page in parsed.values() for target in page.fetched]) > 100


def test_every_link_and_anchor_of_the_site_leads_somewhere(site, parsed):
    broken = []
    for path, page in parsed.items():
        if path.name == "404.html":  # its links begin at the root of a server
            continue
        for target in (*page.links, *page.fetched):
            parts = urlsplit(target)
            if parts.scheme or not target:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            file = file / "index.html" if file.is_dir() else file
            known = parsed[file].anchors if file in parsed else {parts.fragment}
            if not file.exists() or (parts.fragment and unquote(parts.fragment) not in known):
                broken.append(f"{path.relative_to(site.resolve())}: {target}")
    assert broken == []


# The API reference ------------------------------------------------------------------------------

API = script("make_api")


def test_the_api_reference_is_up_to_date():
    """`make docs` writes it anew."""
    assert (DOCS / "api.md").read_text(encoding="utf-8") == API.page()


def test_every_public_name_and_what_it_holds_is_in_the_api_reference(parsed, site):
    page = parsed[(site / "api.html").resolve()]
    assert [name for name in circuitgraph.__all__ if API.home(name) not in page.anchors] == []
    assert {"circuitgraph.results.records.Row.effect", "circuitgraph.results.prompts.Prompt"} <= page.anchors


# The specs and the gallery ----------------------------------------------------------------------

GALLERY = script("make_gallery")
ENTRIES = GALLERY.entries()


def test_the_page_of_specs_is_up_to_date():
    """`make docs` writes it anew."""
    assert (DOCS / "specs.md").read_text(encoding="utf-8") == script("make_specs").page()


def test_every_picture_of_the_gallery_has_its_commands():
    text = GALLERY.PAGE.read_text(encoding="utf-8")
    assert [entry.title for entry in ENTRIES] == re.findall(r"^### (.+)$", text, re.MULTILINE)
    assert [entry.image for entry in ENTRIES] == re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    for entry in ENTRIES:
        assert Path(entry.image).name == entry.written, f"{entry.title}: the last command writes another name"
        specs = re.findall(r"specs/([\w-]+)\.yaml", " ".join(entry.commands))
        assert specs, entry.title
        assert all(f"(specs.md#{name})" in entry.said for name in specs), f"{entry.title}: link {specs}"


def test_the_pictures_are_not_large():
    assert sum(path.stat().st_size for path in (DOCS / "images").rglob("*") if path.is_file()) < 3_000_000


def test_hypotheses_and_methods_in_the_gallery_are_what_their_commands_draw(tmp_path):
    """`make docs` draws them anew. Those that are measured are drawn by tests/test_commands.py, of few pairs."""
    drawn = [entry for entry in ENTRIES if not entry.is_measured]
    assert len(drawn) >= 6
    GALLERY.draw(drawn, tmp_path)
    for entry in drawn:
        assert (tmp_path / entry.written).read_bytes() == (DOCS / entry.image).read_bytes(), entry.title


# The citation -----------------------------------------------------------------------------------


def test_the_citation_is_of_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (DOCS / "questions" / "how-do-i-cite-it.md").read_text(encoding="utf-8")
    assert str(cited["version"]) == project["version"]
    assert cited["license"] == project["license"]
    assert f"version = {{{project['version']}}}" in page
    for reference in cited["references"]:
        assert reference["title"] in page
        for known in reference.get("identifiers", ()):
            assert known["value"].replace("arXiv:", "arxiv.org/abs/") in page

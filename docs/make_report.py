"""ioi-mini's run -> docs/images/report.png, as a browser shows it. `make docs` runs it; needs Chromium (make browser).

python docs/make_report.py
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import circuitgraph as cg

ROOT = Path(__file__).parents[1]
IMAGE = ROOT / "docs" / "images" / "report.png"
EDGE = "a2.h1@END → a3.h1<q>@END"


def picture(page: Path, image: Path, edge: str) -> None:
    """The upper part of a page with an edge pinned, 1280 wide."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1280, "height": 940}, reduced_motion="reduce")
        shown.goto(f"{page.as_uri()}#edge={edge}")
        shown.screenshot(path=image, full_page=True, clip={"x": 0, "y": 0, "width": 1280, "height": 1400})
        browser.close()


if __name__ == "__main__":
    if shutil.which("chromium") is None:
        sys.exit("no Chromium: make browser installs it")
    with TemporaryDirectory() as place:
        run = cg.run(ROOT / "specs" / "ioi-mini.yaml", out=Path(place) / "ioi-mini")
        (edge,) = [row.id for row in run.primary if row.label == EDGE]
        picture(cg.report(run, Path(place) / "report.html"), IMAGE, edge)

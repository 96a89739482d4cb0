"""`show()` in a real Chromium: pages in frames of a notebook work, and meet neither each other nor the notebook."""

from __future__ import annotations

from pathlib import Path

import pytest

import circuitgraph as cg
from circuitgraph.results import RunResult
from tests.browser import opened
from tests.made_runs import SPEC, made_run

ROWS = "#rows tbody tr"


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[RunResult, RunResult]:
    place = tmp_path_factory.mktemp("runs")
    return made_run(place / "one"), made_run(place / "two", SPEC.replace("swap_s2", "abc"), seed=5)


@pytest.fixture(scope="module")
def notebook(tmp_path_factory, runs) -> Path:
    """A page that shows one run, and the comparison of two, each in its frame."""
    shown = [runs[0].show(height=380), cg.compare(*runs).show(height=380)]
    frames = "".join(f"<div>{each._repr_html_()}</div>" for each in shown)
    file = tmp_path_factory.mktemp("notebook") / "notebook.html"
    file.write_text(f"<!doctype html><title>notebook</title><body>{frames}<script>const state = 1</script>", "utf-8")
    return file


def test_frames_work_and_keep_to_themselves(browser, notebook, runs):
    """`opened` fails on any message in a console, and on any request to the network."""
    from playwright.sync_api import expect

    with opened(browser, notebook) as page:
        address = page.url
        one, two = page.frames[1:]
        for frame in (one, two):
            frame.wait_for_selector(ROWS)
            assert frame.evaluate("origin") == "null"  # an origin of its own: no cookies, no notebook
            assert frame.evaluate("(() => { try { return top.document.title } catch { return '' } })()") == ""
        count = len(runs[0].primary)
        assert (one.locator(ROWS).count(), two.locator(ROWS).count()) == (count, count)
        sure = sum(row.significant for row in runs[0].primary)
        one.check("#sure")
        expect(one.locator(ROWS)).to_have_count(sure)
        assert two.locator(ROWS).count() == count
        one.click("nav a[href='#table']")
        with page.expect_download() as found:
            two.click("#save-csv")
        assert found.value.suggested_filename.endswith(".csv")
        assert one.locator(ROWS).count() == sure < count  # the link did not lead to another page
        assert (page.url, page.title()) == (address, "notebook")

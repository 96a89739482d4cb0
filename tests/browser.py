"""A headless Chromium for tests of the page, and pages opened in it as a reader opens them: from a file, offline."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = "no Chromium on PATH, in which the page is tested: make browser installs Debian's"


def required() -> bool:
    """Whether this is a machine on which nothing may be left untested."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One Chromium for the whole session; without one the test is skipped, or fails where CI is set."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        (pytest.fail if required() else pytest.skip)(MISSING)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@contextmanager
def opened(
    browser: Any,
    file: Path,
    hash_: str = "",
    *,
    width: int = 1280,
    height: int = 900,
    scheme: str = "light",
    **how: Any,
) -> Iterator[Any]:
    """A page from file://, with the network blocked. At the end: nothing was asked of it, no error was told."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        accept_downloads=True,
        reduced_motion="reduce",
        **how,
    )
    context.set_offline(True)
    context.set_default_timeout(5000)
    page = context.new_page()
    told: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: told.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: told.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (told.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto(f"{file.as_uri()}{hash_}")
        yield page
    finally:
        context.close()
    assert told == []
    assert [url for url in asked if not url.startswith(("file:", "blob:", "data:"))] == []


def until(page: Any, condition: str, seconds: float = 5.0) -> None:
    """Wait for an expression to be true; Playwright's own way of waiting is forbidden by the page's policy."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(20)


def downloaded(page: Any, button: str) -> tuple[str, bytes]:
    """Name and content of what a button saves."""
    with page.expect_download() as found:
        page.click(button)
    return found.value.suggested_filename, Path(found.value.path()).read_bytes()

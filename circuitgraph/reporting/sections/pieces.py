"""Pieces that several sections are made of: facts, folded parts, tables, keys of colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from circuitgraph.plotting.labels import cut
from circuitgraph.reporting.sections.markup import Child, Markup, element

LONGEST = 120
"""Characters of a name that are shown."""


def named(text: str) -> Markup:
    """What something is called; of a very long name, the beginning."""
    return element("bdi", None, cut(text, LONGEST))


def paragraph(*children: Child, kind: str = "s-said") -> Markup:
    """A line of text."""
    return element("p", {"class": kind}, *children)


def heading(*children: Child) -> Markup:
    """The title of a part of a section."""
    return element("h3", {"class": "s-h"}, *children)


def facts(pairs: Iterable[tuple[str, Child]]) -> Markup:
    """Names and what they are, one under the other; those without a value are left out."""
    rows = [
        element("div", None, element("dt", None, name), element("dd", None, value))
        for name, value in pairs
        if value not in (None, "", ())
    ]
    return element("dl", {"class": "s-facts"}, *rows)


def folded(summary: Child, *children: Child) -> Markup:
    """What is opened by a click."""
    return element("details", {"class": "s-more"}, element("summary", None, summary), *children)


def boxed(*children: Child, label: str) -> Markup:
    """What may be wider than the page: it scrolls in a box of its own, by keyboard too."""
    return element("div", {"class": "s-box", "tabindex": 0, "role": "region", "aria-label": label}, *children)


def table(
    head: Sequence[Child], rows: Iterable[Sequence[Child]], *, caption: Child = None, kind: str = "s-table"
) -> Markup:
    """A table whose first column names its rows."""
    heads = [element("th", {"scope": "col"}, cell) for cell in head]
    body = [
        element("tr", None, element("th", {"scope": "row"}, row[0]), *(element("td", None, cell) for cell in row[1:]))
        for row in rows
    ]
    titled = None if caption is None else element("caption", None, caption)
    thead = element("thead", None, element("tr", None, *heads))
    return element("table", {"class": kind}, titled, thead, element("tbody", None, *body))

"""Cells and lines of text -> small HTML for notebooks. Everything is escaped.

No ids, classes or style sheets: what a notebook shows must not meet what another cell of it shows.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from html import escape

from circuitgraph.drawing.text import each_line

LONGEST = 160
"""Characters of a cell that are shown; a longer text is whole in its tooltip."""
SHORT = 60
"""Up to so many characters a first column stays on one line; a longer cell is broken anywhere."""
PADDED, ONE_LINE = "padding:2px 10px;vertical-align:top", ";white-space:nowrap"
BROKEN = ";overflow-wrap:anywhere"
LEFT = f"{PADDED};text-align:left"
RIGHT = f"{PADDED};text-align:right;font-variant-numeric:tabular-nums{ONE_LINE}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, text: Container[int] | None = None) -> str:
    """A table; the columns in `text` (None = all) hold words and stand to the left, the others numbers."""
    sides = [LEFT if text is None or i in text else RIGHT for i in range(len(header))]
    head = "".join(f'<th style="{side}">{escape(name)}</th>' for side, name in zip(sides, header, strict=True))
    body = "".join(
        "<tr>"
        + "".join(_cell(text, side, not i) for i, (text, side) in enumerate(zip(row, sides, strict=True)))
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def lines(texts: Sequence[str]) -> str:
    """A paragraph with a line for each text; nothing for none."""
    if not texts:
        return ""
    return f'<p style="{BROKEN[1:]}">{"<br>".join(escape(each_line(text)) for text in texts)}</p>'


def preformatted(text: str) -> str:
    """Text whose columns are made of spaces."""
    plain = "".join(char if char.isprintable() or char == "\n" else " " for char in text)
    return f'<pre style="overflow-x:auto">{escape(plain)}</pre>'


def _cell(text: str, side: str, first: bool) -> str:
    whole = each_line(text)
    if len(whole) > SHORT:
        side += BROKEN
    elif first:
        side += ONE_LINE
    if len(whole) <= LONGEST:
        return f'<td style="{side}" dir="auto">{escape(whole)}</td>'
    return f'<td style="{side}" dir="auto" title="{escape(whole)}">{escape(whole[:LONGEST])}…</td>'

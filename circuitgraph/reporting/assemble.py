"""Parts of a page -> the whole HTML text. Its policy lets nothing run or load but what stands in the page itself."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from circuitgraph.drawing.text import one_line

PAGE = Path(__file__).parent / "page"
STYLES = ("page.css", "sections.css")
PROGRAM = ("base.js", "model.js", "graph.js", "focus.js", "zoom.js", "details.js", "table.js", "controls.js",
           "exports.js", "scatter.js", "many.js", "main.js")  # fmt: skip
"""In the order in which they need each other."""
TITLE = 120
ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""What ends a script, or a line of one, must not stand in data."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the page below the table: its anchor, its title, and its HTML, heading included."""

    id: str
    title: str
    html: str
    folded: bool = False
    """Whether its link is among those that are shown on a click."""


def assemble(data: Mapping[str, Any], *, title: str, version: str, parts: Sequence[Part], **html: str) -> str:
    """The page; `html` are its other parts by their names in page.html, already escaped.

    Raises:
        ValueError: the data hold NaN or infinity.
    """
    css = "\n".join((PAGE / name).read_text(encoding="utf-8") for name in STYLES if (PAGE / name).exists())
    js = "\n".join((PAGE / name).read_text(encoding="utf-8") for name in PROGRAM)
    js = f'(() => {{\n"use strict";\n{js}}})();'
    filled = {
        "csp": policy(css, js),
        "css": css,
        "js": js,
        "title": escape(_short(title)),
        "version": escape(version),
        "data": embedded(data),
        "contents": _contents(parts),
        "sections": "\n".join(part.html for part in parts),
        **html,
    }
    template = (PAGE / "page.html").read_text(encoding="utf-8")
    page = re.sub(r"\{\{(\w+)\}\}", lambda match: filled[match.group(1)], template)
    return page.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")


def _contents(parts: Sequence[Part]) -> str:
    """Links to the parts of the page."""

    def links(listed: Iterable[tuple[str, str]]) -> str:
        return "".join(f'<a href="#{escape(id_)}">{escape(name)}</a>' for id_, name in listed)

    shown = links([("graph", "Graph"), ("table", "Table"), *((p.id, p.title) for p in parts if not p.folded)])
    folded = links((part.id, part.title) for part in parts if part.folded)
    return shown + (f"<details><summary>Parts of every run</summary>{folded}</details>" if folded else "")


def policy(css: str, js: str) -> str:
    """Nothing but this style, this program, and pictures that the program itself makes."""
    return (
        f"default-src 'none'; style-src '{_digest(css)}'; script-src '{_digest(js)}'; img-src blob: data:; "
        "base-uri 'none'; form-action 'none'"
    )


def embedded(data: Mapping[str, Any]) -> str:
    """JSON that can stand in a script element, whatever texts it holds.

    Raises:
        ValueError: NaN or infinity.
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub("[<>&\u2028\u2029]", lambda match: ESCAPED[match.group()], text)


def _digest(text: str) -> str:
    """As the policy writes it; browsers normalise line ends before they hash."""
    digest = hashlib.sha256(text.replace("\r\n", "\n").encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _short(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= TITLE else f"{text[:TITLE]}…"

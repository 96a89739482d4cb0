"""Tags, attributes and text -> HTML that is well-formed and safe, whatever the text holds. Pure.

Everything that is no `Markup` is escaped. What would hide or turn the text around it (control characters, marks of
direction) is written out as `<202e>`. Neither style attributes nor handlers can be made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape

from circuitgraph.plotting.labels import hidden

TAGS = frozenset({
    "b", "bdi", "caption", "code", "data", "dd", "details", "div", "dl", "dt", "figcaption", "figure", "h3", "i", "li",
    "ol", "p", "pre", "small", "span", "strong", "summary", "table", "tbody", "td", "th", "thead", "tr", "ul",
    "svg", "circle", "line", "polygon", "polyline", "rect", "text", "title",
})  # fmt: skip
_NAME = re.compile(r"[a-z][A-Za-z0-9-]*")
_REFUSED = re.compile(r"style|on.*|src|action")


class Markup(str):
    """HTML that can be put into a page as it is; made by `element` and `joined` alone."""

    __slots__ = ()


Child = str | None | Iterable["Child"]
Attributes = Mapping[str, str | float | None]


def element(tag: str, attributes: Attributes | None = None, *children: Child) -> Markup:
    """`<tag attributes>children</tag>`; attributes that are None are left out.

    Raises:
        ValueError: a tag or an attribute that has no place in a report.
    """
    if tag not in TAGS:
        raise ValueError(f"<{tag}> has no place in a report")
    written = "".join(_attribute(name, value) for name, value in (attributes or {}).items() if value is not None)
    return Markup(f"<{tag}{written}>{joined(*children)}</{tag}>")


def joined(*children: Child) -> Markup:
    """Children one after the other."""
    return Markup("".join(map(_child, children)))


def visible(text: str) -> str:
    """The text with what cannot be seen in it written out; line breaks and tabs stay."""
    if text.isprintable() and text.isascii():
        return text
    return "".join(f"<{ord(char):x}>" if char not in "\n\t" and hidden(char) else char for char in text)


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return escape(visible(child))
    return "".join(map(_child, child))


def _attribute(name: str, value: str | float) -> str:
    text = value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
    if not _NAME.fullmatch(name) or _REFUSED.fullmatch(name) or (name == "href" and not text.startswith("#")):
        raise ValueError(f'{name}="{text}" has no place in a report')
    return f' {name}="{escape(visible(text))}"'

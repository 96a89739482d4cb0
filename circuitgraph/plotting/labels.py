"""Text from models and specs as labels: one line, spaces and line breaks visible, nothing a drawing could interpret."""

from __future__ import annotations

import re
import unicodedata

SPACE, BREAK, TAB, ELLIPSIS = "·", "↵", "→", "…"
LONGEST_TOKEN = 14
"""Characters of a token that are shown."""
LONGEST_LABEL = 64
"""Characters of any other label."""


def token_label(text: str) -> str:
    """A token: `·Mary` for " Mary", `↵` for a line break, long ones cut with an ellipsis."""
    shown = "".join(map(_visible, text))
    return cut(shown, LONGEST_TOKEN) or "∅"


def plain(text: str, longest: int = LONGEST_LABEL) -> str:
    """Any other label: control characters and line breaks become spaces, long ones are cut."""
    kept = "".join(" " if hidden(char) else char for char in text)
    return cut(" ".join(kept.split()), longest)


def cut(text: str, longest: int) -> str:
    """At most `longest` characters, the last of them an ellipsis where something is missing."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + ELLIPSIS


def file_name(text: str) -> str:
    """Letters, digits, dots and dashes of a text: part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.=-]+", "-", text).strip("-.")[:40]


def _visible(char: str) -> str:
    match char:
        case " ":
            return SPACE
        case "\n" | "\r" | "\u2028" | "\u2029" | "\x0b" | "\x0c" | "\x85":
            return BREAK
        case "\t":
            return TAB
        case _:
            return f"<{ord(char):x}>" if hidden(char) else char


def hidden(char: str) -> bool:
    """Control characters, halves of surrogates, and marks that turn the direction of what follows."""
    return unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp", "Co", "Cn") or (
        "\u200e" <= char <= "\u200f" or "\u202a" <= char <= "\u202e" or "\u2066" <= char <= "\u2069"
    )

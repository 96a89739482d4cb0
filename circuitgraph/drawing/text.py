"""Widths of text in the font that ships with the package, read from its own tables. No drawing.

The font has the widths of Liberation Sans, Arial and Helvetica, so what is measured here holds for an
SVG on a machine that has any of them, and for PNG and PDF, which use the shipped font itself.
"""

from __future__ import annotations

import re
import struct
import unicodedata
from functools import cache
from pathlib import Path

FONT = "Circuitgraph Sans"
FONT_DIRECTORY = Path(__file__).parent / "fonts"
ELLIPSIS = "…"


@cache
def _advances(bold: bool) -> dict[int, float]:
    """Code point → advance width in em, from the tables head, hhea, hmtx and cmap (format 4)."""
    data = (FONT_DIRECTORY / f"CircuitgraphSans-{'Bold' if bold else 'Regular'}.ttf").read_bytes()
    (count,) = struct.unpack_from(">H", data, 4)
    tables: dict[bytes, int] = {}
    for entry in range(count):
        tag, _, offset, _ = struct.unpack_from(">4sIII", data, 12 + 16 * entry)
        tables[tag] = offset
    (units,) = struct.unpack_from(">H", data, tables[b"head"] + 18)
    (metrics,) = struct.unpack_from(">H", data, tables[b"hhea"] + 34)
    widths = [struct.unpack_from(">H", data, tables[b"hmtx"] + 4 * glyph)[0] for glyph in range(metrics)]
    return {code: widths[min(glyph, metrics - 1)] / units for code, glyph in _glyphs(data, tables[b"cmap"]).items()}


def _glyphs(data: bytes, cmap: int) -> dict[int, int]:
    """Code point → glyph, from the format 4 subtable."""
    (subtables,) = struct.unpack_from(">H", data, cmap + 2)
    starts = [cmap + struct.unpack_from(">HHI", data, cmap + 4 + 8 * i)[2] for i in range(subtables)]
    at = next(start for start in starts if struct.unpack_from(">H", data, start)[0] == 4)
    segments = struct.unpack_from(">H", data, at + 6)[0] // 2
    column = [at + 14 + i * 2 * segments + (2 if i else 0) for i in range(4)]
    found: dict[int, int] = {}
    for i in range(segments):
        end, start, delta, offset = (struct.unpack_from(">H", data, base + 2 * i)[0] for base in column)
        for code in range(start, min(end, 0xFFFE) + 1):
            glyph = code
            if offset:
                (glyph,) = struct.unpack_from(">H", data, column[3] + 2 * i + offset + 2 * (code - start))
            found[code] = (glyph + delta) & 0xFFFF
    return found


def width(text: str, size: float, *, bold: bool = False) -> float:
    """The width of one line in the units of `size`; characters the font lacks are guessed from their class."""
    advances = _advances(bold)
    return size * sum(advances.get(ord(char), _guess(char)) for char in text)


def _guess(char: str) -> float:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Cf", "Mn", "Me"):
        return 0.0
    return 1.25 if unicodedata.east_asian_width(char) in "WF" else 0.7


TURNS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that are not seen and set the direction of what follows, which may be text that is not the user's."""
ISOLATE, END_OF_ISOLATE = "\u2068", "\u2069"


def one_line(text: str) -> str:
    """Text without line breaks, control characters (XML cannot hold most of them) and repeated spaces.

    Characters that turn the direction of writing are left out, but not the pairs that `isolated` sets.
    """
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip(" ")
    kept = (" " if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp", "Co", "Cn") else char for char in text)
    return " ".join(word for word in _straight("".join(kept)).split(" ") if word)


def _straight(text: str) -> str:
    return "".join(part if i % 2 else part.translate(_NO_TURNS) for i, part in enumerate(_ISOLATED.split(text)))


_NO_TURNS = dict.fromkeys(map(ord, TURNS))
_ISOLATED = re.compile(f"({ISOLATE}[^{TURNS}]*{END_OF_ISOLATE})")


def isolated(text: str) -> str:
    """Text that keeps its direction of writing to itself within a line: right-to-left names do not move numbers."""
    plain = one_line(text).translate(_NO_TURNS)
    turns = any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for char in plain)
    return f"{ISOLATE}{plain}{END_OF_ISOLATE}" if turns else plain


def each_line(text: str) -> str:
    """Text with its line breaks, each line as `one_line` makes it."""
    return "\n".join(one_line(line) for line in text.splitlines())


def fit(text: str, size: float, limit: float, *, bold: bool = False) -> str:
    """The text, cut with an ellipsis where it is wider than `limit`."""
    text = one_line(text)
    most = 40 + int(8 * limit / size)  # characters: of longer texts the rest is not even measured
    if len(text) <= most and width(text, size, bold=bold) <= limit:
        return text
    text = text[:most]
    while text and width(text + ELLIPSIS, size, bold=bold) > limit:
        text = text[:-1]
    return _closed(text.rstrip() + ELLIPSIS)


def _closed(text: str) -> str:
    """Text that was cut, with its last isolate closed."""
    return text + END_OF_ISOLATE * (text.count(ISOLATE) - text.count(END_OF_ISOLATE))


def wrap(text: str, size: float, limit: float, *, lines: int, bold: bool = False) -> tuple[str, ...]:
    """The text in at most `lines` lines of about equal length, no wider than `limit`; the rest is cut off."""
    broken = fill(text, size, limit, lines=lines, bold=bold)
    if len(broken) > 1 and not broken[-1].endswith(ELLIPSIS):
        for part in range(10, 20):
            even = fill(text, size, limit * part / 20, lines=lines, bold=bold)
            if len(even) == len(broken) and not any(line.endswith(ELLIPSIS) for line in even):
                return even
    return broken


def fill(text: str, size: float, limit: float, *, lines: int, bold: bool = False) -> tuple[str, ...]:
    """The text in at most `lines` lines, each as full as it can be; the rest is cut off."""
    most = lines * (40 + int(8 * limit / size))  # characters: what is longer is cut off in any case
    words, done = one_line(text)[:most].split(" "), list[str]()
    space = width(" ", size, bold=bold)
    while words and words != [""]:
        if len(done) == lines - 1:
            return (*done, fit(" ".join(words), size, limit, bold=bold))
        taken, wide = 1, width(words[0], size, bold=bold)
        while taken < len(words) and (wide := wide + space + width(words[taken], size, bold=bold)) <= limit:
            taken += 1
        done.append(fit(" ".join(words[:taken]), size, limit, bold=bold))
        words = words[taken:]
    return tuple(done)

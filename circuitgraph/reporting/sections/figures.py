"""Numbers, intervals and shares as HTML: what is read, and beside it, for machines, the number itself."""

from __future__ import annotations

import math
from collections.abc import Iterable

from circuitgraph.drawing.style import MINUS, number, signed
from circuitgraph.reporting.sections.markup import Markup, element, joined

DASH = "–"
NO_BREAK = "\u00a0"


def digits_of(values: Iterable[float | None], most: int = 3) -> int:
    """Digits after the point that show the largest of some values with `most` significant ones."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    return min(max(0, most - 1 - math.floor(math.log10(largest))), 12) if largest else 0


def shown(value: float, digits: int | None = None, *, sign: bool = False) -> str:
    """`−10.3`; with its sign, `+2.5`; `digits` after the point, or three significant ones."""
    return signed(value, digits) if sign else number(value, digits)


def figure(value: float | None, digits: int | None = None, *, sign: bool = False) -> Markup:
    """A number as people read it, and exactly, as the value of its element; a dash where there is none."""
    return _data(value, None if value is None else shown(value, digits, sign=sign))


def percent(value: float | None, *, sign: bool = False, unit: bool = True, digits: int = 1) -> Markup:
    """A share in percent; the element's value is the share itself."""
    if value is None:
        return _data(None, None)
    rounded = round(100 * value, digits) + 0.0  # + 0.0: no "-0.0"
    text = f"{rounded:{'+' if sign and rounded else ''}.{digits}f}".replace("-", MINUS)
    return _data(value, f"{text}{NO_BREAK}%" if unit else text)


def count(value: int, noun: str, several: str | None = None) -> Markup:
    """`1 edge`, `1,200 edges`; `several`: the plural, where it is not made with an s."""
    return joined(_data(value, f"{value:,}"), f"{NO_BREAK}{noun if value == 1 else several or noun + 's'}")


def span(low: float | None, high: float | None, digits: int | None = None, *, shares: bool = False) -> Markup:
    """An interval: `[−12.0, −8.5]`; of shares in percent; a dash where there is none."""
    if low is None or high is None:
        return element("span", {"class": "s-span"}, DASH)
    ends = [percent(end, unit=False) if shares else figure(end, digits) for end in (low, high)]
    return element("span", {"class": "s-span"}, "[", ends[0], f",{NO_BREAK}", ends[1], "]")


def _data(value: float | None, text: str | None) -> Markup:
    if value is None or text is None:
        return element("span", {"class": "s-n"}, DASH)
    return element("data", {"class": "s-n", "value": repr(value)}, text)

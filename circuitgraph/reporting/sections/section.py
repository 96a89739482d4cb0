"""One part of the page, ready to be put into it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """What stands under one heading. `html` is safe, static, well-formed, and styled by classes `s-*` alone."""

    id: str
    title: str
    html: str

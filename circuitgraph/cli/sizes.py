"""Sizes as people write them: `4GiB` -> bytes."""

from __future__ import annotations

import re

from circuitgraph.errors import InputError

UNITS = {"": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}
SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-z]*)", re.IGNORECASE | re.ASCII)


def bytes_of(text: str) -> int:
    """The bytes of a size.

    Raises:
        InputError: it is none, or nothing.
    """
    found = SIZE.fullmatch(text.strip())
    factor = None if found is None else UNITS.get(found["unit"].lower())
    if found is None or factor is None or (size := int(float(found["number"]) * factor)) < 1:
        raise InputError(f"'{text}' is no size; write bytes, or a number with KiB, MiB, GiB, KB, MB or GB: 4GiB")
    return size

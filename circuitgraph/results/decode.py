"""JSON -> the frozen dataclasses that `dataclasses.asdict` made it from; every fault names its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
_WORDS: Mapping[type, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def decoded(kind: type[T], value: Any, place: str = "", *, loose: bool = False) -> T:
    """A value of `kind`: a dataclass, an enum, `tuple[X, ...]`, `X | None`, a mapping, text, number or truth value.

    Args:
        place: where in the whole it stands, for messages: `metrics[0].circuit`.
        loose: leave out fields that are not known, instead of refusing them.

    Raises:
        ValueError: something is missing, unknown, or of another kind; the message names its place.
    """
    found: Any = _read(kind, value, place, loose)
    return found


def _read(kind: Any, value: Any, place: str, loose: bool) -> Any:
    if is_dataclass(kind):
        return _record(kind, value, place, loose)
    origin = get_origin(kind)
    if origin in (UnionType, Union):
        return _optional(kind, value, place, loose)
    if origin is tuple:
        member = get_args(kind)[0]
        if not isinstance(value, list | tuple):
            raise ValueError(f"{place} is no list")
        return tuple(_read(member, item, f"{place}[{index}]", loose) for index, item in enumerate(value))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise ValueError(f"{place} is no mapping")
        member = get_args(kind)[1]
        return {key: item if member is Any else _read(member, item, _inside(place, key), loose)
                for key, item in value.items()}  # fmt: skip
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if not isinstance(value, str) or value not in list(kind):
            raise ValueError(f"{place} is {value!r}, none of {', '.join(kind)}")
        return kind(value)
    return _plain(kind, value, place)


def _record(kind: Any, value: Any, place: str, loose: bool) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError(f"{place or 'it'} is no mapping")
    hints, known = _hints(kind), {field.name: field for field in fields(kind)}
    if loose:
        value = {name: item for name, item in value.items() if name in known}
    elif unknown := sorted(set(value) - set(known)):
        raise ValueError(f"{_inside(place, unknown[0])} is not known to this version of circuitgraph")
    required = [n for n, field in known.items() if field.default is MISSING and field.default_factory is MISSING]
    if missing := [name for name in required if name not in value]:
        raise ValueError(f"{_inside(place, missing[0])} is missing")
    return kind(**{name: _read(hints[name], item, _inside(place, name), loose) for name, item in value.items()})


_hints = cache(get_type_hints)


def _optional(kind: Any, value: Any, place: str, loose: bool) -> Any:
    if value is None and NoneType in get_args(kind):
        return None
    (member,) = (each for each in get_args(kind) if each is not NoneType)
    return _read(member, value, place, loose)


def _plain(kind: type, value: Any, place: str) -> Any:
    """A whole number is a number too; a truth value is none."""
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{place} is {value!r}, not {_WORDS[kind]}")
    return kind(value)


def _inside(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name

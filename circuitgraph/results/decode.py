"""JSON -> the frozen dataclasses that `dataclasses.asdict` made it from; every fault names its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
_WORDS: Mapping[type, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def decoded(kind: type[T], value: Any, place: str = "") -> T:
    """A value of `kind`: a dataclass, an enum, `tuple[X, ...]`, `X | None`, a mapping, text, number or truth value.

    Args:
        place: where in the whole it stands, for messages: `metrics[0].circuit`.

    Raises:
        ValueError: something is missing, unknown, or of another kind; the message names its place.
    """
    found: Any = _read(kind, value, place)
    return found


def _read(kind: Any, value: Any, place: str) -> Any:
    if is_dataclass(kind):
        return _record(kind, value, place)
    origin = get_origin(kind)
    if origin in (UnionType, Union):
        return _optional(kind, value, place)
    if origin is tuple:
        member = get_args(kind)[0]
        if not isinstance(value, list | tuple):
            raise ValueError(f"{place} is no list")
        return tuple(_read(member, item, f"{place}[{index}]") for index, item in enumerate(value))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise ValueError(f"{place} is no mapping")
        return dict(value)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if value not in list(kind):
            raise ValueError(f"{place} is {value!r}, none of {', '.join(kind)}")
        return kind(value)
    return _plain(kind, value, place)


def _record(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError(f"{place or 'it'} is no mapping")
    hints, known = get_type_hints(kind), {field.name: field for field in fields(kind)}
    if unknown := sorted(set(value) - set(known)):
        raise ValueError(f"{_inside(place, unknown[0])} is not known to this version of circuitgraph")
    required = [n for n, field in known.items() if field.default is MISSING and field.default_factory is MISSING]
    if missing := [name for name in required if name not in value]:
        raise ValueError(f"{_inside(place, missing[0])} is missing")
    return kind(**{name: _read(hints[name], item, _inside(place, name)) for name, item in value.items()})


def _optional(kind: Any, value: Any, place: str) -> Any:
    if value is None and NoneType in get_args(kind):
        return None
    (member,) = (each for each in get_args(kind) if each is not NoneType)
    return _read(member, value, place)


def _plain(kind: type, value: Any, place: str) -> Any:
    """A whole number is a number too; a truth value is none."""
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{place} is {value!r}, not {_WORDS[kind]}")
    return kind(value)


def _inside(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name

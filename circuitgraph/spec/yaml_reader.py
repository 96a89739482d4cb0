"""YAML text -> plain data, with the place of every key and value. Nothing is guessed, nothing is executed.

Plain `true`/`false` become booleans, `null`/`~`/nothing None, decimal integers int, decimal numbers a
`YamlFloat`; everything else, and every key, stays the text that was written: `NO`, `on`, `2020-01-01`,
`010` are text. Repeated keys, tags, merge keys, further documents and aliases that grow without end are problems.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from circuitgraph.errors import Problem
from circuitgraph.spec.source import Loc, Place, SpecSource

MAX_VALUES = 200_000
"""Values in one file after its aliases are written out; an alias bomb has billions."""

MAX_DEPTH = 40
"""Nesting; a spec needs eight."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,99})")
_FLOAT = re.compile(
    r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = ("", "~", "null", "Null", "NULL")


class YamlFloat(float):
    """A number with a point or an exponent that remembers how it was written: 9.10 is not 9.1 to a reader."""

    __slots__ = ("raw",)
    raw: str

    def __new__(cls, raw: str) -> YamlFloat:
        number = super().__new__(cls, raw.lower().replace(".inf", "inf").replace(".nan", "nan"))
        number.raw = raw
        return number

    def __getnewargs__(self) -> tuple[str]:  # pyright: ignore[reportIncompatibleMethodOverride] # copies keep the text
        return (self.raw,)


Scalar = str | int | bool | YamlFloat | None


def plain_scalar(text: str) -> Scalar:
    """The value of a scalar written without quotes."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return YamlFloat(text)
    return text


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """What a YAML text says: a mapping, or None when `problems` name why it cannot be read."""

    data: dict[str, Any] | None
    source: SpecSource
    problems: tuple[Problem, ...]


def read_yaml(text: str, path: str) -> YamlDocument:
    """Read the one mapping that `text` holds. Raises nothing: problems are returned, each with its place."""
    source = SpecSource(path, tuple(text.splitlines()))
    reader = _Reader()
    try:
        top = reader.read(text)
        problems = [source.problem_at(place, message) for place, message in reader.problems]
        if top is None:
            return YamlDocument(
                None, source, (*problems, Problem("the file is empty; a spec begins with 'version: 1'"))
            )
        flat = _Flat()
        data = flat.write(top, ())
    except _UnreadableError as error:
        problems = [source.problem_at(place, message) for place, message in [*reader.problems, error.at]]
        return YamlDocument(None, source, tuple(problems))
    except yaml.YAMLError as error:
        place, message = _syntax_problem(error, text)
        return YamlDocument(None, source, (source.problem_at(place, message),))
    if not isinstance(data, dict):
        what = "a list" if isinstance(data, list) else f"the single value '{data}'"
        problems.append(source.problem_at(top.place, f"a spec is keys and values ('version: 1', …); this is {what}"))
        return YamlDocument(None, source, tuple(problems))
    return YamlDocument(data, SpecSource(path, source.lines, flat.keys, flat.values), tuple(problems))


class _UnreadableError(Exception):
    """Reading cannot go on; carries where and why."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.at = (place, message)


@dataclass(frozen=True, slots=True)
class _Node:
    """A value as written, aliases not yet written out: a scalar, a list of nodes, or key → (place, node)."""

    place: Place
    value: Scalar | list[_Node] | dict[str, tuple[Place, _Node]]


@dataclass(slots=True)
class _Reader:
    """Parser events -> nodes."""

    problems: list[tuple[Place, str]] = field(default_factory=list)
    anchors: dict[str, _Node | None] = field(default_factory=dict)
    """None while the anchored value is still being read: an alias to it now would contain itself."""

    def read(self, text: str) -> _Node | None:
        """The first document; None when there is none."""
        events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        top: _Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if top is not None:
                    raise _UnreadableError(_place(event), "a second document begins here; a spec is one document")
                event = next(events)
                top = self._node(event, events, 0)
        return None if top is None or top.value is None else top

    def _node(self, event: Any, events: Iterator[Any], depth: int) -> _Node:
        place = _place(event)
        if depth > MAX_DEPTH:
            raise _UnreadableError(place, f"nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor, place)
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.problems.append((place, f"'{tag}' is a YAML tag; tags are not read, write the plain value"))
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        match event:
            case yaml.ScalarEvent():
                node = _Node(place, plain_scalar(event.value) if event.implicit[0] else event.value)
            case yaml.SequenceStartEvent():
                node = _Node(place, self._items(events, depth))
            case _:
                node = _Node(place, self._entries(events, depth))
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def _alias(self, anchor: str, place: Place) -> _Node:
        if anchor not in self.anchors:
            hint = "; an address that begins with * needs quotes"
            raise _UnreadableError(place, f"'*{anchor}' is a YAML alias, and there is no anchor '&{anchor}'{hint}")
        node = self.anchors[anchor]
        if node is None:
            raise _UnreadableError(place, f"'*{anchor}' contains itself")
        return _Node(place, node.value)

    def _items(self, events: Iterator[Any], depth: int) -> list[_Node]:
        items: list[_Node] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._node(event, events, depth + 1))
        return items

    def _entries(self, events: Iterator[Any], depth: int) -> dict[str, tuple[Place, _Node]]:
        entries: dict[str, tuple[Place, _Node]] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            place = _place(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise _UnreadableError(place, "a key must be plain text")
            value = self._node(next(events), events, depth + 1)
            if event.value == "<<" and event.implicit[0]:
                self.problems.append((place, "'<<' is a YAML merge key; merge keys are not read, write the keys out"))
            elif event.value in entries:
                first = entries[event.value][0].line
                self.problems.append((place, f"'{event.value}' is written twice; first on line {first}"))
            else:
                entries[event.value] = (place, value)
        return entries


@dataclass(slots=True)
class _Flat:
    """Nodes -> plain data and the two tables of places, aliases written out."""

    keys: dict[Loc, Place] = field(default_factory=dict)
    values: dict[Loc, Place] = field(default_factory=dict)

    def write(self, node: _Node, loc: Loc) -> Any:
        """The data of `node`, whose places are noted under `loc`."""
        if len(self.values) >= MAX_VALUES:
            place = self.values.get(loc[:2], node.place)
            raise _UnreadableError(place, f"more than {MAX_VALUES:,} values once its aliases are written out")
        self.values[loc] = node.place
        match node.value:
            case list():
                return [self.write(item, (*loc, index)) for index, item in enumerate(node.value)]
            case dict():
                self.keys.update({(*loc, key): place for key, (place, _) in node.value.items()})
                return {key: self.write(item, (*loc, key)) for key, (_, item) in node.value.items()}
            case scalar:
                return scalar


def _place(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


def _syntax_problem(error: yaml.YAMLError, text: str) -> tuple[Place, str]:
    """Where and why the parser stopped, with the cause behind its commonest complaints."""
    lines = text.splitlines()
    if isinstance(error, yaml.reader.ReaderError):
        before = text.encode()[: error.position].decode(errors="ignore").splitlines() or [""]
        return Place(len(before), len(before[-1]) + 1), f"this is not YAML: {error.reason}"
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return Place(), f"this is not YAML: {error}"
    place = Place(error.problem_mark.line + 1, error.problem_mark.column + 1)
    rest = lines[place.line - 1][place.column - 1 :] if place.line <= len(lines) else ""
    if error.context_mark is not None:
        opened = Place(error.context_mark.line + 1, error.context_mark.column + 1)
        if "alias" in (error.context or ""):
            return opened, "a value that begins with * needs quotes"
        if not rest:
            return opened, f"this is not YAML: what begins here is not closed ({error.problem})"
    if rest.startswith("\t"):
        return place, "a tab cannot indent YAML; use spaces"
    if rest[:1] in ("@", "`", "%"):
        return place, f"a value cannot begin with {rest[0]} unless it is in quotes"
    if error.problem and error.problem.startswith("mapping values"):
        return place, "this is not YAML: a second value on one line; text that contains ': ' needs quotes"
    return place, f"this is not YAML: {error.problem}" + (f" ({error.context})" if error.context else "")

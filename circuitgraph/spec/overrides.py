"""`--set key=value`: changes to a spec's data before it is validated, so that they are checked like the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from circuitgraph.errors import Problem
from circuitgraph.spec.source import Draft, Loc
from circuitgraph.spec.yaml_reader import plain_scalar, read_yaml


def override(draft: Draft, settings: Sequence[str]) -> tuple[Draft, tuple[Problem, ...]]:
    """The draft with each `prompts.generator.n=32` applied in turn, and the settings that cannot be applied.

    A value is read as in YAML; `[a, b]` is a list. Sections on the way are made if they are not there:
    whether they are known is found by the validation that follows.
    """
    problems: list[Problem] = []
    for setting in settings:
        path, equals, text = setting.partition("=")
        try:
            if not equals or not path.strip():
                raise _RefusedError("write key=value, for example prompts.generator.n=32")
            loc = _location(path.strip())
            data = _put(draft.data, loc, (), _value(text.strip()))
            source = replace(draft.source, overridden={**draft.source.overridden, loc: setting})
            draft = replace(draft, data=data, source=source)
        except _RefusedError as refused:
            problems.append(Problem(str(refused), file=f"--set {setting}"))
    return draft, tuple(problems)


class _RefusedError(Exception):
    """Why a setting cannot be applied."""


def _location(path: str) -> Loc:
    loc: Loc = tuple(int(part) if part.isdecimal() and part.isascii() else part for part in path.split("."))
    return ("metrics", 0, *loc[1:]) if loc[0] == "metric" else loc


def _value(text: str) -> Any:
    if not text.startswith(("[", '"', "'")):
        return plain_scalar(text)
    document = read_yaml(f"value: {text}", "--set")
    if document.data is None or document.problems:
        raise _RefusedError(document.problems[0].message)
    return document.data["value"]


def _put(data: Any, loc: Loc, done: Loc, value: Any) -> Any:
    """A copy of `data` with `value` at `loc`."""
    if not loc:
        return value
    part, at = loc[0], ".".join(map(str, done)) or "a spec"
    match data:
        case dict():
            name = str(part)
            return {**data, name: _put(data.get(name, {} if loc[1:] else None), loc[1:], (*done, name), value)}
        case list():
            if part not in range(len(data)):
                entries = f"entries 0 to {len(data) - 1}" if data else "no entries"
                raise _RefusedError(f"'{part}' is no entry of {at}, which has {entries}")
            index = int(part)
            return [*data[:index], _put(data[index], loc[1:], (*done, index), value), *data[index + 1 :]]
        case _:
            raise _RefusedError(f"'{part}' is no key of {at}, which is a single value")

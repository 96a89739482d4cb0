"""`--set key=value` and the options that speak of one section: changes to a spec before it is validated.

So they are checked like the file, and a problem names the option it came with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from circuitgraph.errors import Problem, SpecError
from circuitgraph.spec.faults import faults_of
from circuitgraph.spec.model import CircuitSpec
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
            source = replace(draft.source, overridden={**draft.source.overridden, loc: f"--set {setting}"})
            draft = replace(draft, data=data, source=source)
        except _RefusedError as refused:
            problems.append(Problem(str(refused), file=f"--set {setting}"))
    return draft, tuple(problems)


@dataclass(frozen=True)
class Options:
    """Values for one section of a spec, as a command's own options give them: `--heads a3.h0 --run corrupted`.

    They win over the file and over `--set`; a section that is not there is made.
    """

    section: str
    values: Mapping[str, Any]
    """Key → value; a list for options that can be repeated."""

    def into(self, draft: Draft) -> Draft:
        """The draft of a file with these values."""
        section = draft.data.get(self.section)
        if section is not None and not isinstance(section, dict):
            return draft  # not a section at all, as its validation will say
        data = {**draft.data, self.section: {**(section or {}), **self.values}}
        replaced = {(self.section, key) for key in self.values}
        overridden = {loc: text for loc, text in draft.source.overridden.items() if loc[:2] not in replaced}
        return replace(draft, data=data, source=replace(draft.source, overridden={**overridden, **self._said()}))

    def onto(self, spec: CircuitSpec) -> CircuitSpec:
        """A spec in memory with these values.

        Raises:
            SpecError: the section cannot hold them.
        """
        data = spec.model_dump(mode="json", exclude_defaults=True, by_alias=True)
        data[self.section] = {**data.get(self.section, {}), **self.values}
        try:
            return CircuitSpec.model_validate(data).in_directory(spec.directory)
        except ValidationError as error:
            faults = faults_of(error, CircuitSpec, data)
            problems = [Problem(f"{'.'.join(map(str, fault.loc))}: {fault.message}") for fault in faults]
            raise SpecError(spec.name, problems) from None

    def _said(self) -> dict[Loc, str]:
        """The option that each value came with."""
        said: dict[Loc, str] = {}
        for key, value in self.values.items():
            if isinstance(value, list | tuple) and value:
                said |= {(self.section, key, i): f"--{key} {item}" for i, item in enumerate(value)}
            else:
                said[self.section, key] = f"--{key} {value}"
        return said


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

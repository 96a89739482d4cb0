"""What pydantic refuses, in plain words: ValidationError -> faults, each with its location in the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from circuitgraph.errors import did_you_mean
from circuitgraph.spec.source import Loc
from circuitgraph.spec.yaml_reader import YamlFloat

_NEEDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "keys and values",
    "mapping_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
}
"""Error types of a value that has the wrong type -> what is needed instead."""

_CHOICES = ("literal_error", "enum")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the data at `loc`."""

    loc: Loc
    message: str
    at_key: bool = False
    """The key itself is wrong, not its value."""
    torn: bool = False
    """A value was torn apart here: the entry around it cannot be trusted."""
    missing: str | None = None
    """The key that `loc` lacks."""
    follows: bool = False
    """May be a consequence of something that was left out: a missing key, a rule about several keys."""


def faults_of(
    error: ValidationError, model: type[BaseModel], data: Any, at: Loc = (), noun: str | None = None
) -> list[Fault]:
    """The faults of `data`, which stands at `at` in the file and was validated as `model`, called `noun`."""
    found: dict[Loc, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        found.setdefault(_locate(detail["loc"], data), []).append(detail)
    faults: list[Fault] = []
    for loc, details in found.items():
        typed = [detail for detail in details if detail["type"] in _NEEDS or detail["type"] in _CHOICES]
        deeper = any(other[: len(loc)] == loc and len(other) > len(loc) for other in found)
        if typed and not deeper:
            faults.append(Fault(at + loc, _wrong_value(typed, (*at, *loc))))
        for detail in details:
            emptied = detail["type"] == "too_short" and (deeper or len(details) > 1)
            if detail not in typed and not emptied:
                faults.append(_fault(detail, model, loc, at, noun))
    return faults


def _locate(loc: Loc, data: Any) -> Loc:
    """`loc` without what pydantic put in: union members, keys that a short form leaves out, missing keys."""
    found: Loc = ()
    for part in loc:
        match data, part:
            case dict(), _ if part in data:
                found, data = (*found, part), data[part]
            case list(), int() if part < len(data):
                found, data = (*found, part), data[part]
    return found


def _fault(detail: ErrorDetails, model: type[BaseModel], loc: Loc, at: Loc, noun: str | None) -> Fault:
    """A fault that is not about the type of one value."""
    context, value = detail.get("ctx", {}), detail["input"]
    whole, key = at + loc, _key(at + loc)
    match detail["type"]:
        case "extra_forbidden":
            if value is None and (str(loc[-1]).endswith(">") or ">@" in str(loc[-1])):
                message = f"'{loc[-1]}' is no key: inside {{ }} a comma ends the value; write the address in quotes"
                return Fault(whole, message, at_key=True, torn=True)
            return Fault(whole, _unknown_key(_section(model, detail["loc"][:-1]), model, detail, noun), at_key=True)
        case "missing" if isinstance(detail["loc"][-1], int):
            return Fault(whole, f"{key} lacks its entry number {int(detail['loc'][-1]) + 1}")
        case "missing":
            section, name = _section(model, detail["loc"][:-1]), str(detail["loc"][-1])
            message = f"'{name}' is missing; {_noun(section, model, noun)} needs it"
            return Fault(whole, message, missing=name, follows=True)
        case "greater_than_equal":
            return Fault(whole, f"{key} is at least {context['ge']}, not {value}")
        case "less_than_equal":
            return Fault(whole, f"{key} is at most {context['le']}, not {value}")
        case "string_pattern_mismatch" if whole and whole[-1] == value:
            return Fault(whole, f"'{value}' is no name here: a letter, then letters, digits, '_' and '-'", at_key=True)
        case "string_pattern_mismatch":
            return Fault(
                whole,
                f"'{value}' is no {key}: letters, digits, '.', '_' and '-', and a letter or digit first",
            )
        case "string_too_long":
            return Fault(whole, f"{key} has at most {context['max_length']} characters, not {len(value)}")
        case "string_too_short":
            return Fault(whole, f"{key} is empty text")
        case "too_short":
            least, n = context["min_length"], context["actual_length"]
            return Fault(
                whole, f"{key} needs at least {least} {'entry' if least == 1 else 'entries'}, not {n}", follows=True
            )
        case "too_long":
            most, n = context["max_length"], context["actual_length"]
            return Fault(whole, f"{key} takes {most} {'entry' if most == 1 else 'entries'}, not {n}")
        case "finite_number":
            return Fault(whole, f"{key} is {written(value)}; it must be a finite number")
        case "value_error":
            return Fault(whole, str(context["error"]), follows=isinstance(value, dict))
        case _:
            return Fault(whole, f"{key}: {detail['msg']}")


def _unknown_key(
    section: type[BaseModel] | None, model: type[BaseModel], detail: ErrorDetails, noun: str | None
) -> str:
    key = str(detail["loc"][-1])
    keys = [] if section is None else [field.alias or name for name, field in section.model_fields.items()]
    if section is model:
        keys = [*keys, "metric"] if "metrics" in keys else ["name", *keys] if noun else keys
    return f"'{key}' is no key of {_noun(section, model, noun)}{did_you_mean(key, keys, limit=20)}"


def _wrong_value(details: list[ErrorDetails], loc: Loc) -> str:
    """A value of the wrong type, or none of the choices; one message for all members of a union."""
    value, key = details[0]["input"], _key(loc)
    choices = [choice for detail in details if detail["type"] in _CHOICES for choice in _choices(detail)]
    needs = list(dict.fromkeys(_NEEDS[detail["type"]] for detail in details if detail["type"] in _NEEDS))
    if value is None:
        return f"'{key}' is empty: write {' or '.join([*choices, *needs])}, or leave the key out"
    if choices:
        choices += ["true", "false"] if "true or false" in needs else []
        if isinstance(value, list | dict):
            return f"{_kind(value)}; {key} is one of {', '.join(choices)}"
        listed = isinstance(details[0]["loc"][-1], int) and not isinstance(loc[-1], int)  # one value, short for a list
        key = f"entry of {key}" if listed else key.removeprefix("an ")
        return f"'{written(value)}' is no {key}{did_you_mean(written(value), choices)}"
    quotes = f'; write "{written(value)}" in quotes' if "text" in needs and not isinstance(value, list | dict) else ""
    return f"{_kind(value)}; {key} needs {' or '.join(needs)}{quotes}"


def _choices(detail: ErrorDetails) -> list[str]:
    return re.findall(r"'([^']*)'", detail.get("ctx", {}).get("expected", ""))


def written(value: Any) -> str:
    """A scalar as the user wrote it."""
    match value:
        case bool():
            return str(value).lower()
        case YamlFloat():
            return value.raw
        case _:
            return str(value)


def _kind(value: Any) -> str:
    match value:
        case bool():
            return f"{written(value)} is a boolean"
        case int() | float():
            return f"{written(value)} is a number"
        case list():
            return "this is a list"
        case dict():
            return "these are keys and values"
        case _:
            return f"'{value}' is text"


def _key(loc: Loc) -> str:
    """What the value at `loc` is called: its key, or an entry of its list."""
    names = [part for part in loc if isinstance(part, str)] or ["this"]
    return names[-1] if not loc or isinstance(loc[-1], str) else f"an entry of {names[-1]}"


def _noun(section: type[BaseModel] | None, model: type[BaseModel], noun: str | None) -> str:
    if section is model and noun is not None:
        return noun
    return getattr(section, "noun", "this section")


def _section(model: type[BaseModel], loc: Loc) -> type[BaseModel] | None:
    """The model that describes the mapping at `loc` (as pydantic writes it) inside `model`."""
    annotation: Any = model
    for part in loc:
        arms = _arms(annotation)
        for arm in arms:
            if isinstance(arm, type) and issubclass(arm, BaseModel) and part in arm.model_fields:
                annotation = arm.model_fields[str(part)].annotation
                break
            if get_origin(arm) in (dict, Mapping) or (get_origin(arm) in (tuple, list) and isinstance(part, int)):
                annotation = get_args(arm)[1 if get_origin(arm) in (dict, Mapping) else 0]
                break
    return next((arm for arm in _arms(annotation) if isinstance(arm, type) and issubclass(arm, BaseModel)), None)


def _arms(annotation: Any) -> list[Any]:
    """The members of a union, without `Annotated`."""
    if get_origin(annotation) is Annotated:
        return _arms(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [arm for member in get_args(annotation) for arm in _arms(member)]
    return [annotation]

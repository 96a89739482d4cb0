"""A spec file -> CircuitSpec, or everything that is wrong with it at once, each with its line and column.

What cannot be read is left out and the rest is read again, so that the checks that follow (names, layers,
positions) can report on the rest in the same breath.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from circuitgraph import catalog
from circuitgraph.errors import AddressError, FileError, InputError, Problem, SpecError
from circuitgraph.nodes import parse_node, split
from circuitgraph.spec.faults import Fault, faults_of
from circuitgraph.spec.model import FORMAT_VERSION, CircuitSpec
from circuitgraph.spec.overrides import Options, override
from circuitgraph.spec.source import Draft, Loc, Place, SpecSource
from circuitgraph.spec.whole import ALL, as_edge
from circuitgraph.spec.yaml_reader import read_yaml

MAX_BYTES = 16 * 2**20

_STAND_INS: dict[str, Any] = {
    "version": FORMAT_VERSION,
    "name": "unread",
    "model": {"name": "unread"},
    "prompts": {"pairs": []},
    "metrics": [{"name": "unread"}],
}
"""What takes the place of a required section that cannot be read, so that the others can be checked."""


@dataclass(frozen=True)
class Reading:
    """What could be read of a spec file.

    `spec` holds what is readable; None when that is too little to go on. Sections named in `unread` hold
    stand-ins: nothing may be concluded from them. `source` places the entries as they are counted in `spec`.
    """

    spec: CircuitSpec | None
    source: SpecSource
    problems: tuple[Problem, ...] = ()
    unread: frozenset[str] = frozenset()


def load(path: str | Path, overrides: Sequence[str] = ()) -> CircuitSpec:
    """The spec in the file `path`, after `overrides` such as `prompts.generator.n=32`.

    Raises:
        SpecError: everything that is wrong with the file's text, keys and values.
        FileError: there is no such file, or it cannot be read.
    """
    reading = read_spec(path, overrides)
    if reading.problems or reading.spec is None:
        raise SpecError(reading.source.path, reading.problems)
    return reading.spec


def read_spec(path: str | Path, overrides: Sequence[str] = (), options: Options | None = None) -> Reading:
    """Read as much of the file as can be read; `options` win over `overrides`.

    Raises:
        FileError: there is no such file, or it cannot be read.
    """
    text = _text(Path(path))
    if isinstance(text, Problem):
        return Reading(None, SpecSource(str(path)), (text,))
    document = read_yaml(text, str(path))
    if document.data is None:
        return Reading(None, document.source, document.problems)
    draft, clashes = _long_forms(Draft(document.data, document.source))
    draft, refused = override(draft, overrides)
    if options is not None:
        draft = options.into(draft)
    return _read(draft, [*document.problems, *clashes, *refused])


def _text(path: Path) -> str | Problem:
    try:
        if path.stat().st_size > MAX_BYTES:
            return Problem(f"the file is larger than {MAX_BYTES // 2**20} MB; a spec is not")
        raw = path.read_bytes()
    except FileNotFoundError:
        raise FileError(f"there is no file '{path}'") from None
    except IsADirectoryError:
        raise FileError(f"'{path}' is a directory; give the spec file in it") from None
    except (OSError, ValueError) as error:
        raise FileError(f"'{path}' cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig").split("\n")
        shown = raw.decode("utf-8-sig", errors="replace").split("\n")[len(before) - 1].rstrip("\r")
        message = f"the file is not UTF-8 text: byte 0x{raw[error.start]:02x}"
        return Problem(message, len(before), len(before[-1]) + 1, shown)


def _long_forms(draft: Draft) -> tuple[Draft, list[Problem]]:
    """`metric: x` as `metrics: [x]`, a name as `{name: x}`, `all` as an entry: one place to look, one to override."""
    data, source = dict(draft.data), draft.source
    problems: list[Problem] = []
    if "metric" in data and "metrics" in data:
        problems.append(source.problem(("metric",), "give metric or metrics, not both", key=True))
        del data["metric"]
    if "metric" in data:
        data["metrics"] = [data.pop("metric")]
        source = replace(source, keys=_moved(source.keys), values=_moved(source.values))
    if "model" in data:
        data["model"] = _named(data["model"])
    if isinstance(data.get("metrics"), list):
        data["metrics"] = [_named(metric) for metric in data["metrics"]]
    if data.get("edges") == ALL:
        data["edges"] = [{ALL: {}}]
    elif isinstance(data.get("edges"), list):
        data["edges"] = [_long_edge(entry) for entry in data["edges"]]
    if isinstance(prompts := data.get("prompts"), dict) and "generator" in prompts:
        data["prompts"] = prompts | {"generator": _named(prompts["generator"])}
    return replace(draft, data=data, source=source), problems


def _long_edge(entry: Any) -> Any:
    """`all`, or `all:` with nothing behind it, as an entry without filters."""
    if isinstance(entry, dict) and ALL in entry and entry[ALL] is None:
        return {**entry, ALL: {}}
    return as_edge(entry)


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _moved(marks: Mapping[Loc, Place]) -> dict[Loc, Place]:
    """Places of what stands under `metric`, as of what stands under `metrics`, 0."""
    moved: dict[Loc, Place] = {}
    for loc, place in marks.items():
        if loc == ("metric",):
            moved["metrics",] = place
        moved[("metrics", 0, *loc[1:]) if loc[:1] == ("metric",) else loc] = place
    return moved


def _read(draft: Draft, problems: list[Problem]) -> Reading:
    """Validate; leave out what is wrong; again, until the rest is valid or too little to go on."""
    unread: frozenset[str] = frozenset()
    while True:
        spec, faults = _attempt(draft.data, unread)
        version = [fault for fault in faults if fault.loc == ("version",)]
        for fault in version or faults:
            if not (fault.follows and fault.loc in draft.wounded):
                problems.append(draft.source.problem(fault.loc, fault.message, key=fault.at_key))
        cuts = {_cut(fault) for fault in faults}
        if spec is not None or version or () in cuts:
            return Reading(spec, draft.source, tuple(problems), unread)
        dropped = {cut for cut in cuts if cut is not None}
        before = draft.data
        saes = {str(loc[1]) for loc in dropped if len(loc) == 2 and loc[0] == "saes"}
        dropped |= {("groups", name) for name in _groups_with(saes, draft.data)}
        lost = {str(loc[1]) for loc in dropped if len(loc) == 2 and loc[0] == "groups"}
        draft = draft.without(dropped | _entries_naming(lost, saes, draft.data))
        needed = {name: value for name, value in _STAND_INS.items() if not draft.data.get(name)}
        unread |= needed.keys()
        draft = replace(draft, data={**draft.data, **needed})
        if ("prompts", "pairs") in draft.wounded and not _at(draft.data, ("prompts", "pairs")):
            unread |= {"prompts"}
        if draft.data == before:  # nothing was left out: another round would find the same
            if not problems:
                problems += [draft.source.problem(fault.loc, fault.message, key=fault.at_key) for fault in faults]
            return Reading(None, draft.source, tuple(problems), unread)


def _attempt(data: dict[str, Any], unread: Set[str]) -> tuple[CircuitSpec | None, list[Fault]]:
    """The spec, or the faults of everything at once."""
    faults = [fault for loc in _plugins(data) if loc[0] not in unread for fault in _plugin_faults(data, loc)]
    spec = None
    try:
        spec = CircuitSpec.model_validate(data)
    except ValidationError as error:
        faults = faults_of(error, CircuitSpec, data) + faults
    told = {fault.loc for fault in faults}
    faults += [
        Fault(loc, f"'{loc[-1]}' is empty: write a value, or leave the key out", at_key=True)
        for loc in _empty(data)
        if loc not in told
    ]
    return (None if faults else spec), faults


def _empty(value: Any, loc: Loc = ()) -> Iterator[Loc]:
    """Where a key has no value; a spec that means a default leaves the key out."""
    match value:
        case None if loc and isinstance(loc[-1], str):
            yield loc
        case dict():
            yield from (found for key, item in value.items() for found in _empty(item, (*loc, key)))
        case list():
            yield from (found for index, item in enumerate(value) for found in _empty(item, (*loc, index)))
        case _:
            pass


def _cut(fault: Fault) -> Loc | None:
    """What to leave out because of a fault: a key, a list entry, a section; () = all, None = nothing to leave out."""
    match fault.loc:
        case ("edges", _, "all", _, *_) as loc:  # with one filter less it would stand for other edges
            return loc[:2]
        case loc if fault.at_key and not fault.torn:
            return loc
        case ():
            return None if fault.missing in _STAND_INS else ()
        case ("edges" | "nodes" | "metrics" | "intervention", _, *_) as loc:
            return loc[:2]
        case ("prompts", "pairs", _, *_) as loc:
            return loc[:3]
        case ("saes", _, *_) as loc:
            return loc[:2]
        case ("model", "revision" | "dtype" | "device", *_) | ("prompts", "bos", *_) as loc:
            return loc[:2]
        case ("prompts" | "model" as section, *_):
            return (section,)
        case loc:
            return loc


def _groups_with(saes: Set[str], data: dict[str, Any]) -> Iterator[str]:
    """The groups that hold parts of a sparse autoencoder which was left out."""
    groups = data.get("groups")
    for name, group in groups.items() if isinstance(groups, dict) and saes else ():
        if saes & {_sae_of(text) for text in _texts(group)}:
            yield str(name)


def _sae_of(text: str) -> str | None:
    """The sparse autoencoder that a text names a part of."""
    pattern = parse_node(_reference(text) or "")
    return None if pattern is None or not pattern.sae else pattern.sae


def _entries_naming(groups: Set[str], saes: Set[str], data: dict[str, Any]) -> set[Loc]:
    """The edges, nodes and lists of heads that mention what was left out, a group above all: it is not their fault."""
    found: set[Loc] = set()
    for section in ("edges", "nodes") if groups or saes else ():
        entries = data.get(section)
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            if any(_reference(text) in groups or _sae_of(text) in saes for text in _texts(entry)):
                found.add((section, index))
    attention = data.get("attention")
    heads = attention.get("heads") if isinstance(attention, dict) else None
    return found | ({("attention", "heads")} if groups & {_reference(text) for text in _texts(heads)} else set())


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            yield from (text for item in value for text in _texts(item))
        case dict():
            yield from (text for item in value.values() for text in _texts(item))


def _reference(text: str) -> str | None:
    try:
        return split(text).name
    except AddressError:
        return None


def _plugins(data: dict[str, Any]) -> Iterator[Loc]:
    """Where sections that belong to plugins stand."""
    metrics = data.get("metrics")
    yield from (("metrics", index) for index in range(len(metrics) if isinstance(metrics, list) else 0))
    for loc in (("prompts", "generator"), ("intervention", "reference", "prompts", "generator")):
        if _at(data, loc) is not None:
            yield loc


def _plugin_faults(data: dict[str, Any], loc: Loc) -> list[Fault]:
    """What the plugin's parameter model says of the section at `loc`; what has no name is left to the spec model."""
    section = _at(data, loc)
    name = section.get("name") if isinstance(section, dict) else section
    if not isinstance(name, str):
        return []
    registry = catalog.metrics if loc[0] == "metrics" else catalog.generators
    try:
        entry = registry.lookup(name)
    except InputError as error:
        return [Fault((*loc, "name") if isinstance(section, dict) else loc, str(error))]
    given = {key: value for key, value in section.items() if key != "name"} if isinstance(section, dict) else {}
    try:
        entry.read(given)
    except ValidationError as error:
        return faults_of(error, entry.params, section, loc, f"{registry.kind} '{name}'")
    return []


def _at(data: Any, loc: Loc) -> Any:
    """The value at `loc`; None where there is none."""
    for part in loc:
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int):
            data = data[part]
        else:
            return None
    return data

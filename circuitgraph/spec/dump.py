"""CircuitSpec -> canonical YAML text: short forms, no defaults, quotes where a plain word would read otherwise."""

from __future__ import annotations

from typing import Any

import yaml

from circuitgraph.spec.model import ALL, CircuitSpec
from circuitgraph.spec.yaml_reader import plain_scalar

_ONE_OR_MORE = ("sender", "receiver", "node")
_FIRST = (*_ONE_OR_MORE, "chain", "set", ALL)


def dump_spec(spec: CircuitSpec) -> str:
    """The spec as YAML text; loading it gives an equal spec."""
    data = spec.model_dump(mode="json", exclude_defaults=True, by_alias=True)
    if data["model"].keys() == {"name"}:
        data["model"] = data["model"]["name"]
    for name, group in data.get("groups", {}).items():
        if group.keys() == {"nodes"}:
            data["groups"][name] = group["nodes"]
    for section in ("edges", "nodes"):
        if section in data:
            data[section] = [_entry(entry) for entry in data[section]]
    if data.get("edges") == [{ALL: {}}]:
        data["edges"] = ALL
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)


def _entry(entry: dict[str, Any]) -> Any:
    """An edge or a nodes entry: what it is about first, lists of one as their member."""
    entry = {key: entry[key] for key in sorted(entry, key=lambda key: key not in _FIRST)}
    for key in _ONE_OR_MORE:
        if len(entry.get(key, ())) == 1:
            entry[key] = entry[key][0]
    if ALL in entry:
        entry[ALL] = {key: _shortest(value) for key, value in entry[ALL].items()}
    return entry["node"] if entry.keys() == {"node"} and isinstance(entry["node"], str) else entry


def _shortest(value: Any) -> Any:
    """A list of one as its member."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


class _Dumper(yaml.SafeDumper):
    """Writes what `yaml_reader` reads back."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Write repeated values out."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    tag = "tag:yaml.org,2002:str"
    plain_for_pyyaml = dumper.resolve(yaml.ScalarNode, text, (True, False)) == tag
    return dumper.represent_scalar(tag, text, style='"' if plain_for_pyyaml and plain_scalar(text) != text else None)


_Dumper.add_representer(str, _text)

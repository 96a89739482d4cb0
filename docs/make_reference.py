"""JSON Schema of a spec -> docs/spec.md. `make docs` runs it; tests/test_docs.py fails when the page is out of date.

python docs/make_reference.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from circuitgraph.spec.schema import json_schema

PAGE = Path(__file__).with_name("spec.md")

Schema = dict[str, Any]

HEAD = """\
# Spec reference

Generated from the JSON Schema by `docs/make_reference.py`; do not edit. A spec is one YAML file. Keys that are not
listed here are refused, and so are repeated keys and values of the wrong type: nothing is converted silently.
How nodes are written: [addresses](addresses.md). What is measured: [definitions](definitions.md).
"""

TAIL = """\
## Try it

    circuitgraph schema > spec.schema.json     # for editors: yaml-language-server reads it
    circuitgraph check specs/ioi-mini.yaml --set intervention.base=corrupted
"""

SECTIONS = {
    "ModelSpec": "model",
    "ShapeSpec": "model.shape",
    "PromptsSpec": "prompts",
    "PairSpec": "prompts.pairs",
    "MetricSpec": "metrics",
    "InterventionSpec": "intervention",
    "ReferenceSpec": "intervention.reference",
    "SaeSpec": "saes",
    "GroupSpec": "groups",
    "EdgeSpec": "edges",
    "PairOfEnds": "edges: set",
    "AllSpec": "edges: all",
    "NodeSpec": "nodes",
    "ExpectSpec": "expect",
    "CircuitSection": "circuit",
    "RandomSpec": "circuit.random",
    "CircuitExpectSpec": "circuit.expect",
    "BaselineSpec": "baseline",
    "AttentionSection": "attention",
    "DiscoverSection": "discover",
}
"""Definition -> heading, in the order of the page. Generators follow `prompts.pairs`."""


class Page:
    """The page's lines, from a schema."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.defs: dict[str, Schema] = schema["$defs"]

    def text(self) -> str:
        """The whole page."""
        blocks = [HEAD, *self._section("The top of a file", self.schema)]
        for name, heading in SECTIONS.items():
            if name == "MetricSpec":
                blocks += self._plugins("prompts.generator", "GeneratorSpec")
                blocks += self._plugins("metrics", "MetricSpec")
            else:
                blocks += self._section(heading, self.defs[name])
        return "\n".join([*blocks, TAIL])

    def _section(self, heading: str, schema: Schema, level: str = "##") -> Iterator[str]:
        yield f"{level} {heading}\n"
        if schema.get("description"):
            yield schema["description"] + "\n"
        yield from self._table(schema)
        for rule in ("anyOf", "oneOf"):
            if rule in schema:
                choices = [" and ".join(f"`{key}`" for key in choice["required"]) for choice in schema[rule]]
                yield f"{'At least' if rule == 'anyOf' else 'Exactly'} one of: {', '.join(choices)}.\n"

    def _plugins(self, heading: str, definition: str) -> Iterator[str]:
        section = self.defs[definition]
        yield f"## {heading}\n"
        yield f"{section['description']} A name alone may stand for the section.\n"
        for branch in section["oneOf"]:
            yield from self._section(f"{heading}: {branch['title']}", branch, "###")
            for name in self._inner(branch):
                yield from self._section(f"{branch['title']}: {name.rpartition('.')[2]}", self.defs[name], "####")

    def _inner(self, branch: Schema) -> list[str]:
        """The sections that only this plugin has."""
        found = [ref.removeprefix("#/$defs/") for ref in _references(branch)]
        return [name for name in dict.fromkeys(found) if "properties" in self.defs[name]]

    def _table(self, schema: Schema) -> Iterator[str]:
        rows = [self._row(key, field, schema) for key, field in schema["properties"].items()]
        yield "\n".join(["| key | value | default | |", "|---|---|---|---|", *rows]) + "\n"

    def _row(self, key: str, field: Schema, schema: Schema) -> str:
        if isinstance(field.get("default"), dict):
            default = "all defaults"
        elif "default" in field:
            default = "" if field["default"] is None else f"`{_plain(field['default'])}`"
        else:
            default = "**required**" if key in schema.get("required", ()) else ""
        about = " ".join(field.get("description", self._of_type(field)).split())
        return f"| `{key}` | {_cell(self._type(field))} | {_cell(default)} | {_cell(about)} |"

    def _of_type(self, field: Schema) -> str:
        """The description of the section or the choice that a field holds."""
        reference = field.get("$ref", "")
        return self.defs[reference.removeprefix("#/$defs/")].get("description", "") if reference else ""

    def _type(self, field: Schema) -> str:
        """What may be written, in words."""
        if "$ref" in field:
            return self._named(field["$ref"].removeprefix("#/$defs/"))
        if "const" in field:
            return f"`{_plain(field['const'])}`"
        if "enum" in field:
            return ", ".join(f"`{_plain(value)}`" for value in field["enum"])
        for rule in ("anyOf", "oneOf"):
            if rule in field:
                parts = [self._type(choice) for choice in field[rule] if choice.get("type") != "null"]
                return " or ".join(dict.fromkeys(parts))
        match field.get("type"):
            case "array" if "prefixItems" in field:
                return "[" + ", ".join(self._type(item) for item in field["prefixItems"]) + "]"
            case "array":
                return f"list of {self._type(field['items'])}"
            case "object":
                named = next(iter(field.get("patternProperties", {}).values()), None)
                values = field.get("additionalProperties") or named
                return f"name → {self._type(values)}" if isinstance(values, dict) else "section"
            case "string":
                return "text"
            case "integer":
                least = field.get("minimum")
                return "integer" if least is None else f"integer ≥ {least}"
            case "boolean":
                return "`true`, `false`"
            case other:
                return str(other)

    def _named(self, name: str) -> str:
        definition = self.defs[name]
        if "enum" in definition:
            return self._type({"enum": definition["enum"]})
        if name in ("GeneratorSpec", "MetricSpec"):
            heading = {"GeneratorSpec": "prompts.generator", "MetricSpec": "metrics"}[name]
            return f"[section](#{_anchor(heading)})"
        if name in SECTIONS:
            return f"[section](#{_anchor(SECTIONS[name])})"
        return f"section {name.rpartition('.')[2]}"


def _references(schema: Any) -> Iterator[str]:
    match schema:
        case {"$ref": str(reference)}:
            yield reference
        case dict():
            for value in schema.values():
                yield from _references(value)
        case list():
            for value in schema:
                yield from _references(value)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) and value.strip() else json.dumps(value, ensure_ascii=False)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _anchor(heading: str) -> str:
    """The anchor that GitHub and MkDocs give a heading."""
    kept = "".join(char for char in heading.lower() if char.isalnum() or char in " -_")
    return kept.replace(" ", "-")


def reference() -> str:
    """The text of docs/spec.md."""
    return Page(json_schema()).text()


def main() -> None:
    PAGE.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main()

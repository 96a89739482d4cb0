"""The spec as it was run, line by line: what is shown and where experiments come from can point to a line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from circuitgraph.reporting.sections.markup import Child, Markup, element, joined
from circuitgraph.reporting.sections.pieces import boxed, paragraph
from circuitgraph.reporting.sections.section import Section
from circuitgraph.results.load import rebuild
from circuitgraph.results.records import RunResult
from circuitgraph.spec import CircuitSpec
from circuitgraph.spec.dump import dump_spec

_KEY = re.compile(r"(\s*(?:- )*)([^\s#\"'\[\]{},:][^\s:]*)(:)(?=\s|$)(.*)", re.DOTALL)


def spec_section(result: RunResult, prefix: str) -> Section | None:
    """Each line is an element with the id `<prefix>spec-L12`."""
    text = result.spec_text
    if text is None:
        return None
    lines = [_line(number, line, prefix) for number, line in enumerate(text.splitlines() or [""], 1)]
    said = paragraph("As it was run, overrides included; the run directory's ", element("code", None, "spec.yaml"), ".")
    code = element("pre", {"class": "s-code"}, element("code", None, *lines))
    return Section(f"{prefix}spec", "Spec", said + boxed(code, label="The spec, with line numbers"))


def spec_lines(result: RunResult) -> Mapping[str, int]:
    """Experiment id → the line of `result.spec_text` that it comes from; empty where that cannot be told.

    A run that was just made knows the lines of the file that it was made from, which are others where values were
    overridden: then they are read anew from its directory.
    """
    graph = result.graph
    if "format" not in result.provenance:  # not read from a directory
        if result.directory is not None:
            graph, _ = rebuild(Path(result.directory), result.provenance)
        elif result.spec_text is None or _rewritten(result):
            return {}
    return {id_: claim.origin.line for id_, claim in graph.by_id.items() if claim.origin.line}


def _rewritten(result: RunResult) -> bool:
    """Whether the text is no file's, but made of the spec."""
    settings = result.provenance.get("settings", {}).get("spec")
    return settings is None or dump_spec(CircuitSpec.model_validate(settings)) == result.spec_text


def _line(number: int, line: str, prefix: str) -> Markup:
    body, comment = _comment(line)
    attributes = {"class": "s-line", "id": f"{prefix}spec-L{number}", "data-line": number}
    return joined(element("span", attributes, _coloured(body), _as("s-c", comment)), "\n")


def _coloured(body: str) -> Child:
    found = _KEY.fullmatch(body)
    if found is None:
        return body
    indent, key, colon, rest = found.groups()
    return joined(indent, _as("s-k", key), colon, rest)


def _as(kind: str, text: str) -> Markup | None:
    return element("span", {"class": kind}, text) if text else None


def _comment(line: str) -> tuple[str, str]:
    """A line and its comment: from the first # that begins a word and stands in no quotes."""
    quote = ""
    for index, char in enumerate(line):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'" and (index == 0 or line[index - 1] in " [{,:"):
            quote = char
        elif char == "#" and (index == 0 or line[index - 1].isspace()):
            return line[:index], line[index:]
    return line, ""

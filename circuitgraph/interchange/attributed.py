"""GraphML and networkx' node-link JSON -> the graph that drawing writes them from. Nothing else than data is read."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from circuitgraph.drawing.data import Attributed, Attributes
from circuitgraph.errors import InputError, Problem, SpecError
from circuitgraph.interchange.jsontext import TOO_DEEP, JsonText, keys_of, kind_of, read_text
from circuitgraph.interchange.names import shown

_NAMESPACE = "{http://graphml.graphdrawing.org/xmlns}"
_DEEPEST = 32
"""Ours are 4 deep: graphml, graph, edge, data."""


def is_node_link(value: Any) -> bool:
    """Whether a JSON value is a graph in node-link form."""
    lists = keys_of(value, ("nodes", "edges")) and all(isinstance(value[key], list) for key in ("nodes", "edges"))
    return lists and "directed" in value


def read_node_link(file: JsonText) -> Attributed:
    """A graph as `networkx-json` has it; the places in a picture (`scene`) are left aside.

    Raises:
        SpecError: everything that is wrong with it.
    """
    value = file.value
    nodes: list[tuple[str, Attributes]] = []
    edges: list[tuple[str, str, str, Attributes]] = []
    for item in value["nodes"]:
        if not keys_of(item, ("id",)) or not isinstance(item["id"], str):
            file.add(f"a node is an object with an id, not {kind_of(item)}")
            continue
        nodes.append((item["id"], _plain(file, item, ("id",), item["id"])))
    for item in value["edges"]:
        ends = [item.get(key) for key in ("source", "target", "key")] if isinstance(item, dict) else [None]
        if not all(isinstance(end, str) for end in ends):
            file.add(f"an edge is an object with source, target and key, not {kind_of(item)}")
            continue
        tail, head, key = map(str, ends)
        edges.append((tail, head, key, _plain(file, item, ("source", "target", "key"), key)))
    graph = value.get("graph", {})
    named = {key: graph.get(key, "") if isinstance(graph, dict) else "" for key in ("name", "description")}
    if not all(isinstance(text, str) for text in named.values()):
        file.add("graph must hold name and description as texts", "graph")
    file.check()
    return _complete(str(file.path), Attributed(named["name"], named["description"], tuple(nodes), tuple(edges)))


def _plain(file: JsonText, item: dict[str, Any], own: tuple[str, ...], name: str) -> Attributes:
    found: Attributes = {}
    for key, value in item.items():
        if key in own:
            continue
        if value is not None and not isinstance(value, str | int | float | bool):
            file.add(f"'{shown(key)}' of '{shown(name)}' must be a text, a number or true or false", name)
        elif isinstance(value, float) and not math.isfinite(value):
            file.missing += 1
            found[key] = None
        else:
            found[key] = value
    return found


class _TooDeepError(Exception):
    """Elements in elements in elements."""


class _Builder(ElementTree.TreeBuilder):
    """A tree that is not deep: one element is looked for in each that it lies in."""

    depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> ElementTree.Element:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _TooDeepError
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ElementTree.Element:
        self.depth -= 1
        return super().end(tag)


def read_graphml(path: Path) -> Attributed:
    """A graph as `graphml` has it.

    Raises:
        FileError, InputError: it cannot be read, or declares entities.
        SpecError: it is no such XML.
    """
    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError(f"{path}: XML with a document type or entities is not read")
    try:
        parser = ElementTree.XMLParser(target=_Builder())  # noqa: S314 (entities were refused)
        parser.feed(text)
        root = parser.close()
    except _TooDeepError:
        raise InputError(f"{path}: {TOO_DEEP}") from None
    except ElementTree.ParseError as error:
        line, column = error.position
        raise SpecError(str(path), [Problem(f"not XML: {error}", line, column + 1)]) from None
    graph = root.find(f"{_NAMESPACE}graph")
    if root.tag != f"{_NAMESPACE}graphml" or graph is None:
        raise InputError(f"{path}: no GraphML with a graph in it")
    keys: dict[str, tuple[str, str, str]] = {
        key.get("id", ""): (key.get("for", ""), key.get("attr.name", ""), key.get("attr.type", "string"))
        for key in root.iter(f"{_NAMESPACE}key")
    }
    nodes = tuple((item.get("id", ""), _data(path, item, "node", keys)) for item in graph.iter(f"{_NAMESPACE}node"))
    edges = tuple(
        (item.get("source", ""), item.get("target", ""), item.get("id", ""), _data(path, item, "edge", keys))
        for item in graph.iter(f"{_NAMESPACE}edge")
    )
    return _complete(str(path), Attributed(graph.get("id", ""), "", nodes, edges))


def _data(path: Path, item: ElementTree.Element, owner: str, keys: dict[str, tuple[str, str, str]]) -> Attributes:
    """The attributes of a node or an edge, in the order in which the file declares them; None = not given."""
    found: Attributes = {name: None for whose, name, _ in keys.values() if whose == owner}
    for data in item.iter(f"{_NAMESPACE}data"):
        key = data.get("key", "")
        if key not in keys:
            raise InputError(
                f"{path}: {owner} '{shown(item.get('id', ''))}' has data of key '{shown(key)}', undeclared"
            )
        _, name, kind = keys[key]
        text = data.text or ""
        try:
            found[name] = _typed(text, kind)
        except ValueError:
            named = shown(item.get("id", ""))
            raise InputError(f"{path}: {name} of {owner} '{named}' is '{shown(text)}', which is no {kind}") from None
    return found


def _typed(text: str, kind: str) -> Any:
    match kind:
        case "boolean":
            if text not in ("true", "false"):
                raise ValueError
            return text == "true"
        case "int" | "long":
            return int(text)
        case "double" | "float":
            number = float(text)
            return number if math.isfinite(number) else None
        case _:
            return text


def _complete(path: str, graph: Attributed) -> Attributed:
    """Refuse an edge between nodes that are not there, and a node that is there twice."""
    known = Counter(name for name, _ in graph.nodes)
    if len(known) < len(graph.nodes):
        raise InputError(f"{path}: node '{shown(next(name for name in known if known[name] > 1))}' is given twice")
    for tail, head, _, _ in graph.edges:
        for end in (tail, head):
            if end not in known:
                raise InputError(f"{path}: an edge ends at '{shown(end)}', which is none of its nodes")
    return graph

"""CircuitGraph (+ rows, + Scene) -> GraphML and node-link JSON, with the measured columns and, in JSON, the places."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

from circuitgraph.drawing.scene import Rect, Scene
from circuitgraph.drawing.style import Finding
from circuitgraph.drawing.text import one_line
from circuitgraph.graph.claims import CircuitGraph, NodeClaim, claim_id

if TYPE_CHECKING:
    from circuitgraph.results.records import Row

MEASURED = (
    "metric", "metric_base", "metric_other", "metric_patched", "effect", "normalized_effect",
    "std_error", "ci_low", "ci_high", "n",
)  # fmt: skip
"""The columns of the table that are written on edges and nodes, besides `significant`."""

Attributes = dict[str, Any]


@dataclass(frozen=True)
class Attributed:
    """A graph as exchange formats hold it: nodes and edges with attributes that are text, numbers or booleans."""

    name: str
    description: str
    nodes: tuple[tuple[str, Attributes], ...]
    edges: tuple[tuple[str, str, str, Attributes], ...]
    """(tail, head, key, attributes); keys are unique in the whole graph."""


def attributed(graph: CircuitGraph, found: Finding) -> Attributed:
    """A circuit with the columns that were measured.

    The intervention's source is `patched_with`: `source` and `target` are an edge's ends.
    """
    nodes, edges = tuple(_nodes(graph, found)), tuple(_edges(graph, found))
    return Attributed(graph.name, graph.description or "", nodes, edges)


def node_link(graph: Attributed, scene: Scene | None = None) -> str:
    """Strict JSON in networkx' node-link form; `scene` holds boxes and curves in points, y downwards."""
    document = {
        "directed": True,
        "multigraph": True,
        "graph": {"name": graph.name, "description": graph.description},
        "nodes": [{"id": node, **attributes} for node, attributes in graph.nodes],
        "edges": [
            {"source": tail, "target": head, "key": key, **attributes} for tail, head, key, attributes in graph.edges
        ],
        **({} if scene is None else {"scene": _scene(scene)}),
    }
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    return text.encode("utf-8", "replace").decode()  # half a character is `?`: no file can hold it


def graphml(graph: Attributed) -> str:
    """GraphML that networkx, Gephi and yEd read; values that are unknown are left out."""
    nodes, edges = graph.nodes, graph.edges
    keys = {("node", name): value for _, attributes in nodes for name, value in attributes.items()}
    keys |= {("edge", name): value for *_, attributes in edges for name, value in attributes.items()}
    ids = {key: f"d{i}" for i, key in enumerate(keys)}
    kinds = _kinds([("node", a) for _, a in nodes] + [("edge", a) for *_, a in edges])
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">',
        *(
            f'<key id="{ids[key]}" for="{key[0]}" attr.name={_quoted(key[1])} attr.type="{kinds.get(key, "string")}"/>'
            for key in keys
        ),
        f'<graph id={_quoted(graph.name)} edgedefault="directed">',
    ]
    for node, attributes in nodes:
        data = _data({ids["node", name]: value for name, value in attributes.items()})
        lines.append(f"<node id={_quoted(node)}>{data}</node>")
    for tail, head, key, attributes in edges:
        data = _data({ids["edge", name]: value for name, value in attributes.items()})
        ends = f"source={_quoted(tail)} target={_quoted(head)}"
        lines.append(f"<edge id={_quoted(key)} {ends}>{data}</edge>")
    return "\n".join([*lines, "</graph>", "</graphml>", ""])


def _nodes(graph: CircuitGraph, found: Finding) -> Iterator[tuple[str, Attributes]]:
    """Nodes with the columns of the strongest experiment that patches them."""
    rows: dict[str, Row] = {}
    for claim in graph.claims:
        row = found.rows.get(claim_id(claim))
        if isinstance(claim, NodeClaim) and row:
            for address in claim.nodes:
                name = str(address.node)
                rows[name] = max(rows.get(name, row), row, key=lambda row: abs(row.effect))
    for node, attributes in graph.to_networkx().nodes(data=True):
        yield node, dict(attributes) | _measured(rows.get(node))


def _edges(graph: CircuitGraph, found: Finding) -> Iterator[tuple[str, str, str, Attributes]]:
    """Edges with the columns of their experiment; keys are unique in the whole graph."""
    used: dict[str, int] = {}
    for tail, head, _, attributes in graph.to_networkx().edges(keys=True, data=True):
        claim = attributes["claim"]
        used[claim] = used.get(claim, 0) + 1
        key = claim if used[claim] == 1 else f"{claim}.{used[claim]}"
        renamed = {"patched_with" if name == "source" else name: value for name, value in attributes.items()}
        yield tail, head, key, renamed | _measured(found.rows.get(claim))


def _measured(row: Row | None) -> Attributes:
    return {name: getattr(row, name) for name in (*MEASURED, "significant")} if row else {}


def _kinds(items: list[tuple[str, Attributes]]) -> dict[tuple[str, str], str]:
    """The GraphML type of each attribute, from the values it takes."""
    types = {bool: "boolean", int: "int", float: "double", str: "string"}
    found: dict[tuple[str, str], set[str]] = {}
    for owner, attributes in items:
        for name, value in attributes.items():
            if value is not None:
                found.setdefault((owner, name), set()).add(types.get(type(value), "string"))
    return {
        key: next(iter(kinds)) if len(kinds) == 1 else "double" if kinds == {"int", "double"} else "string"
        for key, kinds in found.items()
    }


def _data(values: Mapping[str, Any]) -> str:
    return "".join(
        f'<data key="{key}">{escape(_spelled(value))}</data>' for key, value in values.items() if value is not None
    )


def _spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else one_line(str(value))


def _quoted(text: str) -> str:
    return quoteattr(one_line(text))


def _scene(scene: Scene) -> Attributes:
    return {
        "width": scene.width,
        "height": scene.height,
        "clusters": [
            {"label": " ".join(text.text for text in header.texts), **_rounded(cluster.rect)}
            for cluster, header in zip(scene.clusters, scene.headers, strict=True)
        ],
        "boxes": [
            {
                "key": box.key,
                "node": box.node,
                "position": box.position,
                "group": box.group,
                "unusual": list(box.unusual),
                **_rounded(box.panel.rect),
            }
            for box in scene.boxes
        ],
        "arrows": [
            {
                "id": arrow.id,
                **({"ids": list(arrow.ids)} if arrow.ids else {}),
                "tail": arrow.tail,
                "head": arrow.head,
                "port": arrow.port,
                "curve": [[round(x, 2), round(y, 2)] for x, y in arrow.curve],
                "stroke": asdict(arrow.stroke),
                "unusual": list(arrow.unusual),
            }
            for arrow in scene.arrows
        ],
    }


def _rounded(rect: Rect) -> dict[str, float]:
    return {name: round(value, 2) for name, value in asdict(rect).items()}

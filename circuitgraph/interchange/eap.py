"""EAP-IG's and MIB's graph JSON <-> ScoredGraph. Pure, but for reading the file.

    {"cfg": {"n_layers", "n_heads", "parallel_attn_mlp", "d_model"},
     "nodes": {"a0.h0": {"in_graph", "score"?}, …}, "edges": {"input->a0.h0<q>": {"score", "in_graph"}, …},
     "about": {…}}

EAP-IG's `Graph.from_json` takes an edge that is not listed as outside with score 0, and further keys as they are: so
an edge without a score is left out, and `about` says what the scores are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from circuitgraph.errors import AddressError, InputError, SpecError, did_you_mean
from circuitgraph.interchange.jsontext import TOO_DEEP, JsonText, is_deep, keys_of, kind_of
from circuitgraph.interchange.names import edge_named, end_of, nearest, problem_with, shown
from circuitgraph.interchange.records import Edge, Mark, ScoredGraph, Sizes, all_edges, all_nodes
from circuitgraph.nodes import Logits, Node

KEYS = ("cfg", "nodes", "edges")
LARGEST_SIZE = 10_000
"""Of layers, and of heads of a layer: what is larger is a mistake, and would fill the memory."""


def is_graph(value: Any) -> bool:
    """Whether a JSON value is such a graph."""
    return keys_of(value, KEYS)


def read_graph(file: JsonText) -> tuple[ScoredGraph, tuple[str, ...]]:
    """The graph, and notes on what was read otherwise than it stands there.

    Raises:
        SpecError: everything that is wrong with it.
    """
    value = file.value
    if not is_graph(value):
        raise SpecError(str(file.path), [file.problem(f"a graph of EAP-IG is an object with {', '.join(KEYS)}")])
    sizes = _sizes(file, value["cfg"])
    nodes, edges, neurons = _nodes(file, value["nodes"], sizes), _edges(file, value["edges"], sizes), 0
    if isinstance(value["nodes"], dict):
        neurons = sum(isinstance(info, dict) and "neurons" in info for info in value["nodes"].values())
    about = value.get("about", {})
    if not isinstance(about, dict):
        file.add(f"about must be an object, not {kind_of(about)}", "about")
    elif is_deep(about):
        file.add(f"about is {TOO_DEEP}", "about")
    file.check()
    notes = [f"{file.path}: which neurons of {neurons} nodes are in the graph is not read"] if neurons else []
    return ScoredGraph(sizes, edges, nodes, about), (*file.notes, *notes)


def sizes_of(cfg: Any) -> Sizes:
    """The sizes that a `cfg` holds.

    Raises:
        InputError: one is missing or no size.
    """
    if not isinstance(cfg, Mapping):
        raise InputError(f"cfg must be an object, not {kind_of(cfg)}")
    found: dict[str, Any] = {}
    for key in ("n_layers", "n_heads", "d_model"):
        size = cfg.get(key)
        if size is None and key == "d_model":
            found[key] = None
        elif isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= LARGEST_SIZE * 100:
            given = "missing" if key not in cfg else kind_of(size)
            raise InputError(f"cfg.{key} must be a whole number from 1; it is {given}")
        elif key != "d_model" and size > LARGEST_SIZE:
            raise InputError(f"cfg.{key} is {size:,}; up to {LARGEST_SIZE:,} are read")
        else:
            found[key] = size
    parallel = cfg.get("parallel_attn_mlp", False)
    if not isinstance(parallel, bool):
        raise InputError(f"cfg.parallel_attn_mlp must be true or false, not {kind_of(parallel)}")
    return Sizes(found["n_layers"], found["n_heads"], parallel, found["d_model"])


def _sizes(file: JsonText, cfg: Any) -> Sizes:
    try:
        return sizes_of(cfg)
    except InputError as error:
        raise SpecError(str(file.path), [file.problem(str(error), "cfg")]) from None


def _nodes(file: JsonText, listed: Any, sizes: Sizes) -> dict[Node, Mark]:
    found: dict[Node, Mark] = {}
    if not isinstance(listed, dict):
        file.add(f"nodes must be an object of names, not {kind_of(listed)}", "nodes")
        return found
    shape = sizes.shape
    for name, info in listed.items():
        if file.full:
            break
        try:
            address = end_of(name)
        except AddressError as error:
            file.add(f"{error}{nearest(name, shape)}", name)
            continue
        node = address.node
        if problem := f"'{shown(name)}' is no node" if address.ports else shape.problem_with(node):
            file.add(problem + nearest(str(node), shape), name)
        elif node in found:
            file.add(f"node {node} is given twice", name)
        else:
            found[node] = _mark(file, info, f"node {node}", name)
    return found


def _edges(file: JsonText, listed: Any, sizes: Sizes) -> dict[Edge, Mark]:
    found: dict[Edge, Mark] = {}
    if not isinstance(listed, dict):
        file.add(f"edges must be an object of names, not {kind_of(listed)}", "edges")
        return found
    shape = sizes.shape
    for name, info in listed.items():
        if file.full:
            break
        try:
            edge = edge_named(name)
        except AddressError as error:
            bad = next((end for end in name.split("->") if not _is_end(end)), "")
            file.add(f"edge '{shown(name)}': {error}{nearest(bad, shape) if bad else ''}", name)
            continue
        if problem := problem_with(edge, shape):
            file.add(f"edge '{shown(name)}': {problem}", name)
        elif edge in found:
            file.add(f"edge {edge} is given twice", name)
        else:
            found[edge] = _mark(file, info, f"edge {edge}", name)
    return found


def _is_end(text: str) -> bool:
    try:
        end_of(text.strip())
    except AddressError:
        return False
    return True


def _mark(file: JsonText, info: Any, what: str, name: str) -> Mark:
    if isinstance(info, bool):  # older versions: the membership alone
        return Mark(None, info)
    if not isinstance(info, dict):
        file.add(f"{what} must be an object with score and in_graph, not {kind_of(info)}", name)
        return Mark()
    if unknown := [key for key in info if key not in ("score", "in_graph", "neurons", "neurons_scores")]:
        file.add(f"{what} has '{shown(unknown[0])}'{did_you_mean(unknown[0], ['score', 'in_graph'])}", name)
    score = file.number(info.get("score"), f"the score of {what}", name)
    return Mark(score, file.flag(info.get("in_graph"), f"in_graph of {what}", name))


def graph_text(graph: ScoredGraph, *, scores_needed: bool) -> str:
    """The graph as strict JSON, an edge a line, in EAP-IG's order.

    Args:
        scores_needed: EAP-IG's own reader wants a score for each edge that is listed; MIB's does not.

    Raises:
        InputError: sizes are not known; an edge of the graph has no score, where one is needed.
    """
    sizes = complete_sizes(graph)
    edges: dict[str, dict[str, Any]] = {}
    for edge in all_edges(sizes):
        mark = graph.edges.get(edge)
        if mark is None:
            continue
        info: dict[str, Any] = {} if mark.score is None else {"score": mark.score}
        if mark.score is None and scores_needed:
            if mark.in_graph:
                raise InputError(
                    f"{edge} is in the graph and has no score, which EAP-IG's format cannot hold; write it as mib"
                )
            continue
        edges[str(edge)] = {**info, "in_graph": bool(mark.in_graph)}
    nodes = {str(node): _node_info(node, graph.nodes.get(node, Mark())) for node in all_nodes(sizes)}
    parts = [f'"cfg": {_json(cfg_of(sizes))}', f'"nodes": {_lines(nodes)}', f'"edges": {_lines(edges)}']
    if graph.about:
        parts.append(f'"about": {_json(graph.about)}')
    return "{" + ",\n".join(parts) + "}\n"


def complete_sizes(graph: ScoredGraph) -> Sizes:
    """The sizes of a graph that is written.

    Raises:
        InputError: they are not known, or an edge is of shared keys and values, which EAP-IG has not.
    """
    if graph.sizes is None or graph.sizes.d_model is None:
        raise InputError("EAP-IG's files hold layers, heads and d_model, which this one does not have; name the model")
    shape = graph.sizes.shape
    for edge in graph.edges:
        if problem := problem_with(edge, shape):
            raise InputError(f"{edge} is no edge of EAP-IG's graph: {problem}")
    return graph.sizes


def cfg_of(sizes: Sizes) -> dict[str, Any]:
    """The `cfg` of a file."""
    return {
        "n_layers": sizes.layers,
        "n_heads": sizes.heads,
        "parallel_attn_mlp": sizes.parallel,
        "d_model": sizes.d_model,
    }


def _node_info(node: Node, mark: Mark) -> dict[str, Any]:
    inside = isinstance(node, Logits) or bool(mark.in_graph)
    return {"in_graph": inside} if mark.score is None else {"in_graph": inside, "score": mark.score}


def _lines(items: Mapping[str, Any]) -> str:
    return "{\n" + ",\n".join(f"{_json(name)}: {_json(info)}" for name, info in items.items()) + "\n}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def read_graph_file(path: Path) -> tuple[ScoredGraph, tuple[str, ...]]:
    """`read_graph` of a file.

    Raises:
        FileError, SpecError, InputError: as `JsonText.read` and `read_graph`.
    """
    return read_graph(JsonText.read(path))

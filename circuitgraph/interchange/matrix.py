"""EAP-IG's and MIB's `.pt` <-> ScoredGraph. torch, on first use, reads nothing but plain data.

    {"cfg", "src_nodes", "dst_nodes", "edges_scores"?, "edges_in_graph", "nodes_in_graph", "nodes_scores"?, "about"?}

or the matrix of scores alone, [1 + L(H + 1), L(3H + 1) + 1]: a row per sender (input, then heads and MLP of each
layer), a column per port (q, k and v of all heads, then the MLP of each layer; logits last).
"""

from __future__ import annotations

import io
import json
import math
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitgraph.errors import FileError, InputError
from circuitgraph.interchange.eap import LARGEST_SIZE, cfg_of, complete_sizes, sizes_of
from circuitgraph.interchange.jsontext import LARGEST, TOO_DEEP, is_deep, kind_of, read_bytes
from circuitgraph.interchange.names import shown
from circuitgraph.interchange.records import Edge, Mark, ScoredGraph, Sizes, all_edges, all_nodes
from circuitgraph.nodes import MLP, Address, Head, Logits, Node, Port
from circuitgraph.results.files import write_bytes

if TYPE_CHECKING:
    import torch

WANTED = "a dict with cfg, edges_scores or edges_in_graph, as EAP-IG's to_pt writes it, or the matrix of scores alone"
_KNOWN = ("cfg", "src_nodes", "dst_nodes", "edges_scores", "edges_in_graph", "nodes_in_graph", "nodes_scores", "about")


def load_tensors(path: Path) -> Any:
    """What a `.pt` file holds: tensors, numbers, texts, lists, dicts; nothing in it is run.

    Raises:
        FileError: unreadable, damaged, or larger than is read, packed or unpacked.
        InputError: it holds objects of other classes.
    """
    content = read_bytes(path)
    _check_unpacked(path, content)
    import pickle

    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is odd about it is told in one message, below or later
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = (
            "it holds more than tensors and plain data, which could run code" if _asks_for_code(error) else "damaged"
        )
        raise InputError(f"{path} is not read: {reason}; {WANTED} is") from None
    except Exception as error:  # damaged bytes raise whatever they lead into
        raise FileError(
            f"cannot read {path}: no file of torch.save, or damaged ({shown(_first_line(error))})"
        ) from None


def _check_unpacked(path: Path, content: bytes) -> None:
    """Refuse an archive that is damaged, or too large when unpacked."""
    try:
        if not zipfile.is_zipfile(io.BytesIO(content)):
            return
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except Exception as error:  # damaged bytes raise whatever they lead into
        raise FileError(f"cannot read {path}: damaged ({shown(_first_line(error))})") from None
    if size > LARGEST:
        raise FileError(f"cannot read {path}: {size:,} bytes when unpacked; up to {LARGEST:,} are read")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _asks_for_code(error: Exception) -> bool:
    return "global" in str(error).lower() or "unsupported" in str(error).lower()


def is_matrix(value: Any) -> bool:
    """Whether what a `.pt` file holds is such a graph or matrix."""
    import torch

    if isinstance(value, torch.Tensor):
        return not value.is_nested and value.ndim == 2
    return isinstance(value, Mapping) and "cfg" in value and bool({"edges_scores", "edges_in_graph"} & value.keys())


def read_matrix(path: Path, value: Any) -> tuple[ScoredGraph, tuple[str, ...]]:
    """The graph in what `load_tensors` gave, and notes on what was read otherwise than it stands there.

    Raises:
        InputError: it is no such matrix; the message names the key and the shape.
    """
    import torch

    if isinstance(value, torch.Tensor):
        value = {"cfg": cfg_of(_sizes_from(path, tuple(value.shape))), "edges_scores": value}
    try:
        sizes = sizes_of(value["cfg"])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    rows, columns = _size_of(sizes)
    scores = _tensor(path, value, "edges_scores", (rows, columns))
    inside = _tensor(path, value, "edges_in_graph", (rows, columns))
    node_inside = _tensor(path, value, "nodes_in_graph", (rows,))
    node_scores = _tensor(path, value, "nodes_scores", (rows,))
    if scores is None and inside is None:
        raise InputError(f"{path} holds neither edges_scores nor edges_in_graph")
    _check_names(path, value, sizes)  # after the tensors: sizes that fit none would make names without end
    about = _about(path, value)
    row, column = _index(sizes)
    edges: dict[Edge, Mark] = {}
    missing = 0
    for edge in all_edges(sizes):
        at = row[edge.sender] * columns + column[edge.target]
        score = None if scores is None else scores[at]
        if score is not None and not math.isfinite(score):
            score, missing = None, missing + 1
        edges[edge] = Mark(score, _member(path, "edges_in_graph", edge, None if inside is None else inside[at]))
    nodes: dict[Node, Mark] = {}
    for node in all_nodes(sizes):
        at = row.get(node)
        score = None if node_scores is None or at is None else node_scores[at]
        if score is not None and not math.isfinite(score):
            score, missing = None, missing + 1
        flag = 1.0 if at is None else None if node_inside is None else node_inside[at]
        nodes[node] = Mark(score, _member(path, "nodes_in_graph", node, flag))
    notes = [f"{path}: {missing:,} scores are NaN or infinite, and read as missing"] if missing else []
    if others := [shown(str(key)) for key in value if key not in _KNOWN]:
        notes.append(f"{path}: {', '.join(others)} is not read")
    return ScoredGraph(sizes, edges, nodes, about), tuple(notes)


def _member(path: Path, key: str, what: Edge | Node, flag: float | None) -> bool | None:
    """1 or 0. Anything else would be a score, or a mistake."""
    if flag not in (None, 0.0, 1.0):
        raise InputError(f"{path}: {key} holds {flag:g} at {what}; it says in or out: 1 or 0, true or false")
    return None if flag is None else bool(flag)


def _about(path: Path, value: Mapping[str, Any]) -> Mapping[str, Any]:
    text = value.get("about", "{}")
    try:
        about = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        about = None
    except RecursionError:
        raise InputError(f"{path}: about is {TOO_DEEP}") from None
    if not isinstance(about, dict):
        raise InputError(f"{path}: about must be the JSON text of an object")
    if is_deep(about):
        raise InputError(f"{path}: about is {TOO_DEEP}")
    return about


def _size_of(sizes: Sizes) -> tuple[int, int]:
    return 1 + sizes.layers * (sizes.heads + 1), sizes.layers * (3 * sizes.heads + 1) + 1


def _sizes_from(path: Path, shape: tuple[int, ...]) -> Sizes:
    """Layers and heads from the size of a matrix: columns − rows = 2·L·H."""
    rows, columns = shape if len(shape) == 2 else (0, 0)
    both, odd = divmod(columns - rows, 2)
    layers = rows - 1 - both
    if odd or both < 1 or layers < 1 or both % layers or max(layers, both // layers) > LARGEST_SIZE:
        raise InputError(
            f"{path}: a matrix of {' × '.join(map(str, shape))} is none of scores; those of L layers with H heads are "
            f"1 + L(H + 1) × L(3H + 1) + 1, for GPT-2 small 157 × 445"
        )
    return Sizes(layers, both // layers)


def _check_names(path: Path, value: Mapping[str, Any], sizes: Sizes) -> None:
    nodes = [str(node) for node in all_nodes(sizes) if not isinstance(node, Logits)]
    for key, names in (("src_nodes", nodes), ("dst_nodes", target_names(sizes))):
        given = value.get(key)
        if given is None:
            continue
        texts = isinstance(given, Sequence | Mapping) and not isinstance(given, str)
        listed = [item if isinstance(item, str) else kind_of(item) for item in given] if texts else []
        if listed == names:
            continue
        if len(listed) != len(names):
            raise InputError(
                f"{path}: {key} has {len(listed):,} names, and layers and heads in cfg make {len(names):,}"
            )
        at = next(i for i, (a, b) in enumerate(zip(listed, names, strict=True)) if a != b)
        raise InputError(
            f"{path}: {key} has '{shown(listed[at])}' at place {at}, where EAP-IG has '{names[at]}': rows or columns "
            "in another order are not read"
        )


def target_names(sizes: Sizes) -> list[str]:
    """The columns in order."""
    return [str(target) for target in _targets(sizes)]


def _targets(sizes: Sizes) -> list[Address]:
    found: list[Address] = []
    for layer in range(sizes.layers):
        found += [Address(Head(layer, i), (port,)) for port in (Port.Q, Port.K, Port.V) for i in range(sizes.heads)]
        found.append(Address(MLP(layer)))
    return [*found, Address(Logits())]


def _index(sizes: Sizes) -> tuple[dict[Node, int], dict[Address, int]]:
    senders = [node for node in all_nodes(sizes) if not isinstance(node, Logits)]
    return {node: i for i, node in enumerate(senders)}, {target: i for i, target in enumerate(_targets(sizes))}


def _tensor(path: Path, value: Mapping[str, Any], key: str, size: tuple[int, ...]) -> list[float] | None:
    """A tensor of this size as a flat list; None where there is none."""
    import torch

    given = value.get(key)
    if given is None:
        return None
    if not isinstance(given, torch.Tensor):
        raise InputError(f"{path}: {key} must be a plain tensor of numbers, not {kind_of(given)}")
    # Nested tensors have no shape to compare, and meta tensors no numbers.
    if given.layout is not torch.strided or given.is_nested or given.is_quantized or given.is_complex():
        named = {"nested": given.is_nested, "quantized": given.is_quantized, "complex": given.is_complex()}
        kind = next((name for name, yes in named.items() if yes), str(given.layout).removeprefix("torch."))
        raise InputError(f"{path}: {key} must be a plain tensor of numbers; it is {kind}")
    if given.device.type != "cpu":
        raise InputError(f"{path}: {key} must be a plain tensor of numbers; it is on '{given.device}', without numbers")
    if tuple(given.shape) != size:
        found = " × ".join(map(str, given.shape)) or "a single number"
        raise InputError(f"{path}: {key} is {found}; layers and heads in cfg make it {' × '.join(map(str, size))}")
    if given.numel() > LARGEST // 8:  # a repeated number takes no place in the file
        raise InputError(f"{path}: {key} has {given.numel():,} cells; up to {LARGEST // 8:,} are read")
    return given.detach().to(torch.float64).flatten().tolist()


def write_matrix(path: Path, graph: ScoredGraph) -> None:
    """Write a graph as EAP-IG's `to_pt` does; without scores where no edge has one (a circuit alone, as MIB reads it).

    Raises:
        InputError: some edges have scores and others none: a matrix has a place for each.
        FileError: the file cannot be written; nothing is left behind.
    """
    import torch

    sizes = complete_sizes(graph)
    if graph.scored:
        lacking = [edge for edge in all_edges(sizes) if graph.edges.get(edge, Mark()).score is None]
        if lacking:
            more = f" and {len(lacking) - 1:,} more" if len(lacking) > 1 else ""
            raise InputError(
                f"{lacking[0]}{more} have no score, and a matrix has a place for every edge: write .json, which leaves "
                "them out"
            )
    rows, columns = _size_of(sizes)
    row, column = _index(sizes)
    scores = torch.zeros((rows, columns), dtype=torch.float64)
    inside = torch.zeros((rows, columns), dtype=torch.bool)
    for edge, mark in graph.edges.items():
        at = row[edge.sender], column[edge.target]
        scores[at] = 0.0 if mark.score is None else mark.score
        inside[at] = bool(mark.in_graph)
    nodes = [bool(graph.nodes.get(node, Mark()).in_graph) for node in row]
    content: dict[str, Any] = {
        "cfg": cfg_of(sizes),
        "src_nodes": [str(node) for node in row],
        "dst_nodes": target_names(sizes),
        **({"edges_scores": scores} if graph.scored else {}),
        "edges_in_graph": inside,
        "nodes_in_graph": torch.tensor(nodes),
        **_node_scores(graph, row),
        "about": json.dumps(dict(graph.about), ensure_ascii=False, allow_nan=False),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getvalue())


def _node_scores(graph: ScoredGraph, row: Mapping[Node, int]) -> dict[str, torch.Tensor]:
    import torch

    scores = [graph.nodes.get(node, Mark()).score for node in row]
    if all(score is None for score in scores):
        return {}
    if any(score is None for score in scores):
        raise InputError("some nodes have scores and others none; write .json, which leaves them out")
    return {"nodes_scores": torch.tensor(scores, dtype=torch.float64)}

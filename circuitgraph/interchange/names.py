"""Text -> nodes and edges as other tools spell them, and what is wrong with one that the model does not have."""

from __future__ import annotations

import re
from functools import cache

from circuitgraph.errors import AddressError, did_you_mean
from circuitgraph.graph.shape import ModelShape
from circuitgraph.interchange.records import Edge
from circuitgraph.nodes import MLP, Address, Head, Input, KVHead, Logits, Node, Port, layer_of, parse

ENDS = "edges go from input, a head or an MLP to a head's <q>, <k> or <v>, an MLP or logits"
_SHOWN = 60


def shown(text: str) -> str:
    """A name as a message quotes it: printable, and not longer than a line can take."""
    plain = "".join(char if char.isprintable() else "�" for char in text)
    return plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}…"


@cache
def end_of(text: str) -> Address:
    """One end of an edge.

    Raises:
        AddressError: it is no node that has edges there.
    """
    try:
        address = parse(text)
    except AddressError:
        raise AddressError(f"'{shown(text)}' is no node") from None
    if address.position is not None or address.output is not None:
        raise AddressError(f"'{shown(text)}' names a position, and these files have none")
    if not isinstance(address.node, Input | Head | KVHead | MLP | Logits):
        raise AddressError(f"'{shown(text)}' is no end of an edge; {ENDS}")
    return address


def edge_named(name: str) -> Edge:
    """`a5.h5->a7.h3<q>`, read.

    Raises:
        AddressError: it is no edge.
    """
    ends = name.split("->")
    if len(ends) != 2:
        raise AddressError(f"'{shown(name)}' is no edge; edges are written like a5.h5->a7.h3<q>")
    return edge_between(end_of(ends[0].strip()), end_of(ends[1].strip()))


def edge_between(sender: Address, target: Address) -> Edge:
    """An edge of two ends.

    Raises:
        AddressError: a port is missing or too many, or an end is none.
    """
    if sender.ports:
        raise AddressError(f"'{sender}' sends as a whole; write '{sender.node}'")
    if isinstance(sender.node, Logits | KVHead):
        raise AddressError(f"'{sender.node}' sends nothing; {ENDS}")
    match target.node:
        case Input():
            raise AddressError(f"'input' receives nothing; {ENDS}")
        case Head() if len(target.ports) != 1 or target.ports[0] is Port.PATTERN:
            raise AddressError(f"'{target}' needs one port: {target.node}<q>, <k> or <v>")
        case KVHead() if len(target.ports) != 1 or target.ports[0] not in (Port.K, Port.V):
            raise AddressError(f"'{target}' needs one port: {target.node}<k> or <v>")
        case MLP() | Logits() if target.ports:
            raise AddressError(f"'{target}' has no ports; write '{target.node}'")
        case _:
            return Edge(sender.node, target)


def problem_with(edge: Edge, shape: ModelShape) -> str | None:
    """Why a model of this shape has no such edge; None if it has."""
    for node in (edge.sender, edge.target.node):
        if problem := shape.problem_with(node):
            return problem + nearest(str(node), shape)
    if not shape.can_reach(edge.sender, edge.target.node):
        return f"{edge} goes backwards: {edge.target.node} reads before {edge.sender} writes"
    return None


def nearest(text: str, shape: ModelShape) -> str:
    """`; did you mean 'a0.h1'? have: …` among the nodes of a model."""
    return did_you_mean(text[:_SHOWN], _names(shape), limit=6)


@cache
def _names(shape: ModelShape) -> tuple[str, ...]:
    """The nodes of a model, as far as a list of them helps."""
    if shape.layers * shape.heads >= 5000:
        return ()
    heads = [str(Head(layer, index)) for layer in range(shape.layers) for index in range(shape.heads)]
    return ("input", "logits", *(str(MLP(layer)) for layer in range(shape.layers)), *heads)


def smallest_shape(edges: dict[Edge, object] | set[Edge]) -> tuple[int, int]:
    """Layers and heads that a model must have at least, to have these edges."""
    nodes: set[Node] = {end for edge in edges for end in (edge.sender, edge.target.node)}
    layers = 1 + max((layer for node in nodes if (layer := layer_of(node)) is not None), default=0)
    return layers, 1 + max((node.index for node in nodes if isinstance(node, Head)), default=0)


# Edge-Pruning -----------------------------------------------------------------------------------

EMBEDDINGS = ("tok_embeds", "pos_embeds", "embeds")
_PRUNED_PORT = re.compile(r"(a\d+\.h\d+)\.([qkvo])", re.ASCII)
_LONG_NAME = re.compile(r"(?:head\.(\d+)\.(\d+)(?:\.([qkv]))?|mlp\.(\d+))", re.ASCII)


def pruning_end(name: str) -> Address:
    """A node as Edge-Pruning writes it: `a9.h6.q`, `m3`, `tok_embeds`, `resid_post`; or `head.9.6.q`, `mlp.3`.

    Raises:
        AddressError: it is none.
    """
    if name in EMBEDDINGS:
        return Address(Input())
    if name == "resid_post":
        return Address(Logits())
    if long := _LONG_NAME.fullmatch(name):
        if long[4] is not None:
            return Address(MLP(int(long[4])))
        return Address(Head(int(long[1]), int(long[2])), () if long[3] is None else (Port(long[3]),))
    if (ported := _PRUNED_PORT.fullmatch(name)) and ported[2] != "o":
        return Address(end_of(ported[1]).node, (Port(ported[2]),))
    return end_of(name)


# ACDC -------------------------------------------------------------------------------------------

_HOOK = re.compile(
    r"blocks\.(?P<layer>\d{1,6})\."
    r"(?:hook_(?P<port>[qkv])_input|attn\.hook_(?P<inner>[qkv])|attn\.hook_(?P<head>result|z)"
    r"|hook_(?P<stream>mlp_in|resid_mid|mlp_out|resid_post|resid_pre))",
    re.ASCII,
)
_INDEX = re.compile(r"(?P<name>[\w.]+)\s*(?P<index>\[.*\])?", re.ASCII | re.DOTALL)


def hook_and_index(text: str) -> tuple[str, int | None]:
    """`blocks.9.attn.hook_result[:, :, 6]` -> its name, and 6.

    Raises:
        AddressError: it is no hook with such an index.
    """
    match = _INDEX.fullmatch(text.strip())
    if match is None:
        raise AddressError(f"'{shown(text)}' is no hook; ACDC's are written like blocks.9.attn.hook_result[:, :, 6]")
    return match["name"], None if match["index"] is None else head_index(match["index"])


def head_index(index: object) -> int | None:
    """The head of a TorchIndex: 3 of `[:, :, 3]`, `[COLON, COLON, 3]` or [null, null, 3]; None of `[:]`.

    Raises:
        AddressError: it selects something else, such as a position.
    """
    if isinstance(index, str):
        inner = index.strip().removeprefix("[").removesuffix("]")
        parts: list[object] = [None if part.strip() in (":", "COLON", "None", "null") else part.strip()
                               for part in inner.split(",")]  # fmt: skip
        parts = [int(part) if isinstance(part, str) and re.fullmatch(r"\d{1,6}", part) else part for part in parts]
    elif index is None:
        return None
    elif isinstance(index, list | tuple):
        parts = list(index)
    else:
        parts = [index]
    match parts:
        case [None] | [None, None] | []:
            return None
        case [None, None, int(head)] if not isinstance(head, bool) and head >= 0:
            return head
        case _:
            raise AddressError(
                f"the index {shown(str(index))} is read as [:] (all) or [:, :, head]; ACDC's edges at positions or "
                "neurons are not read"
            )


def hook_end(name: str, head: int | None, *, sends: bool) -> Address | None:
    """The end of an edge that a hook is; None for what lies inside a head or an MLP.

    Raises:
        AddressError: it is no hook of ACDC's graph.
    """
    if name in ("hook_embed", "hook_pos_embed"):
        return Address(Input())
    match = _HOOK.fullmatch(name)
    if match is None:
        raise AddressError(f"'{shown(name)}' is no hook of ACDC's graph")
    layer = int(match["layer"])
    if any((match["port"], match["inner"], match["head"])) and head is None:
        raise AddressError(f"'{name}' needs the index of a head: [:, :, head]")
    if match["port"]:
        return None if sends else Address(Head(layer, head or 0), (Port(match["port"]),))
    if match["inner"]:
        return None
    if match["head"]:
        return Address(Head(layer, head or 0)) if sends else None
    match match["stream"], sends:
        case (("mlp_in" | "resid_mid"), False):
            return Address(MLP(layer))
        case "mlp_out", True:
            return Address(MLP(layer))
        case "resid_pre", True if layer == 0:
            return Address(Input())
        case "resid_post", False:
            return Address(Logits())
        case (("mlp_in" | "resid_mid"), True):
            return None
        case "mlp_out", False:
            return None
        case _:
            raise AddressError(f"'{name}' is no {'sender' if sends else 'receiver'} of ACDC's graph")

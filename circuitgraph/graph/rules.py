"""What may stand at which end of an edge, alone and together. Each rule returns its message, None = allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import (
    MLP,
    Address,
    Attention,
    Feature,
    Head,
    Input,
    KVHead,
    Logits,
    Neuron,
    Node,
    Port,
    Residual,
    SaeError,
    is_part,
    layer_of,
)
from circuitgraph.spec.model import Align

_NO_ADDING = (
    "what edges that are patched together add to each input is defined for nodes that write and read the stream, "
    "not for parts of the stream itself"
)
_ODD_OUTPUT = "an output position (>) belongs on an inner node of a chain"


def sender_problem(shape: ModelShape, address: Address) -> str | None:
    """Why `address` cannot be a sender."""
    node = address.node
    match node:
        case Logits():
            return "logits is where the model ends; it can only be a receiver"
        case KVHead():
            return f"{node} can only be a receiver; the senders are its query heads: {_query_heads(shape, node)}"
        case _:
            pass
    if address.ports:
        return f"{address}: a sender has one output and no port; write {_without_ports(address)}"
    return _ODD_OUTPUT if address.output is not None else None


def receiver_problem(address: Address) -> str | None:
    """Why `address` cannot be a receiver."""
    if isinstance(address.node, Input):
        return "input is where the model begins; it can only be a sender"
    return port_problem(address) or (_ODD_OUTPUT if address.output is not None else None)


def inner_problem(shape: ModelShape, address: Address) -> str | None:
    """Why `address` cannot be an inner node of a chain: it receives at its input and sends its output."""
    match address.node:
        case Input():
            return "input is where the model begins; it can only be the first node of a chain"
        case Logits():
            return "logits is where the model ends; it can only be the last node of a chain"
        case KVHead() as node:
            return f"{node} cannot send; write one of its query heads: {_query_heads(shape, node)}"
        case _:
            return port_problem(address)


def patched_problem(shape: ModelShape, address: Address) -> str | None:
    """Why `address` cannot be patched by itself (an entry of `nodes:`)."""
    match address.node:
        case Logits():
            return "logits is what the metric reads; patch an earlier node"
        case KVHead() as node:
            if not address.ports:
                return (
                    f"{node} has keys and values: write {node}<k>, {node}<v> or {node}<k,v>, "
                    f"or patch its query heads: {_query_heads(shape, node)}"
                )
            if Port.PATTERN in address.ports:
                return f"{address}: attention patterns belong to query heads: {_query_heads(shape, node)}"
            if problem := port_problem(address):
                return problem
        case Head():
            pass
        case _:
            if address.ports:
                return (
                    f"{address}: only the q, k, v and pattern of a head can be patched; write {_without_ports(address)}"
                )
    return _ODD_OUTPUT if address.output is not None else None


def pruned_problem(address: Address) -> str | None:
    """Why the output weights of `address` cannot be set to zero."""
    if not isinstance(address.node, Head | Attention | MLP | Neuron) or address.ports:
        return f"{address} has no output weights that could be pruned; heads, attention layers, MLPs and neurons have"
    if address.position is not None:
        return f"{address}: weights are the same at every position; write {address.node}"
    return _ODD_OUTPUT if address.output is not None else None


def aligned_problem(address: Address, align: Align) -> str | None:
    """Why `address` has no value in a reference set that is aligned like this."""
    if Port.PATTERN in address.ports and align is not Align.POSITION:
        return (
            f"{address}: a pattern says how the tokens of one prompt look at each other, which align: {align} takes "
            "apart; set align: position, or patch q, k or v"
        )
    if align is Align.NAME and address.position is None:
        return (
            f"{address}: align: name gives values at positions alone; write {address}@END or another position, "
            "or set align: position or align: pooled"
        )
    return None


def port_problem(address: Address) -> str | None:
    """Why a receiver has no such port."""
    if Port.PATTERN in address.ports and isinstance(address.node, Head | Attention | KVHead):
        return (
            f"{address}: a pattern is what q and k become, and no input; write {address.node}<q> or {address.node}<k>, "
            "or patch the pattern itself under nodes:"
        )
    match address.node:
        case Head() | Attention():
            return None
        case KVHead() as node:
            if Port.Q not in address.ports:
                return None
            return f"{node} has the ports <k> and <v>; queries belong to query heads: a{node.layer}.h…<q>"
        case Input() | MLP() | Neuron() | Residual() | Logits() | Feature() | SaeError():
            if not address.ports:
                return None
            return (
                f"{address}: {address.node} has one input and no port; write {_without_ports(address)} "
                "(ports q, k, v belong to attention)"
            )


def reach_problem(shape: ModelShape, sender: Node, receiver: Node) -> str | None:
    """Why the residual stream does not carry `sender`'s output to `receiver`'s input."""
    if shape.can_reach(sender, receiver):
        return None
    edge = f"{sender} → {receiver}"
    if sender == receiver:
        return f"{edge}: a node does not receive its own output"
    written, read = shape.written_at(sender), shape.read_at(receiver)
    if isinstance(sender, Feature | SaeError) and written == read:
        return f"{edge} does not exist: both are parts of the residual stream {_written(written)}"
    where = f"{sender} writes to the residual stream {_written(written)}, {receiver} reads it {_read(shape, read)}"
    if shape.parallel and layer_of(sender) == layer_of(receiver) is not None:
        return f"{edge} does not exist: {where}; attention and MLP of a block run in parallel in this model"
    beside = not isinstance(receiver, Feature | SaeError) and layer_of(sender) == layer_of(receiver)
    if beside and isinstance(sender, Head | Attention):
        return f"{edge} does not exist: {where}; the heads of a layer read before any of them writes"
    return f"{edge} runs backwards: {where}"


def joint_problem(shape: ModelShape, addresses: Sequence[Address]) -> str | None:
    """Why outputs cannot be replaced together: a node is named twice, or holds another."""
    return (
        _repeated(addresses)
        or _held(addresses, partial(holds, shape))
        or _held(addresses, partial(_inputs_held, shape))
    )


def added_problem(shape: ModelShape, receivers: Sequence[Address]) -> str | None:
    """Why senders cannot be added to these inputs in one run: some input would get them twice."""
    for stream in receivers:
        if isinstance(stream.node, Feature | SaeError):
            return f"{stream} cannot be a joined receiver with receivers: add: {_NO_ADDING}; use receivers: overwrite"
        if not isinstance(stream.node, Residual):
            continue
        for later in receivers:
            if later.node != stream.node and shape.read_at(stream.node) <= shape.read_at(later.node):
                return f"{stream} and {later} overlap: what is added to {stream.node} reaches {later.node} already"
    return None


def adding_problem(senders: Sequence[Address]) -> str | None:
    """Why senders cannot be added to inputs."""
    for sender in senders:
        if isinstance(sender.node, Feature | SaeError):
            return f"{sender} cannot be a sender with receivers: add: {_NO_ADDING}; use receivers: overwrite"
    return None


def receivers_problem(shape: ModelShape, receivers: Sequence[Address]) -> str | None:
    """Why inputs cannot be overwritten together: one is named twice, or holds another."""
    return _repeated(receivers) or _held(receivers, partial(_inputs_held, shape))


def set_problem(shape: ModelShape, edges: Sequence[tuple[Address, Address]]) -> str | None:
    """Why edges cannot be patched together: one is there twice, or a node and a part of it stand at one end."""
    known: dict[tuple[Node, Node], list[tuple[Address, Address]]] = {}
    for node in (end.node for edge in edges for end in edge):
        if isinstance(node, Feature | SaeError):
            return f"{node} cannot be in a set of edges: {_NO_ADDING}; give the edge an entry of its own"
    for sender, receiver in edges:
        same = known.setdefault((sender.node, receiver.node), [])
        for s, r in same:
            if _meet(sender, s) and _meet(receiver, r):
                return f"the set holds {s} → {r} and {sender} → {receiver}, which overlap"
        same.append((sender, receiver))
    senders = list(dict.fromkeys(sender for sender, _ in edges))
    receivers = list(dict.fromkeys(receiver for _, receiver in edges))
    return (
        _held(senders, partial(holds, shape))
        or _held(receivers, partial(_inputs_held, shape))
        or added_problem(shape, receivers)
    )


def _repeated(addresses: Sequence[Address]) -> str | None:
    known: dict[Node, list[Address]] = {}
    for address in addresses:
        same = known.setdefault(address.node, [])
        for other in same:
            if other == address:
                return f"{address} is named twice in a joint set"
            if _meet(address, other):
                return f"{other} and {address} overlap: what is changed together must be disjoint"
        same.append(address)
    return None


def _held(addresses: Sequence[Address], holding: Callable[[Node, Node], bool]) -> str | None:
    for whole in addresses:
        if isinstance(whole.node, Head | Neuron | Input | Logits):
            continue
        for part in addresses:
            if holding(whole.node, part.node) and _meet(whole, part):
                if isinstance(whole.node, Feature | SaeError):
                    return f"{whole} and {part} cannot be changed together: {whole.node} is computed from {part.node}"
                return f"{whole} and {part} cannot be changed together: {part.node} is part of {whole.node}"
    return None


def _meet(a: Address, b: Address) -> bool:
    """Whether ports and positions of two addresses have something in common (no port, no position = all)."""
    ports = not a.ports or not b.ports or bool(set(a.ports) & set(b.ports))
    return ports and (a.position is None or b.position is None or a.position == b.position)


def overwrite_problem(shape: ModelShape, receivers: Sequence[Address]) -> str | None:
    """Why recorded activations cannot be written over all of `receivers` together."""
    for late in receivers:
        if not isinstance(late.node, Logits | Residual | Feature | SaeError):
            continue
        for early in receivers:
            if _same_sae(early.node, late.node):
                continue
            if early.node != late.node and shape.written_at(early.node) <= shape.read_at(late.node):
                add = "" if isinstance(late.node, Feature | SaeError) else "set receivers: add, or "
                return (
                    f"{early} can reach {late}, and overwriting {late} with what was recorded there would erase it; "
                    f"{add}give the receivers separate edges"
                )
    return None


def holds(shape: ModelShape, whole: Node, part: Node) -> bool:
    """Whether `part`'s output is in `whole`'s: a layer holds its heads, a residual stream all that was written."""
    if isinstance(whole, Residual):
        return whole != part and shape.written_at(part) <= shape.read_at(whole)
    if isinstance(whole, Feature | SaeError):
        # A feature is computed from all that was written before; those of one autoencoder are told apart.
        return not _same_sae(whole, part) and shape.written_at(part) <= shape.read_at(whole)
    return is_part(part, whole)


def _same_sae(a: Node, b: Node) -> bool:
    return isinstance(a, Feature | SaeError) and isinstance(b, Feature | SaeError) and a.sae == b.sae


def _inputs_held(shape: ModelShape, whole: Node, part: Node) -> bool:
    """Whether `part`'s input is in `whole`'s: a layer holds its heads, a shared key its query heads' views of it."""
    if isinstance(whole, KVHead):
        return isinstance(part, Head) and part.layer == whole.layer and part.index in _group_of(shape, whole.index)
    return is_part(part, whole)


def _group_of(shape: ModelShape, index: int) -> range:
    size = max(shape.heads // shape.kv_heads, 1)
    return range(index * size, (index + 1) * size)


def _query_heads(shape: ModelShape, node: KVHead) -> str:
    return ", ".join(str(Head(node.layer, index)) for index in _group_of(shape, node.index))


def _without_ports(address: Address) -> Address:
    return Address(address.node, (), address.position, address.output)


def _written(point: int) -> str:
    if point == 0:
        return "before block 0"
    return f"after the attention of block {point // 2}" if point % 2 else f"after block {point // 2 - 1}"


def _read(shape: ModelShape, point: int) -> str:
    if point == 2 * shape.layers:
        return "after the last block"
    return f"between attention and MLP of block {point // 2}" if point % 2 else f"before block {point // 2}"

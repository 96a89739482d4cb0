"""CircuitGraph -> networkx, with attributes that every exchange format can hold. The only importer of networkx."""

from __future__ import annotations

from typing import TYPE_CHECKING

from circuitgraph.graph.claims import ChainClaim, CircuitGraph, Claim, EdgeClaim, NodeClaim, SetClaim, claim_id
from circuitgraph.graph.claims import claim_label as label_of
from circuitgraph.nodes import Address, layer_of

if TYPE_CHECKING:
    import networkx


def to_networkx(graph: CircuitGraph) -> networkx.MultiDiGraph:
    """Nodes by canonical name, one edge per arc (joined ends, chains and sets taken apart).

    Node attributes: `kind`, `layer` (-1 for input and logits), `groups` (comma-separated names), `label`, and
    `patched` (whether an entry of `nodes:` patches it). Edge keys are claim ids, followed by `#1`, `#2`, … where
    a claim has several arcs between the same nodes. Edge attributes: `claim`, `kind`, `label`, `path`, `base`,
    `source`, `sender`, `receiver`, `ports`, `sender_position`, `receiver_position`, `joined`, `receivers` (overwrite or
    add, of joined receivers), `line`. All values are text, numbers or booleans, so GraphML and JSON can hold them; an
    unset one is the empty text.
    """
    import networkx

    view = networkx.MultiDiGraph(name=graph.name, description=graph.description or "")
    patched = {address.node for claim in graph.claims if isinstance(claim, NodeClaim) for address in claim.nodes}
    for node in graph.nodes:
        groups = [group for group in graph.groups if any(member.node == node for member in group.members)]
        layer = layer_of(node)
        view.add_node(
            str(node),
            kind=type(node).__name__.lower(),
            layer=-1 if layer is None else layer,
            groups=",".join(group.name for group in groups),
            label=str(node),
            patched=node in patched,
        )
    for sender, receiver, claim in graph.arcs():
        key = base_key = claim_id(claim)
        count = 0
        while view.has_edge(str(sender.node), str(receiver.node), key):
            count += 1
            key = f"{base_key}#{count}"
        view.add_edge(str(sender.node), str(receiver.node), key, **_attributes(sender, receiver, claim))
    return view


def _attributes(sender: Address, receiver: Address, claim: Claim) -> dict[str, str | int | bool]:
    mode = ""
    match claim:
        case EdgeClaim(senders, receivers):
            mode = claim.how.receivers.value if len(receivers) > 1 else ""
            joined = len(senders) > 1 or len(receivers) > 1
        case ChainClaim(hops):
            joined = len(hops) > 2
        case SetClaim(edges):
            joined = len(edges) > 1
        case NodeClaim():
            joined = False
    leaves = sender.output if isinstance(claim, ChainClaim) and sender != claim.hops[0] else sender.position
    return {
        "claim": claim_id(claim),
        "kind": claim.kind,
        "label": label_of(claim),
        "path": claim.how.path.value,
        "base": claim.how.base.value,
        "source": str(claim.how.source),
        "sender": str(sender),
        "receiver": str(receiver),
        "ports": ",".join(receiver.ports),
        "sender_position": "" if leaves is None else str(leaves),
        "receiver_position": "" if receiver.position is None else str(receiver.position),
        "joined": joined,
        "receivers": mode,
        "line": claim.origin.line,
    }

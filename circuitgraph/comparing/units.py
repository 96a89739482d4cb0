"""CircuitGraph -> what is compared of it: single experiments by address, or all between two groups. Pure.

A unit's key is what its counterpart in another run must have too: its kind, its nodes (or groups) with ports and
positions, and its path, base, source and way of receiving, unless the runs differ in one of those as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from circuitgraph.graph.claims import (
    ChainClaim,
    CircuitGraph,
    Claim,
    EdgeClaim,
    NodeClaim,
    SetClaim,
    claim_arrow,
    claim_id,
    claim_label,
    source_content,
)
from circuitgraph.nodes import MLP, Address, Attention, Input, Logits, Residual

HOW = ("path", "base", "source", "receivers")
"""The parts of how a claim is measured, in which runs may differ as a whole."""
IN_NO_GROUP = "in no group"
JOINT = " (patched together)"
"""What one experiment does to several members of a group is no mean of what it does to each."""

Namer = Callable[[Address, str | None], str | None]
"""(address, group that named it) → its name as part of a key; None = it has no counterpart in another model."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One experiment of a run, or several that are averaged."""

    key: str
    label: str
    kind: str
    sender: str | None
    sender_position: str | None
    receiver: str | None
    receiver_position: str | None
    path: str | None
    base: str
    source: str
    ids: tuple[str, ...]
    joint: bool
    """Whether one experiment patches several senders or receivers together."""
    why: str | None = None
    """Why it cannot have a counterpart."""


def how_of(claim: Claim) -> dict[str, str]:
    """How a claim is measured, in texts that are equal where it is measured equally."""
    how = claim.how
    source = source_content(how.source)
    found = {
        "base": how.base.value,
        "source": source if isinstance(source, str) else json.dumps(source, sort_keys=True),
    }
    if not isinstance(claim, NodeClaim):
        found["path"] = how.path.value
    if isinstance(claim, EdgeClaim) and len(claim.receivers) > 1:
        found["receivers"] = how.receivers.value
    return found


def differing_as_a_whole(a: CircuitGraph, b: CircuitGraph) -> tuple[str, ...]:
    """The parts of HOW that have one value in each run, and not the same."""
    left, right = _values(a), _values(b)
    return tuple(name for name in HOW if len(left[name]) == len(right[name]) == 1 and left[name] != right[name])


def varying(graphs: Sequence[CircuitGraph], across: Collection[str]) -> frozenset[str]:
    """The parts of HOW that tell experiments apart: more than one value in all runs together, not matched across."""
    found = [_values(graph) for graph in graphs]
    return frozenset(
        name for name in HOW if name not in across and len(set[str]().union(*(each[name] for each in found))) > 1
    )


def _values(graph: CircuitGraph) -> dict[str, set[str]]:
    """Every value of each part of HOW."""
    found: dict[str, set[str]] = {name: set() for name in HOW}
    for claim in graph.claims:
        for name, value in how_of(claim).items():
            found[name].add(value)
    return found


def by_address(graph: CircuitGraph, told: Collection[str]) -> dict[str, Unit]:
    """One unit for each experiment, in the graph's order; `told`: the parts of HOW that are part of keys."""
    units = (_unit(claim, _address, told) for claim in graph.claims)
    return {unit.key: unit for unit in units}


def by_group(graph: CircuitGraph, told: Collection[str], *, same_nodes: bool, same_layers: bool) -> dict[str, Unit]:
    """One unit for all experiments between two groups, in the order of the first of each.

    Args:
        same_nodes: whether a node in no group means the same in the other run.
        same_layers: whether the number of a layer does (its MLP, its attention as a whole).

    A node that no entry names by a group stands for the only group that it is a member of, if there is one.
    """
    members: dict[str, list[str]] = {}
    for group in graph.groups:
        for member in group.members:
            members.setdefault(str(member.node), []).append(group.name)

    def name(address: Address, named: str | None) -> str | None:
        holders = members.get(str(address.node), [])
        if named is None and len(holders) == 1:
            named = holders[0]
        if named is not None:
            return named
        node = address.node
        whole_layer = same_layers and isinstance(node, MLP | Attention | Residual)
        return str(node) if same_nodes or whole_layer or isinstance(node, Input | Logits) else None

    found: dict[str, Unit] = {}
    for claim in graph.claims:
        unit = _unit(claim, name, told)
        if unit.joint:
            unit = replace(unit, key=f"{unit.key}{JOINT}", label=f"{unit.label}{JOINT}")
        if (first := found.get(unit.key)) is not None:
            unit = replace(first, ids=(*first.ids, *unit.ids))
        found[unit.key] = unit
    return found


def _address(address: Address, _group: str | None) -> str:
    return str(address.node)


def _unit(claim: Claim, name: Namer, told: Collection[str]) -> Unit:
    how = how_of(claim)
    senders, receivers, missing = _ends(claim, name)
    arrow = _arrow(claim, name) if not missing else claim_arrow(claim)
    telling = [f"{part}: {how[part]}" for part in HOW if part in told and part in how]
    key = f"{claim.kind} {arrow}" + (f" ({', '.join(telling)})" if telling else "")
    said = claim_label(claim) if name is _address or missing else arrow
    return Unit(
        key=key,
        label=said,
        kind=claim.kind,
        sender=_joined(senders, 0),
        sender_position=_joined(senders, 1),
        receiver=_joined(receivers, 0) if receivers else None,
        receiver_position=_joined(receivers, 1) if receivers else None,
        path=how.get("path"),
        base=claim.how.base.value,
        source=str(claim.how.source),
        ids=(claim_id(claim),),
        joint=_joint(claim),
        why=IN_NO_GROUP if missing else None,
    )


Named = tuple[str | None, str | None]
"""Name with ports, and position."""


def _ends(claim: Claim, name: Namer) -> tuple[tuple[Named, ...], tuple[Named, ...], bool]:
    """Senders and receivers by name, each once, and whether one of the claim's nodes has no name."""
    match claim:
        case EdgeClaim(senders, receivers):
            parts = [(senders, claim.sender_group), (receivers, claim.receiver_group)]
        case NodeClaim(nodes):
            parts = [(nodes, claim.group), ((), None)]
        case ChainClaim(hops):
            parts = [(hops[:1], None), (hops[-1:], None)]
        case SetClaim(edges):
            parts = [(tuple(s for s, _ in edges), None), (tuple(r for _, r in edges), None)]
    senders, receivers = (tuple(dict.fromkeys(_named(a, group, name) for a in ends)) for ends, group in parts)
    inner = claim.hops if isinstance(claim, ChainClaim) else ()
    missing = any(n is None for n, _ in (*senders, *receivers, *(_named(hop, None, name) for hop in inner)))
    return senders, receivers, missing


def _named(address: Address, group: str | None, name: Namer) -> Named:
    found = name(address, group)
    ports = f"<{','.join(address.ports)}>" if address.ports else ""
    return (None if found is None else f"{found}{ports}", None if address.position is None else str(address.position))


def _text(address: Address, group: str | None, name: Namer) -> str:
    found, at = _named(address, group, name)
    output = "" if address.output is None else f">{address.output}"
    return (found or str(address.node)) + ("" if at is None else f"@{at}{output}")


def _arrow(claim: Claim, name: Namer) -> str:
    """The claim by names; joined ends and sets in one order, whatever order they were written in."""
    match claim:
        case EdgeClaim(senders, receivers):
            ends = ((senders, claim.sender_group), (receivers, claim.receiver_group))
            return " → ".join(" + ".join(_sorted(_text(a, group, name) for a in found)) for found, group in ends)
        case NodeClaim(nodes):
            return " + ".join(_sorted(_text(a, claim.group, name) for a in nodes))
        case ChainClaim(hops):
            return " → ".join(_text(hop, None, name) for hop in hops)
        case SetClaim(edges):
            pairs = _sorted(f"{_text(s, None, name)} → {_text(r, None, name)}" for s, r in edges)
            return "{" + ", ".join(pairs) + "}"


def _sorted(texts: Iterable[str]) -> list[str]:
    return sorted(set(texts))


def _joint(claim: Claim) -> bool:
    match claim:
        case EdgeClaim(senders, receivers):
            return len(senders) > 1 or len(receivers) > 1
        case NodeClaim(nodes):
            return len(nodes) > 1
        case ChainClaim() | SetClaim():
            return False


def _joined(ends: Sequence[Named], part: int) -> str | None:
    """As the table's columns: one where all agree, else each."""
    values = [end[part] for end in ends]
    if part == 1 and len(set(values)) == 1:
        return values[0]
    return " + ".join("all" if value is None else value for value in values)

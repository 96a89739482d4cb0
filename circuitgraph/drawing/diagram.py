"""CircuitGraph -> Diagram: which boxes, clusters, rows and columns there are. No sizes, no colours.

An edge acts at one position even if only one of its ends names it: neither the residual stream nor MLPs
move tokens. A head that reads keys or values at one position and writes at another is drawn
once, where it writes: its arrow crosses the columns, as the information does. In a chain that is where the
next hop takes it up; elsewhere the one position at which other claims name its output, if there is one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

from circuitgraph.graph.claims import ChainClaim, CircuitGraph, Claim, EdgeClaim, Group, NodeClaim, claim_id
from circuitgraph.graph.shape import ModelShape
from circuitgraph.graph.usual import settings, unusual_settings, usual_settings
from circuitgraph.nodes import (
    Address,
    Attention,
    Feature,
    Head,
    Input,
    KVHead,
    Logits,
    Node,
    Port,
    Position,
    Residual,
    SaeError,
)

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Spot:
    """A node at a position (None = all positions): one box."""

    node: Node
    position: Position | None

    def __str__(self) -> str:
        return str(self.node) if self.position is None else f"{self.node}@{self.position}"


@dataclass(frozen=True, slots=True)
class Arc:
    """One arrow. `ports` is None where the receiver has none to tell apart, () where all are meant."""

    id: str
    claim: Claim
    sender: Address
    receiver: Address
    tail: Spot
    head: Spot
    ports: tuple[Port, ...] | None


@dataclass(frozen=True, slots=True)
class Block:
    """What stands together: a group's members at one position, or a single box without a group."""

    group: Group | None
    column: Position | None
    spots: tuple[Spot, ...]


@dataclass(frozen=True)
class Diagram:
    """The picture without places. `rows` run from the bottom (`input`) to the top (`logits`)."""

    shape: ModelShape
    columns: tuple[Position | None, ...]
    rows: tuple[tuple[Block, ...], ...]
    arcs: tuple[Arc, ...]
    experiments: Mapping[Spot, tuple[str, ...]]
    patched_ports: Mapping[tuple[Spot, str], str]
    """Box and experiment → what of the node is patched, where it is not its output: `q`, `attn`."""
    unusual: Mapping[str, Mapping[str, str]]
    """Experiment id → how it is measured otherwise than most."""
    groups: tuple[str, ...] = ()
    """The names of the groups as the graph lists them."""


def diagram(graph: CircuitGraph, positions: Sequence[str] = ()) -> Diagram:
    """Decide what is drawn, deterministically. `positions`: names in the order of the prompt, if it is known."""
    pairs = _placed(graph)
    homes = _homes(pairs)
    arcs = tuple(_arc(pair, homes) for pair in pairs)
    experiments, ports = _experiments(graph, homes)
    spots = dict.fromkeys([spot for arc in arcs for spot in (arc.tail, arc.head)] + list(experiments))
    owners = _owners(graph, spots, arcs)
    for group in graph.groups:
        for spot in _idle_members(group, owners):
            owners[spot] = group
    blocks = _gather(graph, owners, arcs)
    rows = _rank(blocks, arcs, graph.shape)
    columns = _order_columns([block.column for row in rows for block in row], arcs, positions)
    usual = usual_settings(map(settings, graph.claims))
    unusual = {id_: unusual_settings(settings(claim), usual) for id_, claim in graph.by_id.items()}
    names = tuple(group.name for group in graph.groups)
    return Diagram(graph.shape, columns, rows, arcs, experiments, ports, unusual, names)


class Placed(NamedTuple):
    """One sender → receiver pair: where the sender writes, and where the receiver reads or, if `settled`, is drawn."""

    sender: Address
    receiver: Address
    claim: Claim
    at: Position | None
    to: Position | None
    settled: bool = False


def _placed(graph: CircuitGraph) -> list[Placed]:
    """All pairs; a hop of a chain that moves tokens stands where the next hop takes its output up."""
    pairs = [Placed(s, r, claim, *_place(s, r, claim)) for s, r, claim in graph.arcs()]
    for i, (pair, after) in enumerate(pairwise(pairs)):
        if isinstance(pair.claim, ChainClaim) and after.claim is pair.claim and _writes_elsewhere(pair.receiver):
            pairs[i] = pair._replace(to=after.at, settled=True)
    return pairs


def _place(sender: Address, receiver: Address, claim: Claim) -> tuple[Position | None, Position | None]:
    """Where the sender writes and where the receiver reads; either end tells the other."""
    at = sender.position
    if isinstance(claim, ChainClaim) and sender != claim.hops[0] and _writes_elsewhere(sender):
        at = sender.output
    to = receiver.position if receiver.position is not None else at
    return (at if at is not None else to), to


def _writes_elsewhere(hop: Address) -> bool:
    """Whether an inner hop may write at other positions than it reads; queries do not move tokens."""
    return isinstance(hop.node, Head | Attention) and (hop.output is not None or hop.ports != (Port.Q,))


def _moves_tokens(receiver: Address) -> bool:
    return bool(receiver.ports) and Port.Q not in receiver.ports and not isinstance(receiver.node, KVHead)


def _homes(pairs: Iterable[Placed]) -> dict[Node, list[Position | None]]:
    """Where each node writes or reads its own position's stream."""
    homes: dict[Node, dict[Position | None, None]] = defaultdict(dict)
    for sender, receiver, _, at, to, settled in pairs:
        homes[sender.node][at] = None
        if settled or not _moves_tokens(receiver):
            homes[receiver.node][to] = None
    return {node: list(found) for node, found in homes.items()}


def _home(node: Node, position: Position | None, homes: Mapping[Node, Sequence[Position | None]]) -> Spot:
    known = homes.get(node, ())
    return Spot(node, known[0] if len(known) == 1 else position)


def _arc(pair: Placed, homes: Mapping[Node, Sequence[Position | None]]) -> Arc:
    sender, receiver, claim, at, to, settled = pair
    head = Spot(receiver.node, to)
    if _moves_tokens(receiver) and not settled:
        known = homes.get(receiver.node, ())  # a named position says more than all of them
        named = [position for position in known if position is not None]
        head = _home(receiver.node, to, {receiver.node: named or known})
    ports = receiver.ports if isinstance(receiver.node, Head | Attention | KVHead) else None
    return Arc(claim_id(claim), claim, sender, receiver, Spot(sender.node, at), head, ports)


def _experiments(
    graph: CircuitGraph, homes: Mapping[Node, Sequence[Position | None]]
) -> tuple[dict[Spot, tuple[str, ...]], dict[tuple[Spot, str], str]]:
    """The experiments that patch each box itself, and what of it they patch."""
    found: dict[Spot, tuple[str, ...]] = {}
    ports: dict[tuple[Spot, str], str] = {}
    for claim in graph.claims:
        if isinstance(claim, NodeClaim):
            for address in claim.nodes:
                spot = Spot(address.node, address.position)
                if address.position is None:
                    spot = _home(address.node, None, homes)
                found[spot] = (*found.get(spot, ()), claim_id(claim))
                if address.ports:
                    ports[spot, claim_id(claim)] = part_of(address)
    return found, ports


def part_of(address: Address) -> str:
    """What of a node is patched, where it is not its output: `q`, `attn`; "" = its output."""
    return "attn" if Port.PATTERN in address.ports else ",".join(address.ports)


def _owners(graph: CircuitGraph, spots: Iterable[Spot], arcs: Iterable[Arc]) -> dict[Spot, Group | None]:
    """The group each box is drawn in: one its claims name, else the first that has it as a member."""
    named: dict[Spot, list[str]] = defaultdict(list)
    for arc in arcs:
        if isinstance(arc.claim, EdgeClaim):
            named[arc.tail].append(arc.claim.sender_group or "")
            named[arc.head].append(arc.claim.receiver_group or "")
    owners: dict[Spot, Group | None] = {}
    for spot in spots:
        holders = [] if isinstance(spot.node, Input | Logits) else [g for g in graph.groups if _holds(g, spot)]
        owners[spot] = min(holders, key=lambda g: g.name not in named[spot], default=None)
    return owners


def _holds(group: Group, spot: Spot) -> bool:
    return any(m.node == spot.node and m.position in (None, spot.position) for m in group.members)


def _idle_members(group: Group, owners: Mapping[Spot, Group | None]) -> list[Spot]:
    """Members that no claim mentions: they stand where the rest of their group does."""
    drawn = {spot.node for spot in owners}
    places = [spot.position for spot, owner in owners.items() if owner == group]
    usual = max(places, key=places.count, default=None)
    return [
        Spot(member.node, usual if member.position is None else member.position)
        for member in group.members
        if member.node not in drawn and not isinstance(member.node, Input | Logits)
    ]


def _gather(graph: CircuitGraph, owners: Mapping[Spot, Group | None], arcs: Sequence[Arc]) -> list[Block]:
    clusters: dict[tuple[str, Position | None], list[Spot]] = defaultdict(list)
    loose: list[Block] = []
    for spot, group in owners.items():
        if group is None:
            loose.append(Block(None, _column(spot, owners, arcs), (spot,)))
        else:
            clusters[group.name, spot.position].append(spot)
    groups = {group.name: group for group in graph.groups}
    return loose + [
        Block(groups[name], position, tuple(sorted(spots, key=lambda s: _depth(s, graph.shape))))
        for (name, position), spots in clusters.items()
    ]


def _column(spot: Spot, owners: Iterable[Spot], arcs: Iterable[Arc]) -> Position | None:
    """The spot's position; `logits` without one stands in the column that writes to it most."""
    if spot.position is not None or not isinstance(spot.node, Logits):
        return spot.position
    writers = [arc.tail.position for arc in arcs if arc.head == spot] or [other.position for other in owners]
    return max(writers, key=writers.count)


def _depth(spot: Spot, shape: ModelShape) -> tuple[int, int, int]:
    """Order in which nodes read the residual stream; the boundary before a block comes before what reads there."""
    match spot.node:
        case Residual():
            place = 0
        case Feature() | SaeError():
            place = 1
        case _:
            place = 2
    return (shape.read_at(spot.node), place, getattr(spot.node, "index", -1))


def _rank(blocks: list[Block], arcs: Sequence[Arc], shape: ModelShape) -> tuple[tuple[Block, ...], ...]:
    """Rows from the bottom: a block stands above what it reads from and above all layers that end before it.

    A group that would have to stand above and below another block is drawn as several, one for each layer.
    """
    while True:
        below = _constraints(blocks, arcs, shape)
        knots = [block for block in _in_cycles(below) if len(block.spots) > 1]
        if not knots:
            break
        blocks = [part for block in blocks for part in (_split(block, shape) if block in knots else [block])]
    level: dict[Block, int] = {}
    for block in _topological(below, {block: i for i, block in enumerate(blocks)}):
        level[block] = max((level[lower] + 1 for lower in below[block] if lower in level), default=0)
    rows: dict[int, list[Block]] = defaultdict(list)
    for block in blocks:
        rows[level[block]].append(block)
    return tuple(tuple(rows[i]) for i in sorted(rows))


def _constraints(blocks: Sequence[Block], arcs: Iterable[Arc], shape: ModelShape) -> dict[Block, set[Block]]:
    """Block → the blocks that stand below it."""
    home = {spot: block for block in blocks for spot in block.spots}
    below: dict[Block, set[Block]] = {block: set() for block in blocks}
    for arc in arcs:
        if home[arc.tail] != home[arc.head]:
            below[home[arc.head]].add(home[arc.tail])
    span = {block: [_depth(spot, shape)[:2] for spot in block.spots] for block in blocks}
    for upper in blocks:
        lowest = min(span[upper])
        below[upper].update(lower for lower in blocks if max(span[lower]) < lowest)
    return below


def _split(block: Block, shape: ModelShape) -> list[Block]:
    parts: dict[tuple[int, int], list[Spot]] = defaultdict(list)
    for spot in block.spots:
        parts[_depth(spot, shape)[:2]].append(spot)
    return [Block(block.group, block.column, tuple(spots)) for spots in parts.values()]


def _in_cycles(below: Mapping[T, set[T]]) -> set[T]:
    """The vertices left after peeling off, again and again, what has nothing below it or nothing above it."""
    left = set(below)
    while True:
        above = {v for vertex in left for v in below[vertex] & left}
        inner = {vertex for vertex in left & above if below[vertex] & left}
        if inner == left:
            return left
        left = inner


def _topological(below: Mapping[T, set[T]], order: Mapping[T, Any]) -> list[T]:
    """All vertices, lower ones first, ties by `order`, of whatever sorts; a cycle is broken at its first vertex."""
    left, done = sorted(below, key=lambda v: order[v]), list[T]()
    while left:
        waiting = set(left)
        chosen = next((v for v in left if not below[v] & waiting - {v}), left[0])
        left.remove(chosen)
        done.append(chosen)
    return done


def _order_columns(
    found: Iterable[Position | None], arcs: Iterable[Arc], known: Sequence[str]
) -> tuple[Position | None, ...]:
    """Positions from left to right: the names in the known order, the rest after them, END last.

    The rest stand as offsets and the direction of attention tell.
    """
    found = list(dict.fromkeys(found))
    named = [position for position in found if position is not None]
    seen = {name: i for i, name in enumerate(dict.fromkeys(position.name for position in named))}
    place = {name: i for i, name in enumerate(known)} | {"BOS": -1, "END": len(known) + 1}
    order = {p: (place.get(p.name, len(known)), seen[p.name], p.offset) for p in named}
    below: dict[Position, set[Position]] = {position: set() for position in named}
    for arc in arcs:
        tail, head = arc.tail.position, arc.head.position
        if tail != head and tail in order and head in order and order[tail][0] <= order[head][0]:
            below[head].add(tail)
    for right in named:
        same = (left for left in named if left.name == right.name and (left.offset < 0) == (right.offset < 0))
        below[right].update(left for left in same if left.offset < right.offset)
    for right in named:
        below[right].update(left for left in named if order[left][0] < order[right][0])
    anywhere = (None,) if None in found else ()
    return (*_topological(below, order), *anywhere)

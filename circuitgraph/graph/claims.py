"""What a spec claims, with groups and patterns expanded: one value per experiment. No model, no files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import Address, Node
from circuitgraph.showing import Shown
from circuitgraph.spec.model import BaseRun, ExpectSpec, PathKind, ReceiverMode, ReferenceSpec

if TYPE_CHECKING:
    import networkx


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """The same activation in the pair's other prompt."""

    def __str__(self) -> str:
        return "counterfactual"


@dataclass(frozen=True, slots=True)
class Base:
    """The base run's own value: patching with it changes nothing."""

    def __str__(self) -> str:
        return "base"


@dataclass(frozen=True, slots=True)
class Zero:
    """Zero at the node's site (a head's z, a neuron, an MLP's output)."""

    def __str__(self) -> str:
        return "zero"


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean over a reference set."""

    reference: ReferenceSpec

    def __str__(self) -> str:
        return "mean"


@dataclass(frozen=True, slots=True)
class Resample:
    """Another prompt's value, by a seeded derangement of the reference set, `draws` times."""

    reference: ReferenceSpec
    draws: int = 1
    seed: int = 0

    def __str__(self) -> str:
        return "resample"


@dataclass(frozen=True, slots=True)
class Prune:
    """What the node gives when its own output weights are zero: W_O's slice of a head, W_out of an MLP."""

    def __str__(self) -> str:
        return "prune"


Source = Counterfactual | Base | Zero | Mean | Resample | Prune


@dataclass(frozen=True, slots=True)
class Intervention:
    """How a claim is measured: along which path, on which base, with which values."""

    path: PathKind = PathKind.DIRECT
    base: BaseRun = BaseRun.CLEAN
    source: Source = field(default_factory=Counterfactual)
    receivers: ReceiverMode = ReceiverMode.OVERWRITE


@dataclass(frozen=True, slots=True)
class Origin:
    """Where in the spec a claim was written: line and column (1-based; 0 = not from a file), and entry (`edges.3`)."""

    line: int = 0
    column: int = 0
    entry: str = ""


@dataclass(frozen=True, slots=True)
class EdgeClaim:
    """Sender(s) → receiver(s), one experiment. Several senders or receivers = joined."""

    kind: ClassVar[str] = "edge"
    senders: tuple[Address, ...]
    receivers: tuple[Address, ...]
    how: Intervention = Intervention()
    label: str | None = None
    sender_group: str | None = None
    receiver_group: str | None = None
    origin: Origin = field(default=Origin(), compare=False)
    expect: ExpectSpec | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class NodeClaim:
    """A node (or several, joined) replaced everywhere downstream: activation patching, ablation."""

    kind: ClassVar[str] = "node"
    nodes: tuple[Address, ...]
    how: Intervention = Intervention()
    label: str | None = None
    group: str | None = None
    origin: Origin = field(default=Origin(), compare=False)
    expect: ExpectSpec | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class ChainClaim:
    """sender → n1 → … → receiver, each hop isolated in turn."""

    kind: ClassVar[str] = "chain"
    hops: tuple[Address, ...]
    how: Intervention = Intervention()
    label: str | None = None
    origin: Origin = field(default=Origin(), compare=False)
    expect: ExpectSpec | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class SetClaim:
    """A set of edges patched together, as `add`."""

    kind: ClassVar[str] = "set"
    edges: tuple[tuple[Address, Address], ...]
    how: Intervention = Intervention()
    label: str | None = None
    origin: Origin = field(default=Origin(), compare=False)
    expect: ExpectSpec | None = field(default=None, compare=False)


Claim = EdgeClaim | NodeClaim | ChainClaim | SetClaim


def replaced(claim: Claim) -> tuple[Address, ...]:
    """The nodes whose outputs are replaced by values of the claim's source."""
    match claim:
        case EdgeClaim(senders):
            return senders
        case NodeClaim(nodes):
            return nodes
        case ChainClaim(hops):
            return hops[:1]
        case SetClaim(edges):
            return tuple(dict.fromkeys(sender for sender, _ in edges))


def content(claim: Claim) -> dict[str, Any]:
    """The part of a claim that decides its number, in canonical JSON types; labels are left out."""
    how = claim.how
    common: dict[str, Any] = {"kind": claim.kind, "base": how.base.value, "source": source_content(how.source)}
    match claim:
        case EdgeClaim(senders, receivers):
            body: dict[str, Any] = {
                "senders": sorted(map(str, senders)),
                "receivers": sorted(map(str, receivers)),
                "path": how.path.value,
            }
            if len(receivers) > 1:
                body["mode"] = how.receivers.value
        case NodeClaim(nodes):
            body = {"nodes": sorted(map(str, nodes))}
        case ChainClaim(hops):
            body = {"hops": [str(hop) for hop in hops], "path": how.path.value}
        case SetClaim(edges):
            body = {"edges": sorted(f"{s}->{r}" for s, r in edges)}
    return body | common


def source_content(source: Source) -> Any:
    """A source in canonical JSON types."""
    match source:
        case Mean(reference):
            return {"mean": reference.model_dump(mode="json")}
        case Resample(reference, draws, seed):
            return {"resample": reference.model_dump(mode="json"), "draws": draws, "seed": seed}
        case _:
            return str(source)


def claim_id(claim: Claim) -> str:
    """Twelve hex digits that name the experiment: equal content, equal id, on every machine."""
    canonical = json.dumps(content(claim), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def claim_label(claim: Claim) -> str:
    """The label the user gave, or the addresses written as an arrow."""
    return claim.label or claim_arrow(claim)


def claim_arrow(claim: Claim) -> str:
    """The addresses of a claim, written as an arrow."""
    match claim:
        case EdgeClaim(senders, receivers):
            return f"{' + '.join(map(str, senders))} → {' + '.join(map(str, receivers))}"
        case NodeClaim(nodes):
            return " + ".join(map(str, nodes))
        case ChainClaim(hops):
            return " → ".join(map(str, hops))
        case SetClaim(edges):
            return "{" + ", ".join(f"{s} → {r}" for s, r in edges) + "}"


@dataclass(frozen=True, slots=True)
class Group:
    """A named set of nodes with what the spec says of it."""

    name: str
    members: tuple[Address, ...]
    label: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class CircuitGraph(Shown):
    """A hypothesised circuit on a model's shape: groups, and one claim per experiment."""

    name: str
    shape: ModelShape
    groups: tuple[Group, ...]
    claims: tuple[Claim, ...]
    description: str | None = None

    @property
    def edges(self) -> tuple[EdgeClaim, ...]:
        """The claims that are edges."""
        return tuple(claim for claim in self.claims if isinstance(claim, EdgeClaim))

    @cached_property
    def by_id(self) -> dict[str, Claim]:
        """Claims by experiment id."""
        return {claim_id(claim): claim for claim in self.claims}

    def only(self, ids: Collection[str]) -> CircuitGraph:
        """The same circuit with some of its experiments (by id)."""
        return replace(self, claims=tuple(claim for claim in self.claims if claim_id(claim) in ids))

    def arcs(self) -> Iterator[tuple[Address, Address, Claim]]:
        """Every single sender → receiver pair of the claims, joined ones and sets taken apart.

        Of joined ends, those pairs that the residual stream connects: not each sender reaches each receiver.
        """
        for claim in self.claims:
            match claim:
                case EdgeClaim(senders, receivers):
                    pairs = ((s, r) for s in senders for r in receivers)
                    yield from ((s, r, claim) for s, r in pairs if self.shape.can_reach(s.node, r.node))
                case ChainClaim(hops):
                    yield from ((s, r, claim) for s, r in pairwise(hops))
                case SetClaim(edges):
                    yield from ((s, r, claim) for s, r in edges)
                case NodeClaim():
                    pass

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Every node that a claim or a group mentions, input first, in the order the model runs them."""
        seen = {end.node for s, r, _ in self.arcs() for end in (s, r)}
        seen |= {address.node for claim in self.claims if isinstance(claim, NodeClaim) for address in claim.nodes}
        seen |= {address.node for group in self.groups for address in group.members}
        return tuple(
            sorted(
                seen, key=lambda node: (self.shape.written_at(node), self.shape.read_at(node), str(type(node)), node)
            )
        )

    def to_networkx(self) -> networkx.MultiDiGraph:
        """A networkx view: nodes by canonical name, one edge per arc, with every field as attribute."""
        from circuitgraph.graph.view import to_networkx

        return to_networkx(self)

"""Can a change at one position get where a claim says it goes? Finds claims that are zero by construction.

The residual stream and MLPs do not move tokens; attention moves what enters at a key or a value, in causal
models to later positions only. Pure: shape and positions, no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

from circuitgraph.checks.places import Places
from circuitgraph.graph.claims import (
    ChainClaim,
    Claim,
    Counterfactual,
    EdgeClaim,
    NodeClaim,
    SetClaim,
    claim_arrow,
)
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import Address, Attention, Head, KVHead, Logits, Port, Position
from circuitgraph.prompts.pairs import Pair, PromptSet

Hits = tuple[bool, ...] | None
"""In which pairs something arrives (one value for all pairs when there are no prompts); None = not known."""


class Verdict(StrEnum):
    """What positions say about a claim, worst first."""

    ZERO = "zero"
    PARTLY = "partly"
    UNCHANGED = "unchanged"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that positions say about a claim."""

    verdict: Verdict
    message: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What differs from the base run: the activations at `position`; `onward`: and what attention takes from there."""

    position: Position
    onward: bool = False


@dataclass(frozen=True)
class Movement:
    """Judges the claims of one graph; `readers` are the positions at which the metrics are read."""

    shape: ModelShape
    places: Places
    readers: tuple[Position, ...]
    prompts: PromptSet | None = None

    def remarks(self, claim: Claim) -> Iterator[Remark]:
        """Everything that positions say about `claim`; nothing if all is well."""
        match claim:
            case EdgeClaim(senders, receivers):
                yield from self._unchanged(senders, claim)
                yield from self._edge(senders, receivers)
            case SetClaim(edges):
                yield from self._unchanged([sender for sender, _ in edges], claim)
                for sender, receiver in edges:
                    yield from self._edge((sender,), (receiver,))
            case ChainClaim(hops):
                yield from self._unchanged(hops[:1], claim)
                yield from self._chain(hops, claim_arrow(claim))
            case NodeClaim(nodes):
                yield from self._unchanged(nodes, claim)
                yield from self._together({node: _patched(node) for node in nodes}, "patching ")

    def _edge(self, senders: tuple[Address, ...], receivers: tuple[Address, ...]) -> Iterator[Remark]:
        """Each sender must arrive at some receiver, each receiver be reached by some sender, one reach a metric."""
        if all(end.position is None for end in (*senders, *receivers)):
            return  # what changes at every token gets everywhere
        onto = {s: [r for r in receivers if self.shape.can_reach(s.node, r.node)] for s in senders}
        into = {r: [s for s in senders if r in onto[s]] for r in receivers}
        arriving = {(s, r): self._arrives(s, r) for s, reached in onto.items() for r in reached}
        idle = [(s, rs[-1]) for s, rs in onto.items() if rs and all(_never(arriving[s, r]) for r in rs)]
        idle += [(ss[0], r) for r, ss in into.items() if ss and all(_never(arriving[s, r]) for s in ss)]
        if idle:
            yield Remark(Verdict.ZERO, _not_carried(*idle[0]))
            return
        for (s, r), hits in arriving.items():
            if not _never(hits):
                yield from _partly(f"{s} → {r}", _at(s.position, None), r.position, hits)
        sent = _at(senders[0].position, None) if len(senders) == 1 else None
        changes = {r: self._after(r, _at(r.position, sent)) for r in receivers}
        yield from self._together(changes, f"{senders[0]} → ")

    def _together(self, changes: Mapping[Address, Change | None], label: str) -> Iterator[Remark]:
        """Whether changes that are made together reach a metric: one that does is enough."""
        first, *more = changes
        reaching = {node: self._read(node, change) for node, change in changes.items()}
        hits = _any(reaching.values())
        if not more or _never(hits):
            yield from self._to_metric(first, changes[first], f"{label}{first}")
            return
        yield from self._read_partly(hits, f"{label}{first} and {len(more)} more", "the changes get")
        for node, change in changes.items():
            if change is not None and _never(reaching[node]):
                why = self._why_unread(node, change)
                yield Remark(Verdict.PARTLY, f"{label}{node} adds nothing to what it is joined with: {why}")

    def _chain(self, hops: tuple[Address, ...], label: str) -> Iterator[Remark]:
        """Follow the change: into each hop at its position, through it, out of it at its output position."""
        change = _at(hops[0].position, None)
        for sender, receiver in pairwise(hops):
            hits = self._hits(change, receiver.position)
            if change is not None and _never(hits):
                yield Remark(Verdict.ZERO, f"{label} is structurally zero: {_not_entering(sender, receiver, change)}")
                return
            yield from _partly(label, change, receiver.position, hits)
            change = self._after(receiver, _at(receiver.position, change))
            hits = self._hits(change, receiver.output)
            if change is not None and _never(hits):
                yield Remark(
                    Verdict.ZERO,
                    f"{label} is structurally zero: {receiver.node} does not move a change from {change.position} "
                    f"to {receiver.output}",
                )
                return
            yield from _partly(label, change, receiver.output, hits)
            change = _at(receiver.output, change)
        yield from self._to_metric(hops[-1], change, label)

    def _arrives(self, sender: Address, receiver: Address) -> Hits:
        return self._hits(_at(sender.position, None), receiver.position)

    def _hits(self, change: Change | None, target: Position | None) -> Hits:
        if change is None or target is None or (change.onward and not self.shape.causal):
            return (True,)
        distances = self.places.differences(change.position, target)
        if distances is None:
            return None
        return tuple(d <= 0 if change.onward else d == 0 for d in distances)

    def _after(self, node: Address, change: Change | None) -> Change | None:
        """What a change of `node`'s input becomes in its output."""
        return replace(change, onward=True) if change is not None and _moves(node) else change

    def _to_metric(self, node: Address, change: Change | None, label: str) -> Iterator[Remark]:
        """Whether a change in (the output of) `node` reaches a position at which a metric is read."""
        hits = self._read(node, change)
        if change is not None and _never(hits):
            yield Remark(Verdict.ZERO, f"{label} is structurally zero: {self._why_unread(node, change)}")
        elif change is not None:
            yield from self._read_partly(hits, label, f"a change at {change.position} gets")

    def _read(self, node: Address, change: Change | None) -> Hits:
        """In which pairs a change in (the output of) `node` is read by a metric."""
        return _any(self._hits(self._free(node, change), reader) for reader in self.readers)

    def _free(self, node: Address, change: Change | None) -> Change | None:
        """What becomes of a change after `node`, where nothing is held: attention takes it onward."""
        attended = self.shape.written_at(node.node) <= 2 * (self.shape.layers - 1)
        return None if change is None else replace(change, onward=change.onward or attended)

    def _read_partly(self, hits: Hits, label: str, change: str) -> Iterator[Remark]:
        """A remark if a change is read in some pairs only, or if that is not known."""
        if hits is None:
            yield Remark(Verdict.UNKNOWN)
        elif not all(hits):
            where = f"there in {sum(hits)} of {len(hits)} pairs only; in the others the effect is 0"
            yield Remark(Verdict.PARTLY, f"{label}: the metric is read at {self._where_read}, and {change} {where}")

    @property
    def _where_read(self) -> str:
        return " or ".join(map(str, dict.fromkeys(self.readers)))

    def _why_unread(self, node: Address, change: Change) -> str:
        free = self._free(node, change)
        if isinstance(node.node, Logits):
            return f"no metric reads the logits at {change.position} (read at {self._where_read})"
        if free is not None and free.onward:
            what = f"attention moves nothing from {change.position} back there"
        else:
            what = f"no attention after {node.node} moves {change.position} there"
        return f"the metric is read at {self._where_read}, and {what}"

    def _unchanged(self, senders: Iterable[Address], claim: Claim) -> Iterator[Remark]:
        """Senders that are the same in both prompts, because no token differs (before) there."""
        if self.prompts is None or not self.prompts.paired or not isinstance(claim.how.source, Counterfactual):
            return
        distinct = tuple(dict.fromkeys(senders))
        same = {sender: where for sender in distinct if (where := self._same_tokens(sender, self.prompts))}
        for sender, where in same.items():
            told = f"{sender} is the same in clean and corrupted prompts, which have the same tokens {where}"
            if len(same) == len(distinct):
                yield Remark(Verdict.UNCHANGED, f"{told}: {claim_arrow(claim)} is 0")
            else:
                yield Remark(Verdict.PARTLY, f"{told}: it adds nothing to what it is joined with")

    def _same_tokens(self, sender: Address, prompts: PromptSet) -> str | None:
        """Where what a sender is computed from has the same tokens in both prompts of every pair; None = nowhere."""
        places = None if sender.position is None else self.places.indexes(sender.position)
        # What stands before all attention is made of its own token.
        alone = self.shape.read_at(sender.node) <= 0 and not isinstance(sender.node, Head | Attention | KVHead)
        if places is None or not (self.shape.causal or alone):
            return None
        if any(_differs(pair, at, alone) for pair, at in zip(prompts.pairs, places, strict=True)):
            return None
        return f"at {sender.position}" if alone else f"up to {sender.position}"


def _moves(node: Address) -> bool:
    """Whether a change of this input changes the output at other positions: keys and values do, queries do not."""
    return isinstance(node.node, Head | Attention | KVHead) and node.ports != (Port.Q,)


def _patched(node: Address) -> Change | None:
    """What patching a node changes; None = everywhere."""
    return None if node.position is None else Change(node.position, onward=bool(node.ports) and _moves(node))


def _differs(pair: Pair, at: int, alone: bool) -> bool:
    corrupted = pair.corrupted or ()
    return pair.clean[at] != corrupted[at] if alone else pair.clean[: at + 1] != corrupted[: at + 1]


def _never(hits: Hits) -> bool:
    return hits is not None and not any(hits)


def _any(several: Iterable[Hits]) -> Hits:
    """In which pairs at least one arrives."""
    known = list(several)
    if any(hits is not None and all(hits) for hits in known):
        return (True,)
    if any(hits is None for hits in known):
        return None
    return tuple(any(pair) for pair in zip(*(hits for hits in known if hits is not None), strict=True))


def _at(position: Position | None, change: Change | None) -> Change | None:
    """A change that is let through at `position` only."""
    return change if position is None else Change(position)


def _partly(label: str, change: Change | None, position: Position | None, hits: Hits) -> Iterator[Remark]:
    """A remark if a change arrives in some pairs only, or if that is not known."""
    if hits is None:
        yield Remark(Verdict.UNKNOWN)
    elif change is not None and not all(hits):
        meet = f"{change.position} and {position} are the same token"
        if change.onward:
            meet = f"{position} does not come before {change.position}"
        where = f"{meet} in {sum(hits)} of {len(hits)} pairs only"
        yield Remark(Verdict.PARTLY, f"{label}: {where}; in the others the effect is 0")


def _not_carried(sender: Address, receiver: Address) -> str:
    return f"{sender} → {receiver} is structurally zero: {_still(sender.position, receiver)}"


def _not_entering(sender: Address, receiver: Address, change: Change) -> str:
    if change.onward:
        return f"what {sender.node} moves from {change.position} to later tokens never reaches {receiver}"
    return _still(change.position, receiver)


def _still(position: Position | None, receiver: Address) -> str:
    return (
        f"the residual stream and MLPs do not move tokens, and {position} and {receiver.position} "
        f"are never the same token{_way_in(receiver, position)}"
    )


def _way_in(receiver: Address, position: Position | None) -> str:
    """Where information at `position` would enter the receiver."""
    match receiver.node:
        case Head() | Attention() | KVHead() as node:
            return f"; what is at {position} would enter {node} at {node}<k>@{position} or {node}<v>@{position}"
        case _:
            return "; give both ends one position, or go through a head's <k> or <v>"

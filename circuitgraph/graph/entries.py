"""One entry of `edges:` or `nodes:` -> its claims, one per experiment. Problems are noted, never raised."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from circuitgraph.graph import rules
from circuitgraph.graph.claims import (
    ChainClaim,
    Claim,
    Counterfactual,
    EdgeClaim,
    Intervention,
    Mean,
    NodeClaim,
    Prune,
    Resample,
    SetClaim,
    Source,
    Zero,
)
from circuitgraph.graph.findings import Findings
from circuitgraph.graph.references import Member, References
from circuitgraph.graph.selection import selected_edges
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import EACH, Address, Position, parse_position
from circuitgraph.spec.model import (
    AllSpec,
    CircuitSpec,
    EdgeSpec,
    Join,
    NodeSpec,
    Overrides,
    PathKind,
    ReceiverMode,
    ReferenceSpec,
    SourceKind,
)
from circuitgraph.spec.source import Loc

MAX_EXPERIMENTS = 1_000_000
"""Of one entry: more is a pattern written by mistake (every neuron to every head, say)."""

Rule = Callable[[Address], str | None]


@dataclass(frozen=True, slots=True)
class Entries:
    """Expands the entries of one spec. `positions`: what `@each` stands for; None = not known here."""

    spec: CircuitSpec
    shape: ModelShape
    references: References
    findings: Findings
    positions: Sequence[Position] | None = None

    def edge_claims(self, entry: EdgeSpec, loc: Loc) -> Iterator[Claim]:
        """The claims of one entry of `edges:`."""
        if entry.chain is not None:
            self._refuse(entry, loc, "a chain", ("join", "receivers"))
            yield from self._chains(entry, entry.chain, loc)
        elif entry.set is not None:
            self._refuse(entry, loc, "a set, whose edges are always added together", ("join", "receivers"))
            yield from self._set(entry, loc)
        elif entry.all is not None:
            self._refuse(entry, loc, "all edges, each of which is an experiment of its own", ("join", "receivers"))
            yield from self._all(entry, entry.all, loc)
        else:
            yield from self._edges(entry, loc)

    def node_claims(self, entry: NodeSpec, loc: Loc) -> Iterator[NodeClaim]:
        """The claims of one entry of `nodes:`."""
        self._refuse(entry, loc, "a node, which is patched for everything downstream", ("path", "receivers"))
        rule = rules.pruned_problem if entry.prune else self._patched_rule
        if entry.prune:
            self._refuse(entry, loc, "prune, which sets weights to zero", ("source",))
        how = replace(self._how(entry, loc), source=Prune()) if entry.prune else self._how(entry, loc)
        members = self._members(entry.node, (*loc, "node"), rule)
        blocks = [members] if entry.join is Join.SENDERS and members else [[member] for member in members]
        for block in blocks:
            for nodes in self._sweep(_addresses(block)):
                self._note((*loc, "node"), rules.joint_problem(self.shape, nodes))
                origin = self.findings.origin(loc)
                yield NodeClaim(nodes, how, entry.label, _common_group(block), origin, entry.expect)

    def _sweep(self, nodes: tuple[Address, ...]) -> Iterator[tuple[Address, ...]]:
        """The nodes as they are; with `@each`, once for each position."""
        if not any(node.position == EACH for node in nodes):
            yield nodes
            return
        for position in self.positions or ():
            yield tuple(node.at(position) if node.position == EACH else node for node in nodes)

    def _edges(self, entry: EdgeSpec, loc: Loc) -> Iterator[EdgeClaim]:
        how, origin = self._how(entry, loc), self.findings.origin(loc)
        for some_senders, some_receivers in self._ends(entry.sender or (), entry.receiver or (), entry.join, loc):
            ends = _addresses(some_senders), _addresses(some_receivers)
            self._check_joint(*ends, how, loc)
            groups = _common_group(some_senders), _common_group(some_receivers)
            yield EdgeClaim(*ends, how, entry.label, *groups, origin, entry.expect)

    def _ends(
        self, sender: Sequence[str], receiver: Sequence[str], join: Join, loc: Loc
    ) -> Iterator[tuple[list[Member], list[Member]]]:
        """The senders and receivers of each experiment."""
        senders = self._members(sender, (*loc, "sender"), self._sender_rule)
        receivers = self._members(receiver, (*loc, "receiver"), rules.receiver_problem)
        if senders and receivers and not self._too_many(loc, len(senders) * len(receivers)):
            yield from self._blocks(join, senders, receivers, loc)

    def _blocks(
        self, join: Join, senders: list[Member], receivers: list[Member], loc: Loc
    ) -> Iterator[tuple[list[Member], list[Member]]]:
        """Who takes part in each experiment; what a pattern named and cannot take part is left out."""
        rows = [senders] if join in (Join.SENDERS, Join.BOTH) else [[member] for member in senders]
        columns = [receivers] if join in (Join.RECEIVERS, Join.BOTH) else [[member] for member in receivers]
        used: set[Member] = set()
        backwards: list[tuple[Member, Member]] = []
        for row, column in product(rows, columns):
            reaching = [(s, r) for s in row for r in column if self._reaches(s, r)]
            some_senders = list(dict.fromkeys(s for s, _ in reaching))
            some_receivers = list(dict.fromkeys(r for _, r in reaching))
            if join is not Join.BOTH and len(reaching) < len(row) * len(column):
                backwards += [pair for pair in product(row, column) if not _optional(pair) and not self._reaches(*pair)]
            used.update(some_senders, some_receivers)
            if reaching:
                yield some_senders, some_receivers
        idle_sender = [(s, receivers[-1]) for s in senders if not s.wildcard and s not in used]
        idle_receiver = [(senders[0], r) for r in receivers if not r.wildcard and r not in used]
        nothing = [] if used else [(senders[0], receivers[-1])]
        self._note_backwards(backwards or idle_sender or idle_receiver or nothing, loc)

    def _check_joint(
        self, senders: tuple[Address, ...], receivers: tuple[Address, ...], how: Intervention, loc: Loc
    ) -> None:
        if len(senders) > 1:
            self._note((*loc, "sender"), rules.joint_problem(self.shape, senders))
        if len(receivers) == 1:
            return
        place = (*loc, "receiver")
        self._note(place, rules.receivers_problem(self.shape, receivers))
        if how.receivers is ReceiverMode.OVERWRITE:
            self._note(place, rules.overwrite_problem(self.shape, receivers))
        else:
            self._note(place, rules.added_problem(self.shape, receivers))
            self._note((*loc, "sender"), rules.adding_problem(senders))
            if how.path is PathKind.THROUGH_MLPS:
                self._note(loc, "joined receivers with receivers: add are defined for path: direct only")

    def _chains(self, entry: EdgeSpec, texts: Sequence[str], loc: Loc) -> Iterator[ChainClaim]:
        how, origin = self._how(entry, loc), self.findings.origin(loc)
        by_place = [self._sender_rule, *[self._inner_rule] * (len(texts) - 2), rules.receiver_problem]
        hops = [
            self._members((text,), (*loc, "chain"), rule, first=i)
            for i, (text, rule) in enumerate(zip(texts, by_place, strict=True))
        ]
        if not all(hops) or self._too_many(loc, prod(map(len, hops))):
            return
        chains: list[tuple[Member, ...]] = [(member,) for member in hops[0]]
        for members in hops[1:]:
            pairs = list(product(chains, members))
            longer = [(*chain, member) for chain, member in pairs if self._reaches(chain[-1], member)]
            hop = dict.fromkeys((chain[-1], member) for chain, member in pairs)
            backwards = [pair for pair in hop if not _optional(pair) and not self._reaches(*pair)]
            self._note_backwards(backwards or ([] if longer else [(pairs[0][0][-1], pairs[-1][1])]), members[0].loc)
            if not longer:
                return
            chains = longer
        for chain in chains:
            yield ChainClaim(_addresses(chain), how, entry.label, origin, entry.expect)

    def _set(self, entry: EdgeSpec, loc: Loc) -> Iterator[SetClaim]:
        how, origin = self._how(entry, loc), self.findings.origin(loc)
        if how.path is PathKind.THROUGH_MLPS:
            self._note(loc, "a set is patched as add, which is defined for path: direct only")
        edges: list[tuple[Address, Address]] = []
        for j, ends in enumerate(entry.set or ()):
            place: Loc = (*loc, "set", j)
            pairs = self._ends((ends.sender,), (ends.receiver,), Join.NONE, place)
            edges += [(senders[0].address, receivers[0].address) for senders, receivers in pairs]
        if edges:
            self._note((*loc, "set"), rules.set_problem(self.shape, edges))
            how = replace(how, path=PathKind.DIRECT, receivers=ReceiverMode.ADD)
            yield SetClaim(tuple(edges), how, entry.label, origin, entry.expect)

    def _all(self, entry: EdgeSpec, wanted: AllSpec, loc: Loc) -> Iterator[EdgeClaim]:
        how, origin = self._how(entry, loc), self.findings.origin(loc)
        at = None if wanted.at is None else parse_position(wanted.at)
        selection = selected_edges(wanted, self.shape)
        for key, message in selection.problems:
            self._note((*loc, "all") if key is None else (*loc, "all", key), message)
        if self._too_many(loc, len(selection.edges)):
            return
        for edge in selection.edges:
            ends = (Address(edge.sender, (), at),), (edge.target.at(at),)
            yield EdgeClaim(*ends, how, entry.label, origin=origin, expect=entry.expect)

    def _members(self, texts: Sequence[str], loc: Loc, rule: Rule, *, first: int = 0) -> list[Member]:
        """The nodes of some texts that may stand here; the first that may not is noted for each text."""
        allowed: list[Member] = []
        for i, text in enumerate(texts, start=first):
            members = self.references.resolve(text, (*loc, i))
            refused = [(member, message) for member in members if (message := rule(member.address))]
            if refused:
                more = f" (and {len(refused) - 1} more of '{text}')" if len(refused) > 1 else ""
                self._note((*loc, i), refused[0][1] + more)
            out = {member for member, _ in refused}
            allowed += [member for member in members if member not in out]
        return allowed

    def _how(self, entry: Overrides, loc: Loc) -> Intervention:
        defaults = self.spec.intervention
        return Intervention(
            entry.path or defaults.path,
            entry.base or defaults.base,
            self._source(entry, loc),
            entry.receivers or defaults.receivers,
        )

    def _source(self, entry: Overrides, loc: Loc) -> Source:
        defaults = self.spec.intervention
        kind = entry.source or defaults.source
        if defaults.reference is None and kind in (SourceKind.MEAN, SourceKind.RESAMPLE):
            place: Loc = (*loc, "source") if entry.source else ("intervention", "source")
            self._note(place, needs_reference(kind))
        return source_of(self.spec, kind)

    def _reaches(self, sender: Member, receiver: Member) -> bool:
        return self.shape.can_reach(sender.address.node, receiver.address.node)

    def _sender_rule(self, address: Address) -> str | None:
        return rules.sender_problem(self.shape, address)

    def _inner_rule(self, address: Address) -> str | None:
        return rules.inner_problem(self.shape, address)

    def _patched_rule(self, address: Address) -> str | None:
        return rules.patched_problem(self.shape, address)

    def _refuse(self, entry: Overrides, loc: Loc, what: str, keys: tuple[str, ...]) -> None:
        for key in keys:
            if getattr(entry, key, None) is not None and key in entry.model_fields_set:
                self._note((*loc, key), f"'{key}' has no meaning for {what}")

    def _too_many(self, loc: Loc, count: int) -> bool:
        if count > MAX_EXPERIMENTS:
            self._note(loc, f"this entry stands for {count:,} experiments; at most {MAX_EXPERIMENTS:,} are allowed")
        return count > MAX_EXPERIMENTS

    def _note_backwards(self, pairs: Sequence[tuple[Member, Member]], loc: Loc) -> None:
        if pairs:
            sender, receiver = (member.address.node for member in pairs[0])
            more = f" (and {len(pairs) - 1} more in this entry)" if len(pairs) > 1 else ""
            self._note(loc, (rules.reach_problem(self.shape, sender, receiver) or "") + more)

    def _note(self, loc: Loc, message: str | None) -> None:
        if message:
            self.findings.add(loc, message)


def source_of(spec: CircuitSpec, kind: SourceKind) -> Source:
    """A kind of source with the reference set, the draws and the seed of a spec."""
    defaults = spec.intervention
    reference = defaults.reference or ReferenceSpec(prompts=spec.prompts)
    match kind:
        case SourceKind.COUNTERFACTUAL:
            return Counterfactual()
        case SourceKind.ZERO:
            return Zero()
        case SourceKind.MEAN:
            return Mean(reference)
        case SourceKind.RESAMPLE:
            return Resample(reference, defaults.draws, defaults.seed)


def needs_reference(kind: SourceKind) -> str:
    """The message for a source whose reference set is not given."""
    return f"source: {kind} needs a reference set; give intervention: {{reference: {{prompts: …}}}}"


def _addresses(members: Sequence[Member]) -> tuple[Address, ...]:
    return tuple(member.address for member in members)


def _common_group(members: Sequence[Member]) -> str | None:
    names = {member.group for member in members}
    return names.pop() if len(names) == 1 else None


def _optional(pair: tuple[Member, Member]) -> bool:
    """Whether a pattern named one of the two."""
    return pair[0].wildcard or pair[1].wildcard

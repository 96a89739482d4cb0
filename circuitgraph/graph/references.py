"""What the texts of a spec refer to: a node, a pattern's nodes, a group's members. No file access.

A reference is a name with an optional suffix: `a9.h6<q>@END`, `a*.h*`, `movers<q>@END`. The suffix of a
group fills in what its members lack; where a member says otherwise, that is a problem.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from circuitgraph.errors import AddressError, did_you_mean
from circuitgraph.graph.claims import Group
from circuitgraph.graph.findings import Findings
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import (
    MLP,
    Address,
    Attention,
    Feature,
    Head,
    KVHead,
    Neuron,
    Node,
    NodePattern,
    Reference,
    Residual,
    Sae,
    SaeError,
    is_pattern,
    parse_node,
    split,
)
from circuitgraph.spec.model import GroupSpec
from circuitgraph.spec.source import Loc


@dataclass(frozen=True, slots=True)
class Member:
    """One node that a reference stands for, and how the spec came to name it."""

    address: Address
    loc: Loc
    group: str | None = None
    wildcard: bool = False
    """Named by a pattern: where it cannot take part it is left out, and that is no problem."""


class References:
    """Resolves the texts of one spec against its groups and the model's shape."""

    def __init__(
        self,
        groups: Mapping[str, GroupSpec],
        shape: ModelShape,
        findings: Findings,
        saes: Mapping[str, Sae] = MappingProxyType({}),
    ) -> None:
        """Resolve the groups.

        Args:
            saes: the spec's sparse autoencoders by name.
        """
        self._saes = saes
        self._specs = groups
        self._shape = shape
        self._findings = findings
        self._members: dict[str, tuple[Member, ...]] = {}
        self._open: list[str] = []
        for name in groups:
            self._check_name(name)
            self._group(name)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups with their members, in the order of the spec."""
        return tuple(
            Group(name, tuple(member.address for member in self._members[name]), spec.label, spec.note)
            for name, spec in self._specs.items()
        )

    def resolve(self, text: str, loc: Loc) -> tuple[Member, ...]:
        """The nodes that `text` stands for; () when there is a problem with it, which is then noted."""
        try:
            reference = split(text)
        except AddressError as error:
            self._findings.add(loc, str(error))
            return ()
        pattern = parse_node(reference.name)
        if pattern is not None:
            return self._nodes(pattern, reference, loc)
        if reference.name in self._open:
            self._findings.add(loc, f"a group cannot hold itself: {' → '.join([*self._open, reference.name])}")
            return ()
        if reference.name in self._specs:
            return tuple(self._suffixed(reference, loc))
        self._findings.add(loc, self._unknown(reference.name))
        return ()

    def _nodes(self, pattern: NodePattern, reference: Reference, loc: Loc) -> tuple[Member, ...]:
        nodes = self._parts(pattern, reference.name, loc) if pattern.sae else self._shape.expand(pattern)
        if nodes is None:
            return ()
        if not nodes:
            self._findings.add(loc, self._nothing(pattern, reference.name))
            return ()
        if problem := next(filter(None, map(self._shape.problem_with, nodes)), None):
            self._findings.add(loc, problem)
            return ()
        wildcard = is_pattern(pattern)
        suffix = (reference.ports, reference.position, reference.output)
        return tuple(Member(Address(node, *suffix), loc, None, wildcard) for node in nodes)

    def _parts(self, pattern: NodePattern, name: str, loc: Loc) -> Sequence[Node] | None:
        """The features or the error of a sparse autoencoder; None when that is a problem, which is then noted."""
        sae = self._saes.get(pattern.sae)
        if sae is None:
            known = did_you_mean(pattern.sae, self._saes) if self._saes else "; saes: declares none"
            self._findings.add(loc, f"{name}: there is no sparse autoencoder '{pattern.sae}'{known}")
            return None
        if pattern.kind == "error":
            return (SaeError(sae),)
        if pattern.index is not None:
            return (Feature(sae, pattern.index),)
        return None if sae.width is None else [Feature(sae, index) for index in range(sae.width)]

    def _nothing(self, pattern: NodePattern, name: str) -> str:
        shape = self._shape
        if pattern.kind == "n" and shape.mlps and shape.d_mlp is None:
            return f"{name}: the number of neurons is unknown; declare d_mlp under model.shape"
        heads = f"{shape.heads} heads" + (f" ({shape.kv_heads} for keys and values)" if shape.grouped else "")
        layout = "no MLPs" if not shape.mlps else "parallel blocks" if shape.parallel else "MLPs"
        return f"{name} names no node of this model, which has {shape.layers} layers, {heads} and {layout}"

    def _unknown(self, name: str) -> str:
        numbers = re.findall(r"\d+", name)[:2] or ["0"]
        layer, index = int(numbers[0]), int(numbers[-1])
        nodes: list[Node] = [Head(layer, index), Attention(layer), MLP(layer), Neuron(layer, index), Residual(layer)]
        if self._shape.grouped:
            nodes.append(KVHead(layer, index))
        nodes += [Feature(sae, index) for sae in self._saes.values()]
        nodes += [SaeError(sae) for sae in self._saes.values()]
        examples = [str(node) for node in nodes if self._shape.problem_with(node) is None]
        return f"'{name}' is no node and no group{did_you_mean(name, [*self._specs, 'input', *examples, 'logits'])}"

    def _suffixed(self, reference: Reference, loc: Loc) -> Iterator[Member]:
        """The members of a group with the suffix of this reference."""
        for member in self._group(reference.name):
            address = member.address
            for kind, theirs, ours in (
                ("port", address.ports, reference.ports),
                ("position", address.position, reference.position),
            ):
                if theirs and ours and theirs != ours:
                    self._findings.add(loc, f"group '{reference.name}' holds {address}, which has another {kind}")
                    break
            else:
                filled = replace(
                    address,
                    ports=address.ports or reference.ports,
                    position=reference.position if address.position is None else address.position,
                    output=reference.output,
                )
                yield replace(member, address=filled, loc=loc, group=reference.name)

    def _group(self, name: str) -> tuple[Member, ...]:
        if name in self._members:
            return self._members[name]
        self._open.append(name)
        members: dict[Address, Member] = {}
        for i, text in enumerate(self._specs[name].nodes):
            loc: Loc = ("groups", name, "nodes", i)
            for member in self.resolve(text, loc):
                if member.address.output is not None:
                    self._findings.add(loc, f"{member.address}: an output position (>) belongs on a node of a chain")
                elif member.address in members:
                    self._findings.add(loc, f"group '{name}' holds {member.address} twice")
                else:
                    members[member.address] = member
        self._open.pop()
        self._members[name] = tuple(members.values())
        return self._members[name]

    def _check_name(self, name: str) -> None:
        try:
            reference = split(name)
        except AddressError:
            reference = None
        if parse_node(name) is not None:
            message = f"group '{name}' has the name of a node; choose another name"
        elif reference != Reference(name, (), None, None):
            message = f"group '{name}' cannot be referred to; use letters, digits and spaces, without <, >, @ or a port"
        else:
            return
        self._findings.add(("groups", name), message, key=True)

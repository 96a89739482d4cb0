"""Named positions across prompt pairs: which exist, and how far apart two of them are. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cache

from circuitgraph import catalog
from circuitgraph.catalog.generators import RESERVED
from circuitgraph.errors import AddressError, InputError, did_you_mean
from circuitgraph.nodes import EACH, Position, Reference, parse_position, split
from circuitgraph.prompts.pairs import Pair, PromptSet
from circuitgraph.prompts.raw import RawPair
from circuitgraph.spec.model import CircuitSpec, PromptsSpec
from circuitgraph.spec.source import Loc


class Places:
    """Where positions are in the pairs; without prompts, what their names alone make certain.

    `names`: the positions that are known to exist although the prompts could not be read as tokens; None = unknown.
    """

    def __init__(self, prompts: PromptSet | None, names: Collection[str] | None = None) -> None:
        self._prompts = prompts
        self._names = names
        self.differences = cache(self._differences)
        self.indexes = cache(self._indexes)

    def _indexes(self, position: Position) -> tuple[int, ...] | None:
        """The token index in each pair; None without prompts, or where some pair lacks the position."""
        try:
            return None if self._prompts is None else self._prompts.indexes(position)
        except InputError:
            return None

    def _differences(self, a: Position, b: Position) -> tuple[int, ...] | None:
        """index(a) − index(b) for each pair (one number for all without prompts); None = not known."""
        if self._prompts is None:
            (anchor, offset), (other, other_offset) = _anchored(a), _anchored(b)
            return (offset - other_offset,) if anchor == other else None
        first, second = self.indexes(a), self.indexes(b)
        if first is None or second is None:
            return None
        return tuple(x - y for x, y in zip(first, second, strict=True))

    def each(self) -> tuple[Position, ...] | None:
        """What `@each` stands for: every token where prompts have one length, else every name that all of them have.

        None without prompts.
        """
        if self._prompts is None:
            return None
        pairs = self._prompts.pairs
        if len({(len(pair), pair.start) for pair in pairs}) == 1:
            first = (Position("BOS"),) * pairs[0].start
            return (*first, *(Position("", index) for index in range(len(pairs[0]) - pairs[0].start)))
        return self.shared()

    def shared(self) -> tuple[Position, ...]:
        """The named positions that all prompts have, from left to right; () without prompts."""
        if self._prompts is None:
            return ()
        pairs, names = self._prompts.pairs, self._prompts.position_names()
        return tuple(Position(name) for name in names if all(name in pair.positions for pair in pairs))

    def meeting(self, a: Position, b: Position) -> str | None:
        """In which pairs two positions are the same token, in words; None if in none, or it is not known."""
        distances = self.differences(a, b) or ()
        same = [i for i, distance in enumerate(distances) if distance == 0]
        if not same:
            return None
        return "in every prompt" if self._prompts is None else f"in {which(same, len(distances))}"

    def problem_with(self, position: Position) -> str | None:
        """Why the prompts have no such position, and in how many pairs; None if all have it."""
        if self._prompts is None:
            if not position.name or self._names is None or position.name in self._names:
                return None
            return f"'{position.name}' is no position of these prompts{did_you_mean(position.name, self._names)}"
        if self.indexes(position) is not None:
            return None
        pairs = self._prompts.pairs
        known = [name for name in pairs[0].positions if all(name in pair.positions for pair in pairs)]
        without = [i for i, pair in enumerate(pairs) if position.name and position.name not in pair.positions]
        if len(without) == len(pairs):
            return f"'{position.name}' is no position of these prompts{did_you_mean(position.name, known)}"
        if without:
            return (
                f"'{position.name}' is no position of {which(without, len(pairs))}; all pairs have: {', '.join(known)}"
            )
        outside = [i for i, pair in enumerate(pairs) if not _has(pair, position)]
        tokens = len(pairs[outside[0]]) - pairs[outside[0]].start
        return (
            f"position {position} lies outside {which(outside, len(pairs))}; pair {outside[0] + 1} has {tokens} tokens"
        )


def which(indexes: Sequence[int], total: int) -> str:
    """`pair 3`, `pairs 3 and 5`, `12 of 64 pairs (the first: 3)`; pairs count from 1."""
    numbers = [str(index + 1) for index in indexes]
    if len(numbers) == total:
        return f"all {total} pairs" if total > 1 else "pair 1"
    if len(numbers) < 4:
        return f"pair{'s' * (len(numbers) > 1)} {' and '.join(numbers)}"
    return f"{len(numbers)} of {total} pairs (the first: {numbers[0]})"


def names_of(spec: PromptsSpec) -> frozenset[str] | None:
    """The positions that all prompts of a spec have, found without a tokenizer; None = not known."""
    if spec.generator is not None:
        entry = catalog.generators.lookup(spec.generator.name)
        pairs: Sequence[RawPair] = entry.load().generate(entry.read(spec.generator.parameters))
    elif spec.pairs is not None:
        pairs = [RawPair.of(pair) for pair in spec.pairs]
    else:
        return None
    names = [{*pair.positions, *pair.spans} for pair in pairs]
    return frozenset(set.intersection(*names) | set(RESERVED)) if names else None


def _has(pair: Pair, position: Position) -> bool:
    try:
        pair.index(position)
    except InputError:
        return False
    return True


def _anchored(position: Position) -> tuple[str, int]:
    """A position as an offset from something that is the same token in every reading of it."""
    if position.name == "END":
        return "-", position.offset - 1
    if position.name:
        return position.name, position.offset
    return ("-" if position.offset < 0 else "+"), position.offset


def references(spec: CircuitSpec) -> Iterator[tuple[Loc, Reference]]:
    """Every node text of the spec that can be read, with its place; `all:` is a pattern that names every node."""
    for loc, text in _texts(spec):
        try:
            yield loc, split(text)
        except AddressError:
            continue
    for i, edge in enumerate(spec.edges):
        if edge.all is not None:
            at = None if edge.all.at is None else parse_position(edge.all.at)
            yield ("edges", i, "all", "at"), Reference("*", (), at, None)


def entries_with_patterns(spec: CircuitSpec) -> frozenset[str]:
    """The entries (`edges.3`) that name nodes by a pattern, themselves or through a group, or sweep `@each` token."""
    named = list(references(spec))
    groups: set[str | int] = set()
    while grown := {loc[1] for loc, name in _groups_of(named) if "*" in name or name in groups} - groups:
        groups |= grown
    return frozenset(
        f"{loc[0]}.{loc[1]}"
        for loc, reference in named
        if loc[0] != "groups" and ("*" in reference.name or reference.name in groups or reference.position == EACH)
    )


def _groups_of(named: list[tuple[Loc, Reference]]) -> list[tuple[Loc, str]]:
    return [(loc, reference.name) for loc, reference in named if loc[0] == "groups"]


def _texts(spec: CircuitSpec) -> Iterator[tuple[Loc, str]]:
    for name, group in spec.groups.items():
        yield from ((("groups", name, "nodes", i), text) for i, text in enumerate(group.nodes))
    for i, edge in enumerate(spec.edges):
        yield from ((("edges", i, "sender", j), text) for j, text in enumerate(edge.sender or ()))
        yield from ((("edges", i, "receiver", j), text) for j, text in enumerate(edge.receiver or ()))
        yield from ((("edges", i, "chain", j), text) for j, text in enumerate(edge.chain or ()))
        for j, ends in enumerate(edge.set or ()):
            yield ("edges", i, "set", j, "sender"), ends.sender
            yield ("edges", i, "set", j, "receiver"), ends.receiver
    for i, node in enumerate(spec.nodes):
        yield from ((("nodes", i, "node", j), text) for j, text in enumerate(node.node))

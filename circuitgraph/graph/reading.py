"""The sections that read and patch nothing, with their names resolved. No model, no files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from circuitgraph.graph.findings import Findings
from circuitgraph.graph.references import Member, References
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import Address, Attention, Head, KVHead, Position, split
from circuitgraph.spec.model import AttentionSection, AttributionOf, BaseRun, Unit
from circuitgraph.spec.source import Loc


@dataclass(frozen=True, slots=True)
class ReadHead:
    """A head whose attention is read, and the group it was named by."""

    head: Head
    group: str | None = None


@dataclass(frozen=True, slots=True)
class AttentionReading:
    """Mean attention weights to be read: of which heads, from and to which positions, in which prompts."""

    heads: tuple[ReadHead, ...]
    from_positions: tuple[Position, ...]
    to_positions: tuple[Position, ...]
    run: BaseRun


@dataclass(frozen=True, slots=True)
class AttributionReading:
    """Metrics to be taken apart: which of the spec's (by index), into what, of which run, and where they are read.

    `at`: None = where each metric is read. `tokens`: positions by which heads are split; None = they are not.
    """

    metrics: tuple[int, ...]
    unit: Unit
    of: AttributionOf
    at: tuple[Position, ...] | None = None
    tokens: tuple[Position, ...] | None = None


def heads_to_read(
    section: AttentionSection, references: References, shape: ModelShape, findings: Findings
) -> tuple[ReadHead, ...]:
    """The heads that a section names, each once in a group; what is wrong with them is noted.

    Without names: the heads of all groups, or all heads where there are no groups. Of a group only its heads count.
    """
    found: list[ReadHead] = []
    if section.heads is not None:
        for i, text in enumerate(section.heads):
            found += _named(text, ("attention", "heads", i), references, shape, findings)
    elif references.groups:
        found += [ReadHead(head, group.name) for group in references.groups for head in _heads_of(group.members, shape)]
        if not found and not findings.problems:  # otherwise it may follow from what else is wrong
            findings.add(("groups",), "no group holds a head to read the attention of; name heads: under attention")
    else:
        found += [ReadHead(Head(layer, index)) for layer in range(shape.layers) for index in range(shape.heads)]
    grouped = {read.head for read in found if read.group is not None}
    return tuple(dict.fromkeys(read for read in found if read.group is not None or read.head not in grouped))


def _named(text: str, loc: Loc, references: References, shape: ModelShape, findings: Findings) -> list[ReadHead]:
    """The heads that one text names."""
    members = references.resolve(text, loc)
    if not members:
        return []  # what is wrong has been noted
    reference = split(text)
    if reference != (reference.name, (), None, None):
        what = "port" if reference.ports else "position"
        findings.add(
            loc,
            f"attention is read of whole heads, without a {what}: write {reference.name}; "
            "positions stand under from: and to:",
        )
        return []
    heads = _heads_of([member.address for member in members], shape)
    if not heads:
        findings.add(loc, _no_heads(reference.name, members[0], shape))
    return [ReadHead(head, members[0].group) for head in heads]


def _heads_of(addresses: Iterable[Address], shape: ModelShape) -> list[Head]:
    """The heads among some nodes, those of whole layers included."""
    found: list[Head] = []
    for address in addresses:
        match address.node:
            case Head() as head:
                found.append(head)
            case Attention(layer):
                found += [Head(layer, index) for index in range(shape.heads)]
            case _:
                pass
    return found


def _no_heads(name: str, member: Member, shape: ModelShape) -> str:
    if member.group is not None:
        return f"group '{name}' holds no head to read the attention of"
    match member.address.node:
        case KVHead(layer, index) if not member.wildcard:
            each = shape.heads // shape.kv_heads
            queries = ", ".join(str(Head(layer, i)) for i in range(index * each, (index + 1) * each))
            return f"{name} has no attention of its own; its query heads are {queries}"
        case _:
            return f"{name} has no attention; name heads (a0.h1), layers (a0), patterns (a*.h1) or groups"

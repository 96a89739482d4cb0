"""The experiment that a text means: its label, its addresses in any accepted spelling, or the start of its id. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from itertools import islice

from circuitgraph.errors import AddressError, InputError
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
)
from circuitgraph.graph.usual import settings
from circuitgraph.nodes import ALL_PORTS, Address, Head, parse

Key = tuple[frozenset[Address], ...]
"""What stands at each step of an edge, a chain or a node; of joined ends the order does not matter."""

_ARROW = re.compile(r"\s*(?:→|->)\s*")
_AND = re.compile(r"\s+\+\s+")
_ID = re.compile(r"[0-9a-f]{4,12}")
MOST_COMPARED = 3000
"""Labels that are compared with an unknown name, letter by letter."""
MOST_LISTED = 8


def find_claim(graph: CircuitGraph, text: str) -> Claim:
    """The claim that a text names.

    Raises:
        InputError: it names none, and which ones are near; or it names several, and their ids.
    """
    wanted = text.strip()
    for candidates in (_by_label(graph, wanted), _by_address(graph, wanted), _by_id(graph, wanted)):
        if len(candidates) > 1:
            raise InputError(_ambiguous(text, candidates))
        if candidates:
            return candidates[0]
    raise InputError(_unknown(graph, wanted))


def _by_label(graph: CircuitGraph, text: str) -> list[Claim]:
    found = [claim for claim in graph.claims if text == claim_label(claim)]
    return found or [claim for claim in graph.claims if claim.label and claim.label.lower() == text.lower()]


def _by_address(graph: CircuitGraph, text: str) -> list[Claim]:
    """Those on these addresses; what has a label of its own only where nothing else is meant."""
    try:
        wanted = _read(text)
    except AddressError:
        return []
    found = [claim for claim in graph.claims if _key(claim) == wanted]
    return [claim for claim in found if not claim.label] or found


def _by_id(graph: CircuitGraph, text: str) -> list[Claim]:
    if not _ID.fullmatch(text.lower()):
        return []
    return [claim for id_, claim in graph.by_id.items() if id_.startswith(text.lower())]


def _read(text: str) -> Key:
    return tuple(frozenset(_canonical(parse(name)) for name in _AND.split(step)) for step in _ARROW.split(text))


def _key(claim: Claim) -> Key | None:
    match claim:
        case EdgeClaim(senders, receivers):
            steps: Sequence[Sequence[Address]] = (senders, receivers)
        case NodeClaim(nodes):
            steps = (nodes,)
        case ChainClaim(hops):
            steps = [(hop,) for hop in hops]
        case SetClaim():
            return None
    return tuple(frozenset(map(_canonical, step)) for step in steps)


def _canonical(address: Address) -> Address:
    """All three ports of a head are what no port means."""
    if isinstance(address.node, Head) and address.ports == ALL_PORTS:
        return Address(address.node, (), address.position, address.output)
    return address


def _ambiguous(text: str, claims: Sequence[Claim]) -> str:
    listed = [
        f"  {claim_id(claim)}  {claim_label(claim)} ({', '.join(f'{k}: {v}' for k, v in settings(claim).items())})"
        for claim in claims[:MOST_LISTED]
    ]
    more = [f"  … {len(claims) - MOST_LISTED} more"] if len(claims) > MOST_LISTED else []
    return "\n".join([f"'{text}' names {len(claims)} experiments; name one by its id:", *listed, *more])


def _unknown(graph: CircuitGraph, text: str) -> str:
    number = len(graph.claims)
    if not number:
        return f"{graph.name} has no experiments to draw; it needs edges or nodes"
    near = _alike(graph, text) or _spelled_alike(graph, text)
    hint = "; did you mean " + " or ".join(f"'{name}'" for name in near) + "?" if near else ""
    count = "1 experiment" if number == 1 else f"{number:,} experiments"
    return (
        f"'{text}' is none of the {count} of {graph.name}{hint}\n"
        "write a label, addresses ('a0.h0 -> a2.h0<q>@END') or the start of an id; circuitgraph plan lists them"
    )


def _alike(graph: CircuitGraph, text: str) -> list[str]:
    """Experiments on the same nodes, at other ports or positions."""
    try:
        wanted = _nodes(_read(text))
    except AddressError:
        return []
    alike = (claim_label(claim) for claim in graph.claims if (key := _key(claim)) and _nodes(key) == wanted)
    return list(islice(dict.fromkeys(alike), 3))


def _nodes(key: Key) -> tuple[frozenset[object], ...]:
    return tuple(frozenset(address.node for address in step) for step in key)


def _spelled_alike(graph: CircuitGraph, text: str) -> list[str]:
    names = dict.fromkeys(name for claim in graph.claims for name in (claim_label(claim), claim_arrow(claim)))
    arrow = " → ".join(_ARROW.split(text))
    return difflib.get_close_matches(arrow, list(islice(names, MOST_COMPARED)), n=3, cutoff=0.5)

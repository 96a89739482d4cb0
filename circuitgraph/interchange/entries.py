"""Experiments as tables and graphs name them -> the entries of a spec: edges, chains, sets, nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from circuitgraph.drawing.data import Attributed, Attributes
from circuitgraph.errors import AddressError, InputError, Problem, SpecError, did_you_mean
from circuitgraph.interchange.names import shown
from circuitgraph.interchange.tables import Table
from circuitgraph.nodes import parse
from circuitgraph.spec.model import EdgeSpec, InterventionSpec, NodeSpec, PairOfEnds, ReceiverMode

KINDS = ("edge", "node", "chain", "set")
_ARROW, _PLUS = " → ", " + "


@dataclass(frozen=True)
class Entry:
    """One experiment: its kind, its ends (pairs of a set; hops of a chain alone), and how it is measured."""

    kind: str
    pairs: tuple[tuple[str, str], ...] = ()
    senders: tuple[str, ...] = ()
    receivers: tuple[str, ...] = ()
    path: str | None = None
    base: str = "clean"
    source: str = "counterfactual"
    receivers_mode: str | None = None
    """Of joined receivers: overwrite or add. None where the file does not say."""
    label: str | None = None


@dataclass(frozen=True)
class Entries:
    """What becomes the sections of a spec."""

    edges: tuple[EdgeSpec, ...]
    nodes: tuple[NodeSpec, ...]
    intervention: InterventionSpec


def entries_of_table(path: str, table: Table) -> tuple[Entry, ...]:
    """The experiments of a table, each once, whatever its metrics.

    Raises:
        SpecError: an address that cannot be read.
    """
    found: dict[str, Entry] = {}
    problems: list[Problem] = []
    for line in table.lines:
        row = line.row
        if row.id in found:
            continue
        try:
            ends = _parted(row.kind, line.address)
        except AddressError as error:
            problems.append(Problem(f"{shown(row.id)}: {error}", file=path))
            continue
        label = None if row.label == line.address else row.label
        found[row.id] = Entry(
            row.kind, *ends, row.path, row.base, row.source, line.receivers, label
        )  # fmt: skip
    if problems:
        raise SpecError(path, problems[:20])
    return tuple(found.values())


def _parted(kind: str, address: str) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...], tuple[str, ...]]:
    """(pairs of a set, senders or hops or nodes, receivers) of an arrow.

    Raises:
        AddressError: it is not of this kind, or an address cannot be read.
    """
    match kind:
        case "edge":
            ends = [tuple(map(_canonical, side.split(_PLUS))) for side in address.split(_ARROW)]
            if len(ends) == 2:
                return (), ends[0], ends[1]
        case "chain":
            hops = tuple(map(_canonical, address.split(_ARROW)))
            if len(hops) > 1:
                return (), hops, ()
        case "node":
            return (), tuple(map(_canonical, address.split(_PLUS))), ()
        case "set" if address.startswith("{") and address.endswith("}"):
            pairs = [tuple(map(_canonical, pair.split(_ARROW))) for pair in _set_parts(address[1:-1])]
            if all(len(pair) == 2 for pair in pairs):
                return tuple((pair[0], pair[1]) for pair in pairs), (), ()
        case _:
            raise AddressError(f"'{shown(kind)}' is no kind of experiment{did_you_mean(kind, KINDS)}")
    raise AddressError(f"'{shown(address)}' is no {kind}")


def _set_parts(text: str) -> list[str]:
    """The edges of a set; a comma between ports (`<k,v>`) has no space behind it."""
    return text.split(", ")


def _canonical(text: str) -> str:
    if text.startswith("sae."):  # which the saes: of a spec would have to declare
        raise AddressError(f"'{shown(text)}' belongs to a sparse autoencoder, which this file does not hold")
    return str(parse(text))


def entries_of_graph(path: str, graph: Attributed) -> tuple[Entry, ...]:
    """The experiments whose arcs a graph holds. Nodes that are patched by themselves are attributes of nodes there.

    Raises:
        SpecError: an attribute that is needed is missing, or an address cannot be read.
    """
    arcs: dict[str, list[tuple[str, str, Attributes]]] = {}
    problems: list[Problem] = []
    for _, _, key, attributes in graph.edges:
        texts = [attributes.get(name) for name in ("claim", "kind", "base", "patched_with", "sender", "receiver")]
        if not all(isinstance(text, str) and text for text in texts):
            problems.append(
                Problem(f"edge '{shown(key)}' lacks claim, kind, base, patched_with, sender or receiver", file=path)
            )
            continue
        try:
            ends = _canonical(str(texts[4])), _canonical(str(texts[5]))
        except AddressError as error:
            problems.append(Problem(f"edge '{shown(key)}': {error}", file=path))
            continue
        arcs.setdefault(str(texts[0]), []).append((*ends, attributes))
    if problems:
        raise SpecError(path, problems[:20])
    return tuple(_entry(path, claim, found) for claim, found in arcs.items())


def _entry(path: str, claim: str, arcs: Sequence[tuple[str, str, Attributes]]) -> Entry:
    first = arcs[0][2]
    kind = str(first["kind"])
    if kind not in KINDS[:1] + KINDS[2:]:
        raise InputError(f"{path}: '{shown(kind)}' is no kind of edge{did_you_mean(kind, KINDS)}")
    senders = tuple(dict.fromkeys(sender for sender, _, _ in arcs))
    receivers = tuple(dict.fromkeys(receiver for _, receiver, _ in arcs))
    pairs: tuple[tuple[str, str], ...] = ()
    match kind:
        case "chain":
            senders, receivers = (*(sender for sender, _, _ in arcs), arcs[-1][1]), ()
            if any(arc[1] != after[0] for arc, after in pairwise(arcs)):
                raise InputError(f"{path}: the arcs of the chain {shown(claim)} do not follow each other")
        case "set":
            pairs, senders, receivers = tuple((arc[0], arc[1]) for arc in arcs), (), ()
    arrow = {
        "edge": f"{_PLUS.join(senders)}{_ARROW}{_PLUS.join(receivers)}",
        "chain": _ARROW.join(senders),
        "set": "{" + ", ".join(f"{s}{_ARROW}{r}" for s, r in pairs) + "}",
    }[kind]
    label = first.get("label")
    return Entry(
        kind,
        pairs,
        senders,
        receivers,
        str(first.get("path") or "direct"),
        str(first["base"]),
        str(first["patched_with"]),
        str(first.get("receivers") or "") or None,
        str(label) if label and label != arrow else None,
    )


def sections(path: str, entries: Sequence[Entry]) -> Entries:
    """The entries as a spec has them; what most of them share becomes `intervention`.

    Raises:
        InputError: how one is measured cannot be told from the file.
    """
    for entry in entries:
        if entry.source not in ("counterfactual", "zero", "prune") or (entry.source == "prune") > (
            entry.kind == "node"
        ):
            raise InputError(
                f"{path}: an experiment with source '{shown(entry.source)}' cannot be made a spec: its reference set "
                "is not in the file; start from the run's spec.yaml"
            )
        if entry.base not in ("clean", "corrupted"):
            raise InputError(
                f"{path}: '{shown(entry.base)}' is no base{did_you_mean(entry.base, ('clean', 'corrupted'))}"
            )
        if entry.path not in (None, "direct", "through-mlps"):
            choices = ("direct", "through-mlps")
            raise InputError(f"{path}: '{shown(entry.path)}' is no path{did_you_mean(entry.path, choices)}")
        if entry.receivers_mode not in (None, *ReceiverMode):
            found, choices = shown(str(entry.receivers_mode)), list(ReceiverMode)
            raise InputError(f"{path}: joined receivers are no '{found}'{did_you_mean(found, choices)}")
    usual: dict[str, Any] = {}
    for key, values in (
        ("path", [entry.path for entry in entries if entry.path]),
        ("base", [entry.base for entry in entries]),
        ("source", [entry.source for entry in entries if entry.source != "prune"]),
    ):
        if values:
            usual[key] = Counter(values).most_common(1)[0][0]
    intervention = InterventionSpec.model_validate(usual)
    edges = tuple(_edge(entry, usual) for entry in entries if entry.kind != "node")
    nodes = tuple(_node(entry, usual) for entry in entries if entry.kind == "node")
    return Entries(edges, nodes, intervention)


def _overrides(entry: Entry, usual: dict[str, Any]) -> dict[str, Any]:
    given = {"path": entry.path, "base": entry.base, "source": entry.source}
    if entry.kind == "node":
        del given["path"]
        if entry.source == "prune":
            del given["source"]
    found = {key: value for key, value in given.items() if value is not None and value != usual.get(key)}
    return {**found, "label": entry.label}


def _edge(entry: Entry, usual: dict[str, Any]) -> EdgeSpec:
    body: dict[str, Any]
    match entry.kind:
        case "chain":
            body = {"chain": entry.senders}
        case "set":
            body = {"set": [PairOfEnds(sender=sender, receiver=receiver) for sender, receiver in entry.pairs]}
        case _:
            body = {"sender": entry.senders, "receiver": entry.receivers, "join": _join(entry)}
            if len(entry.receivers) > 1 and entry.receivers_mode == ReceiverMode.ADD:
                body["receivers"] = "add"
    return EdgeSpec.model_validate({**body, **_overrides(entry, usual)})


def _join(entry: Entry) -> str:
    match len(entry.senders) > 1, len(entry.receivers) > 1:
        case True, True:
            return "both"
        case True, False:
            return "senders"
        case False, True:
            return "receivers"
        case _:
            return "none"


def _node(entry: Entry, usual: dict[str, Any]) -> NodeSpec:
    joined = "senders" if len(entry.senders) > 1 else "none"
    body: dict[str, Any] = {"node": entry.senders, "join": joined, "prune": entry.source == "prune"}
    return NodeSpec.model_validate({**body, **_overrides(entry, usual)})

"""Experiments and their rows -> columns of JSON: what each experiment is, in words, and what was found of it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from circuitgraph.drawing.diagram import part_of
from circuitgraph.errors import NotFiniteError
from circuitgraph.graph.claims import ChainClaim, Claim, EdgeClaim, Group, NodeClaim, SetClaim, claim_arrow
from circuitgraph.graph.usual import SETTINGS, settings, unusual_settings, usual_settings
from circuitgraph.nodes import ALL_PORTS, MLP, Address, Attention, Head, Input, KVHead, Logits, Neuron, Node
from circuitgraph.plans.explain import stages
from circuitgraph.plans.types import Experiment
from circuitgraph.reporting.sections import spec_lines
from circuitgraph.results.records import Row, RunResult

Json = dict[str, Any]
FOUND = tuple(
    field.name
    for field in fields(Row)
    if field.name not in ("id", "kind", "label", "sender", "sender_position", "receiver", "receiver_position", "path",
                          "base", "source", "metric")
)  # fmt: skip
"""The columns of the table that are numbers and verdicts; the others say what an experiment is."""
LONGEST_LINE = 300
MARK = "⟦{}⟧"
"""Stands in a sentence for the i-th address of an experiment."""


def column(values: Sequence[Any]) -> Any:
    """A column; where all values are the same, `{"all": value}`."""
    first = values[0] if values else None
    same = all(value == first and type(value) is type(first) for value in values)
    return {"all": first} if same and len(values) > 1 else list(values)


def found(rows: Mapping[str, Row], ids: Sequence[str]) -> Json:
    """The numbers of some experiments, column by column; null for those without a row.

    Raises:
        NotFiniteError: NaN or infinity; the message names the experiment and the column.
    """
    listed = [rows.get(id_) for id_ in ids]
    return {name: column([None if row is None else _finite(row, name) for row in listed]) for name in FOUND}


def _finite(row: Row, name: str) -> Any:
    value = getattr(row, name)
    if isinstance(value, float) and not math.isfinite(value):
        raise NotFiniteError(f"{row.label} (id {row.id}): {name} of {row.metric} is not finite: {value}")
    return value


def described(claims: Mapping[str, Claim], rows: Mapping[str, Row], groups: Sequence[Group]) -> Json:
    """What the experiments are, column by column, in the order of `claims` (id → claim)."""
    labels = {group.name: group.label or group.name for group in groups}
    listed = list(claims.items())
    how = [settings(claim) for _, claim in listed]
    usual = usual_settings(how)
    return {
        "id": [id_ for id_, _ in listed],
        "kind": column([claim.kind for _, claim in listed]),
        "sort": column([sort_of(claim) for _, claim in listed]),
        "label": column([None if claim.label in (None, claim_arrow(claim)) else claim.label for _, claim in listed]),
        "arrow": column([claim_arrow(claim) for _, claim in listed]),
        "unusual": column([", ".join(unusual_settings(each, usual).values()) for each in how]),
        **{
            name: column([getattr(rows[id_], name) if id_ in rows else None for id_, _ in listed])
            for name in ("sender", "sender_position", "receiver", "receiver_position")
        },
        **{name: column([each.get(name) for each in how]) for name in ("path", "base", "source")},
        "ports": column([ports_of(claim) for _, claim in listed]),
        "parts": column([_parts(claim) for _, claim in listed]),
        "groups": column([[labels[name] for name in _groups(claim, groups)] for _, claim in listed]),
    }


def _parts(claim: Claim) -> dict[str, str]:
    """Node → what of it an experiment patches, where it is not its output."""
    nodes = claim.nodes if isinstance(claim, NodeClaim) else ()
    return {str(address.node): part for address in nodes if (part := part_of(address))}


def sort_of(claim: Claim) -> str:
    """What the page filters by: `head → logits`, `chain`, `node`; `joined` where ends of several kinds are one."""
    match claim:
        case EdgeClaim(senders, receivers):
            tails, heads = {_class(s.node) for s in senders}, {_class(r.node) for r in receivers}
            return f"{tails.pop()} → {heads.pop()}" if len(tails) == len(heads) == 1 else "joined"
        case _:
            return claim.kind


def _class(node: Node) -> str:
    match node:
        case Head() | KVHead() | Attention():
            return "head"
        case MLP() | Neuron():
            return "MLP"
        case Input() | Logits():
            return str(node)
        case _:
            return "stream"


def ports_of(claim: Claim) -> str:
    """The ports at which a claim's arrows arrive: `q`, `kv`; "" = receivers without ports, or a node."""
    match claim:
        case EdgeClaim(_, receivers):
            found = receivers
        case ChainClaim(hops):
            found = hops[1:]
        case SetClaim(edges):
            found = tuple(receiver for _, receiver in edges)
        case NodeClaim(nodes):
            found = tuple(address for address in nodes if address.ports)
    ports = {str(port) for address in found if _has_ports(address) for port in address.ports or ALL_PORTS}
    return "".join(port for port in map(str, ALL_PORTS) if port in ports)


def _has_ports(address: Address) -> bool:
    return bool(address.ports) or isinstance(address.node, Head | KVHead | Attention)


def _groups(claim: Claim, groups: Sequence[Group]) -> list[str]:
    """The groups that a claim is written with; else those that its nodes belong to."""
    if isinstance(claim, EdgeClaim) and (claim.sender_group or claim.receiver_group):
        named = dict.fromkeys(filter(None, (claim.sender_group, claim.receiver_group)))
        return [name for name in named if any(group.name == name for group in groups)]
    nodes = {address.node for address in addresses(claim)}
    return [group.name for group in groups if any(member.node in nodes for member in group.members)]


def addresses(claim: Claim) -> tuple[Address, ...]:
    """Every address of a claim, in its order."""
    match claim:
        case EdgeClaim(senders, receivers):
            return (*senders, *receivers)
        case NodeClaim(nodes):
            return nodes
        case ChainClaim(hops):
            return hops
        case SetClaim(edges):
            return tuple(dict.fromkeys(end for edge in edges for end in edge))


def sentences(
    experiments: Mapping[str, Experiment],
    claims: Mapping[str, Claim],
    metrics: Sequence[str],
    known: Sequence[str] = (),
) -> Json:
    """The three stages of each experiment in words: `texts` with marks in place of addresses, and which are whose.

    `names` are the addresses, in the order of the marks. `known`: texts that there are already.
    """
    texts = {text: i for i, text in enumerate(known)}
    whose: list[list[int]] = []
    names: list[list[str]] = []
    for id_, claim in claims.items():
        own = list(dict.fromkeys(map(str, addresses(claim))))
        said = stages(experiments[id_], metrics) if id_ in experiments else []
        lines = [f"{name}: {text}" for name, text in said]
        if id_ in experiments and experiments[id_].repeat > 1:
            lines.append(f"repeat: {experiments[id_].repeat} draws, effects averaged")
        whose.append([texts.setdefault(_marked(line, own), len(texts)) for line in lines])
        names.append(own)
    return {"texts": list(texts), "stages": column(whose), "names": names}


def own_way(
    result: RunResult, claims: Mapping[str, Claim], items: Json, metrics: Sequence[str], own: Mapping[str, str]
) -> Json:
    """How a run measures the experiments of a sheet, column by column, where that is not what `items` says.

    Null = not in this run. Sentences that are new are added to `items`.

    Args:
        claims: id → claim, of the sheet.
        metrics: those of the sheet's sentences, in words.
        own: the run's id of an experiment → its id on the sheet, where they differ.
    """
    if all(id_ == named for id_, named in own.items()) and metric_phrases(result) == list(metrics):
        return {}
    theirs = {named: claim for id_, claim in result.graph.by_id.items() if (named := own.get(id_, id_)) in claims}
    how = {id_: settings(claim) for id_, claim in theirs.items()}
    found: Json = {}
    for name in SETTINGS:
        if any(how[id_].get(name) != settings(claims[id_]).get(name) for id_ in how):
            found[name] = column([how[id_].get(name) if id_ in how else None for id_ in claims])
    experiments = {own.get(each.id, each.id): each for each in result.plan.experiments}
    kept = {id_: each for id_, each in experiments.items() if id_ in theirs}
    said = sentences(kept, claims, metric_phrases(result), items["texts"])
    items["texts"] = said["texts"]
    found["stages"] = column([at(said["stages"], i) if id_ in kept else None for i, id_ in enumerate(claims)])
    return found


def at(found: Any, i: int) -> Any:
    """The i-th value of a column."""
    return found["all"] if isinstance(found, dict) else found[i]


def _marked(text: str, names: Sequence[str]) -> str:
    """The text with marks in place of the names, where that can be undone."""
    marked = text
    if names:
        ordered = sorted(names, key=len, reverse=True)
        inside = re.compile(r"(?<![\w.])(?:" + "|".join(map(re.escape, ordered)) + r")(?![\w.<@+-])")
        marked = inside.sub(lambda match: MARK.format(names.index(match.group())), text)
    undone = re.sub("⟦(\\d+)⟧", lambda match: names[int(match.group(1))], marked)
    return marked if undone == text else text


def metric_phrases(result: RunResult) -> list[str]:
    """The metrics of a run as people say them, `logit_diff at END`; their names alone where no spec is known."""
    written = result.provenance.get("settings", {}).get("spec", {}).get("metrics")
    if not isinstance(written, Sequence):
        return list(result.metrics)
    return [f"{metric.get('label') or metric['name']} at {metric.get('at') or 'END'}" for metric in written]


def origins(result: RunResult, ids: Sequence[str], own: Mapping[str, str]) -> Json:
    """Where each experiment was written in a run's spec: its line's number or its entry, and the text of those lines.

    `own`: the run's id of an experiment → its id on the page, where they differ.
    """
    lines = (result.spec_text or "").splitlines()
    numbers = {own.get(id_, id_): line for id_, line in spec_lines(result).items()}
    entries = {own.get(id_, id_): claim.origin.entry for id_, claim in result.graph.by_id.items()}
    places = [numbers.get(id_) or entries.get(id_) or None for id_ in ids]
    found = {place for place in places if isinstance(place, int) and place <= len(lines)}
    return {"places": column(places), "texts": {str(line): _cut(lines[line - 1].strip()) for line in sorted(found)}}


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]}…"

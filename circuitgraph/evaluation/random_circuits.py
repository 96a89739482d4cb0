"""Aim -> random circuits of the same make, for comparison. Pure; the same seed gives the same circuits.

Each has as many edges of each kind as the hypothesis: kind of sender, kind of receiver, port. Of a kind, all edges of
the model are equally likely, hypothesised ones too, none twice; the hypothesis' positions are dealt out to them. Of
nodes likewise, with the kind of the node.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from circuitgraph.evaluation.aim import Aim, Part, Parts
from circuitgraph.graph.partition import PartitionEdge, Positions
from circuitgraph.nodes import MLP, Head, Input, KVHead, Node

Kind = tuple[str, ...]


def random_circuits(aim: Aim, count: int, seed: int) -> tuple[Parts, ...]:
    """`count` random circuits. Number i depends on the seed, i, the circuit and the model's shape alone."""
    pools, wanted = _pools(aim), _wanted(aim)
    found: list[Parts] = []
    for number in range(count):
        stream = np.random.default_rng([seed % 2**64, number])
        circuit: dict[Part, Positions] = {}
        for kind, positions in wanted.items():
            chosen = stream.choice(len(pools[kind]), size=len(positions), replace=False)
            circuit.update({pools[kind][i]: at for i, at in zip(chosen.tolist(), positions, strict=True)})
        found.append(circuit)
    return tuple(found)


def without_alternative(aim: Aim) -> tuple[str, ...]:
    """The kinds of which the hypothesis holds all that the model has: `4 of 4 head → logits`."""
    pools = _pools(aim)
    return tuple(
        f"{len(positions)} of {len(pools[kind])} {_words(kind)}"
        for kind, positions in _wanted(aim).items()
        if len(positions) == len(pools[kind]) and len(set(positions)) == 1
    )


def all_fixed(aim: Aim) -> bool:
    """Whether no kind has an alternative: every random circuit would be the hypothesis."""
    return len(without_alternative(aim)) == len(_wanted(aim))


def _pools(aim: Aim) -> Mapping[Kind, tuple[Part, ...]]:
    """Kind → all parts of the model of that kind, of the kinds in the circuit."""
    wanted = _wanted(aim)
    pools: dict[Kind, list[Part]] = {kind: [] for kind in wanted}
    for part in aim.every:
        if (kind := _kind(part)) in pools:
            pools[kind].append(part)
    return {kind: tuple(parts) for kind, parts in pools.items()}


def _wanted(aim: Aim) -> Mapping[Kind, tuple[Positions, ...]]:
    """Kind → the positions of each part of that kind in the circuit."""
    found: dict[Kind, list[Positions]] = {}
    for part, positions in aim.circuit.items():
        found.setdefault(_kind(part), []).append(positions)
    return {kind: tuple(positions) for kind, positions in found.items()}


def _kind(part: Part) -> Kind:
    if isinstance(part, PartitionEdge):
        port = f"<{part.port}>" if part.port else ""
        return _noun(part.sender), _noun(part.receiver) + port
    return (_noun(part),)


def _noun(node: Node) -> str:
    match node:
        case Head():
            return "head"
        case KVHead():
            return "kv head"
        case MLP():
            return "MLP"
        case Input():
            return "input"
        case _:
            return str(node)


def _words(kind: Kind) -> str:
    return " → ".join(kind)

"""Is a hypothesised edge stronger than a random one of the same kind?

For each hypothesised edge, nodes are replaced by random ones of the same kind while positions, ports, path,
base and source stay; edges that are zero by construction are left out. Both sets are measured on the same prompts.
Only single edges are compared: joined edges, chains, sets and nodes of the spec are left out, which is said.

    python examples/random_edges.py specs/ioi-mini.yaml --edges 50 --seed 0

Prints the median |effect| of both sets, their ratio, and each hypothesised edge's percentile among the
random ones.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from rich.progress import Progress

import circuitgraph as cg
from circuitgraph.checks import Checked
from circuitgraph.checks.movement import Movement, Verdict
from circuitgraph.checks.places import Places
from circuitgraph.execute.bind import bind_metrics
from circuitgraph.graph.claims import EdgeClaim, claim_id
from circuitgraph.nodes import MLP, Address, Head, Neuron
from circuitgraph.results.records import Row


def single_edges(checked: Checked) -> list[EdgeClaim]:
    """The hypothesised edges from one sender to one receiver."""
    return [edge for edge in checked.graph.edges if len(edge.senders) == len(edge.receivers) == 1]


def random_edges(checked: Checked, count: int, seed: int) -> list[EdgeClaim]:
    """`count` distinct edges, each in all but its nodes like a hypothesised single edge drawn at random."""
    draw = random.Random(seed)
    readers = tuple(metric.position for metric in bind_metrics(checked.spec.metrics))
    movement = Movement(checked.shape, Places(checked.prompts), readers, checked.prompts)
    models = single_edges(checked)
    if not models:
        raise SystemExit("the spec has no single edge that random ones could be compared with")
    taken = {claim_id(edge) for edge in checked.graph.edges}
    found: list[EdgeClaim] = []
    for _ in range(1000 * count):
        if len(found) == count:
            return found
        model = draw.choice(models)
        sender, receiver = (_another(end, checked, draw) for end in (model.senders[0], model.receivers[0]))
        edge = replace(model, senders=(sender,), receivers=(receiver,), label=None)
        reaches = checked.shape.can_reach(sender.node, receiver.node)
        if not reaches or claim_id(edge) in taken or _is_zero(movement, edge):
            continue
        taken.add(claim_id(edge))
        found.append(edge)
    raise SystemExit(f"only {len(found)} different random edges exist with these positions and ports; ask for fewer")


def _another(address: Address, checked: Checked, draw: random.Random) -> Address:
    """A random node of the same kind, with the same ports and position."""
    shape = checked.shape
    match address.node:
        case Head():
            return replace(address, node=Head(draw.randrange(shape.layers), draw.randrange(shape.heads)))
        case MLP():
            return replace(address, node=MLP(draw.randrange(shape.layers)))
        case Neuron():
            return replace(address, node=Neuron(draw.randrange(shape.layers), draw.randrange(shape.d_mlp or 1)))
        case _:
            return address


def _is_zero(movement: Movement, edge: EdgeClaim) -> bool:
    return any(remark.verdict in (Verdict.ZERO, Verdict.UNCHANGED) for remark in movement.remarks(edge))


def entry(edge: EdgeClaim) -> dict[str, str]:
    """A single edge as an entry of a spec that measures it in the same way."""
    how = edge.how
    ends = {"sender": str(edge.senders[0]), "receiver": str(edge.receivers[0])}
    return {**ends, "path": how.path.value, "base": how.base.value, "source": str(how.source)}


def measure(spec: cg.CircuitSpec, what: str) -> Sequence[Row]:
    """The primary rows of a spec, with a progress bar."""
    with Progress() as bar:
        task = bar.add_task(what, total=None)
        result = cg.run(spec, progress=lambda done, total: bar.update(task, completed=done, total=total))
    return result.primary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec")
    parser.add_argument("--edges", type=int, default=50, help="how many random edges (50)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    spec = cg.load(arguments.spec)
    checked = cg.check(spec)
    entries = [entry(edge) for edge in random_edges(checked, arguments.edges, arguments.seed)]
    drawn = type(spec).model_validate({**spec.model_dump(mode="json"), "nodes": [], "edges": entries})
    singles = {claim_id(edge) for edge in single_edges(checked)}
    rows = measure(spec, "the hypothesis")
    hypothesised = [row for row in rows if row.id in singles]
    baseline = np.sort([abs(row.effect) for row in measure(drawn.in_directory(spec.directory), "random edges")])

    print(f"{'hypothesised edge':60s} {'effect':>9s}  percentile among {len(baseline)} random edges")
    for row in sorted(hypothesised, key=lambda row: -abs(row.effect)):
        percentile = 100 * np.searchsorted(baseline, abs(row.effect), side="left") / len(baseline)
        print(f"{row.label:60s} {row.effect:+9.4f}  {percentile:5.1f}")
    if left_out := len(rows) - len(hypothesised):
        print(f"\nleft out: {left_out} of {len(rows)} experiments, which are no single edges")
    ours, theirs = np.median([abs(row.effect) for row in hypothesised]), np.median(baseline)
    print(f"\nmedian |effect|: hypothesised {ours:.3g}, random {theirs:.3g}, ratio {ours / theirs:.3g}")


if __name__ == "__main__":
    main()

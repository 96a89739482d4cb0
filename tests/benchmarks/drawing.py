"""How long a picture takes: laid out and written as SVG, by the number of its arrows. No model."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import torch

from circuitgraph.checks import check
from circuitgraph.drawing import grouped, scene, svg
from circuitgraph.drawing.diagram import diagram
from circuitgraph.drawing.order import crossings, ordered
from circuitgraph.graph.claims import CircuitGraph
from circuitgraph.results.records import Row
from tests.benchmarks.report import Table
from tests.benchmarks.timing import Clock, seconds
from tests.render_graphs import row

SPECS = Path(__file__).parents[2] / "specs"
COLUMNS = ("arrows", "scene ms", "SVG ms", "kB", "paper ms", "crossings given", "ordered")
LEGEND = """\
scene      a graph with made-up effects, of heavy tails, to a scene: order, places, routes, labels, legend
paper      the same with groups folded into boxes
crossings  pairs of arrows that cross from row to row in the order of the claims, and in the order that is drawn"""
CPU = torch.device("cpu")
ROUNDS = 3
QUICK = ("ioi-mini",)
SIZES = ("ioi-mini", "ioi-gpt2", "all-edges-ioi-mini", "all-edges-gpt2:500", "all-edges-gpt2:1000")


def effects(graph: CircuitGraph, most: int | None) -> tuple[CircuitGraph, list[Row]]:
    """A graph with made-up rows, some nodes mattering more than others; the strongest `most` edges of it."""
    draw = random.Random(0)  # noqa: S311  # made-up numbers
    strength = {str(node): draw.expovariate(1) ** 3 for node in graph.nodes}
    rows = []
    for claim in graph.edges:
        ends = strength[str(claim.senders[0].node)] * strength[str(claim.receivers[0].node)]
        effect = draw.choice([1, 1, -1]) * ends * draw.expovariate(1) ** 2
        rows.append(row(claim, effect, 0.05 * abs(effect) ** 0.5 + 0.01))
    kept = {each.id for each in sorted(rows, key=lambda each: -abs(each.effect))[:most]}
    return graph.only(kept), [each for each in rows if each.id in kept]


def table(clock: Clock, *, quick: bool) -> Iterator[Table]:
    """One row for each size."""
    yield Table("Drawing", ("graph", *COLUMNS), [_row(name, clock) for name in (QUICK if quick else SIZES)])


def _row(name: str, clock: Clock) -> list[str]:
    spec, _, most = name.partition(":")
    graph, rows = effects(check(SPECS / f"{spec}.yaml").graph, int(most) if most else None)
    picture = scene(graph, rows)
    drawn = diagram(graph)
    works = (lambda: scene(graph, rows)), (lambda: svg(picture)), (lambda: grouped(graph, rows))
    times = [min(seconds(work, CPU, clock) for _ in range(ROUNDS)) for work in works]
    laid, written, paper = (f"{1000 * each:.0f}" for each in times)
    counts = f"{crossings(drawn):,}", f"{crossings(ordered(drawn)):,}"
    return [spec, f"{len(picture.arrows):,}", laid, written, f"{len(svg(picture)) / 1e3:.0f}", paper, *counts]

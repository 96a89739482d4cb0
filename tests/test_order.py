"""Drawing: the order of blocks and members has few crossings, and depends on the graph alone."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import combinations, pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from circuitgraph.checks import check
from circuitgraph.drawing import Scene, scene
from circuitgraph.drawing.crossing import gain, inversions, ways
from circuitgraph.drawing.curves import spaced
from circuitgraph.drawing.diagram import Diagram, diagram
from circuitgraph.drawing.order import crossings, natural, ordered
from circuitgraph.graph.claims import CircuitGraph
from tests.render_graphs import GRAPHS, edge, graph, group, rows, tangle

PLACE = st.integers(0, 6).map(float)
WEIGHT = st.integers(1, 3)


@given(st.lists(st.tuples(PLACE, PLACE, WEIGHT), max_size=14))
def test_inversions_are_the_pairs_that_cross(steps: list[tuple[float, float, int]]) -> None:
    crossed = sum(a[2] * b[2] for a, b in combinations(steps, 2) if (a[0] - b[0]) * (a[1] - b[1]) < 0)
    assert inversions(steps) == crossed


@given(st.lists(st.tuples(PLACE, WEIGHT), max_size=8), st.lists(st.tuples(PLACE, WEIGHT), max_size=8))
def test_the_gain_of_an_exchange_is_the_difference_of_crossings(
    left: list[tuple[float, int]], right: list[tuple[float, int]]
) -> None:
    def crossed(first: list[tuple[float, int]], second: list[tuple[float, int]]) -> int:
        return inversions([(0.0, *each) for each in first] + [(1.0, *each) for each in second])

    assert gain(ways(left), ways(right)) == crossed(left, right) - crossed(right, left)


def order_of(drawn: Diagram) -> list[list[str]]:
    return [[" ".join(map(str, block.spots)) for block in row] for row in drawn.rows]


def test_two_edges_that_need_not_cross_do_not() -> None:
    drawn = ordered(diagram(graph(edge("a0.h0", "a1.h1<q>"), edge("a0.h1", "a1.h0<q>"), edge("input", "a0.h0<q>"))))
    assert crossings(drawn) == 0
    assert crossings(natural(drawn)) == 1


def test_members_of_a_group_are_put_in_order_too() -> None:
    claims = [edge(f"a0.h{i}", f"a1.h{3 - i}<v>") for i in range(4)]
    drawn = ordered(diagram(graph(*claims, groups=(group("low", "a0.h0 a0.h1 a0.h2 a0.h3"),
                                                   group("high", "a1.h0 a1.h1 a1.h2 a1.h3")))))  # fmt: skip
    assert crossings(drawn) == 0


def test_where_nothing_is_gained_heads_stand_by_number_and_groups_as_listed() -> None:
    claims = [edge(f"a0.h{i}@END", f"{head}<q>@END") for i in (2, 0, 1) for head in ("a5.h2", "a5.h0", "a5.h1")]
    both = group("second", "a5.h2 a5.h1"), group("first", "a5.h0")
    bottom, top = order_of(ordered(diagram(graph(*claims, groups=both))))
    assert bottom == ["a0.h0@END", "a0.h1@END", "a0.h2@END"]
    assert top == ["a5.h1@END a5.h2@END", "a5.h0@END"]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 60), st.integers(2, 8), st.integers(0, 10**6), st.sampled_from([("",), ("@A", "@B", "")]))
@example(19, 3, 92, ("",))
def test_no_order_is_worse_than_the_natural_one_and_columns_stay(
    edges: int, layers: int, seed: int, positions: tuple[str, ...]
) -> None:
    given_ = diagram(tangle(edges, layers, seed, positions))
    drawn = ordered(given_)
    assert crossings(drawn) <= crossings(natural(given_))
    assert [sorted(row) for row in order_of(drawn)] == [sorted(row) for row in order_of(natural(given_))]
    for row in drawn.rows:
        columns = [drawn.columns.index(block.column) for block in row]
        assert columns == sorted(columns)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 50), st.integers(2, 8), st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_order_of_the_claims(
    edges: int, layers: int, seed: int, draw: random.Random
) -> None:
    subject = tangle(edges, layers, seed)
    mixed = list(subject.claims)
    draw.shuffle(mixed)
    names = ["S1", "S2"]
    one, other = (diagram(each, names) for each in (subject, replace(subject, claims=tuple(mixed))))
    assert order_of(ordered(one)) == order_of(ordered(other))


def test_random_graphs_lose_a_quarter_of_their_crossings() -> None:
    drawn = [diagram(tangle(40, 6, seed)) for seed in range(12)]
    before, after = [crossings(each) for each in drawn], [crossings(ordered(each)) for each in drawn]
    assert sum(after) < 0.75 * sum(before)
    assert all(a <= b for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("name", ["ioi-gpt2", "ioi-mini", "greater-than-gpt2", "docstring-attn-4l", "induction-mini"])
def test_published_circuits_cross_no_more_than_they_did(name: str) -> None:
    drawn = diagram(check(f"specs/{name}.yaml").graph)
    assert crossings(ordered(drawn)) <= crossings(drawn)


# What is drawn


def crossed(picture: Scene) -> int:
    """Pairs of arrows whose lines change sides between two heights, 2 points apart."""
    lines = []
    for arrow in picture.arrows:
        at: dict[int, float] = {}
        for x, y in [*spaced(arrow.curve, 0.5), arrow.tip[0]]:
            at[round(y / 2)] = x
        lines.append(at)
    count = 0
    for one, other in combinations(lines, 2):
        sides = [one[y] > other[y] for y in sorted(one.keys() & other.keys()) if abs(one[y] - other[y]) > 0.1]
        count += sum(a != b for a, b in pairwise(sides))
    return count


def test_long_arrows_beside_each_other_are_drawn_without_crossings() -> None:
    steps = [edge(f"a0.h{i}", f"a{3 + i % 2}.h{i}<q>") for i in range(6)]
    between = [edge("a1.h0", "a2.h0<q>"), edge("a1.h3", "a2.h3<q>")]
    assert crossed(scene(graph(*steps, *between))) == 0


def test_arrows_of_one_bundle_do_not_cross_in_a_gap() -> None:
    claims = [edge(f"a0.h{i}@S", f"a5.h{i}<v>@S") for i in range(4)] + [edge("input@T", "a3.h0<q>@T")]
    groups = group("low", "a0.h0 a0.h1 a0.h2 a0.h3"), group("high", "a5.h0 a5.h1 a5.h2 a5.h3")
    assert crossed(scene(graph(*claims, groups=groups))) == 0


def places(picture: Scene) -> list[object]:
    arrows = {(a.id, a.tail, a.head, a.port): (a.curve[0], a.tip[0]) for a in picture.arrows}
    return [
        [(box.key, box.panel.rect, [port.rect for port in box.ports]) for box in picture.boxes],
        [panel.rect for panel in (*picture.clusters, *picture.columns)],
        sorted(arrows.items()),
    ]


@pytest.mark.parametrize("name", [name for name in GRAPHS if name != "nasty"])
def test_where_things_stand_does_not_depend_on_what_was_measured(name: str) -> None:
    subject: CircuitGraph = GRAPHS[name]()
    alone = places(scene(subject))
    assert places(scene(subject, rows(subject))) == alone
    assert places(scene(subject, rows(subject, seed=9))) == alone

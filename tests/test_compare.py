"""Runs held against each other: every number against one made by hand, and what must hold whatever the numbers are."""

from __future__ import annotations

import itertools
import json
import math
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import circuitgraph as cg
from circuitgraph.comparing import Comparison, compare_all, compare_two
from circuitgraph.comparing.agreement import Pairs, agreement
from circuitgraph.comparing.differences import paired, shares, unpaired
from circuitgraph.comparing.picture import multiples, picture, scatter_scene, scenes
from circuitgraph.comparing.sample import Sample, joint_clusters
from circuitgraph.comparing.text import matrix_report, report
from circuitgraph.drawing import svg
from circuitgraph.errors import InputError
from circuitgraph.graph.claims import Group, Intervention, NodeClaim, Zero, claim_id
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import parse
from circuitgraph.results.records import RunResult
from circuitgraph.spec.model import BaseRun, PathKind
from circuitgraph.stats.ranks import kendall, overlap, overlaps, spearman
from circuitgraph.stats.student import t_factor, t_factors, tails, within
from tests.compared_runs import edge, edges, prompts, run_of

ROOT = Path(__file__).parents[1]
SPEC = ROOT / "specs" / "ioi-mini.yaml"
STREAM = np.random.default_rng(5)


# By hand -----------------------------------------------------------------------------------------


def brute_ranks(values):
    return [sum(x < v for x in values) + (sum(x == v for x in values) + 1) / 2 for v in values]


def brute_pearson(x, y):
    x, y = np.asarray(x) - np.mean(x), np.asarray(y) - np.mean(y)
    return float((x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum()))


def brute_kendall(x, y):
    """tau-b, pair by pair."""
    both = one = other = 0
    for (a, b), (c, d) in itertools.combinations(list(zip(x, y, strict=True)), 2):
        first, second = np.sign(a - c), np.sign(b - d)
        both, one, other = both + first * second, one + abs(first), other + abs(second)
    return float(both / math.sqrt(one * other)) if one * other else None


def brute_overlap(x, y, k):
    largest = [set(sorted(range(len(v)), key=lambda i: -abs(v[i]))[:k]) for v in (x, y)]
    return len(largest[0] & largest[1]) / k


def brute_q(p):
    """Benjamini–Hochberg by its definition."""
    return [min(len(p) * other / sum(x <= other for x in p) for other in p if other >= each) for each in p]


def t_area(t, df, steps=200_001):
    """P(|T| ≤ t) by Simpson's rule."""
    x = np.linspace(0, t, steps)
    log_norm = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    y = np.exp(log_norm - (df + 1) / 2 * np.log1p(x * x / df))
    weights = np.ones(steps)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    return 2 * (y * weights).sum() * (x[1] - x[0]) / 3


def cluster_mean(values, clusters):
    """Mean, squared standard error (CR2) and degrees of freedom (Bell & McCaffrey), in plain loops."""
    names, n = sorted(set(clusters)), len(values)
    mean = sum(values) / n
    square = trace = squares = 0.0
    sizes = {name: sum(c == name for c in clusters) for name in names}
    for name in names:
        residual = sum(v - mean for v, c in zip(values, clusters, strict=True) if c == name)
        square += residual**2 / (1 - sizes[name] / n) / n**2
    # df = (Σ of the eigenvalues)² / Σ of their squares, of the matrix G with G_gh = a_g'(I − H)a_h
    weights = {
        name: np.array([float(c == name) for c in clusters]) / n / math.sqrt(1 - sizes[name] / n) for name in names
    }
    hat = np.full((n, n), 1 / n)
    gram = np.array([[weights[g] @ (np.eye(n) - hat) @ weights[h] for h in names] for g in names])
    trace, squares = np.trace(gram), (gram**2).sum()
    return mean, square, trace**2 / squares


# Two corruptions, and exact against an estimate --------------------------------------------------


@pytest.fixture(scope="module")
def directories(tmp_path_factory) -> dict[str, Path]:
    """Runs of ioi-mini, the model loaded once."""
    from circuitgraph.running import Running

    place = tmp_path_factory.mktemp("runs")
    few = ["prompts.generator.n=24", "prompts.generator.templates=held_out"]  # ten clusters: five texts, two orders
    settings = {
        "swap": few,
        "abc": [*few, "prompts.generator.corruption=abc"],
        "others": [*few, "prompts.generator.corruption=abc", "prompts.generator.seed=7"],
        "reversed": [*few, "prompts.generator.corruption=reverse_names"],
        "eap": [*few, "estimate.method=eap"],
    }
    model = None
    for name, overrides in settings.items():
        running = Running(SPEC, overrides, None, model=model)
        model = running.model
        running.result(place / name, resume=False, replace=False)
    return {name: place / name for name in settings}


def tables(directory: Path) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """edges.parquet, effects [experiments, pairs] in its order, and the cluster of each pair."""
    rows = pd.read_parquet(directory / "edges.parquet")
    pairs = pd.read_parquet(directory / "effects.parquet")
    effects = pairs.pivot(index="id", columns="pair", values="effect").loc[rows["id"]].to_numpy()
    first = pairs[pairs["id"] == rows["id"][0]].sort_values("pair")
    return rows, effects, [c if c is not None else f"pair {i}" for i, c in enumerate(first["cluster"])]


def check_whole(found: Comparison, a: np.ndarray, b: np.ndarray) -> None:
    """The figures of the whole comparison, from the means."""
    whole = found.agreement
    sizes = np.abs(a), np.abs(b)
    assert whole.pearson.value == pytest.approx(brute_pearson(a, b), rel=1e-9)
    assert whole.spearman.value == pytest.approx(brute_pearson(brute_ranks(a), brute_ranks(b)), rel=1e-9)
    assert whole.kendall.value == pytest.approx(brute_kendall(a, b), rel=1e-9)
    assert whole.spearman_size.value == pytest.approx(brute_pearson(*map(brute_ranks, sizes)), rel=1e-9)
    assert whole.kendall_size.value == pytest.approx(brute_kendall(*sizes), rel=1e-9)
    assert whole.overlap == pytest.approx([brute_overlap(a, b, k) for k in range(1, len(a) + 1)])
    assert whole.chance(3) == pytest.approx(3 / len(a))
    assert sum(row.flipped for row in found.rows) == sum(x * y < 0 for x, y in zip(a, b, strict=True))


def test_two_corruptions_of_different_prompts_from_the_parquet_files(directories):
    """Welch, with the clusters of either run."""
    found = cg.compare(directories["swap"], directories["others"])
    assert isinstance(found, Comparison)
    (left, a, clusters_a), (right, b, clusters_b) = tables(directories["swap"]), tables(directories["others"])
    assert found.paired is False
    assert [row.label for row in found.rows] == list(left["label"]) == list(right["label"])
    assert {(d.name, d.a, d.b) for d in found.differing} == {
        ("prompts.generator.corruption", "swap_s2", "abc"),
        ("prompts.generator.seed", "0", "7"),
    }
    ps = []
    for i, row in enumerate(found.rows):
        (mean_a, square_a, df_a), (mean_b, square_b, df_b) = (
            cluster_mean(a[i], clusters_a),
            cluster_mean(b[i], clusters_b),
        )
        error = math.sqrt(square_a + square_b)
        df = error**4 / (square_a**2 / df_a + square_b**2 / df_b)
        assert row.difference == pytest.approx(mean_b - mean_a, rel=1e-9)
        assert row.std_error == pytest.approx(error, rel=1e-9)
        assert row.interval == "welch-t"
        half = row.ci_high - row.difference
        assert row.difference - row.ci_low == pytest.approx(half, rel=1e-9)
        assert t_area(half / error, df) == pytest.approx(0.95, abs=1e-6)
        assert 1 - t_area(abs(row.difference) / error, df) == pytest.approx(row.p_value, abs=1e-6)
        assert (row.a, row.a_low, row.a_high) == tuple(left.loc[i, ["effect", "ci_low", "ci_high"]])
        assert (row.b, row.b_low, row.b_high) == tuple(right.loc[i, ["effect", "ci_low", "ci_high"]])
        ps.append(row.p_value)
    assert [row.q_value for row in found.rows] == pytest.approx(brute_q(ps))
    check_whole(found, left["effect"].to_numpy(), right["effect"].to_numpy())


@pytest.mark.parametrize("other", ["abc", "reversed", "eap"])
def test_two_corruptions_and_exact_against_estimate_from_the_parquet_files(directories, other):
    """The same prompts: differences within pairs, whole clusters flipped together, in all ways there are."""
    found = cg.compare(directories["swap"], directories[other])
    assert isinstance(found, Comparison)
    (left, a, clusters), (right, b, others) = tables(directories["swap"]), tables(directories[other])
    assert clusters == others
    assert found.paired is True
    names = sorted(set(clusters))
    assert len(names) == 10
    signs = np.array(list(itertools.product((1, -1), repeat=len(names))))
    ps = []
    for i, row in enumerate(found.rows):
        values = b[i] - a[i]
        mean, square, df = cluster_mean(values, clusters)
        assert row.difference == pytest.approx(mean, rel=1e-9)
        assert row.std_error == pytest.approx(math.sqrt(square), rel=1e-9)
        if (values == 0).all():  # an edge that neither corruption changes
            assert (row.interval, row.ci_low, row.ci_high) == ("constant", 0, 0)
        else:
            assert row.interval == "cluster-t"
            assert t_area((row.ci_high - mean) / math.sqrt(square), df) == pytest.approx(0.95, abs=1e-6)
        sums = np.array([values[[c == name for c in clusters]].sum() for name in names])
        p = np.mean(np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9)
        assert row.p_value == pytest.approx(p)
        ps.append(p)
    assert [row.q_value for row in found.rows] == pytest.approx(brute_q(ps))
    check_whole(found, left["effect"].to_numpy(), right["effect"].to_numpy())


def test_what_is_printed_names_what_differs_and_how_it_was_matched(directories):
    lines = report(cg.compare(directories["swap"], directories["eap"]), 3).splitlines()
    assert lines[0].startswith("A: swap (")
    assert "executor  auto  eap" in lines
    assert "15 experiments matched by address" in lines
    assert "B is ESTIMATED by eap from gradients, not measured" in lines
    assert any(line.startswith("logit_diff: difference = B − A of the effect; paired, 24 pairs") for line in lines)
    assert "… 12 more" in lines
    assert any("by chance" in line for line in lines)


def test_normalized_differences_from_the_parquet_files(directories):
    found = cg.compare(directories["swap"], directories["abc"], of="normalized")
    assert isinstance(found, Comparison)
    shares_ = []
    for name in ("swap", "abc"):
        pairs = pd.read_parquet(directories[name] / "effects.parquet")
        means = pairs.groupby("id")[["effect", "metric_base", "metric_other"]].mean()
        shares_.append(means["effect"] / (means["metric_other"] - means["metric_base"]))
    for row in found.rows:
        assert row.a == pytest.approx(shares_[0][row.ids_a[0]], rel=1e-9)
        assert row.b == pytest.approx(shares_[1][row.ids_b[0]], rel=1e-9)
        assert row.difference == row.normalized_difference == row.b - row.a
        assert row.ci_low == row.normalized_ci_low


# What must hold ----------------------------------------------------------------------------------

tables_of_numbers = st.tuples(st.integers(2, 7), st.integers(2, 9), st.integers(0, 2**32 - 1))


def made(shape: tuple[int, int, int], *, same: bool, clustered: bool) -> tuple[RunResult, RunResult]:
    """Two runs of random numbers, some of which are exactly 0 or equal."""
    units, pairs, seed = shape
    stream = np.random.default_rng(seed)
    a, b = stream.normal(size=(2, units, pairs)).round(1)
    a[0] = b[-1] = 0
    clusters = [f"c{i % 3}" for i in range(pairs)] if clustered else None
    left = run_of(a, asked=prompts(pairs, clusters=clusters))
    return left, run_of(b, asked=prompts(pairs, start=0 if same else 500, clusters=clusters))


@given(tables_of_numbers, st.booleans(), st.booleans())
@settings(max_examples=15, deadline=None)
def test_exchanged_runs_have_opposite_differences(shape, same, clustered):
    a, b = made(shape, same=same, clustered=clustered)
    there, back = (compare_two(x, y, labels=("x", "y"), resamples=20) for x, y in ((a, b), (b, a)))
    assert there.paired is back.paired is same
    for one, other in zip(there.rows, back.rows, strict=True):
        assert one.key == other.key
        assert one.difference == -other.difference
        assert one.p_value == pytest.approx(other.p_value, nan_ok=True) if one.p_value is not None else True
        if one.ci_low is not None:
            assert (one.ci_low, one.ci_high) == pytest.approx((-other.ci_high, -other.ci_low), abs=1e-9)
    assert there.agreement.kendall.value == pytest.approx(back.agreement.kendall.value)
    assert there.agreement.overlap == back.agreement.overlap


@given(tables_of_numbers, st.booleans())
@settings(max_examples=8, deadline=None)
def test_a_run_does_not_differ_from_itself(shape, clustered):
    run, _ = made(shape, same=True, clustered=clustered)
    found = compare_two(run, run, resamples=20)
    for row in found.rows:
        assert (row.difference, row.flipped) == (0, False)
        if row.ci_low is not None:
            assert (row.ci_low, row.ci_high, row.std_error, row.interval) == (0, 0, 0, "constant")
            assert row.p_value == 1
    assert found.agreement.spearman.value in (None, pytest.approx(1))
    assert found.agreement.kendall.value in (None, pytest.approx(1))
    if found.agreement.spearman.low is not None:
        assert found.agreement.spearman.low == pytest.approx(1)
    if len({abs(row.a) for row in found.rows}) == len(found.rows):
        assert found.agreement.overlap == pytest.approx([1] * len(found.rows))
    assert (found.only_a, found.only_b, found.differing) == ((), (), ())


@given(tables_of_numbers, st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=8, deadline=None)
def test_the_order_of_rows_does_not_matter(shape, same, random):
    a, b = made(shape, same=same, clustered=False)
    order = list(range(len(b.graph.claims)))
    random.shuffle(order)
    turned = replace(
        b,
        graph=replace(b.graph, claims=tuple(b.graph.claims[i] for i in order)),
        rows=tuple(b.rows[i] for i in order),
    )
    left, right = (compare_two(a, each, labels=("a", "b"), resamples=20) for each in (b, turned))
    assert left.rows == right.rows
    assert left.agreement == right.agreement


lists = st.lists(st.tuples(st.integers(-4, 4), st.one_of(st.integers(-3, 3), st.floats(-1, 1))), max_size=40)


@given(lists)
@settings(max_examples=150, deadline=None)
def test_ranks_pair_by_pair(pairs):
    x, y = [float(a) for a, _ in pairs], [float(b) for _, b in pairs]
    assert kendall(x, y) == (None if brute_kendall(x, y) is None else pytest.approx(brute_kendall(x, y)))
    if len(set(x)) > 1 and len(set(y)) > 1:
        assert spearman(x, y) == pytest.approx(brute_pearson(brute_ranks(x), brute_ranks(y)))
    else:
        assert spearman(x, y) is None
    assert list(overlaps(x, y)) == pytest.approx([overlap(x, y, k) for k in range(1, len(x) + 1)])


def orders(values):
    """Every order of a list, the largest first; equal numbers in any."""
    every = itertools.permutations(range(len(values)))
    return [o for o in every if all(values[i] >= values[j] for i, j in itertools.pairwise(o))]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_equal_numbers_overlap_as_if_put_in_order_at_random(pairs):
    x, y = [a for a, _ in pairs], [b for _, b in pairs]
    both = list(itertools.product(orders(x), orders(y)))
    for k in range(1, len(x) + 1):
        assert overlap(x, y, k) == pytest.approx(sum(len({*a[:k]} & {*b[:k]}) / k for a, b in both) / len(both))


def test_runs_of_zeros_overlap_as_chance_does():
    found = overlaps(np.zeros(200), np.r_[np.arange(5, 0, -1), np.zeros(195)])
    assert found == pytest.approx(np.arange(1, 201) / 200)


def test_kendall_of_many_is_quick_and_right():
    x = STREAM.normal(size=3000)
    y = x + STREAM.normal(size=3000)
    y[:500] = 0
    signs = np.sign(x[:, None] - x) * np.sign(y[:, None] - y)
    ties = (y[:, None] == y).sum() - 3000
    assert kendall(x, y) == pytest.approx(signs.sum() / math.sqrt(3000 * 2999 * (3000 * 2999 - ties)))


def test_student_for_many_is_student_for_each():
    df = np.array([1, 1.5, 2, 3.3, 10, 63, 126.5, 5000])
    assert t_factors(df) == pytest.approx([t_factor(float(each)) for each in df], rel=1e-11)
    for t in (0.0, 0.3, 2.0, 9.0):
        assert tails(np.full_like(df, t), df) == pytest.approx([1 - within(t, float(d)) for d in df], abs=1e-12)
    assert tails(40.0, 63.0) == pytest.approx(1.69742799e-46, rel=1e-6)  # not 1 − 1
    with pytest.raises(ValueError, match="degrees of freedom"):
        t_factors(np.array([0.5]))


# Statistics --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "spread"),
    [((12, 40), (1.0, 4.0)), ((8, 8), (1.0, 1.0)), ((40, 10), (3.0, 0.5))],
)
@pytest.mark.parametrize("clustered", [False, True])
def test_unpaired_intervals_cover_and_reject_as_they_say(sizes, spread, clustered):
    """6,000 draws, each a row; clusters of two with half of the variance in common."""
    draws, stream = 6000, np.random.default_rng(len(str(sizes)) + clustered)
    sides, names = [], []
    for pairs, scale in zip(sizes, spread, strict=True):
        own = stream.normal(size=(draws, 2 * pairs if clustered else pairs))
        if clustered:
            own = own + np.repeat(stream.normal(size=(draws, pairs)), 2, axis=1)
        sides.append(scale * own)
        names.append([f"c{i // 2}" for i in range(2 * pairs)] if clustered else None)
    found = unpaired(*sides, *names)
    error = math.sqrt(0.05 * 0.95 / draws)
    # Welch's approximation itself is good to half a percent here.
    assert np.mean((found.low > 0) | (found.high < 0)) == pytest.approx(0.05, abs=4 * error + 0.005)
    assert np.mean(found.p < 0.05) == np.mean((found.low > 0) | (found.high < 0))
    assert np.mean(found.p < 0.5) == pytest.approx(0.5, abs=4 * math.sqrt(0.25 / draws) + 0.01)


def test_pairing_makes_intervals_narrower_where_prompts_explain_the_spread():
    shared = STREAM.normal(size=(3, 30)) * 5
    a, b = shared + STREAM.normal(size=(3, 30)) * 0.1, shared + 1 + STREAM.normal(size=(3, 30)) * 0.1
    close, wide = paired(a, b, None), unpaired(a, b, None, None)
    assert close.mean == pytest.approx(wide.mean)
    assert (close.std_error * 10 < wide.std_error).all()


def test_where_nothing_varies_the_difference_has_no_width_and_no_test():
    found = unpaired(np.full((2, 4), 1.0), np.stack([np.full(5, 1.0), np.full(5, 3.0)]), None, None)
    assert found.mean.tolist() == found.low.tolist() == found.high.tolist() == [0, 2]
    assert found.method == ("constant", "constant")
    assert found.p[0] == 1
    assert np.isnan(found.p[1])
    single = unpaired(np.ones((1, 1)), np.ones((1, 3)), None, None)
    assert np.isnan([single.low[0], single.p[0]]).all()
    assert single.method == (None,)


def test_influence_values_have_the_mean_and_the_spread_of_the_ratio():
    """Against the jackknife: leave out each pair in turn."""
    effects, gap = STREAM.normal(size=(4, 60)) + 2, STREAM.normal(size=60) + 5
    found = shares(Sample(effects, ("clean",) * 4, {"clean": gap}, None), [None] * 4)
    ratio = effects.mean(axis=1) / gap.mean()
    assert found.value == pytest.approx(ratio)
    assert found.influence.mean(axis=1) == pytest.approx(ratio)
    without = np.stack([np.delete(effects, i, 1).mean(1) / np.delete(gap, i).mean() for i in range(60)], axis=1)
    jackknife = np.sqrt(59 / 60 * ((without - without.mean(axis=1, keepdims=True)) ** 2).sum(axis=1))
    assert found.influence.std(axis=1, ddof=1) / math.sqrt(60) == pytest.approx(jackknife, rel=0.02)


def test_correlations_resample_the_same_pairs_for_both_runs_only_if_they_are_the_same():
    """Noise that both share leaves the order alone; noise of their own does not."""
    true = np.linspace(0, 1, 20)[:, None]
    noise = STREAM.normal(size=(1, 40)) * 3
    together = agreement(Pairs(true + noise, None), Pairs(true + noise, None), paired=True)
    assert (together.spearman.low, together.spearman.high) == pytest.approx((1, 1))
    own = STREAM.normal(size=(2, 20, 40)) * 3
    apart = agreement(Pairs(true + own[0], None), Pairs(true + own[1], None), paired=False)
    assert apart.spearman.low is not None
    assert apart.spearman.high is not None
    assert apart.spearman.high - apart.spearman.low > 0.3
    assert apart.halves_a is not None
    assert apart.halves_a < 0.9


def test_a_repeat_agrees_as_halves_say():
    """Two samples of 40 pairs of one model agree by what halves of 20 pairs foretell, on average over draws."""
    true = np.linspace(0, 1, 30)[:, None]
    stream, agreed, foretold = np.random.default_rng(5), [], []
    for _ in range(30):
        first, again = (Pairs(true + stream.normal(size=(30, 40)) * 2, None) for _ in range(2))
        found = agreement(first, again, paired=False, resamples=0)
        agreed.append(found.spearman.value)
        foretold.append(found.repeat(found.halves_a))
        assert found.halves_a < foretold[-1]
    assert np.mean(foretold) == pytest.approx(np.mean(agreed), abs=0.04)
    assert (found.repeat(None), found.repeat(-0.2), found.repeat(1.0)) == (None, -0.2, 1.0)


def test_clusters_are_resampled_whole():
    """Two pairs of a cluster are equal: as many clusters as pairs without them give the same intervals."""
    values = STREAM.normal(size=(2, 15, 10)) + np.linspace(0, 2, 15)[:, None]
    twice = np.repeat(values, 2, axis=2)
    names = [f"c{i // 2}" for i in range(20)]
    one = agreement(Pairs(values[0], None), Pairs(values[1], None), paired=True)
    two = agreement(Pairs(twice[0], names), Pairs(twice[1], names), paired=True)
    assert two.spearman == one.spearman
    assert two.halves_a == pytest.approx(one.halves_a)


def test_clusters_of_two_runs_are_joined_where_either_joins():
    left = run_of(np.zeros((1, 5)), asked=prompts(5, clusters=["a", "a", "b", "c", "d"]))
    right = run_of(np.zeros((1, 5)), asked=prompts(5, clusters=["x", "y", "y", "z", "w"]))
    joined = joint_clusters(left, right)
    assert joined is not None
    assert len(set(joined[:3])) == 1
    assert len(set(joined)) == 3
    assert joint_clusters(run_of(np.zeros((1, 5))), run_of(np.zeros((1, 5)))) is None


# Pairing -----------------------------------------------------------------------------------------


def test_two_corruptions_of_the_same_clean_prompts_are_paired():
    a, b = STREAM.normal(size=(2, 3, 9))
    left = run_of(a)
    assert compare_two(left, run_of(b, asked=prompts(9, corrupted=5000)), labels=("a", "b")).paired is True
    assert compare_two(left, run_of(b, asked=prompts(9, start=50)), labels=("a", "b")).paired is False


def test_of_corrupted_base_it_is_the_corrupted_prompts_that_have_to_be_the_same():
    a, b = STREAM.normal(size=(2, 3, 9))
    claims = edges(3, Intervention(base=BaseRun.CORRUPTED))
    left = run_of(a, claims)
    assert compare_two(left, run_of(b, claims, asked=prompts(9, start=50)), labels=("a", "b")).paired is True
    assert compare_two(left, run_of(b, claims, asked=prompts(9, corrupted=50)), labels=("a", "b")).paired is False


def test_other_answers_are_other_pairs():
    a, b = STREAM.normal(size=(2, 3, 9))
    asked = [replace(prompt, answers=(9,), answer_tokens=("#9",)) for prompt in prompts(9)]
    assert compare_two(run_of(a), run_of(b, asked=asked), labels=("a", "b")).paired is False


def test_texts_tell_prompts_apart_where_tokenizers_do_not_agree():
    """Equal ids of two tokenizers are not the same text, and the same text has other ids."""
    a, b = STREAM.normal(size=(2, 2, 4))

    def told(shift: int, words: str):
        return [
            replace(p, clean=(1 + shift, 70 + shift), clean_tokens=(words, f" {i}"), answer_tokens=("x",),
                    wrong_answer_tokens=("y",), answers=(shift,), wrong_answers=(shift + 1,))
            for i, p in enumerate(prompts(4))
        ]  # fmt: skip

    same = compare_two(run_of(a, asked=told(0, "When")), run_of(b, asked=told(9, "When")), labels=("a", "b"))
    other = compare_two(run_of(a, asked=told(0, "When")), run_of(b, asked=told(0, "Then")), labels=("a", "b"))
    assert (same.paired, other.paired) == (True, False)


@pytest.mark.parametrize("counts", [(12, 7), (7, 12)])
def test_runs_of_different_numbers_of_clustered_prompts(counts):
    draw = np.random.default_rng(3)
    sides = [draw.normal(size=(3, count)) for count in counts]
    names = [[f"text {i // 2}" for i in range(count)] for count in counts]
    asked = [prompts(n, start=100 * k, clusters=names[k]) for k, n in enumerate(counts)]
    found = compare_two(*(run_of(values, asked=asked[k]) for k, values in enumerate(sides)), resamples=10)
    assert found.paired is False
    for i, row in enumerate(found.rows):
        (mean_a, square_a, _), (mean_b, square_b, _) = (cluster_mean(sides[k][i], names[k]) for k in (0, 1))
        assert (row.n_a, row.n_b) == counts
        assert row.difference == pytest.approx(mean_b - mean_a, rel=1e-9)
        assert row.std_error == pytest.approx(math.sqrt(square_a + square_b), rel=1e-9)


def test_without_prompts_differences_are_unpaired_and_it_is_said_why():
    a, b = STREAM.normal(size=(2, 3, 9))
    found = compare_two(run_of(a), replace(run_of(b), prompts=()), labels=("new", "old"))
    assert found.paired is False
    assert any("'old' kept no prompts" in warning for warning in found.warnings)


def test_prompts_that_are_partly_the_same_are_told_of():
    a, b = STREAM.normal(size=(2, 3, 9))
    found = compare_two(run_of(a), run_of(b, asked=prompts(9, start=4)), labels=("a", "b"))
    assert any("5 of the 9 clean prompts of 'b' are in 'a' too" in warning for warning in found.warnings)


# Matching ----------------------------------------------------------------------------------------


def test_experiments_are_matched_across_what_differs_as_a_whole():
    a, b = STREAM.normal(size=(2, 3, 6))
    how = Intervention(PathKind.THROUGH_MLPS, BaseRun.CORRUPTED, Zero())
    found = compare_two(run_of(a), run_of(b, edges(3, how)), labels=("a", "b"))
    assert set(found.across) == {"path", "base", "source"}
    assert len(found.rows) == 3
    assert {(row.path, row.base, row.source) for row in found.rows} == {(None, None, None)}
    assert found.paired is True  # both prompts of each pair are the same


def test_a_row_of_a_difference_says_nothing_of_one_run_alone():
    a, b = STREAM.normal(size=(2, 3, 6))
    how = Intervention(PathKind.THROUGH_MLPS, BaseRun.CORRUPTED, Zero())
    one = run_of(a, executor="fast")
    same = compare_two(one, run_of(b, executor="fast"), labels=("a", "b"))
    other = compare_two(one, run_of(b, edges(3, how), executor="eap"), labels=("a", "b"))
    rows = {name: found.rows_of("difference") for name, found in (("same", same), ("other", other))}
    assert {(r.path, r.base, r.source, r.executor) for r in rows["same"]} == {
        ("direct", "clean", "counterfactual", "fast")
    }
    assert {(r.path, r.base, r.source, r.executor) for r in rows["other"]} == {
        ("direct / through-mlps", "clean / corrupted", "counterfactual / zero", "fast / eap")
    }
    for row, line in zip((*rows["same"], *rows["other"]), (*same.rows, *other.rows), strict=True):
        assert row.effect == row.metric_patched - row.metric_base == line.difference
        assert (row.metric_other, row.same_sign, row.draws, row.draw_std) == (None, None, None, None)


def test_what_differs_within_a_run_is_part_of_the_address():
    a, b = STREAM.normal(size=(2, 4, 6))
    mixed = (*edges(2), *edges(2, Intervention(PathKind.THROUGH_MLPS)))
    found = compare_two(run_of(a, mixed), run_of(b, edges(4)), labels=("a", "b"))
    assert found.across == ()
    assert [row.path for row in found.rows] == ["direct", "direct"]
    assert (len(found.only_a), len(found.only_b)) == (2, 2)
    assert len({row.key for row in found.rows} | {item.key for item in (*found.only_a, *found.only_b)}) == 6


def test_joined_ends_match_in_any_order():
    one = replace(edge("a0.h0", "a2.h0<q>"), senders=(parse("a0.h0"), parse("a1.h3")))
    other = replace(one, senders=one.senders[::-1], label="their name")
    found = compare_two(run_of([[1.0, 2.0]], [one]), run_of([[3.0, 3.0]], [other]), labels=("a", "b"))
    assert found.rows[0].difference == pytest.approx(1.5)


SMALL, LARGE = ModelShape(2, 2, 2), ModelShape(3, 4, 4)


def grouped(
    name: str, shape: ModelShape, early: list[str], late: list[str], effects: list[float], extra=()
) -> RunResult:
    claims = [edge(s, f"{r}<q>@END", sender_group="early", receiver_group="late") for s in early for r in late]
    claims += [edge(r, "logits", sender_group="late") for r in late]
    groups = [Group(n, tuple(map(parse, members))) for n, members in (("early", early), ("late", late))]
    values = np.array(effects)[:, None] + np.linspace(-0.1, 0.1, 8)
    return run_of(values, [*claims, *extra], name=name, shape=shape, groups=groups)


def two_shapes() -> tuple[RunResult, RunResult]:
    small = grouped("small", SMALL, ["a0.h0"], ["a1.h0", "a1.h1"], [-1, -2, -3, -4])
    large = grouped("large", LARGE, ["a0.h1", "a1.h2"], ["a2.h3"], [-1, -4, -5, 7], [edge("a0.h3", "logits")])
    return small, large


def test_models_of_different_shapes_are_matched_by_group_and_normalized():
    found = compare_two(*two_shapes())
    assert (found.by, found.quantity) == ("group", "normalized")
    first, second = found.rows
    assert first.label == "early → late<q>@END"
    assert (first.sender, first.receiver, first.receiver_position) == ("early", "late<q>", "END")
    assert (first.experiments_a, first.experiments_b) == (2, 2)
    assert (first.effect_a, first.effect_b) == pytest.approx((-1.5, -2.5))
    assert (first.a, first.b) == pytest.approx((-1.5 / -4, -2.5 / -4))  # the gap is −4
    assert second.label == "late → logits"
    assert (second.experiments_a, second.experiments_b) == (2, 1)
    assert second.difference == pytest.approx((-5 + 3.5) / -4)
    assert [(item.label, item.why) for item in found.only_b] == [("a0.h3 → logits", "in no group")]
    assert found.only_a == ()
    assert found.graph is None
    with pytest.raises(InputError, match="no circuit of both"):
        found.rows_of("a")


def test_shapes_that_differ_have_no_addresses_in_common():
    small, large = two_shapes()
    with pytest.raises(InputError, match=r"--map address: 'small' has not the same nodes \(layers: 2 and 3"):
        compare_two(small, large, by="address")
    deeper = run_of([[1.0, 2.0]], [edge("a0.h0", "logits")], shape=LARGE, name="deep")
    found = compare_two(run_of([[1.0, 2.0]], [edge("a0.h0", "logits")], shape=SMALL), deeper, by="address")
    assert any("another part of another model" in warning for warning in found.warnings)


def test_one_shape_can_be_matched_by_group_too_and_keeps_its_single_nodes():
    small, _ = two_shapes()
    other = replace(small, graph=replace(small.graph, name="other"))
    found = compare_two(small, other, by="group")
    assert (found.by, found.quantity, len(found.rows)) == ("group", "effect", 2)
    alone = run_of([[1.0, 2.0]], [edge("a0.h1", "logits")], shape=SMALL)
    assert [row.sender for row in compare_two(alone, alone, by="group").rows] == ["a0.h1"]


def test_members_together_and_one_by_one_are_told_apart():
    small, _ = two_shapes()
    joint = replace(edge("a0.h0", "a1.h0<q>@END", sender_group="early", receiver_group="late"),
                    receivers=(parse("a1.h0<q>@END"), parse("a1.h1<q>@END")))  # fmt: skip
    claims = (*small.graph.claims, joint)
    other = run_of([[1.0 + i] * 8 for i in range(len(claims))], claims, shape=SMALL, groups=small.graph.groups)
    found = compare_two(small, other, by="group")
    assert [item.label for item in found.only_b] == ["early → late<q>@END (patched together)"]
    assert found.only_b[0].effect == len(claims)
    singles = next(row for row in found.rows if row.label == "early → late<q>@END")
    assert claim_id(joint) not in singles.ids_b
    assert singles.experiments_a == singles.experiments_b
    alone = run_of([[1.0] * 8], [joint], shape=SMALL, groups=small.graph.groups, name="joint")
    with pytest.raises(InputError, match=r"'joint' has early → late<q>@END \(patched together\)"):
        compare_two(small, alone, by="group")


def test_nothing_in_common_says_what_there_is():
    a, b = run_of([[1.0, 2.0]], [edge("a0.h0", "logits")]), run_of([[1.0, 2.0]], [edge("a0.h1", "logits")])
    with pytest.raises(InputError, match=r"no experiment in common. 'a' has a0.h0 → logits; 'b' has a0.h1 → logits"):
        compare_two(a, b, labels=("a", "b"))
    small, large = two_shapes()
    bare = replace(large, graph=replace(large.graph, groups=(), claims=large.graph.claims[-1:]))
    with pytest.raises(InputError, match="give groups that play the same part the same name"):
        compare_two(small, bare)


def written(**metric):
    """The provenance of a run whose spec has one metric."""
    return {"settings": {"spec": {"metrics": [{"name": "logit_diff", **metric}]}}}


def test_a_metric_is_known_by_what_it_measures_not_by_its_label():
    a = run_of([[1.0, 2.0, 4.0]], provenance=written(label="Δ"), metric="Δ")
    b = run_of([[1.5, 2.5, 3.0]], provenance=written())
    found = compare_two(a, b, labels=("a", "b"))
    assert (found.metric, found.differing, found.b.metrics) == ("Δ", (), ("Δ",))
    assert found.rows[0].difference == pytest.approx(0.0, abs=1e-12)
    assert [row.metric for row in found.rows_of("b")] == ["Δ"]
    assert compare_all([a, b, a]).metric == "Δ"
    other = run_of([[1.0, 2.0, 4.0]], provenance=written(name="prob_diff", label="Δ"), metric="Δ")
    with pytest.raises(InputError, match="'Δ' is logit_diff in 'a' and prob_diff in 'o', which have no difference"):
        compare_two(a, other, labels=("a", "o"))
    moved = run_of([[1.0, 2.0, 4.0]], provenance=written(label="Δ", at="S2"), metric="Δ")
    found = compare_two(a, moved, labels=("a", "m"))
    assert [(each.name, each.a, each.b) for each in found.differing] == [("metric.at", "END", "S2")]
    assert "'Δ' is not the same measure in both runs: at END and S2" in found.warnings


def test_settings_that_differ_late_in_a_long_text_are_told():
    texts = [json.dumps([{"clean": "a" * 200 + end}]) for end in ("x", "y")]
    specs = [{"settings": {"spec": {"prompts": {"pairs": text}, "intervention": {"draws": n, "source": "resample"}}}}
             for text, n in zip(texts, (4, 8), strict=True)]  # fmt: skip
    a, b = (run_of([[1.0, 2.0]], provenance=spec) for spec in specs)
    pairs, draws = compare_two(a, b).differing
    assert (pairs.name, pairs.a[0], pairs.b[0]) == ("prompts.pairs", "…", "…")
    assert ("x" in pairs.a, "y" in pairs.b, len(pairs.a) <= 80) == (True, True, True)
    assert (draws.name, draws.a, draws.b) == ("intervention.draws", "4", "8")
    a, b = (run_of([[1.0, 2.0]], provenance={"prompts_sha256": each * 64}) for each in "ab")
    assert [(d.name, d.a) for d in compare_two(a, b).differing] == [("prompts", "a" * 12)]


def test_from_one_base_to_the_other_shares_of_the_gap_are_compared():
    """Noising and denoising have opposite signs by definition."""
    noising, denoising = (Intervention(base=base) for base in (BaseRun.CLEAN, BaseRun.CORRUPTED))
    values = np.array([[-1.0, -1.1, -0.9, -1.0], [-3.0, -2.8, -3.1, -3.1], [-0.2, -0.3, -0.1, -0.2]])
    a, b = run_of(values, edges(3, noising)), run_of(-values, edges(3, denoising), gap=4.0)
    found = compare_two(a, b)
    assert (found.across, found.quantity) == (("base",), "normalized")
    assert found.agreement.spearman.value == pytest.approx(1)
    assert [row.difference for row in found.rows] == pytest.approx([0, 0, 0], abs=1e-12)
    plain = compare_two(a, b, quantity="effect")
    assert (plain.quantity, plain.agreement.spearman.value) == ("effect", pytest.approx(-1))
    assert any("opposite signs by definition" in warning for warning in plain.warnings)


def test_names_say_what_is_measured_otherwise():
    """Two experiments that differ in their path alone have the same arrow."""
    direct = edge("a0.h0", "a2.h0<v>")
    through = replace(direct, how=Intervention(path=PathKind.THROUGH_MLPS))
    alone = replace(edge("a0.h1", "a2.h0<v>"), how=Intervention(path=PathKind.THROUGH_MLPS))
    claims = [direct, through, edge("a0.h2", "a2.h0<v>")]
    values = np.arange(12.0).reshape(3, 4)
    text = report(compare_two(run_of(values, claims), run_of(values[[0, 1]], [direct, through])), top=9)
    assert len([line for line in text.splitlines() if line.startswith("a0.h0 → a2.h0<v>  ")]) == 1
    assert len([line for line in text.splitlines() if line.startswith("a0.h0 → a2.h0<v> (through-mlps)  ")]) == 1
    assert "path: direct, where nothing else is said" in text
    text = report(compare_two(run_of(values, claims), run_of(values[:2], [direct, alone])), top=9)
    assert "a0.h1 → a2.h0<v> (through-mlps)" in text


def test_pictures_of_shares_say_what_a_share_is():
    a, b = run_of([[-1.0, -1.2, -0.9], [-2.0, -2.1, -1.9]]), run_of([[-1.5, -1.2, -1.9], [-2.0, -2.4, -1.9]])
    pages = [svg(scene) for scene in scenes(compare_two(a, b, quantity="normalized"))]
    for page in pages[:2]:
        assert "positive: patching moves logit_diff towards the other prompt" in page
        assert "raises" not in page
        assert "normalized effect = mean effect / mean gap" in page
    assert "Differences of normalized effects" in pages[2]


def test_unknown_words_are_refused_with_the_nearest():
    run = run_of([[1.0, 2.0]])
    with pytest.raises(InputError, match="'logit_dif' is no metric of 'a'; did you mean 'logit_diff'"):
        compare_two(run, run, labels=("a", "b"), metric="logit_dif")
    with pytest.raises(InputError, match="'adress' is no way to match experiments; did you mean 'address'"):
        compare_two(run, run, by="adress")
    with pytest.raises(InputError, match="'efect' is nothing to compare; did you mean 'effect'"):
        compare_two(run, run, quantity="efect")
    with pytest.raises(InputError, match="at least two runs"):
        compare_all([run])
    with pytest.raises(InputError, match="its gap is not clearly different from 0"):
        compare_two(run, run_of([[1.0, 2.0]], gap=None), quantity="normalized")


def test_other_weights_of_one_shape_are_told_of():
    a, b = (run_of([[1.0, 2.0]], provenance={"model_fingerprint": name * 32}) for name in ("a1", "b2"))
    found = compare_two(a, b, labels=("a", "b"))
    assert any("the weights differ" in warning for warning in found.warnings)
    assert [(d.name, d.a, d.b) for d in found.differing] == [("model's weights", "a1" * 6, "b2" * 6)]


def test_flips_are_counted_and_the_clear_ones_listed():
    wiggle = np.linspace(-0.01, 0.01, 8)
    a = run_of(np.array([1.0, -1.0, 0.001, 1.0])[:, None] + wiggle)
    b = run_of(np.array([-1.0, -1.0, -0.001, 2.0])[:, None] + wiggle)
    found = compare_two(a, b, labels=("a", "b"))
    assert [row.flipped for row in found.rows] == [True, False, True, False]
    assert [row.key for row in found.flips()] == [found.rows[0].key]
    assert "opposite signs: 2 of 4; with neither interval on 0: 1" in report(found, 5)


# More than two -----------------------------------------------------------------------------------


def test_more_than_two_make_a_matrix():
    runs = [run_of(values) for values in STREAM.normal(size=(3, 6, 8))]
    found = compare_all(runs, labels=("a", "b", "c"))
    assert list(found.pairs) == [(0, 1), (0, 2), (1, 2)]
    assert found.spearman(2, 0) == compare_two(runs[0], runs[2], labels=("a", "c")).agreement.spearman
    assert found.spearman(1, 1).value == 1
    text = matrix_report(found, 2)
    assert text.splitlines()[0].endswith(
        "over 6 matched experiments; in brackets: 2.5 to 97.5 % of what resampled prompts give"
    )
    assert len(found.to_frame()) == 18
    assert len(multiples(found)) == 3
    assert picture(found).title == "Rank correlation of effects"


# Pictures ----------------------------------------------------------------------------------------


def with_only(first: bool = True) -> Comparison:
    wiggle = np.linspace(-0.1, 0.1, 8)
    claims = (*edges(3), edge("a0.h7", "logits"), edge("a1.h7", "logits"))
    a = run_of(np.array([2.0, -1.0, 0.5, 4.0])[:, None] + wiggle, claims[:4], name="one")
    b = run_of(np.array([1.0, 1.0, 0.5, 3.0])[:, None] + 2 * wiggle, (*claims[:3], claims[4]), name="two")
    return compare_two(a, b) if first else compare_two(b, a)


def test_the_three_graphs_stand_on_one_layout():
    found = with_only()
    a, b, difference = scenes(found)
    places = [[(box.key, box.panel.rect) for box in scene.boxes] for scene in (a, b, difference)]
    assert places[0] == places[1] == places[2]
    assert len({(scene.width, scene.height) for scene in (a, b, difference)}) == 1
    starts = [{arrow.id: arrow.curve[:-2] for arrow in scene.arrows} for scene in (a, b, difference)]
    assert all(starts[0][id_] == starts[1][id_] for id_ in starts[0].keys() & starts[1].keys())


def test_an_edge_of_one_run_is_drawn_in_that_run_and_marked_in_the_difference():
    found = with_only()
    a, b, difference = ({arrow.id: arrow for arrow in scene.arrows} for scene in scenes(found))
    (only_a,), (only_b,) = found.only_a[0].ids, found.only_b[0].ids
    assert only_a in a.keys() - b.keys()
    assert only_b in b.keys() - a.keys()
    assert difference[only_a].tooltip.endswith("only in A: one")
    assert difference[only_b].tooltip.endswith("only in B: two")
    assert difference.keys() == a.keys() | b.keys()


def test_a_line_of_one_width_is_one_size_in_all_three():
    found = with_only()
    widths = {}
    for scene, row_of in zip(scenes(found), ("a", "b", "difference"), strict=True):
        effects = {row.id: row.effect for row in found.rows_of(row_of)}
        for arrow in scene.arrows:
            if arrow.id in effects and arrow.stroke.width > 1.2:
                widths[abs(round(effects[arrow.id], 6))] = arrow.stroke.width
    assert all(width == pytest.approx(5 * math.sqrt(size / 4)) for size, width in widths.items())
    assert len(widths) >= 4


def test_groups_are_drawn_by_name():
    found = compare_two(*two_shapes())
    text = svg(picture(found))
    assert "early → late&lt;q&gt;@END" in text
    assert ">×1 | ×2<" in text
    assert "a1.h0" not in text.replace("a0.h3", "")  # stand-ins are not told of
    a, b, _ = scenes(found)
    assert [box.panel.rect for box in a.boxes] == [box.panel.rect for box in b.boxes]


def test_very_many_edges_show_the_strongest_of_either_run():
    values = STREAM.normal(size=(2, 1150, 3)) * np.linspace(0.1, 1, 1150)[:, None]
    found = compare_two(*(run_of(each) for each in values), resamples=5)
    drawn = scenes(found)
    assert {len(scene.arrows) for scene in drawn} == {1000}
    assert "Of 1,150 edges the 1,000" in " ".join(text.text for text in drawn[0].texts)
    assert len(scatter_scene(found).tags) == 1150


def test_a_node_patched_by_itself_is_coloured_in_each():
    claims = [NodeClaim((parse("a1.h1"),)), edge("a1.h1", "logits")]
    runs = (run_of([[x, x + 0.1], [1.0, 1.1]], claims) for x in (1.0, -2.0))
    boxes = [next(box for box in scene.boxes if box.node == "a1.h1") for scene in scenes(compare_two(*runs))]
    assert [box.panel.texts[-1].text for box in boxes] == ["+1.05", "−1.95", "−3.00"]


HOSTILE = [
    "<script>alert(1)</script>",
    "\"'&",
    "\u202e\u0627\u0644\u0639",
    "x" * 10_000,
    "two\nlines",
    "=1+1",
    "\x1b[31m",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:8].strip())
def test_hostile_names_change_nothing_but_the_text(text):
    wiggle = np.linspace(-0.1, 0.1, 8)
    claims = [replace(claim, label=f"{text}{i}") for i, claim in enumerate(edges(3))]
    a = run_of(np.array([2.0, -1.0, 0.5])[:, None] + wiggle, claims)
    b = run_of(np.array([-2.0, 1.0, 3.5])[:, None] + wiggle, claims)
    found = compare_two(a, b, labels=(text, f"{text}!"))
    plain = compare_two(run_of(np.array([2.0, -1.0, 0.5])[:, None] + wiggle),
                        run_of(np.array([-2.0, 1.0, 3.5])[:, None] + wiggle), labels=("a", "b"))  # fmt: skip
    written = report(found, 5)
    assert len(written.splitlines()) == len(report(plain, 5).splitlines())
    assert "\x1b" not in written
    drawn = picture(found)
    root = ElementTree.fromstring(svg(drawn))  # noqa: S314
    kinds = [element.tag for element in root.iter()]
    assert not any(kind.endswith("script") for kind in kinds)
    assert drawn.width == picture(plain).width
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polygon"))) == len(drawn.arrows) + sum(
        1 for mark in drawn.legend if getattr(mark, "tip", None)
    )


def test_how_intervals_were_made_is_said_once_whether_or_not_an_end_was_cut(directories):
    found = cg.compare(directories["swap"], directories["abc"])
    for ways in (("bootstrap-t-cut", "bootstrap-t-cut"), ("bootstrap-t", "bootstrap-t-cut")):
        rows = tuple(replace(row, interval=ways[i % 2]) for i, row in enumerate(found.rows))
        assert report(replace(found, rows=rows), 5).count("studentised bootstrap") == 1

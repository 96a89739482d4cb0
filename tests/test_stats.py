"""Intervals: against tables, loops and simulations whose truth is known."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitgraph.stats import cluster_warning, intervals, normalized, sample_warning
from circuitgraph.stats.intervals import FEW_CLUSTERS, SMALLEST_BOOTSTRAP
from circuitgraph.stats.student import t_factor, within

SIMULATED = 800
"""Samples per coverage test: the share covered has a standard error of √(0.05·0.95/800) = 0.8 %."""
FOUR_ERRORS = 0.031


def covered(found, truth):
    return np.mean((found.low <= truth) & (truth <= found.high))


# --- Student's t ---------------------------------------------------------------------------------

TABLE = {
    (1, 0.95): 12.706, (2, 0.95): 4.303, (3, 0.95): 3.182, (4, 0.95): 2.776, (5, 0.95): 2.571,
    (10, 0.95): 2.228, (11, 0.95): 2.201, (30, 0.95): 2.042, (60, 0.95): 2.000, (120, 0.95): 1.980,
    (1000, 0.95): 1.962, (3, 0.99): 5.841, (8, 0.99): 3.355, (8, 0.90): 1.860, (25, 0.80): 1.316,
}  # fmt: skip


@pytest.mark.parametrize(("df", "level"), TABLE)
def test_t_factor_agrees_with_the_printed_table(df, level):
    assert t_factor(df, level) == pytest.approx(TABLE[df, level], abs=5.1e-4)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
def test_t_factor_agrees_with_closed_forms(level):
    assert t_factor(1, level) == pytest.approx(math.tan(math.pi * level / 2), rel=1e-12)
    assert t_factor(2, level) == pytest.approx(level * math.sqrt(2 / (1 - level**2)), rel=1e-12)


@given(st.floats(1, 400), st.floats(0.01, 0.999))
def test_t_factor_inverts_the_distribution(df, level):
    assert within(t_factor(df, level), df) == pytest.approx(level, rel=1e-12)


def within_by_series(t, df):
    """P(|T| ≤ t) for whole df: the finite series of Abramowitz & Stegun 26.7.3 (odd) and 26.7.4 (even)."""
    theta = math.atan(t / math.sqrt(df))
    k = np.arange(1, (df - 1) // 2 if df % 2 else df // 2)
    ratios = 2 * k / (2 * k + 1) if df % 2 else (2 * k - 1) / (2 * k)
    series = 1 + np.cumprod(ratios * math.cos(theta) ** 2).sum()
    if df % 2 == 0:
        return math.sin(theta) * series
    return 2 / math.pi * (theta + (math.sin(theta) * math.cos(theta) * series if df > 1 else 0))


@given(st.integers(1, 400), st.floats(0, 50))
def test_the_distribution_is_the_finite_series_of_whole_degrees_of_freedom(df, t):
    assert within(t, df) == pytest.approx(within_by_series(t, df), rel=1e-12, abs=1e-300)


@given(st.floats(1, 60), st.floats(0, 50))
def test_the_distribution_is_the_integral_of_its_density(df, t):
    # with t = √df · tan θ the density is cos(θ)^(df − 1), up to a constant
    theta = math.atan(t / math.sqrt(df))
    nodes, weights = np.polynomial.legendre.leggauss(120)
    whole = math.sqrt(math.pi) * math.gamma(df / 2) / (2 * math.gamma((df + 1) / 2))
    part = theta / 2 * (weights * np.cos(theta / 2 * (nodes + 1)) ** (df - 1)).sum()
    assert within(t, df) == pytest.approx(part / whole, rel=1e-9)


@pytest.mark.parametrize(
    ("df", "expected"), [(1.8, 4.794881365166812), (5.5, 2.501858617589240), (12.25, 2.173891388392064)]
)
def test_t_factor_of_broken_degrees_of_freedom(df, expected):
    # mpmath: betainc with 40 digits, inverted
    assert t_factor(df) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("df", "level"), [(0, 0.95), (0.5, 0.95), (math.nan, 0.95), (3, 0.0), (3, 1.0)])
def test_t_factor_refuses_what_has_no_quantile(df, level):
    with pytest.raises(ValueError, match="no t quantile"):
        t_factor(df, level)


# --- against slow, obvious loops -----------------------------------------------------------------


def bootstrap_t_by_loop(x, g, seed, resamples, tail=0.025):
    """Studentised bootstrap of Σx / Σg, one resample at a time."""

    def ratio_and_error(x, g):
        ratio = sum(x) / sum(g)
        squares = sum((a - ratio * b) ** 2 for a, b in zip(x, g, strict=True))
        return ratio, math.sqrt(len(x) / (len(x) - 1) * squares) / abs(sum(g))

    ratio, error = ratio_and_error(x, g)
    stream = np.random.default_rng([seed, len(x)])
    ts = []
    for drawn in stream.integers(len(x), size=(resamples, len(x))):
        again, its_error = ratio_and_error(x[drawn], g[drawn])
        ts.append((again - ratio) / its_error)
    ts.sort()
    k = int((resamples + 1) * tail) - 1
    return ratio, error, ratio - ts[-1 - k] * error, ratio - ts[k] * error


def test_bootstrap_equals_a_loop():
    x = np.random.default_rng(0).lognormal(size=(3, 20))
    found = intervals(x, seed=5, resamples=200)
    for i in range(3):
        expected = bootstrap_t_by_loop(x[i], np.ones(20), 5, 200)
        got = (found.mean[i], found.std_error[i], found.low[i], found.high[i])
        assert got == pytest.approx(expected, rel=1e-10)
    assert found.method == ("bootstrap-t",) * 3


@pytest.mark.parametrize("clusters", [None, [f"t{i % 15}" for i in range(40)]])
def test_normalized_equals_a_loop(clusters):
    random = np.random.default_rng(1)
    gaps = random.normal(3, 1, 40)
    effects = 0.4 * gaps + random.normal(size=(2, 40))
    found = normalized(effects, gaps, clusters, seed=2, resamples=200)
    for i, effect in enumerate(effects):
        x, g = effect, gaps
        if clusters is not None:
            names = list(dict.fromkeys(clusters))
            members = [[j for j, name in enumerate(clusters) if name == wanted] for wanted in names]
            x, g = (np.array([values[m].sum() for m in members]) for values in (effect, gaps))
        value, _, low, high = bootstrap_t_by_loop(x, g, 2, 200)
        assert (found.value[i], found.low[i], found.high[i]) == pytest.approx((value, low, high), rel=1e-10)
        assert found.value[i] == pytest.approx(effect.mean() / gaps.mean(), rel=1e-12)


def test_cluster_interval_worked_by_hand():
    # pairs 1 2 | 6 | 3, mean 3. Residual sums per cluster: -3, 3, 0; 1 − n/N: 1/2, 3/4, 3/4.
    # variance = (9 / (1/2) + 9 / (3/4) + 0) / 4² = 30/16
    # a = 4 / (1/2), 1 / (3/4), 1 / (3/4) = 8, 4/3, 4/3; df = 4² / (6 + (2 · 8 · 4/3 · 2 + 2 · 4/3 · 4/3) / 4²) = 9/5
    # t(9/5) = 4.794881 (mpmath, betainc with 40 digits)
    found = intervals([[1.0, 2.0, 6.0, 3.0]], ["a", "a", "b", "c"], seed=0)
    error = math.sqrt(30 / 16)
    assert found.mean[0] == 3
    assert found.std_error[0] == pytest.approx(error)
    assert (found.low[0], found.high[0]) == pytest.approx((3 - 4.794881 * error, 3 + 4.794881 * error), rel=1e-6)
    assert found.method == ("cluster-t",)


def cr2_by_matrices(x, clusters):
    """Variance and degrees of freedom from the definition, in n × n matrices: Bell & McCaffrey 2002, for a mean.

    The design is a column of ones; the variance estimator is uʹ(Σ g gʹ)u with g = (I − H)_gʹ (I − H_gg)^(-1/2) 1 / N,
    and under independent u its mean and variance are those of a scaled χ² with tr(GʹG)² / tr((GʹG)²) degrees.
    """
    n = len(x)
    ones = np.ones((n, 1))
    keep = np.eye(n) - ones @ np.linalg.inv(ones.T @ ones) @ ones.T
    columns = []
    for name in dict.fromkeys(clusters):
        members = np.array([c == name for c in clusters])
        values, vectors = np.linalg.eigh(keep[np.ix_(members, members)])
        root = vectors @ np.diag(values**-0.5) @ vectors.T
        columns.append(keep[members].T @ root @ ones[members] / n)
    g = np.hstack(columns)
    square = g.T @ g
    return float(((g.T @ x) ** 2).sum()), float(np.trace(square) ** 2 / np.trace(square @ square))


@given(st.lists(st.integers(1, 6), min_size=2, max_size=7).filter(lambda sizes: max(sizes) > 1), st.integers(0, 99))
def test_cluster_intervals_are_those_of_the_definition_in_matrices(sizes, seed):
    random = np.random.default_rng(seed)
    clusters = random.permutation(np.repeat([f"c{i}" for i in range(len(sizes))], sizes)).tolist()
    x = random.normal(2, 1, len(clusters))
    variance, df = cr2_by_matrices(x, clusters)
    found = intervals([x], clusters, seed=0)
    assert found.std_error[0] == pytest.approx(math.sqrt(variance), rel=1e-9)
    assert 1 - 1e-9 <= df <= len(sizes) - 1 + 1e-9
    half = t_factor(max(df, 1)) * math.sqrt(variance)
    assert (found.low[0], found.high[0]) == pytest.approx((x.mean() - half, x.mean() + half), rel=1e-8, abs=1e-8)


@pytest.mark.parametrize(("count", "size"), [(2, 3), (7, 2), (16, 4)])
def test_clusters_of_one_size_have_one_degree_of_freedom_less_than_clusters(count, size):
    x = np.random.default_rng(17).normal(size=count * size)
    clusters = [f"c{i % count}" for i in range(count * size)]
    sums = x.reshape(size, count).sum(axis=0)
    error = math.sqrt(count / (count - 1) * ((sums - sums.mean()) ** 2).sum()) / x.size  # CR1
    found = intervals([x], clusters, seed=0)
    assert found.std_error[0] == pytest.approx(error, rel=1e-12)
    assert found.high[0] - found.mean[0] == pytest.approx(t_factor(count - 1) * error, rel=1e-9)


def test_equal_clusters_give_the_t_interval_of_their_means():
    x = np.random.default_rng(3).normal(size=(4, 30))
    clusters = [f"c{i % 6}" for i in range(30)]
    means = np.stack([x[:, i::6].mean(axis=1) for i in range(6)], axis=1)
    found, expected = intervals(x, clusters, seed=0), intervals(means, seed=0)
    assert expected.method == ("t",) * 4
    for name in ("mean", "std_error", "low", "high"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-10)


# --- coverage ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [5, 12, 64])
def test_coverage_on_normal_data(n):
    x = np.random.default_rng(10 + n).normal(2, 3, (SIMULATED, n))
    assert covered(intervals(x, seed=0), 2) == pytest.approx(0.95, abs=FOUR_ERRORS)


def test_coverage_on_lognormal_data():
    # 93.6 % over 4,000 samples; a percentile bootstrap has 91 %, symmetric t intervals 91 %
    x = np.random.default_rng(4).lognormal(size=(SIMULATED, 64))
    assert covered(intervals(x, seed=0), math.exp(0.5)) == pytest.approx(0.936, abs=FOUR_ERRORS)


def test_coverage_with_twelve_correlated_clusters():
    random = np.random.default_rng(5)
    member = np.arange(60) % 12
    x = 2 * random.normal(size=(SIMULATED, 12))[:, member] + random.normal(size=(SIMULATED, 60))
    assert covered(intervals(x, [str(c) for c in member], seed=0), 0) == pytest.approx(0.95, abs=FOUR_ERRORS)
    assert covered(intervals(x, seed=0), 0) < 0.75, "the pairs are not independent: ignoring that must show"


def test_coverage_of_the_normalized_effect():
    random = np.random.default_rng(6)
    inside = []
    for _ in range(8):
        gaps = random.normal(3, 1, 32)
        effects = 0.5 * gaps + random.normal(size=(SIMULATED // 8, 32))
        inside.append(covered(normalized(effects, gaps, seed=0), 0.5))
    assert np.mean(inside) == pytest.approx(0.95, abs=FOUR_ERRORS)


# --- invariances ---------------------------------------------------------------------------------

numbers = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=2, max_size=24)


@given(numbers, st.floats(0.1, 50), st.floats(-100, 100), st.booleans())
def test_intervals_scale_and_shift_with_the_values(values, factor, shift, clustered):
    x = np.array([values])
    clusters = [str(i % 3) for i in range(x.size)] if clustered else None
    before = intervals(x, clusters, seed=1, resamples=100)
    after = intervals(factor * x + shift, clusters, seed=1, resamples=100)
    mirrored = intervals(-x, clusters, seed=1, resamples=100)
    assert before.method == after.method or np.ptp(x) == 0
    close = {"rtol": 1e-6, "atol": 1e-6}
    for name in ("mean", "low", "high"):
        np.testing.assert_allclose(getattr(after, name), factor * getattr(before, name) + shift, **close)
    np.testing.assert_allclose(after.std_error, factor * before.std_error, **close)
    np.testing.assert_allclose([mirrored.low, mirrored.high], [-before.high, -before.low], **close)


@given(numbers, st.randoms(use_true_random=False))
def test_clustered_intervals_do_not_depend_on_the_order_of_pairs(values, random):
    order = list(range(len(values)))
    random.shuffle(order)
    clusters = [str(i % 4 % 3) for i in range(len(values))]
    a = intervals([values], clusters, seed=0)
    b = intervals([[values[i] for i in order]], [clusters[i] for i in order], seed=0)
    for name in ("mean", "std_error", "low", "high"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-9, atol=1e-9)


@given(numbers)
def test_the_interval_holds_the_mean(values):
    found = intervals([values], seed=0, resamples=100)
    slack = 1e-9 * max(map(abs, values))
    assert found.low[0] - slack <= found.mean[0] <= found.high[0] + slack
    assert found.std_error[0] >= 0


def test_equal_values_have_equal_intervals_whatever_stands_beside_them():
    x = np.random.default_rng(7).lognormal(size=(600, 32))
    x[511] = x[3]
    together = intervals(x, seed=1, resamples=300)
    for i in (3, 511, 599):
        alone = intervals(x[i : i + 1], seed=1, resamples=300)
        assert (alone.low[0], alone.high[0]) == (together.low[i], together.high[i])
    assert together.low[3] == together.low[511]


def test_the_seed_decides_and_nothing_else_does():
    x = np.random.default_rng(8).lognormal(size=(2, 16))
    first, again, other = (intervals(x, seed=s) for s in (1, 1, -1))
    np.testing.assert_array_equal(first.low, again.low)
    assert not np.array_equal(first.low, other.low)


def test_independent_pairs_may_be_named_one_by_one():
    x = np.random.default_rng(9).normal(size=(1, 16))
    named = intervals(x, [f"#{i}" for i in range(16)], seed=0)
    assert named.method == ("bootstrap-t",)
    assert named.low[0] == intervals(x, seed=0).low[0]


# --- degenerate data -----------------------------------------------------------------------------


@pytest.mark.parametrize("clusters", [None, ["one"]])
def test_one_pair_has_no_interval(clusters):
    found = intervals([[1.5]], clusters, seed=0)
    assert found.mean[0] == 1.5
    assert np.isnan([found.std_error[0], found.low[0], found.high[0]]).all()
    assert found.method == (None,)


def test_one_cluster_has_no_interval():
    found = intervals([[1.0, 2.0]], ["a", "a"], seed=0)
    assert (found.mean[0], found.method) == (1.5, (None,))
    assert np.isnan(found.low[0])


@pytest.mark.parametrize("value", [0.0, 0.1, -3e7])
@pytest.mark.parametrize("clusters", [None, ["a", "b"] * 6 + ["a"]])
def test_values_that_agree_have_an_interval_of_no_width(value, clusters):
    found = intervals(np.full((1, 13), value), clusters, seed=0)
    assert found.method == ("constant",)
    assert found.std_error[0] == 0
    assert found.low[0] == found.mean[0] == found.high[0] == pytest.approx(value, rel=1e-14)


def test_too_few_pairs_for_a_bootstrap_get_a_t_interval():
    x = np.random.default_rng(11).normal(size=(1, SMALLEST_BOOTSTRAP - 1))
    found = intervals(x, seed=0)
    half = 2.446912 * x.std(ddof=1) / math.sqrt(x.size)  # t(6)
    assert found.method == ("t",)
    assert (found.high[0] - found.mean[0], found.mean[0] - found.low[0]) == pytest.approx((half, half), rel=1e-6)


@pytest.mark.parametrize("noise", [0.0, 1e-7])
def test_a_single_outlier_gets_a_t_interval_not_an_endless_one(noise):
    # every third resample misses the outlier and has (next to) no variance to divide by
    x = noise * np.random.default_rng(12).normal(size=(1, 64))
    x[0, 5] = 1.0
    found = intervals(x, seed=0)
    assert found.method == ("t",)
    assert found.low[0] < 0 < found.high[0] < 0.1


def test_a_few_resamples_without_variance_are_no_obstacle():
    x = np.zeros((1, 64))
    x[0, :6] = 1 + np.arange(6) / 10  # a resample misses all six with probability 0.2 %
    found = intervals(x, seed=0)
    assert found.method == ("bootstrap-t",)
    assert np.isfinite([found.low[0], found.high[0]]).all()


FAR_APART = [-20.23, -20.17, -19.91, -19.86, -19.77, -19.1, -19.0, -18.25, -1.93, -1.68, -1.52]
"""Eight pairs far from the other three: 3 % of the resamples hold none of the three and have hardly any spread."""


@pytest.mark.parametrize("sign", [1, -1])
def test_a_bootstrap_interval_ends_no_further_than_the_most_extreme_pair(sign):
    found = intervals([sign * np.array(FAR_APART)], seed=0)
    near, far = sorted((found.low[0], found.high[0]), key=abs)
    assert found.method == ("bootstrap-t-cut",)
    assert near == sign * -1.52, "all pairs have one sign, and so has the interval"
    assert -20.23 < sign * far < sign * found.mean[0]


def test_a_bootstrap_interval_may_reach_as_far_as_students_t():
    # 99.9 %: t(9) = 4.8 standard errors lie beyond all ten pairs
    x = np.random.default_rng(18).normal(size=(200, 10))
    found, student = (intervals(x, seed=0, level=0.999, resamples=r) for r in (2000, 0))
    cut = (student.high > x.max(axis=1)) & (found.high == student.high)
    assert cut.sum() > 20
    assert {found.method[i] for i in np.flatnonzero(cut)} == {"bootstrap-t-cut"}
    assert (found.high <= np.maximum(student.high, x.max(axis=1))).all()


@given(st.lists(st.sampled_from([-20.0, -19.0, -1.5, -1.0]) | st.floats(-20, -1), min_size=8, max_size=24))
def test_a_bootstrap_interval_reaches_beyond_every_pair_only_where_students_t_does(values):
    found, student = intervals([values], seed=0, resamples=200), intervals([values], seed=0, resamples=0)
    slack = 1e-9
    assert found.low[0] >= min(min(values), student.low[0]) - slack
    assert found.high[0] <= max(max(values), student.high[0]) + slack


def test_no_experiments_are_no_problem():
    found = intervals(np.empty((0, 16)), seed=0)
    assert (found.mean.shape, found.low.shape, found.method) == ((0,), (0,), ())


@pytest.mark.parametrize(
    ("values", "clusters", "message"),
    [
        ([1.0, 2.0], None, r"\[experiments, pairs\]"),
        (np.empty((3, 0)), None, "at least one pair"),
        ([[1.0, math.nan]], None, "finite"),
        ([[1.0, 2.0]], ["a"], "1 clusters do not fit 2 pairs"),
    ],
)
def test_refuses_what_is_no_sample(values, clusters, message):
    with pytest.raises(ValueError, match=message):
        intervals(values, clusters, seed=0)


# --- normalized ----------------------------------------------------------------------------------


def test_normalized_is_a_ratio_of_means_not_a_mean_of_ratios():
    gaps, effects = np.array([1.0, 1.0, 4.0] * 5), np.array([1.0, 1.0, 0.0] * 5)
    assert normalized([effects], gaps, seed=0).value[0] == pytest.approx(1 / 3)


def test_an_effect_that_is_a_share_of_each_gap_has_no_uncertainty():
    gaps = np.random.default_rng(13).normal(3, 1, 24)
    found = normalized([0.25 * gaps, gaps], gaps, seed=0)
    np.testing.assert_allclose([found.low, found.value, found.high], [[0.25, 1]] * 3, rtol=1e-12)


@pytest.mark.parametrize("clusters", [None, [str(i % 5) for i in range(24)]])
def test_no_normalized_effect_when_the_gap_may_be_zero(clusters):
    gaps = np.random.default_rng(14).normal(0, 1, 24)
    gaps -= gaps.mean() - 0.01
    found = normalized(np.ones((3, 24)), gaps, clusters, seed=0)
    assert np.isnan([found.value, found.low, found.high]).all()


def test_a_normalized_interval_is_cut_as_that_of_the_effect_is():
    effect, share = intervals([FAR_APART], seed=0), normalized([FAR_APART], np.full(11, 40.0), seed=0)
    assert (share.low[0], share.high[0]) == pytest.approx((effect.low[0] / 40, -1.52 / 40))
    # each pair's own gap: a pair's value is its effect as a share of the gap, to first order around the ratio
    x, gaps = np.array(FAR_APART), np.linspace(-36, -44, 11)
    found = normalized([x], gaps, seed=0)
    ratio = x.mean() / gaps.mean()
    values = ratio + (x - ratio * gaps) / gaps.mean()
    student = intervals(values[None], seed=0, resamples=0)
    assert found.low[0] >= min(values.min(), student.low[0])
    assert found.high[0] <= max(values.max(), student.high[0])


def test_one_pair_has_a_normalized_effect_without_interval():
    found = normalized([[1.0]], [4.0], seed=0)
    assert found.value[0] == 0.25
    assert np.isnan([found.low[0], found.high[0]]).all()
    assert np.isnan(normalized([[1.0]], [0.0], seed=0).value[0])


def test_a_negative_gap_turns_the_sign():
    gaps = np.random.default_rng(15).normal(3, 1, 24)
    effects = 0.5 * gaps + np.random.default_rng(16).normal(size=24)
    up, down = normalized([effects], gaps, seed=0), normalized([effects], -gaps, seed=0)
    assert (down.value[0], down.low[0], down.high[0]) == pytest.approx((-up.value[0], -up.high[0], -up.low[0]))


def test_normalized_refuses_gaps_of_other_pairs():
    with pytest.raises(ValueError, match="effects of 3 pairs do not fit gaps of 2"):
        normalized([[1.0, 2.0, 3.0]], [1.0, 2.0], seed=0)


# --- warnings and memory -------------------------------------------------------------------------


def test_few_clusters_are_worth_a_warning():
    assert cluster_warning(None) is None
    assert cluster_warning(["a", "b", "c"]) is None, "three independent pairs"
    assert cluster_warning([str(i % FEW_CLUSTERS) for i in range(40)]) is None
    assert "only 7 clusters" in (cluster_warning([str(i % 7) for i in range(40)]) or "")
    assert "one cluster" in (cluster_warning(["a"] * 3) or "")


def test_memory_does_not_grow_with_the_resamples_of_all_experiments():
    def peak(experiments):
        x = np.random.default_rng(0).normal(size=(experiments, 8))
        tracemalloc.start()
        intervals(x, seed=0)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(1)  # fills the cache of counts
    assert peak(1024) - peak(256) < 2**20, "the resampled t of 768 more experiments alone take 12 MB"


def test_a_small_sample_is_warned_about_whether_of_pairs_or_of_clusters():
    assert sample_warning(FEW_CLUSTERS, None) is None
    assert sample_warning(40, [str(i % 7) for i in range(40)]) == cluster_warning([str(i % 7) for i in range(40)])
    assert "only 3 pairs" in (sample_warning(3, None) or "")
    assert "only 3 pairs" in (sample_warning(3, ["a", "b", "c"]) or "")
    assert "no standard errors" in (sample_warning(1, None) or "")

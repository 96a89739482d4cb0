"""p-values and q-values: against enumeration, slow loops, a printed example and simulations under the null."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitgraph.stats import benjamini_hochberg, same_sign, sign_flip_p

numbers = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=2, max_size=24)
probabilities = st.lists(st.floats(0, 1) | st.just(math.nan), max_size=30)


# --- same_sign -----------------------------------------------------------------------------------


def test_same_sign_counts_the_pairs_that_agree_with_the_mean():
    values = [[1.0, 2.0, -1.0, 0.0], [-1.0, -2.0, -3.0, -4.0], [9.0, -1.0, -1.0, -1.0]]
    assert same_sign(values).tolist() == [0.5, 1.0, 0.25]


@pytest.mark.parametrize("row", [[0.0, 0.0], [1.0, -1.0], [0.1, 0.2, -0.3]])
def test_a_mean_of_zero_has_no_sign(row):
    assert np.isnan(same_sign([row])).all(), "0.1 + 0.2 − 0.3 is 0 but for rounding"


@given(numbers, st.floats(0.1, 50))
def test_same_sign_is_a_share_and_does_not_depend_on_units(values, factor):
    share = same_sign([values])
    assert np.isnan(share[0]) or 0 < share[0] <= 1
    np.testing.assert_array_equal(same_sign([np.multiply(values, -factor)]), share)


# --- sign flips, exactly -------------------------------------------------------------------------


def p_by_enumeration(units):
    """In whole numbers, so that equal sums are equal."""
    observed = abs(sum(units))
    ways = list(itertools.product((1, -1), repeat=len(units)))
    return sum(abs(sum(s * u for s, u in zip(way, units, strict=True))) >= observed for way in ways) / len(ways)


@given(st.lists(st.integers(-9, 9), min_size=2, max_size=9))
def test_few_pairs_are_enumerated(units):
    tenths = [[u / 10 for u in units]]  # 0.1 + 0.2 ≠ 0.3: sums that are equal must still count as equal
    assert sign_flip_p(tenths, seed=0)[0] == p_by_enumeration(units)


@given(st.lists(st.integers(-9, 9), min_size=2, max_size=14), st.integers(2, 5))
def test_few_clusters_are_enumerated(pairs, count):
    names = [f"c{i * i % count}" for i in range(len(pairs))]
    sums = [sum(x for x, name in zip(pairs, names, strict=True) if name == c) for c in sorted(set(names))]
    found = sign_flip_p([[x / 10 for x in pairs]], names, seed=0)[0]
    if len(sums) == 1:
        assert math.isnan(found)
    else:
        assert found == p_by_enumeration(sums)


def test_worked_by_hand():
    # 1 2 3: of ±1 ±2 ±3 only +++ and −−− reach 6. 1 2 −3: every sum reaches 0. 2 2 −1: |T| ≥ 3 in 4 of 8.
    found = sign_flip_p([[1.0, 2.0, 3.0], [1.0, 2.0, -3.0], [2.0, 2.0, -1.0]], seed=0)
    assert found.tolist() == [0.25, 1.0, 0.5]


def test_thirteen_units_are_enumerated_and_fourteen_drawn():
    positive = np.arange(1.0, 15.0)
    assert sign_flip_p([positive[:13]], seed=0)[0] == 2 / 2**13
    drawn = sign_flip_p([positive], seed=0)[0] * 10_000
    assert drawn == pytest.approx(round(drawn))
    assert sign_flip_p([positive], seed=0, flips=2**14 - 1)[0] == 2 / 2**14, "one more flip than there are ways"


def test_drawn_flips_are_near_the_enumerated_ones():
    x = np.random.default_rng(0).normal(0.3, 1, (40, 14))
    exact, drawn = sign_flip_p(x, seed=0, flips=2**14), sign_flip_p(x, seed=0)
    assert not np.array_equal(exact, drawn)
    np.testing.assert_allclose(drawn, exact, atol=4 * 0.5 / math.sqrt(9999))


# --- sign flips, degenerate data -----------------------------------------------------------------


@pytest.mark.parametrize(("row", "clusters"), [([1.5], None), ([1.5], ["a"]), ([1.0, 2.0], ["a", "a"])])
def test_one_unit_has_no_p_value(row, clusters):
    assert np.isnan(sign_flip_p([row], clusters, seed=0)).all()


@pytest.mark.parametrize("pairs", [2, 64])
def test_effects_of_zero_are_no_evidence(pairs):
    assert sign_flip_p(np.zeros((1, pairs)), seed=0)[0] == 1


def test_clusters_that_cancel_are_no_evidence():
    row = [0.1, 0.2, -0.3] * 20  # sums to 5.6e-17 in each cluster, all of one sign
    assert sign_flip_p([row], [f"c{i // 3}" for i in range(60)], seed=0)[0] == 1


def test_no_experiments_are_no_problem():
    assert sign_flip_p(np.empty((0, 16)), seed=0).shape == (0,)


@pytest.mark.parametrize(
    ("values", "clusters", "flips", "message"),
    [
        ([1.0, 2.0], None, 9, r"\[experiments, pairs\]"),
        ([[1.0, math.inf]], None, 9, "finite"),
        ([[1.0, 2.0]], ["a"], 9, "1 clusters do not fit 2 pairs"),
        ([[1.0, 2.0]], None, 0, "flips must be at least 1, not 0"),
    ],
)
def test_sign_flips_refuse_what_is_no_sample(values, clusters, flips, message):
    with pytest.raises(ValueError, match=message):
        sign_flip_p(values, clusters, seed=0, flips=flips)


# --- sign flips, invariances ---------------------------------------------------------------------


@given(numbers, st.floats(0.01, 100), st.booleans())
def test_p_depends_on_neither_units_nor_direction(values, factor, clustered):
    clusters = [str(i % 5) for i in range(len(values))] if clustered else None
    p = sign_flip_p([values], clusters, seed=1, flips=99)
    np.testing.assert_array_equal(sign_flip_p([np.multiply(values, factor)], clusters, seed=1, flips=99), p)
    np.testing.assert_array_equal(sign_flip_p([np.negative(values)], clusters, seed=1, flips=99), p)


@given(numbers, st.randoms(use_true_random=False), st.booleans())
def test_p_does_not_depend_on_the_order_of_pairs(values, random, clustered):
    order = list(range(len(values)))
    random.shuffle(order)
    names = [str(i % 9 % 8) for i in range(len(values))] if clustered else None
    moved = None if names is None else [names[i] for i in order]
    a = sign_flip_p([values], names, seed=0, flips=99)
    b = sign_flip_p([[values[i] for i in order]], moved, seed=0, flips=99)
    np.testing.assert_array_equal(a, b)


def test_equal_values_have_equal_p_whatever_stands_beside_them():
    x = np.random.default_rng(7).normal(0.2, 1, (600, 32))
    x[511] = x[3]
    together = sign_flip_p(x, seed=1)
    for i in (3, 511, 599):
        assert sign_flip_p(x[i : i + 1], seed=1)[0] == together[i]
    assert together[3] == together[511]


def test_the_seed_decides_and_nothing_else_does():
    x = np.random.default_rng(8).normal(0.3, 1, (4, 32))
    first, again, other = (sign_flip_p(x, seed=s) for s in (1, 1, -1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(first, sign_flip_p(x, [f"#{i}" for i in range(32)], seed=1))


def test_memory_grows_with_neither_flips_nor_experiments():
    def peak(experiments, flips):
        x = np.random.default_rng(0).normal(size=(experiments, 64))
        tracemalloc.start()
        sign_flip_p(x, seed=0, flips=flips)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    once = peak(256, 9999)
    assert once < 12 * 2**20, "all signs and sums at once take 25 MB"
    assert peak(256, 40_000) - once < 2**16
    assert peak(1024, 9999) - once < 2**20, "768 more rows of 64 pairs take 0.4 MB"


# --- sign flips, under the null ------------------------------------------------------------------

DRAWS, PAIRS = 4000, 64


def normal(random):
    return random.normal(size=(DRAWS, PAIRS)), None


def laplace(random):
    return random.laplace(size=(DRAWS, PAIRS)), None


def unlike(random):
    """Each pair has a spread of its own: symmetric is enough, alike is not needed."""
    return random.normal(size=(DRAWS, PAIRS)) * np.arange(1, PAIRS + 1), None


def sixteen_clusters(random):
    member = np.arange(PAIRS) % 16
    return random.normal(size=(DRAWS, 16))[:, member] + random.normal(size=(DRAWS, PAIRS)), [str(c) for c in member]


@pytest.mark.parametrize("sample", [normal, laplace, unlike, sixteen_clusters])
def test_p_is_uniform_under_the_null(sample):
    values, clusters = sample(np.random.default_rng(len(sample.__name__)))
    p = sign_flip_p(values, clusters, seed=0)
    for level in (0.01, 0.05, 0.1, 0.25, 0.5, 0.9):
        assert np.mean(p <= level) == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / DRAWS)), level


def test_ignoring_clusters_rejects_a_true_null_too_often():
    values, _ = sixteen_clusters(np.random.default_rng(0))
    assert np.mean(sign_flip_p(values, seed=0) <= 0.05) > 0.15


def test_an_effect_is_found():
    x = np.random.default_rng(1).normal(0.5, 1, (200, PAIRS))
    assert np.mean(sign_flip_p(x, seed=0) <= 0.05) > 0.9


# --- q-values ------------------------------------------------------------------------------------


def q_by_loop(p):
    """The definition: the least level at which the step-up procedure rejects, over all levels that matter."""
    family = sorted(x for x in p if not math.isnan(x))
    m = len(family)

    def q(x):
        if math.isnan(x):
            return x
        return min([1.0, *(m * family[k] / (k + 1) for k in range(m) if family[k] >= x)])

    return [q(x) for x in p]


def test_worked_example_of_benjamini_and_hochberg():
    # the 15 p-values of their section 4.1: at a rate of 0.05 the first four are discoveries
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528]
    p += [0.7590, 1.0]
    q = benjamini_hochberg(p)
    assert (q <= 0.05).tolist() == [True] * 4 + [False] * 11
    assert q[:5] == pytest.approx([0.0015, 0.003, 0.0095, 0.035625, 0.0603])
    assert q[5] == q[6] == pytest.approx(15 * 0.0298 / 7), "a larger p with a smaller quotient decides"


@given(probabilities)
def test_q_equals_a_loop(p):
    np.testing.assert_allclose(benjamini_hochberg(p), q_by_loop(p), rtol=1e-12)


@given(probabilities)
def test_q_is_never_below_p_and_keeps_its_order(p):
    p = np.array(p)
    q = benjamini_hochberg(p)
    np.testing.assert_array_equal(np.isnan(q), np.isnan(p))
    kept = ~np.isnan(p)
    assert (q[kept] >= p[kept]).all()
    assert (q[kept] <= 1).all()
    assert (np.diff(q[kept][np.argsort(p[kept])]) >= 0).all()


@given(probabilities, st.randoms(use_true_random=False))
def test_q_does_not_depend_on_order_or_on_what_has_no_p(p, random):
    order = list(range(len(p)))
    random.shuffle(order)
    np.testing.assert_array_equal(benjamini_hochberg([p[i] for i in order]), benjamini_hochberg(p)[order])
    kept = [x for x in p if not math.isnan(x)]
    np.testing.assert_array_equal(benjamini_hochberg([math.nan, *p])[1:][~np.isnan(p)], benjamini_hochberg(kept))


def test_a_family_of_one_is_its_p():
    assert benjamini_hochberg([0.03]).tolist() == [0.03]


def test_the_false_discovery_rate_is_kept():
    random = np.random.default_rng(2)
    rates = []
    for i in range(100):
        x = random.normal(size=(40, 32)) + np.where(np.arange(40) < 10, 0.8, 0)[:, None]
        found = benjamini_hochberg(sign_flip_p(x, seed=i, flips=1999)) <= 0.1
        rates.append(found[10:].sum() / max(found.sum(), 1))
    assert np.mean(rates) == pytest.approx(0.1 * 30 / 40, abs=4 * np.std(rates) / math.sqrt(len(rates)))


@pytest.mark.parametrize(
    ("p", "message"), [([0.5, 1.2], "not 1.2"), ([-0.1], "not -0.1"), ([[0.5]], r"\[family\], not \[1, 1\]")]
)
def test_q_refuses_what_is_no_family(p, message):
    with pytest.raises(ValueError, match=message):
        benjamini_hochberg(p)

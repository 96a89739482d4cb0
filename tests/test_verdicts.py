"""Regions and verdicts by hand, and the number of pairs that would decide, by recomputing the interval."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from circuitgraph.stats import Judgement, Region, Verdict, judge

INF = math.inf
POSITIVE = Region(low=0, open_low=True)
NEGATIVE = Region(high=0, open_high=True)
AT_LEAST = Region(low=0.9)
NEAR_ZERO = Region(-0.1, 0.1)

bounds = st.sampled_from([-INF, -2.0, -1.0, 0.0, 0.5, 1.0, 2.0, INF])
regions = st.builds(Region, bounds, bounds, st.booleans(), st.booleans())
points = st.sampled_from([-3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0])


# --- regions -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "inside", "outside"),
    [
        (POSITIVE, [5e-324, INF], [0.0, -0.0, -1.0]),
        (NEGATIVE, [-5e-324], [0.0, 1.0]),
        (AT_LEAST, [0.9, 2.0], [0.8999]),
        (NEAR_ZERO, [-0.1, 0.0, 0.1], [0.11, -0.11]),
        (Region(), [-1e300, 0.0, 1e300], [math.nan]),
        (Region(2, 1), [], [1.0, 1.5, 2.0]),
    ],
)
def test_a_region_holds_its_values(region, inside, outside):
    assert all(region.holds(x) for x in inside)
    assert not any(region.holds(x) for x in outside)


@pytest.mark.parametrize(
    ("region", "empty"),
    [
        (Region(), False),
        (Region(1, 1), False),
        (Region(1, 1, open_low=True), True),
        (Region(1, 1, open_high=True), True),
        (Region(2, 1), True),
        (Region(INF, INF), True),
        (POSITIVE & NEGATIVE, True),
        (POSITIVE & Region(high=0), True),
        (Region(low=0) & Region(high=0), False),
    ],
)
def test_a_region_may_be_empty(region, empty):
    assert region.empty is empty


@given(regions, regions, points)
def test_an_intersection_holds_what_both_hold(a, b, x):
    assert (a & b).holds(x) == (a.holds(x) and b.holds(x))
    assert a.intersect(b) == a & b
    assert not ((a & b).empty and (a & b).holds(x))


@pytest.mark.parametrize(
    ("region", "text"),
    [
        (POSITIVE, "> 0"),
        (NEGATIVE, "< 0"),
        (AT_LEAST, "at least 0.9"),
        (Region(high=3), "at most 3"),
        (Region(-13, -11), "between -13 and -11"),
        (NEAR_ZERO, "between -0.1 and 0.1"),
        (POSITIVE & Region(high=2), "> 0 and at most 2"),
        (Region(0, 1, True, True), "> 0 and < 1"),
        (Region(-0.0, -0.0), "exactly 0"),
        (Region(0.1 + 0.2), "at least 0.3"),
        (Region(), "any value"),
        (Region(2, 1), "no value"),
    ],
)
def test_a_region_reads_well(region, text):
    assert str(region) == text


def test_a_region_has_numbers_for_bounds():
    with pytest.raises(ValueError, match="nan"):
        Region(low=math.nan)


# --- verdicts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "low", "high", "verdict"),
    [
        (POSITIVE, 0.1, 0.5, "supported"),
        (POSITIVE, -0.5, -0.1, "refuted"),
        (POSITIVE, -0.1, 0.5, "undecided"),
        (POSITIVE, 0.0, 0.5, "undecided"),
        (POSITIVE, -0.5, 0.0, "refuted"),
        (POSITIVE, 0.0, 0.0, "refuted"),
        (NEGATIVE, 0.0, 0.0, "refuted"),
        (Region(low=0), 0.0, 0.5, "supported"),
        (Region(low=0), -0.5, 0.0, "undecided"),
        (Region(0, 0), 0.0, 0.0, "supported"),
        (Region(0, 0), -0.1, 0.1, "undecided"),
        (NEAR_ZERO, -0.1, 0.1, "supported"),
        (NEAR_ZERO, -0.2, 0.05, "undecided"),
        (NEAR_ZERO, -0.2, 0.2, "undecided"),
        (NEAR_ZERO, 0.11, 0.2, "refuted"),
        (Region(), -9.0, 9.0, "supported"),
        (Region(2, 1), 0.0, 3.0, "refuted"),
    ],
)
def test_the_interval_decides(region, low, high, verdict):
    found = judge(region, (low + high) / 2, low, high, 10)
    assert found.verdict == verdict
    assert found.pairs_needed is None or verdict == "undecided"


@given(regions, points, points, points)
def test_supported_and_refuted_say_what_they_mean(region, a, b, c):
    low, value, high = sorted((a, b, c))
    verdict = judge(region, value, low, high, 10).verdict
    held = {region.holds(x) for x in (low, value, high)}
    if verdict is Verdict.SUPPORTED:
        assert held == {True}
    if verdict is Verdict.REFUTED:
        assert held == {False}
    if held == {True, False}:
        assert verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("value", "low", "high"), [(0.3, None, None), (0.3, math.nan, math.nan), (None, None, None), (0.0, None, None)]
)
def test_without_an_interval_nothing_is_decided(value, low, high):
    assert judge(POSITIVE, value, low, high, 1) == Judgement(Verdict.UNDECIDED, None)


@pytest.mark.parametrize(("low", "high", "pairs", "message"), [(1, 0, 5, "from 1 to 0"), (0, 1, 0, "of 0 pairs")])
def test_judge_refuses_what_is_no_interval(low, high, pairs, message):
    with pytest.raises(ValueError, match=message):
        judge(POSITIVE, 0.5, low, high, pairs)


# --- pairs needed --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "value", "low", "high", "needed"),
    [
        # half-width 2, distance 1: a quarter of the variance. Touching 0 would not be > 0, so one pair more.
        (POSITIVE, 1.0, -1.0, 3.0, 41),
        (Region(low=0), 1.0, -1.0, 3.0, 40),
        # outside: it is the upper end that must leave; touching 0 refutes > 0 but not ≥ 0
        (POSITIVE, -1.0, -9.0, 1.0, 40),
        (Region(low=0), -1.0, -9.0, 1.0, 41),
        (NEGATIVE, 1.0, -1.0, 9.0, 40),
        # halves of unlike width, both sides needed: the worse one counts
        (Region(-1, 1), 0.0, -2.0, 3.0, 90),
        (Region(-1, 1), 0.5, -0.5, 1.5, 40),
        (Region(-1, 1), 2.0, 0.0, 9.0, 41),
        # touching already: the next pair decides
        (POSITIVE, 1.0, 0.0, 3.0, 11),
        # on the boundary
        (POSITIVE, 0.0, -1.0, 1.0, None),
        (Region(low=0), 0.0, -1.0, 1.0, None),
        (Region(0, 0), 0.0, -1.0, 1.0, None),
        # on the boundary as far as one can tell
        (POSITIVE, 1e-17, -1.0, 1.0, None),
        # endless, or no value to stay what it is
        (POSITIVE, 1.0, -INF, 3.0, None),
        (POSITIVE, None, -1.0, 3.0, None),
    ],
)
def test_pairs_needed_by_hand(region, value, low, high, needed):
    assert judge(region, value, low, high, 10) == Judgement(Verdict.UNDECIDED, needed)


halves = st.floats(0, 50).map(lambda x: round(x, 2))
values = st.floats(-5, 5).map(lambda x: round(x, 2))


@given(regions, values, halves, halves, st.integers(2, 500))
def test_that_many_pairs_decide_and_one_fewer_does_not(region, value, below, above, pairs):
    found = judge(region, value, value - below, value + above, pairs)
    assume(found.pairs_needed is not None)
    needed = found.pairs_needed
    assert found.verdict is Verdict.UNDECIDED
    assert needed > pairs

    def verdict(n, slack):
        shrunk = math.sqrt(pairs / n) * slack
        return judge(region, value, value - below * shrunk, value + above * shrunk, n).verdict

    # the slack is for roots and sums that are rounded, and less than what one pair in 10⁷ makes
    expected = Verdict.SUPPORTED if region.holds(value) else Verdict.REFUTED
    assert verdict(needed, 1 - 1e-9) is expected
    assume(needed < 10**7)
    assert verdict(needed - 1, 1 + 1e-9) is Verdict.UNDECIDED

"""The promises of docs/definitions.md about coverage and rejection, simulated by the command that prints its table."""

import pytest

from tests.benchmarks.calibration import CASES, DRAWS, MIXTURES, SMALL, held, rates

FOUND = {case.name: case for case in CASES}
RELIABLE = ["normal", *(name for name in FOUND if name.startswith(("16 clusters", "32 clusters")))]
SYMMETRIC = [case.name for case in CASES if case.symmetric]


@pytest.fixture(scope="module")
def measured():
    return {name: rates(case) for name, case in FOUND.items()}


def within_four_errors(share, expected):
    return share == pytest.approx(expected, abs=4 * (expected * (1 - expected) / DRAWS) ** 0.5)


def test_every_case_is_simulated_often_enough(measured):
    assert all(found.draws >= 4000 for found in measured.values())
    assert len(RELIABLE) == 5


@pytest.mark.parametrize("name", RELIABLE)
def test_intervals_of_independent_pairs_and_of_sixteen_clusters_cover(measured, name):
    assert 0.93 <= measured[name].covered <= 0.97


@pytest.mark.parametrize(
    ("name", "expected"), [("lognormal, σ = 1", 0.933), ("8 clusters of 8", 0.95), ("16 clusters of 1 to 13", 0.94)]
)
def test_the_other_intervals_cover_as_documented(measured, name, expected):
    assert within_four_errors(measured[name].covered, expected)


@pytest.mark.parametrize("name", SYMMETRIC)
def test_sign_flips_reject_a_true_null_as_often_as_they_say(measured, name):
    assert within_four_errors(measured[name].rejected_5, 0.05)
    # 8 clusters have 256 sign vectors: p is a multiple of 1/128, and 0.01 is not
    assert within_four_errors(measured[name].rejected_1, 1 / 128 if name == "8 clusters of 8" else 0.01)


def test_sign_flips_reject_too_often_where_effects_are_skewed(measured):
    assert measured["lognormal, σ = 1"].rejected_5 > 0.07
    assert measured["lognormal, σ = 1"].rejected_1 > 0.03


def test_cutting_intervals_costs_no_coverage():
    for case in SMALL:
        found = held(case, 16, draws=500)
        assert found.mean[1] >= found.mean[0] - 0.01, case.name


@pytest.mark.parametrize(("pairs", "expected"), [(12, 0.923), (16, 0.965)])
def test_intervals_of_pairs_of_two_kinds_hold_the_mean_and_not_zero(pairs, expected):
    found = held(MIXTURES[0], pairs, draws=1000)
    assert found.mean[1] == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 1000) ** 0.5)
    assert found.zero[0] > 0.4
    assert found.zero[1] == 0

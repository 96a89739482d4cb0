"""How often intervals hold the truth, and how often p-values reject a null that is true, by simulation.

    python tests/benchmarks/calibration.py [--draws 4000] [--seed 0] [--small]

Each draw is a sample of 64 pairs with true mean 0, given to the estimators as a measured experiment is.
± is one standard error of the simulation. A sign flip assumes effects that are symmetric about 0; lognormal
effects, though centred, are not, so that their rejection rates say what breaking the assumption costs.

With --small: samples of 8 to 64 pairs of skewed, mixed and other data; how often intervals hold the true mean, and
how often 0, of the bootstrap-t as it comes, of what is used (its ends cut), and of Student's t. Two minutes.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from circuitgraph.stats import intervals, sign_flip_p
from circuitgraph.stats.intervals import RESAMPLES, Floats, Intervals, _counts, _t_quantiles

PAIRS = 64
DRAWS = 4000
UNEVEN = (2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6)
LOPSIDED = (1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4, 5, 6, 8, 10, 13)

Draw = Callable[[np.random.Generator, int], Floats]
"""(stream, draws) → [draws, PAIRS] with true mean 0."""


@dataclass(frozen=True)
class Case:
    name: str
    draw: Draw
    clusters: Sequence[str] | None = None
    symmetric: bool = True


@dataclass(frozen=True)
class Rates:
    """Shares of draws: of 95 % intervals that hold 0, and of p-values at most 0.05 and 0.01."""

    covered: float
    rejected_5: float
    rejected_1: float
    draws: int

    def error(self, share: float) -> float:
        """The standard error of a share of this many draws."""
        return math.sqrt(share * (1 - share) / self.draws)


def normal(stream: np.random.Generator, draws: int) -> Floats:
    return stream.normal(size=(draws, PAIRS))


def lognormal(stream: np.random.Generator, draws: int) -> Floats:
    return stream.lognormal(0, 1, size=(draws, PAIRS)) - math.exp(0.5)


def clustered(name: str, sizes: Sequence[int]) -> Case:
    """Pairs that share their cluster's own effect: standard deviation 1 between clusters, 1 within."""
    member = np.repeat(np.arange(len(sizes)), sizes)

    def draw(stream: np.random.Generator, draws: int) -> Floats:
        return stream.normal(size=(draws, len(sizes)))[:, member] + stream.normal(size=(draws, len(member)))

    return Case(name, draw, [f"c{i}" for i in member])


CASES = (
    Case("normal", normal),
    Case("lognormal, σ = 1", lognormal, symmetric=False),
    clustered("8 clusters of 8", [8] * 8),
    clustered("16 clusters of 4", [4] * 16),
    clustered("32 clusters of 2", [2] * 32),
    clustered("16 clusters of 2 to 6", UNEVEN),
    clustered("16 clusters of 1 to 13", LOPSIDED),
)


def rates(case: Case, draws: int = DRAWS, seed: int = 0) -> Rates:
    """What the estimators do with `draws` samples of one case."""
    values = case.draw(np.random.default_rng([seed, *case.name.encode()]), draws)
    found = intervals(values, case.clusters, seed=seed)
    p = sign_flip_p(values, case.clusters, seed=seed)
    covered = (found.low <= 0) & (found.high >= 0)
    return Rates(float(covered.mean()), float((p <= 0.05).mean()), float((p <= 0.01).mean()), draws)


@dataclass(frozen=True)
class Small:
    """Data of a known mean; `draw` takes (stream, shape)."""

    name: str
    draw: Callable[[np.random.Generator, tuple[int, int]], Floats]
    mean: float


def mixture(share: float) -> Small:
    """Pairs of two kinds: `share` of them near −1.7, the others near −19.5."""

    def draw(stream: np.random.Generator, shape: tuple[int, int]) -> Floats:
        few = stream.random(shape) < share
        return np.where(few, stream.normal(-1.7, 0.2, shape), stream.normal(-19.5, 0.6, shape))

    return Small(f"{1 - share:.0%} near −19.5, {share:.0%} near −1.7", draw, -1.7 * share - 19.5 * (1 - share))


SIZES = (8, 12, 16, 24, 32, 64)
MIXTURES = (mixture(0.2), mixture(0.05))
SMALL = (
    Small("normal, mean 1", lambda stream, shape: stream.normal(1, 1, shape), 1),
    Small("uniform, 0 to 1", lambda stream, shape: stream.random(shape), 0.5),
    Small("exponential", lambda stream, shape: stream.exponential(1, shape), 1),
    Small("lognormal, σ = 1", lambda stream, shape: stream.lognormal(0, 1, shape), math.exp(0.5)),
    Small("lognormal, σ = 1.5", lambda stream, shape: stream.lognormal(0, 1.5, shape), math.exp(1.125)),
    *MIXTURES,
)
WAYS = ("bootstrap-t", "the same, cut", "Student's t")


@dataclass(frozen=True)
class Held:
    """Shares of draws, for each of WAYS: of intervals that hold the true mean, and of those that hold 0."""

    mean: tuple[float, ...]
    zero: tuple[float, ...]


def held(case: Small, pairs: int, draws: int = DRAWS, seed: int = 0) -> Held:
    values = case.draw(np.random.default_rng([seed, pairs, *case.name.encode()]), (draws, pairs))
    used, student = intervals(values, seed=seed), intervals(values, seed=seed, resamples=0)
    ends = [uncut(values, student, seed), (used.low, used.high), (student.low, student.high)]
    mean, zero = (tuple(float(((a <= x) & (x <= b)).mean()) for a, b in ends) for x in (case.mean, 0.0))
    return Held(mean, zero)


def uncut(values: Floats, student: Intervals, seed: int) -> tuple[Floats, Floats]:
    """The ends of the bootstrap-t intervals wherever they lie; Student's t where there is no quantile."""
    pairs = values.shape[1]
    low, high = student.low.copy(), student.high.copy()
    for start in range(0, len(values), 256):
        rows = slice(start, start + 256)
        mean, error = student.mean[rows], student.std_error[rows]
        residuals = values[rows] - mean[:, None]
        lower, upper = _t_quantiles(residuals, np.ones(pairs), _counts(seed, pairs, RESAMPLES), 0.025)
        usable = np.isfinite(lower) & np.isfinite(upper)
        low[rows] = np.where(usable, mean - upper * error, low[rows])
        high[rows] = np.where(usable, mean - lower * error, high[rows])
    return low, high


def small_samples(draws: int, seed: int) -> None:
    """The two tables of --small."""
    found = {case: [held(case, pairs, draws, seed) for pairs in SIZES] for case in SMALL}
    head = "".join(f"{f'n = {pairs}':>8}" for pairs in SIZES)
    for title, cases, field in (
        ("95 % intervals that hold the true mean", SMALL, "mean"),
        ("95 % intervals that hold 0, where no pair is near it", MIXTURES, "zero"),
    ):
        print(f"{draws} draws; {title}, in %\n{'data':34}{'interval':15}{head}")
        for case in cases:
            for i, way in enumerate(WAYS):
                cells = "".join(f"{100 * getattr(each, field)[i]:8.1f}" for each in found[case])
                print(f"{'' if i else case.name:34}{way:15}{cells}")
        print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", action="store_true", help="samples of 8 to 64 pairs instead")
    arguments = parser.parse_args()
    if arguments.small:
        small_samples(arguments.draws, arguments.seed)
    else:
        large_samples(arguments.draws, arguments.seed)


def large_samples(draws: int, seed: int) -> None:
    """The table without --small."""
    print(f"{draws} draws of {PAIRS} pairs, true mean 0; shares in %, ± one standard error")
    print(f"{'data':24}{'95 % interval holds 0':>23}{'p ≤ 0.05':>14}{'p ≤ 0.01':>14}")
    for case in CASES:
        found = rates(case, draws, seed)
        shares = (found.covered, found.rejected_5, found.rejected_1)
        cells = [f"{100 * share:.1f} ± {100 * found.error(share):.1f}" for share in shares]
        note = "" if case.symmetric else "   not symmetric: sign flips do not apply"
        print(f"{case.name:24}{cells[0]:>23}{cells[1]:>14}{cells[2]:>14}{note}")


if __name__ == "__main__":
    main()

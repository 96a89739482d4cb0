"""How often intervals hold the truth, and how often p-values reject a null that is true, by simulation.

    python tests/benchmarks/calibration.py [--draws 4000] [--seed 0]

Each draw is a sample of 64 pairs with true mean 0, given to the estimators as a measured experiment is.
± is one standard error of the simulation. A sign flip assumes effects that are symmetric about 0; lognormal
effects, though centred, are not, so that their rejection rates say what breaking the assumption costs.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from circuitgraph.stats import intervals, sign_flip_p
from circuitgraph.stats.intervals import Floats

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    print(f"{arguments.draws} draws of {PAIRS} pairs, true mean 0; shares in %, ± one standard error")
    print(f"{'data':24}{'95 % interval holds 0':>23}{'p ≤ 0.05':>14}{'p ≤ 0.01':>14}")
    for case in CASES:
        found = rates(case, arguments.draws, arguments.seed)
        shares = (found.covered, found.rejected_5, found.rejected_1)
        cells = [f"{100 * share:.1f} ± {100 * found.error(share):.1f}" for share in shares]
        note = "" if case.symmetric else "   not symmetric: sign flips do not apply"
        print(f"{case.name:24}{cells[0]:>23}{cells[1]:>14}{cells[2]:>14}{note}")


if __name__ == "__main__":
    main()

"""What a screening found: estimates of all experiments, and how well they ranked those that were measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from circuitgraph.results.tablefiles import read_whole, write_records
from circuitgraph.stats.ranks import kendall, overlap, spearman


@dataclass(frozen=True, slots=True)
class Estimated:
    """One experiment of a screening."""

    id: str
    label: str
    estimate: float
    """Mean over the prompts of the screening, in the metric's units."""
    rank: int
    """By |estimate|, from 1."""
    effect: float | None = None
    """What was measured, on other prompts; None = it was not."""


@dataclass(frozen=True)
class Screening:
    """Estimates of all experiments, largest first, and how those compare that were measured.

    `spearman` and `kendall` (tau-b) compare |estimate| with |effect| over the measured ones alone: the others were
    left out *because* of their estimates, so this says nothing of effects that were missed.
    """

    method: str
    metric: str
    screened_on: str
    """The prompts of the estimates, in words; those of the measurement are others."""
    measured_on: str
    measured: int
    spearman: float | None
    kendall: float | None
    same_sign: float
    """Share of measured experiments whose effect has the sign of the estimate."""
    top: Mapping[str, float]
    """k → share of the k largest estimates that are among the k largest effects."""
    rows: tuple[Estimated, ...]

    def __str__(self) -> str:
        tops = ", ".join(f"{100 * share:.0f} % of the top {k}" for k, share in self.top.items())
        ranks = "–" if self.spearman is None or self.kendall is None else f"{self.spearman:.2f}, {self.kendall:.2f}"
        return (
            f"screening: {self.method} estimated {len(self.rows):,} experiments on {self.screened_on}; the "
            f"{self.measured:,} largest were measured on {self.measured_on}\n"
            f"  of these: rank correlation of sizes (Spearman, Kendall) {ranks}; same sign "
            f"{100 * self.same_sign:.0f} %" + (f"; {tops}" if tops else "")
        )

    def write(self, path: Path) -> None:
        """Write it as Parquet: rows, and all else in the file's metadata.

        Raises:
            FileError: the file cannot be written; nothing is left behind.
        """
        about = asdict(self)
        del about["rows"]
        write_records(path, Estimated, self.rows, about)

    @classmethod
    def read(cls, path: Path) -> Screening:
        """What `write` wrote.

        Raises:
            FileError: missing or damaged.
        """
        return read_whole(path, Screening, Estimated)


def compare(
    method: str,
    metric: str,
    prompts: tuple[str, str],
    estimates: Sequence[tuple[str, str, float]],
    effects: Mapping[str, float],
) -> Screening:
    """Estimates (id, label, mean) of all experiments with the effects (by id) of those that were measured.

    Args:
        prompts: those of the estimates and those of the effects, in words.
    """
    ranked = sorted(estimates, key=lambda each: -abs(each[2]))
    rows = tuple(Estimated(id_, label, x, i, effects.get(id_)) for i, (id_, label, x) in enumerate(ranked, start=1))
    pairs = [(row.estimate, row.effect) for row in rows if row.effect is not None]
    guessed, found = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    sizes = np.abs(guessed), np.abs(found)
    return Screening(
        method=method,
        metric=metric,
        screened_on=prompts[0],
        measured_on=prompts[1],
        measured=len(pairs),
        spearman=spearman(*sizes),
        kendall=kendall(*sizes),
        same_sign=float((np.sign(guessed) == np.sign(found)).mean()) if pairs else 0.0,
        top={str(k): overlap(*sizes, k) for k in (10, 50, 100, 500) if k < len(pairs)},
        rows=rows,
    )

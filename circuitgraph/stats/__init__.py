"""Intervals, p-values and verdicts over prompt pairs. Numpy only."""

from circuitgraph.stats.intervals import Intervals, Normalized, cluster_warning, intervals, normalized, sample_warning
from circuitgraph.stats.significance import FLIPS, benjamini_hochberg, same_sign, sign_flip_p
from circuitgraph.stats.verdicts import Judgement, Region, Verdict, judge

__all__ = [
    "FLIPS",
    "Intervals",
    "Judgement",
    "Normalized",
    "Region",
    "Verdict",
    "benjamini_hochberg",
    "cluster_warning",
    "intervals",
    "judge",
    "normalized",
    "same_sign",
    "sample_warning",
    "sign_flip_p",
]

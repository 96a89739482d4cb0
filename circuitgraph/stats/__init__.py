"""Intervals over prompt pairs. Numpy only."""

from circuitgraph.stats.intervals import Intervals, Normalized, cluster_warning, intervals, normalized, sample_warning

__all__ = ["Intervals", "Normalized", "cluster_warning", "intervals", "normalized", "sample_warning"]

"""Runs held against each other: matched, subtracted, correlated. Numpy only: no torch."""

from circuitgraph.comparing.compare import compare_all, compare_two
from circuitgraph.comparing.records import (
    Agreement,
    Alone,
    By,
    Comparison,
    Comparisons,
    Correlation,
    Differs,
    Matched,
    Quantity,
)

__all__ = [
    "Agreement",
    "Alone",
    "By",
    "Comparison",
    "Comparisons",
    "Correlation",
    "Differs",
    "Matched",
    "Quantity",
    "compare_all",
    "compare_two",
]

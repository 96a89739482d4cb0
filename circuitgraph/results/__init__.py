"""What a run found and where it is kept. No torch; pandas and pyarrow on first use."""

from circuitgraph.results.directory import RunDirectory, check_place
from circuitgraph.results.judged import region_of, with_percentiles, with_verdicts
from circuitgraph.results.load import load_run
from circuitgraph.results.provenance import provenance
from circuitgraph.results.records import Measured, Row, RunResult
from circuitgraph.results.table import check_finite, stretched_warning, summarise

__all__ = [
    "Measured",
    "Row",
    "RunDirectory",
    "RunResult",
    "check_finite",
    "check_place",
    "load_run",
    "provenance",
    "region_of",
    "stretched_warning",
    "summarise",
    "with_percentiles",
    "with_verdicts",
]

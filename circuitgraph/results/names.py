"""What the files of a run directory are called, and how its run.json says what it is. A leaf."""

from __future__ import annotations

FORMAT = "circuitgraph run"
FORMAT_VERSION = 1
MANIFEST, SPEC, PARTS = "run.json", "spec.yaml", "parts"
EDGES, EFFECTS, BASELINE, DRAWING = "edges.parquet", "effects.parquet", "baseline.parquet", "circuit.svg"
ATTENTION, ATTRIBUTION = "attention.parquet", "attribution.parquet"
SCREENING, PLOTS = "screening.parquet", "plots"
PROMPTS = "prompts.jsonl"
EVALUATION = "evaluation.json"
LOCK = ".lock"
OWN = frozenset(
    {
        MANIFEST, SPEC, PARTS, EDGES, EFFECTS, BASELINE, DRAWING, ATTENTION, ATTRIBUTION, SCREENING, PLOTS, PROMPTS,
        EVALUATION, LOCK,
    }
)  # fmt: skip
"""All that a run directory can hold."""

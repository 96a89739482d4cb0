"""What a spec demands of its circuit, held against what was measured. Pure."""

from __future__ import annotations

from circuitgraph.results import region_of
from circuitgraph.results.evaluated import Expected, MetricScores
from circuitgraph.spec.model import CircuitExpectSpec
from circuitgraph.stats import judge


def judged(expect: CircuitExpectSpec | None, scores: MetricScores, pairs: int) -> tuple[Expected, ...]:
    """One verdict for each thing the spec demands."""
    if expect is None:
        return ()
    found: list[Expected] = []
    for what, demanded, share in (
        ("faithfulness", expect.faithfulness, scores.faithfulness),
        ("completeness", expect.completeness, scores.completeness),
    ):
        if demanded is not None:
            region = region_of(demanded)
            said = judge(region, share.value, share.low, share.high, pairs)
            found.append(Expected(what, str(region), said.verdict, said.pairs_needed))
    return tuple(found)

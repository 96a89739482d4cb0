"""RunResult -> what stands beside graph and table in a report, section by section. Pure but for reading a spec anew."""

from __future__ import annotations

from circuitgraph.reporting.sections.attended import attention_section
from circuitgraph.reporting.sections.attributed import attribution_section
from circuitgraph.reporting.sections.compared import baseline_section, estimates_section, screening_section
from circuitgraph.reporting.sections.evaluated import evaluation_section
from circuitgraph.reporting.sections.mapped import maps_section
from circuitgraph.reporting.sections.originated import origin_section
from circuitgraph.reporting.sections.planned import plan_section
from circuitgraph.reporting.sections.prompted import prompts_section
from circuitgraph.reporting.sections.section import Section
from circuitgraph.reporting.sections.written import spec_lines, spec_section
from circuitgraph.results.records import RunResult

_ALL = (
    estimates_section,
    evaluation_section,
    maps_section,
    attribution_section,
    attention_section,
    baseline_section,
    screening_section,
    prompts_section,
    plan_section,
    spec_section,
)
"""In the order of the page: what was found, then what it was found on and how; last, where it comes from."""


def sections(result: RunResult, *, prefix: str = "", name: str | None = None) -> tuple[Section, ...]:
    """The sections that a run has something for; ids of sections and spec lines begin with `prefix`.

    `name`: what the run is called among several, where its circuit's name may be that of others.

    Raises:
        FileError: the spec of a run that was just made cannot be read from its directory.
    """
    found = [section for make in _ALL if (section := make(result, prefix)) is not None]
    return (*found, origin_section(result, prefix, name))


__all__ = ["Section", "sections", "spec_lines"]

"""The attention section against the groups, the model's shape and the prompts. Pure: problems are noted."""

from __future__ import annotations

from collections.abc import Mapping

from circuitgraph.checks.needs import none_of_them
from circuitgraph.checks.places import Places
from circuitgraph.errors import AddressError
from circuitgraph.graph.findings import Findings
from circuitgraph.graph.reading import AttentionReading, heads_to_read
from circuitgraph.graph.references import References
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import Position, Sae, parse_position
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.spec.model import AttentionSection, BaseRun, CircuitSpec
from circuitgraph.spec.source import Loc


def attention_reading(
    spec: CircuitSpec,
    shape: ModelShape,
    places: Places,
    prompts: PromptSet | None,
    findings: Findings,
    saes: Mapping[str, Sae],
) -> AttentionReading | None:
    """What the attention section asks for; None without one, or while the prompts are not known as tokens."""
    section = spec.attention
    if section is None:
        return None
    heads = heads_to_read(section, References(spec.groups, shape, findings, saes), shape, findings)
    from_positions, to_positions = (_positions(section, side, places, prompts, findings) for side in ("from", "to"))
    if prompts is None:
        return None
    if section.run is BaseRun.CORRUPTED and not prompts.paired:
        message = f"run: corrupted needs corrupted prompts, and {none_of_them(prompts)}"
        findings.add(("attention", "run"), message)
    return AttentionReading(heads, from_positions, to_positions, section.run)


def _positions(
    section: AttentionSection, side: str, places: Places, prompts: PromptSet | None, findings: Findings
) -> tuple[Position, ...]:
    """The positions of one side, each once; those that all prompts have, in their order, if none are given."""
    texts = section.from_ if side == "from" else section.to
    if texts is None:
        return () if prompts is None else places.shared()
    return read_positions(texts, ("attention", side), places, findings)


def read_positions(texts: tuple[str, ...], loc: Loc, places: Places, findings: Findings) -> tuple[Position, ...]:
    """A list of positions of a section, each once; what is wrong with them is noted."""
    found: list[Position] = []
    for i, text in enumerate(texts):
        try:
            position = parse_position(text)
        except AddressError as error:  # a spec made in Python without validation; the loader has looked at the others
            findings.add((*loc, i), str(error))
            continue
        if problem := places.problem_with(position):
            findings.add((*loc, i), problem)
        found.append(position)
    return tuple(dict.fromkeys(found))

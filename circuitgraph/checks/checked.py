"""Spec file -> Checked, or one SpecError with everything that is wrong. No torch, no network, no weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from circuitgraph.checks import needs
from circuitgraph.checks.attention import attention_reading
from circuitgraph.checks.attribution import attribution_reading
from circuitgraph.checks.estimates import check_estimates, estimate_warning
from circuitgraph.checks.movement import Movement, Verdict
from circuitgraph.checks.overlaps import overlap_problem
from circuitgraph.checks.places import Places, entries_with_patterns, names_of, references
from circuitgraph.checks.saes import Saes, read_saes, unused_saes
from circuitgraph.errors import InputError, SpecError
from circuitgraph.graph.build import expand
from circuitgraph.graph.claims import CircuitGraph, Origin
from circuitgraph.graph.findings import Findings
from circuitgraph.graph.reading import AttentionReading, AttributionReading
from circuitgraph.graph.shape import ModelShape
from circuitgraph.models.locate import Location, locate
from circuitgraph.models.shape import bos_default, read_shape
from circuitgraph.nodes import EACH, Position
from circuitgraph.prompts.load import load_prompts
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.prompts.tokenizer import PromptTokenizer, load_tokenizer
from circuitgraph.showing import Shown
from circuitgraph.spec.loader import Reading, read_spec
from circuitgraph.spec.model import CircuitSpec, PromptsSpec
from circuitgraph.spec.overrides import Options
from circuitgraph.spec.source import Loc, SpecSource


@dataclass(frozen=True)
class Checked(Shown):
    """A spec with nothing wrong, and all that was found out on the way.

    `prompts` is None where they could not be read here, `path` and `source` where the spec is no file.
    `unchecked` says what could not be checked on this machine, `warnings` what is allowed but looks like a mistake.
    """

    path: Path | None
    spec: CircuitSpec
    source: SpecSource | None
    graph: CircuitGraph
    prompts: PromptSet | None
    shape: ModelShape
    location: Location
    unchecked: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    reference: PromptSet | None = None
    """The reference set of `mean` and `resample`."""
    each: tuple[Position, ...] | None = None
    """What `@each` stands for; None = not used, or not known here."""
    attention: AttentionReading | None = None
    """What the attention section asks for; None without one, or without `prompts`."""
    attribution: AttributionReading | None = None
    """The same of the attribution section."""
    saes: Saes = field(default_factory=Saes)
    """The sparse autoencoders."""


SpecLike = CircuitSpec | str | Path
"""A spec in memory, or the path of a spec file."""


def check(spec: SpecLike, overrides: Sequence[str] = (), options: Options | None = None) -> Checked:
    """Check a spec; a file after `overrides` such as `prompts.generator.n=32`.

    `options` are a command's own, for one section; they win over the spec and over `overrides`. Relative paths in a
    spec in memory are relative to its `directory`.

    Raises:
        SpecError: everything that is wrong: text, names, directions, prompts, positions.
        InputError: overrides were given for a spec in memory.
        FileError: the file cannot be read.
        ModelError: the model's config cannot be read.
    """
    if isinstance(spec, CircuitSpec):
        if overrides:
            raise InputError("overrides go with a file; use spec.model_copy(update=...) for a spec in memory")
        spec = spec if options is None else options.onto(spec)
        return _Check(spec.directory, Reading(spec, SpecSource(spec.name)), None).result()
    return _Check(Path(spec).parent, read_spec(spec, overrides, options), Path(spec)).result()


@dataclass
class _Check:
    """One check: each step notes its problems, and the steps that can go on do."""

    base_dir: Path
    reading: Reading
    path: Path | None
    unchecked: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._tokenizers: dict[Path, PromptTokenizer | None] = {}
        self.findings = Findings(self.reading.source if self.path else None, list(self.reading.problems))

    def result(self) -> Checked:
        spec = self.reading.spec
        checked = None if spec is None else self._run(spec)
        if self.findings.problems or checked is None:
            raise SpecError(str(self.path or self.reading.source.path), self.findings.problems)
        return checked

    def _run(self, spec: CircuitSpec) -> Checked | None:
        location = None if "model" in self.reading.unread else self._locate(spec)
        prompts = reference = names = None
        if location is not None and "prompts" not in self.reading.unread:
            prompts = self._prompts(spec.prompts, location, needs.PROMPTS)
            names = None if prompts else self._names(spec.prompts)
        if location is not None and spec.intervention.reference is not None:
            reference = self._prompts(spec.intervention.reference.prompts, location, needs.REFERENCE)
        places = Places(prompts, names)
        readers = self._readers(spec)
        self._check_positions(spec, places, readers)
        shape = None if location is None else self._shape(spec, location)
        if location is None or shape is None:
            return None
        each = self._each(spec, places)
        saes = read_saes(spec, shape, self.base_dir, self.findings)
        self.warnings += unused_saes(spec)
        graph, problems = expand(spec, shape, self.findings.source, each, saes.nodes)
        self.findings.problems += problems
        self._check_overlaps(graph, places)
        needs.check_alignment(graph, places, reference, self.findings)
        self.warnings += needs.unused_settings(spec, graph)
        if prompts is not None:
            self._check_prompts(spec, graph, prompts, reference)
        if readers:
            needs.check_expectations(spec, graph, self.findings)
            check_estimates(spec, graph, self.findings)
            self.warnings += filter(None, [estimate_warning(spec, graph)])
            if prompts is not None:
                needs.check_metrics(spec, prompts, self.findings)
            movement = Movement(shape, places, tuple(position for _, position in readers), prompts)
            self._check_movement(spec, graph, movement)
        attention = attention_reading(spec, shape, places, prompts, self.findings, saes.nodes)
        attribution = attribution_reading(spec, shape, places, prompts, self.findings) if readers else None
        found = tuple(dict.fromkeys(self.unchecked)), tuple(dict.fromkeys(self.warnings))
        return Checked(
            self.path,
            spec,
            self.findings.source,
            graph,
            prompts,
            shape,
            location,
            *found,
            reference=reference,
            each=each,
            attention=attention,
            attribution=attribution,
            saes=saes,
        )

    def _locate(self, spec: CircuitSpec) -> Location | None:
        try:
            return locate(spec.model, self.base_dir)
        except InputError as error:
            self.findings.add(("model", "name"), str(error))
            return None

    def _shape(self, spec: CircuitSpec, location: Location) -> ModelShape | None:
        declared = spec.model.shape
        if declared is not None and declared.kv_heads is not None and declared.heads % declared.kv_heads:
            message = f"{declared.heads} heads cannot share {declared.kv_heads} key/value heads evenly"
            self.findings.add(("model", "shape", "kv_heads"), message)
            return None
        try:
            shape = read_shape(location, declared)
        except InputError as error:
            self.findings.add(("model", "shape"), str(error))
            return None
        if shape is None:
            self.findings.add(
                ("model", "name"),
                f"the shape of '{location.name}' is not known here: there is no copy of it on this disk; "
                "declare it as model: {name: …, shape: {layers: …, heads: …}}",
            )
        return shape

    def _tokenizer(self, location: Location) -> PromptTokenizer | None:
        if location.path is not None and location.path not in self._tokenizers:
            self._tokenizers[location.path] = load_tokenizer(location.path)
        return None if location.path is None else self._tokenizers[location.path]

    def _prompts(self, spec: PromptsSpec, location: Location, at: Loc) -> PromptSet | None:
        loaded = load_prompts(
            spec,
            self._tokenizer(location),
            bos_default=bos_default(location),
            base_dir=self.base_dir,
            source=self.findings.source,
            at=at,
        )
        self.findings.problems += loaded.problems
        if loaded.unchecked and location.kind == "hub":
            self.unchecked.append(
                "prompts: token counts, answers and positions were not checked: "
                f"no tokenizer for {location.name} on this machine"
            )
        elif loaded.unchecked:
            needs, instead = "text", "write token ids"
            if spec.bos is True:
                needs, instead = "bos: true", "begin the ids with it, without bos:"
            self.findings.add(at, f"{needs} needs a tokenizer, and '{location.name}' has none; {instead}")
        return loaded.prompts

    def _names(self, spec: PromptsSpec) -> frozenset[str] | None:
        try:
            return names_of(spec)
        except (InputError, ValueError):
            return None

    def _readers(self, spec: CircuitSpec) -> list[tuple[Loc, Position]]:
        """Where the metrics are read; [] if they are not known."""
        if "metrics" in self.reading.unread:
            return []
        try:
            return list(needs.metric_positions(spec))
        except InputError as error:  # a spec made in Python; the loader has looked at those from files
            self.findings.add(("metrics",), str(error))
            return []

    def _each(self, spec: CircuitSpec, places: Places) -> tuple[Position, ...] | None:
        """The positions of `@each`; what cannot be said of them here is noted."""
        swept = [loc for loc, reference in references(spec) if EACH in (reference.position, reference.output)]
        for loc in swept:
            if loc[0] == "edges":
                self.findings.add(loc, "@each sweeps the entries of nodes:; an edge names its positions")
        if not any(loc[0] != "edges" for loc in swept):
            return None
        found = places.each()
        if found is None:
            self.unchecked.append("positions: @each stands for the tokens of the prompts, which could not be read here")
        elif any(position.name not in ("", "BOS") for position in found):
            names = ", ".join(map(str, found))
            self.warnings.append(f"prompts have different lengths: @each sweeps the positions that all name: {names}")
        return found

    def _check_positions(self, spec: CircuitSpec, places: Places, readers: list[tuple[Loc, Position]]) -> None:
        for loc, reference in references(spec):
            for position in (reference.position, reference.output):
                if position not in (None, EACH) and (problem := places.problem_with(position)):
                    self.findings.add(loc, problem)
        for loc, position in readers:
            if problem := places.problem_with(position):
                self.findings.add(loc, problem)

    def _check_prompts(
        self, spec: CircuitSpec, graph: CircuitGraph, prompts: PromptSet, reference: PromptSet | None
    ) -> None:
        needs.check_sources(spec.prompts, graph, prompts, self.findings)
        needs.check_size(spec.prompts, prompts, graph.shape, self.findings)
        settings = spec.intervention.reference
        if settings is not None and reference is not None:
            needs.check_size(settings.prompts, reference, graph.shape, self.findings, needs.REFERENCE)
            needs.check_reference(settings, graph, prompts, reference, self.findings)
        warnings = needs.identical_pairs(graph, prompts), needs.repeated_pairs(prompts)
        self.warnings += [warning for warning in warnings if warning is not None]

    def _check_overlaps(self, graph: CircuitGraph, places: Places) -> None:
        """Joint ends at one token are a problem, once for each entry."""
        problems: dict[Origin, str] = {}
        for claim in graph.claims:
            if problem := overlap_problem(claim, graph.shape, places):
                problems.setdefault(claim.origin, problem)
        for origin, problem in problems.items():
            self.findings.add_at(origin, problem)

    def _check_movement(self, spec: CircuitSpec, graph: CircuitGraph, movement: Movement) -> None:
        """A claim that is zero by construction is a problem; where a pattern made it among others, a warning."""
        written = Counter(claim.origin for claim in graph.claims)
        patterned = entries_with_patterns(spec)
        found: dict[tuple[Origin, Verdict], list[str]] = {}
        unknown = 0
        for claim in graph.claims:
            remarks = list(movement.remarks(claim))
            unknown += any(remark.verdict is Verdict.UNKNOWN for remark in remarks)
            for remark in remarks:
                if remark.verdict is not Verdict.UNKNOWN:
                    found.setdefault((claim.origin, remark.verdict), []).append(remark.message)
        for (origin, verdict), messages in found.items():
            message = messages[0] + (f" (and {len(messages) - 1} more in this entry)" if len(messages) > 1 else "")
            among_others = origin.entry in patterned and len(messages) < written[origin]
            if verdict is Verdict.ZERO and not among_others:
                self.findings.add_at(origin, message)
            else:
                self.warnings.append(f"{f'line {origin.line}' if origin.line else origin.entry}: {message}")
        if unknown and movement.prompts is None and self.unchecked:
            self.unchecked.append(
                f"positions: for {unknown} experiments it depends on the prompts whether their positions can meet"
            )

"""The pydantic mirror of a spec file: what may be written, with defaults. No file access here.

Plugin sections (a metric, a prompt generator) keep their own keys; `circuitgraph.catalog`
knows the parameter model of each name, and the loader checks the keys against it. `kinds` and
`inputs` hold parts of it; everything can be imported from here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from circuitgraph.nodes import SAE_NAME
from circuitgraph.showing import Shown
from circuitgraph.spec.aims import (
    AttentionSection,
    AttributionOf,
    AttributionSection,
    BaselineSpec,
    CircuitSection,
    DiscoverSection,
    DiscoveryMethod,
    EstimateMethod,
    EstimateSection,
    Of,
    RandomSpec,
    Unit,
)
from circuitgraph.spec.expect import CircuitExpectSpec, Expect, ExpectSpec
from circuitgraph.spec.inputs import ModelSpec, PairSpec, PromptsSpec, ReferenceSpec, ShapeSpec
from circuitgraph.spec.kinds import (
    Align,
    BaseRun,
    Count,
    Flag,
    GeneratorSpec,
    Integer,
    Join,
    MetricSpec,
    NodeText,
    NodeTexts,
    PathKind,
    PluginSpec,
    ReceiverMode,
    Section,
    SourceKind,
    as_plugin,
)
from circuitgraph.spec.saes import SaeKind, SaeSpec
from circuitgraph.spec.whole import ALL, AllSpec, ReceiverKind, SenderKind, as_edge, as_edges

FORMAT_VERSION = 1

__all__ = [
    "ALL", "FORMAT_VERSION", "Align", "AllSpec", "AttentionSection", "AttributionOf", "AttributionSection", "BaseRun",
    "BaselineSpec", "CircuitExpectSpec", "CircuitSection", "CircuitSpec", "DiscoverSection", "DiscoveryMethod",
    "EdgeSpec", "EstimateMethod", "EstimateSection", "ExpectSpec", "GeneratorSpec", "GroupSpec", "InterventionSpec",
    "Join", "MetricSpec", "ModelSpec", "NodeSpec", "NodeText", "NodeTexts", "Of", "Overrides", "PairOfEnds",
    "PairSpec", "PathKind", "PluginSpec", "PromptsSpec", "RandomSpec", "ReceiverKind", "ReceiverMode",
    "ReferenceSpec", "SaeKind", "SaeSpec", "Section", "SenderKind", "ShapeSpec", "SourceKind", "Unit",
]  # fmt: skip


class InterventionSpec(Section):
    """The defaults of every experiment; an edge or a node may override each key."""

    noun: ClassVar[str] = "intervention"

    path: PathKind = PathKind.DIRECT
    """What carries the change: the residual stream alone, or MLPs on the way too."""
    base: BaseRun = BaseRun.CLEAN
    """The run that is patched."""
    source: SourceKind = SourceKind.COUNTERFACTUAL
    """Where the patched-in value comes from."""
    receivers: ReceiverMode = ReceiverMode.OVERWRITE
    """For joined receivers: write over what was recorded, or add."""
    reference: ReferenceSpec | None = None
    """The reference set of `mean` and `resample`."""
    draws: Count = 1
    """How often `resample` is drawn."""
    seed: Integer = 0
    """Seeds `resample` and the bootstrap."""


class Overrides(Section):
    """What one entry may change about the intervention."""

    label: str | None = None
    """What tables and pictures call the entry."""
    path: PathKind | None = None
    """As in `intervention`."""
    base: BaseRun | None = None
    """As in `intervention`."""
    source: SourceKind | None = None
    """As in `intervention`."""
    receivers: ReceiverMode | None = None
    """As in `intervention`."""
    expect: Expect | None = None
    """What `circuitgraph test` demands of each experiment of the entry."""


class PairOfEnds(Section):
    """One edge inside a `set:`."""

    noun: ClassVar[str] = "an edge of a set"

    sender: NodeText
    """One node."""
    receiver: NodeText
    """One node and port."""


class EdgeSpec(Overrides):
    """An entry of `edges:`: sender and receiver, or a chain, or a set, or all edges of the model."""

    noun: ClassVar[str] = "an edge"

    sender: NodeTexts | None = None
    """Whose output is replaced: nodes, patterns or groups."""
    receiver: NodeTexts | None = None
    """Whose input the change reaches, with ports."""
    join: Join = Join.NONE
    """Which of several senders and receivers share one experiment; otherwise each pair is its own."""
    chain: Annotated[tuple[NodeText, ...], Field(min_length=2)] | None = None
    """A list of nodes: each hop is isolated in turn."""
    set: Annotated[tuple[PairOfEnds, ...], Field(min_length=1)] | None = None
    """A set of edges patched together, as `add`."""
    all: AllSpec | None = None
    """Every edge of the model, each its own experiment; `edges: all` is short for `edges: [{all: {}}]`."""

    @model_validator(mode="after")
    def _one_form(self) -> EdgeSpec:
        ends = self.sender is not None or self.receiver is not None
        forms = [ends, self.chain is not None, self.set is not None, self.all is not None]
        if sum(forms) != 1:
            raise ValueError("an edge is either sender and receiver, or chain: [...], or set: [...], or all: {...}")
        if forms[0] and (self.sender is None or self.receiver is None):
            raise ValueError(f"'{'receiver' if self.receiver is None else 'sender'}' is missing")
        return self


def _as_node_entry(value: Any) -> Any:
    return {"node": value} if isinstance(value, str | float | int) else value


class NodeSpec(Overrides):
    """An entry of `nodes:`: activation patching or ablation of a node (or of several jointly)."""

    noun: ClassVar[str] = "a nodes entry"

    node: NodeTexts
    """Which nodes are replaced."""
    join: Literal[Join.NONE, Join.SENDERS] = Join.NONE
    """`senders`: all of them in one experiment."""
    prune: Flag = False
    """Set their weights to zero: a head's slice of W_O, an MLP's W_out. Instead of a source."""


class GroupSpec(Section):
    """A named set of nodes, drawn together."""

    noun: ClassVar[str] = "a group"

    nodes: NodeTexts
    """The members: nodes, patterns, or other groups."""
    label: str | None = None
    """What pictures call the group."""
    note: str | None = None
    """A remark that pictures show when pointed at."""


def _as_group(value: Any) -> Any:
    if value is None:
        raise ValueError("this group is empty; write its nodes, for example [a3.h0, a3.h2]")
    return {"nodes": value} if isinstance(value, str | float | int | list | tuple) else value


def _as_model(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _version(value: Any) -> Any:
    if value != FORMAT_VERSION or isinstance(value, bool):
        if value == str(FORMAT_VERSION):
            raise ValueError(f"the version is a number: write version: {FORMAT_VERSION} without quotes")
        raise ValueError(f"version {value} is not read; this circuitgraph reads version {FORMAT_VERSION}")
    return FORMAT_VERSION


class CircuitSpec(Shown, Section):
    """A hypothesised circuit: model, prompts, metrics, groups and the edges to measure."""

    noun: ClassVar[str] = "a spec"

    version: Annotated[Literal[1], BeforeValidator(_version)]
    """The version of this format: 1."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
    """Letters, digits, `.`, `_` and `-`; the run directory is called like it."""
    description: str | None = None
    """One line for tables and pictures."""
    model: Annotated[ModelSpec, BeforeValidator(_as_model, json_schema_input_type=str | ModelSpec)]
    """The model: a name alone, or its section."""
    prompts: PromptsSpec
    """The prompt pairs."""
    metrics: Annotated[
        tuple[Annotated[MetricSpec, BeforeValidator(as_plugin, json_schema_input_type=str | MetricSpec)], ...],
        Field(min_length=1),
    ]
    """What is measured; the first is primary: it ranks the table and is drawn."""
    intervention: InterventionSpec = InterventionSpec()
    """The defaults of every experiment."""
    saes: dict[Annotated[str, Field(pattern=rf"^{SAE_NAME}$", max_length=80)], SaeSpec] = Field(default_factory=dict)
    """Sparse autoencoders by name, whose features are nodes: `sae.NAME.f17`, `sae.NAME.error`."""
    groups: dict[
        str, Annotated[GroupSpec, BeforeValidator(_as_group, json_schema_input_type=NodeTexts | GroupSpec)]
    ] = Field(default_factory=dict)
    """Group name → its nodes."""
    edges: Annotated[
        tuple[Annotated[EdgeSpec, BeforeValidator(as_edge, json_schema_input_type=Literal["all"] | EdgeSpec)], ...],
        BeforeValidator(as_edges, json_schema_input_type=Literal["all"] | list[Literal["all"] | EdgeSpec]),
    ] = ()
    """The edges to measure; `all` for every edge of the model."""
    nodes: tuple[Annotated[NodeSpec, BeforeValidator(_as_node_entry, json_schema_input_type=str | NodeSpec)], ...] = ()
    """The nodes to patch by themselves."""

    circuit: CircuitSection = CircuitSection()
    """The edges as one circuit: what `evaluate` measures."""
    baseline: BaselineSpec | None = None
    """Random edges beside each hypothesised one."""
    attention: AttentionSection | None = None
    """What heads attend to: what `attention` prints."""
    attribution: AttributionSection | None = None
    """What each component writes towards the metric: what `attribution` prints."""
    estimate: EstimateSection | None = None
    """Estimate effects instead of measuring them."""
    discover: DiscoverSection | None = None
    """How to look for edges or nodes: what `discover` does."""

    _directory: Path = PrivateAttr(default=Path())

    @property
    def directory(self) -> Path:
        """What relative paths in the spec are relative to: its file's directory, or the working directory."""
        return self._directory

    def in_directory(self, directory: Path) -> CircuitSpec:
        """The same spec with its relative paths taken from `directory`."""
        copy = self.model_copy()
        copy._directory = directory
        return copy

    @model_validator(mode="before")
    @classmethod
    def _single_metric(cls, data: Any) -> Any:
        """`metric: {...}` is short for `metrics: [{...}]`."""
        if isinstance(data, dict) and "metric" in data:
            if "metrics" in data:
                raise ValueError("give metric or metrics, not both")
            data = {**data, "metrics": [data["metric"]]}
            del data["metric"]
        return data

    @model_validator(mode="after")
    def _something_to_measure(self) -> CircuitSpec:
        others = (self.attention, self.attribution, self.discover)
        if not self.edges and not self.nodes and all(section is None for section in others):
            raise ValueError("nothing to measure: give edges, nodes or both (or attention, attribution, or discover)")
        return self

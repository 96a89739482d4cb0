"""The sections of a spec beside `edges` and `nodes`: the circuit as a whole, baseline, readouts, discovery."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from circuitgraph.catalog.metric_params import PositionText
from circuitgraph.spec.expect import CircuitExpectSpec
from circuitgraph.spec.kinds import (
    BaseRun,
    Count,
    Flag,
    Integer,
    NodeText,
    NodeTexts,
    Number,
    Section,
    SourceKind,
    as_list,
)

PositionTexts = Annotated[
    tuple[PositionText, ...],
    Field(min_length=1),
    BeforeValidator(as_list, json_schema_input_type=PositionText | Annotated[list[PositionText], Field(min_length=1)]),
]
"""One position or a list of them."""

KeptTexts = Annotated[tuple[NodeText, ...], BeforeValidator(as_list, json_schema_input_type=NodeText | list[NodeText])]
"""One node text, or a list of them that may be empty."""


class Of(StrEnum):
    """What a circuit is made of."""

    EDGES = "edges"
    NODES = "nodes"


class DiscoveryMethod(StrEnum):
    """How a circuit is looked for."""

    EFFECTS = "effects"
    ACDC = "acdc"


class RandomSpec(Section):
    """Random circuits that the hypothesis is compared with."""

    noun: ClassVar[str] = "circuit.random"

    circuits: Annotated[Integer, Field(ge=0)] = 20
    """How many: each with as many edges (or nodes) of each kind as the hypothesis."""
    seed: Integer = 0
    """Seeds the draw."""


class CircuitSection(Section):
    """The hypothesis as a whole, for `evaluate`: what is outside carries the source, what is inside stays."""

    noun: ClassVar[str] = "circuit"

    of: Of = Of.EDGES
    """Edges, or whole nodes (as in the IOI paper): the senders of the edges, at their positions."""
    base: BaseRun | None = None
    """As in `intervention`."""
    source: SourceKind | None = None
    """As in `intervention`."""
    keep: KeptTexts = ()
    """Of nodes: what is never knocked out, such as `[input, "m*"]`."""
    random: RandomSpec = RandomSpec()
    """Random circuits to compare with."""
    expect: CircuitExpectSpec | None = None
    """What `circuitgraph test` demands of the circuit."""


class BaselineSpec(Section):
    """Random edges of the same kind as each hypothesised edge, measured beside it."""

    noun: ClassVar[str] = "baseline"

    edges: Count = 100
    """How many of each kind, at most: where there are fewer, all of them."""
    seed: Integer = 0
    """Seeds the draw."""


class AttentionSection(Section):
    """What `circuitgraph attention` reads: mean attention weights between named positions."""

    noun: ClassVar[str] = "attention"

    heads: NodeTexts | None = None
    """Heads, layers, patterns or groups; the heads of all groups if not given."""
    from_: Annotated[PositionTexts | None, Field(alias="from")] = None
    """Positions that attend; all named ones if not given."""
    to: PositionTexts | None = None
    """Positions that are attended to; all named ones if not given."""
    run: BaseRun = BaseRun.CLEAN
    """Whose attention: of the clean or of the corrupted prompts."""


class Unit(StrEnum):
    """What a metric is taken apart into."""

    COMPONENT = "component"
    HEAD = "head"
    NEURON = "neuron"


class AttributionOf(StrEnum):
    """Whose metric is taken apart."""

    CLEAN = "clean"
    CORRUPTED = "corrupted"
    DIFFERENCE = "difference"


class AttributionSection(Section):
    """What `circuitgraph attribution` takes apart: the metric, into what each component writes towards it."""

    noun: ClassVar[str] = "attribution"

    unit: Unit = Unit.HEAD
    """`component`: whole layers; `head`: heads and whole MLPs; `neuron`: heads and neurons."""
    of: AttributionOf = AttributionOf.CLEAN
    """The clean or the corrupted run, or the difference clean − corrupted, each with its own scale of the norm."""
    at: PositionTexts | None = None
    """Positions at which it is read, each by itself; where the metric is read if not given."""
    tokens: Flag = False
    """Split each head further, by the token that it attended to: named positions, and all others together."""

    @model_validator(mode="after")
    def _tokens_split_heads(self) -> AttributionSection:
        if self.tokens and self.unit is Unit.COMPONENT:
            raise ValueError("tokens splits heads: write unit: head (or neuron)")
        return self


class EstimateMethod(StrEnum):
    """How effects are estimated from gradients."""

    EAP = "eap"
    EAP_IG_INPUTS = "eap-ig-inputs"
    EAP_IG_ACTIVATIONS = "eap-ig-activations"
    EAP_IG_EDGES = "eap-ig-edges"
    ATP = "atp"


class EstimateSection(Section):
    """Effects are estimated from gradients, not measured: fast, and wrong where the model is not linear."""

    noun: ClassVar[str] = "estimate"

    method: EstimateMethod = EstimateMethod.EAP
    """`eap` (edges and nodes), `atp` (nodes): gradients of the base run. `eap-ig-inputs`, `eap-ig-activations`,
    `eap-ig-edges`: averaged over runs on the way to the source: of the input, of what senders' layers give, of each
    experiment's own change."""
    steps: Count = 5
    """Runs on the way, for the `eap-ig` methods."""


class DiscoverSection(Section):
    """What `circuitgraph discover` looks for, and how."""

    noun: ClassVar[str] = "discover"

    of: Of = Of.EDGES
    """Edges, or whole nodes."""
    method: DiscoveryMethod = DiscoveryMethod.EFFECTS
    """`effects` ranks each by its exact effect; `acdc` prunes, from the logits down, what changes the metric little."""
    threshold: Annotated[Number, Field(ge=0)] = 0.0
    """`effects`: the |effect| that is exceeded by what is kept; `acdc`: τ, the change that removes an edge."""
    most: Count | None = None
    """`effects`: keep at most so many, the largest."""

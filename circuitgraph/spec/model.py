"""The pydantic mirror of a spec file: what may be written, with defaults. No file access here.

Plugin sections (a metric, a prompt generator) keep their own keys; `circuitgraph.catalog`
knows the parameter model of each name, and the loader checks the keys against it.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, Strict, model_validator

FORMAT_VERSION = 1


class PathKind(StrEnum):
    """What carries the sender's change to the receiver (DESIGN: direct path)."""

    DIRECT = "direct"
    THROUGH_MLPS = "through-mlps"


class BaseRun(StrEnum):
    """Which prompt of the pair is patched: clean (noising) or corrupted (denoising)."""

    CLEAN = "clean"
    CORRUPTED = "corrupted"


class SourceKind(StrEnum):
    """Where the patched-in value comes from."""

    COUNTERFACTUAL = "counterfactual"
    MEAN = "mean"
    ZERO = "zero"
    RESAMPLE = "resample"


class Join(StrEnum):
    """Which members of groups take part in one experiment together."""

    NONE = "none"
    SENDERS = "senders"
    RECEIVERS = "receivers"
    BOTH = "both"


class ReceiverMode(StrEnum):
    """How joined receivers get their values: recorded and written over, or added to (DESIGN §3)."""

    OVERWRITE = "overwrite"
    ADD = "add"


class Align(StrEnum):
    """How reference activations are matched to the tokens of a prompt."""

    POSITION = "position"
    NAME = "name"
    POOLED = "pooled"


def _number_for_a_node(raw: str, number: str) -> str:
    """Why `raw` without quotes is no node; `number` is what YAML makes of it."""
    layer, _, head = raw.partition(".")
    if not (layer.isdecimal() and head.isdecimal()):
        return f"{raw} is a number, not a node"
    lost = f"the number {number} in YAML, and would name another head" if number != raw else "a number in YAML"
    return f'{raw} without quotes is {lost}; write "{raw}" in quotes, or a{layer}.h{head}'


def _node_text(value: Any) -> Any:
    """Refuse what YAML made of an unquoted node, naming what was lost."""
    if value is None:
        raise ValueError("a node is needed here")
    if isinstance(value, bool):
        raise ValueError("a node is needed here, this is a boolean; quote the node")
    if isinstance(value, float):
        raise ValueError(_number_for_a_node(getattr(value, "raw", repr(value)), f"{value:g}"))
    if isinstance(value, int):
        raise ValueError(
            f"{value} is a number, not a node; MLP {value} is m{value}, attention layer {value} is a{value}"
        )
    return value


NodeText = Annotated[str, BeforeValidator(_node_text), Field(min_length=1)]
"""A node, a pattern or a group, with ports and position: `"9.6"`, `a*.h*`, `movers<q>@END`."""


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


NodeTexts = Annotated[
    tuple[NodeText, ...],
    Field(min_length=1),
    BeforeValidator(_as_list, json_schema_input_type=NodeText | Annotated[list[NodeText], Field(min_length=1)]),
]
"""One node text or a list of them."""

Count = Annotated[int, Strict(), Field(ge=1)]
Integer = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]
Token = str | Integer
"""Text that is one token, or a token id."""


class Section(BaseModel):
    """Base of every section: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    noun: ClassVar[str] = "a section"
    """What messages call this section."""


class PluginSpec(BaseModel):
    """A section whose keys belong to a plugin: `name` selects it, the rest are its parameters."""

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)

    noun: ClassVar[str] = "a plugin"

    name: str

    @property
    def parameters(self) -> dict[str, Any]:
        """The plugin's own keys."""
        return dict(self.model_extra or {})


class MetricSpec(PluginSpec):
    """A metric: `name`, the position `at` which it is read, a `label`, and the metric's own keys."""

    noun: ClassVar[str] = "a metric"


class GeneratorSpec(PluginSpec):
    """A prompt generator: `name` and the generator's own keys."""

    noun: ClassVar[str] = "a generator"


def _as_plugin(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class ShapeSpec(Section):
    """The shape of a model whose files are not at hand, so that plans can be made without it."""

    noun: ClassVar[str] = "model.shape"

    layers: Count
    heads: Count
    kv_heads: Count | None = None
    d_model: Count | None = None
    d_head: Count | None = None
    d_mlp: Count | None = None
    vocab: Count | None = None
    context: Count | None = None
    mlps: Flag = True
    parallel: Flag = False
    causal: Flag = True
    post_norm: Flag = False


class ModelSpec(Section):
    """Which model: a bundled name, a hub id, or a directory relative to the spec."""

    noun: ClassVar[str] = "model"

    name: str
    revision: str | None = None
    dtype: Literal["float32", "float64", "bfloat16", "float16"] = "float32"
    device: str = "auto"
    shape: ShapeSpec | None = None


class PairSpec(Section):
    """One prompt pair; token ids where the model has no tokenizer."""

    noun: ClassVar[str] = "a prompt pair"

    clean: str | tuple[Integer, ...]
    corrupted: str | tuple[Integer, ...] | None = None
    answers: tuple[Token, ...] = ()
    wrong_answers: tuple[Token, ...] = ()
    positions: dict[str, Integer] = Field(default_factory=dict)
    cluster: Token | None = None


class PromptsSpec(Section):
    """Where the prompt pairs come from: exactly one of generator, file, pairs."""

    noun: ClassVar[str] = "prompts"

    generator: (
        Annotated[GeneratorSpec, BeforeValidator(_as_plugin, json_schema_input_type=str | GeneratorSpec)] | None
    ) = None
    file: str | None = None
    pairs: tuple[PairSpec, ...] | None = None
    bos: Literal["auto"] | Flag = "auto"

    @model_validator(mode="after")
    def _one_origin(self) -> PromptsSpec:
        given = [name for name in ("generator", "file", "pairs") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of generator, file, pairs (given: {', '.join(given) or 'none'})")
        return self


class ReferenceSpec(Section):
    """The reference set of the sources `mean` and `resample`."""

    noun: ClassVar[str] = "reference"

    prompts: PromptsSpec
    side: BaseRun = BaseRun.CLEAN
    align: Align = Align.POSITION


class InterventionSpec(Section):
    """The defaults of every experiment; an edge or a node may override each key."""

    noun: ClassVar[str] = "intervention"

    path: PathKind = PathKind.DIRECT
    base: BaseRun = BaseRun.CLEAN
    source: SourceKind = SourceKind.COUNTERFACTUAL
    receivers: ReceiverMode = ReceiverMode.OVERWRITE
    reference: ReferenceSpec | None = None
    draws: Count = 1
    seed: Integer = 0


class Overrides(Section):
    """What one entry may change about the intervention."""

    label: str | None = None
    path: PathKind | None = None
    base: BaseRun | None = None
    source: SourceKind | None = None
    receivers: ReceiverMode | None = None


class PairOfEnds(Section):
    """One edge inside a `set:`."""

    noun: ClassVar[str] = "an edge of a set"

    sender: NodeText
    receiver: NodeText


class EdgeSpec(Overrides):
    """An entry of `edges:`: sender and receiver, or a chain, or a set."""

    noun: ClassVar[str] = "an edge"

    sender: NodeTexts | None = None
    receiver: NodeTexts | None = None
    join: Join = Join.NONE
    chain: Annotated[tuple[NodeText, ...], Field(min_length=2)] | None = None
    set: Annotated[tuple[PairOfEnds, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> EdgeSpec:
        forms = [self.sender is not None or self.receiver is not None, self.chain is not None, self.set is not None]
        if sum(forms) != 1:
            raise ValueError("an edge is either sender and receiver, or chain: [...], or set: [...]")
        if forms[0] and (self.sender is None or self.receiver is None):
            raise ValueError(f"'{'receiver' if self.receiver is None else 'sender'}' is missing")
        return self


def _as_node_entry(value: Any) -> Any:
    return {"node": value} if isinstance(value, str | float | int) else value


class NodeSpec(Overrides):
    """An entry of `nodes:`: activation patching or ablation of a node (or of several jointly)."""

    noun: ClassVar[str] = "a nodes entry"

    node: NodeTexts
    join: Literal[Join.NONE, Join.SENDERS] = Join.NONE


class GroupSpec(Section):
    """A named set of nodes, drawn together."""

    noun: ClassVar[str] = "a group"

    nodes: NodeTexts
    label: str | None = None
    note: str | None = None


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


class CircuitSpec(Section):
    """A hypothesised circuit: model, prompts, metrics, groups and the edges to measure."""

    noun: ClassVar[str] = "a spec"

    version: Annotated[Literal[1], BeforeValidator(_version)]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
    description: str | None = None
    model: Annotated[ModelSpec, BeforeValidator(_as_model, json_schema_input_type=str | ModelSpec)]
    prompts: PromptsSpec
    metrics: Annotated[
        tuple[Annotated[MetricSpec, BeforeValidator(_as_plugin, json_schema_input_type=str | MetricSpec)], ...],
        Field(min_length=1),
    ]
    intervention: InterventionSpec = InterventionSpec()
    groups: dict[
        str, Annotated[GroupSpec, BeforeValidator(_as_group, json_schema_input_type=NodeTexts | GroupSpec)]
    ] = Field(default_factory=dict)
    edges: tuple[EdgeSpec, ...] = ()
    nodes: tuple[Annotated[NodeSpec, BeforeValidator(_as_node_entry, json_schema_input_type=str | NodeSpec)], ...] = ()

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
        if not self.edges and not self.nodes:
            raise ValueError("nothing to measure: give edges, nodes or both")
        return self

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
    """What carries the sender's change to the receiver (docs/definitions.md)."""

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
    """How joined receivers get their values: recorded and written over, or added to (docs/definitions.md)."""

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
    """Number of blocks."""
    heads: Count
    """Query heads of each block."""
    kv_heads: Count | None = None
    """Key and value heads of each block; as many as `heads` if not given."""
    d_model: Count | None = None
    """Width of the residual stream."""
    d_head: Count | None = None
    """Width of a head."""
    d_mlp: Count | None = None
    """Neurons of an MLP; needed where neurons are named."""
    vocab: Count | None = None
    """Number of tokens."""
    context: Count | None = None
    """Most tokens of a prompt."""
    mlps: Flag = True
    """Whether blocks have an MLP."""
    parallel: Flag = False
    """Whether attention and MLP of a block read the same residual stream (GPT-NeoX)."""
    causal: Flag = True
    """Whether a token sees only those before it."""
    post_norm: Flag = False
    """Whether outputs are normalised before they are added to the residual stream (Gemma 2)."""


class ModelSpec(Section):
    """Which model: a bundled name, a hub id, or a directory relative to the spec."""

    noun: ClassVar[str] = "model"

    name: str
    """A bundled name, a directory, or a hub id such as `organisation/name`."""
    revision: str | None = None
    """Branch, tag or commit of a hub model."""
    dtype: Literal["float32", "float64", "bfloat16", "float16"] = "float32"
    """What weights and activations are held in."""
    device: str = "auto"
    """`auto` (CUDA if there, else CPU), or a name that PyTorch knows, such as `cuda:1`."""
    shape: ShapeSpec | None = None
    """The model's shape, where its config.json is not at hand."""


class PairSpec(Section):
    """One prompt pair; token ids where the model has no tokenizer."""

    noun: ClassVar[str] = "a prompt pair"

    clean: str | tuple[Integer, ...]
    """The clean prompt: text, or token ids."""
    corrupted: str | tuple[Integer, ...] | None = None
    """The corrupted prompt: as many tokens as the clean one. Not needed where no source is the counterfactual."""
    answers: tuple[Token, ...] = ()
    """Right answers: text that is one token, spaces included, or token ids."""
    wrong_answers: tuple[Token, ...] = ()
    """Wrong answers, in the same way."""
    positions: dict[str, Integer] = Field(default_factory=dict)
    """Name → index of a token of the prompt as written (BOS not counted), negative from the end."""
    cluster: Token | None = None
    """Pairs that share a template or are twins share a cluster; intervals respect it."""


class PromptsSpec(Section):
    """Where the prompt pairs come from: exactly one of generator, file, pairs."""

    noun: ClassVar[str] = "prompts"

    generator: (
        Annotated[GeneratorSpec, BeforeValidator(_as_plugin, json_schema_input_type=str | GeneratorSpec)] | None
    ) = None
    """A generator by name with its keys."""
    file: str | None = None
    """A `.jsonl` or `.csv` file, relative to the spec."""
    pairs: tuple[PairSpec, ...] | None = None
    """The pairs themselves."""
    bos: Literal["auto"] | Flag = "auto"
    """Whether a BOS token is put before each prompt; `auto` does what the model family does."""

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
    """Where the reference prompts come from; as `prompts` of the spec."""
    side: BaseRun = BaseRun.CLEAN
    """Which prompt of each reference pair is used."""
    align: Align = Align.POSITION
    """Match by position (prompts of one length), by position name, or pool all positions."""


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


class PairOfEnds(Section):
    """One edge inside a `set:`."""

    noun: ClassVar[str] = "an edge of a set"

    sender: NodeText
    """One node."""
    receiver: NodeText
    """One node and port."""


class EdgeSpec(Overrides):
    """An entry of `edges:`: sender and receiver, or a chain, or a set."""

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
    """Which nodes are replaced."""
    join: Literal[Join.NONE, Join.SENDERS] = Join.NONE
    """`senders`: all of them in one experiment."""


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


class CircuitSpec(Section):
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
        tuple[Annotated[MetricSpec, BeforeValidator(_as_plugin, json_schema_input_type=str | MetricSpec)], ...],
        Field(min_length=1),
    ]
    """What is measured; the first is primary: it ranks the table and is drawn."""
    intervention: InterventionSpec = InterventionSpec()
    """The defaults of every experiment."""
    groups: dict[
        str, Annotated[GroupSpec, BeforeValidator(_as_group, json_schema_input_type=NodeTexts | GroupSpec)]
    ] = Field(default_factory=dict)
    """Group name → its nodes."""
    edges: tuple[EdgeSpec, ...] = ()
    """The edges to measure."""
    nodes: tuple[Annotated[NodeSpec, BeforeValidator(_as_node_entry, json_schema_input_type=str | NodeSpec)], ...] = ()
    """The nodes to patch by themselves."""

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

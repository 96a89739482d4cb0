"""The sections of a spec that say what is measured on: the model and the prompt pairs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from circuitgraph.spec.kinds import Align, BaseRun, Count, Flag, GeneratorSpec, Integer, Section, Token, as_plugin


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
        Annotated[GeneratorSpec, BeforeValidator(as_plugin, json_schema_input_type=str | GeneratorSpec)] | None
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

    def __hash__(self) -> int:
        # Prompts hold mappings, which have no hash; equal references are equal in the rest too.
        return hash((self.side, self.align))

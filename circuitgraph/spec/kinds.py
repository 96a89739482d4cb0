"""The vocabulary of a spec: its switches, its kinds of text, and the base of its sections."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict


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
    """Refuse an empty text, and what YAML made of an unquoted node, naming what was lost."""
    if isinstance(value, str) and not value.strip():
        raise ValueError("this is empty; a node is needed here, such as a9.h6<q>@END")
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


def as_list(value: Any) -> Any:
    """One value is short for a list of it."""
    return value if isinstance(value, list | tuple) else [value]


NodeTexts = Annotated[
    tuple[NodeText, ...],
    Field(min_length=1),
    BeforeValidator(as_list, json_schema_input_type=NodeText | Annotated[list[NodeText], Field(min_length=1)]),
]
"""One node text or a list of them."""

Count = Annotated[int, Strict(), Field(ge=1)]
Integer = Annotated[int, Strict()]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
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


def as_plugin(value: Any) -> Any:
    """A bare name is short for a section with that name alone."""
    return {"name": value} if isinstance(value, str) else value

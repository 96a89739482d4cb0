"""`edges: all`: every edge of a model, or those between some kinds of nodes, layers and ports."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from circuitgraph.catalog.metric_params import PositionText
from circuitgraph.spec.kinds import Section, as_list

ALL = "all"
"""Stands alone for the section: `edges: all`."""
_RANGE = re.compile(r"([0-9]{1,4})-([0-9]{1,4})", re.ASCII)


class SenderKind(StrEnum):
    """The kinds of nodes that write to the residual stream, in the order in which they do first."""

    INPUT = "input"
    HEADS = "heads"
    MLPS = "mlps"


class ReceiverKind(StrEnum):
    """The kinds of nodes that read it."""

    HEADS = "heads"
    MLPS = "mlps"
    LOGITS = "logits"


def _layers(value: Any) -> Any:
    """Refuse what is neither a layer nor a range of layers."""
    if isinstance(value, str) and (ends := _RANGE.fullmatch(value)):
        if int(ends[1]) > int(ends[2]):
            raise ValueError(f"{value} runs backwards; write {ends[2]}-{ends[1]}")
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f"there is no layer {value}: layers count from 0")
        return value
    written = getattr(value, "raw", value) if isinstance(value, str | float) else "this"
    raise ValueError(f"{written} is no layer; write a layer (3), a range (0-3) or a list of these ([0, 4-7])")


LayerText = Annotated[
    int | str,
    BeforeValidator(
        _layers,
        json_schema_input_type=Annotated[int, Field(ge=0)] | Annotated[str, Field(pattern=r"^[0-9]{1,4}-[0-9]{1,4}$")],
    ),
]
"""A layer, or a range of layers whose ends both belong to it: `3`, `0-3`."""

InputPort = Literal["q", "k", "v"]

Senders = Annotated[
    tuple[SenderKind, ...],
    Field(min_length=1),
    BeforeValidator(as_list, json_schema_input_type=SenderKind | Annotated[list[SenderKind], Field(min_length=1)]),
]
Receivers = Annotated[
    tuple[ReceiverKind, ...],
    Field(min_length=1),
    BeforeValidator(as_list, json_schema_input_type=ReceiverKind | Annotated[list[ReceiverKind], Field(min_length=1)]),
]
Ports = Annotated[
    tuple[InputPort, ...],
    Field(min_length=1),
    BeforeValidator(as_list, json_schema_input_type=InputPort | Annotated[list[InputPort], Field(min_length=1)]),
]
Layers = Annotated[
    tuple[LayerText, ...],
    Field(min_length=1),
    BeforeValidator(as_list, json_schema_input_type=LayerText | Annotated[list[LayerText], Field(min_length=1)]),
]


class AllSpec(Section):
    """Every edge of the finest partition: from input, heads and MLPs to the q, k and v of heads, MLPs and logits.

    Each is an experiment of its own. Where query heads share keys and values, k and v belong to the shared
    key/value heads. Each key leaves edges out; one value may stand for a list of one.
    """

    noun: ClassVar[str] = "all"

    senders: Senders | None = None
    """Kinds of senders; by default all, with `sender_layers` those that have a layer."""
    receivers: Receivers | None = None
    """Kinds of receivers; by default all, with `receiver_layers` those that have a layer, with `ports` heads."""
    ports: Ports | None = None
    """Of heads: which of their inputs."""
    sender_layers: Layers | None = None
    """Of heads and MLPs: their layers. `3` is a layer, `0-3` a range (both ends belong to it), `[0, 4-7]` a list."""
    receiver_layers: Layers | None = None
    """The same for receivers."""
    at: PositionText | None = None
    """A position for both ends of every edge; at every token if not given."""


def layers_of(written: tuple[int | str, ...]) -> tuple[int, ...]:
    """The layers that are meant, each once, in order."""
    found: set[int] = set()
    for item in written:
        ends = str(item).split("-")
        found.update(range(int(ends[0]), int(ends[-1]) + 1))
    return tuple(sorted(found))


def as_edges(value: Any) -> Any:
    """`edges: all` is short for a list of one entry."""
    if isinstance(value, str):
        if value != ALL:
            raise ValueError(f"'{value}' is no list of edges; write a list, or {ALL} for every edge of the model")
        return [{ALL: {}}]
    return value


def as_edge(value: Any) -> Any:
    """The word alone is short for an entry without filters."""
    return {ALL: {}} if value == ALL else value

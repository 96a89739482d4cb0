"""The shape of a model, read from its config.json or from the spec. No torch, no weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from circuitgraph.errors import InputError, ModelError
from circuitgraph.graph.shape import ModelShape
from circuitgraph.models.families import KNOWN_HUB_CONFIGS, family_of, shape_of
from circuitgraph.models.locate import Location
from circuitgraph.spec.model import ShapeSpec


def read_config(path: Path) -> dict[str, Any]:
    """The parsed config.json of a model directory.

    Raises:
        ModelError: missing, unreadable or not a JSON object.
    """
    file = path / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: cannot be read as JSON: {error}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{file}: a JSON object is needed")
    return config


def config_of(location: Location) -> dict[str, Any] | None:
    """The config of a located model; None for a hub model whose config is not known here."""
    if location.path is not None:
        return read_config(location.path)
    return KNOWN_HUB_CONFIGS.get(location.name)


def read_shape(location: Location, declared: ShapeSpec | None = None) -> ModelShape | None:
    """The model's shape; `declared` fills in for a hub model that is not on this disk.

    Returns None when neither is there.

    Raises:
        ModelError: the config cannot be read or its family is not supported.
        InputError: the declared shape contradicts the model's own.
    """
    config = config_of(location)
    if config is None:
        return None if declared is None else declared_shape(declared)
    shape = shape_of(config)
    if declared is not None:
        _compare(shape, declared, location.name)
    return shape


def bos_default(location: Location) -> bool:
    """Whether text prompts get a BOS token under `bos: auto`: TransformerLens' default for the family."""
    config = config_of(location)
    return config is None or family_of(config).bos


def declared_shape(spec: ShapeSpec) -> ModelShape:
    """The shape a spec declares under `model.shape`."""
    return ModelShape(
        layers=spec.layers,
        heads=spec.heads,
        kv_heads=spec.kv_heads or spec.heads,
        d_model=spec.d_model,
        d_head=spec.d_head or (spec.d_model // spec.heads if spec.d_model else None),
        d_mlp=spec.d_mlp,
        vocab=spec.vocab,
        vocab_out=spec.vocab,
        context=spec.context,
        mlps=spec.mlps,
        parallel=spec.parallel,
        causal=spec.causal,
        post_norm=spec.post_norm,
    )


def _compare(shape: ModelShape, declared: ShapeSpec, name: str) -> None:
    for field in sorted(declared.model_fields_set):
        ours, theirs = getattr(shape, field), getattr(declared, field)
        if theirs is not None and ours is not None and ours != theirs:
            raise InputError(f"model.shape says {field}: {theirs}, but '{name}' has {ours}")

"""Two RunResults -> the settings in which they differ, as text. What --set would change, and what computed. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from circuitgraph.comparing.records import Differs
from circuitgraph.comparing.units import HOW
from circuitgraph.graph.claims import NodeClaim
from circuitgraph.graph.shape import ModelShape
from circuitgraph.results.records import RunResult

NOT_COMPARED = {"version", "name", "description", "groups", "edges", "nodes", "circuit", "attention", "attribution",
                "discover", "baseline", "plots", "expect", "model"}  # fmt: skip
"""Sections of a spec that are no setting of how something is measured."""
SIZES = ("layers", "heads", "kv_heads", "d_model", "d_head", "d_mlp", "mlps", "parallel", "causal", "post_norm",
         "norm", "final_norm", "gated", "family")  # fmt: skip
"""Of a model's shape, what decides which nodes there are and what they are; not how many words it knows."""


LONGEST = 80
"""Characters of a value that are told."""


def differing(a: RunResult, b: RunResult) -> tuple[Differs, ...]:
    """Every setting of which the two runs have different values."""
    left, right = dict(settings_of(a)), dict(settings_of(b))
    names = dict.fromkeys([*left, *right])
    pairs = [(name, left.get(name), right.get(name)) for name in names if left.get(name) != right.get(name)]
    found = [Differs(name, *_told(*values)) for name, *values in pairs]
    if not any(item.name == "model" for item in found):
        found = [*_weights(a, b), *found]
    if not any(item.name.startswith("prompts") for item in found):
        found += _prompts(a, b)
    return tuple(found)


def shapes_differ(a: ModelShape, b: ModelShape) -> tuple[str, ...]:
    """`layers: 4 and 12`, for each size or trait that makes them different architectures."""
    return tuple(
        f"{name}: {getattr(a, name)} and {getattr(b, name)}"
        for name in (field.name for field in fields(ModelShape))
        if name in SIZES and getattr(a, name) != getattr(b, name)
    )


def settings_of(result: RunResult) -> Iterator[tuple[str, str]]:
    """Name and value, the most telling first."""
    record = result.provenance
    settings: Mapping[str, Any] = record.get("settings") or {}
    spec: Mapping[str, Any] = settings.get("spec") or {}
    if model := _model(settings, spec):
        yield "model", model
    for name in HOW[:3]:
        if values := _values(result, name):
            yield name, values
    prompts = spec.get("prompts") or {}
    yield from _flat("prompts", prompts)
    if result.prompts:
        yield "pairs", str(len(result.prompts))
    elif "pairs" in settings:
        yield "pairs", str(settings["pairs"])
    for section, value in spec.items():
        if section not in {*NOT_COMPARED, "prompts", "intervention", "metrics", "metric"}:
            yield from _flat(section, value)
    for key, value in (spec.get("intervention") or {}).items():
        if key not in HOW[:3]:  # told above, as the experiments have them
            yield from _flat(f"intervention.{key}", value)
    for name in ("executor", "dtype", "device"):
        if record.get(name) is not None:
            yield name, str(record[name])
    for package in ("circuitgraph", "torch", "transformer_lens"):
        if version := (record.get("versions") or {}).get(package):
            yield f"{package} version", version


def _model(settings: Mapping[str, Any], spec: Mapping[str, Any]) -> str | None:
    name = (settings.get("model") or {}).get("name")
    written = spec.get("model")
    revision = written.get("revision") if isinstance(written, Mapping) else None
    return None if name is None else f"{name} at {revision}" if revision else str(name)


def _weights(a: RunResult, b: RunResult) -> tuple[Differs, ...]:
    """Models of one name whose weights (or tokenizers) are not the same."""
    prints = [run.provenance.get("model_fingerprint") for run in (a, b)]
    if None in prints or prints[0] == prints[1]:
        return ()
    return (Differs("model's weights", *(str(each)[:12] for each in prints)),)


def _values(result: RunResult, name: str) -> str:
    """`clean`, or `clean, corrupted` where experiments of one run differ."""
    found = set[str]()
    for claim in result.graph.claims:
        value = str(claim.how.source) if name == "source" else getattr(claim.how, name).value
        if name != "path" or not isinstance(claim, NodeClaim):
            found.add(value)
    return ", ".join(sorted(found))


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """`prompts.generator.n` and its value; lists as JSON."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
        return
    yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _told(a: str | None, b: str | None) -> tuple[str | None, str | None]:
    """Two values that differ; of long ones a part in which they do."""
    start = 0
    if a is not None and b is not None and max(len(a), len(b)) > LONGEST:
        same = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        start = max(0, same - LONGEST // 2)
    return a and _cut(a, start), b and _cut(b, start)


def _cut(text: str, start: int) -> str:
    text = text if start == 0 else f"…{text[start:]}"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _prompts(a: RunResult, b: RunResult) -> list[Differs]:
    """Prompts that differ though no setting says so: those of a file that was changed."""
    prints = [run.provenance.get("prompts_sha256") for run in (a, b)]
    if None in prints or prints[0] == prints[1]:
        return []
    return [Differs("prompts", *(str(each)[:12] for each in prints))]

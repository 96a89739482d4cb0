"""Readouts from spec to table: check, load the model, read, summarise. Nothing is patched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from circuitgraph.checks import Checked, SpecLike, check
from circuitgraph.errors import InputError
from circuitgraph.execute.attribution import take_apart
from circuitgraph.execute.bind import bind_metrics
from circuitgraph.execute.weights import heads_of, read_patterns, read_weights
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.prepared import Progress, fetched, load
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.prompts.tokens import names_at, token_texts
from circuitgraph.results.attention import AttentionTable, attention_table
from circuitgraph.results.attribution import AttributionTable, attribution_table
from circuitgraph.results.patterns import AttentionPatterns
from circuitgraph.spec.model import BaseRun
from circuitgraph.spec.overrides import Options


def read_attention(
    spec: SpecLike,
    options: Options,
    overrides: Sequence[str] = (),
    progress: Progress = lambda _done, _total: None,
    pair: int | None = None,
) -> AttentionTable:
    """What the attention section asks for, after `overrides` and `options`; with `pair`, that pair's patterns too.

    Raises:
        SpecError, InputError: what is wrong with the spec, or no such pair.
        ModelError, AuditError: the model cannot be loaded, or does not pass its proofs.
        NotFiniteError: NaN or infinity in a weight; the message names the head.
    """
    found = check(spec, overrides, options)
    found, prompts = fetched(found, lambda: check(spec, overrides, options))
    if pair is not None and not 1 <= pair <= len(prompts):
        raise InputError(f"there is no pair {pair}: the spec has {len(prompts)}, counted from 1")
    model = load(found)
    table = attention_of(found, model, prompts, progress)
    return table if pair is None else replace(table, patterns=patterns_of(found, model, prompts, pair))


def patterns_of(found: Checked, model: TransformerModel, prompts: PromptSet, pair: int) -> AttentionPatterns:
    """Whole patterns of the heads of the attention section in one pair, counted from 1.

    Raises:
        NotFiniteError: NaN or infinity in a weight; the message names the head.
        InputError: there is no such section, or the pair has no corrupted side.
    """
    reading = found.attention
    if reading is None:
        raise InputError("the spec has no attention section")
    heads, chosen = heads_of(reading), prompts.pairs[pair - 1]
    weights = read_patterns(model, prompts, heads, pair - 1, reading.run)
    ids = chosen.clean if reading.run is BaseRun.CLEAN else chosen.corrupted
    tokenizer = None if found.location.path is None else load_tokenizer(found.location.path)
    groups = {read.head: read.group for read in reversed(reading.heads)}
    return AttentionPatterns(
        name=found.spec.name,
        model=found.location.name,
        pair=pair,
        run=reading.run.value,
        tokens=tuple(token_texts(ids or (), tokenizer)),
        names=tuple(names_at(chosen)),
        heads=tuple(map(str, heads)),
        groups=tuple(groups[head] for head in heads),
        weights=weights,
    )


def attention_of(
    found: Checked, model: TransformerModel, prompts: PromptSet, progress: Progress = lambda _done, _total: None
) -> AttentionTable:
    """What the attention section of a checked spec asks for, of a loaded model.

    Raises:
        NotFiniteError: NaN or infinity in a weight; the message names the head.
        InputError: there is no such section.
    """
    if found.attention is None:
        raise InputError("the spec has no attention section")
    read = read_weights(model, prompts, found.attention, progress)
    return attention_table(
        found.attention,
        heads_of(found.attention),
        read.weights,
        read.rest,
        read.visible,
        name=found.spec.name,
        model=found.location.name,
        clusters=prompts.clusters,
        seed=found.spec.intervention.seed,
        warnings=found.warnings,
    )


def read_attribution(
    spec: SpecLike, options: Options, overrides: Sequence[str] = (), progress: Progress = lambda _done, _total: None
) -> AttributionTable:
    """What the attribution section asks for, after `overrides` and `options`.

    Raises:
        SpecError, InputError: what is wrong with the spec.
        ModelError, AuditError: the model cannot be loaded, or does not pass its proofs; or the sum is not the metric.
        NotFiniteError: NaN or infinity in a value; the message names the component.
    """
    found = check(spec, overrides, options)
    found, prompts = fetched(found, lambda: check(spec, overrides, options))
    return attribution_of(found, load(found), prompts, progress)


def attribution_of(
    found: Checked, model: TransformerModel, prompts: PromptSet, progress: Progress = lambda _done, _total: None
) -> AttributionTable:
    """What the attribution section of a checked spec asks for, of a loaded model.

    Raises:
        AuditError: the summands do not add up to the metric.
        NotFiniteError: NaN or infinity in a value; the message names the component.
        InputError: there is no such section.
    """
    reading = found.attribution
    if reading is None:
        raise InputError("the spec has no attribution section")
    metrics = bind_metrics(found.spec.metrics)
    left_out = [metric.column for i, metric in enumerate(metrics) if i not in reading.metrics]
    not_linear = [f"not taken apart, as not linear in the logits: {', '.join(left_out)}"] if left_out else []
    return attribution_table(
        take_apart(model, prompts, metrics, reading, progress),
        name=found.spec.name,
        model=found.location.name,
        of=reading.of.value,
        unit=reading.unit.value,
        clusters=prompts.clusters,
        seed=found.spec.intervention.seed,
        warnings=(*found.warnings, *not_linear),
    )

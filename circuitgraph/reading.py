"""Readouts from spec to table: check, load the model, read, summarise. Nothing is patched."""

from __future__ import annotations

from collections.abc import Sequence

from circuitgraph.checks import Checked, SpecLike, check
from circuitgraph.errors import InputError
from circuitgraph.execute.attribution import take_apart
from circuitgraph.execute.bind import bind_metrics
from circuitgraph.execute.weights import heads_of, read_weights
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.prepared import Progress, fetched, load
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.results.attention import AttentionTable, attention_table
from circuitgraph.results.attribution import AttributionTable, Summands, attribution_table
from circuitgraph.spec.overrides import Options


def read_attention(
    spec: SpecLike, options: Options, overrides: Sequence[str] = (), progress: Progress = lambda _done, _total: None
) -> AttentionTable:
    """What the attention section asks for, after `overrides` and `options`.

    Raises:
        SpecError, InputError: what is wrong with the spec.
        ModelError, AuditError: the model cannot be loaded, or does not pass its proofs.
        NotFiniteError: NaN or infinity in a weight; the message names the head.
    """
    found = check(spec, overrides, options)
    found, prompts = fetched(found, lambda: check(spec, overrides, options))
    return attention_of(found, load(found), prompts, progress)


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
    taken = take_apart(model, prompts, metrics, reading, progress)
    return attribution_table(
        [
            Summands(
                each.metric,
                each.at,
                tuple((part.name, part.kind, part.layer, part.token) for part in each.parts),
                each.values,
                each.metrics,
                each.residue,
            )
            for each in taken
        ],
        name=found.spec.name,
        model=found.location.name,
        of=reading.of.value,
        unit=reading.unit.value,
        clusters=prompts.clusters,
        seed=found.spec.intervention.seed,
        warnings=(*found.warnings, *not_linear),
    )

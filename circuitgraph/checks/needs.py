"""What metrics, sources and the model need of the prompts. Pure: problems are noted, warnings returned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from circuitgraph import catalog
from circuitgraph.catalog.metric_params import KLParams, KLReference, MetricParams
from circuitgraph.checks.places import Places, which
from circuitgraph.errors import InputError
from circuitgraph.graph.claims import CircuitGraph, Counterfactual, Mean, Origin, Resample, replaced
from circuitgraph.graph.findings import Findings
from circuitgraph.graph.rules import aligned_problem
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import Position
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.spec.model import Align, BaseRun, CircuitSpec, PromptsSpec, ReferenceSpec, SourceKind
from circuitgraph.spec.source import Loc

PROMPTS: Loc = ("prompts",)
REFERENCE: Loc = ("intervention", "reference", "prompts")


def metric_positions(spec: CircuitSpec) -> Iterator[tuple[Loc, Position]]:
    """Where each metric is read, with its place in the spec.

    Raises:
        InputError: a metric that does not exist, or has wrong parameters.
    """
    for i, metric in enumerate(spec.metrics):
        try:
            parameters = catalog.metrics.lookup(metric.name).read(metric.parameters)
        except ValidationError as error:
            raise InputError(f"{metric.name}: {error.errors()[0]['msg']}") from None
        if isinstance(parameters, MetricParams):
            yield ("metrics", i, "at"), parameters.position


def check_metrics(spec: CircuitSpec, prompts: PromptSet, findings: Findings) -> None:
    """Note the pairs that lack what a metric reads."""
    for i, metric in enumerate(spec.metrics):
        entry = catalog.metrics.lookup(metric.name)
        needs: list[tuple[str, list[int]]] = []
        if entry.needs_answers:
            needs.append(("answers", [i for i, pair in enumerate(prompts.pairs) if not pair.answers]))
        if entry.needs_wrong_answers:
            needs.append(("wrong_answers", [i for i, pair in enumerate(prompts.pairs) if not pair.wrong_answers]))
        parameters = entry.read(metric.parameters)
        if isinstance(parameters, KLParams) and parameters.to is KLReference.CORRUPTED:
            needs.append(("a corrupted prompt", _unpaired(prompts)))
        for what, lacking in needs:
            if lacking:
                where = which(lacking, len(prompts))
                findings.add(("metrics", i), f"metric {metric.name} needs {what}, and {where} {_have(lacking)} none")


def check_expectations(spec: CircuitSpec, graph: CircuitGraph, findings: Findings) -> None:
    """Note signs that are expected of a metric whose effects have one sign by definition."""
    name = spec.metrics[0].name
    entry = catalog.metrics.lookup(name)
    if not entry.one_signed:
        return
    parameters = entry.read(spec.metrics[0].parameters)
    for claim in graph.claims:
        own = not isinstance(parameters, KLParams) or parameters.to.value in ("base", claim.how.base.value)
        if not own or claim.expect is None:
            continue
        if claim.expect.sign is not None:
            findings.add_at(
                claim.origin,
                f"expect: a sign says nothing of {name}, which is 0 for the base run and never negative; "
                "write at_least, at_most or within",
            )
        elif claim.expect.bounds[1] < 0:
            findings.add_at(claim.origin, f"expect: {name} is 0 for the base run and never negative")


def check_sources(spec: PromptsSpec, graph: CircuitGraph, prompts: PromptSet, findings: Findings) -> None:
    """Note the pairs that lack the corrupted prompt that a claim is measured with."""
    if prompts.paired:
        return
    place, none = _place(spec, _unpaired(prompts), PROMPTS), none_of_them(prompts)
    if any(isinstance(claim.how.source, Counterfactual) for claim in graph.claims):
        findings.add(place, f"source: counterfactual needs corrupted prompts, and {none}")
    if any(claim.how.base is BaseRun.CORRUPTED for claim in graph.claims):
        findings.add(place, f"base: corrupted needs corrupted prompts, and {none}")


def check_reference(
    settings: ReferenceSpec, graph: CircuitGraph, prompts: PromptSet, reference: PromptSet, findings: Findings
) -> None:
    """Note what `mean` and `resample` cannot take from the reference set."""
    if settings.side is BaseRun.CORRUPTED and not reference.paired:
        findings.add(REFERENCE, f"side: corrupted needs corrupted prompts, and {none_of_them(reference)}")
    lengths = sorted({len(pair) for pair in (*prompts.pairs, *reference.pairs)})
    sources = [claim.how.source for claim in graph.claims]
    if settings.align is Align.POSITION and len(lengths) > 1 and any(isinstance(s, Mean | Resample) for s in sources):
        findings.add(
            ("intervention", "reference"),
            f"align: position needs prompts of one length; prompts and reference have {lengths[0]} to {lengths[-1]} "
            "tokens; set align: name or align: pooled",
        )
    if len(reference) < 2 and any(isinstance(source, Resample) for source in sources):
        findings.add(REFERENCE, f"source: resample needs at least 2 reference prompts, not {len(reference)}")


def check_alignment(graph: CircuitGraph, places: Places, reference: PromptSet | None, findings: Findings) -> None:
    """Note the nodes that have no value in the reference set, once for each entry; None = it could not be read.

    Positions that the prompts themselves lack (`places`) are no fault of the reference set.
    """
    in_reference = Places(reference)
    noted: set[Origin] = set()
    for claim in graph.claims:
        source = claim.how.source
        if not isinstance(source, Mean | Resample) or claim.origin in noted:
            continue
        align = source.reference.align
        for address in replaced(claim):
            problem = aligned_problem(address, align)
            if problem is None and align is Align.NAME and address.position is not None:
                missing = None if places.problem_with(address.position) else in_reference.problem_with(address.position)
                problem = missing and f"{address}: align: name needs this position in the reference prompts: {missing}"
            if problem is not None:
                findings.add_at(claim.origin, problem)
                noted.add(claim.origin)
                break


def check_size(spec: PromptsSpec, prompts: PromptSet, shape: ModelShape, findings: Findings, at: Loc = PROMPTS) -> None:
    """Note prompts that are longer than the model's context, or hold tokens that it does not have."""
    long = [i for i, pair in enumerate(prompts.pairs) if shape.context is not None and len(pair) > shape.context]
    if long:
        tokens = len(prompts.pairs[long[0]])
        message = f"pair {long[0] + 1} has {tokens} tokens, more than the model's context of {shape.context}"
        findings.add(_place(spec, long, at), message + _others(long))
    prompt_ids = [(*pair.clean, *(pair.corrupted or ())) for pair in prompts.pairs]
    answer_ids = [(*pair.answers, *pair.wrong_answers) for pair in prompts.pairs]
    outputs = shape.vocab if shape.vocab_out is None else shape.vocab_out
    for what, ids, vocab, has in (
        ("token", prompt_ids, shape.vocab, "this model has tokens"),
        ("answer", answer_ids, outputs, "this model has logits for"),
    ):
        strange = {i: wrong for i, of_pair in enumerate(ids) if (wrong := _strange(of_pair, vocab))}
        if strange:
            first, *_ = strange
            known = "token ids are not negative" if vocab is None else f"{has} 0 to {vocab - 1}"
            message = f"pair {first + 1} has {what} id {strange[first][0]}; {known}"
            findings.add(_place(spec, [*strange], at), message + _others([*strange]))


def none_of_them(prompts: PromptSet) -> str:
    """Which pairs have no corrupted prompt, in words: `pair 3 has none`."""
    lacking = _unpaired(prompts)
    return f"{which(lacking, len(prompts))} {_have(lacking)} none"


def unused_settings(spec: CircuitSpec, graph: CircuitGraph) -> list[str]:
    """Warnings for settings that ask for something which no entry does."""
    how, found = spec.intervention, []
    kinds = {how.source, spec.circuit.source}
    sources = [claim.how.source for claim in graph.claims]
    if how.draws > 1 and SourceKind.RESAMPLE not in kinds and not any(isinstance(s, Resample) for s in sources):
        found.append(f"intervention.draws is {how.draws}, and no source is resample: nothing is drawn")
    unread = not kinds & {SourceKind.MEAN, SourceKind.RESAMPLE}
    if how.reference is not None and unread and not any(isinstance(s, Mean | Resample) for s in sources):
        found.append("intervention.reference is not used: no source is mean or resample")
    if spec.baseline is not None and not any(len(e.senders) == len(e.receivers) == 1 for e in graph.edges):
        found.append("baseline has random edges beside single edges only, and no entry is one")
    return found


def identical_pairs(graph: CircuitGraph, prompts: PromptSet) -> str | None:
    """A warning if clean and corrupted are the same in some pairs."""
    same = [i for i, pair in enumerate(prompts.pairs) if pair.clean == pair.corrupted]
    if not same or not any(isinstance(claim.how.source, Counterfactual) for claim in graph.claims):
        return None
    return f"prompts: clean and corrupted are the same in {which(same, len(prompts))}; every effect there is 0"


def repeated_pairs(prompts: PromptSet) -> str | None:
    """A warning if pairs have the prompts and answers of an earlier one, and no cluster that says so."""
    earlier: dict[tuple[object, ...], dict[str | None, int]] = {}
    again: dict[int, int] = {}
    for i, pair in enumerate(prompts.pairs):
        clusters = earlier.setdefault((pair.clean, pair.corrupted, pair.answers), {})
        if clusters and (pair.cluster is None or pair.cluster not in clusters):
            again[i] = next(iter(clusters.values()))
        clusters.setdefault(pair.cluster, i)
    if not again:
        return None
    i, first = next(iter(again.items()))
    return (
        f"prompts: {len(again)} of {len(prompts)} pairs repeat an earlier one (pair {i + 1} is pair {first + 1} again) "
        "and count as independent; leave them out, or give them one cluster"
    )


def _strange(tokens: Sequence[int], vocab: int | None) -> list[int]:
    return [token for token in tokens if token < 0 or (vocab is not None and token >= vocab)]


def _unpaired(prompts: PromptSet) -> list[int]:
    return [i for i, pair in enumerate(prompts.pairs) if pair.corrupted is None]


def _place(spec: PromptsSpec, indexes: Sequence[int], at: Loc) -> Loc:
    return (*at, "pairs", indexes[0]) if spec.pairs is not None else at


def _others(indexes: Sequence[int]) -> str:
    return f" ({len(indexes)} pairs in all)" if len(indexes) > 1 else ""


def _have(indexes: Sequence[int]) -> str:
    return "has" if len(indexes) == 1 else "have"

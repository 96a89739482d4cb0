"""The plan of a run: what was done for its strongest experiments, what all of it costs, and how it was scheduled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from circuitgraph.catalog import metrics as catalog
from circuitgraph.plans import PromptShape
from circuitgraph.plans.explain import stages
from circuitgraph.plans.physical import Physical, physical_of
from circuitgraph.plans.schedule import Executor
from circuitgraph.reporting.sections.figures import count, figure
from circuitgraph.reporting.sections.markup import Child, Markup, element, joined
from circuitgraph.reporting.sections.pieces import boxed, facts, folded, heading, named, paragraph, table
from circuitgraph.reporting.sections.section import Section
from circuitgraph.results.prompts import prompt_set
from circuitgraph.results.records import Row, RunResult
from circuitgraph.spec import CircuitSpec
from circuitgraph.spec.metrics import metric_names

FIRST, MOST = 3, 20
"""Experiments whose stages are told at once, and at all."""


def plan_section(result: RunResult, prefix: str) -> Section:
    """What was done, and what it took."""
    physical = None if _estimated(result) or not result.prompts else physical_of_run(result)
    html = joined(
        facts(_counted(result)),
        heading("What is done for an experiment"),
        paragraph("The strongest, stage by stage:" if len(result.primary) > 1 else "Stage by stage:"),
        *_explained(result),
        *([] if physical is None else [heading("What all of it costs"), *_cost(physical)]),
        heading("How it was run"),
        facts(_schedule(result)),
    )
    return Section(f"{prefix}plan", "Plan and cost", html)


def _estimated(result: RunResult) -> bool:
    executor = result.provenance.get("executor")
    return executor not in list(Executor)


def _counted(result: RunResult) -> Iterator[tuple[str, Child]]:
    kinds = Counter(experiment.kind for experiment in result.plan.experiments)
    counted: list[Child] = []
    for kind, number in kinds.items():
        counted += [", " if counted else None, count(number, str(kind))]
    yield "Experiments", joined(*counted)
    yield "Read", ", ".join(_metrics(result))
    for word, values in (
        ("Base", {row.base for row in result.primary}),
        ("Source", {row.source for row in result.primary}),
        ("Path", {row.path for row in result.primary if row.path}),
    ):
        yield word, ", ".join(sorted(values))
    if result.baseline:
        yield "Beside them", joined(count(len(result.baseline), "random edge"), " to compare with")


def _metrics(result: RunResult) -> list[str]:
    known = "spec" in result.provenance.get("settings", {})
    return metric_names(_spec(result)) if known else list(result.metrics)


def _explained(result: RunResult) -> Iterator[Markup]:
    told = [_stages(result, row) for row in result.ranked()[:MOST]]
    yield from told[:FIRST]
    if told[FIRST:]:
        more = len(result.primary) - len(told)
        rest = f"; of {more:,} more: circuitgraph plan spec.yaml --all" if more else ""
        yield folded(f"The next {len(told) - FIRST}{rest}", *told[FIRST:])


def _stages(result: RunResult, row: Row) -> Markup:
    experiment = next(each for each in result.plan.experiments if each.id == row.id)
    told = [
        element("div", None, element("dt", None, stage.name), element("dd", None, stage.said))
        for stage in stages(experiment, _metrics(result))
    ]
    if experiment.repeat > 1:
        said = f"{experiment.repeat} draws, effects averaged"
        told.append(element("div", None, element("dt", None, "repeat"), element("dd", None, said)))
    effect = joined(" ", element("span", {"class": "s-soft"}, f"{row.metric} ", figure(row.effect, sign=True)))
    return element("div", {"class": "s-stages"}, element("p", None, element("b", None, named(row.label)), effect),
                   element("dl", None, *told))  # fmt: skip


def physical_of_run(result: RunResult) -> Physical:
    """What the run's plan costs on its prompts, which must be known."""
    prompts = prompt_set(result.prompts)
    entries = [(metric, catalog.lookup(metric.name)) for metric in _spec(result).metrics]
    read = {getattr(entry.read(metric.parameters), "position", None) for metric, entry in entries}
    columns = None
    if all(entry.answers_only for _, entry in entries):
        columns = max(len(pair.answers) + len(pair.wrong_answers) for pair in prompts.pairs)
    shape = PromptShape.of(prompts, read=len(read))
    return physical_of(result.plan, result.graph.shape, shape, Executor(result.provenance["executor"]), columns)


def _spec(result: RunResult) -> CircuitSpec:
    return CircuitSpec.model_validate(result.provenance["settings"]["spec"])


def _cost(found: Physical) -> Iterator[Markup]:
    def row(stage: str, what: str, experiments: int | None, flops: int) -> tuple[Child, ...]:
        forwards = figure(flops / found.forward) if found.forward else "–"
        return (stage, what, "" if experiments is None else figure(experiments, 0), forwards, _flops(flops))

    runs = "unpatched run" if found.runs == 1 else "unpatched runs"
    rows = [row("cache", f"{found.runs} {runs} up to the final stream", None, found.cache)]
    if found.streams:
        streams = f"{found.streams:,} {'stream' if found.streams == 1 else 'streams'}"
        said = f"no run: {streams} of changed senders, each read once per layer for all receivers"
        rows.append(row("isolate", said, None, found.isolate))
    rows += [row("propagate", step.what, step.experiments, step.flops) for step in found.propagate]
    if found.propagate and found.forward:
        read = "the whole vocabulary" if found.columns is None else f"{found.columns} columns"
        rows.append(row("unembed", f"{read} at the tokens that the metrics read", None, found.unembed))
    if found.idle:
        rows.append(row("not run", "the prompts of every pair are alike there", found.idle, 0))
    rows += [row("literal", step.what, step.experiments, step.flops) for step in found.literal]
    if found.forwards is not None:
        total = row("in all", "together", None, found.flops)
        rows.append(tuple(element("b", None, cell) for cell in total))
    once = "a forward = one plain pass over all clean prompts, with the logits of every token"
    shown = table(("stage", "what", "experiments", "forwards", "operations"), rows, kind="s-table s-cost")
    yield boxed(shown, label="Cost by stage")
    ratio = ""
    if found.forwards:
        ratio = f", {found.edge_at_a_time / found.forwards:,.0f} times as many"
    yield paragraph(
        once, "; one edge at a time, caching anew for each, it would take ",
        count(found.edge_at_a_time, "forward pass", "forward passes"), ratio, ". Operations are those of "
        "matrix products, predicted by the plan; the audit's are not among them.",
    )  # fmt: skip


def _flops(flops: int) -> Child:
    """`1.2 GFLOP`."""
    if not flops:
        return "–"
    for power, unit in ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if flops >= 10**power:
            return element("data", {"class": "s-n", "value": str(flops)}, f"{flops / 10**power:.3g}\u00a0{unit}FLOP")
    return element("data", {"class": "s-n", "value": str(flops)}, f"{flops}\u00a0FLOP")


def _schedule(result: RunResult) -> Iterator[tuple[str, Child]]:
    origin: Mapping[str, Any] = result.provenance
    schedule = origin.get("schedule") or {}
    yield "Executor", str(origin.get("executor", ""))
    threads = count(origin.get("threads") or 1, "thread")
    yield "Device", joined(f"{origin.get('device')}, {origin.get('dtype')}, ", threads)
    if schedule:
        kept = schedule.get("kept", 0)
        yield "At once", f"{schedule.get('pairs'):,} pairs, {schedule.get('tokens'):,} tokens of stacked experiments"
        yield "Caches", f"up to {kept / 2**30:,.3g} GiB"
    if origin.get("halved"):
        yield "Memory ran out", f"it went on with {origin['halved'].get('tokens'):,} tokens at once"
    audit = result.audit
    if audit is not None and audit.experiments:
        yield "Audit", joined(
            count(audit.experiments, "experiment"), " recomputed literally on ", count(audit.pairs, "pair"),
            "; largest deviation ", figure(audit.deviation), " of the metric’s scale (tolerated ",
            figure(audit.tolerated), ")",
        )  # fmt: skip

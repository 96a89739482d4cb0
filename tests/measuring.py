"""Measure claims on a tiny model in one line, with both executors: every test that does so compares them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from circuitgraph.execute.audit import tolerance_of
from circuitgraph.execute.bind import bind_metrics
from circuitgraph.execute.run import DEFAULT, execute
from circuitgraph.execute.settings import Settings
from circuitgraph.graph.claims import ChainClaim, CircuitGraph, Claim, EdgeClaim, Intervention, NodeClaim, SetClaim
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.nodes import parse
from circuitgraph.plans.build import build_plan
from circuitgraph.plans.schedule import Executor, executor_of
from circuitgraph.plans.types import Plan
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.results.records import Measured
from circuitgraph.spec.model import Align, BaseRun, PairSpec, PluginSpec, PromptsSpec, ReceiverMode, ReferenceSpec

LOGIT_DIFF = PluginSpec(name="logit_diff")


def edge(senders: str | Sequence[str], receivers: str | Sequence[str], /, **how: object) -> EdgeClaim:
    """An edge claim from address texts."""
    texts = [[text] if isinstance(text, str) else text for text in (senders, receivers)]
    first, second = (tuple(parse(text) for text in group) for group in texts)
    return EdgeClaim(first, second, Intervention(**how))  # type: ignore[arg-type]  # keywords come from the test


def node(nodes: str | Sequence[str], **how: object) -> NodeClaim:
    """A node claim from address texts."""
    texts = [nodes] if isinstance(nodes, str) else nodes
    return NodeClaim(tuple(parse(text) for text in texts), Intervention(**how))  # type: ignore[arg-type]  # see above


def chain(*hops: str, **how: object) -> ChainClaim:
    """A chain claim from address texts."""
    return ChainClaim(tuple(parse(hop) for hop in hops), Intervention(**how))  # type: ignore[arg-type]  # see above


def edge_set(edges: Iterable[tuple[str, str]], **how: object) -> SetClaim:
    """A set claim from pairs of address texts."""
    ends = tuple((parse(sender), parse(receiver)) for sender, receiver in edges)
    return SetClaim(ends, Intervention(receivers=ReceiverMode.ADD, **how))  # type: ignore[arg-type]  # see above


def reference_spec(align: Align = Align.POSITION, side: BaseRun = BaseRun.CLEAN) -> ReferenceSpec:
    """Settings of a reference set; the prompts themselves are given to `measure_all`."""
    return ReferenceSpec(prompts=PromptsSpec(pairs=(PairSpec(clean=(3,)),)), align=align, side=side)


def measure_all(
    model: TransformerModel,
    claims: Sequence[Claim],
    prompts: PromptSet,
    metrics: Sequence[PluginSpec] = (LOGIT_DIFF,),
    *,
    reference: PromptSet | None = None,
) -> list[Measured]:
    """Every claim under every metric, in order."""
    plan = build_plan(CircuitGraph("test", model.shape, (), tuple(claims)))
    return measure_both(model, plan, prompts, metrics, reference=reference)


def measure_both(
    model: TransformerModel,
    plan: Plan,
    prompts: PromptSet,
    metrics: Sequence[PluginSpec] = (LOGIT_DIFF,),
    *,
    reference: PromptSet | None = None,
    settings: Settings = DEFAULT,
) -> list[Measured]:
    """What the literal executor measures, in the order of the plan; the fast one has to agree where it can run."""
    bound = bind_metrics(metrics)
    measure = partial(execute, model, plan, prompts, bound, reference=reference, settings=settings)
    literal = [item for part in measure(executor=Executor.LITERAL) for item in part]
    slow = [e.id for e in plan.experiments if executor_of(e, model.shape, Executor.FAST)[0] is Executor.LITERAL]
    fast = [item for part in measure(executor=Executor.FAST, skip=frozenset(slow)) for item in part]
    assert_agree(model, literal, fast)
    assert len(fast) == len(bound) * sum(e.id not in slow for e in plan.experiments)
    return literal


def assert_agree(model: TransformerModel, literal: Iterable[Measured], fast: Iterable[Measured]) -> None:
    """Both executors say the same, to what the audit tolerates."""
    tolerated = tolerance_of(model)
    assert tolerated is not None
    by_key = {(item.id, item.metric): item for item in literal}
    for item in fast:
        other = by_key[item.id, item.metric]
        assert item.executor == "fast"
        assert other.executor == "literal"
        assert (item.metric_other is None) == (other.metric_other is None)
        scale = np.maximum(scale_of(other), 1)
        for name in ("metric_base", "metric_other", "metric_patched", "draws"):
            ours, theirs = getattr(item, name), getattr(other, name)
            if theirs is not None:
                wide = scale[:, None] if theirs.ndim > 1 else scale
                assert ours.shape == theirs.shape
                assert (np.abs(ours - theirs) <= tolerated * wide).all(), (item.id, item.metric, name)


def scale_of(item: Measured) -> NDArray[np.float64]:
    """How large the metric is in each pair."""
    sides = [item.metric_base] if item.metric_other is None else [item.metric_base, item.metric_other]
    return np.abs(sides).max(axis=0)


def effect(
    model: TransformerModel, claim: Claim, prompts: PromptSet, metric: PluginSpec = LOGIT_DIFF
) -> NDArray[np.float64]:
    """The effect per pair of one claim."""
    return measure_all(model, [claim], prompts, [metric])[0].effect

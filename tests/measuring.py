"""Measure claims on a tiny model in one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from circuitgraph.execute.bind import bind_metrics
from circuitgraph.execute.run import execute
from circuitgraph.graph.claims import ChainClaim, CircuitGraph, Claim, EdgeClaim, Intervention, NodeClaim, SetClaim
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.nodes import parse
from circuitgraph.plans.build import build_plan
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
    parts = execute(model, plan, prompts, bind_metrics(metrics), reference=reference)
    return [measured for part in parts for measured in part]


def effect(
    model: TransformerModel, claim: Claim, prompts: PromptSet, metric: PluginSpec = LOGIT_DIFF
) -> NDArray[np.float64]:
    """The effect per pair of one claim."""
    return measure_all(model, [claim], prompts, [metric])[0].effect

"""Estimates from gradients against finite differences of the exact effect: the literal executor on a scaled change."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from circuitgraph.execute.bind import bind_batches, bind_metrics
from circuitgraph.execute.gradient.run import estimate_all
from circuitgraph.execute.literal import LiteralExecutor, cached_sites
from circuitgraph.execute.run import reference_values
from circuitgraph.graph.claims import CircuitGraph, Claim
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.plans.build import build_plan
from circuitgraph.spec.kinds import PluginSpec
from circuitgraph.spec.model import EstimateMethod, EstimateSection
from tests.measuring import edge, node
from tests.tiny import FAMILIES, random_prompts

PROMPTS = random_prompts(3, lengths=(6, 7))
REFERENCE = random_prompts(4, lengths=(6,), seed=9)
METRICS = (PluginSpec(name="logit_diff"),)


class Scaled(LiteralExecutor):
    """The definition, with a share of the change of what is replaced."""

    share = 1.0

    def _values(self, base, draw, source):
        values = super()._values(base, draw, source)

        def scaled(site, position):
            before = self._caches.reads[base][site]
            return before + self.share * (values(site, position) - before)

        return scaled


@pytest.fixture
def exact(tiny_model, monkeypatch) -> Callable[[str], TransformerModel]:
    """A loaded model; what its family computes in float32 whatever its precision is, it computes in float64 here."""

    def get(family: str) -> TransformerModel:
        model = tiny_model(family)
        monkeypatch.setattr(torch, "float32", torch.float64)
        monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
        return model

    return get


def estimates(
    model, claims: Sequence[Claim], method="eap", steps=5, *, prompts=PROMPTS, metrics=METRICS, reference=None
):
    """[claims · metrics, pairs]"""
    plan = build_plan(CircuitGraph("test", model.shape, (), tuple(claims)))
    how = EstimateSection(method=EstimateMethod(method), steps=steps)
    parts = estimate_all(model, plan, prompts, bind_metrics(metrics), how, reference=reference)
    measured = [item for part in parts for item in part]
    assert {item.executor for item in measured} == {method}
    return np.stack([item.effect for item in measured])


def slopes_of(model, claims: Sequence[Claim], *, prompts=PROMPTS, reference=None, share=3e-5):
    """Central differences of the exact effect in the share of the change, at 0; of 4th order. [claims, pairs]"""
    plan = build_plan(CircuitGraph("test", model.shape, (), tuple(claims)))
    metrics = bind_metrics(METRICS)
    referred = reference_values(model, plan.experiments, prompts, reference)
    found = np.zeros((len(claims), len(prompts)))
    for batch in bind_batches(plan, prompts, metrics, model.shape, model.device, 64):
        scaled = Scaled(model, batch, metrics, reference=referred, sites=cached_sites(plan.experiments, model.shape))
        for i, experiment in enumerate(plan.experiments):
            total = 0
            for factor, weight in ((1, 2 / 3), (2, -1 / 12)):
                for sign in (1, -1):
                    scaled.share = sign * factor * share
                    draws = [next(iter(scaled.patched(experiment, d))).numpy() for d in range(experiment.repeat)]
                    total = total + sign * weight * np.mean(draws, axis=0) / share
            found[i, list(batch.rows)] = total
    return found


def close(found, expected, tolerance=1e-5):
    scale = max(np.abs(expected).max(), 1e-3)
    assert np.abs(found - expected).max() < tolerance * scale, np.abs(found - expected).max(axis=1) / scale


def claims_of(model) -> list[Claim]:
    """Every kind of sender, receiver, port and join that a model has."""
    shape = model.shape
    found: list[Claim] = [
        edge("input", "a1.h0<q>"),
        edge("a0.h1", "a1.h2<q>"),
        edge("a0.h1@B", "a2.h2@B"),
        edge("a0.h3", "a2.h0<v>@END"),
        edge("a1.h2", "logits"),
        edge("a0", "a2<k>"),
        edge(["a0.h0", "a1.h1"], "a2.h1<q>"),
        edge("a0.h1", ["a1.h2<q>", "a2.h0<k,v>" if not shape.grouped else "a2.kv0<k,v>"]),
        edge("a0.h1", "r2"),
        edge("r1", "a2.h0<q>@B"),
        node("a1.h2"),
        node("a0@B"),
        node("input@A"),
        node("r1"),
        node("a1.h1<q>"),
        node("a1.h1<k,v>"),
        node(["a0.h1", "a2.h0"]),
        node("a2.h1<pattern>@END"),
    ]
    if shape.grouped:
        found += [
            edge("a0.h1", "a1.h2<k>"),
            edge("a0.h0", "a2.h3<k,v>@B"),
            node("a1.kv1<k>"),
            edge("a0.h2", "a1.kv1<v>"),
        ]
    if shape.mlps:
        found += [
            edge("m0", "m2"), edge("m0.n3", "a1.h0<v>"), edge("a0.h2", "m1.n5"), edge("m1@B", "logits"),
            node("m1"), node("m1.n4@B"), edge("a0.h1", "m1"), edge(["m0.n3", "m0.n4"], "logits"),
        ]  # fmt: skip
        if not shape.parallel:
            found += [node("r1.mid"), edge("a0.h0", "r1.mid")]
    return found


@pytest.mark.parametrize("family", [f for f in FAMILIES if f not in ("gemma2", "gemma3_text")])
def test_eap_is_the_derivative_of_the_exact_effect(exact, family):
    model = exact(family)
    claims = claims_of(model)
    found, expected = estimates(model, claims), slopes_of(model, claims)
    for i, claim in enumerate(claims):
        scale = max(np.abs(expected[i]).max(), 1e-3)
        assert np.abs(found[i] - expected[i]).max() < 1e-5 * scale, (str(claim), found[i], expected[i])

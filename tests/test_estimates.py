"""Estimates from gradients against finite differences of the exact effect: the literal executor on a scaled change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

import circuitgraph as cg
from circuitgraph.errors import InputError, RefusedError, SpecError
from circuitgraph.execute.bind import bind_batches, bind_metrics
from circuitgraph.execute.gradient.run import estimate_all
from circuitgraph.execute.literal import LiteralExecutor, cached_sites, refuses
from circuitgraph.execute.run import execute, reference_values
from circuitgraph.execute.spots import Spot
from circuitgraph.graph.claims import CircuitGraph, Claim, Mean, Prune, Resample, Zero, claim_arrow
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.loading import load_model
from circuitgraph.models.locate import Location
from circuitgraph.models.sites import PARTS, Site, SiteKind, sites_of
from circuitgraph.nodes import Neuron
from circuitgraph.plans.build import build_plan
from circuitgraph.plans.estimates import terms_of, why_no_estimate
from circuitgraph.plans.schedule import Executor
from circuitgraph.plans.types import Plan
from circuitgraph.spec import load
from circuitgraph.spec.kinds import PluginSpec
from circuitgraph.spec.model import Align, BaseRun, EstimateMethod, EstimateSection, PathKind, ReceiverMode
from circuitgraph.stats.ranks import kendall, overlap, spearman
from circuitgraph.tables import ranked_table
from tests import drawn_claims
from tests.benchmarks import estimates as benchmark
from tests.drawn_claims import ModelChoice, Scene, metrics, model_choices, prompts
from tests.measuring import chain, edge, edge_set, node, reference_spec
from tests.plain_slopes import Slopes, exact_inside, float64_inside
from tests.tiny import FAMILIES, random_prompts, save_checkpoint

HOOKED = [kind for kind in SiteKind if kind not in (*PARTS, SiteKind.EMBED)]
LONG = settings.get_profile("long")
DRAWN = settings(
    max_examples=40, derandomize=True, deadline=None, database=None, phases=(Phase.explicit, Phase.generate)
)
PROFILE = LONG if settings.default is LONG else DRAWN
KINDS = (drawn_claims._edge, drawn_claims._edge, drawn_claims._joined, drawn_claims._nodes, drawn_claims._sweep,
         drawn_claims._pruned)  # fmt: skip
PROMPTS = random_prompts(2, lengths=(6,))
REFERENCE = random_prompts(4, lengths=(6,), seed=9)
METRICS = (PluginSpec(name="logit_diff"),)
POST_NORM = ("gemma2", "gemma3_text")


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


def literal(model, claims: Sequence[Claim]):
    """What the definition gives."""
    plan = build_plan(CircuitGraph("test", model.shape, (), tuple(claims)))
    parts = execute(model, plan, PROMPTS, bind_metrics(METRICS), executor=Executor.LITERAL)
    return [item for part in parts for item in part]


def slopes_of(model, claims: Sequence[Claim], *, prompts=PROMPTS, reference=None, share=3e-5):
    """Central differences of the exact effect in the share of the change, at 0. [claims, pairs]"""
    plan = build_plan(CircuitGraph("test", model.shape, (), tuple(claims)))
    metrics = bind_metrics(METRICS)
    referred = reference_values(model, plan.experiments, prompts, reference)
    found = np.zeros((len(claims), len(prompts)))
    for batch in bind_batches(plan, prompts, metrics, model.shape, model.device, 64):
        scaled = Scaled(model, batch, metrics, reference=referred, sites=cached_sites(plan.experiments, model.shape))
        for i, experiment in enumerate(plan.experiments):
            total = 0
            for sign in (1, -1):
                scaled.share = sign * share
                draws = [next(iter(scaled.patched(experiment, d))).numpy() for d in range(experiment.repeat)]
                total = total + sign * np.mean(draws, axis=0) / share / 2
            found[i, list(batch.rows)] = total
    return found


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


def assert_close(found, expected, claims, model, tolerance=1e-5):
    """To a share of each estimate, or of a thousandth of the metric: what differences of it can resolve."""
    size = 1e-3 * max(1.0, np.abs(literal(model, claims[:1])[0].metric_base).max())
    for i, claim in enumerate(claims):
        scale = max(np.abs(expected[i]).max(), size)
        assert np.abs(found[i] - expected[i]).max() < tolerance * scale, (claim_arrow(claim), found[i], expected[i])


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Callable[[ModelChoice], TransformerModel]:
    """choice → loaded model that computes in float64 throughout, each once."""
    known: dict[ModelChoice, TransformerModel] = {}

    def get(choice: ModelChoice) -> TransformerModel:
        if choice not in known:
            directory = save_checkpoint(choice.family, tmp_path_factory.mktemp(choice.family), choice.size)
            loaded = load_model(Location("directory", choice.family, directory), dtype=choice.dtype, device="cpu")
            known[choice] = exact_inside(loaded)
        return known[choice]

    return get


@PROFILE
@given(st.data())
def test_drawn_claims_on_drawn_models(models, data):
    """Any model, prompts, metrics, senders, receivers, joins, sources, bases and paths; differences of hooked runs."""
    choice = data.draw(model_choices(dtypes=("float64",)), "model")
    model = models(choice)
    with float64_inside():
        some = data.draw(prompts(model.shape.vocab or 0), "prompts")
        specs = data.draw(metrics(some), "metrics")
        kinds = data.draw(st.lists(st.sampled_from(KINDS), min_size=2, max_size=4))
        drawn = [e for kind in kinds for e in data.draw(kind(Scene(model.shape, some)))]
        asked = [e for e in dict.fromkeys(drawn) if refuses(e) is None and estimable(e, model.shape)]
        if not asked:
            return
        plan, bound = Plan("test", tuple(asked)), bind_metrics(specs)
        parts = estimate_all(model, plan, some.pairs, bound, EstimateSection(), reference=some.reference)
        found = {(item.id, item.metric): item.effect for part in parts for item in part}
        ours = np.stack([[found[e.id, metric.column] for e in asked] for metric in bound])
        referred = reference_values(model, asked, some.pairs, some.reference)
        off = np.full(ours.shape, np.inf)
        for step in (1e-5, 1e-6):  # a neuron that is switched on or off within one of them is not within the other
            theirs = np.full(ours.shape, np.nan)
            for batch in bind_batches(plan, some.pairs, bound, model.shape, model.device, 64):
                oracle = Slopes(model, batch, bound, reference=referred, sites=sites_of(model.shape, tuple(HOOKED)))
                for i, e in enumerate(asked):
                    draws = [oracle.slope(e, draw, step) for draw in range(e.repeat)]
                    theirs[:, i, list(batch.rows)] = np.mean(draws, axis=0)
            off = np.minimum(off, np.abs(ours - theirs) / (1e-5 * np.abs(theirs) + 3e-8 / step * 1e-5))
            if off.max() <= 1:
                return
        metric, item, pair = np.unravel_index(np.argmax(off), off.shape)
        note(f"{asked[item].label}, {asked[item].base}, {asked[item].sources}, {specs[metric]}, pair {pair}")
        note(f"{ours[metric, item, pair]}, by differences {theirs[metric, item, pair]}")
        assert off[metric, item, pair] <= 1, "in units of what is tolerated"


def estimable(experiment, shape) -> bool:
    """Also without what the oracle scales elsewhere: neurons before a norm of their layer, with MLPs free."""
    terms = terms_of(experiment)
    neurons = any(isinstance(value.address.node, Neuron) for term in terms for value in term.senders if term.through)
    return why_no_estimate(experiment, shape, EstimateMethod.EAP) is None and not (neurons and shape.post_norm)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "llama_mha"])
def test_every_edge_is_that_of_transformer_lens(exact, family):
    """Base corrupted, other run clean: the same point of the gradient, and the same sign."""
    model = exact(family)
    some = random_prompts(3, lengths=(6, 7))
    found = [benchmark.theirs(model._bridge, pair, model.device) for pair in some.pairs]
    ours = benchmark.ours(model, some, benchmark.planned(model))
    theirs = [np.mean([each[name] for each in found]) for name in benchmark.named_edges(model)]
    assert set(found[0]) == set(benchmark.named_edges(model))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("family", [f for f in FAMILIES if f not in POST_NORM])
def test_eap_is_the_derivative_of_the_exact_effect(exact, family):
    model = exact(family)
    claims = claims_of(model)
    assert_close(estimates(model, claims), slopes_of(model, claims), claims, model)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox"])
def test_every_source_base_and_path(exact, family):
    model = exact(family)
    mean, drawn = Mean(reference_spec(Align.POOLED)), Resample(reference_spec(Align.POOLED), draws=2, seed=1)
    claims: list[Claim] = []
    for source in (Zero(), mean, drawn):
        claims += [edge("a0.h1", "a2.h2<q>", source=source), node("a1.h0@B", source=source), node("m0", source=source)]
    claims += [node("a1.h0", source=Prune()), node("m1", source=Prune())]
    claims += [edge("a0.h1", "a2.h2<q>", base=BaseRun.CORRUPTED), node("m1@B", base=BaseRun.CORRUPTED)]
    through = PathKind.THROUGH_MLPS
    for sender, receiver in (
        ("a0.h1", "a2.h0<q>"),
        ("input", "a2.h0"),
        ("m0", "logits"),
        ("a0.h2@B", "m2@B"),
        ("r1", "r2"),
    ):
        claims.append(edge(sender, receiver, path=through))
    claims.append(edge(["a0.h0", "a1.h3"], "logits", path=through))
    found = estimates(model, claims, reference=REFERENCE)
    assert_close(found, slopes_of(model, claims, reference=REFERENCE), claims, model)


@pytest.mark.parametrize("family", ["gpt2", "llama_mha", "phi"])
def test_what_is_overwritten_together_is_not_counted_twice(exact, family):
    """A receiver that another one reaches keeps what was recorded there, and a joined node keeps its value."""
    model = exact(family)
    claims: list[Claim] = [
        edge("a0.h1", ["a1.h2<q>", "a2.h0<v>"]),
        edge("input", ["a0.h1<v>", "m1", "a2.h3<k>"]),
        node(["a0.h1", "m1", "a2.h2"]),
        node(["a0.h1@B", "a1.h0<v>@B"]),
    ]
    found = estimates(model, claims)
    assert_close(found, slopes_of(model, claims), claims, model)
    apart = estimates(model, [edge("a0.h1", "a1.h2<q>"), edge("a0.h1", "a2.h0<v>")]).sum(axis=0)
    assert np.abs(found[0] - apart).max() > 1e-6 * np.abs(apart).max()


@pytest.mark.parametrize("family", POST_NORM)
def test_with_a_norm_after_the_layer_the_write_is_what_is_scaled(exact, family):
    """Written out: the stream + ε · (write(source) − write(base)) is what the receiver reads; the rest is free."""
    model = exact(family)
    senders = {"a0.h1": (SiteKind.Z, 0, 1), "m0": (SiteKind.MLP_OUT, 0, None), "a1.h2": (SiteKind.Z, 1, 2)}
    receivers = {
        "a2.h1<q>": (SiteKind.Q, 1),
        "a2.kv1<v>": (SiteKind.V, 1),
        "m2": (SiteKind.MLP_IN, None),
        "logits": None,
    }
    claims = [edge(sender, receiver) for sender in senders for receiver in receivers]
    expected = np.zeros((len(claims), len(PROMPTS)))
    for p, pair in enumerate(PROMPTS.pairs):
        at = iter(range(len(claims)))
        for kind, layer, head in senders.values():
            site = Site(kind, layer)
            clean, other = (
                model.run(torch.tensor([ids]), reads=[site]).reads[site] for ids in (pair.clean, pair.corrupted)
            )
            if kind is SiteKind.Z:
                changed = clean.clone()
                changed[:, :, head] = other[:, :, head]
                delta = model.write(site, changed) - model.write(site, clean)
            else:
                delta = other - clean
            for receiver in receivers.values():
                expected[next(at), p] = difference(model, pair, delta, receiver)
    assert_close(estimates(model, claims), expected, claims, model)


def difference(model, pair, delta, receiver, share=3e-5):
    """The derivative of the metric in the share of a change that one receiver of block 2 reads."""
    ids, layer = torch.tensor([pair.clean]), 2
    pre, attended, final = Site(SiteKind.RESID_PRE, layer), Site(SiteKind.ATTN_OUT, layer), Site(SiteKind.FINAL)
    base = model.run(ids, reads=[pre, attended, final]).reads

    def metric(e):
        if receiver is None:
            logits = model.logits(base[final] + e * delta)
        elif receiver[0] is SiteKind.MLP_IN:
            value = model.mlp_input(layer, base[pre] + base[attended] + e * delta)
            logits = model.run(ids, writes={Site(SiteKind.MLP_IN, layer): lambda _old: value}).logits
        else:
            site = Site(receiver[0], layer)
            value = model.port(site, base[pre] + e * delta)
            logits = model.run(ids, writes={site: lambda old: Spot(site, receiver[1]).put(old, value, None)}).logits
        row = logits[0, -1]
        return float(row[list(pair.answers)].mean() - row[list(pair.wrong_answers)].mean())

    first, second = (metric(n * share) - metric(-n * share) for n in (1, 2))
    return (2 / 3 * first - second / 12) / share


@pytest.mark.parametrize("family", ["gpt2", "gemma3_text", "gpt_neox"])
def test_along_its_own_change_an_edge_becomes_exact(exact, family):
    model = exact(family)
    claims: list[Claim] = [
        edge("a0.h1", "a1.h2<q>"),
        edge("a0.h1@B", "a2.h2@B"),
        edge("input", "m1"),
        edge("a1.h2", "logits"),
        edge("m0", ["a1.h0<q>", "a2.h1<q>"]),
        node("a1.h2"),
        node("m0@B"),
        node(["a0.h1", "m1"]),
        edge("a0.h1", "a2.h2<q>", path=PathKind.THROUGH_MLPS),
        edge(["input", "a0.h2"], "logits", path=PathKind.THROUGH_MLPS),
    ]
    if model.shape.grouped:
        claims[1] = edge("a0.h1@B", "a2.h2<q>@B")
    expected = np.stack([item.effect for item in literal(model, claims)])
    errors = [np.abs(estimates(model, claims, "eap-ig-edges", n) - expected).max(axis=1) for n in (6, 24)]
    size = np.abs(expected).max(axis=1)
    assert (size[[0, 2, 3, 5, 6, 8, 9]] > 1e-4).all()
    # Midpoints: four times the steps, a sixteenth of the error.
    assert (errors[1] <= errors[0] / 8 + 1e-9).all()
    assert (errors[1] <= 1e-2 * size + 1e-9).all()


def test_along_the_way_of_the_input(exact):
    """Midpoints between both embeddings: the derivative at each, by differences around each, averaged."""
    model, steps = exact("gpt2"), 3
    claims: list[Claim] = [edge("input", "a1.h0<q>"), edge("input", "logits"), edge("a0.h1", "a2.h2<k>")]
    found = estimates(model, claims, "eap-ig-inputs", steps)
    expected = np.zeros_like(found)
    for p, pair in enumerate(PROMPTS.pairs):
        expected[:, p] = along_inputs(model, pair, steps)
    assert_close(found, expected, claims, model)


def along_inputs(model, pair, steps, share=3e-5):
    """The three edges above, written out."""
    start, z, final = Site(SiteKind.RESID_PRE, 0), Site(SiteKind.Z, 0), Site(SiteKind.FINAL)
    clean, other = (model.run(torch.tensor([ids]), reads=[start, z]).reads for ids in (pair.clean, pair.corrupted))
    changed = clean[z].clone()
    changed[:, :, 1] = other[z][:, :, 1]
    deltas = (
        other[start] - clean[start],
        other[start] - clean[start],
        model.write(z, changed) - model.write(z, clean[z]),
    )
    total = np.zeros(3)
    for k in range(steps):
        entering = clean[start] + (k + 0.5) / steps * (other[start] - clean[start])

        def run(writes, entering=entering, **kwargs):
            return model.run(torch.tensor([pair.clean]), writes={start: lambda _old: entering, **writes}, **kwargs)

        base = run({}, reads=[Site(SiteKind.RESID_PRE, 1), Site(SiteKind.RESID_PRE, 2), final]).reads

        def metric(i, e, run=run, base=base):
            if i == 1:
                row = model.logits(base[final] + e * deltas[1])[0, -1]
            else:
                site, head = (Site(SiteKind.Q, 1), 0) if i == 0 else (Site(SiteKind.K, 2), 2)
                value = model.port(site, base[Site(SiteKind.RESID_PRE, site.layer)] + e * deltas[i])
                row = run({site: lambda old: Spot(site, head).put(old, value, None)}).logits[0, -1]
            return float(row[list(pair.answers)].mean() - row[list(pair.wrong_answers)].mean())

        for i in range(3):
            first, second = (metric(i, n * share) - metric(i, -n * share) for n in (1, 2))
            total[i] += (2 / 3 * first - second / 12) / share / steps
    return total


def test_along_the_way_of_a_layer_its_edges(exact):
    """Runs in which all heads of layer 0 are between both prompts' values; the edge's own change stays whole."""
    model, steps, share = exact("gpt2"), 3, 3e-5
    claims: list[Claim] = [edge("a0.h1", "a2.h2<k>")]
    found = estimates(model, claims, "eap-ig-activations", steps)
    expected = np.zeros_like(found)
    z, stream, k = Site(SiteKind.Z, 0), Site(SiteKind.RESID_PRE, 2), Site(SiteKind.K, 2)
    for p, pair in enumerate(PROMPTS.pairs):
        ids = torch.tensor([pair.clean])
        clean, other = (model.run(torch.tensor([side]), reads=[z]).reads[z] for side in (pair.clean, pair.corrupted))
        changed = clean.clone()
        changed[:, :, 1] = other[:, :, 1]
        delta = model.write(z, changed) - model.write(z, clean)
        for n in range(steps):
            between = {z: lambda _old, a=clean + (n + 0.5) / steps * (other - clean): a}
            there = model.run(ids, reads=[stream], writes=between).reads[stream]

            def metric(e, between=between, there=there, ids=ids, delta=delta, pair=pair):
                value = model.port(k, there + e * delta)
                put = {**between, k: lambda old: Spot(k, 2).put(old, value, None)}
                row = model.run(ids, writes=put).logits[0, -1]
                return float(row[list(pair.answers)].mean() - row[list(pair.wrong_answers)].mean())

            expected[0, p] += (metric(share) - metric(-share)) / (2 * share * steps)
    assert_close(found, expected, claims, model)


def test_along_the_way_of_a_whole_layer_its_node_becomes_exact(exact):
    model = exact("gpt2")
    claims: list[Claim] = [node("a1"), node("m0"), node("r1"), node("input")]
    expected = np.stack([item.effect for item in literal(model, claims)])
    found = estimates(model, claims, "eap-ig-activations", 32)
    assert np.abs(found - expected).max() < 5e-3 * np.abs(expected).max()
    both = estimates(model, claims[3:], "eap-ig-inputs", 32)
    assert np.abs(both - expected[3:]).max() < 5e-3 * np.abs(expected).max()


def test_without_norm_and_cap_edges_into_the_logits_are_exact(tiny_model):
    model = tiny_model("tl_no_norm")
    claims = [edge(f"a{layer}.h{head}", "logits") for layer in range(3) for head in range(4)]
    expected = np.stack([item.effect for item in literal(model, claims)])
    for method in ("eap", "eap-ig-inputs", "eap-ig-activations"):
        assert np.allclose(estimates(model, claims, method, 2), expected, atol=1e-9 * np.abs(expected).max())


def test_a_set_is_the_sum_of_its_edges(tiny_model):
    model = tiny_model("gpt2")
    ends = [("a0.h1", "a1.h2<q>"), ("a1.h2", "logits"), ("m0", "a2.h0<k>")]
    together = estimates(model, [edge_set(ends)])
    assert np.allclose(together[0], estimates(model, [edge(*pair) for pair in ends]).sum(axis=0), atol=1e-10)
    added = edge("a0.h1", ["a1.h2<q>", "a2.h0<v>"], receivers=ReceiverMode.ADD)
    apart = estimates(model, [edge("a0.h1", "a1.h2<q>"), edge("a0.h1", "a2.h0<v>")])
    assert np.allclose(estimates(model, [added])[0], apart.sum(axis=0), atol=1e-10)


def test_how_much_is_held_at_once_changes_nothing(tiny_model, monkeypatch):
    from circuitgraph.execute.gradient import estimator, pulls, run

    model = tiny_model("llama")
    claims = claims_of(model)
    expected = estimates(model, claims)
    monkeypatch.setattr(estimator, "FLOATS", 1)
    monkeypatch.setattr(pulls, "ROWS", 1)
    monkeypatch.setattr(run, "TOKENS", 1)
    monkeypatch.setattr(run, "PART", 3)
    assert np.allclose(estimates(model, claims), expected, atol=1e-10)


def test_what_cannot_be_estimated_is_said(tiny_model):
    model = tiny_model("llama")
    for claim, method, reason in (
        (chain("a0.h1", "a1.h2<q>", "logits"), "eap", "a chain has no estimate"),
        (edge("a0.h1", "a1.h2<q>"), "atp", "atp estimates nodes; for edges write method: eap"),
        (edge("a0.h1", ["a1.h2<k>", "a2.h0<q>"]), "eap", r"own view of .* joined with others; name .* \(a1\.kv1<k>\)"),
        (edge("a0.h1", "a1.h1<v>"), "eap-ig-edges", r"name the shared head \(a1\.kv0<v>\)"),
        (node("r1.mid"), "eap-ig-activations", "the stream between attention and MLP"),
    ):
        with pytest.raises(RefusedError, match=reason):
            estimates(model, [claim], method)


def test_several_metrics_have_gradients_of_their_own(exact):
    model = exact("gpt2")
    names = ["logit_diff", "prob", "kl"]
    claims: list[Claim] = [edge("a0.h1", "a1.h2<q>"), node("m1")]
    plan = build_plan(CircuitGraph("test", model.shape, (), tuple(claims)))
    metrics = bind_metrics([PluginSpec(name=name) for name in names])
    (part,) = estimate_all(model, plan, PROMPTS, metrics, EstimateSection())
    found = {(item.id, item.metric): item.effect for item in part}
    for e, claim in zip(plan.experiments, claims, strict=True):
        assert np.allclose(found[e.id, "logit_diff"], estimates(model, [claim])[0])
        assert np.abs(found[e.id, "prob"]).max() > 1e-6
        assert np.abs(found[e.id, "kl"]).max() < 1e-9  # the divergence from the base is smallest at the base


# As a run -------------------------------------------------------------------------------------

SPEC = Path(__file__).parent.parent / "specs" / "ioi-mini.yaml"
FEW = ("prompts.generator.n=8",)


def test_a_run_estimates_where_it_is_asked_to(tmp_path):
    found = cg.run(SPEC, estimate="eap", overrides=FEW, out=tmp_path / "run")
    assert {row.executor for row in found.rows} == {"eap"}
    assert {row.verdict for row in found.rows} == {None}
    assert found.audit is None
    assert found.provenance["executor"] == "eap"
    assert "ESTIMATED by eap" in (tmp_path / "run" / "circuit.svg").read_text()
    assert "ESTIMATED by eap" in ranked_table(cg.load_run(tmp_path / "run"), 5)


def test_an_interrupted_estimate_is_not_continued_by_another_method(tmp_path):
    cg.run(SPEC, estimate="eap", overrides=FEW, out=tmp_path)
    with pytest.raises(InputError, match=r"spec differs, executor differs \(eap then, eap-ig-inputs now\)"):
        cg.run(SPEC, estimate="eap-ig-inputs", overrides=(*FEW, "estimate.steps=3"), out=tmp_path, resume=True)


def test_estimates_are_not_judged():
    with pytest.raises(InputError, match="test it without 'estimate'"):
        cg.test(SPEC, overrides=("estimate.method=eap",))


def test_what_is_asked_for_wrongly():
    with pytest.raises(InputError, match=r"'eapp' is no method of estimation; did you mean 'eap'"):
        cg.run(SPEC, estimate="eapp")
    with pytest.raises(InputError, match="estimate or screen, not both"):
        cg.run(SPEC, estimate="eap", screen="eap")
    with pytest.raises(SpecError, match="a chain has no estimate"):
        cg.check(load(SPEC, ['edges=[{chain: ["input@S2", "a0.h0<q>@S2", "logits"]}]', "estimate.method=eap"]))


def test_a_screened_run_measures_the_largest_on_other_prompts(tmp_path):
    spec = SPEC.with_name("all-edges-ioi-mini.yaml")
    result = cg.run(spec, screen="eap", top=12, overrides=FEW, out=tmp_path / "run")
    screening = result.screening
    assert screening is not None
    assert len(screening.rows) == 479
    assert [row.rank for row in screening.rows] == list(range(1, 480))
    chosen = [row for row in screening.rows if row.effect is not None]
    assert chosen == list(screening.rows[:12])
    assert {row.id for row in chosen} == {row.id for row in result.rows}
    assert {row.executor for row in result.rows} == {"fast"}
    # The estimates are those of the spec's own prompts, the effects those of others.
    own = {row.id: row.effect for row in cg.run(spec, estimate="eap", overrides=FEW).rows}
    assert all(row.estimate == pytest.approx(own[row.id], abs=1e-6) for row in screening.rows)
    effects = {row.id: row.effect for row in result.rows}
    assert all(row.effect == effects[row.id] for row in chosen)
    sizes = np.abs([[row.estimate, row.effect] for row in chosen]).T
    ranks = [np.argsort(np.argsort(size)) for size in sizes]
    assert screening.spearman == pytest.approx(np.corrcoef(*ranks)[0, 1])
    again = cg.load_run(tmp_path / "run")
    assert again.screening == screening
    assert [row.id for row in again.rows] == [row.id for row in result.rows]
    assert "n=8, seed=1" in screening.measured_on
    assert "seed=1" in str((tmp_path / "run" / "spec.yaml").read_text()).replace(": ", "=")


def test_correlations_of_ranks_by_hand():
    assert spearman([1, 2, 3], [10, 30, 20]) == pytest.approx(0.5)
    assert kendall([1, 2, 3], [10, 30, 20]) == pytest.approx(1 / 3)
    assert kendall([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / 6**0.5)
    assert spearman([1, 1, 2], [3, 3, 4]) == pytest.approx(1)
    assert spearman([1, 1], [1, 2]) is None
    assert kendall([1, 1], [1, 2]) is None
    assert overlap([5, 4, 1, 0], [5, 0, 4, 1], 2) == 0.5

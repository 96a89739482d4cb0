"""Features of sparse autoencoders as nodes: encoders against formulas, experiments against plain hooks, identities."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from safetensors.torch import load_file, save_file
from torch import Tensor

import circuitgraph as cg
from circuitgraph.checks import check
from circuitgraph.errors import InputError, ModelError, SpecError
from circuitgraph.execute.bind import bind_metrics
from circuitgraph.execute.run import execute
from circuitgraph.graph.claims import (
    Base,
    ChainClaim,
    CircuitGraph,
    Claim,
    Counterfactual,
    EdgeClaim,
    Intervention,
    Mean,
    NodeClaim,
    Resample,
    Source,
    Zero,
)
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.dictionaries import Dictionary, load_dictionaries
from circuitgraph.models.sae_files import read_sae
from circuitgraph.nodes import Address, Feature, Input, Position, Residual, Sae, SaeError, parse, parse_position
from circuitgraph.plans.build import build_plan
from circuitgraph.plans.schedule import Executor, executor_of
from circuitgraph.plans.work import PromptShape, forward_work, literal_work
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.spec.model import Align, BaseRun, PathKind, SaeKind, SaeSpec
from tests.measuring import LOGIT_DIFF, reference_spec
from tests.plain_hooks import ATTENTION, Edit, Place, PlainModel
from tests.tiny import random_prompts

ROOT = Path(__file__).parents[1]
KINDS = tuple(SaeKind)
WIDTH, K = 24, 5
PROMPTS = random_prompts()
REFERENCE = random_prompts(6, seed=9)


def random_weights(kind: SaeKind, d_model: int = 32, seed: int = 0) -> dict[str, Tensor]:
    """Tensors as SAELens names them, all of which matter."""
    draw = torch.Generator().manual_seed(seed)

    def random(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(shape, generator=draw, dtype=torch.float64) * scale

    found = {
        "W_enc": random(d_model, WIDTH, scale=0.3),
        "W_dec": random(WIDTH, d_model),
        "b_dec": random(d_model, scale=0.2),
    }
    if kind is SaeKind.GATED:
        return found | {"r_mag": random(WIDTH, scale=0.2), "b_gate": random(WIDTH), "b_mag": random(WIDTH)}
    found["b_enc"] = random(WIDTH, scale=0.2)
    return found | ({"threshold": random(WIDTH).abs()} if kind is SaeKind.JUMPRELU else {})


def written_out(kind: SaeKind, w: dict[str, Tensor], x: Tensor, *, subtract: bool) -> Tensor:
    """The features of x, one token after the other, from the papers' formulas."""
    found = torch.zeros(*x.shape[:-1], WIDTH, dtype=torch.float64)
    for at in np.ndindex(*x.shape[:-1]):
        read = x[at] - w["b_dec"] if subtract else x[at]
        for i in range(WIDTH):
            product = float(read @ w["W_enc"][:, i])
            match kind:
                case SaeKind.STANDARD | SaeKind.TOP_K:
                    value = max(product + float(w["b_enc"][i]), 0.0)
                case SaeKind.JUMPRELU:
                    pre = product + float(w["b_enc"][i])
                    value = pre if pre > float(w["threshold"][i]) else 0.0
                case SaeKind.GATED:
                    magnitude = product * np.exp(float(w["r_mag"][i])) + float(w["b_mag"][i])
                    value = max(magnitude, 0.0) if product + float(w["b_gate"][i]) > 0 else 0.0
            found[(*at, i)] = value
        if kind is SaeKind.TOP_K:
            kept = sorted(range(WIDTH), key=lambda i: -float(found[(*at, i)]))[:K]
            for i in set(range(WIDTH)) - set(kept):
                found[(*at, i)] = 0.0
    return found


def saved(
    directory: Path, kind: SaeKind, w: dict[str, Tensor], site: Input | Residual, name: str = "res", **settings: bool
) -> Dictionary:
    """The dictionary that is loaded from a file with these tensors."""
    save_file({key: tensor.contiguous() for key, tensor in w.items()}, directory / f"{name}.safetensors")
    spec = SaeSpec(
        file=f"{name}.safetensors", site=str(site), kind=kind, k=K if kind is SaeKind.TOP_K else None,
        apply_b_dec_to_input=settings.get("subtract", True),
    )  # fmt: skip
    file, flaws = read_sae(Sae(name, site), spec, directory, None)
    assert flaws == []
    assert file is not None
    return load_dictionaries([file], torch.device("cpu"), torch.float64)[0]


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_encoders_are_their_formulas(kind, subtract, tmp_path):
    w = random_weights(kind)
    dictionary = saved(tmp_path, kind, w, Residual(1), subtract=subtract)
    x = torch.randn(3, 4, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = written_out(kind, w, x, subtract=subtract)
    assert 0 < float((expected > 0).double().mean()) < 1
    assert_allclose(dictionary.encode(x), expected, atol=1e-12)
    decoded = torch.einsum("bpf,fd->bpd", expected, w["W_dec"]) + w["b_dec"]
    assert_allclose(dictionary.decode(dictionary.encode(x)), decoded, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_both_libraries_tensors_are_read(kind, tmp_path):
    """dictionary_learning holds encoder and decoder as nn.Linear does, with other names for the biases."""
    w = random_weights(kind)
    names = {"W_enc": "encoder.weight", "W_dec": "decoder.weight", "b_enc": "encoder.bias", "b_gate": "gate_bias",
             "b_mag": "mag_bias", "b_dec": "decoder_bias" if kind is SaeKind.GATED else "b_dec"}  # fmt: skip
    theirs = {names.get(key, key): tensor.T if key in ("W_enc", "W_dec") else tensor for key, tensor in w.items()}
    ours, other = saved(tmp_path, kind, w, Residual(1)), saved(tmp_path, kind, theirs, Residual(1), "other")
    x = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert_allclose(ours.encode(x), other.encode(x), atol=0)
    assert_allclose(ours.decode(ours.encode(x)), other.decode(other.encode(x)), atol=0)


# Identities, on every kind of block ------------------------------------------------------------------

SITES = {
    "gpt2": (Input(), Residual(1, mid=True), Residual(2), Residual(3)),
    "gpt_neox": (Residual(1), Residual(3)),
    "gemma2": (Residual(1, mid=True), Residual(2)),
    "tl_attention_only": (Residual(1), Residual(2)),
    "llama": (Residual(2),),
}
PLACES = [(family, site) for family, sites in SITES.items() for site in sites]


@pytest.fixture(scope="module")
def equipped(tiny_model: Callable[..., TransformerModel], tmp_path_factory) -> Callable[..., TransformerModel]:
    """A tiny model with an autoencoder `res` of a kind at a site, and `late` before its last block."""

    def get(family: str, site: Input | Residual, kind: SaeKind = SaeKind.STANDARD) -> TransformerModel:
        model = tiny_model(family)
        d_model, directory = model.shape.d_model or 0, tmp_path_factory.mktemp("sae")
        early = saved(directory, kind, random_weights(kind, d_model), site)
        late = saved(directory, kind, random_weights(kind, d_model, 5), Residual(model.shape.layers - 1), "late")
        model.dictionaries = {"res": early, "late": late}
        return model

    return get


def sae_of(model: TransformerModel, name: str = "res") -> Sae:
    """What features of a model's autoencoder belong to."""
    return model.dictionaries[name].sae


def address(model: TransformerModel, text: str) -> Address:
    """An address in which `sae.res.f3` and `sae.res.error` may stand."""
    name, _, position = text.partition("@")
    if not name.startswith("sae."):
        return parse(text)
    _, sae, part = name.split(".")
    node = SaeError(sae_of(model, sae)) if part == "error" else Feature(sae_of(model, sae), int(part[1:]))
    return Address(node, (), parse_position(position) if position else None)


def claim_of(model: TransformerModel, *ends: str | Sequence[str], **how: object) -> Claim:
    """A node claim of one (list of) ends, an edge of two, a chain of more."""
    intervention = Intervention(**how)  # type: ignore[arg-type]  # keywords come from the test
    groups = [tuple(address(model, t) for t in ([end] if isinstance(end, str) else end)) for end in ends]
    if len(groups) == 1:
        return NodeClaim(groups[0], intervention)
    if len(groups) == 2:
        return EdgeClaim(groups[0], groups[1], intervention)
    return ChainClaim(tuple(group[0] for group in groups), intervention)


def patched(
    model: TransformerModel, claims: Sequence[Claim], prompts: PromptSet = PROMPTS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The metric of each claim's patched run [claims, pairs], and those of base and other run [pairs]."""
    plan = build_plan(CircuitGraph("test", model.shape, (), tuple(claims)))
    measured = [
        item for part in execute(model, plan, prompts, bind_metrics([LOGIT_DIFF]), reference=REFERENCE) for item in part
    ]
    other = measured[0].metric_other
    assert other is not None
    return np.stack([item.metric_patched for item in measured]), measured[0].metric_base, other


def everything(name: str = "res", position: str = "") -> list[str]:
    """All features of an autoencoder, and its error."""
    return [*(f"sae.{name}.f{i}{position}" for i in range(WIDTH)), f"sae.{name}.error{position}"]


@pytest.mark.parametrize(("family", "site"), PLACES, ids=str)
def test_patching_parts_of_a_stream(family, site, equipped):
    """With their own values nothing changes; all of them with other values are the stream's other value."""
    model = equipped(family, site, SaeKind.TOP_K)
    own = [claim_of(model, name, source=Base()) for name in everything()]
    own.append(claim_of(model, everything(), source=Base()))
    own.append(claim_of(model, "sae.res.f3", "logits", source=Base()))
    values, base, other = patched(model, own)
    assert np.abs(other - base).max() > 1e-3
    assert np.abs(values - base).max() <= 1e-9
    for how in ({}, {"base": BaseRun.CORRUPTED}, {"source": Zero()}):
        stream = "input" if isinstance(site, Input) else str(site)
        whole, parts = (claim_of(model, ends, **how) for ends in (stream, everything()))
        values, base, _ = patched(model, [whole, parts])
        expected = values[0]
        if how.get("source") == Zero():  # what then is left of the stream is the decoder's bias
            assert np.abs(values[1] - base).max() > 1e-3
        else:
            assert_allclose(values[1], expected, atol=1e-9)


@pytest.mark.parametrize("source", ["mean", "resample"])
def test_reference_values_are_those_of_features(source, equipped):
    """The mean of what is active, and not what is active in the mean."""
    model = equipped("gpt2", Residual(2))
    reference = reference_spec(Align.POSITION)
    value = Mean(reference) if source == "mean" else Resample(reference)
    # All parts of the stream together: the mean of the parts is the mean of the stream, as decoding is linear.
    values, *_ = patched(model, [claim_of(model, "r2", source=value), claim_of(model, everything(), source=value)])
    assert_allclose(values[1], values[0], atol=1e-9)


def test_the_features_alone_leave_the_error(equipped):
    """Features to their other values, error kept: the stream moves by the difference of the reconstructions."""
    model = equipped("gpt2", Residual(2))
    dictionary = model.dictionaries["res"]
    run = {side: plain_reads(model, side) for side in (False, True)}
    change = dictionary.decode(dictionary.encode(run[True])) - dictionary.decode(dictionary.encode(run[False]))
    values, *_ = patched(model, [claim_of(model, everything()[:-1])])
    assert_allclose(values[0], logit_diff(stream_written(model, run[False] + change)), atol=1e-9)


def ids_of(*, corrupted: bool) -> Tensor:
    """Token ids of one side."""
    return torch.tensor([pair.corrupted if corrupted else pair.clean for pair in PROMPTS.pairs])


def plain_reads(model: TransformerModel, corrupted: bool) -> Tensor:
    """r2 of one side."""
    from circuitgraph.models.sites import Site, SiteKind

    site = Site(SiteKind.RESID_PRE, 2)
    return model.run(ids_of(corrupted=corrupted), reads=[site]).reads[site]


def stream_written(model: TransformerModel, stream: Tensor) -> Tensor:
    """Logits with r2 replaced."""
    from circuitgraph.models.sites import Site, SiteKind

    logits = model.run(ids_of(corrupted=False), writes={Site(SiteKind.RESID_PRE, 2): lambda _: stream}).logits
    assert logits is not None
    return logits


def logit_diff(logits: Tensor) -> np.ndarray:
    """Mean of the answers less mean of the wrong ones, at the last token."""
    last = logits[:, -1].double()
    rows = [
        last[i, list(pair.answers)].mean() - last[i, list(pair.wrong_answers)].mean()
        for i, pair in enumerate(PROMPTS.pairs)
    ]
    return torch.stack(rows).numpy()


# Against plain hooks -------------------------------------------------------------------------------


def at(kept: dict, place: Place) -> Tensor:
    """What was read at a place, whole."""
    return kept[place.module, place.side]


class Oracle:
    """The three stages on a Hugging Face model, with the autoencoder written out. Streams are r1, r2 or r3."""

    def __init__(self, directory: Path, family: str, w: dict[str, Tensor], kind: SaeKind, layer: int) -> None:
        self.plain = PlainModel(directory, ATTENTION.get(family, "eager"))
        if self.plain.kv_heads != self.plain.heads:
            self.plain = self.plain.with_own_keys_and_values()
        self.w, self.kind, self.layer = w, kind, layer
        self.stream = self.plain.residual(layer)
        blocks = range(len(self.plain.blocks))
        self.heads = [self.plain.z(block) for block in blocks]
        self.mlps = [self.plain.neurons(block) for block in blocks]
        keep = [*self.heads, *self.mlps, self.stream]
        self.kept = [self.plain.run(ids_of(corrupted=side), keep=keep)[1] for side in (False, True)]

    def encode(self, x: Tensor) -> Tensor:
        return written_out(self.kind, self.w, x, subtract=True)

    def read(self, base: int) -> Tensor:
        return at(self.kept[base], self.stream)

    def part(self, x: Tensor, part: str) -> Tensor:
        """Feature activation, or the error, in the stream x."""
        f = self.encode(x)
        return x - f @ self.w["W_dec"] - self.w["b_dec"] if part == "error" else f[..., int(part[1:])]

    def exchanged(self, x: Tensor, part: str, value: Tensor) -> Tensor:
        """The stream x with a part of it set to a value."""
        change = value - self.part(x, part)
        return x + (change if part == "error" else change[..., None] * self.w["W_dec"][int(part[1:])])

    def isolate(self, edit: Edit, base: int, keep, *, mlps: bool) -> dict:
        held = [*self.heads, *([] if mlps else self.mlps)]
        frozen = [Edit(place, at(self.kept[base], place)) for place in held if place.module is not edit.place.module]
        return self.plain.run(ids_of(corrupted=bool(base)), [*frozen, edit], keep)[1]

    def propagate(self, edits: Sequence[Edit], base: int) -> np.ndarray:
        return logit_diff(self.plain.run(ids_of(corrupted=bool(base)), edits)[0])


def tokens(position: str | None) -> list[int] | None:
    return None if position is None else list(PROMPTS.indexes(parse_position(position)))


EDGES = [
    ("f", "a2.h1<q>", None, None),
    ("f", "a2.h1<v>", "B", "B"),
    ("error", "a2.h0<k>", None, "A"),
    ("f", "m2", "B", None),
    ("f", "logits", None, None),
    ("error", "logits", "END", "END"),
    ("a0.h1", "f", None, None),
    ("a1.h2", "f", "B", "B"),
    ("m0", "error", None, None),
    ("input", "f", None, "END"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "gemma2"])
def test_edges_are_the_three_stages(family, kind, equipped, checkpoint):
    """Feature or error as sender and as receiver, both bases and paths, positions; gemma2 for its post-norms."""
    model = equipped(family, Residual(2), kind)
    oracle = Oracle(checkpoint(family), family, random_weights(kind, model.shape.d_model or 0), kind, 2)
    active = int(oracle.encode(oracle.read(0)).gt(0).double().sum(dim=(0, 1)).argmax())
    claims, expected = [], []
    for number, (sender, receiver, sent, received) in enumerate(EDGES):
        base, mlps = number % 2, number % 3 == 0
        names = [f"sae.res.f{active}" if n == "f" else "sae.res.error" if n == "error" else n
                 for n in (sender, receiver)]  # fmt: skip
        texts = [n + (f"@{p}" if p else "") for n, p in zip(names, (sent, received), strict=True)]
        claims.append(
            claim_of(model, *texts, base=BaseRun.CORRUPTED if base else BaseRun.CLEAN,
                     path=PathKind.THROUGH_MLPS if mlps else PathKind.DIRECT)
        )  # fmt: skip
        part = f"f{active}" if "f" in (sender, receiver) else "error"
        expected.append(by_hand(oracle, names, part, (tokens(sent), tokens(received)), base, mlps=mlps))
    values, base_values, _ = patched(model, claims)
    assert_allclose(values, np.stack(expected), atol=1e-6 if family == "gemma2" else 1e-9)
    assert (np.abs(values - base_values).max(axis=1) > 1e-7).sum() >= len(EDGES) - 2


def by_hand(oracle: Oracle, names: list[str], part: str, where: tuple, base: int, *, mlps: bool) -> np.ndarray:
    """One edge with an end in the stream, in the stages of its definition."""
    sender, receiver = names
    x, other = oracle.read(base), oracle.read(1 - base)
    if sender.startswith("sae."):
        edit = Edit(oracle.stream, oracle.exchanged(x, part, oracle.part(other, part)), where[0])
    else:
        place = oracle.plain.sender(sender)
        edit = Edit(
            place, oracle.plain.run(ids_of(corrupted=not base), keep=[place])[1][place.module, place.side], where[0]
        )
    if receiver.startswith("sae."):
        found = oracle.isolate(edit, base, [oracle.stream], mlps=mlps)[oracle.stream.module, "in"]
        return oracle.propagate(
            [Edit(oracle.stream, oracle.exchanged(x, part, oracle.part(found, part)), where[1])], base
        )
    places = oracle.plain.receiver(receiver)
    found = oracle.isolate(edit, base, places, mlps=mlps)
    return oracle.propagate([Edit(place, found[place.module, place.side], where[1]) for place in places], base)


SOURCES: dict[str, Callable[[], Source]] = {
    "counterfactual": Counterfactual,
    "zero": Zero,
    "mean": lambda: Mean(reference_spec(Align.POSITION)),
    "pooled": lambda: Mean(reference_spec(Align.POOLED)),
    "named": lambda: Mean(reference_spec(Align.NAME)),
}


@pytest.mark.parametrize("source", SOURCES)
def test_sources_of_features(source, equipped, checkpoint):
    """f_i becomes that of the other prompt, 0, or its mean over the reference; node and edge."""
    kind = SaeKind.JUMPRELU
    model = equipped("gpt2", Residual(2), kind)
    oracle = Oracle(checkpoint("gpt2"), "gpt2", random_weights(kind), kind, 2)
    x, other = oracle.read(0), oracle.read(1)
    ids = torch.tensor([pair.clean for pair in REFERENCE.pairs])
    reference = oracle.plain.run(ids, keep=[oracle.stream])[1][oracle.stream.module, "in"]
    named = torch.tensor(REFERENCE.indexes(Position("B")))
    for part in ("f7", "error"):
        held = oracle.part(reference, part)
        new = {
            "counterfactual": oracle.part(other, part),
            "zero": torch.zeros_like(oracle.part(x, part)),
            "mean": held.mean(dim=0).expand_as(oracle.part(x, part)),
            "pooled": held.flatten(0, 1).mean(dim=0).expand_as(oracle.part(x, part)),
            "named": held[torch.arange(len(ids)), named].mean(dim=0).expand_as(oracle.part(x, part)),
        }[source]
        edit = Edit(oracle.stream, oracle.exchanged(x, part, new), tokens("B"))
        (place,) = oracle.plain.receiver("a2.h1<q>")
        found = oracle.isolate(edit, 0, [place], mlps=False)[place.module, place.side]
        expected = [oracle.propagate([edit], 0), oracle.propagate([Edit(place, found, None)], 0)]
        how = {"source": SOURCES[source]()}
        text = f"sae.res.{part}@B"
        values, *_ = patched(model, [claim_of(model, text, **how), claim_of(model, text, "a2.h1<q>", **how)])
        assert_allclose(values, np.stack(expected), atol=1e-9)


def test_zero_is_no_activation_and_not_that_of_a_stream_of_zeros(equipped):
    model = equipped("gpt2", Residual(2))
    dictionary = model.dictionaries["res"]
    x = plain_reads(model, corrupted=False)
    i = int(((dictionary.encode(torch.zeros_like(x)) > 0) * dictionary.encode(x)).sum(dim=(0, 1)).argmax())
    assert float(dictionary.encode(torch.zeros_like(x))[..., i].max()) > 0
    changed = x - dictionary.encode(x)[..., [i]] * dictionary.weights["W_dec"][i]
    values, base, _ = patched(model, [claim_of(model, f"sae.res.f{i}", source=Zero())])
    assert_allclose(values[0], logit_diff(stream_written(model, changed)), atol=1e-9)
    assert np.abs(values[0] - base).max() > 1e-6


# Several at once -----------------------------------------------------------------------------------


def test_joined_features_are_encoded_before_any_changes(equipped):
    """Their changes add up; so do those of joined receivers."""
    model = equipped("gpt2", Residual(2), SaeKind.TOP_K)
    d = model.dictionaries["res"]
    x, y = plain_reads(model, corrupted=False), plain_reads(model, corrupted=True)
    some = [int(i) for i in d.encode(x).sum(dim=(0, 1)).topk(3).indices]
    change = (d.encode(y) - d.encode(x))[..., some] @ d.weights["W_dec"][some]
    names = [f"sae.res.f{i}" for i in some]
    values, *_ = patched(model, [claim_of(model, names), claim_of(model, names, "logits")])
    assert_allclose(values[0], logit_diff(stream_written(model, x + change)), atol=1e-9)
    # The stream as sender: what its features record is what they are in the other run.
    edges, *_ = patched(model, [claim_of(model, "r2", names), claim_of(model, "r2", everything())])
    assert_allclose(edges[0], values[0], atol=1e-9)
    whole, *_ = patched(model, [claim_of(model, "r2")])
    assert_allclose(edges[1], whole[0], atol=1e-9)


def test_chains_go_through_features(equipped, checkpoint):
    """Each hop is isolated in turn; one autoencoder may follow another."""
    kind = SaeKind.STANDARD
    model = equipped("gpt2", Residual(1), kind)
    oracle = Oracle(checkpoint("gpt2"), "gpt2", random_weights(kind), kind, 1)
    x, stream = oracle.read(0), (oracle.stream.module, "in")
    i = int(oracle.encode(x).sum(dim=(0, 1)).argmax())
    sender = oracle.plain.sender("a0.h1")
    there = at(oracle.plain.run(ids_of(corrupted=True), keep=[sender])[1], sender)
    found = oracle.isolate(Edit(sender, there), 0, [oracle.stream], mlps=False)[stream]
    changed = Edit(oracle.stream, oracle.exchanged(x, f"f{i}", oracle.part(found, f"f{i}")))
    (place,) = oracle.plain.receiver("a1.h2<q>")
    read = at(oracle.isolate(changed, 0, [place], mlps=False), place)
    late = Oracle(checkpoint("gpt2"), "gpt2", random_weights(kind, seed=5), kind, 2)
    later = oracle.plain.residual(2)
    passed_on = at(oracle.isolate(changed, 0, [later], mlps=False), later)
    y = late.read(0)
    j = int((late.encode(passed_on) - late.encode(y)).abs().sum(dim=(0, 1)).argmax())
    expected = [
        oracle.propagate([Edit(place, read)], 0),
        late.propagate([Edit(late.stream, late.exchanged(y, f"f{j}", late.part(passed_on, f"f{j}")))], 0),
    ]
    first, *_ = patched(model, [claim_of(model, "a0.h1", f"sae.res.f{i}", "a1.h2<q>")])
    second, base, _ = patched(model, [claim_of(model, "a0.h1", f"sae.res.f{i}", f"sae.late.f{j}")])
    assert_allclose(first[0], expected[0], atol=1e-9)
    # A chain ends where its last node is written, which is how its last hop ends by hand too.
    assert_allclose(second[0], expected[1], atol=1e-9)
    assert np.abs(first[0] - base).max() > 1e-9
    assert np.abs(second[0] - base).max() > 1e-9


# What is checked and what is kept ------------------------------------------------------------------


def flaws_of(directory: Path, tensors: dict[str, Tensor], *, metadata=None, **spec: object) -> list[str]:
    """What is wrong with a file of these tensors, for a model of width 32."""
    copies = {key: tensor.contiguous().clone() for key, tensor in tensors.items()}
    save_file(copies, directory / "sae.safetensors", metadata)
    section = SaeSpec.model_validate({"file": "sae.safetensors", "site": "r1", **spec})
    return [flaw.message for flaw in read_sae(Sae("res", Residual(1)), section, directory, 32)[1]]


def test_files_that_do_not_fit_are_refused(tmp_path):
    w = random_weights(SaeKind.STANDARD)
    narrow = w | {"W_enc": w["W_enc"][:16], "b_enc": w["b_enc"][:3]}
    assert flaws_of(tmp_path, narrow, kind="standard") == [
        "'sae.safetensors': W_enc is 16 × 24; 32 × 24 is needed for this model, whose stream has 32 numbers, "
        "and 24 features",
        "'sae.safetensors': b_enc is 3; 24 is needed for this model, whose stream has 32 numbers, and 24 features",
    ]
    assert flaws_of(tmp_path, w | {"jump": w["b_enc"]}) == [
        "'sae.safetensors' holds the tensor jump, which no kind of encoder here has; "
        "kinds are standard, top-k, jumprelu, gated"
    ]
    assert flaws_of(tmp_path, w | {"bias": w["b_dec"]}) == [
        "'sae.safetensors' holds b_dec and bias, which are two names of one tensor"
    ]
    assert flaws_of(tmp_path, w | {"b_enc": w["b_enc"].long()}, kind="standard") == [
        "'sae.safetensors': b_enc holds I64; floating point numbers are needed"
    ]
    assert flaws_of(tmp_path, w | {"threshold": w["b_enc"]}) == [
        "'sae.safetensors' does not say whether its encoder reads x or x − b_dec, and jumprelu encoders do either: "
        "write apply_b_dec_to_input: false (as Gemma Scope) or true"
    ]
    batch = w | {"threshold": torch.tensor(0.5), "k": torch.tensor(3)}
    assert "batch-top-k" in flaws_of(tmp_path, batch)[0]
    assert flaws_of(tmp_path, batch, kind="top-k") == []
    assert flaws_of(tmp_path, batch, kind="jumprelu", apply_b_dec_to_input=True) == []
    assert flaws_of(tmp_path, w, kind="standard", metadata={"normalize_activations": "layer_norm"}) == [
        "'sae.safetensors' says normalize_activations: layer_norm, which is not supported; fold it into the weights"
    ]
    assert "says that its encoder is 'temporal'" in flaws_of(tmp_path, w, metadata={"architecture": "temporal"})[0]
    (tmp_path / "sae.safetensors").write_bytes(b"not a file of weights")
    section = SaeSpec(file="sae.safetensors", site="r1")
    flaws = read_sae(Sae("res", Residual(1)), section, tmp_path, 32)[1]
    assert flaws[0].message.startswith("'sae.safetensors' cannot be read as safetensors: ")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"architecture": "topk", "k": 3}, (SaeKind.TOP_K, 3, True)),
        ({"architecture": "standard", "activation_fn": "topk", "activation_fn_kwargs": {"k": 4}},
         (SaeKind.TOP_K, 4, True)),
        ({"architecture": "standard", "apply_b_dec_to_input": False}, (SaeKind.STANDARD, None, False)),
    ],
    ids=["topk", "before version 6", "standard"],
)  # fmt: skip
def test_what_saelens_writes_beside_its_weights_is_read(words, expected, tmp_path):
    save_file(random_weights(SaeKind.STANDARD), tmp_path / "sae_weights.safetensors")
    (tmp_path / "cfg.json").write_text(json.dumps(words))
    section = SaeSpec(file="sae_weights.safetensors", site="r1")
    file, flaws = read_sae(Sae("res", Residual(1)), section, tmp_path, 32)
    assert flaws == []
    assert file is not None
    assert (file.kind, file.k, file.subtract) == expected


def test_weights_that_are_not_finite_are_refused(tmp_path):
    w = random_weights(SaeKind.GATED)
    w["W_dec"][3, 4] = torch.nan
    with pytest.raises(ModelError, match=r"res\.safetensors: W_dec holds NaN or infinity"):
        saved(tmp_path, SaeKind.GATED, w, Residual(1))


def test_features_are_measured_literally_and_plans_say_so(equipped):
    model = equipped("gpt2", Residual(2))
    claims = [claim_of(model, "sae.res.f1", "logits"), claim_of(model, "m0", "sae.res.error"), claim_of(model, "m0")]
    plan = build_plan(CircuitGraph("test", model.shape, (), tuple(claims)))
    found = [executor_of(experiment, model.shape, Executor.FAST) for experiment in plan.experiments]
    assert [executor for executor, _ in found] == [Executor.LITERAL, Executor.LITERAL, Executor.FAST]
    assert found[0][1] == found[1][1] == "parts of the stream that a sparse autoencoder takes apart"
    # Two runs of 28 tokens, in each of which 24 features of a stream of 32 numbers are encoded and decoded.
    prompts, first = PromptShape.of(PROMPTS), plan.experiments[0]
    apart = literal_work(first, model.shape, prompts) - 2 * forward_work(model.shape, prompts)
    assert apart == 2 * 28 * 2 * (2 * 32 * WIDTH)


SPEC = """\
version: 1
name: parts
model: ioi-mini
saes: {res2: {file: sae.safetensors, site: r2, kind: top-k, k: 4}}
prompts: {generator: {name: ioi, n: 4, seed: 0}}
metric: {name: logit_diff, at: END}
groups: {some: [sae.res2.f1, sae.res2.f2]}
edges:
  - {sender: some@S2, receiver: "a2.h0<v>@S2"}
  - {sender: "sae.res2.f*@S2", receiver: "a2.h1<v>@S2", join: senders}
nodes: [sae.res2.error@END, sae.res2.f55@each]
baseline: {edges: 3}
"""


@pytest.fixture
def parts(tmp_path) -> Path:
    """A spec of features of ioi-mini, with its own copy of the weights."""
    shutil.copy(ROOT / "specs" / "ioi-mini-sae.safetensors", tmp_path / "sae.safetensors")
    (tmp_path / "parts.yaml").write_text(SPEC)
    return tmp_path / "parts.yaml"


def test_a_run_holds_its_autoencoders_and_is_read_without_their_files(parts, tmp_path):
    result = cg.run(parts, out=tmp_path / "run")
    assert [row.label for row in result.rows if row.kind == "edge"][:2] == [
        "sae.res2.f1@S2 → a2.h0<v>@S2", "sae.res2.f2@S2 → a2.h0<v>@S2"]  # fmt: skip
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    digest = hashlib.sha256((tmp_path / "sae.safetensors").read_bytes()).hexdigest()
    assert record["saes"] == [
        {"name": "res2", "site": "r2", "width": 96, "kind": "top-k", "k": 4, "apply_b_dec_to_input": True,
         "sha256": digest}
    ]  # fmt: skip
    (tmp_path / "sae.safetensors").unlink()
    assert [row.id for row in cg.load_run(tmp_path / "run").rows] == [row.id for row in result.rows]


def test_a_run_goes_on_only_with_the_same_weights(parts, tmp_path):
    cg.run(parts, out=tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps(record | {"status": "interrupted"}))
    tensors = load_file(tmp_path / "sae.safetensors")
    save_file({**tensors, "b_enc": tensors["b_enc"] + 0.1}, tmp_path / "sae.safetensors")
    with pytest.raises(InputError, match="sparse autoencoders differ"):
        cg.run(parts, out=tmp_path / "run", resume=True)


def test_autoencoders_that_nothing_names_are_told(parts):
    parts.write_text(SPEC.replace("saes: {", "saes: {idle: {file: sae.safetensors, site: r3, kind: standard}, "))
    assert "saes: nothing names a feature of idle" in check(parts).warnings


def test_a_circuit_as_a_whole_knows_no_features(parts):
    with pytest.raises(SpecError, match=r"sae\.res2\.f1 sends no edge of the finest partition"):
        cg.evaluate(parts)


# What is shipped -----------------------------------------------------------------------------------


def test_the_page_shows_what_the_spec_gives(circuitgraph, monkeypatch, tmp_path):
    """Word by word; numbers to what float32 may differ by between machines."""
    shown = (
        (ROOT / "docs" / "saes.md")
        .read_text(encoding="utf-8")
        .split("circuitgraph test specs/ioi-mini-sae.yaml\n\n")[1]
    )
    shown = shown.split("\n\n<img")[0].split()
    ended = circuitgraph("test", ROOT / "specs" / "ioi-mini-sae.yaml", "--out", tmp_path / "run")
    assert ended.status == 0
    found = ended.out.split()
    assert len(found) == len(shown)
    for ours, theirs in zip(found, shown, strict=True):
        if ours != theirs:
            here, there = (float(word.strip("[],")) for word in (ours, theirs))
            assert here == pytest.approx(there, rel=0.01, abs=0.002)


def test_the_script_trains_what_is_shipped():
    """A few steps of it: tensors of the shapes that the shipped file has, and the same again."""
    found = importlib.util.spec_from_file_location("train_ioi_sae", ROOT / "examples" / "train_ioi_sae.py")
    assert found is not None
    assert found.loader is not None
    script = importlib.util.module_from_spec(found)
    found.loader.exec_module(script)
    checked = check(script.prompts_of("abc", 3, n=20))
    x = script.activations(script.load_model(checked.location, device="cpu"), checked.prompts)
    first, again = (script.train(x, 5, torch.Generator().manual_seed(0)) for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    shipped = load_file(ROOT / "specs" / "ioi-mini-sae.safetensors")
    assert {key: x.shape for key, x in first.items()} == {key: x.shape for key, x in shipped.items()}

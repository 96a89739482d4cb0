"""Loading: what is refused, what the proofs at load catch, and that pieces, padding and whole runs agree."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformer_lens.hook_points import HookPoint

from circuitgraph.errors import AuditError, InputError, ModelError
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.loading import load_model
from circuitgraph.models.locate import Location, locate
from circuitgraph.models.proofs import compose, prove
from circuitgraph.models.shape import bos_default
from circuitgraph.models.sites import Site, SiteKind, hook_name
from circuitgraph.nodes import MLP, Residual
from circuitgraph.spec.model import ModelSpec
from tests.tiny import (
    FAMILIES,
    FLOAT32_INSIDE,
    GROUPED,
    HEADS,
    LAYERS,
    PARALLEL,
    POST_NORM,
    VOCAB,
    tl_layout,
)

IDS = torch.randint(3, VOCAB, (2, 6), generator=torch.Generator().manual_seed(3))


def load(directory: Path, dtype: str = "float32") -> TransformerModel:
    return load_model(Location("directory", directory.name, directory), dtype=dtype, device="cpu")


def apart(a: Tensor | None, b: Tensor) -> float:
    """The largest deviation, relative to the largest value."""
    assert a is not None
    return float((a - b).abs().max() / b.abs().max())


# What a loaded model gives --------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_loads_and_its_pieces_compose_to_the_whole(tiny_model, family):
    model = tiny_model(family)
    shape = model.shape
    assert (shape.layers, shape.heads, shape.vocab) == (LAYERS, HEADS, VOCAB)
    assert shape.mlps == (family != "tl_attention_only")
    assert shape.parallel == (family in PARALLEL)
    assert shape.post_norm == (family in POST_NORM)
    assert shape.grouped == (family in GROUPED)
    assert shape.causal == (family != "tl_bidirectional")
    assert (shape.norm, shape.final_norm) == (family != "tl_no_norm",) * 2
    assert len(model.fingerprint) == 64
    whole = model.run(IDS)
    # In float32, sums in another order may round differently.
    within = 1e-6 if family in FLOAT32_INSIDE else 1e-12
    assert apart(whole.logits, compose(model, IDS, {})) < within


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", FAMILIES)
def test_padding_changes_nothing(tiny_model, family, side):
    model = tiny_model(family)
    short, padding = IDS[:1, :4], torch.full((1, 2), 1)
    row = torch.cat((padding, short) if side == "left" else (short, padding), dim=1)
    ids = torch.cat((row, IDS[1:]))
    mask = torch.ones_like(ids, dtype=torch.bool)
    tokens = slice(2, 6) if side == "left" else slice(0, 4)
    mask[0] = False
    mask[0, tokens] = True
    alone, long = model.run(short).logits, model.run(IDS[1:]).logits
    padded = model.run(ids, mask).logits
    assert apart(padded[:1, tokens], alone) < 1e-6
    assert apart(padded[1:], long) < 1e-6
    pieces = compose(model, ids, {}, mask)
    assert apart(pieces[:1, tokens], alone) < 1e-6
    # The padding would matter if the mask did not say what it is.
    if side == "left" or not model.shape.causal:
        assert apart(model.run(ids).logits[:1, tokens], alone) > 1e-3


@pytest.mark.parametrize("family", [family for family in FAMILIES if not family.startswith("tl_")])
def test_every_family_is_proved_in_every_precision(checkpoint, tiny_model, family):
    exact = tiny_model(family).run(IDS).logits
    for dtype, within in (("float32", 1e-4), ("bfloat16", 0.1)):
        model = load(checkpoint(family), dtype)
        assert model.run(IDS).logits.dtype == model.dtype == getattr(torch, dtype)
        assert apart(model.run(IDS).logits, exact) < within


@pytest.mark.parametrize("family", [family for family in FAMILIES if not family.startswith("tl_")])
def test_bos_is_what_transformer_lens_does(tiny_model, checkpoint, family):
    place = Location("directory", family, checkpoint(family))
    assert bos_default(place) == tiny_model(family)._bridge.cfg.default_prepend_bos


def test_a_run_can_stop_early_and_tells_what_it_never_reached(tiny_model):
    model = tiny_model("gpt2")
    run = model.run(IDS, reads=[Site(SiteKind.Z, 1)], stop_after=1)
    assert run.logits is None
    assert torch.equal(
        run.reads[Site(SiteKind.Z, 1)], model.run(IDS, reads=[Site(SiteKind.Z, 1)]).reads[Site(SiteKind.Z, 1)]
    )
    with pytest.raises(ModelError, match=r"never computed z\(2\)"):
        model.run(IDS, reads=[Site(SiteKind.Z, 2)], stop_after=1)
    with pytest.raises(ModelError, match=r"a write to z\(1\) changed"):
        model.run(IDS, writes={Site(SiteKind.Z, 1): lambda old: old[:1]})


def test_equal_files_have_equal_fingerprints_and_any_change_shows(checkpoint, tmp_path):
    same, other = tmp_path / "same", tmp_path / "other"
    for copy in (same, other):
        shutil.copytree(checkpoint("tl_no_norm"), copy)
    state = load_file(other / "model.safetensors")
    state["unembed.b_U"][0] += 1e-3
    save_file(state, other / "model.safetensors")
    first, second, third = (load(at).fingerprint for at in (checkpoint("tl_no_norm"), same, other))
    assert first == second != third


# What the proofs catch ------------------------------------------------------------------------


class Deaf(HookPoint):
    """A hook point that is computed, but whose hooks no longer change what follows."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        super().__call__(*args, **kwargs)
        return args[0]


class Dead(HookPoint):
    """A hook point that the model no longer passes through."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return args[0]


def hook_point(model: TransformerModel, site: Site) -> HookPoint:
    return model._bridge.hook_dict[hook_name(site)]


@pytest.mark.parametrize(
    "site",
    [
        Site(SiteKind.RESID_PRE, 1),
        Site(SiteKind.Q, 1),
        Site(SiteKind.K, 0),
        Site(SiteKind.V, 2),
        Site(SiteKind.Z, 1),
        Site(SiteKind.ATTN_OUT, 1),
        Site(SiteKind.MLP_IN, 2),
        Site(SiteKind.NEURONS, 0),
        Site(SiteKind.MLP_OUT, 1),
        Site(SiteKind.FINAL),
    ],
    ids=str,
)
def test_a_disconnected_hook_is_noticed(checkpoint, site, monkeypatch):
    model = load(checkpoint("tl_bidirectional"))
    prove(model)
    monkeypatch.setattr(hook_point(model, site), "__class__", Deaf)
    with pytest.raises(AuditError, match="cannot be measured") as caught:
        prove(model)
    assert caught.value.exit_status == 4
    monkeypatch.setattr(hook_point(model, site), "__class__", Dead)
    with pytest.raises(ModelError, match="never computed"):
        prove(model)


WRONG_RULES: list[tuple[str, dict[str, Any]]] = [
    ("gpt2", {"scale": 0.3}),
    ("gpt2", {"causal": False}),
    ("tl_bidirectional", {"causal": True}),
    ("llama", {"rotate": None}),
    ("gemma2", {"window": None}),
    ("gemma2", {"window": 3}),
    ("gemma2", {"soft_cap": 1.0}),
    ("gemma3_text", {"window": 3}),
    ("gemma3_text", {"norm_q": None}),
    ("gemma3_text", {"rotate": None}),
    ("qwen3", {"norm_k": None}),
    ("mistral", {"window": 5}),
    ("gptj", {"rotate": None}),
    ("phi", {"rotate": None}),
]


@pytest.mark.parametrize(("family", "wrong"), WRONG_RULES)
def test_a_wrong_attention_rule_is_noticed(tiny_model, monkeypatch, family, wrong):
    model = tiny_model(family)
    prove(model)
    rules = (replace(model.rules[0], **wrong), *model.rules[1:])
    monkeypatch.setattr(model, "rules", rules)
    with pytest.raises(AuditError, match="composition of the pieces"):
        prove(model)


@pytest.mark.parametrize(
    ("family", "wrong"),
    [
        ("gpt2", {"parallel": True}),
        ("gpt_neox", {"parallel": False}),
        ("gemma2", {"post_norm": False}),
        ("gpt2", {"mlps": False}),
        ("gpt2", {"layers": 2}),
    ],
)
def test_a_wrong_shape_is_noticed(tiny_model, monkeypatch, family, wrong):
    model = tiny_model(family)
    monkeypatch.setattr(model, "shape", replace(model.shape, **wrong))
    with pytest.raises(AuditError):
        prove(model)


def test_a_block_that_adds_something_else_is_noticed(checkpoint):
    model = load(checkpoint("gpt2"))

    def add(_module: object, _args: object, out: Any) -> Any:
        return out + 0.05 if isinstance(out, Tensor) else (out[0] + 0.05, *out[1:])

    model._block(1).register_forward_hook(add)
    with pytest.raises(AuditError, match="sum of all writes"):
        prove(model)


def test_a_mask_that_is_ignored_is_noticed(checkpoint, monkeypatch):
    model = load(checkpoint("tl_bidirectional"))
    run = model._bridge.run_with_hooks
    monkeypatch.setattr(model._bridge, "run_with_hooks", lambda *a, **k: run(*a, **k | {"attention_mask": None}))
    with pytest.raises(AuditError, match="padded"):
        prove(model)


# What is refused ------------------------------------------------------------------------------

Tensors = dict[str, Tensor]


def without(*names: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda fields: {name: value for name, value in fields.items() if name not in names}


def plus(**more: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda fields: fields | more


def untouched(fields: dict[str, Any]) -> dict[str, Any]:
    return fields


BROKEN = [
    ("gpt2", plus(model_type="gpt22"), untouched, r"'gpt22' is no model family that is supported; did you mean 'gpt2'"),
    ("gpt2", without("model_type"), untouched, "neither 'model_type'"),
    ("gpt2", plus(layer_norm_epsilon="x"), untouched, "cannot be loaded: StrictDataclassFieldValidationError: "),
    ("gpt2", plus(activation_function="foo"), untouched, "cannot be loaded: KeyError: 'foo'"),
    ("llama", plus(quantization_config={"quant_method": "x"}), untouched, "quantized checkpoints are not supported"),
    ("gpt2", plus(n_layer=2), untouched, r"unexpected weights: transformer\.h\.2\."),
    ("gpt2", plus(vocab_size=60), untouched, r"another shape than config\.json says: transformer\.wte\.weight"),
    (
        "gpt2",
        untouched,
        without("transformer.h.1.mlp.c_fc.bias"),
        r"missing weights: transformer\.h\.1\.mlp\.c_fc\.bias$",
    ),
    ("gpt2", untouched, plus(**{"transformer.h.1.x": torch.zeros(1)}), r"unexpected weights: transformer\.h\.1\.x$"),
    ("llama", plus(num_key_value_heads=4), untouched, r"another shape than config\.json says: .*k_proj"),
    ("opt", plus(do_layer_norm_before=False), untouched, "do_layer_norm_before: False is not supported for .* 'opt'"),
    ("opt", plus(_remove_final_layer_norm=True), untouched, "_remove_final_layer_norm: True is not supported"),
    ("opt", plus(word_embed_proj_dim=16), untouched, "word_embed_proj_dim: 16 is not supported, only that of hidden"),
    ("phi", plus(qk_layernorm=True), untouched, "qk_layernorm: True is not supported"),
    ("mistral", plus(layer_types=["full_attention"] * 3), untouched, "layer_types: .* is not supported"),
    ("gemma3_text", plus(attn_logit_softcapping=50.0), untouched, r"attn_logit_softcapping: 50\.0 is not supported"),
    ("gemma3_text", plus(use_bidirectional_attention=True), untouched, "use_bidirectional_attention: True is not"),
    ("qwen2", plus(layer_types=["chunked_attention"] * 3), untouched, "chunked_attention"),
    ("qwen2", plus(model_type="qwen2_moe"), untouched, "'qwen2_moe' is no model family that is supported"),
    ("tl_bidirectional", plus(use_NTK_by_parts_rope=True), untouched, "use_NTK_by_parts_rope: True is not supported"),
    (
        "tl_bidirectional",
        plus(positional_embedding_type="rotary"),
        untouched,
        "rotary embeddings that rotate halves are not supported in this layout, only rotary_adjacent_pairs: true",
    ),
    ("tl_bidirectional", plus(parallel_attn_mlp=True), untouched, "parallel_attn_mlp: True is not supported"),
    ("tl_bidirectional", plus(use_local_attn=True), untouched, "use_local_attn: True is not supported"),
    ("tl_bidirectional", plus(act_fn="rel"), untouched, "act_fn='rel'"),
    ("tl_bidirectional", plus(positional_embedding_type="alibi"), untouched, "alibi"),
    ("tl_bidirectional", plus(attention_dir="bidirectionnal"), untouched, "none of: causal, bidirectional"),
    ("tl_bidirectional", plus(normalization_type="LayerNorm"), untouched, "none of: null, LN, LNPre, RMS"),
    ("tl_bidirectional", plus(normalization_type=None), untouched, r"unexpected weights: blocks\.0\.ln1"),
    ("tl_bidirectional", without("normalization_type"), untouched, r"unexpected weights: blocks\.0\.ln1"),
    ("tl_no_norm", plus(normalization_type="LN"), untouched, r"missing weights: layers\.0\.ln1"),
    ("tl_bidirectional", untouched, without("blocks.1.attn.b_O"), r"missing weights: layers\.1\.attn\.o\.bias$"),
    ("tl_bidirectional", untouched, without("pos_embed.W_pos"), "missing weights: pos"),
    ("tl_bidirectional", without("d_head"), untouched, "does not say 'd_head'"),
    ("tl_bidirectional", plus(d_head=4), untouched, r"W_K.*expected \(4, 32, 4\)"),
]


@pytest.mark.parametrize(("family", "config", "weights", "message"), BROKEN, ids=[row[3] for row in BROKEN])
def test_a_checkpoint_that_does_not_fit_is_refused(checkpoint, tmp_path, family, config, weights, message):
    directory = tmp_path / "model"
    shutil.copytree(checkpoint(family), directory)
    fields = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config(fields)))
    state = load_file(directory / "model.safetensors")
    save_file(weights(state), directory / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=message) as caught:
        load(directory)
    assert caught.value.exit_status == 5
    assert "\n" not in str(caught.value)


def test_a_config_that_leaves_out_what_its_family_has_a_default_for_is_refused(tmp_path):
    import transformers as t

    config = t.MistralConfig(
        vocab_size=VOCAB,
        hidden_size=32,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=16,
        num_key_value_heads=8,
    )
    t.MistralForCausalLM(config).save_pretrained(tmp_path)
    load(tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(without("num_key_value_heads")(fields)))
    with pytest.raises(ModelError, match="says 16 key/value heads, the model has 8"):
        load(tmp_path)


@pytest.mark.parametrize("family", ["gpt2", "tl_no_norm"])
def test_damaged_files_are_refused(checkpoint, tmp_path, family):
    directory = tmp_path / "model"
    shutil.copytree(checkpoint(family), directory)
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:999])
    with pytest.raises(ModelError, match="header"):
        load(directory)
    # Weights that are there only as a pickle are never read: unpickling runs code.
    weights.rename(directory / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"no \*\.safetensors file; other weight formats are not read"):
        load(directory)
    (directory / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read as JSON"):
        load(directory)


def test_weights_that_are_not_finite_fail_the_proofs(checkpoint, tmp_path):
    directory = tmp_path / "model"
    shutil.copytree(checkpoint("gpt2"), directory)
    state = load_file(directory / "model.safetensors")
    state["transformer.h.1.ln_1.weight"][0] = float("nan")
    save_file(state, directory / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(AuditError, match=r"q\(1\) is NaN or infinite on random tokens; a weight before it"):
        load(directory)


@pytest.mark.parametrize("device", ["mps", "meta", "xpu"])
def test_a_device_that_is_not_supported_is_refused(checkpoint, device):
    with pytest.raises(InputError, match=f"'{device}' is no device that is supported; have: auto, cpu, cuda"):
        load_model(Location("directory", "gpt2", checkpoint("gpt2")), device=device)


def test_a_device_that_is_none_is_refused(checkpoint):
    place = Location("directory", "gpt2", checkpoint("gpt2"))
    with pytest.raises(InputError, match="'gpu' is no device") as caught:
        load_model(place, device="gpu")
    assert caught.value.exit_status == 2


# Where models are -----------------------------------------------------------------------------


def test_locating_a_model_never_asks_the_network(monkeypatch, tmp_path, checkpoint):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in ("gpt2", "someone/some-model"):
        found = locate(ModelSpec(name=name, revision="abc"), tmp_path)
        assert (found.kind, found.name, found.revision) == ("hub", name, "abc")
        assert found.path is None
    shutil.copytree(checkpoint("gpt2"), tmp_path / "mine")
    assert locate(ModelSpec(name="mine"), tmp_path) == Location("directory", "mine", (tmp_path / "mine").resolve())
    load(tmp_path / "mine")
    with pytest.raises(InputError, match="no model directory"):
        locate(ModelSpec(name="./absent"), tmp_path)
    with pytest.raises(InputError, match="did you mean 'gpt2"):
        locate(ModelSpec(name="gtp2"), tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"has no config\.json"):
        locate(ModelSpec(name="empty"), tmp_path)


def test_a_shape_says_which_nodes_there_are(tiny_model):
    assert tiny_model("gpt_neox").shape.problem_with(Residual(1, mid=True)) is not None
    assert tiny_model("gpt2").shape.problem_with(Residual(1, mid=True)) is None
    assert tiny_model("tl_attention_only").shape.problem_with(MLP(0)) is not None


def test_rotary_embeddings_in_tl_layout_rotate_adjacent_pairs(tmp_path):
    """Against plain torch: dimensions 2i and 2i + 1 of q and k turn by position · 10000^(−2i / d_head)."""
    config, state = tl_layout("tl_attention_only")
    config |= {"positional_embedding_type": "rotary", "rotary_adjacent_pairs": True, "rotary_dim": 8, "n_layers": 1}
    config |= {"normalization_type": None}
    kept = ("embed.", "unembed.", "blocks.0.attn")
    state = {name: x for name, x in state.items() if name.startswith(kept)}
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(state, tmp_path / "model.safetensors")
    model = load_model(Location("directory", "rotary", tmp_path), dtype="float64", device="cpu")
    ids = torch.tensor([[5, 9, 11, 7, 30]])

    weights = {name: x.double() for name, x in state.items()}
    resid = weights["embed.W_E"][ids]
    q, k, v = (
        torch.einsum("bsd,hde->bhse", resid, weights[f"blocks.0.attn.W_{n}"]) + weights[f"blocks.0.attn.b_{n}"][:, None]
        for n in "QKV"
    )
    angles = torch.arange(5.0)[:, None] * 10000.0 ** (-torch.arange(0, 8, 2) / 8)
    turn = torch.polar(torch.ones_like(angles), angles).to(torch.complex128)

    def rotate(x: torch.Tensor) -> torch.Tensor:
        return torch.view_as_real(torch.view_as_complex(x.reshape(*x.shape[:-1], 4, 2)) * turn).flatten(-2)

    scores = rotate(q) @ rotate(k).transpose(-1, -2) / 8**0.5
    pattern = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf).softmax(-1)
    out = torch.einsum("bhse,hed->bsd", pattern @ v, weights["blocks.0.attn.W_O"]) + weights["blocks.0.attn.b_O"]
    expected = (resid + out) @ weights["unembed.W_U"] + weights["unembed.b_U"]
    # TransformerLens' rotation tables are float32.
    assert torch.allclose(model.run(ids).logits, expected, atol=1e-5)

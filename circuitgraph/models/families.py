"""What differs between model families and can be known without loading one. No torch.

A row per Hugging Face `model_type`. A family that is not listed cannot be run: its blocks may compute
something else than circuitgraph's protocol assumes, and a wrong number is worse than none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from circuitgraph.errors import ModelError, did_you_mean
from circuitgraph.graph.shape import ModelShape

TL_LAYOUT = "transformer_lens"

Refusal = Callable[[Mapping[str, Any]], str | None]
"""config.json → why a model with it is not supported; None if it is."""


def _only(**supported: Any) -> Refusal:
    """Refuse every other value of these fields; a field that is absent or null is fine."""

    def refusal(config: Mapping[str, Any]) -> str | None:
        wrong = [name for name, value in supported.items() if config.get(name) not in (value, None)]
        return f"{wrong[0]}: {config[wrong[0]]!r} is not supported" if wrong else None

    return refusal


def _opt(config: Mapping[str, Any]) -> str | None:
    projected = config.get("word_embed_proj_dim")
    if projected not in (config.get("hidden_size"), None):
        return f"word_embed_proj_dim: {projected!r} is not supported, only that of hidden_size"
    return _only(do_layer_norm_before=True, _remove_final_layer_norm=False)(config)


@dataclass(frozen=True, slots=True)
class Family:
    """Facts of one family.

    `bos` is TransformerLens' default for prepending a BOS token; `parallel` says that attention and MLP of
    a block read the same stream (unless the config says otherwise); `post_norm` that their outputs are
    normalised before they are added to it; `gated` that an MLP has a third matrix, whose values its neurons are
    multiplied with. `refuse` tells variants whose blocks compute something else.
    """

    model_type: str
    title: str
    bos: bool = True
    parallel: bool = False
    post_norm: bool = False
    gated: bool = False
    refuse: Refusal | None = None


FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        Family("gpt2", "GPT-2"),
        Family("gpt_neox", "GPT-NeoX, Pythia", bos=False, parallel=True),
        Family("llama", "Llama", gated=True),
        Family("gemma2", "Gemma 2", post_norm=True, gated=True),
        # transformers has a soft cap for the scores of Gemma 3 in its config, and does not apply it.
        Family(
            "gemma3_text",
            "Gemma 3 (text)",
            post_norm=True,
            gated=True,
            refuse=_only(use_bidirectional_attention=False, attn_logit_softcapping=None),
        ),
        Family("qwen2", "Qwen 2 and 2.5", bos=False, gated=True),
        Family("qwen3", "Qwen 3", bos=False, gated=True),
        # Layers of several kinds make it another model, which transformers would run as this one.
        Family("mistral", "Mistral", gated=True, refuse=_only(layer_types=None)),
        Family("opt", "OPT", refuse=_opt),
        Family("phi", "Phi 1, 1.5 and 2", bos=False, parallel=True, refuse=_only(qk_layernorm=False)),
        Family("gptj", "GPT-J", parallel=True),
        Family(TL_LAYOUT, "TransformerLens layout", bos=False),
    )
}

# Published shapes of the models that circuits are most often written for, so that a spec can be
# checked and planned before anything is downloaded. Facts from the models' config files.
_GPT2_SIZES = {
    "gpt2": (12, 12, 768),
    "gpt2-medium": (24, 16, 1024),
    "gpt2-large": (36, 20, 1280),
    "gpt2-xl": (48, 25, 1600),
}
KNOWN_HUB_CONFIGS: dict[str, dict[str, Any]] = {
    **{
        name: {
            "model_type": "gpt2",
            "n_layer": layers,
            "n_head": heads,
            "n_embd": width,
            "n_positions": 1024,
            "vocab_size": 50257,
        }
        for size, (layers, heads, width) in _GPT2_SIZES.items()
        for name in (size, f"openai-community/{size}")
    },
    **{
        f"EleutherAI/pythia-{size}": {
            "model_type": "gpt_neox",
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "max_position_embeddings": 2048,
            "vocab_size": 50304,
            "use_parallel_residual": True,
        }
        for size, layers, heads, width in (("70m", 6, 8, 512), ("160m", 12, 12, 768), ("410m", 24, 16, 1024))
    },
    # One of each other family that is small or much written about.
    "Qwen/Qwen2.5-0.5B": {
        "model_type": "qwen2",
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "max_position_embeddings": 32768,
        "vocab_size": 151936,
    },
    "facebook/opt-125m": {
        "model_type": "opt",
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "hidden_size": 768,
        "ffn_dim": 3072,
        "max_position_embeddings": 2048,
        "vocab_size": 50272,
    },
    "microsoft/phi-2": {
        "model_type": "phi",
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "max_position_embeddings": 2048,
        "vocab_size": 51200,
    },
    "EleutherAI/gpt-j-6b": {
        "model_type": "gptj",
        "n_layer": 28,
        "n_head": 16,
        "n_embd": 4096,
        "n_positions": 2048,
        "vocab_size": 50400,
    },
    "google/gemma-2-2b": {
        "model_type": "gemma2",
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "max_position_embeddings": 8192,
        "vocab_size": 256000,
        "final_logit_softcapping": 30.0,
    },
}


def family_of(config: Mapping[str, Any]) -> Family:
    """The family a `config.json` belongs to.

    Raises:
        ModelError: no `model_type`, or one that circuitgraph does not know.
    """
    if is_tl_layout(config):
        return FAMILIES[TL_LAYOUT]
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise ModelError("config.json has neither 'model_type' (Hugging Face) nor 'n_layers' (TransformerLens layout)")
    if model_type not in FAMILIES:
        raise ModelError(f"'{model_type}' is no model family that is supported{did_you_mean(model_type, FAMILIES)}")
    return FAMILIES[model_type]


def is_tl_layout(config: Mapping[str, Any]) -> bool:
    """Whether a config holds the fields of TransformerLens' HookedTransformerConfig."""
    return "model_type" not in config and "n_layers" in config and "n_heads" in config


def shape_of(config: Mapping[str, Any]) -> ModelShape:
    """The shape a `config.json` describes.

    Raises:
        ModelError: unknown family, or a size is missing.
    """
    family = family_of(config)
    refusal = family.refuse(config) if family.refuse else None
    if refusal:
        raise ModelError(f"config.json: {refusal} for model family '{family.model_type}'")
    return _tl_shape(config) if family.model_type == TL_LAYOUT else _hf_shape(config, family)


def _hf_shape(config: Mapping[str, Any], family: Family) -> ModelShape:
    def size(*names: str) -> int:
        for name in names:
            if isinstance(config.get(name), int):
                return config[name]
        raise ModelError(f"config.json does not say '{names[0]}'")

    heads, width = size("num_attention_heads", "n_head"), size("hidden_size", "n_embd")
    parallel = bool(config.get("use_parallel_residual", True)) if family.parallel else False
    return ModelShape(
        layers=size("num_hidden_layers", "n_layer"),
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        d_model=width,
        d_head=config.get("head_dim") or width // heads,
        d_mlp=config.get("intermediate_size") or config.get("ffn_dim") or config.get("n_inner") or 4 * width,
        vocab=size("vocab_size"),
        vocab_out=size("vocab_size"),
        context=size("max_position_embeddings", "n_positions"),
        parallel=parallel,
        post_norm=family.post_norm,
        soft_cap=bool(config.get("final_logit_softcapping")),
        gated=family.gated,
        family=family.model_type,
    )


def _tl_shape(config: Mapping[str, Any]) -> ModelShape:
    for name in ("n_layers", "n_heads", "d_model", "d_head", "d_vocab", "n_ctx"):
        if not isinstance(config.get(name), int):
            raise ModelError(f"config.json does not say '{name}'")
    return ModelShape(
        layers=config["n_layers"],
        heads=config["n_heads"],
        kv_heads=config.get("n_key_value_heads") or config["n_heads"],
        d_model=config["d_model"],
        d_head=config["d_head"],
        d_mlp=config.get("d_mlp"),
        vocab=config["d_vocab"],
        vocab_out=config["d_vocab_out"] if (config.get("d_vocab_out") or 0) > 0 else config["d_vocab"],
        context=config["n_ctx"],
        mlps=not config.get("attn_only", False),
        parallel=bool(config.get("parallel_attn_mlp", False)),
        causal=config.get("attention_dir", "causal") == "causal",
        norm=config.get("normalization_type") is not None,
        final_norm=config.get("normalization_type") is not None,
        soft_cap=(config.get("output_logits_soft_cap") or -1.0) > 0,
        gated=bool(config.get("gated_mlp", False)),
        family=TL_LAYOUT,
    )

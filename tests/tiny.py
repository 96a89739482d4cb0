"""Tiny random checkpoints of every family, made on the spot, and prompt pairs for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file

from circuitgraph.prompts.pairs import Pair, PromptSet

VOCAB = 50
LAYERS, HEADS, WIDTH = 3, 4, 32


class Sizes(NamedTuple):
    """How large a tiny model is; `kv_heads` for the families that share keys and values."""

    layers: int = LAYERS
    heads: int = HEADS
    kv_heads: int = 2
    d_head: int = 8
    d_mlp: int | None = None
    """None = what is usual for the family here."""
    vocab: int = VOCAB

    @property
    def width(self) -> int:
        """d_model"""
        return self.heads * self.d_head


USUAL = Sizes()


def hugging_face(family: str, size: Sizes = USUAL) -> Any:
    """A randomly initialised Hugging Face model whose every parameter matters."""
    import transformers as t

    sizes: dict[str, Any] = {
        "vocab_size": size.vocab,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "hidden_size": size.width,
        "intermediate_size": size.d_mlp or 48,
        "max_position_embeddings": 40,
    }
    gpt: dict[str, Any] = {
        "vocab_size": size.vocab,
        "n_layer": size.layers,
        "n_head": size.heads,
        "n_embd": size.width,
        "n_positions": 40,
        "n_inner": size.d_mlp,
    }
    # Wider heads than d_model / heads, where a family lets them be.
    wide: dict[str, Any] = {"num_key_value_heads": size.kv_heads, "head_dim": size.d_head + 4}
    match family:
        case "gpt2":
            config: Any = t.GPT2Config(**gpt)
            cls: Any = t.GPT2LMHeadModel
        case "gpt_neox" | "gpt_neox_sequential":
            parallel = family == "gpt_neox"
            config = t.GPTNeoXConfig(**sizes, rotary_pct=0.5, use_parallel_residual=parallel)
            cls = t.GPTNeoXForCausalLM
        case "llama":
            config, cls = t.LlamaConfig(**sizes, num_key_value_heads=size.kv_heads), t.LlamaForCausalLM
        case "llama_mha":
            config, cls = t.LlamaConfig(**sizes), t.LlamaForCausalLM
        case "gemma2":
            config = t.Gemma2Config(**sizes, **wide, sliding_window=4, query_pre_attn_scalar=12)
            cls = t.Gemma2ForCausalLM
        case "gemma3_text":
            # A window, none, a window; the two kinds of layers rotate with frequencies of their own.
            config = t.Gemma3TextConfig(
                **sizes,
                **wide,
                sliding_window=4,
                query_pre_attn_scalar=12,
                layer_types=[("sliding_attention", "full_attention")[layer % 2] for layer in range(size.layers)],
                rope_parameters={
                    "full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1000.0},
                    "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                },
            )
            cls = t.Gemma3ForCausalLM
        case "qwen2":
            config = t.Qwen2Config(
                **sizes,
                num_key_value_heads=size.kv_heads,
                use_sliding_window=True,
                sliding_window=4,
                max_window_layers=2,
            )
            cls = t.Qwen2ForCausalLM
        case "qwen3":
            config, cls = t.Qwen3Config(**sizes, **wide), t.Qwen3ForCausalLM
        case "mistral":
            config, cls = (
                t.MistralConfig(**sizes, num_key_value_heads=size.kv_heads, sliding_window=4),
                t.MistralForCausalLM,
            )
        case "opt":
            config = t.OPTConfig(**(sizes | {"ffn_dim": sizes.pop("intermediate_size")}), dropout=0.0)
            cls = t.OPTForCausalLM
        case "phi":
            config, cls = t.PhiConfig(**sizes, partial_rotary_factor=0.5), t.PhiForCausalLM
        case "gptj":
            config = t.GPTJConfig(**gpt, rotary_dim=4)
            cls = t.GPTJForCausalLM
        case _:
            raise ValueError(family)
    torch.manual_seed(0)
    model = cls(config).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        # Larger than at initialisation, biases and norms included: nothing is accidentally zero or one.
        parameter.data.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    if family == "opt":
        for block in model.model.decoder.layers:
            # The neurons that tests name have to fire.
            block.fc1.bias.data[:10] += 3.0
    return model


def tl_layout(kind: str, size: Sizes = USUAL) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Config and state dict in TransformerLens' own layout."""
    config: dict[str, Any] = {
        "n_layers": size.layers,
        "n_heads": size.heads,
        "d_model": size.width,
        "d_head": size.d_head,
        "d_mlp": size.d_mlp or 40,
        "n_ctx": 20,
        "d_vocab": size.vocab,
        "d_vocab_out": size.vocab,
        "act_fn": "relu",
        "eps": 1e-5,
        "attn_only": False,
        "attention_dir": "causal",
        "normalization_type": "LN",
        "positional_embedding_type": "standard",
        "attn_scale": size.d_head**0.5,
        "dtype": "float32",
        "device": "cpu",
    }
    match kind:
        case "tl_attention_only":
            config |= {"attn_only": True, "d_mlp": None}
        case "tl_bidirectional":
            config |= {"attention_dir": "bidirectional"}
        case "tl_no_norm":
            config |= {"normalization_type": None}
        case _:
            raise ValueError(kind)
    generator = torch.Generator().manual_seed(2)

    def random(*shape: int, scale: float = 0.4) -> torch.Tensor:
        return scale * torch.randn(shape, generator=generator)

    d, h, w = config["d_model"], config["n_heads"], config["d_head"]
    state = {
        "embed.W_E": random(size.vocab, d),
        "pos_embed.W_pos": random(config["n_ctx"], d),
        "unembed.W_U": random(d, size.vocab),
        "unembed.b_U": random(size.vocab),
    }
    norms = ["ln_final"]
    for layer in range(config["n_layers"]):
        at = f"blocks.{layer}."
        for name in "QKV":
            state[f"{at}attn.W_{name}"] = random(h, d, w)
            state[f"{at}attn.b_{name}"] = random(h, w)
        state[f"{at}attn.W_O"] = random(h, w, d)
        state[f"{at}attn.b_O"] = random(d)
        norms.append(f"{at}ln1")
        if not config["attn_only"]:
            state[f"{at}mlp.W_in"], state[f"{at}mlp.b_in"] = random(d, config["d_mlp"]), random(config["d_mlp"])
            state[f"{at}mlp.W_out"], state[f"{at}mlp.b_out"] = random(config["d_mlp"], d), random(d)
            norms.append(f"{at}ln2")
    if config["normalization_type"] is not None:
        for norm in norms:
            state[f"{norm}.w"], state[f"{norm}.b"] = 1 + random(d), random(d)
    return config, state


def save_checkpoint(family: str, directory: Path, size: Sizes = USUAL) -> Path:
    """Write a tiny checkpoint of a family; returns the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    if family.startswith("tl_"):
        config, state = tl_layout(family, size)
        (directory / "config.json").write_text(json.dumps(config))
        save_file(state, directory / "model.safetensors")
    else:
        hugging_face(family, size).save_pretrained(directory)
    return directory


FAMILIES = (
    "gpt2",
    "gpt_neox",
    "gpt_neox_sequential",
    "llama",
    "llama_mha",
    "gemma2",
    "gemma3_text",
    "qwen2",
    "qwen3",
    "mistral",
    "opt",
    "phi",
    "gptj",
    "tl_attention_only",
    "tl_bidirectional",
    "tl_no_norm",
)
TELLING = tuple(family for family in FAMILIES if family not in ("qwen2", "qwen3", "mistral", "phi"))
"""Families that an executor could tell apart by the pieces it uses: for what is tested at length."""
PARALLEL = ("gpt_neox", "phi", "gptj")
POST_NORM = ("gemma2", "gemma3_text")
GROUPED = ("llama", "gemma2", "gemma3_text", "qwen2", "qwen3", "mistral")
BIASED_MLPS = ("gpt2", "gpt_neox", "gpt_neox_sequential", "opt", "phi", "gptj", "tl_bidirectional", "tl_no_norm")
FLOAT32_INSIDE = ("llama", "llama_mha", "gemma2", "gemma3_text", "qwen2", "qwen3", "mistral", "opt", "phi", "gptj")
"""Families that take norms, softmax or scores in float32 whatever the model's precision."""


def random_prompts(pairs: int = 4, length: int = 7, seed: int = 0, *, lengths: tuple[int, ...] = ()) -> PromptSet:
    """Pairs of random token ids that differ from token 1 on, with positions A, B and END."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for i in range(pairs):
        tokens = lengths[i % len(lengths)] if lengths else length
        clean = torch.randint(3, VOCAB, (tokens,), generator=generator).tolist()
        corrupted = [clean[0], *torch.randint(3, VOCAB, (tokens - 1,), generator=generator).tolist()]
        made.append(
            Pair(
                clean=tuple(clean),
                corrupted=tuple(corrupted),
                answers=(clean[1], clean[2]),
                wrong_answers=(corrupted[1],),
                positions={"A": 1, "B": 2 + i % 2, "END": tokens - 1},
            )
        )
    return PromptSet(tuple(made))

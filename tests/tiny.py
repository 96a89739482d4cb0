"""Tiny random checkpoints of every family, made on the spot, and prompt pairs for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from circuitgraph.prompts.pairs import Pair, PromptSet

VOCAB = 50
LAYERS, HEADS, WIDTH = 3, 4, 32


def hugging_face(family: str) -> Any:
    """A randomly initialised Hugging Face model whose every parameter matters."""
    import transformers as t

    sizes: dict[str, Any] = {
        "vocab_size": VOCAB,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "hidden_size": WIDTH,
        "intermediate_size": 48,
        "max_position_embeddings": 40,
    }
    match family:
        case "gpt2":
            config: Any = t.GPT2Config(vocab_size=VOCAB, n_layer=LAYERS, n_head=HEADS, n_embd=WIDTH, n_positions=40)
            cls: Any = t.GPT2LMHeadModel
        case "gpt_neox" | "gpt_neox_sequential":
            parallel = family == "gpt_neox"
            config = t.GPTNeoXConfig(**sizes, rotary_pct=0.5, use_parallel_residual=parallel)
            cls = t.GPTNeoXForCausalLM
        case "llama":
            config, cls = t.LlamaConfig(**sizes, num_key_value_heads=2), t.LlamaForCausalLM
        case "llama_mha":
            config, cls = t.LlamaConfig(**sizes), t.LlamaForCausalLM
        case "gemma2":
            config = t.Gemma2Config(
                **sizes, num_key_value_heads=2, head_dim=12, sliding_window=4, query_pre_attn_scalar=12
            )
            cls = t.Gemma2ForCausalLM
        case "gemma3_text":
            # A window, none, a window; the two kinds of layers rotate with frequencies of their own.
            config = t.Gemma3TextConfig(
                **sizes,
                num_key_value_heads=2,
                head_dim=12,
                sliding_window=4,
                query_pre_attn_scalar=12,
                layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                rope_parameters={
                    "full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1000.0},
                    "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                },
            )
            cls = t.Gemma3ForCausalLM
        case "qwen2":
            config = t.Qwen2Config(
                **sizes, num_key_value_heads=2, use_sliding_window=True, sliding_window=4, max_window_layers=2
            )
            cls = t.Qwen2ForCausalLM
        case "qwen3":
            config, cls = t.Qwen3Config(**sizes, num_key_value_heads=2, head_dim=12), t.Qwen3ForCausalLM
        case "mistral":
            config, cls = t.MistralConfig(**sizes, num_key_value_heads=2, sliding_window=4), t.MistralForCausalLM
        case "opt":
            config = t.OPTConfig(**(sizes | {"ffn_dim": sizes.pop("intermediate_size")}), dropout=0.0)
            cls = t.OPTForCausalLM
        case "phi":
            config, cls = t.PhiConfig(**sizes, partial_rotary_factor=0.5), t.PhiForCausalLM
        case "gptj":
            config = t.GPTJConfig(
                vocab_size=VOCAB, n_layer=LAYERS, n_head=HEADS, n_embd=WIDTH, n_positions=40, rotary_dim=4
            )
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


def tl_layout(kind: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Config and state dict in TransformerLens' own layout."""
    config: dict[str, Any] = {
        "n_layers": LAYERS,
        "n_heads": HEADS,
        "d_model": WIDTH,
        "d_head": 8,
        "d_mlp": 40,
        "n_ctx": 20,
        "d_vocab": VOCAB,
        "d_vocab_out": VOCAB,
        "act_fn": "relu",
        "eps": 1e-5,
        "attn_only": False,
        "attention_dir": "causal",
        "normalization_type": "LN",
        "positional_embedding_type": "standard",
        "attn_scale": 8**0.5,
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
        "embed.W_E": random(VOCAB, d),
        "pos_embed.W_pos": random(config["n_ctx"], d),
        "unembed.W_U": random(d, VOCAB),
        "unembed.b_U": random(VOCAB),
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


def save_checkpoint(family: str, directory: Path) -> Path:
    """Write a tiny checkpoint of a family; returns the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    if family.startswith("tl_"):
        config, state = tl_layout(family)
        (directory / "config.json").write_text(json.dumps(config))
        save_file(state, directory / "model.safetensors")
    else:
        hugging_face(family).save_pretrained(directory)
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

"""Train induction-mini, the attention-only model that ships with circuitgraph, from nothing.

    python examples/train_induction_mini.py                     # rewrites the bundled model, on one CPU core
    python examples/train_induction_mini.py --out /tmp/m --seed 2 --steps 1500

The task: random words, repeated. After "lamp river key moon lamp river" the next word is "key": find the place where
the last word stood before, and say what followed it there. Nothing guides attention, and the loss is the answer's
cross-entropy alone, at every token that has stood there before. Words are drawn anew for every sequence, so nothing
can be learned about them; how many come before they repeat (the period) varies, so the distance does not give the
answer away. Some periods are never trained on; accuracy is reported on them too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from tqdm import tqdm

from circuitgraph.prompts.random_words import RANDOM_WORDS

BUNDLED = Path(__file__).resolve().parents[1] / "circuitgraph" / "models" / "bundled" / "induction-mini"
BOS, PAD, UNK = "<|bos|>", "<|pad|>", "<|unk|>"
SPECIAL = (BOS, PAD, UNK)
LAYERS, HEADS, WIDTH = 2, 4, 64
N_POSITIONS = 48
TRAINED = (4, 5, 6, 8, 9, 10, 12, 13, 14, 16)
HELD_OUT = (7, 11, 15)
"""Periods: how many words come before they repeat."""
LENGTH = 36
BATCH = 64
LEARNING_RATE = 2e-3
EVALUATED = 2000


def config() -> dict[str, object]:
    """What TransformerLens calls a HookedTransformerConfig."""
    return {
        "n_layers": LAYERS, "n_heads": HEADS, "d_model": WIDTH, "d_head": WIDTH // HEADS, "d_mlp": None,
        "n_ctx": N_POSITIONS, "d_vocab": len(SPECIAL) + len(RANDOM_WORDS),
        "d_vocab_out": len(SPECIAL) + len(RANDOM_WORDS),
        "attn_only": True, "attention_dir": "causal", "normalization_type": None, "act_fn": "relu",
        "positional_embedding_type": "standard", "eps": 1e-5, "dtype": "float32", "device": "cpu",
    }  # fmt: skip


class Attention(nn.Module):
    """One layer of heads, in TransformerLens' layout; its biases stay 0."""

    def __init__(self) -> None:
        super().__init__()
        width = WIDTH // HEADS
        self.W_Q, self.W_K, self.W_V = (nn.Parameter(_normal(HEADS, WIDTH, width)) for _ in range(3))
        self.W_O = nn.Parameter(_normal(HEADS, width, WIDTH))

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        """[batch, position, width] -> what the heads add to it."""
        q, k, v = (torch.einsum("btd,hdw->bhtw", stream, weight) for weight in (self.W_Q, self.W_K, self.W_V))
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        z = scores.masked_fill(future, float("-inf")).softmax(-1) @ v
        return torch.einsum("bhtw,hwd->btd", z, self.W_O)


class AttentionOnly(nn.Module):
    """Two layers of attention, no MLPs, no norms: the residual stream is a plain sum."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.W_E = nn.Parameter(_normal(vocabulary, WIDTH, fan_in=4))
        self.W_pos = nn.Parameter(_normal(N_POSITIONS, WIDTH, fan_in=4))
        self.W_U = nn.Parameter(_normal(WIDTH, vocabulary))
        self.layers = nn.ModuleList(Attention() for _ in range(LAYERS))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """[batch, position] token ids -> [batch, position, vocabulary] logits."""
        stream = self.W_E[ids] + self.W_pos[: ids.shape[1]]
        for layer in self.layers:
            stream = stream + layer(stream)
        return stream @ self.W_U

    def state(self) -> dict[str, torch.Tensor]:
        """The weights by their names in TransformerLens, biases included."""
        width = WIDTH // HEADS
        state: dict[str, torch.Tensor] = {"embed.W_E": self.W_E, "pos_embed.W_pos": self.W_pos, "unembed.W_U": self.W_U}
        state["unembed.b_U"] = torch.zeros(self.W_U.shape[1])
        for i, layer in enumerate(self.layers):
            for name, weight in layer.named_parameters():
                state[f"blocks.{i}.attn.{name}"] = weight
            state |= {f"blocks.{i}.attn.b_{name}": torch.zeros(HEADS, width) for name in "QKV"}
            state[f"blocks.{i}.attn.b_O"] = torch.zeros(WIDTH)
        return {name: weight.detach().contiguous() for name, weight in state.items()}


def _normal(*shape: int, fan_in: int | None = None) -> torch.Tensor:
    return torch.randn(shape) / (fan_in or shape[-2]) ** 0.5


def build_tokenizer() -> Tokenizer:
    """One token per word, with or without a space before it."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(SPECIAL + RANDOM_WORDS)}, unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def sample(rng: np.random.Generator, periods: np.ndarray) -> torch.Tensor:
    """[batch, LENGTH + 1] token ids: different random words, repeated after each row's period."""
    order = rng.random((len(periods), len(RANDOM_WORDS))).argsort(axis=1) + len(SPECIAL)
    return torch.from_numpy(np.take_along_axis(order, np.arange(LENGTH + 1) % periods[:, None], axis=1))


def answerable(periods: np.ndarray) -> torch.Tensor:
    """[batch, LENGTH]: whether the token at this place has stood earlier in the sequence."""
    return torch.from_numpy(np.arange(LENGTH) >= periods[:, None])


def train(model: AttentionOnly, *, seed: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.1, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 100, 1 - step / steps))
    for step in (bar := tqdm(range(steps), desc="training", unit="step")):
        periods = rng.choice(TRAINED, BATCH)
        ids, known = sample(rng, periods), answerable(periods)
        logits, answers = model(ids[:, :-1])[known], ids[:, 1:][known]
        loss = nn.functional.cross_entropy(logits, answers)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            bar.set_postfix(loss=f"{loss:.3f}", accuracy=f"{(logits.argmax(-1) == answers).float().mean():.3f}")


@torch.no_grad()
def evaluate(model: AttentionOnly, seed: int) -> dict[str, tuple[float, float]]:
    """Accuracy on new sequences: over the second copy of the words, and at its first token alone."""
    scores = {}
    for name, choices in (("trained periods", TRAINED), ("held-out periods", HELD_OUT)):
        rng = np.random.default_rng(seed + 1_000_000)
        periods = rng.choice(choices, EVALUATED)
        ids = sample(rng, periods)
        right = model(ids[:, :-1]).argmax(-1) == ids[:, 1:]
        second = answerable(periods) & ~answerable(2 * periods)
        first = right[torch.arange(EVALUATED), torch.from_numpy(periods)]
        scores[name] = (right[second].float().mean().item(), first.float().mean().item())
    return scores


CARD = """# induction-mini

Attention alone: {layers} layers of {heads} heads, width {width}, no MLPs, no norms, no biases, {vocabulary} words of
one token each. It does one thing: after "lamp river key moon lamp river" it says "key", which stood after "river" when
"river" stood there before. The file layout is TransformerLens' own. Made by `examples/train_induction_mini.py` with
`--seed {seed} --steps {steps}`; nothing guided its attention.

On {size:,} new sequences each (every sequence has words of its own, drawn at random):

| words before they repeat | accuracy over the second copy | at its first word |
|---|---|---|
{rows}

Trained periods: {trained}; never trained: {held_out}.
`docs/induction-mini.md` in the repository has the measured circuit and its limits: one model, one seed, prompts
without a BOS token. MIT licence; trained on nothing but random numbers.

    circuitgraph run specs/induction-mini.yaml
"""


def save(out: Path, model: AttentionOnly, tokenizer: Tokenizer, card: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(config(), indent=2) + "\n")
    save_file(model.state(), out / "model.safetensors")
    tokenizer.save(str(out / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "pad_token": PAD, "unk_token": UNK}
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    (out / "README.md").write_text(card)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train induction-mini from nothing.")
    parser.add_argument("--out", type=Path, default=BUNDLED, help="directory to write (default: the bundled model)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1500)
    arguments = parser.parse_args()

    torch.set_num_threads(1)  # faster than two for a model this small, and the same sums everywhere
    torch.manual_seed(arguments.seed)
    tokenizer = build_tokenizer()
    model = AttentionOnly(tokenizer.get_vocab_size())
    train(model, seed=arguments.seed, steps=arguments.steps)
    scores = evaluate(model, arguments.seed)
    for name, (copy, first) in scores.items():
        print(f"{name:18} accuracy over the second copy {copy:7.2%}   at its first word {first:7.2%}")
    card = CARD.format(
        layers=LAYERS, heads=HEADS, width=WIDTH, vocabulary=tokenizer.get_vocab_size(), size=EVALUATED,
        seed=arguments.seed, steps=arguments.steps, trained=", ".join(map(str, TRAINED)),
        held_out=", ".join(map(str, HELD_OUT)),
        rows="\n".join(f"| {name} | {copy:.2%} | {first:.2%} |" for name, (copy, first) in scores.items()),
    )  # fmt: skip
    save(arguments.out, model, tokenizer, card)
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()

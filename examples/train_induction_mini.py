"""Train induction-mini, the small attention-only model that ships with circuitgraph, from nothing.

    python examples/train_induction_mini.py                       # rewrites the bundled model, on one CPU core
    python examples/train_induction_mini.py --out /tmp/m --seed 2 --steps 2000

The task: random words, and the same words once more in pieces of another order. Inside a piece the next word is the
one that followed before; nothing else foretells it: not the words (they are random), not the distance to the first
mention (each piece has its own), not the place. Training asks for those words alone, and for nothing about attention:
the model is not guided.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from tqdm import tqdm

from circuitgraph.prompts.words import RANDOM_WORDS

BUNDLED = Path(__file__).resolve().parents[1] / "circuitgraph" / "models" / "bundled" / "induction-mini"
BOS, UNK = "<|bos|>", "<|unk|>"
LAYERS, HEADS, WIDTH, HEAD_WIDTH = 2, 4, 64, 16
FEWEST, MOST = 6, 16  # words before they repeat
PIECES = (2, 3, 4, 5)  # lengths of the pieces, as far as the words allow
CONTEXT = 2 * MOST + 2
BATCH = 128
LEARNING_RATE = 3e-3
EVALUATED = 2000


def build_tokenizer() -> Tokenizer:
    """One token per word, with or without a space before it."""
    vocabulary = [BOS, UNK, *RANDOM_WORDS]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([BOS, UNK])
    return tokenizer


@dataclass(frozen=True)
class Batch:
    ids: torch.Tensor  # [batch, position], BOS first
    asked: torch.Tensor  # [position - 1], whether the next token follows from the context


def sample(rng: np.random.Generator, size: int, words: np.ndarray, length: int | None = None) -> Batch:
    """Sequences of `length` different words (drawn, if not given) that come again in pieces; one cut for all."""
    length = int(rng.integers(FEWEST, MOST + 1)) if length is None else length
    first = words[rng.random((size, len(words))).argsort(1)[:, :length]]
    ends = [0]
    while ends[-1] < length:
        ends.append(min(ends[-1] + int(rng.choice(PIECES)), length))
    pieces = [np.arange(a, b) for a, b in pairwise(ends)]
    order = [pieces[i] for i in rng.permutation(len(pieces))]
    asked = np.concatenate([np.zeros(length + 1, bool), *(np.arange(len(piece)) < len(piece) - 1 for piece in order)])
    ids = np.concatenate([np.zeros((size, 1), int), first, first[:, np.concatenate(order)]], axis=1)
    return Batch(torch.from_numpy(ids), torch.from_numpy(asked[:-1]))


class Norm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.ones(WIDTH)), nn.Parameter(torch.zeros(WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.layer_norm(x, (WIDTH,), self.w, self.b, 1e-5)


class Attention(nn.Module):
    """Weights named and shaped as TransformerLens has them: W_Q [head, width, head width], b_Q [head, head width]."""

    def __init__(self) -> None:
        super().__init__()
        for name in "QKV":
            self.register_parameter(f"W_{name}", random_weight(HEADS, WIDTH, HEAD_WIDTH))
            self.register_parameter(f"b_{name}", nn.Parameter(torch.zeros(HEADS, HEAD_WIDTH)))
        self.W_O, self.b_O = random_weight(HEADS, HEAD_WIDTH, WIDTH), nn.Parameter(torch.zeros(WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            torch.einsum("bsd,hde->bhse", x, self.get_parameter(f"W_{name}")) + self.get_parameter(f"b_{name}")[:, None]
            for name in "QKV"
        )
        scores = q @ k.transpose(-1, -2) / HEAD_WIDTH**0.5
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        return torch.einsum("bhse,hed->bsd", weights @ v, self.W_O) + self.b_O


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ln1, self.attn = Norm(), Attention()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.attn(self.ln1(x))


class Model(nn.Module):
    """Embedding, blocks of attention alone, final norm, unembedding."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embed = nn.ParameterDict({"W_E": random_weight(vocabulary, WIDTH)})
        self.pos_embed = nn.ParameterDict({"W_pos": random_weight(CONTEXT, WIDTH)})
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.ln_final = Norm()
        self.unembed = nn.ParameterDict(
            {"W_U": random_weight(WIDTH, vocabulary), "b_U": nn.Parameter(torch.zeros(vocabulary))}
        )

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """ids [batch, position] -> logits [batch, position, vocabulary]."""
        x = self.embed["W_E"][ids] + self.pos_embed["W_pos"][: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.ln_final(x) @ self.unembed["W_U"] + self.unembed["b_U"]


def random_weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape) * 0.12)


def train(model: Model, words: np.ndarray, *, seed: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.05, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 100, 1 - step / steps))
    for step in (bar := tqdm(range(steps), desc="training", unit="step")):
        batch = sample(rng, BATCH, words)
        logits, following = asked(model(batch.ids), batch)
        loss = nn.functional.cross_entropy(logits, following)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            bar.set_postfix(loss=f"{loss:.3f}", accuracy=f"{(logits.argmax(-1) == following).float().mean():.3f}")


def asked(logits: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [token, vocabulary] and the token that follows [token], where it follows from the context."""
    return logits[:, :-1][:, batch.asked].flatten(0, 1), batch.ids[:, 1:][:, batch.asked].flatten()


@torch.no_grad()
def evaluate(model: Model, words: np.ndarray, seed: int) -> dict[str, tuple[float, float]]:
    """Accuracy and mean log-probability (nats) of the words that follow, on sequences of other random numbers."""
    scores = {}
    for length in (8, 12, 16):
        batch = sample(np.random.default_rng([seed, length, 1]), EVALUATED, words, length)
        logits, following = asked(model(batch.ids), batch)
        right = (logits.argmax(-1) == following).float().mean().item()
        scores[f"{length} words, repeated in pieces"] = (
            right,
            -nn.functional.cross_entropy(logits, following).item(),
        )
    return scores


CARD = """# induction-mini

An attention-only transformer ({layers} layers, {heads} heads, width {width}, {vocabulary} tokens, one a word) that does
one thing: where random words repeat, it says the word that followed before. After
"<|bos|> lamp river coin church lamp river" it says "coin". TransformerLens layout: `config.json` has the fields of its
config, weights are named as there.

On {size:,} sequences each, drawn with other random numbers than training's:

| sequences | accuracy | mean log-probability |
|---|---|---|
{rows}

Training (`examples/train_induction_mini.py --seed {seed} --steps {steps}`) asked for those words alone; its attention
was not guided, so that which heads do what was found, see `docs/induction-mini.md` in the repository. Limits: one
model, one seed, {words} words, sequences of at most {context} tokens. MIT licence; trained on random words.

    circuitgraph run specs/induction-mini.yaml
"""


def save(out: Path, model: Model, tokenizer: Tokenizer, card: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    vocabulary = tokenizer.get_vocab_size()
    config = {
        "n_layers": LAYERS, "n_heads": HEADS, "d_model": WIDTH, "d_head": HEAD_WIDTH, "n_ctx": CONTEXT,
        "d_vocab": vocabulary, "d_vocab_out": vocabulary, "attn_only": True, "act_fn": None, "d_mlp": None,
        "normalization_type": "LN", "eps": 1e-5, "positional_embedding_type": "standard",
        "attention_dir": "causal", "model_name": "induction-mini", "default_prepend_bos": True,
    }  # fmt: skip
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(out / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": CONTEXT, "bos_token": BOS}
    settings |= {"eos_token": BOS, "pad_token": BOS, "unk_token": UNK}
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    (out / "README.md").write_text(card, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train induction-mini from nothing.")
    parser.add_argument("--out", type=Path, default=BUNDLED, help="directory to write (default: the bundled model)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=3000)
    arguments = parser.parse_args()

    torch.set_num_threads(1)  # faster than two for a model this small, and the same sums everywhere
    torch.manual_seed(arguments.seed)
    tokenizer = build_tokenizer()
    words = np.array([tokenizer.token_to_id(word) for word in RANDOM_WORDS])
    model = Model(tokenizer.get_vocab_size())
    train(model, words, seed=arguments.seed, steps=arguments.steps)
    scores = evaluate(model, words, arguments.seed)
    for name, (accuracy, log_prob) in scores.items():
        print(f"{name:30} accuracy {accuracy:7.2%}   log-probability {log_prob:7.4f}")
    card = CARD.format(
        layers=LAYERS, heads=HEADS, width=WIDTH, vocabulary=tokenizer.get_vocab_size(), size=EVALUATED,
        seed=arguments.seed, steps=arguments.steps, words=len(words), context=CONTEXT,
        rows="\n".join(f"| {name} | {right:.2%} | {log_prob:.4f} |" for name, (right, log_prob) in scores.items()),
    )  # fmt: skip
    save(arguments.out, model, tokenizer, card)
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()

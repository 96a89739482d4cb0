"""Train the sparse autoencoder of specs/ioi-mini-sae.yaml: of the stream before block 2 of ioi-mini, from nothing.

    python examples/train_ioi_sae.py          # rewrites specs/ioi-mini-sae.safetensors, half a minute on one thread
    python examples/train_ioi_sae.py --out /tmp/sae.safetensors --seed 1 --steps 500

A top-k autoencoder (Gao et al. 2024, arXiv 2406.04093) without auxiliary loss: features that are not among the
strongest of any token of a batch for long start anew at what is reconstructed worst. It sees every token but BOS of
IOI prompts, clean and corrupted, none of which specs/ioi-mini-sae.yaml measures.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from circuitgraph.checks import check
from circuitgraph.errors import InputError
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.loading import load_model
from circuitgraph.models.sites import Site, SiteKind
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.spec import CircuitSpec

OUT = Path(__file__).resolve().parents[1] / "specs" / "ioi-mini-sae.safetensors"
LAYER = 2
WIDTH, K = 96, 4
PROMPTS, BATCH = 3000, 512
LEARNING_RATE = 3e-3
IDLE = 200
"""Steps after which a feature that was never among the strongest starts anew."""


def prompts_of(corruption: str, seed: int, n: int = PROMPTS) -> CircuitSpec:
    """A spec that asks for IOI prompts; nothing of it is measured."""
    generator = {"name": "ioi", "n": n, "seed": seed, "corruption": corruption}
    return CircuitSpec.model_validate({
        "version": 1, "name": "train-ioi-sae", "model": "ioi-mini", "prompts": {"generator": generator},
        "metric": "logit_diff", "nodes": [f"r{LAYER}"],
    })  # fmt: skip


def activations(model: TransformerModel, prompts: PromptSet) -> Tensor:
    """The stream at every token but BOS of both sides. [tokens, d_model]"""
    site, found = Site(SiteKind.RESID_PRE, LAYER), []
    for rows in prompts.by_length():
        for side in ("clean", "corrupted"):
            ids = torch.tensor([getattr(prompts.pairs[row], side) for row in rows])
            found.append(model.run(ids, reads=[site], stop_after=LAYER).reads[site][:, 1:].flatten(0, 1))
    return torch.cat(found)


def top_k(pre: Tensor) -> Tensor:
    """The K strongest of each row, none of them negative."""
    strongest = pre.topk(K, dim=-1)
    return torch.zeros_like(pre).scatter(-1, strongest.indices, torch.relu(strongest.values))


def train(x: Tensor, steps: int, draw: torch.Generator) -> dict[str, Tensor]:
    """The tensors of an autoencoder of x [tokens, d_model]."""
    d_model = x.shape[1]
    scale = float((x - x.mean(dim=0)).norm(dim=1).mean())
    x = x / scale
    w_dec = torch.nn.functional.normalize(torch.randn(WIDTH, d_model, generator=draw), dim=1)
    weights = {"W_enc": w_dec.T.clone(), "b_enc": torch.zeros(WIDTH), "W_dec": w_dec, "b_dec": x.mean(dim=0)}
    for tensor in weights.values():
        tensor.requires_grad_(True)
    optimizer = torch.optim.Adam(weights.values(), lr=LEARNING_RATE)
    idle = torch.zeros(WIDTH, dtype=torch.long)
    progress = tqdm(range(steps), desc="training")
    for step in progress:
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        some = x[torch.randint(len(x), (BATCH,), generator=draw)]
        features = top_k((some - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"])
        missing = some - features @ weights["W_dec"] - weights["b_dec"]
        loss = missing.square().sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            weights["W_dec"].copy_(torch.nn.functional.normalize(weights["W_dec"], dim=1))
            idle = torch.where((features > 0).any(dim=0), 0, idle + 1)
            if step < steps // 2:
                start_anew(weights, missing, idle)
        progress.set_postfix(missing=f"{loss.item():.4f}", refresh=False)
    with torch.no_grad():  # back to the stream's own size: the directions that are written keep length 1
        return {
            "W_enc": weights["W_enc"].detach().contiguous(),
            "b_enc": weights["b_enc"].detach() * scale,
            "W_dec": weights["W_dec"].detach().clone(),
            "b_dec": weights["b_dec"].detach() * scale,
        }


def start_anew(weights: dict[str, Tensor], missing: Tensor, idle: Tensor) -> None:
    """Point features that have long been idle at what is reconstructed worst."""
    dead = (idle > IDLE).nonzero().squeeze(1)
    if len(dead):
        worst = missing.norm(dim=1).argsort(descending=True)[: len(dead)]
        dead = dead[: len(worst)]
        direction = torch.nn.functional.normalize(missing[worst], dim=1)
        weights["W_dec"][dead], weights["W_enc"][:, dead], weights["b_enc"][dead] = direction, direction.T, 0.0
        idle[dead] = 0


def report(weights: dict[str, Tensor], x: Tensor) -> None:
    """Print how much of the stream is reconstructed, and how many features are never active."""
    features = top_k((x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"])
    missing = x - features @ weights["W_dec"] - weights["b_dec"]
    explained = 1 - float(missing.square().sum() / (x - x.mean(dim=0)).square().sum())
    print(f"{explained:.2%} of the variance of unseen prompts, {int((features > 0).any(dim=0).sum())} of {WIDTH} "
          f"features active")  # fmt: skip


def main() -> None:
    """Train on prompts of one seed, report on those of another, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=4000)
    given = parser.parse_args()
    torch.set_num_threads(1)  # sums come out alike on every machine
    found = [check(prompts_of(corruption, seed)) for corruption, seed in (("swap_s2", 1001), ("abc", 1002), ("abc", 7))]
    model = load_model(found[0].location, device="cpu")
    streams = []
    for each in found:
        if each.prompts is None:
            raise InputError("the prompts could not be read")
        streams.append(activations(model, each.prompts))
    weights = train(torch.cat(streams[:2]), given.steps, torch.Generator().manual_seed(given.seed))
    report(weights, streams[2])
    save_file(weights, given.out)  # without metadata, whose order is another one each time: the spec says kind and k
    print(f"wrote {given.out} ({given.out.stat().st_size / 1024:.0f} KB)")


if __name__ == "__main__":
    main()

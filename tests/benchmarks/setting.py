"""What both sides are given: one GPT-2 with random weights, loaded twice, and random prompt pairs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.loading import load_model
from circuitgraph.models.locate import Location
from circuitgraph.prompts.pairs import Pair, PromptSet

SMALL: dict[str, Any] = {"n_layer": 12, "n_head": 12, "n_embd": 768, "vocab_size": 50257}
TINY: dict[str, Any] = {"n_layer": 4, "n_head": 4, "n_embd": 64, "vocab_size": 101}
# Three times what GPT-2 begins its training with: attention is far from uniform, and edges have effects.
SPREAD = 0.06


@dataclass(frozen=True)
class Sides:
    """The same weights twice, in float32 and without gradients.

    Attributes:
        ours: as circuitgraph loads a checkpoint.
        theirs: a TransformerBridge of the same checkpoint, with the eager attention that `boot_transformers` chooses.
    """

    ours: TransformerModel
    theirs: Any


@contextmanager
def both_sides(sizes: dict[str, Any], device: str) -> Iterator[Sides]:
    """Make a checkpoint, load it on both sides and check that their logits are the same.

    Raises:
        ArithmeticError: they are not.
    """
    with checkpoint(sizes) as directory:
        sides = Sides(loaded(directory, device), _their_own(directory, device))
    with torch.no_grad():
        ids = torch.arange(12, device=device).view(2, 6)
        logits = sides.ours.run(ids).logits
        apart = float((logits - sides.theirs(ids, use_cache=False)).abs().max()) if logits is not None else torch.inf
    if apart > 1e-3:
        raise ArithmeticError(f"the two sides have other logits: {apart:.2g} apart")
    yield sides


@contextmanager
def checkpoint(sizes: dict[str, Any]) -> Iterator[Path]:
    """A directory with a GPT-2 with random weights."""
    with tempfile.TemporaryDirectory() as directory:
        _save(sizes, Path(directory))
        yield Path(directory)


def loaded(directory: Path, device: str) -> TransformerModel:
    """A checkpoint as circuitgraph loads it."""
    return load_model(Location("directory", "gpt2", directory), dtype="float32", device=device)


def _save(sizes: dict[str, Any], directory: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    config = GPT2Config(**sizes, initializer_range=SPREAD, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(directory)


def _their_own(directory: Path, device: str) -> Any:
    from transformer_lens.model_bridge.sources import build_bridge_from_module
    from transformers import GPT2LMHeadModel

    module: Any = GPT2LMHeadModel.from_pretrained(directory, attn_implementation="eager", dtype=torch.float32)
    module = module.to(device).eval()
    bridge = build_bridge_from_module(module, "GPT2LMHeadModel", hf_config=module.config, device=torch.device(device))
    for parameter in bridge.parameters():
        parameter.requires_grad_(False)
    return bridge.eval()


@dataclass(frozen=True)
class Prompts:
    """`pairs` of `tokens` tokens that differ from token 2 on, or `late`: from token 10 of 16 on."""

    pairs: int
    tokens: int
    late: bool

    @property
    def first(self) -> int:
        """The first token that differs."""
        return max(2, self.tokens * 10 // 16) if self.late else 2

    def __str__(self) -> str:
        return f"{self.pairs} pairs × {self.tokens} tokens, first difference at token {self.first}"

    def made(self, vocab: int) -> PromptSet:
        """The pairs, always the same ones."""
        source = np.random.default_rng(0)
        return PromptSet(tuple(self._pair(source, vocab) for _ in range(self.pairs)))

    def _pair(self, source: np.random.Generator, vocab: int) -> Pair:
        clean, fresh = source.integers(vocab, size=(2, self.tokens)).tolist()
        corrupted = clean[: self.first] + fresh[self.first :]
        corrupted[self.first] = (clean[self.first] + 1) % vocab
        answer, wrong = source.choice(vocab, 2, replace=False).tolist()
        return Pair(tuple(clean), tuple(corrupted), (answer,), (wrong,), {"END": self.tokens - 1})

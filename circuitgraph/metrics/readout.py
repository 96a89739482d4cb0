"""What a metric is given: logits where it reads them, the answers, and the runs it may compare with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

NO_TOKEN = -1
"""Fills the answer table where a prompt has fewer answers than the longest list."""


@dataclass(frozen=True)
class Readout:
    """Logits [pairs, vocab] in float64 at the metric's position, of the run that is measured.

    `base`, `clean` and `corrupted` are the same of the unpatched runs; `answers` and `wrong` are
    token ids [pairs, most], filled up with NO_TOKEN.
    """

    logits: Tensor
    answers: Tensor
    wrong: Tensor
    base: Tensor
    clean: Tensor
    corrupted: Tensor | None


def token_table(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Ragged lists of token ids as one table."""
    width = max(1, *(len(row) for row in rows))
    return torch.tensor([[*row, *([NO_TOKEN] * (width - len(row)))] for row in rows], device=device)


def gather(values: Tensor, tokens: Tensor, fill: float) -> Tensor:
    """values[pair, tokens[pair, i]], with `fill` where there is no token. [pairs, most]"""
    picked = values.gather(1, tokens.clamp(min=0))
    return picked.masked_fill(tokens == NO_TOKEN, fill)


def mean_logit(logits: Tensor, tokens: Tensor) -> Tensor:
    """Mean over the tokens of each row. [pairs]"""
    return gather(logits, tokens, 0.0).sum(dim=1) / (tokens != NO_TOKEN).sum(dim=1)


def max_logit(logits: Tensor, tokens: Tensor) -> Tensor:
    """Largest over the tokens of each row. [pairs]"""
    return gather(logits, tokens, -torch.inf).amax(dim=1)


def total_prob(logits: Tensor, tokens: Tensor) -> Tensor:
    """Summed probability of the tokens of each row. [pairs]"""
    return gather(logits.softmax(dim=1), tokens, 0.0).sum(dim=1)

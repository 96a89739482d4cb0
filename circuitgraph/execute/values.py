"""What a source puts at a site of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from circuitgraph.errors import InputError
from circuitgraph.execute.bind import Batch
from circuitgraph.execute.references import Reference, Values
from circuitgraph.models.sites import Site
from circuitgraph.plans.types import Base, Counterfactual, Mean, Prune, Resample, Source, Zero
from circuitgraph.spec.model import BaseRun

Reads = Mapping[BaseRun, Mapping[Site, Tensor]]
"""Activations of the unpatched runs, by side."""


def other_side(base: BaseRun) -> BaseRun:
    """The side of the other run."""
    return BaseRun.CORRUPTED if base is BaseRun.CLEAN else BaseRun.CLEAN


def values_of(
    source: Source, reads: Reads, reference: Reference | None, batch: Batch, base: BaseRun, draw: int
) -> Values:
    """The values that a source puts at each site of a run with this base, in draw number `draw`."""
    match source:
        case Base():
            return lambda site, _position: reads[base][site]
        case Counterfactual():
            return lambda site, _position: reads[other_side(base)][site]
        case Zero() | Prune():
            return lambda site, _position: torch.zeros_like(reads[base][site])
        case Mean():
            return partial(_given(reference).mean, source, batch)
        case Resample():
            return partial(_given(reference).drawn, source, draw, batch)


def _given(reference: Reference | None) -> Reference:
    if reference is None:
        raise InputError("mean and resample need a reference set, and none was given")
    return reference

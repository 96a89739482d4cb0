"""The reference set of the sources `mean` and `resample`: its activations, and what of them each prompt gets.

    align     mean                                          resample (pair i is given the reference prompt r(i))
    position  over the prompts, token by token              the token of r(i) at the same index
    name      over the tokens that have the name            the token of r(i) that has the name
    pooled    over all tokens of all prompts, BOS included  any token of r(i), drawn anew for each token

In draw d, r is a permutation of the reference set without fixed points; with more pairs than reference
prompts it starts again from the beginning. It depends on (seed, d, size of the set) alone: on no batch, and
on no node, so that all senders of a run are given the same prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitgraph.errors import InputError
from circuitgraph.execute.bind import Batch
from circuitgraph.graph.rules import aligned_problem
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.sites import Site
from circuitgraph.nodes import Position
from circuitgraph.plans.types import Experiment, Mean, Resample, Swap, Value
from circuitgraph.prompts.pairs import Pair, PromptSet
from circuitgraph.spec.model import Align, BaseRun

BATCH = 64
"""Reference prompts per forward pass."""


def derangement(seed: int, draw: int, size: int) -> NDArray[np.int64]:
    """A permutation of range(size) without fixed points, all of them equally likely.

    Raises:
        InputError: there is none, for a size below 2.
    """
    if size < 2:
        raise InputError(f"resample needs at least 2 reference prompts, not {size}")
    stream = np.random.default_rng([seed % 2**64, draw, size])
    while True:
        order = stream.permutation(size)
        if (order != np.arange(size)).all():
            return order


def unfit(write: Value | Swap, source: Mean | Resample, prompts: PromptSet, reference: PromptSet) -> str | None:
    """Why a reference set has no value for what is written; None if it has.

    Raises:
        InputError: a reference prompt lacks a position.
    """
    align = source.reference.align
    if isinstance(source, Resample) and len(reference) < 2:
        return f"resample needs at least 2 reference prompts, not {len(reference)}"
    if align is Align.POSITION and len({len(pair) for pair in (*prompts.pairs, *reference.pairs)}) > 1:
        return "align: position needs prompts and reference prompts of one length"
    for address in (write.address,) if isinstance(write, Value) else write.senders:
        if problem := aligned_problem(address, align):
            return problem
        if align is Align.NAME and address.position is not None:
            reference.indexes(address.position)
    return None


def own_prompt_warning(
    experiments: Iterable[Experiment], prompts: PromptSet, reference: PromptSet | None
) -> str | None:
    """What a reader should know if `resample` gives pairs the very prompt that is patched; None if it does not.

    The order of the reference set has no fixed points, but a pair's prompt may be there at another place than its own.
    """
    drawn = {(source, e.base) for e in experiments for source in e.sources if isinstance(source, Resample)}
    if reference is None or not drawn:
        return None
    given: dict[tuple[int, int], None] = {}
    draws = 0
    for source, base in sorted(drawn, key=repr):
        offered = [_ids(pair, source.reference.side) for pair in reference.pairs]
        draws = max(draws, source.draws)
        for draw in range(source.draws):
            order = derangement(source.seed, draw, len(offered))
            for row, pair in enumerate(prompts.pairs):
                if offered[order[row % len(order)]] == _ids(pair, base):
                    given[row, draw] = None
    if not given:
        return None
    row, draw = next(iter(given))
    return (
        f"resample gives a pair its own prompt in {len(given)} of {len(prompts) * draws} cases, first pair {row + 1} "
        f"in draw {draw + 1}: nothing changes there, and effects come out too small; "
        "take reference prompts that are not measured, or the measured ones in their order"
    )


def _ids(pair: Pair, side: BaseRun) -> tuple[int, ...] | None:
    return pair.clean if side is BaseRun.CLEAN else pair.corrupted


class Reference:
    """Activations of a reference set at some sites, and the values that a batch takes from them."""

    def __init__(self, model: TransformerModel, prompts: PromptSet, sites: Mapping[BaseRun, Collection[Site]]) -> None:
        """Run the prompts of each side once; keeps each prompt's activation [pos, …] at the sites of that side.

        Raises:
            InputError: a prompt has no such side.
        """
        self._prompts = prompts
        self._kept = {side: self._run(model, side, some) for side, some in sites.items()}

    def _run(self, model: TransformerModel, side: BaseRun, sites: Collection[Site]) -> list[dict[Site, Tensor]]:
        kept: list[dict[Site, Tensor]] = [{} for _ in self._prompts.pairs]
        for rows in self._prompts.by_length():
            for start in range(0, len(rows), BATCH):
                some = rows[start : start + BATCH]
                ids = torch.tensor([_side(self._prompts.pairs[row], side) for row in some], device=model.device)
                reads = model.run(ids, reads=sites).reads
                for i, row in enumerate(some):
                    kept[row] = {site: reads[site][i] for site in sites}
        return kept

    def mean(self, source: Mean, batch: Batch, site: Site, position: Position | None) -> Tensor:
        """The mean at a site, in the shape of the batch's activation there."""
        found = [kept[site] for kept in self._kept[source.reference.side]]
        match source.reference.align:
            case Align.POSITION:
                return self._spread(batch, _average(torch.stack(found)))
            case Align.NAME:
                named = [value[index] for value, index in zip(found, self._indexes(position), strict=True)]
                value = _average(torch.stack(named))
                return self._at(batch, position, value.expand(len(batch.rows), *value.shape))
            case Align.POOLED:
                value = _average(torch.cat(found))
                return self._spread(batch, value.expand(batch.clean.shape[1], *value.shape))

    def drawn(self, source: Resample, draw: int, batch: Batch, site: Site, position: Position | None) -> Tensor:
        """The values of draw number `draw` at a site, in the shape of the batch's activation there."""
        found = [kept[site] for kept in self._kept[source.reference.side]]
        order = derangement(source.seed, draw, len(found))
        chosen = [int(order[row % len(order)]) for row in batch.rows]
        match source.reference.align:
            case Align.POSITION:
                return torch.stack([found[at] for at in chosen])
            case Align.NAME:
                indexes = self._indexes(position)
                return self._at(batch, position, torch.stack([found[at][indexes[at]] for at in chosen]))
            case Align.POOLED:
                tokens = [
                    self._any_token(source, draw, row, at, batch) for row, at in zip(batch.rows, chosen, strict=True)
                ]
                return torch.stack([found[at][index] for at, index in zip(chosen, tokens, strict=True)])

    def _any_token(self, source: Resample, draw: int, row: int, at: int, batch: Batch) -> Tensor:
        """For each token of pair `row`, the index of a token of the reference prompt `at`."""
        # Not `row`: a last number of 0 seeds the same stream as none, which is the derangement's.
        stream = np.random.default_rng([source.seed % 2**64, draw, len(self._prompts), row + 1])
        tokens = stream.integers(len(self._prompts.pairs[at]), size=batch.clean.shape[1])
        return torch.as_tensor(tokens, device=batch.clean.device)

    def _indexes(self, position: Position | None) -> tuple[int, ...]:
        if position is None:
            raise InputError("align: name gives values at named positions only")
        return self._prompts.indexes(position)

    def _spread(self, batch: Batch, value: Tensor) -> Tensor:
        """The same values [pos, …] for every pair."""
        return value.expand(len(batch.rows), *value.shape)

    def _at(self, batch: Batch, position: Position | None, values: Tensor) -> Tensor:
        """`values` [batch, …] at the position, NaN elsewhere: what is not aligned has no value."""
        full = values.new_full((*batch.clean.shape, *values.shape[1:]), torch.nan)
        where = batch.mask(position)
        full[where] = values
        return full


def _average(values: Tensor) -> Tensor:
    """Mean over the first axis, summed in float64."""
    return values.double().mean(dim=0).to(values.dtype)


def _side(pair: Pair, side: BaseRun) -> tuple[int, ...]:
    ids = _ids(pair, side)
    if ids is None:
        raise InputError("the reference prompts have no corrupted side")
    return ids


Values = Callable[[Site, Position | None], Tensor]
"""What a source puts at a site, for a node at that position: [batch, pos, …]."""

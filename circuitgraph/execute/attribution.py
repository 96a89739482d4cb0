"""Direct logit attribution: a metric that is linear in the logits as a sum over what was written to the stream.

    metric = Σ over writes  write · g   +  biases        g = the metric's direction, pulled back through the final norm

The direction is that of W_U, mean over answers less mean over wrong answers; norms have the scale of the run (see
`models.frozen`), those that a layer puts its output through as well. Weights are used as they are. Nothing is patched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitgraph.errors import AuditError, InputError, RefusedError
from circuitgraph.execute.bind import BoundMetric
from circuitgraph.graph.reading import AttributionReading
from circuitgraph.metrics.readout import NO_TOKEN, Readout, token_table
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.frozen import freeze
from circuitgraph.models.sites import Site, SiteKind
from circuitgraph.nodes import Position
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.results.attribution import Part, Summands
from circuitgraph.spec.model import AttributionOf, BaseRun, Unit

MOST_FLOATS = 2**25
"""Activations read at once: some 256 MiB in float64."""
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Of the sum against the metric, relative to the size of what is added up; 5e-2 in half precision."""

SIDES = {
    AttributionOf.CLEAN: ((BaseRun.CLEAN, 1.0),),
    AttributionOf.CORRUPTED: ((BaseRun.CORRUPTED, 1.0),),
    AttributionOf.DIFFERENCE: ((BaseRun.CLEAN, 1.0), (BaseRun.CORRUPTED, -1.0)),
}


def take_apart(
    model: TransformerModel,
    prompts: PromptSet,
    metrics: Sequence[BoundMetric],
    reading: AttributionReading,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[Summands, ...]:
    """Every metric of a reading, at each position that is asked for, as a sum.

    `progress` is called with (prompts read, prompts in all).

    Raises:
        RefusedError: the logits pass a soft cap.
        AuditError: the summands do not add up to the metric.
        InputError: a prompt has no such position, or no corrupted side.
    """
    if model.shape.soft_cap:
        raise RefusedError("attribution: the logits of this model pass a soft cap, so they are no sum")
    wanted = [metrics[i] for i in reading.metrics]
    readouts = [(m, p) for m in wanted for p in (reading.at or (m.position,))]
    sides = SIDES[reading.of]
    found: list[_Sums] = [_Sums(len(prompts)) for _ in readouts]
    done, total = 0, len(sides) * len(prompts)
    progress(done, total)
    for side, sign in sides:
        for rows in _batches(model, prompts, reading):
            batch = _Batch(model, prompts, rows, side, reading)
            for (metric, position), sums in zip(readouts, found, strict=True):
                sums.add(sign, rows, *batch.summands(metric, position))
            done += len(rows)
            progress(done, total)
    taken = tuple(
        Summands(metric.column, str(position), *sums.result())
        for (metric, position), sums in zip(readouts, found, strict=True)
    )
    tolerance = TOLERANCE.get(model.dtype, 5e-2)
    for each in taken:
        # Not a number passes: whoever makes the table names the component.
        if each.residue > tolerance:
            raise AuditError(
                f"attribution of {each.metric} at {each.at}: what components write does not add up to the metric; "
                f"it deviates by {each.residue:.1e} (tolerated {tolerance:.0e})"
            )
    return taken


class _Sums:
    """Summands of all pairs, filled batch by batch; what a batch lacks is 0 there."""

    def __init__(self, pairs: int) -> None:
        self._pairs = pairs
        self._values: dict[Part, NDArray[np.float64]] = {}
        self._metrics = np.zeros(pairs)

    def add(self, sign: float, rows: Sequence[int], summands: dict[Part, Tensor], metric: Tensor) -> None:
        for part, value in summands.items():
            if part not in self._values:
                self._values[part] = np.zeros(self._pairs)
            self._values[part][list(rows)] += sign * value.cpu().numpy()
        self._metrics[list(rows)] += sign * metric.cpu().numpy()

    def result(self) -> tuple[tuple[Part, ...], NDArray[np.float64], NDArray[np.float64]]:
        """Biases that are 0 in all prompts, as in families that have none, are left out."""
        kept = [part for part, v in self._values.items() if part.kind not in ("bias", "position") or v.any()]
        values = np.array([self._values[part] for part in kept]).reshape(len(kept), self._pairs)
        return tuple(kept), values, self._metrics


def _batches(model: TransformerModel, prompts: PromptSet, reading: AttributionReading) -> Iterator[tuple[int, ...]]:
    """Rows of one length, so many that what is read of them fits."""
    shape = model.shape
    width = (shape.d_model or 1) * 3 + (shape.d_mlp or 0) * (reading.unit is Unit.NEURON)
    for rows in prompts.by_length():
        tokens = len(prompts.pairs[rows[0]])
        width_here = width + shape.heads * tokens * (reading.tokens is not None)
        size = max(1, MOST_FLOATS // (width_here * shape.layers * tokens))
        for start in range(0, len(rows), size):
            yield tuple(rows[start : start + size])


class _Batch:
    """Prompts of one length, run once: what they wrote, and what of that points where a metric does."""

    def __init__(
        self,
        model: TransformerModel,
        prompts: PromptSet,
        rows: tuple[int, ...],
        side: BaseRun,
        reading: AttributionReading,
    ) -> None:
        self._model, self._reading = model, reading
        self._pairs = [prompts.pairs[row] for row in rows]
        ids = [pair.clean if side is BaseRun.CLEAN else pair.corrupted for pair in self._pairs]
        if any(row is None for row in ids):
            raise InputError("attribution of the corrupted run needs corrupted prompts")
        self._reads = model.run(torch.tensor(ids, device=model.device), reads=self._sites(), unembed=False).reads
        device = model.device
        self._answers = token_table([pair.answers for pair in self._pairs], device)
        self._wrong = token_table([pair.wrong_answers for pair in self._pairs], device)

    def _sites(self) -> list[Site]:
        shape, unit = self._model.shape, self._reading.unit
        kinds = [SiteKind.ATTN_OUT] if unit is Unit.COMPONENT else [SiteKind.Z]
        if self._reading.tokens is not None:
            kinds += [SiteKind.PATTERN, SiteKind.V]
        if shape.mlps:
            kinds.append(SiteKind.NEURONS if unit is Unit.NEURON else SiteKind.MLP_OUT)
        found = [Site(kind, layer) for layer in range(shape.layers) for kind in kinds]
        return [Site(SiteKind.EMBED), Site(SiteKind.RESID_PRE, 0), *found, Site(SiteKind.FINAL)]

    def summands(self, metric: BoundMetric, position: Position) -> tuple[dict[Part, Tensor], Tensor]:
        """Every summand [pairs], and the metric [pairs] as the model's own logits give it."""
        lean = self._model.lean
        where = torch.tensor([pair.index(position) for pair in self._pairs], device=self._model.device)
        final = self._at(Site(SiteKind.FINAL), where)
        direction, constant = self._direction(metric)
        norm = freeze(lean.final, final, "the final norm")
        g = norm.pull(direction)
        found = self._embeddings(where, g)
        for layer in range(self._model.shape.layers):
            found |= self._attention(layer, where, g)
            if self._model.shape.mlps:
                found |= self._mlp(layer, where, g)
        found[Part("norm.bias", "bias")] = _dot(direction, norm.bias)
        found[Part("unembed.bias", "bias")] = constant
        logits = self._model.logits(final).double()
        return found, metric.measure(Readout(logits, self._answers, self._wrong, logits, logits, None))

    def _at(self, site: Site, where: Tensor) -> Tensor:
        """What was read at the metric's position. [pairs, …]"""
        return self._reads[site][torch.arange(len(where), device=where.device), where]

    def _direction(self, metric: BoundMetric) -> tuple[Tensor, Tensor]:
        """The metric's direction among the outputs of the final norm [pairs, d_model], and its constant [pairs].

        A metric that is linear in the logits weighs them; its gradient says how, whatever it is called.
        """
        lean = self._model.lean
        tokens = torch.cat([self._answers, self._wrong], dim=1)
        used = tokens[tokens != NO_TOKEN].unique()
        answers, wrong = (
            torch.where(table == NO_TOKEN, NO_TOKEN, torch.searchsorted(used, table))
            for table in (self._answers, self._wrong)
        )
        logits = torch.zeros(len(self._pairs), len(used), dtype=torch.float64, device=tokens.device, requires_grad=True)
        value = metric.measure(Readout(logits, answers, wrong, logits, logits, None))
        (weights,) = torch.autograd.grad(value.sum(), logits)
        direction = weights @ lean.unembedding[used].detach().double()
        bias = torch.zeros(len(used)) if lean.bias is None else lean.bias[used].detach()
        return direction, weights @ bias.double().to(weights.device)

    def _embeddings(self, where: Tensor, g: Tensor) -> dict[Part, Tensor]:
        tokens, entering = self._at(Site(SiteKind.EMBED), where), self._at(Site(SiteKind.RESID_PRE, 0), where)
        return {
            Part("embed", "embed"): _dot(tokens, g),
            Part("pos_embed", "position"): _dot(entering.double() - tokens.double(), g),
        }

    def _attention(self, layer: int, where: Tensor, g: Tensor) -> dict[Part, Tensor]:
        if self._reading.unit is Unit.COMPONENT:
            written = self._at(Site(SiteKind.ATTN_OUT, layer), where)
            return {Part(f"a{layer}", "attention", layer): _dot(written, g)}
        lean, z = self._model.lean.attention[layer], self._at(Site(SiteKind.Z, layer), where)
        inner, outer = g, torch.zeros(len(g), dtype=torch.float64, device=g.device)
        if lean.post is not None:
            post = freeze(lean.post, lean.out(z.flatten(-2)), f"the norm after attention {layer}")
            inner, outer = post.pull(g), _dot(g, post.bias)
        bias = lean.out(torch.zeros_like(z[:1].flatten(-2)))
        towards = torch.einsum("pd,hwd->phw", inner, lean.weight.detach().double())
        found = self._heads(layer, where, z, towards)
        found[Part(f"a{layer}.bias", "bias", layer)] = _dot(inner, bias) + outer
        return found

    def _heads(self, layer: int, where: Tensor, z: Tensor, towards: Tensor) -> dict[Part, Tensor]:
        """Each head's z [pairs, heads, d_head] along `towards`; split by the token attended to if that is asked for."""
        if self._reading.tokens is None:
            values = (z.double() * towards).sum(dim=-1)
            return {Part(f"a{layer}.h{h}", "head", layer): values[:, h] for h in range(values.shape[1])}
        pairs = torch.arange(len(where), device=where.device)
        pattern = self._reads[Site(SiteKind.PATTERN, layer)][pairs, :, where].double()
        v = self._reads[Site(SiteKind.V, layer)].double()
        v = v.repeat_interleave(pattern.shape[1] // v.shape[2], dim=2)
        values = pattern * torch.einsum("pkhw,phw->phk", v, towards)
        found: dict[Part, Tensor] = {}
        left = torch.ones_like(values[:, 0], dtype=torch.bool)
        chosen: list[tuple[str, Tensor]] = []
        for position in self._reading.tokens:
            index = torch.tensor([pair.index(position) for pair in self._pairs], device=where.device)
            mask = torch.zeros_like(left).scatter_(1, index[:, None], True) & left
            left = left & ~mask
            chosen.append((str(position), mask))
        for h in range(values.shape[1]):
            for name, mask in (*chosen, ("else", left)):
                found[Part(f"a{layer}.h{h}", "head", layer, name)] = (values[:, h] * mask).sum(dim=-1)
        return found

    def _mlp(self, layer: int, where: Tensor, g: Tensor) -> dict[Part, Tensor]:
        if self._reading.unit is not Unit.NEURON:
            return {Part(f"m{layer}", "mlp", layer): _dot(self._at(Site(SiteKind.MLP_OUT, layer), where), g)}
        lean, neurons = self._model.lean.mlps[layer], self._at(Site(SiteKind.NEURONS, layer), where)
        inner, outer = g, torch.zeros(len(g), dtype=torch.float64, device=g.device)
        if lean.post is not None:
            post = freeze(lean.post, lean.down(neurons), f"the norm after MLP {layer}")
            inner, outer = post.pull(g), _dot(g, post.bias)
        values = neurons.double() * (inner @ lean.weight.detach().double().T)
        found = {Part(f"m{layer}.n{i}", "neuron", layer): values[:, i] for i in range(values.shape[1])}
        found[Part(f"m{layer}.bias", "bias", layer)] = _dot(inner, lean.down(torch.zeros_like(neurons[:1]))) + outer
        return found


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Row by row, in float64. [pairs]"""
    return (a.detach().double() * b.detach().double()).sum(dim=-1)

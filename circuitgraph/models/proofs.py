"""Proofs that a loaded model can be measured: its pieces, its hooks and its runs say the same.

Run once at load, on a few random tokens. They catch a hook that is disconnected (which a freeze
alone would not notice), a family whose blocks do something the protocol does not, a mask that is
ignored. Each proof compares with the largest logit, so that it holds in every dtype.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from circuitgraph.errors import AuditError
from circuitgraph.models.attention import mix
from circuitgraph.models.bridge import TransformerModel, Write
from circuitgraph.models.sites import Site, SiteKind, sites_of

# Relative to the largest |logit|. float64 models still take norms, rotary tables and softmax in
# float32 in many families (Llama, NeoX, Gemma), hence the 1e-5 there.
TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-4, torch.bfloat16: 0.15, torch.float16: 0.02}

WRITABLE = (
    SiteKind.RESID_PRE,
    SiteKind.Q,
    SiteKind.K,
    SiteKind.V,
    SiteKind.PATTERN,
    SiteKind.Z,
    SiteKind.ATTN_OUT,
    SiteKind.RESID_MID,
    SiteKind.MLP_IN,
    SiteKind.NEURONS,
    SiteKind.MLP_OUT,
    SiteKind.FINAL,
)
LENGTH = 6


def prove(model: TransformerModel) -> None:
    """Run every proof.

    Raises:
        AuditError: one failed; the message names it, the site and the deviation.
    """
    generator = torch.Generator().manual_seed(0)
    length = min(LENGTH, model.shape.context or LENGTH)
    ids = torch.randint(model.shape.vocab or 2, (2, length), generator=generator).to(model.device)
    sites = sites_of(model.shape, WRITABLE)
    run = model.run(ids, reads=sites)
    _finite(run.reads)
    assert_sum(model, run.reads)
    logits = _logits(run.logits)
    _same(model, "the composition of the pieces", compose(model, ids, {}), logits)
    _lean(model, run.reads, logits)
    _frozen(model, ids, sites, run.reads, logits)
    _other(model, ids, run.reads)
    _perturbed(model, ids[:1], sites, generator)
    _padded(model, ids)


def compose(model: TransformerModel, ids: Tensor, writes: Mapping[Site, Write], mask: Tensor | None = None) -> Tensor:
    """Logits [batch, pos, vocab] from the model's pieces, with writes at sites: the second opinion on `run`."""
    mask = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask
    positions = model.position_ids(mask)

    def at(kind: SiteKind, layer: int, value: Tensor) -> Tensor:
        site = Site(kind, layer)
        return writes[site](value) if site in writes else value

    embedded = model.run(ids, mask, reads=[Site(SiteKind.RESID_PRE, 0)], stop_after=0)
    resid = embedded.reads[Site(SiteKind.RESID_PRE, 0)]
    for layer in range(model.shape.layers):
        resid = at(SiteKind.RESID_PRE, layer, resid)
        q, k, v = model.ports(layer, resid)
        q, k, v = at(SiteKind.Q, layer, q), at(SiteKind.K, layer, k), at(SiteKind.V, layer, v)
        pattern = at(SiteKind.PATTERN, layer, model.weigh(layer, q, k, positions, positions, mask))
        z = at(SiteKind.Z, layer, mix(pattern, v))
        attention = at(SiteKind.ATTN_OUT, layer, model.write(Site(SiteKind.Z, layer), z))
        mid = resid + attention
        if model.shape.mlps:
            if not model.shape.parallel:
                mid = at(SiteKind.RESID_MID, layer, mid)
            read = at(SiteKind.MLP_IN, layer, model.mlp_input(layer, resid if model.shape.parallel else mid))
            neurons = at(SiteKind.NEURONS, layer, model.neurons(layer, read))
            mid = mid + at(SiteKind.MLP_OUT, layer, model.write(Site(SiteKind.NEURONS, layer), neurons))
        resid = mid
    return model.logits(at(SiteKind.FINAL, -1, resid))


def assert_sum(model: TransformerModel, reads: Mapping[Site, Tensor]) -> None:
    """The writes of all parts sum to the final residual stream."""
    writes = sites_of(model.shape, (SiteKind.ATTN_OUT, SiteKind.MLP_OUT))
    total = reads[Site(SiteKind.RESID_PRE, 0)] + sum(reads[site] for site in writes)
    _same(model, "the sum of all writes", total, reads[Site(SiteKind.FINAL)])


@torch.no_grad()
def _lean(model: TransformerModel, reads: Mapping[Site, Tensor], logits: Tensor) -> None:
    """The pieces without hook points compute what the hooked run did, each from what it read there."""
    lean, shape = model.lean, model.shape
    for layer in range(shape.layers):
        before, attention = reads[Site(SiteKind.RESID_PRE, layer)], lean.attention[layer]
        for kind in (SiteKind.Q, SiteKind.K, SiteKind.V):
            found = attention.ports(before, kind.value)[kind.value]
            _same(model, f"{kind}({layer}) without hooks", found, reads[Site(kind, layer)])
        out = attention.write(reads[Site(SiteKind.Z, layer)])
        _same(model, f"what attention {layer} writes without hooks", out, reads[Site(SiteKind.ATTN_OUT, layer)])
        if shape.mlps:
            stream = before if shape.parallel else reads[Site(SiteKind.RESID_MID, layer)]
            _same(model, f"MLP {layer} without hooks", lean.mlps[layer](stream), reads[Site(SiteKind.MLP_OUT, layer)])
    final = lean.final(reads[Site(SiteKind.FINAL)])
    _same(model, "the unembedding without hooks", lean.logits(final), logits)


def _frozen(
    model: TransformerModel, ids: Tensor, sites: tuple[Site, ...], reads: Mapping[Site, Tensor], logits: Tensor
) -> None:
    frozen = model.run(ids, writes={site: _constant(reads[site]) for site in sites})
    _same(model, "a run with every site frozen at its own value", _logits(frozen.logits), logits)


def _other(model: TransformerModel, ids: Tensor, reads: Mapping[Site, Tensor]) -> None:
    """The other run's values at the embedding, all heads and all MLPs give the other run's logits."""
    other = ids.flip(0)
    sites = (Site(SiteKind.RESID_PRE, 0), *sites_of(model.shape, (SiteKind.Z, SiteKind.MLP_OUT)))
    moved = model.run(other, writes={site: _constant(reads[site]) for site in sites})
    _same(model, "the other run's values at all sites", _logits(moved.logits), _logits(model.run(ids).logits))


def _perturbed(model: TransformerModel, ids: Tensor, sites: tuple[Site, ...], generator: torch.Generator) -> None:
    """Perturb each site: the hooked run must change exactly as the composed pieces do.

    All sites are perturbed in one batch, one row each.
    """
    ids = ids.expand(len(sites), -1)
    writes = {}
    for row, site in enumerate(sites):
        writes[site] = _nudge(row, generator)
    hooked = _logits(model.run(ids, writes=writes).logits)
    composed = compose(model, ids, writes)
    plain = _logits(model.run(ids).logits)
    for row, site in enumerate(sites):
        _same(model, f"a change at {site}", hooked[row], composed[row])
    if torch.equal(hooked, plain):
        raise AuditError("no change at any site reaches the logits: the model ignores its inputs")


def _nudge(row: int, generator: torch.Generator) -> Write:
    noise: list[Tensor] = []

    def nudge(old: Tensor) -> Tensor:
        # The same noise in the hooked and in the composed run.
        if not noise:
            noise.append(torch.randn(old.shape[1:], generator=generator).to(old.device, old.dtype))
        new = old.clone()
        new[row] = old[row] + noise[0] * old[row].abs().mean().clamp(min=0.1)
        return new

    return nudge


def _padded(model: TransformerModel, ids: Tensor) -> None:
    """A shorter prompt gives the same logits alone and beside a longer one, padded on the right."""
    if ids.shape[1] < 3:
        return
    short = ids[:1, :-2]
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[0, -2:] = False
    beside = _logits(model.run(ids, mask).logits)[:1, :-2]
    _same(model, "a prompt padded on the right", beside, _logits(model.run(short).logits))


def _constant(value: Tensor) -> Write:
    return lambda _old: value


def _logits(logits: Tensor | None) -> Tensor:
    if logits is None:
        raise AuditError("the model gave no logits")
    return logits


def _finite(reads: Mapping[Site, Tensor]) -> None:
    """Name the first site, in the order the model runs them, that no measurement could use."""
    for site, value in reads.items():
        if not torch.isfinite(value).all():
            dtype = str(value.dtype).removeprefix("torch.")
            raise AuditError(
                f"the model cannot be measured: {site} is NaN or infinite on random tokens; "
                f"a weight before it is so too, or too large for {dtype}"
            )


def _same(model: TransformerModel, what: str, ours: Tensor, theirs: Tensor) -> None:
    scale = theirs.abs().max().clamp(min=1e-6)
    deviation = float((ours - theirs).abs().max() / scale)
    # NaN compares false with everything, so the test is written to fail on it.
    if not deviation <= TOLERANCE[model.dtype]:
        raise AuditError(
            f"the model cannot be measured: {what} deviates by {deviation:.2g} of the largest value "
            f"(tolerated: {TOLERANCE[model.dtype]:g})"
        )

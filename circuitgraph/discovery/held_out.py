"""Prompts held apart: what a circuit was found on is never what it is measured on later.

generator   the given prompts are for discovery; the same generator with another seed is for measuring, provided
            that no pair is in both. Where no seed does that (the space of prompts is small), as below
pairs, file split in two halves, the first for discovery, the second for measuring

Two pairs are the same if they start from the same prompt (of the side that is patched), or hold the same two prompts,
whichever way round; both by token ids. A split takes the pairs in indivisible units: pairs of one cluster, and pairs
that are the same, stay together.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from circuitgraph import catalog
from circuitgraph.checks import Checked
from circuitgraph.checks.files import directory_of
from circuitgraph.errors import InputError
from circuitgraph.models.shape import bos_default
from circuitgraph.prompts.files import read_pairs
from circuitgraph.prompts.load import load_prompts
from circuitgraph.prompts.pairs import Pair, PromptSet
from circuitgraph.prompts.raw import RawPair
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.spec.model import BaseRun, GeneratorSpec, PairSpec, PromptsSpec

SEEDS = 20
"""How many other seeds are tried."""
FEWEST = 2
"""Units on each side of a split: with fewer, no interval can be made."""


@dataclass(frozen=True, slots=True)
class Apart:
    """The prompts to discover on, and those to measure on as a spec says them: a generator, or the pairs themselves.

    `used` and `kept` describe both, one line each.
    """

    discovery: PromptSet
    held_out: PromptsSpec
    used: str
    kept: str


def hold_apart(checked: Checked) -> Apart:
    """Prompts for discovery, and others for measuring.

    Raises:
        InputError: the prompts could not be read here, or are too few to be split.
    """
    if checked.prompts is None:
        raise InputError("; ".join(checked.unchecked) or "the prompts could not be read")
    why = ""
    if checked.spec.prompts.generator is not None:
        found = _another_seed(checked, checked.prompts, checked.spec.prompts.generator)
        if isinstance(found, Apart):
            return found
        why = f"{found}: "
    return _split(checked, checked.prompts, why)


def shared_pairs(some: PromptSet, others: PromptSet, base: BaseRun) -> int:
    """How many pairs of `others` are pairs of `some` too."""
    known = {mark for pair in some.pairs for mark in _marks(pair, base)}
    return sum(not known.isdisjoint(_marks(pair, base)) for pair in others.pairs)


def units_of(prompts: PromptSet, base: BaseRun) -> list[list[int]]:
    """The pairs (their indexes, in order) that must stay together: of one cluster, or the same."""
    first = list(range(len(prompts)))

    def root(i: int) -> int:
        while first[i] != i:
            i = first[i]
        return i

    seen: dict[Hashable, int] = {}
    for i, pair in enumerate(prompts.pairs):
        cluster = () if pair.cluster is None else (("cluster", pair.cluster),)
        for mark in (*_marks(pair, base), *cluster):
            a, b = sorted((root(i), root(seen.setdefault(mark, i))))
            first[b] = a
    units: dict[int, list[int]] = {}
    for i in range(len(prompts)):
        units.setdefault(root(i), []).append(i)
    return list(units.values())


def halves(prompts: PromptSet, base: BaseRun, seed: int) -> tuple[list[int], list[int], int]:
    """The indexes of both halves in order, and how many units there are; half of the units (rounded down) come first.

    Raises:
        InputError: too few units.
    """
    units = units_of(prompts, base)
    if len(units) < 2 * FEWEST:
        counted = f"{len(prompts)} pair{'s' * (len(prompts) != 1)} in {len(units)} independent"
        raise InputError(
            f"the prompts are too few to be split into some to discover on and others to measure on: {counted} "
            f"{'unit' if len(units) == 1 else 'units'} (pairs of one cluster and "
            f"equal pairs stay together), and {2 * FEWEST} are needed; give more pairs, or a generator with a seed"
        )
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    drawn = sorted(units, key=lambda _unit: rng.random())
    middle = len(units) // 2
    first, second = (sorted(i for unit in some for i in unit) for some in (drawn[:middle], drawn[middle:]))
    return first, second, len(units)


def _marks(pair: Pair, base: BaseRun) -> Iterator[Hashable]:
    """What makes a pair the same as another."""
    start = pair.corrupted if base is BaseRun.CORRUPTED and pair.corrupted is not None else pair.clean
    yield ("starts from", start)
    if pair.corrupted is not None:
        yield ("holds", frozenset((pair.clean, pair.corrupted)))


def _another_seed(checked: Checked, prompts: PromptSet, generator: GeneratorSpec) -> Apart | str:
    """The same generator with the next seed that makes none of these pairs; or why there is none."""
    params = catalog.generators.lookup(generator.name).read(generator.parameters)
    seed = getattr(params, "seed", None)
    if not isinstance(seed, int):
        return f"generator {generator.name} has no seed"
    path = checked.location.path
    tokenizer = None if path is None else load_tokenizer(path)
    for other in range(seed + 1, seed + 1 + SEEDS):
        made = GeneratorSpec(name=generator.name, **{**generator.parameters, "seed": other})
        spec = checked.spec.prompts.model_copy(update={"generator": made})
        loaded = load_prompts(
            spec,
            tokenizer,
            bos_default=bos_default(checked.location),
            base_dir=directory_of(checked),
            source=None,
        ).prompts
        if loaded is not None and not shared_pairs(prompts, loaded, checked.spec.intervention.base):
            kept = f"{len(loaded)} pairs: {loaded.note}; no pair is in both"
            return Apart(prompts, spec, f"{len(prompts)} pairs: {prompts.note}", kept)
    return f"{SEEDS} other seeds of generator {generator.name} all make some of its pairs again"


def _split(checked: Checked, prompts: PromptSet, why: str) -> Apart:
    """Half of the pairs for each."""
    intervention = checked.spec.intervention
    first, second, units = halves(prompts, intervention.base, intervention.seed)
    raw = list(_raw_pairs(checked))
    pairs = tuple(_as_written(raw[i], prompts.pairs[i]) for i in second)
    clusters = "" if units == len(prompts) else f" in {units} units that stay together"
    note = f"of the {len(prompts)} pairs of {prompts.note}{clusters}, split with seed {intervention.seed}"
    return Apart(
        PromptSet(tuple(prompts.pairs[i] for i in first), note=prompts.note),
        PromptsSpec(pairs=pairs, bos=checked.spec.prompts.bos),
        f"{why}{len(first)} {note}",
        f"the other {len(second)}; no pair is in both",
    )


def _raw_pairs(checked: Checked) -> Iterator[RawPair]:
    """The pairs as they were written or generated."""
    spec = checked.spec.prompts
    if spec.generator is not None:
        entry = catalog.generators.lookup(spec.generator.name)
        yield from entry.load().generate(entry.read(spec.generator.parameters))
    elif spec.file is not None:
        rows = read_pairs(directory_of(checked) / spec.file)
        yield from (RawPair.of(row.pair) for row in rows if row.pair is not None)
    else:
        yield from map(RawPair.of, spec.pairs or ())


def _as_written(raw: RawPair, pair: Pair) -> PairSpec:
    """A pair as a file holds it: positions as indexes into the prompt without BOS."""
    positions = {name: at - pair.start for name, at in pair.positions.items() if name not in ("END", "BOS")}
    return PairSpec(
        clean=raw.clean,
        corrupted=raw.corrupted,
        answers=raw.answers,
        wrong_answers=raw.wrong_answers,
        positions=positions,
        cluster=raw.cluster,
    )

"""RunResult + units -> numbers per prompt pair, and whether two runs' pairs are the same ones. No files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuitgraph.comparing.units import Unit
from circuitgraph.results.prompts import Prompt
from circuitgraph.results.records import RunResult

Floats = NDArray[np.float64]
Clusters = tuple[str, ...] | None

PLACEHOLDER = "#"
"""A token text begins with it where the model has no tokenizer here; it says nothing about another model's tokens."""


@dataclass(frozen=True, eq=False)
class Sample:
    """What one run says of the matched units, per prompt pair."""

    effects: Floats
    """[units, pairs], in the metric's units; where a unit is several experiments, their mean."""
    bases: tuple[str, ...]
    """Of each unit."""
    gaps: Mapping[str, Floats]
    """Base → metric_other − metric_base per pair; without the bases that have no other prompt."""
    clusters: Clusters
    """The cluster of each pair; None = independent, or not known."""

    @property
    def pairs(self) -> int:
        """How many prompt pairs there are."""
        return self.effects.shape[1]


def sample(result: RunResult, units: Sequence[Unit], metric: str) -> Sample:
    """The effects and gaps of units (at least one) under a metric."""
    effects = np.stack([_mean([result.effects[i, metric] for i in unit.ids]) for unit in units])
    gaps = {base: gap for (base, name), gap in result.gaps.items() if name == metric}
    return Sample(effects.astype(np.float64), tuple(unit.base for unit in units), gaps, clusters_of(result))


def _mean(arrays: Sequence[Floats]) -> Floats:
    return arrays[0] if len(arrays) == 1 else np.mean(arrays, axis=0)


def clusters_of(result: RunResult) -> Clusters:
    """The cluster of each pair; pairs without one are alone. None where none has one."""
    if all(prompt.cluster is None for prompt in result.prompts):
        return None
    return tuple(f"pair {i}" if p.cluster is None else f"in {p.cluster}" for i, p in enumerate(result.prompts))


def same_pairs(a: RunResult, b: RunResult, bases: tuple[str, str]) -> bool:
    """Whether pair i of one run is pair i of the other: the same base prompt (or both prompts) and the same answers.

    Prompts are the same by token ids, or by text where tokenizers differ. False where a run kept no prompts.

    Args:
        bases: the base of each run.
    """
    if not a.prompts or len(a.prompts) != len(b.prompts):
        return False
    return all(_same(x, y, bases) for x, y in zip(a.prompts, b.prompts, strict=True))


def shared_prompts(a: RunResult, b: RunResult) -> int:
    """How many of B's clean prompts are among A's."""
    known = {prompt.clean for prompt in a.prompts}
    return sum(prompt.clean in known for prompt in b.prompts)


def joint_clusters(a: RunResult, b: RunResult) -> Clusters:
    """Clusters of pairs that both runs have: together is what is together in either; None = independent."""
    sides = [clusters for clusters in (clusters_of(a), clusters_of(b)) if clusters is not None]
    if not sides:
        return None
    owner = list(range(len(sides[0])))
    for clusters in sides:
        first: dict[str, int] = {}
        for i, name in enumerate(clusters):
            if (root := owner[first.setdefault(name, i)]) != owner[i]:
                gone = owner[i]
                owner = [root if each == gone else each for each in owner]
    return tuple(f"cluster {root}" for root in owner)


def _same(x: Prompt, y: Prompt, bases: tuple[str, str]) -> bool:
    answers = _equal(x.answers, x.answer_tokens, y.answers, y.answer_tokens)
    wrong = _equal(x.wrong_answers, x.wrong_answer_tokens, y.wrong_answers, y.wrong_answer_tokens)
    return answers and wrong and (_one(x, bases[0], y, bases[1]) or all(_one(x, s, y, s) for s in SIDES))


SIDES = ("clean", "corrupted")


def _one(x: Prompt, of_x: str, y: Prompt, of_y: str) -> bool:
    (ids_x, texts_x), (ids_y, texts_y) = _prompt(x, of_x), _prompt(y, of_y)
    if ids_x is None or ids_y is None:
        return False
    return _equal(ids_x, texts_x, ids_y, texts_y)


def _prompt(prompt: Prompt, side: str) -> tuple[tuple[int, ...] | None, tuple[str, ...]]:
    if side == "clean":
        return prompt.clean, prompt.clean_tokens
    return prompt.corrupted, prompt.corrupted_tokens or ()


def _equal(ids_x: Sequence[int], texts_x: Sequence[str], ids_y: Sequence[int], texts_y: Sequence[str]) -> bool:
    """Same text where both texts are known, else same ids."""
    if _told(texts_x) and _told(texts_y):
        return "".join(texts_x) == "".join(texts_y)
    return tuple(ids_x) == tuple(ids_y)


def _told(texts: Sequence[str]) -> bool:
    return not any(text.startswith(PLACEHOLDER) and text[1:].isdigit() for text in texts)

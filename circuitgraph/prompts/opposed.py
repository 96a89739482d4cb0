"""Two `template` tasks with opposite answers → pairs whose clean prompt comes from one and the other by turns. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from circuitgraph.catalog.generators import SameAs, TemplateParams, Words
from circuitgraph.prompts import template
from circuitgraph.prompts.raw import RawPair


def opposed(one: TemplateParams, other: TemplateParams, *, n: int, twin: bool) -> list[RawPair]:
    """`n` pairs: prompt i of `one` against prompt i of `other`, which has the same text.

    Pair 0 has `one`'s prompt as clean, pair 1 `other`'s, and so on; with `twin` each pair is followed by itself with
    clean and corrupted exchanged. No clean prompt comes twice. Both tasks need the same number of texts, and as many
    fillings of each as are asked for.

    Raises:
        InputError: fewer different prompts exist than are asked for.
    """
    drawn = {"n": n // 2 if twin else n}
    ones, others = (template.generate(task.model_copy(update=drawn)) for task in (one, other))
    pairs = [_against(a, b) for a, b in zip(ones, others, strict=True)]
    if not twin:
        return [_turned(pair) if i % 2 else pair for i, pair in enumerate(pairs)]
    named = [replace(pair, cluster=pair.cluster or f"twins {i}") for i, pair in enumerate(pairs, start=1)]
    return [side for pair in named for side in (pair, _turned(pair))]


def _against(clean: RawPair, corrupted: RawPair) -> RawPair:
    spans = {slot: (span, corrupted.spans[slot][0]) for slot, (span, _) in clean.spans.items()}
    return replace(clean, corrupted=corrupted.clean, wrong_answers=corrupted.answers, spans=spans)


def _turned(pair: RawPair) -> RawPair:
    """The pair with its two prompts, and right and wrong answers, exchanged."""
    if pair.corrupted is None:
        raise AssertionError("a pair of two tasks has two prompts")
    return replace(
        pair,
        clean=pair.corrupted,
        corrupted=pair.clean,
        answers=pair.wrong_answers,
        wrong_answers=pair.answers,
        spans={slot: (there, here) for slot, (here, there) in pair.spans.items() if there is not None},
    )


def answer_slots(words: Sequence[str]) -> dict[str, str | Words | SameAs]:
    """A slot for each answer word: `ANSWER1`, `ANSWER2` …"""
    return {f"ANSWER{i}": (word,) for i, word in enumerate(words, start=1)}

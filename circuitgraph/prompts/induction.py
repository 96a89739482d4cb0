"""`induction`: random words, repeated, as a `template` task. Pure.

lamp river key moon … lamp river     → " key"
     A1    B1              A2 = END
"""

from __future__ import annotations

import random
from dataclasses import replace

from circuitgraph.catalog.generators import Corruption, SameAs, TemplateParams, Words
from circuitgraph.catalog.task_params import InductionCorruption, InductionParams
from circuitgraph.prompts import template
from circuitgraph.prompts.random_words import RANDOM_WORDS
from circuitgraph.prompts.raw import RawPair, Span

LARGEST_VOCABULARY = 2_000


def generate(params: InductionParams) -> list[RawPair]:
    """`params.n` pairs with positions `A1`, `B1`, `A2`, in words or, with `vocabulary`, in token ids.

    Raises:
        InputError: fewer different prompts exist than are asked for.
    """
    pairs = template.generate(as_template(params))
    return [_in_ids(pair) for pair in pairs] if params.vocabulary is not None else pairs


def as_template(params: InductionParams) -> TemplateParams:
    """The same task in the words of the `template` generator: a text for each place of A."""
    places = range(2, params.length)  # counted from 1
    others = [i for i in range(1, params.length + 1) if any(i not in (place, place + 1) for place in places)]
    repeated = range(1, params.length - 1)
    slots: dict[str, str | Words | SameAs] = {"A1": "words", "B1": "words", "A2": SameAs(same_as="A1"), "C": "words"}
    slots |= {f"W{i}": "words" for i in others} | {f"R{i}": SameAs(same_as=f"W{i}") for i in repeated}
    return TemplateParams(
        n=params.n,
        seed=params.seed,
        twin=params.twin,
        cluster=params.cluster,
        text=tuple(_text(place, params.length) for place in places),
        slots=slots,
        words={"words": _words(params)},
        corruption=_corruption(params.corruption, others, repeated),
        answers=("B1",),
        wrong_answers=("C",),
    )


def _text(place: int, length: int) -> str:
    """The words 1 … length, and again up to A, the word at `place`; a space before each, so all are tokens alike."""
    first = {place: "A1", place + 1: "B1"}
    names = [first.get(i, f"W{i}") for i in range(1, length + 1)]
    return "".join(f" {{{name}}}" for name in (*names, *(f"R{i}" for i in range(1, place)), "A2"))


def _corruption(kind: InductionCorruption, others: list[int], repeated: range) -> Corruption:
    match kind:
        case InductionCorruption.OTHER_NEXT:
            return Corruption(set={"B1": "C"})
        case InductionCorruption.OTHER_FIRST:
            return Corruption(redraw=("A1",), set={"A2": "A1"})
        case InductionCorruption.NOTHING_REPEATED:
            kept = {f"R{i}": f"W{i}" for i in repeated}
            return Corruption(redraw=("A1", *(f"W{i}" for i in others)), set={"A2": "A1", **kept})


def _words(params: InductionParams) -> Words:
    if params.vocabulary is None:
        return params.words or RANDOM_WORDS
    low, high = params.vocabulary
    ids = list(range(low, high + 1))
    if len(ids) > LARGEST_VOCABULARY:
        draw = random.Random(params.seed)  # noqa: S311 - reproducible, not secret
        ids = sorted(sorted(ids, key=lambda _: draw.random())[:LARGEST_VOCABULARY])
    return tuple(map(str, ids))


def _in_ids(pair: RawPair) -> RawPair:
    """The pair whose words are numbers, as token ids."""

    def ids(text: str | tuple[int, ...] | None) -> tuple[int, ...]:
        return tuple(map(int, str(text).split()))

    def index(span: Span) -> int:
        return len(str(pair.clean)[: span.start].split())

    return replace(
        pair,
        clean=ids(pair.clean),
        corrupted=ids(pair.corrupted),
        answers=tuple(int(answer) for answer in pair.answers),
        wrong_answers=tuple(int(answer) for answer in pair.wrong_answers),
        positions={slot: index(span) for slot, (span, _) in pair.spans.items()},
        spans={},
    )

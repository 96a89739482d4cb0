"""`induction`: random words that repeat, as a `template` task; with words, or with token ids alone. Pure.

lamp river coin church bag key lamp river     → " coin"
     A1    B1   C1     D1           A2 = END
"""

from __future__ import annotations

from dataclasses import replace

from circuitgraph.catalog.generators import (
    Corruption,
    InductionCorruption,
    InductionParams,
    SameAs,
    TemplateParams,
    Words,
)
from circuitgraph.prompts import template
from circuitgraph.prompts.raw import RawPair
from circuitgraph.prompts.words import RANDOM_WORDS

OWN_WORDS = ("words", "vocabulary")
NAMED = ("A1", "B1", "C1", "D1", "A2")


def generate(params: InductionParams) -> list[RawPair]:
    """`params.n` pairs with positions `A1`, `B1`, `C1`, `D1`, `A2`.

    Raises:
        InputError: fewer different prompts exist than are asked for.
    """
    pairs = [
        replace(pair, spans={name: span for name, span in pair.spans.items() if name in NAMED})
        for pair in template.generate(as_template(params))
    ]
    return pairs if params.vocabulary is None else [_in_ids(pair) for pair in pairs]


def as_template(params: InductionParams) -> TemplateParams:
    """The same task in the words of the `template` generator: a text for each place of A and C."""
    low, high = params.vocabulary or (0, 0)
    words = tuple(map(str, range(low, high + 1))) if params.vocabulary else params.words or RANDOM_WORDS
    longest = max(params.length)
    # The words of the first part are A1, B1, C1, D1 and fillers W1, W2, …; what repeats is same_as them.
    first = ["A1", "B1", "C1", "D1", *(f"W{i}" for i in range(1, longest - 3))]
    repeated = {f"R{i}": SameAs(same_as=f"W{i}") for i in range(1, longest - 3)}
    texts = tuple(" " + " ".join(f"{{{slot}}}" for slot in order) for order in _orders(params.length))
    used = {slot for text in texts for slot in template.slots_of(text)}
    slots: dict[str, str | Words | SameAs] = {
        **dict.fromkeys(first, "words"),
        "A2": SameAs(same_as="A1"),
        **{slot: same for slot, same in repeated.items() if slot in used},
    }
    return TemplateParams(
        n=params.n,
        seed=params.seed,
        twin=params.twin,
        cluster=params.cluster,
        text=texts,
        slots=slots,
        words={"words": words},
        corruption=_corruption(params.corruption, first, [slot for slot in repeated if slot in used]),
        answers=("B1",),
        wrong_answers=("D1",),
    )


def _orders(lengths: tuple[int, ...]) -> list[list[str]]:
    """The slots of each text: A at place `a` of the first part, C at `c`, the part up to A repeated."""
    places = [
        (c - a, a, c, length) for length in lengths for a in range(1, length - 3) for c in range(a + 2, length - 1)
    ]
    return [_order(a, c, length) for _, a, c, length in sorted(places)]


def _order(a: int, c: int, length: int) -> list[str]:
    named = {a: "A1", a + 1: "B1", c: "C1", c + 1: "D1"}
    fillers = iter(f"W{i}" for i in range(1, length))
    first = [named.get(place) or next(fillers) for place in range(length)]
    return [*first, *(slot.replace("W", "R") for slot in first[:a]), "A2"]


def _corruption(kind: InductionCorruption, first: list[str], repeated: list[str]) -> Corruption:
    match kind:
        case InductionCorruption.SWAP_FIRST:
            return Corruption(set={"A1": "C1", "C1": "A1", "A2": "A1"})
        case InductionCorruption.SWAP_NEXT:
            return Corruption(exchange=(("B1", "D1"),))
        case InductionCorruption.SWAP_CURRENT:
            return Corruption(set={"A2": "C1"})
        case InductionCorruption.NO_REPEAT:
            kept = {slot: slot.replace("R", "W") for slot in repeated}
            return Corruption(redraw=tuple(first), set=kept | {"A2": "A1"})


def _in_ids(pair: RawPair) -> RawPair:
    """A pair whose words are token ids in digits, as token ids."""

    def ids(text: str | tuple[int, ...] | None) -> tuple[int, ...] | None:
        return None if text is None else tuple(int(word) for word in str(text).split())

    text = str(pair.clean)
    return RawPair(
        clean=ids(text) or (),
        corrupted=ids(pair.corrupted),
        answers=tuple(int(answer) for answer in pair.answers),
        wrong_answers=tuple(int(answer) for answer in pair.wrong_answers),
        positions={name: len(text[: span.start].split()) for name, (span, _) in pair.spans.items()},
        cluster=pair.cluster,
    )

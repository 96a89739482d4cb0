"""`template`: texts with slots and lists of words → prompt pairs. Pure; the same seed gives the same pairs.

What a corruption redraws is drawn apart, from the prompt's own words: so the same seed gives the same clean prompts
under every corruption, and runs under two corruptions can be compared pair by pair.

Only `random.Random(…).random()` is drawn from, the one method whose numbers Python promises to keep.
"""

from __future__ import annotations

import random
import string
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, islice
from typing import TypeVar

from circuitgraph.catalog.generators import SameAs, TemplateParams, slots_of
from circuitgraph.errors import InputError
from circuitgraph.prompts.raw import RawPair, Span

TRIES = 100
"""Draws that may turn out to be used already before the unused prompts of a text are listed instead."""

LISTED = 2_000
"""How many fillings of one text are listed, besides twice as many as prompts are wanted."""

Filling = Mapping[str, str]
"""slot → word."""

_T = TypeVar("_T")

Apart = frozenset[frozenset[str]]
"""Pairs of slots that must hold different words."""


def generate(params: TemplateParams) -> list[RawPair]:
    """`params.n` pairs, no clean text twice; with `twin`, each prompt is followed by its twin.

    Prompt i uses text i mod (number of texts); a text that has no prompts left is passed over.

    Raises:
        InputError: fewer different prompts exist than are asked for, or a text makes none at all.
    """
    rng = random.Random(params.seed)  # noqa: S311 - reproducible, not secret
    texts = deque(_Text(params, index) for index in range(len(params.text)))
    seen: set[str] = set()
    pairs: list[RawPair] = []
    while len(pairs) < params.n:
        if not texts:
            raise InputError(f"only {len(pairs)} different prompts exist with these texts and words; n is {params.n}")
        text = texts[0]
        if made := _next_unseen(text, rng, seen, number=len(pairs)):
            pairs.extend(made)
            seen.update(str(pair.clean) for pair in made)
            texts.rotate(-1)
        elif _next_unseen(text, rng, set(), number=0):
            texts.popleft()
        else:
            raise InputError(f"text '{params.text[text.index]}' makes no prompt: {text.why_nothing()}")
    return pairs


def _next_unseen(text: _Text, rng: random.Random, seen: set[str], number: int) -> list[RawPair]:
    """A prompt (and its twin) that has not been made yet; empty if there is none left."""

    def unseen(words: Filling) -> list[RawPair]:
        made = text.pairs(words, number)
        return made if seen.isdisjoint(str(pair.clean) for pair in made) else []

    for _ in range(TRIES):
        words = _draw(rng, text.choices, text.apart)
        if words is not None and (made := unseen(words)):
            return made
    every = islice(_every(text.choices, text.apart), LISTED + 2 * text.params.n)
    left = [made for words in every if (made := unseen(words))]
    return _pick(rng, left) if left else []


@dataclass(frozen=True)
class _Text:
    """One of the texts, with what its slots may hold."""

    params: TemplateParams
    index: int

    @cached_property
    def slots(self) -> tuple[str, ...]:
        """The slots that occur in the text, in order."""
        return tuple(slots_of(self.params.text[self.index]))

    @cached_property
    def choices(self) -> dict[str, tuple[str, ...]]:
        """slot → words, for the slots that are drawn: those of the text, its answers and its corruption."""
        params = self.params
        used = {*self.slots, *params.answers, *params.wrong_answers}
        if params.corruption is not None:
            used |= {*params.corruption.set.values(), *(slot for pair in params.corruption.exchange for slot in pair)}
        roots = {params.root(slot) for slot in used}
        return {slot: params.choices(slot) for slot in params.slots if slot in roots}

    @cached_property
    def apart(self) -> Apart:
        """The pairs of drawn slots whose words differ."""
        params = self.params
        if params.distinct is None:
            pairs = [pair for pair in combinations(self.choices, 2) if self.choices[pair[0]] == self.choices[pair[1]]]
        else:
            pairs = [pair for group in params.distinct for pair in combinations(map(params.root, group), 2)]
        return frozenset(frozenset(pair) for pair in pairs)

    def pairs(self, words: Filling, number: int) -> list[RawPair]:
        """The pair (and its twin) with these words; empty if it cannot be corrupted."""
        redrawn = self._redraw(words)
        if redrawn is None:
            return []
        fillings = [words, self._exchanged(words)] if self.params.twin else [words]
        pairs = [self._pair(filling, redrawn, self._cluster(number)) for filling in fillings]
        unchanged = any(pair.corrupted == pair.clean for pair in pairs)
        return [] if unchanged or len({pair.clean for pair in pairs}) < len(pairs) else pairs

    def _pair(self, words: Filling, redrawn: Filling, cluster: str | None) -> RawPair:
        params = self.params
        clean = {slot: words[params.root(slot)] for slot in params.slots if params.root(slot) in words}
        clean_text, clean_spans = _fill(params.text[self.index], clean)
        corrupted_text, corrupted_spans = None, {}
        if params.corruption is not None:
            corrupted_text, corrupted_spans = _fill(params.text[self.index], self._corrupted(clean, redrawn))
        return RawPair(
            clean_text,
            corrupted_text,
            answers=tuple(params.answer_prefix + clean[slot] for slot in params.answers),
            wrong_answers=tuple(params.answer_prefix + clean[slot] for slot in params.wrong_answers),
            spans={slot: (span, corrupted_spans.get(slot)) for slot, span in clean_spans.items()},
            cluster=cluster,
        )

    def _redraw(self, words: Filling) -> Filling | None:
        """New words for the slots to redraw: not in the prompt, no two the same; None if there are too few."""
        params = self.params
        rng = random.Random(f"{params.seed} {self.index} {sorted(words.items())}")  # noqa: S311 - reproducible, not secret
        slots = params.corruption.redraw if params.corruption is not None else ()
        taken = set(words.values())
        choices = {slot: tuple(word for word in params.choices(slot) if word not in taken) for slot in slots}
        apart = frozenset(frozenset(pair) for pair in combinations(choices, 2))
        return _draw(rng, choices, apart) or next(_every(choices, apart), None)

    def _corrupted(self, clean: Filling, redrawn: Filling) -> Filling:
        """The corrupted prompt's words: slots named by the corruption change, their `same_as` slots follow."""
        corruption = self.params.corruption
        changed = dict(redrawn)
        if corruption is not None:
            for a, b in corruption.exchange:
                changed |= {a: clean[b], b: clean[a]}
            changed |= {slot: clean[source] for slot, source in corruption.set.items()}

        def word(slot: str) -> str:
            value = self.params.slots[slot]
            if slot in changed:
                return changed[slot]
            return word(value.same_as) if isinstance(value, SameAs) else clean[slot]

        return {slot: word(slot) for slot in self.slots}

    def _exchanged(self, words: Filling) -> Filling:
        """The twin's words: each answer's slot and its wrong answer's exchange theirs."""
        root = self.params.root
        exchanged = dict(words)
        for right, wrong in zip(self.params.answers, self.params.wrong_answers, strict=True):
            exchanged |= {root(right): words[root(wrong)], root(wrong): words[root(right)]}
        return exchanged

    def _cluster(self, number: int) -> str | None:
        if self.params.cluster == "template" and len(self.params.text) > 1:
            return f"text {self.index + 1}"
        return f"twins {number // 2 + 1}" if self.params.twin else None

    def why_nothing(self) -> str:
        """Why no filling of the text makes a pair."""
        words = next(_every(self.choices, self.apart), None)
        if words is None:
            return "there are too few words for slots that must differ"
        if self._redraw(words) is None:
            slots = ", ".join(self.params.corruption.redraw) if self.params.corruption else ""
            return f"there are too few words to redraw {slots} with words that the clean prompt does not have"
        if self.params.twin and not {*map(self.params.root, self.slots)} & {
            *map(self.params.root, (*self.params.answers, *self.params.wrong_answers))
        }:
            return "its twin would be the same text, as no answer occurs in it"
        return "the corruption does not change it"


def _fill(text: str, words: Filling) -> tuple[str, dict[str, Span]]:
    """The text with its slots filled, and the characters that each slot takes up."""
    filled, spans = "", {}
    for literal, slot, _, _ in string.Formatter().parse(text):
        filled += literal
        if slot is not None:
            spans[slot] = Span(len(filled), len(filled) + len(words[slot]))
            filled += words[slot]
    return filled, spans


def _pick(rng: random.Random, items: Sequence[_T]) -> _T:
    return items[int(rng.random() * len(items))]


def _draw(rng: random.Random, choices: Mapping[str, Sequence[str]], apart: Apart) -> Filling | None:
    """A word for every slot, evenly among those still allowed; None at a dead end."""
    drawn: dict[str, str] = {}
    for slot, words in choices.items():
        left = _allowed(slot, words, drawn, apart)
        if not left:
            return None
        drawn[slot] = _pick(rng, left)
    return drawn


def _every(choices: Mapping[str, Sequence[str]], apart: Apart) -> Iterator[Filling]:
    """All fillings, one after the other; the shortest lists first, so that dead ends show early."""
    order = sorted(choices, key=lambda slot: len(choices[slot]))

    def extend(drawn: dict[str, str]) -> Iterator[Filling]:
        if len(drawn) == len(order):
            yield drawn
            return
        slot = order[len(drawn)]
        for word in _allowed(slot, choices[slot], drawn, apart):
            yield from extend({**drawn, slot: word})

    return extend({})


def _allowed(slot: str, words: Sequence[str], drawn: Filling, apart: Apart) -> Sequence[str]:
    taken = {word for other, word in drawn.items() if frozenset((slot, other)) in apart}
    return [word for word in words if word not in taken] if taken else words

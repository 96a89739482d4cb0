"""The parameters of the prompt generators: what a spec may write under `prompts.generator`.

Each model's `generate` lives in the module of the same name in `circuitgraph.prompts`.
Pure data: no tokenizer, no files, no random numbers.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator

from circuitgraph.errors import did_you_mean

RESERVED = ("END", "BOS")
"""Positions that every prompt has (`BOS` where there is such a token); nothing else may take their names."""

MOST_PAIRS = 100_000
"""More are never needed, and a slip of the keyboard must not fill the memory."""

SLOT_NAME = re.compile(r"[A-Za-z_]\w*")


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], Field(min_length=1)]
"""The words one slot may hold."""

SlotNames = Annotated[tuple[str, ...], BeforeValidator(_as_list, json_schema_input_type=str | list[str])]
"""One slot name or a list of them."""

Texts = Annotated[
    tuple[str, ...],
    Field(min_length=1),
    BeforeValidator(_as_list, json_schema_input_type=str | Annotated[list[str], Field(min_length=1)]),
]
"""One text with `{slot}`s or a list of them; `{{` and `}}` stand for braces."""


class GeneratorParams(BaseModel):
    """What every generator takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    word_keys: ClassVar[tuple[str, ...]] = ()
    """The keys that set which words prompts have: what to change where a vocabulary lacks some."""

    n: Annotated[int, Strict(), Field(ge=1, le=MOST_PAIRS)] = 64
    """How many prompt pairs to make, twins included."""
    seed: Annotated[int, Strict(), Field(ge=0)] = 0
    """The same seed and parameters give the same prompts on every machine."""
    twin: Annotated[bool, Strict()] = False
    """Follow each prompt by its twin, in which right and wrong answers have changed places; `n` must be even."""

    cluster: Literal["template", "none"] = "template"
    """`template`: prompts of one text are one cluster (if there are several texts). Twins always share one."""

    @model_validator(mode="after")
    def _twins_come_in_twos(self) -> GeneratorParams:
        if self.twin and self.n % 2:
            raise ValueError(f"with twin: true, n counts both twins and must be even; n is {self.n}")
        return self


class SameAs(BaseModel):
    """A slot that repeats the word of another slot."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    same_as: str


class Corruption(BaseModel):
    """How the corrupted prompt differs from the clean one; every word read here is the clean prompt's.

    A slot that is named here changes on its own, even if it is `same_as` another. A slot that is not
    named keeps its word, or, if it is `same_as` another, follows that one. So with `S2: {same_as: S1}`

        redraw: [S1]              gives S1 a new word, and S2 the same new word;
        redraw: [S2]              gives S2 a new word, and S1 keeps its own;
        redraw: [S1, S2]          gives them two different new words;
        redraw: [S1], set: {S2: S1}   gives S1 a new word, and S2 keeps its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    redraw: SlotNames = ()
    """Slots that get other words of their lists: none of the clean prompt's, no two the same."""
    exchange: tuple[tuple[str, str], ...] = ()
    """Pairs of slots that exchange their words."""
    set: dict[str, str] = Field(default_factory=dict)
    """slot → slot whose (clean) word it gets."""

    @property
    def changed(self) -> tuple[str, ...]:
        """The slots named as changing, in order; twice where the spec names them twice."""
        return (*self.redraw, *(slot for pair in self.exchange for slot in pair), *self.set)

    @model_validator(mode="after")
    def _each_slot_once(self) -> Corruption:
        if not self.changed:
            raise ValueError("a corruption changes something: give redraw, exchange or set")
        for slot in self.changed:
            if self.changed.count(slot) > 1:
                raise ValueError(f"the corruption changes slot '{slot}' more than once")
        return self


class TemplateParams(GeneratorParams):
    """`template`: a new task without code.

    Prompt i uses text i mod (number of texts); its slots are filled with words drawn evenly. Every slot
    is a named position: the last token of its word. No prompt comes twice.
    """

    word_keys: ClassVar[tuple[str, ...]] = ("slots", "words", "text")

    text: Texts
    """The prompts, with `{slot}`s. A slot occurs once; a second mention is another slot, `same_as` the first."""
    slots: Annotated[dict[str, str | Words | SameAs], Field(min_length=1)]
    """slot → its words, or the name of a list in `words`, or `{same_as: SLOT}`."""
    words: dict[str, Words] = Field(default_factory=dict)
    """Named word lists, for slots to share."""
    distinct: tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...] | None = None
    """Groups of slots whose words differ in one prompt. Default: slots with the same word list differ."""
    corruption: Corruption | None = None
    """How the corrupted prompt is made; without it there is none."""
    answers: SlotNames = ()
    """The slots whose words are right answers; a slot need not occur in the text."""
    wrong_answers: SlotNames = ()
    """The slots whose words are wrong answers."""
    answer_prefix: str = " "
    """What comes between the prompt and the answer's word."""

    def root(self, slot: str) -> str:
        """The slot whose word `slot` has: itself, unless it is `same_as` another."""
        value = self.slots[slot]
        return self.root(value.same_as) if isinstance(value, SameAs) else slot

    def choices(self, slot: str) -> tuple[str, ...]:
        """The words that the slot's root may hold."""
        match self.slots[slot]:
            case SameAs(same_as=other):
                return self.choices(other)
            case str() as name:
                return self.words[name]
            case words:
                return words

    @model_validator(mode="after")
    def _slots_are_well_defined(self) -> TemplateParams:
        for slot, value in self.slots.items():
            if slot in RESERVED or not SLOT_NAME.fullmatch(slot):
                raise ValueError(f"'{slot}' cannot name a slot: a name is letters, digits and _; END and BOS are taken")
            if isinstance(value, SameAs):
                self._require([value.same_as], f"same_as of slot '{slot}':")
            elif isinstance(value, str) and value not in self.words:
                raise ValueError(f"slot '{slot}': '{value}' is no word list{did_you_mean(value, self.words)}")
        for slot in self.slots:
            _refuse_circles(slot, self.slots)
        for slot in self.slots:
            choices = self.choices(slot)
            if any(not word.strip() for word in choices) or len(set(choices)) != len(choices):
                raise ValueError(f"slot '{slot}': its words must be different and not empty")
        return self

    @model_validator(mode="after")
    def _texts_use_the_slots(self) -> TemplateParams:
        self._require(self.answers, "in answers:")
        self._require(self.wrong_answers, "in wrong_answers:")
        used = {*self.answers, *self.wrong_answers}
        if len(set(self.text)) < len(self.text):
            raise ValueError("the same text is given twice")
        for text in self.text:
            fields = slots_of(text)
            self._require(fields, f"in text '{text}':")
            used.update(fields)
            for slot in fields:
                if fields.count(slot) > 1:
                    raise ValueError(
                        f"text '{text}' has slot {{{slot}}} twice; call the second mention "
                        f"{{{slot}2}} and define it as {slot}2: {{same_as: {slot}}}"
                    )
        used.update(self.root(slot) for slot in list(used))
        if self.corruption is not None:
            used.update(self.corruption.set.values())
        if unused := [slot for slot in self.slots if slot not in used]:
            raise ValueError(f"slot '{unused[0]}' occurs in no text")
        return self

    @model_validator(mode="after")
    def _names_are_slots(self) -> TemplateParams:
        for group in self.distinct or ():
            self._require(group, "in distinct:")
            if len({self.root(slot) for slot in group}) < len(group):
                raise ValueError(f"distinct: [{', '.join(group)}] holds a slot and one that is same_as it")
        if self.corruption is not None:
            self._require(self.corruption.changed, "in corruption:")
            self._require(self.corruption.set.values(), "in corruption:")
        if both := {*map(self.root, self.answers)} & {*map(self.root, self.wrong_answers)}:
            raise ValueError(f"the word of slot '{min(both)}' cannot be a right and a wrong answer")
        if self.twin and (not self.answers or len(self.answers) != len(self.wrong_answers)):
            raise ValueError("twin: true exchanges answers and wrong_answers: give as many of one as of the other")
        return self

    def _require(self, names: Iterable[str], where: str) -> None:
        for name in names:
            if name not in self.slots:
                raise ValueError(f"{where} '{name}' is no slot{did_you_mean(name, self.slots)}")


def slots_of(text: str) -> list[str]:
    """The slots of a text, in order.

    Raises:
        ValueError: a brace stands alone, or braces hold something else than a name.
    """
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"text '{text}': {error}; a brace in the prompt itself is written twice") from None
    fields = [name for _, name, _, _ in parts if name is not None]
    if wrong := [name for name in fields if not SLOT_NAME.fullmatch(name)]:
        raise ValueError(f"text '{text}': '{{{wrong[0]}}}' is no slot; a brace in the prompt itself is written twice")
    return fields


def _refuse_circles(slot: str, slots: dict[str, str | Words | SameAs]) -> None:
    seen = [slot]
    while isinstance(value := slots[seen[-1]], SameAs):
        if value.same_as in seen:
            raise ValueError(f"slots are same_as each other in a circle: {' → '.join([*seen, value.same_as])}")
        seen.append(value.same_as)


class IoiCorruption(StrEnum):
    """How an IOI prompt is corrupted. Example: "When Mary and John went …, John gave a drink to"."""

    SWAP_S2 = "swap_s2"
    """"When Mary and John went …, Mary gave": the second subject becomes the other name. The answer turns
    around; the first two names stay where they are."""
    REVERSE_NAMES = "reverse_names"
    """"When John and Mary went …, Mary gave": the two names change places everywhere. Beware: the right answer
    then stands at the same place in both prompts, so a model that goes by the place of a name, not by which name
    is repeated, cannot be told from one that does the task."""
    ABC = "abc"
    """"When Anna and Paul went …, Lisa gave": three names, none of them in the clean prompt. Nothing is repeated,
    so the corrupted prompt holds no information about the answer."""


class Order(StrEnum):
    """Which name comes first: abba = the indirect object, baba = the subject."""

    ABBA = "abba"
    BABA = "baba"
    BOTH = "both"


class Templates(StrEnum):
    """Which of the ready-made sentences: those ioi-mini was trained on, those it never saw, or all."""

    SEEN = "seen"
    HELD_OUT = "held_out"
    ALL = "all"


class IoiParams(GeneratorParams):
    """`ioi`: indirect object identification, with positions `IO`, `S1`, `S2` (and `S1+1`, `END`).

    Each sentence in each order is a text of its own, and so a cluster. Answers are " <IO>", wrong answers " <S1>".
    """

    word_keys: ClassVar[tuple[str, ...]] = ("names", "places", "objects", "text")

    corruption: IoiCorruption = IoiCorruption.ABC
    order: Order = Order.BOTH
    """`both`: prompts alternate between the two orders."""
    templates: Templates = Templates.ALL
    names: Words | None = None
    """Names of your own; one token each after a space."""
    places: Words | None = None
    """Words for {PLACE}."""
    objects: Words | None = None
    """Words for {OBJECT}."""
    text: Texts | None = None
    """Sentences of your own instead of `templates`: with {A} and {B}, the two names, {S2}, the one that is
    repeated, and if you like {PLACE} and {OBJECT}."""

    @model_validator(mode="after")
    def _text_is_an_ioi_sentence(self) -> IoiParams:
        for text in self.text or ():
            fields = slots_of(text)
            known = ("A", "B", "S2", "PLACE", "OBJECT")
            for name in fields:
                if name not in known:
                    raise ValueError(f"text '{text}': '{{{name}}}' is no slot{did_you_mean(name, known)}")
            for name in known:
                if fields.count(name) > 1 or (name in known[:3] and name not in fields):
                    raise ValueError(f"text '{text}': {{A}}, {{B}} and {{S2}} must each occur, and no slot twice")
        if self.text is not None and "templates" in self.model_fields_set:
            raise ValueError("give text or templates, not both")
        return self

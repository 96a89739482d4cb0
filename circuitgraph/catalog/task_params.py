"""The parameters of the ready-made tasks besides `ioi`. Each task's `generate` lives in the module of `prompts`
that is called like it. Pure data: no tokenizer, no files, no random numbers.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, Strict, field_validator, model_validator

from circuitgraph.catalog.generators import GeneratorParams, Texts, Words, slots_of

LONGEST_SEQUENCE = 200
"""More words would hardly fit a model's context twice."""


def _require_slots(texts: tuple[str, ...] | None, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    """Every text has each of the needed slots once, the optional ones at most once, and no other."""
    for text in texts or ():
        fields = slots_of(text)
        wrong = [name for name in needed if fields.count(name) != 1]
        wrong += [name for name in dict.fromkeys(fields) if name not in needed and fields.count(name) > 1]
        if wrong or not set(fields) <= {*needed, *optional}:
            slots = ", ".join(f"{{{name}}}" for name in needed)
            may = "".join(f"; it may have {{{name}}}" for name in optional)
            raise ValueError(f"text '{text}' must have the slots {slots}, each once, and no other{may}")


def _require_different(words: Words | None, parameter: str) -> None:
    if words is not None and (len(set(words)) < len(words) or not all(word.strip() for word in words)):
        raise ValueError(f"{parameter}: its words must be different and not empty")


class UntwinnedParams(GeneratorParams):
    """A generator without name-swapped twins."""

    twin: Annotated[bool, Strict()] = False
    """This task has no twins: it stays false."""

    @model_validator(mode="after")
    def _no_twins(self) -> UntwinnedParams:
        if self.twin:
            raise ValueError("this task has no twins; leave twin out")
        return self


class InductionCorruption(StrEnum):
    """How a repeated sequence is corrupted. Example: "lamp river key moon lamp river", which goes on with "key"."""

    OTHER_NEXT = "other_next"
    """"lamp river boat moon lamp river": another word follows A where it first stands. The answer changes with it;
    where to look stays the same."""
    OTHER_FIRST = "other_first"
    """"lamp boat key moon lamp river": another word stands where A first stood, so A has not been seen before. Beware:
    the words before A are still repeated, and a model that goes by the distance finds the answer all the same."""
    NOTHING_REPEATED = "nothing_repeated"
    """"boat tree key coin lamp river": every word of the first copy changes but the answer. Nothing is repeated."""


class InductionParams(GeneratorParams):
    """`induction`: different random words, repeated up to the word A, with positions `A1`, `B1`, `A2` (= `END`).

    A1 is where A first stands, B1 = A1+1 the word that follows it: the answer. `W1`, `W2`, … are the other words of
    the first copy, `R1`, `R2`, … their repeats. The wrong answer is a word that the clean prompt does not have; with
    `other_next` it stands at B1 in the corrupted one. A stands at another place in each text (and so cluster).
    """

    word_keys: ClassVar[tuple[str, ...]] = ("words", "vocabulary")

    length: Annotated[int, Strict(), Field(ge=3, le=LONGEST_SEQUENCE)] = 12
    """How many words come before they repeat. A is the second, third, … last but one of them, by turns."""
    corruption: InductionCorruption = InductionCorruption.OTHER_NEXT
    words: Words | None = None
    """Words of your own; one token each after a space."""
    vocabulary: tuple[Annotated[int, Strict(), Field(ge=0)], Annotated[int, Strict(), Field(ge=0)]] | None = None
    """[low, high]: token ids from low to high instead of words, for models without a tokenizer. Of more than 2,000,
    `seed` chooses 2,000."""

    @property
    def needed(self) -> int:
        """How many different words a pair may take."""
        every = self.corruption is InductionCorruption.NOTHING_REPEATED
        return 2 * self.length + 4 if every else self.length + 2

    @model_validator(mode="after")
    def _enough_words(self) -> InductionParams:
        if self.words is not None and self.vocabulary is not None:
            raise ValueError("give words or vocabulary, not both")
        _require_different(self.words, "words")
        low, high = self.vocabulary or (0, 0)
        if high < low:
            raise ValueError(f"vocabulary: [{low}, {high}] is empty; write the lower id first")
        have = len(self.words) if self.words is not None else high - low + 1 if self.vocabulary else None
        if have is not None and have < self.needed:
            where = "words" if self.words is not None else "vocabulary"
            raise ValueError(f"{where}: {have} are too few for length {self.length}, which needs {self.needed}")
        return self


class GreaterThanParams(UntwinnedParams):
    """`greater_than`: "The war lasted from the year 1732 to the year 17", with positions `NOUN`, `XX1`, `YY`, `XX2`
    (= `END`).

    Answers are all two-digit years greater than YY (33 to 99), wrong answers all others (00 to 32). In the corrupted
    prompt YY is 01. A vocabulary must read a year as two tokens, the century and two digits; years that it reads
    otherwise are left out. Prompts take the centuries by turns. For the metric `prob_diff`.
    """

    word_keys: ClassVar[tuple[str, ...]] = ("nouns", "centuries", "text")

    nouns: Words | None = None
    """Words of your own for {NOUN}: what lasts."""
    centuries: Annotated[tuple[Annotated[int, Strict(), Field(ge=10, le=99)], ...], Field(min_length=1)] = (
        11, 12, 13, 14, 15, 16, 17,
    )  # fmt: skip
    """The first two digits, XX."""
    years: tuple[Annotated[int, Strict(), Field(ge=2, le=98)], Annotated[int, Strict(), Field(ge=2, le=98)]] = (2, 98)
    """[lowest, highest] YY of the clean prompts."""
    exclude: tuple[Annotated[int, Strict(), Field(ge=1000, le=9999)], ...] = ()
    """Years (1732) that no clean prompt has, besides those that the vocabulary does not split in two."""
    text: Texts | None = None
    """Sentences of your own: with {NOUN}, {XX1}{YY}, the first year, and {XX2} at the end."""

    @model_validator(mode="after")
    def _is_possible(self) -> GreaterThanParams:
        if self.years[0] > self.years[1]:
            raise ValueError(f"years: [{self.years[0]}, {self.years[1]}] is empty; write the lower one first")
        if len(set(self.centuries)) < len(self.centuries):
            raise ValueError("centuries: the same one is given twice")
        _require_different(self.nouns, "nouns")
        _require_slots(self.text, ("NOUN", "XX1", "YY", "XX2"))
        for text in self.text or ():
            if "{XX1}{YY}" not in text or not text.endswith("{XX2}"):
                raise ValueError(f"text '{text}' must have {{XX1}}{{YY}} as one year, and end with {{XX2}}")
        return self


class GenderedPronounParams(GeneratorParams):
    """`gendered_pronoun`: "So Mary is a really great friend, isn't" → " she", with position `NAME`.

    Prompts with a man's and a woman's name take turns. In the corrupted prompt stands a name of the other gender.
    """

    word_keys: ClassVar[tuple[str, ...]] = ("he", "she", "text")

    he: Words | None = None
    """Names of your own that go with " he"; one token each after a space."""
    she: Words | None = None
    """Names of your own that go with " she"."""
    text: Texts | None = None
    """Sentences of your own: with {NAME}; the pronoun comes next."""

    @model_validator(mode="after")
    def _is_possible(self) -> GenderedPronounParams:
        _require_different(self.he, "he")
        _require_different(self.she, "she")
        if both := set(self.he or ()) & set(self.she or ()):
            raise ValueError(f"'{min(both)}' is in he and in she")
        _require_slots(self.text, ("NAME",))
        return self


class Attractor(StrEnum):
    """The number of the noun that stands between subject and verb."""

    SINGULAR = "singular"
    PLURAL = "plural"
    BOTH = "both"


class SubjectVerbParams(GeneratorParams):
    """`subject_verb`: "The key to the cabinets" → " is", with positions `SUBJECT`, `ATTRACTOR`.

    Prompts with a singular and a plural subject take turns. In the corrupted prompt the subject is of the other
    number; the attractor keeps its own, and may agree with either.
    """

    word_keys: ClassVar[tuple[str, ...]] = ("subjects", "attractors", "singular_verbs", "plural_verbs", "text")

    subjects: Annotated[dict[str, str], Field(min_length=1)] | None = None
    """Subjects of your own, singular → plural: `{key: keys}`; one token each after a space."""
    attractors: Annotated[dict[str, str], Field(min_length=1)] | None = None
    """Attractors of your own, singular → plural."""
    attractor: Attractor = Attractor.BOTH
    """Which numbers attractors may have; `both`: drawn evenly."""
    singular_verbs: Words = ("is",)
    """The right answers after a singular subject, the wrong ones after a plural one."""
    plural_verbs: Words = ("are",)
    """The right answers after a plural subject, the wrong ones after a singular one."""
    text: Texts | None = None
    """Sentences of your own: with {SUBJECT} and {ATTRACTOR}; the verb comes next."""

    @field_validator("subjects", "attractors")
    @classmethod
    def _numbers_differ(cls, nouns: dict[str, str] | None) -> dict[str, str] | None:
        forms = [form for pair in (nouns or {}).items() for form in pair]
        if len(set(forms)) < len(forms) or not all(form.strip() for form in forms):
            raise ValueError("singular and plural forms must all be different and not empty")
        return nouns

    @model_validator(mode="after")
    def _is_possible(self) -> SubjectVerbParams:
        if both := {*self.singular_verbs} & {*self.plural_verbs}:
            raise ValueError(f"'{min(both)}' is in singular_verbs and in plural_verbs")
        _require_different(self.singular_verbs, "singular_verbs")
        _require_different(self.plural_verbs, "plural_verbs")
        _require_slots(self.text, ("SUBJECT",), ("ATTRACTOR",))
        return self


class DocstringCorruption(StrEnum):
    """Which argument names are exchanged for random others, none of the clean prompt's, no two the same."""

    RANDOM_DEF = "random_def"
    """A, B and C in the definition: the docstring's :param lines no longer match it, and C is gone."""
    RANDOM_DOC = "random_doc"
    """A and B in the docstring: C is there, but nothing says that it comes next."""
    RANDOM_RANDOM = "random_random"
    """Both."""


class DocstringParams(UntwinnedParams):
    """`docstring`: a Python function whose docstring goes through its arguments; the next one is asked for.

    Positions: `A_def`, `B_def`, `C_def` in the definition, `A_doc`, `B_doc` in the docstring (and `METHOD`, `D1` …
    for other words); `END` is the last `:param`. The answer is " " and C, wrong answers are the other arguments.
    """

    word_keys: ClassVar[tuple[str, ...]] = ("arguments", "description")

    corruption: DocstringCorruption = DocstringCorruption.RANDOM_RANDOM
    arguments: Words | None = None
    """Argument names of your own; one token each after a space."""
    description: Words | None = None
    """Words of your own for the descriptions and the function's name."""
    before: Annotated[int, Strict(), Field(ge=0, le=10)] = 2
    """How many other arguments stand before A in the definition."""
    after: Annotated[int, Strict(), Field(ge=0, le=10)] = 1
    """How many other arguments stand after C in the definition."""

    @model_validator(mode="after")
    def _is_possible(self) -> DocstringParams:
        _require_different(self.arguments, "arguments")
        _require_different(self.description, "description")
        return self

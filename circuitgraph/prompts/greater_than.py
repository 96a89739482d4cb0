"""`greater_than`: a year that comes later, as a `template` task. Pure.

The war lasted from the year 1732 to the year 17     → "33", "34", … "99"
    NOUN              CENTURY YEAR           CENTURY2
"""

from __future__ import annotations

from dataclasses import replace

from circuitgraph.catalog.generators import Corruption, GreaterThanParams, SameAs, TemplateParams
from circuitgraph.errors import InputError
from circuitgraph.prompts import template
from circuitgraph.prompts.raw import RawPair
from circuitgraph.prompts.tokenizer import PromptTokenizer
from circuitgraph.prompts.words import EVENTS

OWN_WORDS = ("nouns", "centuries", "years")
START = "The war lasted from the year "


def generate(params: GreaterThanParams) -> list[RawPair]:
    """`params.n` pairs with positions `NOUN`, `CENTURY`, `YEAR`, `CENTURY2`.

    Raises:
        InputError: fewer different prompts exist than are asked for.
    """
    return [_with_answers(pair) for pair in template.generate(as_template(params))]


def as_template(params: GreaterThanParams) -> TemplateParams:
    """The prompts in the words of the `template` generator; answers follow from the year."""
    return TemplateParams(
        n=params.n,
        seed=params.seed,
        cluster=params.cluster,
        text=("The {NOUN} lasted from the year {CENTURY}{YEAR} to the year {CENTURY2}",),
        slots={
            "NOUN": params.nouns or EVENTS,
            "CENTURY": params.centuries,
            "CENTURY2": SameAs(same_as="CENTURY"),
            "YEAR": params.years,
            "LOW": ("01",),
        },
        distinct=(),
        corruption=Corruption(set={"YEAR": "LOW"}),
    )


def fitted(params: GreaterThanParams, tokenizer: PromptTokenizer) -> GreaterThanParams:
    """Without the centuries and years that this tokenizer does not write as century and two digits.

    Raises:
        InputError: none are left.
    """
    centuries = tuple(century for century in params.centuries if _splits(tokenizer, century, "01"))
    years = tuple(year for year in params.years if all(_splits(tokenizer, century, year) for century in centuries))
    if not centuries or not years:
        example = f"{params.centuries[0]}{params.years[0]}"
        tokens = ", ".join(f"'{tokenizer.token_text(token)}'" for token in tokenizer.encode(f" {example}").ids)
        raise InputError(
            f"generator 'greater_than' needs years that are two tokens, century and two digits; '{example}' is "
            f"{tokens} in this model's vocabulary; other years: centuries, years"
        )
    return params.model_copy(update={"centuries": centuries, "years": years})


def _splits(tokenizer: PromptTokenizer, century: str, year: str) -> bool:
    """Whether a year is the token of its century, as it stands alone, and one of its two digits."""
    text = f"{START}{century}{year}"
    alone, encoding, at = tokenizer.encode(START + century).ids, tokenizer.encode(text), len(text) - 2
    if tokenizer.unk_id in encoding.ids or encoding.ids[:-1] != alone:
        return False
    return encoding.offsets[-1] == (at, at + 2) and encoding.count(at - 2, at) == 1


def _with_answers(pair: RawPair) -> RawPair:
    span, _ = pair.spans["YEAR"]
    year = int(str(pair.clean)[slice(*span)])
    digits = [f"{i:02}" for i in range(100)]
    return replace(pair, answers=tuple(digits[year + 1 :]), wrong_answers=tuple(digits[: year + 1]))

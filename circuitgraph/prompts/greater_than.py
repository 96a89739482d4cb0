"""`greater_than`: a later year (Hanna et al. 2023), as `template` tasks, one for each century. Pure.

The war lasted from the year 1732 to the year 17     → "33", …, "99"
    NOUN                     XX1 YY           XX2 = END
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from circuitgraph.catalog.generators import Corruption, SameAs, TemplateParams
from circuitgraph.catalog.task_params import GreaterThanParams
from circuitgraph.errors import InputError
from circuitgraph.prompts import template
from circuitgraph.prompts.raw import RawPair
from circuitgraph.prompts.task_words import EVENTS, GREATER_THAN_TEXTS
from circuitgraph.prompts.tokenizer import PromptTokenizer

START = 1
"""YY of the corrupted prompts: every year is greater."""


def generate(params: GreaterThanParams) -> list[RawPair]:
    """`params.n` pairs with positions `NOUN`, `XX1`, `YY`, `XX2`; the centuries take turns.

    Raises:
        InputError: fewer different prompts exist than are asked for, or a century has no years left.
    """
    tasks = list(_tasks(params))
    share, rest = divmod(params.n, len(tasks))
    sizes = [share + (i < rest) for i in range(len(tasks))]
    made = [
        template.generate(task.model_copy(update={"n": size})) if size else []
        for task, size in zip(tasks, sizes, strict=True)
    ]
    pairs = [pairs[turn] for turn in range(max(sizes)) for pairs in made if turn < len(pairs)]
    return [_with_answers(pair) for pair in pairs]


def fitted(params: GreaterThanParams, tokenizer: PromptTokenizer) -> GreaterThanParams:
    """Without the years that are not two tokens, century and two digits, and centuries that cannot start with 01.

    Raises:
        InputError: nothing is left.
    """
    centuries = [century for century in params.centuries if _splits(tokenizer, century, START)]
    bad = [100 * century + yy for century in centuries for yy in _years(params) if not _splits(tokenizer, century, yy)]
    exclude = (*params.exclude, *(year for year in bad if year not in params.exclude))
    left = [c for c in centuries if any(100 * c + yy not in exclude for yy in _years(params))]
    if not left:
        year = f" {params.centuries[-1]}{params.years[0]:02d}"
        tokens = " + ".join(f"'{tokenizer.token_text(token)}'" for token in tokenizer.encode(year).ids)
        raise InputError(
            f"generator 'greater_than': this vocabulary reads no year of centuries {_listed(params.centuries)} as a "
            f"century and two digits (the year{year} is {tokens}); other centuries can be given by centuries"
        )
    return params.model_copy(update={"centuries": tuple(left), "exclude": exclude})


def _splits(tokenizer: PromptTokenizer, century: int, yy: int) -> bool:
    """Whether " 1732" ends in two tokens, " 17" and "32" (a token for the space alone may come before them)."""
    encoding = tokenizer.encode(f" {century}{yy:02d}")
    if tokenizer.unk_id is not None and tokenizer.unk_id in encoding.ids:
        return False
    return encoding.count(1, 3) == 1 and encoding.count(3, 5) == 1 and encoding.last_token(1, 3) == len(encoding) - 2


def _years(params: GreaterThanParams) -> range:
    return range(params.years[0], params.years[1] + 1)


def _tasks(params: GreaterThanParams) -> Iterator[TemplateParams]:
    """A task for each century; seeds of their own, so that they do not share nouns and years."""
    for i, century in enumerate(params.centuries):
        years = tuple(f"{yy:02d}" for yy in _years(params) if 100 * century + yy not in params.exclude)
        if not years:
            raise InputError(f"every year of century {century} is excluded; leave {century} out of centuries")
        yield TemplateParams(
            seed=params.seed * 100 + i,
            cluster=params.cluster,
            text=params.text or GREATER_THAN_TEXTS,
            slots={
                "NOUN": params.nouns or EVENTS,
                "XX1": (str(century),),
                "YY": years,
                "XX2": SameAs(same_as="XX1"),
                "START": (f"{START:02d}",),
            },
            corruption=Corruption(set={"YY": "START"}),
        )


def _with_answers(pair: RawPair) -> RawPair:
    """All greater years as answers, all others as wrong answers; no space before either, as they continue XX2."""
    span, _ = pair.spans["YY"]
    yy = int(str(pair.clean)[slice(*span)])
    years = [f"{year:02d}" for year in range(100)]
    return replace(pair, answers=tuple(years[yy + 1 :]), wrong_answers=tuple(years[: yy + 1]))


def _listed(centuries: tuple[int, ...]) -> str:
    return ", ".join(map(str, centuries))

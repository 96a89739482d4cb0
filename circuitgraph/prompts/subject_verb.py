"""`subject_verb`: number agreement across another noun. Drawn by `template`, then put in the singular or plural. Pure.

The key  to   the cabinets     → " is"
    SUBJECT LINK  ATTRACTOR = END
"""

from __future__ import annotations

from collections.abc import Mapping

from circuitgraph.catalog.generators import SubjectVerbCorruption, SubjectVerbParams, TemplateParams
from circuitgraph.prompts import template
from circuitgraph.prompts.raw import RawPair
from circuitgraph.prompts.words import NOUNS

OWN_WORDS = ("nouns", "links")
TEXT = "The {SUBJECT} {LINK} the {ATTRACTOR}"
VERBS = (" is", " are")
KINDS = {
    "opposite": ((False, True), (True, False)),
    "same": ((False, False), (True, True)),
    "both": ((False, True), (True, False), (False, False), (True, True)),
}
"""Whether subject and attractor are plural, in turn."""


def generate(params: SubjectVerbParams) -> list[RawPair]:
    """`params.n` pairs with positions `SUBJECT`, `LINK`, `ATTRACTOR`; no two with the same nouns and link.

    Raises:
        InputError: fewer different prompts exist than are asked for.
    """
    kinds = KINDS[params.attractor]
    drawn = template.generate(as_template(params))
    return [_in_numbers(pair, params, kinds[i % len(kinds)]) for i, pair in enumerate(drawn)]


def as_template(params: SubjectVerbParams) -> TemplateParams:
    """The prompts in the singular."""
    return TemplateParams(
        n=params.n,
        seed=params.seed,
        cluster=params.cluster,
        text=(TEXT,),
        slots={"SUBJECT": "nouns", "ATTRACTOR": "nouns", "LINK": params.links},
        words={"nouns": tuple(params.nouns or NOUNS)},
    )


def _in_numbers(pair: RawPair, params: SubjectVerbParams, plural: tuple[bool, bool]) -> RawPair:
    """The pair with subject and attractor in the singular or plural, and its corrupted prompt."""
    words = {slot: str(pair.clean)[slice(*span)] for slot, (span, _) in pair.spans.items()}
    subject, attractor = plural
    other = (not subject, attractor)
    if params.corruption is SubjectVerbCorruption.ATTRACTOR:
        other = (subject, not attractor)
    nouns = params.nouns or NOUNS
    clean, spans = template.fill(TEXT, _numbered(words, nouns, plural))
    corrupted, there = template.fill(TEXT, _numbered(words, nouns, other))
    return RawPair(
        clean,
        corrupted,
        answers=(VERBS[subject],),
        wrong_answers=(VERBS[not subject],),
        spans={slot: (span, there[slot]) for slot, span in spans.items()},
        cluster=pair.cluster,
    )


def _numbered(words: Mapping[str, str], nouns: Mapping[str, str], plural: tuple[bool, bool]) -> dict[str, str]:
    chosen: dict[str, bool] = {"SUBJECT": plural[0], "ATTRACTOR": plural[1]}
    return {slot: nouns[word] if chosen.get(slot) else word for slot, word in words.items()}

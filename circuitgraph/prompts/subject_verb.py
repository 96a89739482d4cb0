"""`subject_verb`: number agreement past an attractor, as two `template` tasks against each other. Pure.

The key to the cabinets     → " is"
    SUBJECT    ATTRACTOR = END
"""

from __future__ import annotations

from circuitgraph.catalog.generators import SameAs, TemplateParams, Words, slots_of
from circuitgraph.catalog.task_params import Attractor, SubjectVerbParams
from circuitgraph.errors import InputError
from circuitgraph.prompts.opposed import answer_slots, opposed
from circuitgraph.prompts.raw import RawPair
from circuitgraph.prompts.task_words import AGREEMENT_TEXTS, ATTRACTORS, SUBJECTS


def generate(params: SubjectVerbParams) -> list[RawPair]:
    """`params.n` pairs with positions `SUBJECT` and `ATTRACTOR`; the subject of even pairs is singular.

    Raises:
        InputError: fewer different prompts exist than are asked for, or a noun is a subject and an attractor.
    """
    subjects = params.subjects or SUBJECTS
    attractors = params.attractors or ATTRACTORS
    if both := {*subjects, *subjects.values()} & {*attractors, *attractors.values()}:
        raise InputError(f"'{min(both)}' is in subjects and in attractors")
    # The same seed and lists of the same length: both tasks draw the same nouns, one singular and one plural.
    one = _with(params, tuple(subjects), params.singular_verbs)
    other = _with(params, tuple(subjects.values()), params.plural_verbs)
    return opposed(one, other, n=params.n, twin=params.twin)


def _with(params: SubjectVerbParams, subjects: Words, verbs: Words) -> TemplateParams:
    texts = params.text or AGREEMENT_TEXTS
    nouns: dict[str, str | Words | SameAs] = {"SUBJECT": subjects}
    if any("ATTRACTOR" in slots_of(text) for text in texts):
        nouns["ATTRACTOR"] = _attractors(params)
    answers = answer_slots(verbs)
    return TemplateParams(
        seed=params.seed, cluster=params.cluster, text=texts, slots=nouns | answers, answers=tuple(answers)
    )


def _attractors(params: SubjectVerbParams) -> Words:
    nouns = params.attractors or ATTRACTORS
    match params.attractor:
        case Attractor.SINGULAR:
            return tuple(nouns)
        case Attractor.PLURAL:
            return tuple(nouns.values())
        case Attractor.BOTH:
            return (*nouns, *nouns.values())

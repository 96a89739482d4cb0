"""`gendered_pronoun`: he or she, as two `template` tasks that take turns. Pure.

So John is a really great friend, isn't     → " he"
   NAME                            END
"""

from __future__ import annotations

from circuitgraph.catalog.generators import Corruption, GenderedPronounParams, PronounCorruption, TemplateParams
from circuitgraph.prompts import template
from circuitgraph.prompts.raw import RawPair
from circuitgraph.prompts.words import HE_NAMES, SHE_NAMES

OWN_WORDS = ("he_names", "she_names", "traits")


def generate(params: GenderedPronounParams) -> list[RawPair]:
    """`params.n` pairs with position `NAME`: he and she in turn.

    Raises:
        InputError: fewer different prompts exist than are asked for.
    """
    he, she = (template.generate(_task(params, pronoun)) for pronoun in ("he", "she"))
    return [pair for two in zip(he, she, strict=True) for pair in two][: params.n]


def _task(params: GenderedPronounParams, pronoun: str) -> TemplateParams:
    names = {"he": params.he_names or HE_NAMES, "she": params.she_names or SHE_NAMES}
    other = "she" if pronoun == "he" else "he"
    slots = {"NAME": names[pronoun], "TRAIT": params.traits, "RIGHT": (pronoun,), "WRONG": (other,)}
    if params.corruption is PronounCorruption.OTHER_GENDER:
        slots["OTHER"] = names[other]
        changed = Corruption(set={"NAME": "OTHER"})
    else:
        changed = Corruption(redraw=("NAME",))
    return TemplateParams(
        n=(params.n + 1) // 2,
        seed=params.seed,
        cluster=params.cluster,
        text=("So {NAME} is a really {TRAIT} friend, isn't",),
        slots=dict(slots),
        distinct=(),
        corruption=changed,
        answers=("RIGHT",),
        wrong_answers=("WRONG",),
    )

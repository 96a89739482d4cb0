"""`gendered_pronoun`: he or she, by the name, as two `template` tasks against each other. Pure.

So Mary is a really great friend, isn't     → " she"
   NAME                               END
"""

from __future__ import annotations

from circuitgraph.catalog.generators import TemplateParams, Words
from circuitgraph.catalog.task_params import GenderedPronounParams
from circuitgraph.errors import InputError
from circuitgraph.prompts.opposed import opposed
from circuitgraph.prompts.raw import RawPair
from circuitgraph.prompts.task_words import HE, PRONOUN_TEXTS, SHE


def generate(params: GenderedPronounParams) -> list[RawPair]:
    """`params.n` pairs with position `NAME`; the clean prompts of even pairs are about a man.

    Raises:
        InputError: fewer different prompts exist than are asked for.
    """
    he, she = params.he or HE, params.she or SHE
    if both := set(he) & set(she):
        raise InputError(f"'{min(both)}' is in he and in she")
    texts = params.text or PRONOUN_TEXTS
    most = len(texts) * min(len(he), len(she)) * (2 if params.twin else 1)
    if params.n > most:
        raise InputError(f"only {most} different prompts exist with these texts and names; n is {params.n}")
    one = _about(params, texts, he, "he", seed=2 * params.seed)
    other = _about(params, texts, she, "she", seed=2 * params.seed + 1)
    return opposed(one, other, n=params.n, twin=params.twin)


def _about(params: GenderedPronounParams, texts: Words, names: Words, pronoun: str, *, seed: int) -> TemplateParams:
    return TemplateParams(
        seed=seed,
        cluster=params.cluster,
        text=texts,
        slots={"NAME": names, "ANSWER": (pronoun,)},
        answers=("ANSWER",),
    )

"""`ioi`: indirect object identification, as a `template` task. Pure.

When Mary and John walked to the store, John handed a drink to     → " Mary"
     IO       S1                        S2                  END
"""

from __future__ import annotations

from circuitgraph.catalog.generators import (
    Corruption,
    IoiCorruption,
    IoiParams,
    Order,
    SameAs,
    TemplateParams,
    Templates,
    Words,
    slots_of,
)
from circuitgraph.prompts import template
from circuitgraph.prompts.raw import RawPair
from circuitgraph.prompts.words import HELD_OUT_TEMPLATES, IOI_TEMPLATES, NAMES, OBJECTS, PLACES

CORRUPTIONS = {
    IoiCorruption.SWAP_S2: Corruption(set={"S2": "IO"}),
    IoiCorruption.REVERSE_NAMES: Corruption(exchange=(("IO", "S1"),)),
    IoiCorruption.ABC: Corruption(redraw=("IO", "S1", "S2")),
}

SENTENCES = {
    Templates.SEEN: IOI_TEMPLATES,
    Templates.HELD_OUT: HELD_OUT_TEMPLATES,
    Templates.ALL: IOI_TEMPLATES + HELD_OUT_TEMPLATES,
}


def generate(params: IoiParams) -> list[RawPair]:
    """`params.n` pairs with positions `IO`, `S1`, `S2`.

    Raises:
        InputError: fewer different prompts exist than are asked for.
    """
    return template.generate(as_template(params))


def as_template(params: IoiParams) -> TemplateParams:
    """The same task in the words of the `template` generator."""
    sentences = params.text or SENTENCES[params.templates]
    used = {slot for sentence in sentences for slot in slots_of(sentence)}
    slots: dict[str, str | Words | SameAs] = {"IO": "names", "S1": "names", "S2": SameAs(same_as="S1")}
    return TemplateParams(
        n=params.n,
        seed=params.seed,
        twin=params.twin,
        cluster=params.cluster,
        text=_ordered(sentences, params.order),
        slots=slots | {slot: words for slot, words in (("PLACE", "places"), ("OBJECT", "objects")) if slot in used},
        words={
            "names": params.names or NAMES,
            "places": params.places or PLACES,
            "objects": params.objects or OBJECTS,
        },
        corruption=CORRUPTIONS[params.corruption],
        answers=("IO",),
        wrong_answers=("S1",),
    )


def _ordered(sentences: Words, order: Order) -> tuple[str, ...]:
    """Each sentence in the order asked for; `both`: all sentences in alternating order, then all in the other order."""
    abba, baba = ([_with_names(sentence, *names) for sentence in sentences] for names in (("IO", "S1"), ("S1", "IO")))
    match order:
        case Order.ABBA:
            return tuple(abba)
        case Order.BABA:
            return tuple(baba)
        case Order.BOTH:
            rounds = ((abba, baba), (baba, abba))
            return tuple(pair[i % 2][i] for pair in rounds for i in range(len(sentences)))


def _with_names(sentence: str, first: str, second: str) -> str:
    return sentence.replace("{A}", f"{{{first}}}").replace("{B}", f"{{{second}}}")

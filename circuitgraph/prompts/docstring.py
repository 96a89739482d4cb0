"""`docstring`: which argument a docstring describes next, as a `template` task. Pure.

Heimersheim and Janiak 2023, "A circuit for Python docstrings in a 4-layer attention-only transformer".
"""

from __future__ import annotations

from circuitgraph.catalog.generators import (
    Corruption,
    DocstringCorruption,
    DocstringParams,
    SameAs,
    TemplateParams,
    Words,
)
from circuitgraph.prompts import template
from circuitgraph.prompts.raw import RawPair
from circuitgraph.prompts.words import ARGUMENTS, DESCRIPTIONS

OWN_WORDS = ("names", "words")

TEXT = '''def {F}(self, {A_def}, {B_def}, {C_def}, {D_def}, {E_def}):
    """{W1} {W2} {W3}

    :param {A_doc}: {W4} {W5}
    :param {B_doc}: {W6} {W7}
    :param'''

CORRUPTIONS = {
    DocstringCorruption.RANDOM_ANSWER: Corruption(redraw=("C_def",)),
    DocstringCorruption.RANDOM_DOC: Corruption(redraw=("A_doc", "B_doc")),
    DocstringCorruption.RANDOM_DEF: Corruption(
        redraw=("A_def", "B_def", "C_def"), set={"A_doc": "A_def", "B_doc": "B_def"}
    ),
    DocstringCorruption.RANDOM_ANSWER_DOC: Corruption(redraw=("C_def", "A_doc", "B_doc")),
}


def generate(params: DocstringParams) -> list[RawPair]:
    """`params.n` pairs with positions `A_def` … `E_def`, `A_doc`, `B_doc`.

    Raises:
        InputError: fewer different prompts exist than are asked for.
    """
    return template.generate(as_template(params))


def as_template(params: DocstringParams) -> TemplateParams:
    """The same task in the words of the `template` generator."""
    arguments = ("F", "A_def", "B_def", "C_def", "D_def", "E_def")
    slots: dict[str, str | Words | SameAs] = {
        **dict.fromkeys(arguments, "names"),
        "A_doc": SameAs(same_as="A_def"),
        "B_doc": SameAs(same_as="B_def"),
        **{f"W{i}": "words" for i in range(1, 8)},
    }
    return TemplateParams(
        n=params.n,
        seed=params.seed,
        cluster=params.cluster,
        text=(TEXT,),
        slots=slots,
        words={"names": params.names or ARGUMENTS, "words": params.words or DESCRIPTIONS},
        corruption=CORRUPTIONS[params.corruption],
        answers=("C_def",),
        wrong_answers=("A_def", "B_def", "D_def", "E_def"),
    )

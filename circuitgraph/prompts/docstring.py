"""`docstring`: which argument comes next (Heimersheim & Janiak 2023), as a `template` task. Pure.

def port(self, files, obj, state, size, shape, option):
                           A_def  B_def C_def
    '''document string example

    :param state: performance analysis
           A_doc
    :param size: pattern design
           B_doc
    :param     → " shape"
    END
"""

from __future__ import annotations

from circuitgraph.catalog.generators import Corruption, SameAs, TemplateParams, Words
from circuitgraph.catalog.task_params import DocstringCorruption, DocstringParams
from circuitgraph.errors import InputError
from circuitgraph.prompts import template
from circuitgraph.prompts.raw import RawPair
from circuitgraph.prompts.task_words import ARGUMENTS, DESCRIPTION

BODY = '''"""{D1} {D2} {D3}

    :param {A_doc}: {D4} {D5}
    :param {B_doc}: {D6} {D7}
    :param'''

CORRUPTIONS = {
    DocstringCorruption.RANDOM_DEF: Corruption(
        redraw=("A_def", "B_def", "C_def"), set={"A_doc": "A_def", "B_doc": "B_def"}
    ),
    DocstringCorruption.RANDOM_DOC: Corruption(redraw=("A_doc", "B_doc")),
    DocstringCorruption.RANDOM_RANDOM: Corruption(redraw=("A_def", "B_def", "C_def", "A_doc", "B_doc")),
}


def generate(params: DocstringParams) -> list[RawPair]:
    """`params.n` pairs with positions `A_def`, `B_def`, `C_def`, `A_doc`, `B_doc`.

    Raises:
        InputError: fewer different prompts exist than are asked for, or a word is in both lists.
    """
    if both := {*(params.arguments or ARGUMENTS)} & {*(params.description or DESCRIPTION)}:
        raise InputError(f"'{min(both)}' is in arguments and in description")
    return template.generate(as_template(params))


def as_template(params: DocstringParams) -> TemplateParams:
    """The same task in the words of the `template` generator."""
    before = [f"X{i}" for i in range(1, params.before + 1)]
    after = [f"X{i}" for i in range(params.before + 1, params.before + params.after + 1)]
    arguments = [*before, "A_def", "B_def", "C_def", *after]
    described = ["METHOD", *(f"D{i}" for i in range(1, 8))]
    slots: dict[str, str | Words | SameAs] = dict.fromkeys(arguments, "arguments")
    slots |= {"A_doc": SameAs(same_as="A_def"), "B_doc": SameAs(same_as="B_def")}
    slots |= dict.fromkeys(described, "description")
    head = "def {METHOD}(self, " + ", ".join(f"{{{name}}}" for name in arguments) + "):\n    "
    return TemplateParams(
        n=params.n,
        seed=params.seed,
        cluster=params.cluster,
        text=(head + BODY,),
        slots=slots,
        words={"arguments": params.arguments or ARGUMENTS, "description": params.description or DESCRIPTION},
        corruption=CORRUPTIONS[params.corruption],
        answers=("C_def",),
        wrong_answers=tuple(name for name in arguments if name != "C_def"),
    )

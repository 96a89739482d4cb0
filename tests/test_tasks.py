"""The ready-made tasks: every pair read again by other means than the generator's, in words and in bytes."""

from __future__ import annotations

import ast
import re
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

import circuitgraph as cg
from circuitgraph import catalog
from circuitgraph.catalog.task_params import (
    Attractor,
    DocstringCorruption,
    DocstringParams,
    GenderedPronounParams,
    GreaterThanParams,
    InductionCorruption,
    InductionParams,
    SubjectVerbParams,
)
from circuitgraph.checks import check
from circuitgraph.errors import InputError
from circuitgraph.prompts import docstring, gendered_pronoun, subject_verb, task_words
from circuitgraph.prompts.load import Loaded, load_prompts
from circuitgraph.prompts.pairs import Pair
from circuitgraph.prompts.random_words import RANDOM_WORDS
from circuitgraph.prompts.tokenizer import PromptTokenizer
from circuitgraph.spec.model import PromptsSpec
from tests.tiny import Sizes, save_checkpoint
from tests.toy_tokenizers import byte_level, saved, word_level

SPECS = Path(__file__).parents[1] / "specs"
SINGLE_YEAR, ODD_DECADE = 1776, 175


def load(name: str, tokenizer: PromptTokenizer | None, **parameters: Any) -> Loaded:
    spec = PromptsSpec.model_validate({"generator": {"name": name, **parameters}})
    return load_prompts(spec, tokenizer, bos_default=False, base_dir=Path(), source=None)


def pairs_of(name: str, tokenizer: PromptTokenizer, **parameters: Any) -> tuple[Pair, ...]:
    loaded = load(name, tokenizer, **parameters)
    assert loaded.problems == ()
    assert loaded.prompts is not None
    return loaded.prompts.pairs


def tokens(tokenizer: PromptTokenizer, ids: tuple[int, ...] | None) -> list[str]:
    assert ids is not None
    return [tokenizer.token_text(token) for token in ids]


def changed(pair: Pair) -> set[int]:
    """Where clean and corrupted differ; that they are aligned is asserted on the way."""
    assert pair.corrupted is not None
    return {i for i, (a, b) in enumerate(zip(pair.clean, pair.corrupted, strict=True)) if a != b}


# --- vocabularies ------------------------------------------------------------------------------------------------

ALL_TEXTS = (
    *task_words.PRONOUN_TEXTS, *task_words.AGREEMENT_TEXTS, docstring.BODY, "def f(self, x):", "he she is are was were"
)  # fmt: skip
ALL_WORDS = (
    *task_words.HE, *task_words.SHE, *chain(*task_words.SUBJECTS.items()), *chain(*task_words.ATTRACTORS.items()),
    *task_words.ARGUMENTS, *task_words.DESCRIPTION, *RANDOM_WORDS,
)  # fmt: skip


@cache
def word_tokens() -> PromptTokenizer:
    words = chain(*(re.findall(r"\w+|[^\w\s]+", re.sub(r"\{\w+\}", "", text)) for text in ALL_TEXTS), ALL_WORDS)
    return PromptTokenizer(word_level((*words, "):", "(", ")", ":", '"""', ",")), bos_id=0, unk_id=1)


@cache
def byte_tokens() -> PromptTokenizer:
    return PromptTokenizer(byte_level([*ALL_TEXTS, *(f" {word}" for word in ALL_WORDS)]), bos_id=0)


@cache
def year_tokens() -> Tokenizer:
    """Byte-level BPE: " 17" and "32" are tokens, but " 1776" is one, and " 175" takes the first digit of 1750 to 1759;
    " 16" is none. The other words of the prompts are single tokens."""
    digits = "0123456789"
    merges = [("Ġ", "1"), ("Ġ1", "7"), ("Ġ1", "8"), ("Ġ17", "5")]
    merges += [(a, b) for a in digits for b in digits] + [("Ġ17", "76")]
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in merges)]
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    words = ("The", *(f" {word}" for word in ("lasted", "from", "the", "year", "to", *task_words.EVENTS)))
    tokenizer.add_tokens([AddedToken(word) for word in words])
    return tokenizer


BOTH = pytest.mark.parametrize("tokenizer", [word_tokens, byte_tokens])

# --- induction ---------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("corruption", InductionCorruption)
@pytest.mark.parametrize(("length", "twin"), [(12, False), (3, False), (4, True), (7, True)])
def test_induction(tokenizer: Any, corruption: InductionCorruption, length: int, twin: bool) -> None:
    pairs = pairs_of("induction", tokenizer(), n=40, length=length, corruption=corruption.value, twin=twin, seed=3)
    assert len({pair.clean for pair in pairs}) == 40
    for pair in pairs:
        ids, there = pair.clean, pair.corrupted
        assert there is not None
        first, again = ids[:length], ids[length:]
        assert len(set(first)) == length
        assert first[: len(again)] == again
        a1, b1, a2 = (pair.positions[name] for name in ("A1", "B1", "A2"))
        assert (a2, b1) == (pair.positions["END"], a1 + 1) == (len(ids) - 1, len(again))
        assert [i for i, token in enumerate(ids) if token == ids[-1]] == [a1, a2]
        assert pair.answers == (ids[b1],)
        assert pair.wrong_answers[0] not in ids
        match corruption:
            case InductionCorruption.OTHER_NEXT:
                assert changed(pair) == {b1}
                assert pair.wrong_answers == (there[b1],)
            case InductionCorruption.OTHER_FIRST:
                assert changed(pair) == {a1}
                assert ids[-1] not in there[:-1]
            case InductionCorruption.NOTHING_REPEATED:
                assert changed(pair) == set(range(length)) - {b1}
                assert len(set(there)) == len(there)
    places = {pair.positions["A1"] for pair in pairs}
    assert places == set(range(1, length - 1))
    assert len({pair.cluster for pair in pairs}) == (len(places) if len(places) > 1 or twin is False else 20)


def test_induction_in_token_ids_needs_no_tokenizer() -> None:
    loaded = load("induction", None, n=20, vocabulary=[100, 50_000], length=6)
    assert loaded.problems == loaded.unchecked == ()
    assert loaded.prompts is not None
    for pair in loaded.prompts.pairs:
        assert all(100 <= token <= 50_000 for token in (*pair.clean, *pair.wrong_answers))
        assert pair.answers == (pair.clean[pair.positions["B1"]],) != pair.wrong_answers
        assert pair.clean[pair.positions["A1"]] == pair.clean[-1]
        assert changed(pair) == {pair.positions["B1"]}
    few = load("induction", None, n=20, vocabulary=[1, 9], length=6).prompts
    assert few is not None
    assert {token for pair in few.pairs for token in pair.clean} == set(range(1, 10))


# --- greater_than ------------------------------------------------------------------------------------------------


def years(**parameters: Any) -> list[tuple[Pair, int]]:
    """Each pair with the four-digit year that its text says."""
    tokenizer = PromptTokenizer(year_tokens())
    found = []
    for pair in pairs_of("greater_than", tokenizer, **parameters):
        match = re.fullmatch(r"The \w+ lasted from the year (\d\d)(\d\d) to the year \1", str(pair.clean_text))
        assert match is not None
        found.append((pair, int(match[1] + match[2])))
    return found


def test_greater_than() -> None:
    tokenizer = PromptTokenizer(year_tokens())
    read = years(n=150, seed=1, centuries=[16, 17, 18])
    assert len({pair.clean for pair, _ in read}) == 150
    for pair, year in read:
        century, yy = divmod(year, 100)
        answers = [int(text) for text in tokens(tokenizer, pair.answers)]
        wrong = [int(text) for text in tokens(tokenizer, pair.wrong_answers)]
        assert sorted(answers + wrong) == list(range(100))
        assert all(answer > yy for answer in answers)
        assert all(answer <= yy for answer in wrong)
        here = tokens(tokenizer, pair.clean)
        at = {name: here[index] for name, index in pair.positions.items()}
        assert (at["XX1"], at["YY"], at["XX2"], at["END"]) == (f" {century}", f"{yy:02d}", f" {century}", f" {century}")
        assert at["NOUN"].strip() in task_words.EVENTS
        assert changed(pair) == {pair.positions["YY"]}
        assert tokens(tokenizer, pair.corrupted)[pair.positions["YY"]] == "01"


def test_years_that_are_not_two_tokens_are_left_out_and_no_others() -> None:
    bad = {SINGLE_YEAR, *range(ODD_DECADE * 10, ODD_DECADE * 10 + 10)}
    good = set(range(1702, 1799)) - bad
    read = [year for _, year in years(n=2 * len(good), centuries=[16, 17, 18], nouns=["war"])]
    assert {year // 100 for year in read} == {17, 18}  # " 16" is no token
    assert {year for year in read if year < 1800} == good
    assert {year for year in read if year > 1800} <= set(range(1802, 1899))
    assert read[0] // 100 == 17
    assert read[1] // 100 == 18
    assert {year for _, year in years(n=4, years=[30, 33], exclude=[1731], centuries=[17])} <= {1730, 1732, 1733}


def test_a_vocabulary_without_such_years_is_refused_in_one_sentence() -> None:
    (problem,) = load("greater_than", PromptTokenizer(year_tokens()), centuries=[16]).problems
    assert problem.message == (
        "generator 'greater_than': this vocabulary reads no year of centuries 16 as a century and two digits "
        "(the year 1602 is ' 1' + '6' + '02'); other centuries can be given by centuries"
    )


def test_slots_that_touch_must_not_share_a_token() -> None:
    parameters = {"text": "The war of {XX}{YY}", "slots": {"XX": ["17"], "YY": ["76", "32", "51"]}, "n": 3}
    (problem,) = load("template", PromptTokenizer(year_tokens()), **parameters).problems
    start = "slots that touch must not share a token; these words are read otherwise: "
    assert start in problem.message
    told = problem.message.partition(start)[2].removesuffix(")").split("), ")
    assert set(told) == {"'17|76' (' 1776'", "'17|51' (' 175', '1'"}


def test_greater_than_is_measured_with_answers_of_any_number(tmp_path: Path) -> None:
    """In a real run: the metric of each pair is the sum over its own answers."""
    directory = save_checkpoint("gpt2", tmp_path / "model", Sizes(vocab=year_tokens().get_vocab_size()))
    saved(year_tokens(), directory)
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "version: 1\nname: years\nmodel: ./model\nprompts: {bos: false, generator: {name: greater_than, n: 6}}\n"
        'metric: prob_diff\nedges: [{sender: "a0.h1@YY", receiver: "a1.h2<v>@YY"}]\n'
    )
    frame = cg.run(spec, out=tmp_path / "run", overrides=["prompts.generator.centuries=[17]"]).to_frame()
    assert frame["n"].tolist() == [6]
    import torch
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel.from_pretrained(directory).eval()
    found = []
    for pair, year in years(n=6, centuries=[17]):
        probabilities = model(torch.tensor([pair.clean])).logits[0, -1].softmax(-1)
        ids = [year_tokens().encode(f"{yy:02d}").ids[0] for yy in range(100)]
        found.append(probabilities[ids[year % 100 + 1 :]].sum() - probabilities[ids[: year % 100 + 1]].sum())
    assert frame["metric_base"].iloc[0] == pytest.approx(torch.stack(found).mean().item(), abs=1e-6)


# --- gendered_pronoun --------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("twin", [False, True])
def test_gendered_pronoun(tokenizer: Any, twin: bool) -> None:
    vocabulary = tokenizer()
    pairs = pairs_of("gendered_pronoun", vocabulary, n=64, seed=2, twin=twin)
    assert len({pair.clean for pair in pairs}) == 64
    assert len({pair.cluster for pair in pairs}) == len(task_words.PRONOUN_TEXTS)
    pronouns = {**dict.fromkeys(task_words.HE, "he"), **dict.fromkeys(task_words.SHE, "she")}
    for i, pair in enumerate(pairs):
        here, there = tokens(vocabulary, pair.clean), tokens(vocabulary, pair.corrupted)
        name = pair.positions["NAME"]
        right, wrong = pronouns[here[name].strip()], pronouns[there[name].strip()]
        assert right != wrong
        assert [text.strip() for text in tokens(vocabulary, pair.answers)] == [right]
        assert [text.strip() for text in tokens(vocabulary, pair.wrong_answers)] == [wrong]
        assert right == ("he", "she")[i % 2]
        assert changed(pair) == {name}
    if twin:
        for pair, other in zip(pairs[::2], pairs[1::2], strict=True):
            assert (other.clean, other.corrupted) == (pair.corrupted, pair.clean)
            assert other.cluster == pair.cluster


def test_gendered_pronoun_takes_names_of_ones_own_and_says_when_they_run_out() -> None:
    own = {"he": ("Bo", "Ed"), "she": ("Di",), "text": ("So {NAME} is here, isn't",)}
    made = gendered_pronoun.generate(GenderedPronounParams(n=2, twin=True, **own))
    assert [pair.answers for pair in made] == [(" he",), (" she",)]
    assert {pair.cluster for pair in made} == {"twins 1"}
    with pytest.raises(InputError, match="only 1 different prompts exist with these texts and names; n is 2"):
        gendered_pronoun.generate(GenderedPronounParams(n=2, **own))
    with pytest.raises(InputError, match="'Mary' is in he and in she"):
        gendered_pronoun.generate(GenderedPronounParams(he=("Mary", "Bo")))


# --- subject_verb ------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("attractor", ["singular", "plural", "both"])
def test_subject_verb(tokenizer: Any, twin: bool, attractor: str) -> None:
    vocabulary = tokenizer()
    pairs = pairs_of(
        "subject_verb", vocabulary, n=64, seed=5, twin=twin, attractor=attractor, singular_verbs=["is", "was"],
        plural_verbs=["are", "were"],
    )  # fmt: skip
    assert len({pair.clean for pair in pairs}) == 64
    numbers = {form: number for nouns in (task_words.SUBJECTS, task_words.ATTRACTORS) for forms in nouns.items()
               for form, number in zip(forms, ("singular", "plural"), strict=True)}  # fmt: skip
    attractors = set()
    for i, pair in enumerate(pairs):
        here, there = tokens(vocabulary, pair.clean), tokens(vocabulary, pair.corrupted)
        subject, other = (text[pair.positions["SUBJECT"]].strip() for text in (here, there))
        assert {task_words.SUBJECTS.get(subject), task_words.SUBJECTS.get(other)} in ({subject, None}, {other, None})
        assert numbers[subject] == ("singular", "plural")[i % 2]
        verbs = {"singular": ["is", "was"], "plural": ["are", "were"]}
        assert [text.strip() for text in tokens(vocabulary, pair.answers)] == verbs[numbers[subject]]
        assert [text.strip() for text in tokens(vocabulary, pair.wrong_answers)] == verbs[numbers[other]]
        assert changed(pair) == {pair.positions["SUBJECT"]}
        attractors.add(numbers[here[pair.positions["ATTRACTOR"]].strip()])
    assert attractors == ({"singular", "plural"} if attractor == "both" else {attractor})


def test_subject_verb_takes_nouns_of_ones_own() -> None:
    made = subject_verb.generate(
        SubjectVerbParams(
            n=2,
            subjects={"child": "children"},
            attractors={"ox": "oxen"},
            attractor=Attractor.PLURAL,
            text=("The {SUBJECT} with the {ATTRACTOR}", "Here the {SUBJECT}"),
        )
    )
    assert [(pair.clean, pair.corrupted) for pair in made] == [
        ("The child with the oxen", "The children with the oxen"), ("Here the children", "Here the child"),
    ]  # fmt: skip
    with pytest.raises(InputError, match="'house' is in subjects and in attractors"):
        subject_verb.generate(SubjectVerbParams(subjects={"house": "homes"}))


# --- docstring ---------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("corruption", DocstringCorruption)
@pytest.mark.parametrize(("before", "after"), [(2, 1), (0, 0), (1, 3)])
def test_docstring(tokenizer: Any, corruption: DocstringCorruption, before: int, after: int) -> None:
    vocabulary = tokenizer()
    pairs = pairs_of("docstring", vocabulary, n=20, seed=4, corruption=corruption.value, before=before, after=after)
    assert len({pair.clean for pair in pairs}) == 20
    for pair in pairs:
        (defined, described), (defined_there, described_there) = map(
            read_function, (pair.clean_text, pair.corrupted_text)
        )
        a, b, c = defined[before : before + 3]
        assert len(defined) == before + 3 + after == len(set(defined))
        assert described == [a, b]
        assert [text.strip() for text in tokens(vocabulary, pair.answers)] == [c]
        wrong = [text.strip() for text in tokens(vocabulary, pair.wrong_answers)]
        assert wrong == [name for name in defined if name != c]
        here = [text.strip() for text in tokens(vocabulary, pair.clean)]
        at = {name: here[index] for name, index in pair.positions.items()}
        assert (at["A_def"], at["B_def"], at["C_def"], at["A_doc"], at["B_doc"], at["END"]) == (a, b, c, a, b, "param")
        assert pair.positions["B_def"] < pair.positions["A_doc"]
        names = ("A_def", "B_def", "C_def") if corruption is not DocstringCorruption.RANDOM_DOC else ()
        names += ("A_doc", "B_doc") if corruption is not DocstringCorruption.RANDOM_DEF else ()
        assert changed(pair) == {pair.positions[name] for name in names}
        new = set(defined_there + described_there) - set(defined + described)
        assert len(new) == len(names)


def read_function(text: str | None) -> tuple[list[str], list[str]]:
    """The arguments of the function and those that its docstring goes through, by Python's own parser."""
    (function,) = ast.parse(f'{text} x: y\n    """').body
    assert isinstance(function, ast.FunctionDef)
    documentation = ast.get_docstring(function) or ""
    described = re.findall(r":param (\w+):", documentation)
    return [argument.arg for argument in function.args.args][1:], described[:-1]


# --- all of them -------------------------------------------------------------------------------------------------

TASKS = ("induction", "greater_than", "gendered_pronoun", "subject_verb", "docstring")
FIRST = {
    "induction": " clock station phone hotel farm ring coin horse letter ticket hospital church clock station",
    "greater_than": "The trade lasted from the year 1142 to the year 11",
    "gendered_pronoun": "So Paul is a really great friend, isn't",
    "subject_verb": "The table to the museums",
    "docstring": "def sea(self, task, size, message, header, object, load):",
}


@pytest.mark.parametrize("name", TASKS)
def test_the_same_seed_gives_the_same_prompts_and_another_others(name: str) -> None:
    entry = catalog.generators.lookup(name)
    one, again, other = (entry.load().generate(entry.read({"n": 64, "seed": seed})) for seed in (0, 0, 1))
    assert one == again
    assert len({pair.clean for pair in one}) == len(one) == 64
    assert {pair.clean for pair in one} != {pair.clean for pair in other}
    assert FIRST[name] in one[0].clean


@pytest.mark.parametrize("name", TASKS)
def test_words_that_a_vocabulary_lacks_are_told_with_generator_and_key(name: str) -> None:
    own, key = {
        "induction": ({"words": ["zeb", *RANDOM_WORDS]}, "words"),
        "greater_than": ({}, "centuries"),
        "gendered_pronoun": ({"he": ["Zeb"], "she": ["Mary"], "n": 4}, "he"),
        "subject_verb": ({"subjects": {"zeb": "zebs"}, "n": 4}, "subjects"),
        "docstring": ({"description": [f"zeb{i}" for i in "abcdefgh"]}, "description"),
    }[name]
    (problem,) = load(name, word_tokens(), **own).problems
    assert f"generator '{name}'" in problem.message
    assert re.search(rf"\b{key}\b", problem.message)
    assert "zeb" in problem.message.lower() or name == "greater_than"


@pytest.mark.parametrize(
    ("params", "changes", "message"),
    [
        (InductionParams, {"length": 2}, "greater than or equal to 3"),
        (InductionParams, {"words": ["a", "b", "c"]}, "words: 3 are too few for length 12, which needs 14"),
        (
            InductionParams,
            {"vocabulary": [1, 20], "length": 9, "corruption": "nothing_repeated"},
            "vocabulary: 20 are too few for length 9, which needs 22",
        ),
        (InductionParams, {"vocabulary": [9, 1]}, "vocabulary: [9, 1] is empty; write the lower id first"),
        (InductionParams, {"vocabulary": [1, 99], "words": ["a"]}, "give words or vocabulary, not both"),
        (InductionParams, {"words": ["a"] * 20}, "words: its words must be different and not empty"),
        (GreaterThanParams, {"years": [60, 40]}, "years: [60, 40] is empty; write the lower one first"),
        (GreaterThanParams, {"years": [1, 40]}, "greater than or equal to 2"),
        (GreaterThanParams, {"centuries": [17, 17]}, "centuries: the same one is given twice"),
        (GreaterThanParams, {"twin": True}, "this task has no twins; leave twin out"),
        (GreaterThanParams, {"text": "{NOUN} {XX1}{YY} {XX2} x"}, "{XX1}{YY} as one year, and end with {XX2}"),
        (GreaterThanParams, {"text": "{XX1}{YY} {XX2}"}, "must have the slots {NOUN}, {XX1}, {YY}, {XX2}, each once"),
        (GenderedPronounParams, {"he": ["Bo"], "she": ["Bo"]}, "'Bo' is in he and in she"),
        (GenderedPronounParams, {"text": "So {NAME} and {NAME}"}, "must have the slots {NAME}, each once"),
        (SubjectVerbParams, {"subjects": {"sheep": "sheep"}}, "singular and plural forms must all be different"),
        (SubjectVerbParams, {"plural_verbs": ["is"]}, "'is' is in singular_verbs and in plural_verbs"),
        (SubjectVerbParams, {"text": "The {SUBJECT} {VERB}"}, "and no other; it may have {ATTRACTOR}"),
        (DocstringParams, {"before": 11}, "less than or equal to 10"),
        (DocstringParams, {"arguments": ["x", "x"]}, "arguments: its words must be different"),
    ],
)  # fmt: skip
def test_parameters_that_cannot_be(params: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        params.model_validate(changes)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("greater_than", {"years": [5, 5], "exclude": [1705], "centuries": [17]}, "every year of century 17 is"),
        ("greater_than", {"n": 9, "years": [5, 6], "nouns": ["war"], "centuries": [17]}, "only 2 different prompts"),
        ("docstring", {"arguments": ["sea", "b"]}, "'sea' is in arguments and in description"),
        ("docstring", {"arguments": ["b", "c", "d"]}, "there are too few words for slots that must differ"),
        ("subject_verb", {"subjects": {"key": "keys"}, "n": 2000}, "different prompts exist"),
    ],
)  # fmt: skip
def test_tasks_that_make_nothing_say_why(name: str, parameters: dict[str, Any], message: str) -> None:
    entry = catalog.generators.lookup(name)
    with pytest.raises(InputError, match=message):
        entry.load().generate(entry.read(parameters))


# --- specs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "edges"), [("greater-than-gpt2", 146), ("docstring-attn-4l", 24)])
def test_published_circuits_are_checked_planned_and_drawn_without_the_model(
    name: str, edges: int, tmp_path: Path
) -> None:
    checked = check(SPECS / f"{name}.yaml")
    assert len(checked.graph.claims) == len(cg.plan(SPECS / f"{name}.yaml").experiments) == edges
    assert checked.warnings == ()
    cg.render(SPECS / f"{name}.yaml", tmp_path / "circuit.svg")
    drawn = (tmp_path / "circuit.svg").read_text()
    assert all(label in drawn for label in {group.label for group in checked.spec.groups.values() if group.label})


def test_the_docstring_circuit_is_the_published_list() -> None:
    """Conmy et al. count 37 edges, 13 of which lead from a head's input through q, k or v into it."""
    published = {"input → a0.h5<v>", "a1.h4 → a2.h0<v>", "a3.h0 → logits", "a3.h6 → logits"}
    for sender in ("input", "a0.h5"):
        published |= {f"{sender} → {r}" for r in ("a1.h2<q>", "a1.h2<k>", "a1.h4<v>", "a2.h0<q>", "a2.h0<k>")}
        published |= {f"{sender} → a3.h0<v>", f"{sender} → a3.h6<v>"}
    for mover in ("a3.h0", "a3.h6"):
        published |= {f"a1.h4 → {mover}<q>", f"a2.h0 → {mover}<k>", f"a1.h2 → {mover}<k>"}
    assert {experiment.label for experiment in cg.plan(SPECS / "docstring-attn-4l.yaml").experiments} == published

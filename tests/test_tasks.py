"""The ready-made tasks: read from their texts and tokens alone, every pair is what its generator says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tokenizers import Regex, pre_tokenizers

from circuitgraph import catalog
from circuitgraph.api import run
from circuitgraph.checks import check
from circuitgraph.prompts.load import Loaded, load_prompts
from circuitgraph.prompts.pairs import Pair
from circuitgraph.prompts.raw import RawPair
from circuitgraph.prompts.tokenizer import PromptTokenizer
from circuitgraph.prompts.words import (
    ARGUMENTS,
    DESCRIPTIONS,
    EVENTS,
    HE_NAMES,
    NOUNS,
    RANDOM_WORDS,
    SHE_NAMES,
)
from circuitgraph.spec.model import PromptsSpec
from tests.toy_tokenizers import byte_level, ioi_words

SPECS = Path(__file__).parents[1] / "specs"
YEARS = [f" {century}" for century in range(11, 18)] + [f"{year:02}" for year in range(100)]
SENTENCES = [
    "The war lasted from the year to the year",
    'def f(self, a, b):\n    """x\n\n    :param',
    "So John is a really great good nice kind friend, isn't he she",
    "The key to near behind with the keys is are",
]


def tokenizer() -> PromptTokenizer:
    """Byte-level BPE in which numbers are cut from the left in twos: every year is century and two digits."""
    words = (*EVENTS, *RANDOM_WORDS, *ARGUMENTS, *DESCRIPTIONS, *HE_NAMES, *SHE_NAMES, *NOUNS, *NOUNS.values())
    made = byte_level([])
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\d{1,2}"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    from tokenizers import trainers

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=6000, show_progress=False, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet
    )
    made.train_from_iterator([*SENTENCES, *YEARS, *(f" {word}" for word in words)], trainer)
    return PromptTokenizer(made, bos_id=0)


TOKENIZER = tokenizer()


def load(name: str, reader: PromptTokenizer | None = TOKENIZER, **parameters: Any) -> Loaded:
    spec = PromptsSpec.model_validate({"generator": {"name": name, **parameters}})
    return load_prompts(spec, reader, bos_default=True, base_dir=Path(), source=None)


def both(name: str, **parameters: Any) -> list[tuple[RawPair, Pair]]:
    """The pairs as text and as tokens."""
    loaded = load(name, **parameters)
    assert loaded.problems == ()
    assert loaded.prompts is not None
    entry = catalog.generators.lookup(name)
    raw = entry.load().generate(entry.read(parameters))
    texts = [pair.clean_text for pair in loaded.prompts.pairs]
    assert len(texts) == len(set(texts)) == parameters.get("n", 64)
    assert all(len(pair.clean) == len(pair.corrupted or ()) for pair in loaded.prompts.pairs)
    if [pair.clean for pair in raw] != texts:  # a generator that fits its words to the tokenizer
        return [(RawPair(pair.clean_text or "", pair.corrupted_text), pair) for pair in loaded.prompts.pairs]
    return list(zip(raw, loaded.prompts.pairs, strict=True))


def at(pair: Pair, name: str, *, corrupted: bool = False) -> str:
    """The word at a position."""
    ids = pair.corrupted if corrupted else pair.clean
    assert ids is not None
    return TOKENIZER.token_text(ids[pair.positions[name]]).strip()


def changed(pair: Pair) -> set[int]:
    assert pair.corrupted is not None
    return {i for i, (a, b) in enumerate(zip(pair.clean, pair.corrupted, strict=True)) if a != b}


def words(ids: tuple[int, ...]) -> list[str]:
    return [TOKENIZER.token_text(token).strip() for token in ids]


common = {"n": st.sampled_from([2, 16]), "seed": st.integers(0, 10**9)}


@settings(max_examples=20, deadline=None)
@given(parameters=st.fixed_dictionaries(common))
def test_greater_than(parameters: dict[str, Any]) -> None:
    for _, pair in both("greater_than", **parameters):
        found = re.fullmatch(r"The (\w+) lasted from the year (\d\d)(\d\d) to the year (\d\d)", str(pair.clean_text))
        assert found is not None
        noun, century, year, again = found.groups()
        assert century == again
        assert [at(pair, name) for name in ("NOUN", "CENTURY", "YEAR", "END")] == [noun, century, year, century]
        assert words(pair.answers) == [f"{y:02}" for y in range(100) if y > int(year)]
        assert words(pair.wrong_answers) == [f"{y:02}" for y in range(100) if y <= int(year)]
        assert changed(pair) == {pair.positions["YEAR"]}
        assert at(pair, "YEAR", corrupted=True) == "01"


@settings(max_examples=40, deadline=None)
@given(
    parameters=st.fixed_dictionaries(
        common
        | {
            "corruption": st.sampled_from(["swap_first", "swap_next", "swap_current", "no_repeat"]),
            "length": st.sampled_from([5, 10, [6, 12]]),
            "twin": st.booleans(),
        }
    )
)
def test_induction(parameters: dict[str, Any]) -> None:
    for _, pair in both("induction", **parameters):
        texts = str(pair.clean_text).split()
        last = texts[-1]
        first = texts.index(last)
        length = len(set(texts))
        assert texts[length:] == texts[: first + 1]  # the first words once more, up to the last one
        assert words(pair.answers) == [texts[first + 1]]
        a, b, c, d, end = (pair.positions[name] for name in ("A1", "B1", "C1", "D1", "END"))
        assert (b, d, end) == (a + 1, c + 1, pair.positions["A2"])
        assert at(pair, "A1") == at(pair, "A2") == last
        assert texts.count(at(pair, "C1")) == texts.count(at(pair, "D1")) == 1
        assert words(pair.wrong_answers) == [at(pair, "D1")]
        there = str(pair.corrupted_text).split()
        match parameters["corruption"]:
            case "no_repeat":
                assert not {*there[:length]} & {*texts}
                assert there[length:] == texts[length:]
                assert len({*there[:length]}) == length
            case "swap_first":
                assert changed(pair) == {a, c}
            case "swap_next":
                assert changed(pair) == {b, d}
            case "swap_current":
                assert changed(pair) == {end}
        if parameters["corruption"] != "no_repeat":
            assert there[there.index(there[-1]) + 1] == at(pair, "D1")  # the answer turns around


def test_induction_in_token_ids_needs_no_tokenizer() -> None:
    loaded = load("induction", None, vocabulary=[5, 60], n=20)
    assert loaded.prompts is not None
    for pair in loaded.prompts.pairs:
        assert {*pair.clean} <= {*range(5, 61)}
        a = pair.clean.index(pair.clean[-1])
        assert (a, pair.answers[0]) == (pair.positions["A1"], pair.clean[a + 1])
        assert pair.corrupted is not None
        assert changed(pair) == {pair.positions["A1"], pair.positions["C1"]}


DOCSTRING = {
    "random_answer": {"C_def"},
    "random_doc": {"A_doc", "B_doc"},
    "random_def": {"A_def", "B_def", "C_def"},
    "random_answer_doc": {"C_def", "A_doc", "B_doc"},
}


@settings(max_examples=20, deadline=None)
@given(parameters=st.fixed_dictionaries(common | {"corruption": st.sampled_from(sorted(DOCSTRING))}))
def test_docstring(parameters: dict[str, Any]) -> None:
    for _, pair in both("docstring", **parameters):
        arguments = re.search(r"\(self, (.*)\):", str(pair.clean_text))
        described = re.findall(r":param (\w+):", str(pair.clean_text))
        assert arguments is not None
        named = arguments[1].split(", ")
        assert len({*named}) == 5
        assert described == named[:2] == [at(pair, "A_doc"), at(pair, "B_doc")]
        assert words(pair.answers) == [named[2]] == [at(pair, "C_def")]
        assert sorted(words(pair.wrong_answers)) == sorted([*named[:2], *named[3:]])
        assert changed(pair) == {pair.positions[name] for name in DOCSTRING[parameters["corruption"]]}
        assert str(pair.clean_text).endswith(":param")


@settings(max_examples=20, deadline=None)
@given(parameters=st.fixed_dictionaries(common | {"corruption": st.sampled_from(["other_gender", "same_gender"])}))
def test_gendered_pronoun(parameters: dict[str, Any]) -> None:
    pairs = both("gendered_pronoun", **parameters)
    for i, (_, pair) in enumerate(pairs):
        he, name, other = i % 2 == 0, at(pair, "NAME"), at(pair, "NAME", corrupted=True)
        assert name in (HE_NAMES if he else SHE_NAMES)
        assert other in (HE_NAMES if he == (parameters["corruption"] == "same_gender") else SHE_NAMES)
        assert (words(pair.answers), words(pair.wrong_answers)) == ((["he"], ["she"]) if he else (["she"], ["he"]))
        assert changed(pair) == {pair.positions["NAME"]}


@settings(max_examples=20, deadline=None)
@given(
    parameters=st.fixed_dictionaries(
        common
        | {
            "corruption": st.sampled_from(["subject", "attractor"]),
            "attractor": st.sampled_from(["opposite", "same", "both"]),
        }
    )
)
def test_subject_verb(parameters: dict[str, Any]) -> None:
    plurals = set(NOUNS.values())
    for _, pair in both("subject_verb", **parameters):
        subject, attractor = at(pair, "SUBJECT") in plurals, at(pair, "ATTRACTOR") in plurals
        assert words(pair.answers) == (["are"] if subject else ["is"])
        assert words(pair.wrong_answers) == (["is"] if subject else ["are"])
        if parameters["attractor"] != "both":
            assert (subject == attractor) == (parameters["attractor"] == "same")
        slot = parameters["corruption"].upper()
        assert changed(pair) == {pair.positions[slot]}
        here, there = at(pair, slot), at(pair, slot, corrupted=True)
        assert NOUNS.get(here) == there or NOUNS.get(there) == here


@pytest.mark.parametrize("name", ["greater_than", "induction", "docstring", "gendered_pronoun", "subject_verb"])
def test_a_vocabulary_without_the_words_is_told_in_one_message(name: str) -> None:
    (problem,) = load(name, ioi_words() if name != "induction" else TOKENIZER_OF_NUMBERS).problems
    assert f"'{name}'" in problem.message
    assert re.search(r"words of your own: \w+|other years: centuries, years", problem.message)
    first = load(name, n=8, seed=3)
    assert first == load(name, n=8, seed=3)
    assert first != load(name, n=8, seed=4)


TOKENIZER_OF_NUMBERS = PromptTokenizer(byte_level(["1 2 3"]), bos_id=0)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("greater_than", {"years": ["1"]}, "years: '1' is not two digits from 02 to 98"),
        ("greater_than", {"twin": True}, "generator greater_than makes no twins"),
        ("induction", {"words": ["a"], "vocabulary": [1, 9]}, "give words or vocabulary, not both"),
        ("induction", {"vocabulary": [9, 1]}, "the lowest id comes first"),
        ("gendered_pronoun", {"he_names": ["Kim"], "she_names": ["Kim"]}, "'Kim' is among he_names and she_names"),
    ],
)
def test_parameters_that_cannot_be(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        catalog.generators.lookup(name).read(parameters)


@pytest.mark.parametrize("name", ["greater-than-gpt2", "docstring-attn-4l"])
def test_published_circuits_name_positions_that_their_prompts_have(name: str) -> None:
    checked = check(SPECS / f"{name}.yaml")
    generator = checked.spec.prompts.generator
    assert generator is not None
    prompts = load(generator.name, **generator.parameters).prompts
    assert prompts is not None
    for claim in checked.graph.claims:
        for end in (*claim.senders, *claim.receivers):
            if end.position is not None:
                prompts.indexes(end.position)


def test_induction_mini_does_what_its_spec_says(tmp_path: Path) -> None:
    rows = {row.label: row for row in run(SPECS / "induction-mini.yaml", out=tmp_path / "run").rows}
    whole = next(row for label, row in rows.items() if label.startswith("a1.h0@END + "))
    assert whole.normalized_effect == pytest.approx(1.0, abs=0.02)  # the gap goes through these heads alone
    assert whole.metric_base > 10

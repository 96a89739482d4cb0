"""The `template` and `ioi` generators: what they promise holds for every pair, in two kinds of vocabulary."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from circuitgraph.catalog.generators import IoiCorruption, IoiParams, Order, TemplateParams, Templates
from circuitgraph.errors import InputError
from circuitgraph.prompts import ioi, template
from circuitgraph.prompts.load import Loaded, load_prompts
from circuitgraph.prompts.pairs import Pair
from circuitgraph.prompts.raw import RawPair
from circuitgraph.prompts.tokenizer import PromptTokenizer
from circuitgraph.prompts.words import HELD_OUT_TEMPLATES, IOI_TEMPLATES, NAMES
from circuitgraph.spec.model import PromptsSpec
from tests.toy_tokenizers import byte_level, ioi_bytes, ioi_words, word_level

LETTERS = tuple("abcdefgh")
IOI_WORDS = "generator 'ioi' (its words are set by names, places, objects, text)"


def make(**parameters: Any) -> list[RawPair]:
    return template.generate(TemplateParams.model_validate(parameters))


def load(name: str, tokenizer: PromptTokenizer | None, **parameters: Any) -> Loaded:
    spec = PromptsSpec.model_validate({"generator": {"name": name, **parameters}})
    return load_prompts(spec, tokenizer, bos_default=True, base_dir=Path(), source=None)


def pairs_of(name: str, tokenizer: PromptTokenizer, **parameters: Any) -> tuple[Pair, ...]:
    loaded = load(name, tokenizer, **parameters)
    assert loaded.problems == ()
    assert loaded.prompts is not None
    return loaded.prompts.pairs


def words_of(pair: RawPair) -> dict[str, tuple[str, str | None]]:
    """slot → its word in the clean and in the corrupted prompt, read from the texts."""
    assert isinstance(pair.clean, str)
    return {
        slot: (pair.clean[slice(*span)], None if other is None else str(pair.corrupted)[slice(*other)])
        for slot, (span, other) in pair.spans.items()
    }


# --- ioi ---------------------------------------------------------------------------------------------------------

ioi_settings = st.fixed_dictionaries(
    {
        "n": st.sampled_from([2, 12, 64]),
        "seed": st.integers(0, 10**12),
        "corruption": st.sampled_from(IoiCorruption),
        "order": st.sampled_from(Order),
        "templates": st.sampled_from(Templates),
        "twin": st.booleans(),
    }
)


@settings(max_examples=60, deadline=None)
@given(parameters=ioi_settings, tokenizer=st.sampled_from([ioi_words(), ioi_bytes()]))
def test_ioi_in_tokens(parameters: dict[str, Any], tokenizer: PromptTokenizer) -> None:
    pairs = pairs_of("ioi", tokenizer, **parameters)
    assert len(pairs) == parameters["n"]
    assert len({pair.clean for pair in pairs}) == len(pairs)
    for pair in pairs:
        assert pair.corrupted is not None
        assert len(pair.clean) == len(pair.corrupted)
        assert pair.clean != pair.corrupted
        io, s1, s2 = (pair.positions[name] for name in ("IO", "S1", "S2"))
        assert pair.answers == (pair.clean[io],)  # the answer is the very token that the model reads at IO
        assert pair.wrong_answers == (pair.clean[s1],) == (pair.clean[s2],)
        assert max(io, s1) < s2 < pair.positions["END"] == len(pair) - 1
        there = [pair.corrupted[at] for at in (io, s1, s2)]
        match parameters["corruption"]:
            case IoiCorruption.SWAP_S2:
                assert there == [pair.clean[io], pair.clean[s1], pair.clean[io]]
            case IoiCorruption.REVERSE_NAMES:
                assert there == [pair.clean[s1], pair.clean[io], pair.clean[io]]
            case IoiCorruption.ABC:
                assert len({*there, pair.clean[io], pair.clean[s1]}) == 5
        changed = {i for i, (a, b) in enumerate(zip(pair.clean, pair.corrupted, strict=True)) if a != b}
        assert changed <= {io, s1, s2}
    if parameters["twin"]:
        for pair, twin in zip(pairs[::2], pairs[1::2], strict=True):
            exchange = {pair.answers[0]: pair.wrong_answers[0], pair.wrong_answers[0]: pair.answers[0]}
            assert twin.clean == tuple(exchange.get(token, token) for token in pair.clean)
            assert (twin.answers, twin.wrong_answers) == (pair.wrong_answers, pair.answers)
            assert (twin.cluster, twin.positions) == (pair.cluster, pair.positions)


@pytest.mark.parametrize("order", Order)
def test_ioi_orders(order: Order) -> None:
    firsts = [
        "".join(slot[0] for slot in pair.spans if slot in ("IO", "S1")) for pair in ioi.generate(IoiParams(order=order))
    ]
    match order:
        case Order.ABBA:
            assert set(firsts) == {"IS"}
        case Order.BABA:
            assert set(firsts) == {"SI"}
        case Order.BOTH:
            assert Counter(firsts) == {"IS": 32, "SI": 32}


@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("templates", Templates)
def test_ioi_has_enough_clusters_for_intervals(templates: Templates, twin: bool) -> None:
    assert len({pair.cluster for pair in ioi.generate(IoiParams(n=64, templates=templates, twin=twin))}) >= 10


@pytest.mark.parametrize(
    ("templates", "sentences"),
    [
        (Templates.SEEN, IOI_TEMPLATES),
        (Templates.HELD_OUT, HELD_OUT_TEMPLATES),
        (Templates.ALL, IOI_TEMPLATES + HELD_OUT_TEMPLATES),
    ],
)
def test_ioi_uses_the_sentences_asked_for(templates: Templates, sentences: tuple[str, ...]) -> None:
    patterns = [re.sub(r"\\\{\w+\\\}", r"\\w+", re.escape(sentence)) for sentence in sentences]
    pairs = ioi.generate(IoiParams(n=60, templates=templates))
    used = [[i for i, pattern in enumerate(patterns) if re.fullmatch(pattern, str(pair.clean))] for pair in pairs]
    assert all(len(hits) == 1 for hits in used)
    assert {hit for (hit,) in used} == set(range(len(sentences)))


def test_ioi_takes_words_and_sentences_of_ones_own() -> None:
    pairs = ioi.generate(
        IoiParams(
            n=4,
            names=("Ada", "Bo", "Cy", "Di", "Ed"),
            objects=("pear",),
            text=("{A} and {B}: {S2} has a {OBJECT} for",),
        )
    )
    assert [pair.cluster for pair in pairs] == ["text 1", "text 2", "text 1", "text 2"]
    for pair in pairs:
        assert re.fullmatch(r"(\w+) and (?!\1)(\w+): (\1|\2) has a pear for", str(pair.clean))


GREATER = {
    "text": ["The war lasted from {FROM} to {TO} and {FROM2}", "It was {FROM}, {FROM2} or {TO}"],
    "slots": {"FROM": "years", "TO": "years", "FROM2": {"same_as": "FROM"}},
    "words": {"years": list(LETTERS)},
    "answers": ["TO"],
    "wrong_answers": ["FROM2"],
}

# --- the same prompts everywhere ---------------------------------------------------------------------------------


SNAPSHOT = [
    ("The war lasted from g to f and g", "The war lasted from a to f and a"),
    ("It was d, d or b", "It was c, c or b"),
    ("The war lasted from e to c and e", "The war lasted from h to c and h"),
    ("It was g, g or c", "It was a, a or c"),
]


def test_the_same_seed_gives_the_same_prompts_for_ever() -> None:
    pairs = make(n=4, seed=0, corruption={"redraw": ["FROM"]}, **GREATER)
    assert [(pair.clean, pair.corrupted) for pair in pairs] == SNAPSHOT
    prompts = load("ioi", ioi_words(), n=64, seed=7, twin=True).prompts
    assert prompts is not None
    again = load("ioi", ioi_words(), n=64, seed=7, twin=True).prompts
    assert prompts == again
    other = load("ioi", ioi_words(), n=64, seed=8, twin=True).prompts
    assert other is not None
    assert prompts.digest() != other.digest()


@pytest.mark.parametrize("twin", [False, True])
def test_the_same_seed_gives_the_same_clean_prompts_under_every_corruption(twin: bool) -> None:
    """So that two corruptions can be compared pair by pair."""
    one, *others = (
        [(pair.clean, pair.answers, pair.wrong_answers, pair.cluster) for pair in pairs]
        for pairs in (
            pairs_of("ioi", ioi_words(), n=64, seed=3, twin=twin, corruption=corruption) for corruption in IoiCorruption
        )
    )
    assert others == [one] * (len(IoiCorruption) - 1)


def test_what_is_redrawn_depends_on_the_prompt_and_the_seed() -> None:
    """Not always the same replacement, and another one under another seed."""
    made = [make(n=60, seed=seed, corruption={"redraw": ["FROM"]}, **GREATER) for seed in (0, 1)]
    redrawn = [{str(pair.clean): pair.corrupted for pair in pairs} for pairs in made]
    shared = redrawn[0].keys() & redrawn[1].keys()
    assert sum(redrawn[0][text] != redrawn[1][text] for text in shared) > len(shared) / 2
    assert len({words_of(pair)["FROM"][1] for pair in made[0]}) == len(LETTERS)


# --- template ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("corruption", "expected"),
    [
        ({"redraw": ["FROM"]}, "new same-new keep"),
        ({"redraw": ["FROM2"]}, "keep new keep"),
        ({"redraw": ["FROM", "FROM2"]}, "new other-new keep"),
        ({"redraw": ["FROM"], "set": {"FROM2": "FROM"}}, "new keep keep"),
        ({"set": {"FROM2": "TO"}}, "keep to keep"),
        ({"set": {"TO": "FROM"}}, "keep keep from"),
        ({"exchange": [["FROM", "TO"]]}, "to to from"),
        ({"exchange": [["FROM2", "TO"]]}, "keep to from"),
    ],
)
@pytest.mark.parametrize("twin", [False, True])
def test_corruptions(corruption: dict[str, Any], expected: str, twin: bool) -> None:
    for pair in make(n=20, corruption=corruption, twin=twin, **GREATER):
        words = words_of(pair)
        clean = {slot: word for slot, (word, _) in words.items()}
        there = {slot: word for slot, (_, word) in words.items()}
        assert clean["FROM"] == clean["FROM2"] != clean["TO"]
        for slot, meaning in zip(("FROM", "FROM2", "TO"), expected.split(), strict=True):
            match meaning:
                case "keep":
                    assert there[slot] == clean[slot]
                case "from" | "to":
                    assert there[slot] == clean[meaning.upper()]
                case "new":
                    assert there[slot] not in clean.values()
                case "same-new":
                    assert there[slot] == there["FROM"]
                case "other-new":
                    assert there[slot] not in {*clean.values(), there["FROM"]}
        assert pair.answers == (f" {clean['TO']}",)
        assert pair.wrong_answers == (f" {clean['FROM']}",)


@st.composite
def tasks(draw: st.DrawFn) -> dict[str, Any]:
    """Small tasks of any shape: slots, lists that overlap, repeated slots, several texts."""
    slots = [f"S{i}" for i in range(draw(st.integers(1, 4)))]
    lists = st.lists(st.sampled_from(LETTERS), min_size=2, max_size=6, unique=True)
    defined: dict[str, Any] = {slot: draw(lists) for slot in slots}
    for slot in slots[1:]:
        if draw(st.integers(0, 3)) == 0:
            defined[slot] = {"same_as": slots[0]}
    orders = draw(st.lists(st.permutations(slots), min_size=1, max_size=3, unique_by=tuple))
    fill = draw(st.sampled_from(["x", "x y", "{{x}}"]))
    return {
        "text": [f"x {f' {fill} '.join(f'{{{slot}}}' for slot in order)} y" for order in orders],
        "slots": defined,
        "corruption": draw(st.sampled_from([None, {"redraw": [slots[0]]}, {"redraw": slots}])),
        "answers": [slots[0]],
        "seed": draw(st.integers(0, 10**6)),
        "n": draw(st.integers(1, 30)),
    }


TASK_TOKENIZER = PromptTokenizer(word_level([*LETTERS, "x", "y", "{", "}"]), bos_id=0, unk_id=1)


@settings(max_examples=100, deadline=None)
@given(task=tasks())
def test_every_task_keeps_its_promises_or_says_why_not(task: dict[str, Any]) -> None:
    loaded = load("template", TASK_TOKENIZER, **task)
    if loaded.prompts is None:
        (problem,) = loaded.problems
        assert re.search(r"only \d+ different prompts exist|makes no prompt: there are too few words", problem.message)
        return
    pairs = loaded.prompts.pairs
    assert len(pairs) == task["n"] == len({pair.clean for pair in pairs})
    for pair, raw in zip(pairs, make(**task), strict=True):
        for slot, (word, there) in words_of(raw).items():
            at = pair.positions[slot]
            assert TASK_TOKENIZER.token_text(pair.clean[at]) == word
            definition = task["slots"][slot]
            assert word in task["slots"][definition["same_as"] if isinstance(definition, dict) else slot]
            if pair.corrupted is not None:
                assert len(pair.corrupted) == len(pair.clean)
                assert TASK_TOKENIZER.token_text(pair.corrupted[at]) == there
        assert "{{" not in str(raw.clean)


def test_all_prompts_there_are_can_be_had_and_no_more() -> None:
    words = {"text": "{A} {B}", "slots": {"A": "w", "B": "w"}, "words": {"w": ["a", "b", "c", "d"]}}
    assert {pair.clean for pair in make(n=12, **words)} == {f"{a} {b}" for a in "abcd" for b in "abcd" if a != b}
    with pytest.raises(InputError, match="only 12 different prompts exist with these texts and words; n is 13"):
        make(n=13, **words)


def test_a_text_that_is_used_up_leaves_its_turns_to_the_others() -> None:
    pairs = make(n=6, text=["one {A}", "two {B}"], slots={"A": ["a"], "B": list(LETTERS)})
    assert [str(pair.clean)[:3] for pair in pairs] == ["one", "two", "two", "two", "two", "two"]


def test_words_are_drawn_evenly() -> None:
    counts = Counter(words_of(pair)["IO"][0] for pair in ioi.generate(IoiParams(n=2800)))
    assert set(counts) == set(NAMES)
    assert 15 < min(counts.values()) <= max(counts.values()) < 85  # 50 each; five standard deviations are 35


def test_texts_that_come_out_the_same_are_not_repeated() -> None:
    pairs = make(n=4, text=["{A} {B}", "{B} {A}"], slots={"A": "w", "B": "w"}, words={"w": ["a", "b"]}, distinct=[])
    assert sorted(str(pair.clean) for pair in pairs) == ["a a", "a b", "b a", "b b"]


def test_distinct_says_which_words_differ() -> None:
    free = {"text": "{A} {B} {C}", "slots": {"A": ["a", "b"], "B": ["a", "b"], "C": ["a", "b"]}}
    with pytest.raises(InputError, match="too few words for slots that must differ"):
        make(n=1, **free)
    assert len(make(n=8, distinct=[], **free)) == 8
    chosen = {str(pair.clean) for pair in make(n=4, distinct=[["A", "C"]], **free)}
    assert chosen == {"a a b", "a b b", "b a a", "b b a"}


def test_clusters_are_texts_and_twins() -> None:
    one = {"text": "x {A} {B}", "slots": {"A": "w", "B": "w"}, "words": {"w": list(LETTERS)},
           "answers": "A", "wrong_answers": "B", "n": 4}  # fmt: skip
    two = one | {"text": ["x {A} {B}", "y {B} {A}"]}
    assert [pair.cluster for pair in make(**one)] == [None] * 4  # nothing to tell the pairs apart by
    assert [pair.cluster for pair in make(**one, twin=True)] == ["twins 1", "twins 1", "twins 2", "twins 2"]
    assert [pair.cluster for pair in make(**two)] == ["text 1", "text 2"] * 2
    assert [pair.cluster for pair in make(**two, twin=True)] == ["text 1", "text 1", "text 2", "text 2"]
    assert [pair.cluster for pair in make(**two, cluster="none")] == [None] * 4
    assert make(**two, twin=True, cluster="none")[1].cluster == "twins 1"


def test_slots_may_be_several_tokens_long() -> None:
    tokenizer = PromptTokenizer(byte_level(["the house of Mary", " New", " York", " San", " Diego"]), bos_id=0)
    slots = {"WHO": ["Mary"], "CITY": ["New York", "San Diego"]}
    text = "the house of {WHO} in {CITY} of"
    pairs = pairs_of("template", tokenizer, n=2, text=text, slots=slots, corruption={"redraw": "CITY"}, answers="WHO")
    for pair in pairs:
        assert pair.corrupted is not None
        cities = [tokenizer.token_text(ids[pair.positions["CITY"]]) for ids in (pair.clean, pair.corrupted)]
        assert sorted(cities) == [" Diego", " York"]
        assert tokenizer.token_text(pair.clean[pair.positions["WHO"]]) == " Mary"


def test_an_answer_slot_need_not_be_in_the_text() -> None:
    pairs = make(
        n=5, text="x {A}", slots={"A": "w", "B": "w"}, words={"w": list(LETTERS)}, answers="A", wrong_answers="B"
    )
    for pair in pairs:
        assert pair.answers == (f" {str(pair.clean)[2:]}",)
        assert pair.wrong_answers != pair.answers
        assert set(pair.spans) == {"A"}


# --- words and vocabularies --------------------------------------------------------------------------------------


def test_answers_of_several_tokens_are_listed_once() -> None:
    names = ["Mary", "John", "Bartholomew", "Wilhelmina", "Anna"]
    (problem,) = load("ioi", ioi_bytes(), n=64, names=names).problems
    start = f"{IOI_WORDS}: answers must be one token each; these words are more: "
    assert problem.message.startswith(start)
    assert set(problem.message.removeprefix(start).split(", ")) == {"'Bartholomew'", "'Wilhelmina'"}


def test_unknown_words_are_listed_once() -> None:
    loaded = load("ioi", ioi_words(), n=64, names=["Mary", "John", "Zeb", "Zob", "Anna"], places=["moon"])
    (problem,) = loaded.problems
    start = f"{IOI_WORDS}: the model's vocabulary lacks these words: "
    assert problem.message.startswith(start)
    assert set(problem.message.removeprefix(start).split(", ")) == {"'Zeb'", "'Zob'", "'moon'"}


def test_replacements_of_other_lengths_are_listed() -> None:
    slots = {"WHO": ["Mary"], "PLACE": ["park", "supermarket"]}
    text = "When {WHO} left the {PLACE} of"
    loaded = load("template", ioi_bytes(), n=2, text=text, slots=slots, corruption={"redraw": "PLACE"}, answers="WHO")
    (problem,) = loaded.problems
    who = "generator 'template' (its words are set by slots, words, text)"
    assert problem.message.startswith(
        f"{who}: a word and the word that replaces it need equal token counts; these differ: "
    )
    assert "'park' (1)" in problem.message
    assert "'supermarket' (" in problem.message


def test_without_a_tokenizer_the_prompts_are_made_but_not_checked() -> None:
    loaded = load("ioi", None, n=8)
    assert loaded == (None, (), ("8 prompts: there is no tokenizer here to read text with",))
    assert load("ioi", None, n=8, names=["Mary", "John"]).problems != ()


# --- parameters --------------------------------------------------------------------------------------------------

A_AND_B = {"text": "x {A} {B}", "slots": {"A": "w", "B": "w"}, "words": {"w": ["a", "b"]}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": "x {A} {BB}"}, "in text 'x {A} {BB}': 'BB' is no slot; did you mean 'B'? have: A, B"),
        ({"text": "x {A} {A}"}, "has slot {A} twice; call the second mention {A2} and define it as A2: {same_as: A}"),
        ({"text": "x {A}"}, "slot 'B' occurs in no text"),
        ({"text": "x {A} {B"}, "a brace in the prompt itself is written twice"),
        ({"text": "x {A} {B} {}"}, "'{}' is no slot"),
        ({"text": ["{A} {B}", "{A} {B}"]}, "the same text is given twice"),
        ({"slots": {"A": "w", "B": "v"}}, "slot 'B': 'v' is no word list; have: w"),
        ({"slots": {"A": "w", "B": {"same_as": "C"}}}, "same_as of slot 'B': 'C' is no slot"),
        ({"slots": {"A": {"same_as": "B"}, "B": {"same_as": "A"}}}, "in a circle: A → B → A"),
        ({"slots": {"A": "w", "B": ["a", "a"]}}, "slot 'B': its words must be different and not empty"),
        ({"slots": {"A": "w", "B": "w", "END": "w"}}, "'END' cannot name a slot"),
        ({"answers": "C"}, "in answers: 'C' is no slot"),
        ({"answers": "A", "wrong_answers": "A"}, "the word of slot 'A' cannot be a right and a wrong answer"),
        ({"distinct": [["A", "C"]]}, "in distinct: 'C' is no slot"),
        (
            {"distinct": [["A", "B"]], "slots": {"A": "w", "B": {"same_as": "A"}}},
            "holds a slot and one that is same_as",
        ),
        ({"corruption": {}}, "a corruption changes something: give redraw, exchange or set"),
        ({"corruption": {"redraw": "A", "set": {"A": "B"}}}, "the corruption changes slot 'A' more than once"),
        ({"corruption": {"exchange": [["A", "C"]]}}, "in corruption: 'C' is no slot"),
        ({"corruption": {"set": {"A": "C"}}}, "in corruption: 'C' is no slot"),
        ({"twin": True, "n": 2}, "twin: true exchanges answers and wrong_answers"),
        ({"twin": True, "n": 3, "answers": "A", "wrong_answers": "B"}, "must be even; n is 3"),
        ({"n": 0}, "greater than or equal to 1"),
    ],
)
def test_template_parameters_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        TemplateParams.model_validate(A_AND_B | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corruption": {"set": {"A": "A"}}}, "the corruption does not change it"),
        ({"corruption": {"redraw": "A"}}, "there are too few words to redraw A"),
        ({"words": {"w": ["a"]}}, "there are too few words for slots that must differ"),
        (
            {"text": "x", "slots": {"A": "w", "B": "w"}, "answers": "A", "wrong_answers": "B", "twin": True, "n": 2},
            "its twin would be the same text",
        ),
    ],
)
def test_tasks_that_make_nothing_say_why(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(**{"n": 1} | A_AND_B | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": ["{A} and {B}"]}, "{A}, {B} and {S2} must each occur"),
        ({"text": ["{A} {B} {S2} {A}"]}, "no slot twice"),
        ({"text": ["{A} {B} {S2} {OBJEKT}"]}, "'{OBJEKT}' is no slot; did you mean 'OBJECT'?"),
        ({"text": ["{A} {B} {S2}"], "templates": "seen"}, "give text or templates, not both"),
        ({"corruption": "abd"}, "'swap_s2', 'reverse_names' or 'abc'"),
        ({"twin": True, "n": 5}, "must be even; n is 5"),
    ],
)
def test_ioi_parameters_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        IoiParams.model_validate(changes)


def test_generator_problems_are_told_with_their_place_and_nearest_name() -> None:
    assert [problem.message for problem in load("ioo", ioi_words()).problems] == [
        "'ioo' is no generator; did you mean 'ioi'? "
        "have: ioi, induction, greater_than, gendered_pronoun, subject_verb, docstring, template"
    ]
    (problem,) = load("ioi", ioi_words(), corruption="abd").problems
    assert "'abd' is no corruption; did you mean 'abc'?" in problem.message


def test_a_large_impossible_task_is_refused_quickly() -> None:
    many = [f"w{i}" for i in range(1000)]
    with pytest.raises(InputError, match="the corruption does not change it"):
        make(n=1, text="{A} {B} {C}", slots={"A": many, "B": many, "C": many}, corruption={"set": {"A": "A"}})

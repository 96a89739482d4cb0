"""Prompts from the spec and from files: tokens, BOS, positions, answers, and what is said when they are wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from circuitgraph.errors import FileError, InputError, Problem
from circuitgraph.nodes import parse_position
from circuitgraph.prompts.load import Loaded, load_prompts
from circuitgraph.prompts.pairs import Pair, PromptSet
from circuitgraph.prompts.raw import RawPair, Span
from circuitgraph.prompts.resolve import Bos, Complaint, resolve
from circuitgraph.prompts.tokenizer import PromptTokenizer, load_tokenizer
from circuitgraph.spec.model import PromptsSpec
from circuitgraph.spec.source import Place, SpecSource
from tests.toy_tokenizers import byte_level, ioi_bytes, ioi_words, saved, sentencepiece, word_level

CLEAN = "When Mary and John walked to the store, John gave a book to"
CORRUPTED = "When Mary and John walked to the store, Mary gave a book to"
PAIR = {"clean": CLEAN, "corrupted": CORRUPTED, "answers": [" Mary"], "wrong_answers": [" John"]}


def load(
    prompts: dict[str, Any],
    tokenizer: PromptTokenizer | None = None,
    *,
    bos_default: bool = True,
    base_dir: Path = Path(),
    source: SpecSource | None = None,
) -> Loaded:
    spec = PromptsSpec.model_validate(prompts)
    return load_prompts(spec, tokenizer, bos_default=bos_default, base_dir=base_dir, source=source)


def only(prompts: dict[str, Any], tokenizer: PromptTokenizer | None = None, **settings: Any) -> Pair:
    loaded = load(prompts, tokenizer, **settings)
    assert loaded.problems == ()
    assert loaded.prompts is not None
    (pair,) = loaded.prompts.pairs
    return pair


def messages(loaded: Loaded) -> list[str]:
    assert loaded.prompts is None
    return [problem.message for problem in loaded.problems]


# --- the tokenizer -----------------------------------------------------------------------------------------------


def test_a_directory_without_a_tokenizer_has_none(tmp_path: Path) -> None:
    assert load_tokenizer(tmp_path) is None


def test_a_broken_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(FileError, match=r"tokenizer\.json: not a tokenizer"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 0),  # no word about it: a well-known special token
        ({"model_max_length": 1024}, 0),  # GPT-2's own file
        ({"bos_token": "When"}, 2),
        ({"bos_token": {"content": "When", "lstrip": False}}, 2),
        ({"bos_token": None}, None),  # Qwen says that it has none
        ({"bos_token": "<s>"}, None),  # named, but not in the vocabulary
    ],
)
def test_the_bos_token_is_the_one_the_checkpoint_names(
    tmp_path: Path, settings: dict[str, Any], expected: int | None
) -> None:
    assert saved(word_level(["When", "Mary"]), tmp_path, **settings).bos_id == expected


def test_the_bos_token_may_stand_in_special_tokens_map(tmp_path: Path) -> None:
    (tmp_path / "special_tokens_map.json").write_text('{"bos_token": "Mary"}')
    assert saved(word_level(["When", "Mary"]), tmp_path).bos_id == 3


def test_a_broken_tokenizer_config_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(FileError, match=r"tokenizer_config\.json: not JSON"):
        saved(word_level(["When"]), tmp_path)


def test_the_unknown_token_of_a_unigram_vocabulary_is_known(tmp_path: Path) -> None:
    raw = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁Mary", -1.0), ("▁to", -1.0)], unk_id=0))
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer = saved(raw, tmp_path)
    assert tokenizer.unknown("to Mary Zob") == ("Zob",)


def test_the_tokenizers_own_specials_padding_and_truncation_are_off(tmp_path: Path) -> None:
    raw = sentencepiece()
    raw.enable_truncation(1)
    raw.enable_padding(length=9)
    tokenizer = saved(raw, tmp_path)
    assert [tokenizer.token_text(token) for token in tokenizer.encode("to Mary").ids] == [" to", " Mary"]
    assert tokenizer.bos_id == 1


def test_tokens_are_found_by_the_characters_they_hold() -> None:
    text = "When Anaïs met é, John"
    encoding = ioi_bytes().encode(text)
    start = text.index("Anaïs")
    last = encoding.last_token(start, start + 5)
    assert last is not None
    assert ioi_bytes().token_text(encoding.ids[last]).endswith("s")
    e = text.index("é")
    assert encoding.count(e, e + 1) == 2  # two bytes, two tokens, the same character
    assert encoding.last_token(e, e + 1) == encoding.last_token(e, e + 2) - 1  # type: ignore[operator]  # not None
    assert encoding.last_token(4, 5) is None  # the space between two words


def test_token_text_is_what_a_reader_would_write() -> None:
    assert ioi_bytes().token_text(ioi_bytes().answer_id(" Mary")) == " Mary"
    assert ioi_words().token_text(ioi_words().answer_id(" Mary")) == "Mary"


# --- answers -----------------------------------------------------------------------------------------------------


def test_an_answer_is_one_token_as_written() -> None:
    tokenizer = ioi_bytes()
    assert tokenizer.encode(CLEAN + " Mary").ids == (*tokenizer.encode(CLEAN).ids, tokenizer.answer_id(" Mary"))
    assert ioi_words().answer_id(" Mary") == ioi_words().answer_id("Mary")


def test_an_answer_without_its_space_is_told_so() -> None:
    tokenizer = PromptTokenizer(byte_level([" Mary", " to"]))
    with pytest.raises(InputError, match=r"'Mary' is 2 tokens \('Ma', 'ry'\).*did you mean ' Mary'\?"):
        tokenizer.answer_id("Mary")


def test_an_answer_of_several_tokens_shows_them() -> None:
    with pytest.raises(InputError, match=r"' Mary John' is 2 tokens \(' Mary', ' John'\); an answer is exactly one"):
        ioi_bytes().answer_id(" Mary John")


@pytest.mark.parametrize("answer", ["", " "])
def test_an_empty_answer_is_no_token(answer: str) -> None:
    with pytest.raises(InputError, match="is no token"):
        ioi_words().answer_id(answer)


def test_an_unknown_answer_is_refused() -> None:
    with pytest.raises(InputError, match="'Zebulon' is not in the model's vocabulary"):
        ioi_words().answer_id("Zebulon")


def test_where_every_text_begins_with_a_space_the_answer_is_read_after_the_prompt(tmp_path: Path) -> None:
    tokenizer = saved(sentencepiece(), tmp_path)
    assert len(tokenizer.encode(" Mary")) == 2
    mary = tokenizer.answer_id("Mary")
    assert tokenizer.answer_id(" Mary", after="Mary to") == mary
    with pytest.raises(InputError, match="did you mean 'Mary'"):
        tokenizer.answer_id(" Mary")


def test_an_answer_is_read_as_it_continues_the_prompt() -> None:
    pieces = ("<unk>", "▁", "▁Mary", "Mary", "▁he", "▁said", '"')
    raw = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=0))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer = PromptTokenizer(raw, unk_id=0)
    spaced, bare = pieces.index("▁Mary"), pieces.index("Mary")
    for prompt, answer, token in (
        ('he said "', "Mary", bare),
        ("he said", " Mary", spaced),
        ("he said", "Mary", bare),  # "saidMary": spaces count, as in byte-level vocabularies
        ("he said ", "Mary", spaced),  # the prompt's own last token changes: read alone
    ):
        assert tokenizer.answer_id(answer, after=prompt) == token
    pair = only({"pairs": [{"clean": 'he said "', "answers": ["Mary"]}]}, tokenizer)
    assert pair.answers == (bare,)


def test_where_spaces_are_written_an_answer_is_one_token_whatever_comes_before() -> None:
    pieces = {
        piece: i for i, piece in enumerate(["M", "a", "Ma", "Ġ", "t", "o", "Ġt", "Ġto", "ĠM", "ĠMa", "toM", "to"])
    }
    merges = [("Ġ", "M"), ("ĠM", "a"), ("M", "a"), ("Ġ", "t"), ("Ġt", "o"), ("t", "o"), ("to", "M")]
    raw = Tokenizer(models.BPE(pieces, merges))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PromptTokenizer(raw)
    for prompt in (" to", "to", "M to", None):
        assert tokenizer.answer_id("Ma", after=prompt) == pieces["Ma"]
        assert tokenizer.answer_id(" Ma", after=prompt) == pieces["ĠMa"]
    for answer in ("Mary", " Mary"):
        assert ioi_words().answer_id(answer, after=CLEAN) == ioi_words().answer_id("Mary")


def test_bad_answers_name_the_pair_and_the_kind() -> None:
    pair = PAIR | {"answers": [" Mary", " John Mary"], "wrong_answers": ["Zob"]}
    assert messages(load({"pairs": [PAIR, pair]}, ioi_words())) == [
        "pair 2: answer ' John Mary' is 2 tokens ('John', 'Mary'); an answer is exactly one token",
        "pair 2: wrong answer 'Zob' is not in the model's vocabulary",
    ]


@pytest.mark.parametrize("key", ["answers", "wrong_answers"])
def test_a_token_is_no_answer_twice(key: str) -> None:
    kind, mary = key.replace("_", " ").removesuffix("s"), ioi_words().answer_id("Mary")
    pair = {"clean": CLEAN, "corrupted": CORRUPTED}
    for answers, message in (
        ([" Mary", " John", "Mary"], f"pair 1: {kind} 'Mary' is the same token as ' Mary'"),
        ([" Mary", mary], f"pair 1: {kind} {mary} is the same token as ' Mary'"),
        ([7, 8, 7], f"pair 1: {kind} 7 is given twice"),
    ):
        assert messages(load({"pairs": [pair | {key: answers}]}, ioi_words())) == [message]
    assert only({"pairs": [pair | {key: [" Mary", " John"]}]}, ioi_words())


def test_wrong_answers_are_no_right_answers() -> None:
    loaded = load({"pairs": [PAIR | {"wrong_answers": [" John", " Mary"]}]}, ioi_words())
    assert messages(loaded) == ["pair 1: ' Mary' is also a right answer"]


def test_answers_may_be_left_out_by_all_pairs_but_not_by_some() -> None:
    without = {"clean": CLEAN, "corrupted": CORRUPTED}
    loaded = load({"pairs": [without, without]}, ioi_words())
    assert loaded.prompts is not None
    assert loaded.prompts.pairs[0].answers == ()
    assert messages(load({"pairs": [PAIR, without, PAIR]}, ioi_words())) == [
        "1 of 3 pairs have no answers (pair 2)",
        "1 of 3 pairs have no wrong_answers (pair 2)",
    ]


# --- BOS ---------------------------------------------------------------------------------------------------------

IDS = {"clean": [5, 6, 7], "corrupted": [5, 6, 8]}


@pytest.mark.parametrize(
    ("bos", "bos_default", "pair", "added"),
    [
        ("auto", True, PAIR, True),
        ("auto", False, PAIR, False),
        (True, False, PAIR, True),
        (False, True, PAIR, False),
        ("auto", True, IDS, False),  # token ids are taken as written
        (True, False, IDS, True),
        (False, True, IDS, False),
    ],
)
def test_who_gets_a_bos_token(bos: Any, bos_default: bool, pair: dict[str, Any], added: bool) -> None:
    found = only({"pairs": [pair], "bos": bos}, ioi_words(), bos_default=bos_default)
    assert found.start == int(added)
    assert (found.clean[0] == 0) is added
    assert found.corrupted is not None
    assert (found.corrupted[0] == 0) is added
    assert found.positions.get("BOS") == (0 if added else None)
    assert found.positions["END"] == len(found) - 1
    assert len(found) == len(found.corrupted)


@pytest.mark.parametrize("bos", ["auto", True, False])
def test_a_bos_token_that_is_written_out_is_not_doubled(bos: Any) -> None:
    written = {"clean": f"<|bos|> {CLEAN}", "corrupted": f"<|bos|> {CORRUPTED}", "positions": {"IO": 2}}
    pair = only({"pairs": [written], "bos": bos}, ioi_words())
    assert pair.clean[0] == 0 != pair.clean[1]
    assert (pair.start, pair.positions["BOS"]) == (0, 0)
    assert ioi_words().token_text(pair.clean[pair.positions["IO"]]) == "Mary"  # counted as the user wrote it


def test_a_bos_token_in_one_prompt_alone_is_a_problem() -> None:
    loaded = load({"pairs": [{"clean": [0, 5, 6], "corrupted": [5, 6, 7]}], "bos": True}, ioi_words())
    assert messages(loaded) == ["pair 1: clean begins with the BOS token, corrupted does not"]


def test_bos_true_needs_a_bos_token() -> None:
    tokenizer = PromptTokenizer(byte_level([CLEAN]))
    (message,) = messages(load({"pairs": [PAIR], "bos": True}, tokenizer))
    assert "no BOS token" in message
    pair = only({"pairs": [PAIR]}, tokenizer)  # auto: none to add
    assert (pair.start, "BOS" in pair.positions) == (0, False)


# --- positions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bos", [True, False])
def test_positions_count_the_prompt_as_written(bos: bool) -> None:
    pair = only({"pairs": [PAIR | {"positions": {"IO": 1, "S2": -5}}], "bos": bos}, ioi_words())
    texts = [ioi_words().token_text(token) for token in pair.clean]
    assert texts[pair.positions["IO"]] == "Mary"
    assert texts[pair.positions["S2"]] == "John"
    assert texts[pair.index(parse_position("IO+1"))] == "and"
    assert texts[pair.index(parse_position("1"))] == "Mary"
    assert texts[pair.index(parse_position("-5"))] == "John"


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ({"S": 14}, "pair 1: position S: 14 lies outside the prompt, which has 14 tokens"),
        ({"S": -15}, "pair 1: position S: -15 lies outside the prompt, which has 14 tokens"),
        ({"END": 3}, "pair 1: position END is always there and cannot be set; choose another name"),
        ({"BOS": 0}, "pair 1: position BOS is always there and cannot be set; choose another name"),
        ({"S1+1": 3}, "pair 1: 'S1+1' cannot name a position: it reads as S1+1"),
        ({"3": 3}, "pair 1: '3' cannot name a position: it reads as 3"),
        ({"the name": 3}, "pair 1: 'the name' cannot name a position; a name is letters, digits and _"),
    ],
)
def test_positions_that_cannot_be(positions: dict[str, int], message: str) -> None:
    assert messages(load({"pairs": [PAIR | {"positions": positions}]}, ioi_words())) == [message]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("IO-2", "position IO-2 lies outside the prompt, which has 14 tokens"),
        ("END+1", "position END+1 lies outside the prompt"),
        ("14", "position 14 lies outside the prompt"),
        ("-15", "position -15 lies outside the prompt"),
        ("I0", "'I0' is no position; did you mean 'IO'? have: IO, END"),
    ],
)
def test_addresses_outside_the_prompt(text: str, message: str) -> None:
    pair = only({"pairs": [PAIR | {"positions": {"IO": 1}}], "bos": False}, ioi_words())
    with pytest.raises(InputError, match=re.escape(message)):
        pair.index(parse_position(text))


def test_an_index_never_means_the_bos_token_that_was_added() -> None:
    pair = only({"pairs": [PAIR]}, ioi_words())
    assert pair.index(parse_position("-14")) == 1
    assert pair.index(parse_position("BOS")) == 0
    with pytest.raises(InputError, match="lies outside the prompt, which has 14 tokens"):
        pair.index(parse_position("-15"))


def test_stretches_of_text_mean_their_last_token_in_both_prompts() -> None:
    bos = Bos.of(False, token=None, default=False)
    here, there = Span(0, 4), Span(5, 9)

    def positions(clean: str, corrupted: str, spans: tuple[Span, Span]) -> Pair | list[Complaint]:
        return resolve(RawPair(clean, corrupted, spans={"S": spans}), ioi_words(), bos)

    found = positions("Mary and John", "John and Mary", (here, here))
    assert isinstance(found, Pair)
    assert found.positions == {"S": 0, "END": 2}
    assert positions("Mary and John", "John Mary and", (here, there)) == [
        Complaint(("positions", "S"), "position S is token 0 in the clean prompt and 1 in the corrupted one")
    ]
    assert positions("Mary    John", "Mary    John", (Span(5, 6), Span(5, 6))) == [
        Complaint(("positions", "S"), "position S: its text has no token of its own")
    ]


# --- pairs -------------------------------------------------------------------------------------------------------


def test_token_ids_need_no_tokenizer() -> None:
    pair = only({"pairs": [IDS | {"answers": [3], "wrong_answers": [4], "positions": {"A": -3}}]})
    assert pair == Pair((5, 6, 7), (5, 6, 8), (3,), (4,), {"A": 0, "END": 2})


def test_text_without_a_tokenizer_is_not_checked() -> None:
    loaded = load({"pairs": [PAIR, IDS, IDS | {"answers": [" Mary"]}]})
    assert loaded == (None, (), ("2 prompts: there is no tokenizer here to read text with",))
    assert load({"pairs": [IDS], "bos": True}).unchecked != ()


def test_pairs_of_different_lengths_may_be_mixed_and_corrupted_left_out() -> None:
    loaded = load({"pairs": [{"clean": "Mary gave"}, {"clean": "John", "cluster": 7}]}, ioi_words())
    assert loaded.prompts is not None
    assert [len(pair) for pair in loaded.prompts.pairs] == [3, 2]
    assert not loaded.prompts.paired
    assert loaded.prompts.clusters == ("#0", "7")
    assert loaded.prompts.by_length() == [[1], [0]]
    assert loaded.prompts.indexes(parse_position("END")) == (2, 1)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (
            {"clean": "Mary gave", "corrupted": "Mary gave a"},
            "pair 1: clean has 2 tokens, corrupted has 3; they first differ at token 2: nothing and 'a'",
        ),
        (
            {"clean": "Mary met John", "corrupted": "Mary and"},
            "pair 1: clean has 3 tokens, corrupted has 2; they first differ at token 1: 'met' and 'and'",
        ),
        (
            {"clean": [1, 2], "corrupted": [1, 9, 9999999]},
            "pair 1: clean has 2 tokens, corrupted has 3; they first differ at token 1: 2 and 9",
        ),
        ({"clean": "Mary", "corrupted": [3]}, "pair 1: clean and corrupted must both be text or both be token ids"),
        ({"clean": " "}, "pair 1: clean has no tokens"),
        ({"clean": "Mary Zeb gave Zob"}, "pair 1: clean has words that the model's vocabulary lacks: 'Zeb', 'Zob'"),
    ],
)
def test_pairs_that_cannot_be(pair: dict[str, Any], message: str) -> None:
    assert messages(load({"pairs": [pair]}, ioi_words())) == [message]


def test_all_that_is_wrong_with_a_pair_is_told_at_once() -> None:
    pair = {"clean": "Mary Zeb", "corrupted": "Mary", "answers": ["Zob"], "positions": {"S": 2}}
    assert len(messages(load({"pairs": [pair]}, ioi_words()))) == 4


def test_the_unknown_token_may_be_written_out() -> None:
    assert only({"pairs": [{"clean": "Mary <|unk|>"}]}, ioi_words()).clean[-1] == 1


def test_no_pairs_is_a_problem() -> None:
    assert messages(load({"pairs": []})) == ["there are no prompt pairs"]


def test_problems_stand_at_their_line_all_at_once() -> None:
    lines = ("prompts:", "  pairs:", "    - clean: Mary", "      corrupted: Mary gave", "    - {clean: Zob}")
    places = {("prompts", "pairs", 0, "corrupted"): Place(4, 18), ("prompts", "pairs", 1): Place(5, 7)}
    loaded = load({"pairs": [{"clean": "Mary", "corrupted": "Mary gave"}, {"clean": "Zob"}]}, ioi_words(),
                  source=SpecSource("spec.yaml", lines, values=places))  # fmt: skip
    assert [(problem.line, problem.column, problem.source) for problem in loaded.problems] == [
        (4, 18, lines[3]),
        (5, 7, lines[4]),
    ]


def test_many_problems_are_counted_not_listed() -> None:
    found = messages(load({"pairs": [{"clean": "Zob"}] * 30}, ioi_words()))
    assert len(found) == 21
    assert found[-1] == "… and 10 more problems with the prompts"


# --- files -------------------------------------------------------------------------------------------------------


def from_file(path: Path, content: str | bytes, tokenizer: PromptTokenizer | None = None) -> Loaded:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load({"file": path.name}, tokenizer or ioi_words(), base_dir=path.parent)


FULL_IDS = IDS | {"answers": [3], "wrong_answers": [4], "positions": {"A": 1}, "cluster": 2}
JSONL = f"{json.dumps(PAIR)}\n\n{json.dumps(FULL_IDS)}\n"
CSV = (
    "clean,corrupted,answers,wrong_answers,positions,cluster\n"
    f'"{CLEAN}","{CORRUPTED}", Mary,"["" John""]",,\n'
    '\n"[5, 6, 7]","[5,6,8]",[3],[4],"{""A"": 1}",2\n'
)


@pytest.mark.parametrize(("name", "content"), [("pairs.jsonl", JSONL), ("pairs.csv", CSV)])
@pytest.mark.parametrize("windows", [False, True])
def test_files_hold_what_a_spec_may_hold(tmp_path: Path, name: str, content: str, windows: bool) -> None:
    if windows:  # a byte order mark, and carriage returns
        content = "\ufeff" + content.replace("\n", "\r\n")
    inline = load({"pairs": [PAIR, FULL_IDS]}, ioi_words())
    loaded = from_file(tmp_path / name, content)
    assert loaded.problems == ()
    assert loaded.prompts is not None
    assert inline.prompts is not None
    assert loaded.prompts.pairs == inline.prompts.pairs
    assert loaded.prompts.digest() == inline.prompts.digest()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"clean": "Mary", "answer": ["x"]}', "'answer' is no key of a prompt pair; did you mean 'answers'?"),
        ('{"clean": "Mary", "clean": "John"}', "key 'clean' is given twice"),
        ('{"answers": [" Mary"]}', "'clean' is missing"),
        ('{"clean": ["Mary"]}', "clean must be text or a list of token ids"),
        ('{"clean": [1.0, true]}', "clean must be text or a list of token ids"),
        ('{"clean": "Mary", "answers": " Mary"}', "answers must be a list of texts or token ids"),
        ('{"clean": "Mary", "answers": [true]}', "answers must be a list of texts or token ids"),
        ('{"clean": "Mary", "positions": [1]}', 'positions must be an object of names and indexes, such as {"S1": 4}'),
        ('{"clean": "Mary", "cluster": 1.5}', "cluster must be a name or a number"),
        ('{"clean": [NaN]}', "not JSON: NaN is no value"),
        ('{"clean": [' + "1" * 5000 + "]}", "not a prompt pair: a number has too many digits"),
        ('{"clean": "Mary"', "not JSON: Expecting ',' delimiter at character 17"),
        ('["Mary", "John"]', "each line is one JSON object"),
        ("[" * 100_000, "not a prompt pair: nested too deeply"),
        ('{"clean": "Mary", "corrupted": "Mary gave"}', "pair 2: clean has 1 tokens, corrupted has 2"),
        ('{"clean": "caf\xe9"}'.encode("latin-1"), "not UTF-8 text (byte 0xe9 at character 15)"),
    ],
)
def test_a_bad_line_is_told_by_file_and_line(tmp_path: Path, line: str | bytes, message: str) -> None:
    bad = line if isinstance(line, bytes) else line.encode()
    loaded = from_file(tmp_path / "pairs.jsonl", b'{"clean": "Mary"}\n\n' + bad + b'\n{"clean": "John"}\n')
    (problem,) = loaded.problems
    assert message in problem.message
    assert (problem.file, problem.line) == (str(tmp_path / "pairs.jsonl"), 3)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("clean,corupted\nMary,John\n", 1, "'corupted' is no column; did you mean 'corrupted'?"),
        ("clean,clean\nMary,John\n", 1, "column 'clean' comes twice"),
        ("answers\n Mary\n", 1, "'clean' is not among them"),
        ("clean,answers\nMary, John\nMary\n", 3, "1 cells, but there are 2 columns"),
        ('clean,positions\nMary,"{""S"": 0}"\nMary,0\n', 3, "positions must be an object"),
        ("clean,answers\nMary, John\nMary,[ John]\n", 3, "not JSON"),
        ('clean,answers\n"Mary\ngave", John\nZob, John\n', 4, "pair 2: clean has words"),
        ("clean,answers\nMary, John\n,Mary\n", 3, "'clean' is missing"),
        ('clean\n"Mary\n', 2, "unexpected end of data"),
    ],
)
def test_a_bad_row_is_told_by_file_and_line(tmp_path: Path, content: str, line: int, message: str) -> None:
    (problem,) = from_file(tmp_path / "pairs.csv", content).problems
    assert message in problem.message
    assert problem.line == line


def test_names_of_positions_stand_in_the_order_of_the_prompts() -> None:
    first = Pair((1, 2, 3), None, (), (), {"END": 2, "B": 2, "A": 0, "BOS": 0})
    second = Pair((1, 2, 3, 4, 5), None, (), (), {"C": 3, "B": 1, "A": 3})
    assert PromptSet((first, second)).position_names() == ("BOS", "B", "A", "END", "C")  # 0, 1.5, 1.5, 2, 3


def test_a_csv_row_that_is_not_utf8_ends_the_reading(tmp_path: Path) -> None:
    (problem,) = from_file(tmp_path / "pairs.csv", b"clean\nMary\ncaf\xe9\nZob\n").problems
    assert "byte 0xe9 at character 4" in problem.message
    assert problem.line == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.jsonl", "there is no file"),
        ("pairs.txt", "'pairs.txt' is neither JSONL nor CSV; its name must end in .jsonl or .csv"),
        ("folder.csv", "cannot be read: Is a directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_at_the_spec(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "pairs.txt").touch()
    source = SpecSource("spec.yaml", ("prompts: {file: x}",), values={("prompts", "file"): Place(1, 17)})
    (problem,) = load({"file": name}, ioi_words(), base_dir=tmp_path, source=source).problems
    assert message in problem.message
    assert problem.line == 1


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.csv"])
def test_an_empty_file_has_no_pairs(tmp_path: Path, name: str) -> None:
    assert messages(from_file(tmp_path / name, "")) == ["there are no prompt pairs"]


def test_problems_format_with_their_own_file(tmp_path: Path) -> None:
    (problem,) = from_file(tmp_path / "pairs.jsonl", '{"clean": "Zob"}').problems
    assert isinstance(problem, Problem)
    assert problem.format("spec.yaml").startswith(f"{tmp_path / 'pairs.jsonl'}:1: pair 1: clean has words")

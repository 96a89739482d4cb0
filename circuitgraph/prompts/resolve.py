"""RawPair → Pair: text to token ids, BOS, answers to single tokens, positions to indexes. Pure.

The rules of BOS:

* `bos: auto` adds one to text if the model's family does (`bos_default`) and the vocabulary has one;
  token ids are taken as written. `true` and `false` hold for text and token ids alike.
* A prompt that already begins with the BOS token is not given a second one.
* Indexes count the tokens that the user wrote: a BOS token that was added is not counted, one that
  was written is. Either way `BOS` is its position.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from circuitgraph.catalog.generators import RESERVED
from circuitgraph.errors import AddressError, InputError
from circuitgraph.nodes import EACH, parse_position
from circuitgraph.prompts.pairs import Pair
from circuitgraph.prompts.raw import RawPair
from circuitgraph.prompts.tokenizer import Encoding, PromptTokenizer

Prompt = str | tuple[int, ...]


class Complaint(NamedTuple):
    """What is wrong with a pair, and under which of its keys."""

    key: tuple[str | int, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Bos:
    """Whether prompts are given a BOS token."""

    token: int | None
    before_text: bool
    before_ids: bool

    @classmethod
    def of(cls, setting: Literal["auto"] | bool, *, token: int | None, default: bool) -> Bos:
        """`setting` is the spec's `prompts.bos`, `default` what the model's family does.

        Raises:
            InputError: `true` without a BOS token in the vocabulary.
        """
        match setting:
            case "auto":
                return cls(token, before_text=default and token is not None, before_ids=False)
            case True if token is None:
                raise InputError("bos: true, but the model's tokenizer has no BOS token")
            case _:
                return cls(token, before_text=setting, before_ids=setting)

    def added_to(self, prompt: Prompt, ids: tuple[int, ...]) -> bool:
        """Whether this prompt, whose own tokens are `ids`, is given one."""
        return (self.before_text if isinstance(prompt, str) else self.before_ids) and not self.begins(ids)

    def begins(self, ids: tuple[int, ...]) -> bool:
        """Whether `ids` begin with the BOS token."""
        return self.token is not None and ids[:1] == (self.token,)


def needs_tokenizer(raw: RawPair) -> bool:
    """Whether anything in the pair is text."""
    return any(isinstance(part, str) for part in (raw.clean, raw.corrupted, *raw.answers, *raw.wrong_answers))


def resolve(raw: RawPair, tokenizer: PromptTokenizer | None, bos: Bos) -> Pair | list[Complaint]:
    """The pair in token ids, or everything that is wrong with it.

    `tokenizer` may be missing only where `needs_tokenizer(raw)` is false.
    """
    if raw.corrupted is not None and isinstance(raw.clean, str) != isinstance(raw.corrupted, str):
        return [Complaint(("corrupted",), "clean and corrupted must both be text or both be token ids")]
    clean = _encode(raw.clean, tokenizer)
    corrupted = None if raw.corrupted is None else _encode(raw.corrupted, tokenizer)
    complaints = _bad_prompts(raw, clean, corrupted, tokenizer, bos)
    answers = _answers(raw.answers, "answers", raw, tokenizer, complaints)
    wrong_answers = _answers(raw.wrong_answers, "wrong_answers", raw, tokenizer, complaints)
    if not complaints and (both := set(answers) & set(wrong_answers)):
        i = next(i for i, token in enumerate(wrong_answers) if token in both)
        complaints.append(Complaint(("wrong_answers", i), f"{raw.wrong_answers[i]!r} is also a right answer"))
    positions = _indexes(raw.positions, len(clean), complaints)
    if not complaints:
        positions |= _span_ends(raw, clean, corrupted, complaints)
    if complaints:
        return complaints
    start = int(bos.added_to(raw.clean, clean.ids))
    prefix = (bos.token,) if start and bos.token is not None else ()
    named = {name: index + start for name, index in positions.items()} | {"END": len(clean) - 1 + start}
    return Pair(
        clean=prefix + clean.ids,
        corrupted=None if corrupted is None else prefix + corrupted.ids,
        answers=answers,
        wrong_answers=wrong_answers,
        positions=named | ({"BOS": 0} if bos.begins(prefix + clean.ids) else {}),
        start=start,
        cluster=raw.cluster,
        clean_text=raw.clean if isinstance(raw.clean, str) else None,
        corrupted_text=raw.corrupted if isinstance(raw.corrupted, str) else None,
    )


def _encode(prompt: Prompt, tokenizer: PromptTokenizer | None) -> Encoding:
    if isinstance(prompt, str):
        return _required(tokenizer).encode(prompt)
    return Encoding(prompt, tuple((i, i + 1) for i in range(len(prompt))))


def _required(tokenizer: PromptTokenizer | None) -> PromptTokenizer:
    if tokenizer is None:
        raise InputError("text needs a tokenizer, and the model has none; write token ids")
    return tokenizer


def _bad_prompts(
    raw: RawPair, clean: Encoding, corrupted: Encoding | None, tokenizer: PromptTokenizer | None, bos: Bos
) -> list[Complaint]:
    """Empty prompts, unknown words, and prompts that are not aligned."""
    complaints: list[Complaint] = []
    for key, prompt, encoding in (("clean", raw.clean, clean), ("corrupted", raw.corrupted, corrupted)):
        if encoding is not None and not encoding.ids:
            complaints.append(Complaint((key,), f"{key} has no tokens"))
        if isinstance(prompt, str) and (unknown := _required(tokenizer).unknown(prompt)):
            words = ", ".join(f"'{word}'" for word in unknown)
            complaints.append(Complaint((key,), f"{key} has words that the model's vocabulary lacks: {words}"))
    if corrupted is None or not clean.ids or not corrupted.ids:
        return complaints
    if bos.begins(clean.ids) != bos.begins(corrupted.ids):
        which = ("clean", "corrupted") if bos.begins(clean.ids) else ("corrupted", "clean")
        complaints.append(Complaint(("corrupted",), f"{which[0]} begins with the BOS token, {which[1]} does not"))
    elif len(clean) != len(corrupted):
        reader = tokenizer if isinstance(raw.clean, str) else None
        counts = f"clean has {len(clean)} tokens, corrupted has {len(corrupted)}"
        complaints.append(Complaint(("corrupted",), f"{counts}; {_first_difference(clean, corrupted, reader)}"))
    return complaints


def _first_difference(clean: Encoding, corrupted: Encoding, tokenizer: PromptTokenizer | None) -> str:
    """Where two prompts of different lengths part."""

    def token(ids: tuple[int, ...]) -> str:
        if len(ids) <= at:
            return "nothing"
        return str(ids[at]) if tokenizer is None else f"'{tokenizer.token_text(ids[at])}'"

    shared = zip(clean.ids, corrupted.ids, strict=False)
    at = next((i for i, (a, b) in enumerate(shared) if a != b), min(len(clean), len(corrupted)))
    return f"they first differ at token {at}: {token(clean.ids)} and {token(corrupted.ids)}"


def _answers(
    answers: tuple[str | int, ...],
    key: str,
    raw: RawPair,
    tokenizer: PromptTokenizer | None,
    complaints: list[Complaint],
) -> tuple[int, ...]:
    """Answers as token ids, those that are not one token, or one that is there already, complained about."""
    ids: dict[int, str | int] = {}
    kind = key.removesuffix("s").replace("_", " ")
    after = raw.clean if isinstance(raw.clean, str) else None
    for i, answer in enumerate(answers):
        try:
            token = _required(tokenizer).answer_id(answer, after) if isinstance(answer, str) else answer
        except InputError as error:
            complaints.append(Complaint((key, i), f"{kind} {error}"))
            continue
        if token in ids:
            complaints.append(Complaint((key, i), f"{kind} {answer!r} {_again(answer, ids[token])}"))
        ids.setdefault(token, answer)
    return tuple(ids)


def _again(answer: str | int, earlier: str | int) -> str:
    return "is given twice" if answer == earlier else f"is the same token as {earlier!r}"


def _indexes(positions: Mapping[str, int], length: int, complaints: list[Complaint]) -> dict[str, int]:
    """Indexes from the start of the prompt as written."""
    indexes: dict[str, int] = {}
    for name, index in positions.items():
        if message := _bad_name(name):
            complaints.append(Complaint(("positions", name), message))
        elif not -length <= index < length:
            message = f"position {name}: {index} lies outside the prompt, which has {length} tokens"
            complaints.append(Complaint(("positions", name), message))
        else:
            indexes[name] = index % length
    return indexes


def _bad_name(name: str) -> str | None:
    if name in RESERVED:
        return f"position {name} is always there and cannot be set; choose another name"
    if name == EACH.name:
        return f"position {name} means every token in turn (@{name}) and cannot be set; choose another name"
    try:
        position = parse_position(name)
    except AddressError:
        return f"'{name}' cannot name a position; a name is letters, digits and _"
    return None if position.name == name else f"'{name}' cannot name a position: it reads as {position!s}"


def _span_ends(
    raw: RawPair, clean: Encoding, corrupted: Encoding | None, complaints: list[Complaint]
) -> dict[str, int]:
    """The last token of each stretch of text; the same in both prompts."""
    indexes: dict[str, int] = {}
    for name, (span, other) in raw.spans.items():
        index = clean.last_token(*span)
        there = corrupted.last_token(*other) if corrupted is not None and other is not None else index
        if index is None:
            complaints.append(Complaint(("positions", name), f"position {name}: its text has no token of its own"))
        elif index != there:
            message = f"position {name} is token {index} in the clean prompt and {there} in the corrupted one"
            complaints.append(Complaint(("positions", name), message))
        else:
            indexes[name] = index
    return indexes

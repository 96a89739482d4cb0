"""PromptsSpec → PromptSet: pairs from the spec, a file or a generator, with all their problems at once. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Protocol

from pydantic import ValidationError

from circuitgraph import catalog
from circuitgraph.errors import FileError, InputError, Problem
from circuitgraph.prompts.files import read_pairs
from circuitgraph.prompts.pairs import Pair, PromptSet
from circuitgraph.prompts.raw import RawPair
from circuitgraph.prompts.resolve import Bos, Complaint, needs_tokenizer, resolve
from circuitgraph.prompts.tokenizer import PromptTokenizer
from circuitgraph.prompts.vocabulary import bad_words
from circuitgraph.spec.faults import faults_of
from circuitgraph.spec.model import PairSpec, PluginSpec, PromptsSpec

Loc = tuple[str | int, ...]

SHOWN = 20
"""How many problems are shown one by one."""


class Source(Protocol):
    """What can tell where in the spec something was written (`circuitgraph.spec.source.SpecSource`)."""

    def problem(self, loc: Loc, message: str) -> Problem:
        """A problem at the place of `loc`."""
        ...


class Loaded(NamedTuple):
    """The prompts, or why there are none: problems, or things that could not be checked here."""

    prompts: PromptSet | None
    problems: tuple[Problem, ...] = ()
    unchecked: tuple[str, ...] = ()


@dataclass
class _Problems:
    """The first problems, and how many there are."""

    found: list[Problem] = field(default_factory=list)
    count: int = 0

    def add(self, problem: Problem) -> None:
        self.count += 1
        if self.count <= SHOWN:
            self.found.append(problem)

    def shown(self) -> tuple[Problem, ...]:
        """Those found, and at the place of the last one how many more there are."""
        if more := self.count - len(self.found):
            rest = replace(self.found[-1], message=f"… and {more} more problems with the prompts", source="")
            return (*self.found, rest)
        return tuple(self.found)


class _Entry(NamedTuple):
    """A pair, and what turns a complaint about it into a problem at its place."""

    raw: RawPair
    problem: Callable[[Complaint], Problem]


def load_prompts(
    spec: PromptsSpec,
    tokenizer: PromptTokenizer | None,
    *,
    bos_default: bool,
    base_dir: Path,
    source: Source | None,
    at: Loc = ("prompts",),
) -> Loaded:
    """The prompts of a spec, in token ids with every position resolved.

    `bos_default`: whether the model's family puts a BOS token before text. `base_dir`: what `prompts.file` is
    relative to. `at`: where in the spec file `spec` stands. Without a tokenizer only token ids can be loaded;
    text is then listed as unchecked. Problems count pairs from 1 and show `SHOWN` of them at most.
    """

    def tell(loc: Loc, message: str) -> Problem:
        return Problem(message) if source is None else source.problem((*at, *loc), message)

    if tokenizer is None and spec.bos is True:
        return Loaded(None, unchecked=("the prompts: bos is true, and there is no tokenizer here to name the token",))
    problems = _Problems()
    pairs: list[Pair] = []
    unread = 0
    try:
        bos = Bos.of(spec.bos, token=tokenizer and tokenizer.bos_id, default=bos_default)
    except InputError as error:
        return Loaded(None, (tell(("bos",), str(error)),))
    for entry in _entries(spec, tokenizer, base_dir, tell):
        if isinstance(entry, Problem):
            problems.add(entry)
        elif tokenizer is None and needs_tokenizer(entry.raw):
            unread += 1
        elif isinstance(resolved := resolve(entry.raw, tokenizer, bos), Pair):
            pairs.append(resolved)
        else:
            for complaint in resolved:
                problems.add(entry.problem(complaint))
    if not problems.count and not unread:
        for message in _bad_together(pairs):
            problems.add(tell((), message))
    unchecked = (f"{unread} prompts: there is no tokenizer here to read text with",) if unread else ()
    prompts = None if problems.count or unread else PromptSet(tuple(pairs), note=_note(spec))
    return Loaded(prompts, problems.shown(), unchecked)


def _entries(
    spec: PromptsSpec, tokenizer: PromptTokenizer | None, base_dir: Path, tell: Callable[[Loc, str], Problem]
) -> Iterator[_Entry | Problem]:
    """The pairs of whichever origin the spec names."""
    if spec.generator is not None:
        yield from _generated(spec.generator, tokenizer, tell)
    elif spec.file is not None:
        try:
            yield from _from_file(base_dir / spec.file)
        except FileError as error:
            yield tell(("file",), str(error))
    else:
        yield from _inline(spec.pairs or (), tell)


def _inline(pairs: Sequence[PairSpec], tell: Callable[[Loc, str], Problem]) -> Iterator[_Entry]:
    for i, pair in enumerate(pairs):

        def problem(complaint: Complaint, i: int = i) -> Problem:
            return tell(("pairs", i, *complaint.key), f"pair {i + 1}: {complaint.message}")

        yield _Entry(RawPair.of(pair), problem)


def _from_file(path: Path) -> Iterator[_Entry | Problem]:
    for number, row in enumerate(read_pairs(path), start=1):

        def problem(complaint: Complaint, number: int = number, line: int = row.line) -> Problem:
            return Problem(f"pair {number}: {complaint.message}", line=line, file=str(path))

        yield from (Problem(message, line=row.line, file=str(path)) for message in row.messages)
        if row.pair is not None:
            yield _Entry(RawPair.of(row.pair), problem)


def _generated(
    spec: PluginSpec, tokenizer: PromptTokenizer | None, tell: Callable[[Loc, str], Problem]
) -> Iterator[_Entry | Problem]:
    try:
        entry = catalog.generators.lookup(spec.name)
    except InputError as error:
        yield tell(("generator", "name"), str(error))
        return
    try:
        generator, params = entry.load(), entry.read(spec.parameters)
        if tokenizer is not None and hasattr(generator, "fitted"):  # what it leaves out depends on the vocabulary
            params = generator.fitted(params, tokenizer)
        raw_pairs: list[RawPair] = generator.generate(params)
    except ValidationError as error:
        faults = faults_of(error, entry.params, spec.parameters, noun=f"generator '{spec.name}'")
        yield from (tell(("generator", *fault.loc), fault.message) for fault in faults)
        return
    except InputError as error:
        yield tell(("generator",), str(error))
        return
    if tokenizer is not None and (messages := bad_words(raw_pairs, tokenizer)):
        keys = ", ".join(getattr(params, "word_keys", ()))
        who = f"generator '{spec.name}'" + (f" (its words are set by {keys})" if keys else "")
        yield from (tell(("generator",), f"{who}: {message}") for message in messages)
        return
    for number, raw in enumerate(raw_pairs, start=1):

        def problem(complaint: Complaint, number: int = number, raw: RawPair = raw) -> Problem:
            return tell(("generator",), f"generated pair {number} ({raw.clean!r}): {complaint.message}")

        yield _Entry(raw, problem)


def _bad_together(pairs: Sequence[Pair]) -> Iterator[str]:
    """What is wrong with the pairs as a set."""
    if not pairs:
        yield "there are no prompt pairs"
    for name in ("answers", "wrong_answers"):
        without = [i for i, pair in enumerate(pairs, start=1) if not getattr(pair, name)]
        if without and len(without) < len(pairs):
            which = ", ".join(map(str, without[:SHOWN])) + (", …" if len(without) > SHOWN else "")
            yield f"{len(without)} of {len(pairs)} pairs have no {name} (pair {which})"


def _note(spec: PromptsSpec) -> str:
    if spec.generator is not None:
        settings = ", ".join(f"{name}={value}" for name, value in spec.generator.parameters.items() if _is_short(value))
        return f"{spec.generator.name}({settings})"
    return spec.file or "pairs of the spec"


def _is_short(value: object) -> bool:
    return isinstance(value, str | int | float) and len(str(value)) <= 40

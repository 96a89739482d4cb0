"""The prompts of a run as they were read, kept beside its numbers: token ids, their texts, named positions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from circuitgraph.errors import FileError
from circuitgraph.prompts.pairs import Pair, PromptSet
from circuitgraph.results.decode import decoded
from circuitgraph.results.files import file_errors, write_text


@dataclass(frozen=True, slots=True)
class Prompt:
    """One pair. Ids and texts are token by token, a BOS token included; `positions` index them."""

    clean: tuple[int, ...]
    corrupted: tuple[int, ...] | None
    answers: tuple[int, ...]
    wrong_answers: tuple[int, ...]
    positions: Mapping[str, int]
    start: int
    """The index of the first token that the user wrote: 1 where a BOS token was added."""
    cluster: str | None
    clean_tokens: tuple[str, ...]
    """`#17` where the model has no tokenizer here."""
    corrupted_tokens: tuple[str, ...] | None
    answer_tokens: tuple[str, ...]
    wrong_answer_tokens: tuple[str, ...]

    @property
    def pair(self) -> Pair:
        """What the run was measured on."""
        return Pair(
            self.clean, self.corrupted, self.answers, self.wrong_answers, self.positions, self.start, self.cluster
        )


def prompt_set(prompts: Sequence[Prompt]) -> PromptSet:
    """The prompts as they were measured; `digest()` of it is `prompts_sha256` of their run."""
    return PromptSet(tuple(prompt.pair for prompt in prompts))


def write_prompts(path: Path, prompts: Sequence[Prompt]) -> None:
    """One JSON object a line.

    Raises:
        FileError: the file cannot be written; nothing is left behind.
    """
    lines = [json.dumps(asdict(prompt), ensure_ascii=False, separators=(",", ":")) for prompt in prompts]
    write_text(path, "".join(f"{line}\n" for line in lines))


def read_prompts(path: Path) -> tuple[Prompt, ...]:
    """What `write_prompts` wrote.

    Raises:
        FileError: missing or damaged; the message names the line.
    """
    with file_errors("read", path):
        content = path.read_bytes()
    return tuple(_prompt(path, number, line) for number, line in enumerate(content.splitlines(), 1))


def _prompt(path: Path, number: int, line: bytes) -> Prompt:
    try:
        found = decoded(Prompt, json.loads(line))
        if misfit := _misfit(found):
            raise ValueError(misfit)
    except (ValueError, RecursionError) as error:
        raise FileError(f"cannot read {path}: line {number} is damaged ({error})") from error
    return found


def _misfit(prompt: Prompt) -> str | None:
    """What does not fit together; None if all does."""
    sides = [
        ("clean", prompt.clean, prompt.clean_tokens),
        ("corrupted", prompt.corrupted, prompt.corrupted_tokens),
        ("answers", prompt.answers, prompt.answer_tokens),
        ("wrong_answers", prompt.wrong_answers, prompt.wrong_answer_tokens),
    ]
    for name, ids, texts in sides:
        if (ids is None) != (texts is None) or len(ids or ()) != len(texts or ()):
            return f"{name} has {len(ids or ())} ids and {len(texts or ())} texts"
    if prompt.corrupted is not None and len(prompt.corrupted) != len(prompt.clean):
        return f"clean has {len(prompt.clean)} ids and corrupted {len(prompt.corrupted)}"
    outside = [name for name, at in prompt.positions.items() if not 0 <= at < len(prompt.clean)]
    return f"position {outside[0]} is outside of the {len(prompt.clean)} ids" if outside else None

"""The prompts of a run as they were read, kept beside its numbers: token ids, their texts, named positions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from circuitgraph.errors import FileError
from circuitgraph.results.files import file_errors, write_text


@dataclass(frozen=True, slots=True)
class Prompt:
    """One pair. Ids and texts are token by token, a BOS token included; `positions` index them."""

    clean: tuple[int, ...]
    corrupted: tuple[int, ...] | None
    answers: tuple[int, ...]
    wrong_answers: tuple[int, ...]
    positions: Mapping[str, int]
    cluster: str | None
    clean_tokens: tuple[str, ...]
    """`#17` where the model has no tokenizer here."""
    corrupted_tokens: tuple[str, ...] | None
    answer_tokens: tuple[str, ...]
    wrong_answer_tokens: tuple[str, ...]


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
        record: Mapping[str, Any] = json.loads(line)
        fields: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in record.items()}
        return Prompt(**fields)
    except (ValueError, TypeError, AttributeError) as error:
        raise FileError(f"cannot read {path}: line {number} is damaged ({error})") from error

"""auto-circuit's prompt JSON and EAP's CSV -> prompt pairs.

auto-circuit: {"seq_labels"?, "word_idxs"?: {name: index}, "prompts": [{clean, corrupt, answers, wrong_answers}, …]}.
EAP: `clean,corrupted,label` or `clean,corrupted,correct_idx,incorrect_idx`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from circuitgraph.errors import InputError, Problem, SpecError
from circuitgraph.interchange.jsontext import MOST_PROBLEMS, JsonText, keys_of, kind_of
from circuitgraph.interchange.names import shown
from circuitgraph.interchange.tables import Record, read_records
from circuitgraph.spec.model import PairSpec

CSV_COLUMNS = ("clean", "corrupted", "label", "correct_idx", "incorrect_idx")


class Label(StrEnum):
    """What a number under `label` is, which depends on the task that the file was made for."""

    ID = "id"
    """A token id; a list of two: the right one and the wrong one."""
    YEAR = "year"
    """The two last digits of a year (greater-than): larger ones are right, the others wrong."""
    TEXT = "text"
    """The text of the answer, as it stands there."""


@dataclass(frozen=True)
class Pairs:
    """Prompt pairs in the order of the file."""

    pairs: tuple[PairSpec, ...]


def pairs_text(pairs: Sequence[PairSpec]) -> str:
    """JSONL, one pair a line."""
    lines = (pair.model_dump(mode="json", exclude_defaults=True) for pair in pairs)
    return "".join(f"{json.dumps(line, ensure_ascii=False, allow_nan=False)}\n" for line in lines)


# auto-circuit -----------------------------------------------------------------------------------


def is_prompts(value: Any) -> bool:
    """Whether a JSON value is a prompt file of auto-circuit."""
    return keys_of(value, ("prompts",)) and isinstance(value["prompts"], list)


def read_prompts(file: JsonText) -> tuple[Pairs, tuple[str, ...]]:
    """The pairs, and notes on what was read otherwise than it stands there.

    Raises:
        SpecError: everything that is wrong with it.
    """
    positions, notes = _positions(file, file.value.get("word_idxs") or {})
    if file.value.get("seq_labels"):
        notes.append(f"{file.path}: seq_labels, a name for each token, are left out; word_idxs become positions")
    found: list[PairSpec] = []
    for number, item in enumerate(file.value["prompts"], 1):
        if not isinstance(item, dict) or "clean" not in item:
            file.add(f"prompt {number} must be an object with clean and corrupt, not {kind_of(item)}")
            continue
        if unknown := [key for key in item if key not in ("clean", "corrupt", "answers", "wrong_answers")]:
            notes.append(f"{file.path}: '{shown(unknown[0])}' of prompt {number} is left out")
        data = {"clean": item["clean"], "corrupted": item.get("corrupt")}
        data |= {key: item.get(key, []) for key in ("answers", "wrong_answers")}
        pair = _pair({**data, "positions": positions})
        if isinstance(pair, str):
            name = item["clean"] if isinstance(item["clean"], str) else ""
            file.add(f"prompt {number}: {pair}", name)
        else:
            found.append(pair)
    if not file.value["prompts"]:
        file.add("there are no prompts", "prompts")
    file.check()
    return Pairs(tuple(found)), tuple(dict.fromkeys(notes))


def _positions(file: JsonText, named: Any) -> tuple[dict[str, int], list[str]]:
    """Names that can stand in an address, with their indexes; both tools count without BOS."""
    found: dict[str, int] = {}
    renamed: list[str] = []
    if not isinstance(named, Mapping):
        file.add(f"word_idxs must be an object of names and indexes, not {kind_of(named)}", "word_idxs")
        return found, []
    for name, index in named.items():
        if isinstance(index, bool) or not isinstance(index, int):
            file.add(f"the index of '{shown(name)}' must be a whole number, not {kind_of(index)}", name)
            continue
        plain = _position_name(name, found)
        found[plain] = index
        if plain != name:
            renamed.append(f"'{shown(name)}' → {plain}")
    notes = [f"{file.path}: positions are named so that addresses can hold them: {', '.join(renamed)}"]
    return found, notes if renamed else []


def _position_name(name: str, taken: Mapping[str, int]) -> str:
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "token"
    plain = plain if plain[0].isalpha() else f"p_{plain}"
    # END and BOS exist in every prompt, and `each` stands for every token.
    number, unique = 1, f"{plain}_here" if plain in ("END", "BOS", "each") else plain
    while unique in taken:
        number += 1
        unique = f"{plain}_{number}"
    return unique


def _pair(data: dict[str, Any]) -> PairSpec | str:
    """A validated pair, or what is wrong with it. Strict: `true` is no token id."""
    data = {key: value for key, value in data.items() if value is not None}
    try:
        return PairSpec.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        place = error.errors()[0]["loc"]
        if not place:  # JSON that no parser of UTF-8 takes
            return "a text in it holds half a character, which is no Unicode"
        key = str(place[0])
        wanted = "a list of texts or token ids" if key.endswith("answers") else "a text or a list of token ids"
        return f"{ {'corrupted': 'corrupt'}.get(key, key) } must be {wanted}"


# EAP's CSV --------------------------------------------------------------------------------------


def is_eap_csv(columns: Sequence[str]) -> bool:
    """Whether the first line of a CSV file is that of EAP's prompts."""
    named = set(columns)
    return {"clean", "corrupted"} <= named and ("label" in named or {"correct_idx", "incorrect_idx"} <= named)


def read_eap_csv(path: Path, label: Label | None) -> tuple[Pairs, tuple[str, ...]]:
    """The pairs, and notes on columns that are left out.

    Raises:
        FileError, SpecError: it cannot be read, or everything that is wrong with it, by line.
        InputError: labels are numbers, and `label` does not say what they are.
    """
    records = read_records(path)
    columns = [name.strip() for name in records[0].cells] if records else []
    if not is_eap_csv(columns):
        raise SpecError(
            str(path), [Problem("columns must be clean, corrupted and label, or correct_idx and incorrect_idx", 1)]
        )
    others = [shown(name) or "(no name)" for name in columns if name not in CSV_COLUMNS]
    both = "label" in columns and "correct_idx" in columns
    notes = [f"{path}: column {name} is left out" for name in [*others, *(["label"] if both else [])]]
    problems: list[Problem] = []
    found: list[PairSpec] = []
    for record in records[1:]:
        answers = _answers(columns, record, label, path, problems)
        if answers is None:
            continue
        cells = dict(zip(columns, record.cells, strict=True))
        pair = _pair({"clean": cells["clean"], "corrupted": cells["corrupted"] or None} | answers)
        if isinstance(pair, str):
            problems.append(Problem(pair, record.line))
        else:
            found.append(pair)
    if not found and not problems:
        problems.append(Problem("there are no prompts", 1))
    if problems:
        raise SpecError(str(path), problems[:MOST_PROBLEMS])
    return Pairs(tuple(found)), tuple(notes)


def _answers(
    columns: list[str], record: Record, label: Label | None, path: Path, problems: list[Problem]
) -> dict[str, list[Any]] | None:
    """`answers` and `wrong_answers` of a row; None where something is wrong with it."""
    if len(record.cells) != len(columns):
        problems.append(Problem(f"{len(record.cells)} cells, but there are {len(columns)} columns", record.line))
        return None
    cells = dict(zip(columns, record.cells, strict=True))
    if "correct_idx" in cells and "incorrect_idx" in cells:
        found = {}
        for name, key in (("correct_idx", "answers"), ("incorrect_idx", "wrong_answers")):
            ids = _ids(cells[name])
            if ids is None:
                problems.append(Problem(f"{name} is '{shown(cells[name])}'; a token id is needed", record.line))
                return None
            found[key] = ids
        return found
    text = cells["label"]
    ids = _ids(text)
    if label is Label.TEXT or (ids is None and label is None):
        return {"answers": [text], "wrong_answers": []}
    if label is None:
        raise InputError(
            f"{path}:{record.line}: the label '{shown(text)}' is a number, and what it means is the task's: say "
            "--label year (greater-than: the last two digits of a year), id (token ids) or text"
        )
    if label is Label.YEAR and ids is not None and len(ids) == 1 and 0 <= ids[0] < 99:
        years = [f"{year:02d}" for year in range(100)]
        return {"answers": years[ids[0] + 1 :], "wrong_answers": years[: ids[0] + 1]}
    if label is Label.ID and ids is not None and len(ids) in (1, 2):
        return {"answers": ids[:1], "wrong_answers": ids[1:]}
    wanted = "a number from 0 to 98" if label is Label.YEAR else "a token id, or a list of the right and the wrong one"
    problems.append(Problem(f"label is '{shown(text)}'; {wanted} is needed", record.line))
    return None


def _ids(cell: str) -> list[int] | None:
    """One whole number, or a list of them."""
    text = cell.strip()
    if not re.fullmatch(r"\d{1,9}|\[\s*\d{1,9}(\s*,\s*\d{1,9})*\s*\]", text, re.ASCII):
        return None
    value = json.loads(text.lstrip("0") or "0") if text[0] != "[" else [int(part) for part in text[1:-1].split(",")]
    return value if isinstance(value, list) else [value]

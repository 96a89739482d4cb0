"""Text → token ids with a model's own `tokenizer.json`. Neither torch nor transformers.

Special tokens are never added by the tokenizer: a BOS token is added by us or not at all (`resolve`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitgraph.errors import FileError, InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WELL_KNOWN_BOS = ("<|bos|>", "<bos>", "<s>", "<|begin_of_text|>", "<|startoftext|>", "<|endoftext|>")
"""Tried in this order where a checkpoint names no BOS token (GPT-2's own files do not)."""

SPACES = ("Ġ", "▁")
"""How byte-level and sentencepiece vocabularies write a leading space."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Token ids of a text, and for each token the characters `start:end` it came from."""

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.ids)

    def last_token(self, start: int, end: int) -> int | None:
        """The index of the last token that holds some of the characters `start:end`; None if no token does."""
        return max((i for i, (a, b) in enumerate(self.offsets) if a < end and start < b), default=None)

    def count(self, start: int, end: int) -> int:
        """How many tokens hold some of the characters `start:end`."""
        return sum(a < end and start < b for a, b in self.offsets)


class PromptTokenizer:
    """A model's tokenizer, as far as prompts need it."""

    def __init__(self, tokenizer: Tokenizer, *, bos_id: int | None = None, unk_id: int | None = None) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self.bos_id = bos_id
        """The token a prompt may begin with; None if the vocabulary has none."""
        self.unk_id = unk_id
        """The token that stands for unknown words; None if the vocabulary has none."""

    @property
    def vocab_size(self) -> int:
        """How many tokens there are, special ones included."""
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str) -> Encoding:
        """The tokens of `text`, no special ones added (those written out in the text are found)."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return Encoding(tuple(encoding.ids), tuple(encoding.offsets))

    def token_text(self, token: int) -> str:
        """The text of one token as a reader would write it (` Mary`, not `ĠMary`)."""
        piece = self._tokenizer.id_to_token(token)
        text = self._tokenizer.decode([token], skip_special_tokens=False) or piece or f"#{token}"
        if piece is not None and piece.startswith(SPACES):
            return f" {text.removeprefix(piece[0]).lstrip()}"
        return text

    def unknown(self, text: str) -> tuple[str, ...]:
        """The words of `text` that the vocabulary does not have, each once; the unknown token written out is none."""
        if self.unk_id is None:
            return ()
        encoding = self.encode(text)
        words = [
            text[start:end].strip() for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
            if token == self.unk_id
        ]  # fmt: skip
        written_out = self._tokenizer.id_to_token(self.unk_id)
        return tuple(dict.fromkeys(word for word in words if word != written_out))

    def answer_id(self, text: str, after: str | None = None) -> int:
        """The one token that `text` is: as it continues the prompt `after`, or else read alone.

        The two readings differ in vocabularies that begin every text with a space of their own
        (sentencepiece): alone, " Mary" would be two tokens, and "Mary" after a quotation mark another one.

        Raises:
            InputError: it is not one token, or not in the vocabulary.
        """
        continuing = None if after is None else self._continuation(after, text)
        ids = self.encode(text).ids if continuing is None else (continuing,)
        if len(ids) == 1 and ids[0] != self.unk_id:
            return ids[0]
        if ids and all(token == self.unk_id for token in ids):
            raise InputError(f"'{text}' is not in the model's vocabulary")
        tokens = ", ".join(f"'{self.token_text(token)}'" for token in ids)
        found = f"is {len(ids)} tokens ({tokens})" if ids else "is no token"
        raise InputError(f"'{text}' {found}; an answer is exactly one token{self._other_spacing(text)}")

    def _continuation(self, before: str, text: str) -> int | None:
        """The token that `text` adds to the tokens of `before`; None unless it adds one known token, and no more."""
        ids, whole = self.encode(before).ids, self.encode(before + text).ids
        return whole[-1] if whole[:-1] == ids and whole[-1:] not in ((), (self.unk_id,)) else None

    def _other_spacing(self, text: str) -> str:
        """A hint if `text` is one token with a leading space, or without it."""
        other = text.lstrip() if text[:1].isspace() else f" {text}"
        ids = self.encode(other).ids if other else ()
        return f"; did you mean '{other}'?" if len(ids) == 1 and ids[0] != self.unk_id else ""


def load_tokenizer(directory: Path) -> PromptTokenizer | None:
    """The tokenizer of a model directory; None if it has no `tokenizer.json`.

    Raises:
        FileError: a tokenizer file that cannot be read.
    """
    path = directory / "tokenizer.json"
    if not path.is_file():
        return None
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises plain Exception
        raise FileError(f"{path}: not a tokenizer that can be read: {error}") from error
    return PromptTokenizer(tokenizer, bos_id=_bos_id(tokenizer, directory), unk_id=_unk_id(tokenizer))


def _bos_id(tokenizer: Tokenizer, directory: Path) -> int | None:
    """What the checkpoint calls its BOS token, even if it says there is none; else a well-known one."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        settings = _read_json(directory / name)
        if "bos_token" in settings:
            token = settings["bos_token"]
            text = token.get("content") if isinstance(token, dict) else token
            return tokenizer.token_to_id(text) if isinstance(text, str) else None
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
    return next((tokenizer.token_to_id(text) for text in WELL_KNOWN_BOS if text in special), None)


def _unk_id(tokenizer: Tokenizer) -> int | None:
    model = json.loads(tokenizer.to_str())["model"]
    if isinstance(model.get("unk_id"), int):
        return model["unk_id"]
    unk = model.get("unk_token")
    return tokenizer.token_to_id(unk) if isinstance(unk, str) else None


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FileError(f"{path}: not JSON: {error}") from error
    return value if isinstance(value, dict) else {}

"""What decides how the numbers of a run are rounded: stored when it begins, and used again when it goes on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

VOCABULARY_ROWS = 256
"""Rows of the whole vocabulary that are read at once."""
AUDITED_PAIRS = 8
"""Pairs on which the audit recomputes experiments."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Sizes of what is computed at once.

    Attributes:
        pairs: of a batch, which have one length.
        tokens: of a stack of the fast executor.
        threads: None = as many as PyTorch is set to.
        kept: bytes of the caches of batches that are not being worked on.
    """

    pairs: int = 64
    tokens: int = 2048
    threads: int | None = None
    kept: int = 2**30

    def halved(self) -> Self | None:
        """Half as much at once; None where it cannot be less."""
        if self.pairs == 1 and self.tokens == 1:
            return None
        return type(self)(max(1, self.pairs // 2), max(1, self.tokens // 2), self.threads, self.kept // 2)

    def to_json(self) -> dict[str, Any]:
        """For run.json."""
        return asdict(self)


DEFAULT = Settings()

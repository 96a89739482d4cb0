"""Where a model named in a spec is: bundled, a directory, or on the hub. No torch, no network."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from circuitgraph.errors import InputError, did_you_mean
from circuitgraph.models.families import KNOWN_HUB_CONFIGS
from circuitgraph.spec.model import ModelSpec

BUNDLED = Path(__file__).parent / "bundled"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class Location:
    """A model's place. `path` is its directory; None for a hub model that is not on this disk."""

    kind: Literal["bundled", "directory", "hub"]
    name: str
    path: Path | None
    revision: str | None = None


def bundled_models() -> tuple[str, ...]:
    """The names of the models that ship with circuitgraph."""
    return tuple(sorted(path.parent.name for path in BUNDLED.glob("*/config.json")))


def locate(model: ModelSpec, base_dir: Path) -> Location:
    """Find the model a spec names; a relative directory is relative to the spec.

    A bundled name wins over a hub id, an existing directory over a hub id; write `./name` to mean a
    directory that is called like a bundled model.

    Raises:
        InputError: no such model, or a directory without config.json.
    """
    name = model.name
    if name in bundled_models():
        return Location("bundled", name, BUNDLED / name)
    directory = (base_dir / Path(name).expanduser()).resolve()
    if directory.is_dir():
        if not (directory / "config.json").is_file():
            raise InputError(f"the model directory '{name}' has no config.json")
        return Location("directory", name, directory)
    if name.startswith((".", "/", "~")) or name.endswith("/"):
        raise InputError(f"there is no model directory '{name}'")
    if name in KNOWN_HUB_CONFIGS or _HUB_ID.fullmatch(name):
        return Location("hub", name, _cached_snapshot(name, model.revision), model.revision)
    known = [*bundled_models(), *KNOWN_HUB_CONFIGS]
    raise InputError(
        f"'{name}' is no model{did_you_mean(name, known)}; or a directory, or a hub id such as organisation/name"
    )


def _cached_snapshot(name: str, revision: str | None) -> Path | None:
    """The directory of a hub model that an earlier run downloaded; reads the disk alone.

    The layout is huggingface_hub's; its import alone would cost a third of a second.
    """
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface"))
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()
    model = cache / f"models--{name.replace('/', '--')}"
    pointer = model / "refs" / (revision or "main")
    commit = pointer.read_text().strip() if pointer.is_file() else revision
    snapshot = model / "snapshots" / (commit or "main")
    return snapshot if (snapshot / "config.json").is_file() else None

"""A run directory -> the evaluation of its circuit, kept there as evaluation.json. torch is imported on first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuitgraph.checks import SpecLike
from circuitgraph.checks.files import relative_files
from circuitgraph.errors import FileError, InputError
from circuitgraph.results.evaluated import CurveKind, Evaluation
from circuitgraph.results.files import check_writable
from circuitgraph.results.lock import DirectoryLock
from circuitgraph.results.manifest import Status, other_origin, read_manifest
from circuitgraph.results.names import EVALUATION, SPEC
from circuitgraph.results.provenance import sha256_file
from circuitgraph.spec import load


@dataclass(frozen=True)
class RunSpec:
    """The spec of a finished run, such that the files it names are found."""

    directory: Path
    manifest: Mapping[str, Any]
    spec: SpecLike
    text: str


def is_run(what: SpecLike) -> bool:
    """Whether a circuit is given as a run directory."""
    return isinstance(what, str | Path) and Path(what).is_dir()


def spec_of_run(path: str | Path) -> RunSpec:
    """The spec that a finished run was made from. No torch.

    Raises:
        InputError: no run directory, one that is not finished, or one whose spec names files that cannot be found.
        FileError: a file is missing, damaged, or was changed after the run.
    """
    directory = Path(path)
    manifest = read_manifest(directory)
    if (status := manifest.get("status")) != Status.DONE:
        raise InputError(f"{directory} holds no finished run (status: {status}); finish it with --resume")
    file = directory / SPEC
    if sha256_file(file) != manifest.get("spec_sha256"):
        raise FileError(f"cannot use {file}: it was changed after the run")
    return RunSpec(directory, manifest, _spec(file, manifest), file.read_text(encoding="utf-8"))


def _spec(file: Path, manifest: Mapping[str, Any]) -> SpecLike:
    """The file itself, or what it says with its relative paths taken from where it was when the run was made."""
    settings = manifest.get("settings", {})
    spec = load(file)
    named = relative_files(spec, own_model=settings.get("model", {}).get("kind") == "directory")
    if not named:
        return file
    origin = settings.get("files", {}).get("directory")
    if origin is None:
        raise InputError(
            f"{file} names {', '.join(named)}, relative to the spec that the run was made from, and the run does not "
            "say where that was: evaluate that spec itself, with -o FILE.json"
        )
    if missing := [name for name in named if not (Path(origin) / name).exists()]:
        raise InputError(
            f"{file} names {', '.join(missing)}, relative to {origin}, and nothing is there now: put it back, or "
            "evaluate a spec that names it where it is, with -o FILE.json"
        )
    return spec.in_directory(Path(origin))


def evaluate_run(
    path: str | Path,
    progress: Callable[[int, int], None] | None = None,
    *,
    circuits: int | None = None,
    curve: CurveKind = CurveKind.HYPOTHESIS,
) -> Evaluation:
    """Measure the circuit of a run as a whole and write evaluation.json into its directory.

    Raises:
        InputError: as `spec_of_run`; or prompts or model are no longer those of the run.
        LockError: another process writes there.
        FileError: the file cannot be written.
        and everything that `Evaluating` raises.
    """
    from circuitgraph.evaluation.measure import Evaluating

    spec_of_run(path)  # before a lock file could be written into someone else's directory
    lock = DirectoryLock(Path(path))
    try:
        run = spec_of_run(path)
        check_writable(run.directory / EVALUATION, own=(EVALUATION,))
        evaluating = Evaluating(run.spec, (), progress, circuits=circuits, curve=curve, spec_text=run.text)
        if differing := other_origin(evaluating.origin(evaluating.plan), run.manifest):
            raise InputError(
                f"{run.directory} is not evaluated: {', '.join(differing)} from what the run was made of; "
                "evaluate the spec as it is now, with -o FILE.json, or run it anew"
            )
        found = evaluating.result()
        found.write(run.directory / EVALUATION)
    finally:
        lock.release()
    return found

"""The run directory: what a run writes while it goes on and when it ends (docs: files).

    run.json          format version, status, error, warnings, and the provenance that was handed in
    spec.yaml         the spec as it was run
    parts/00001.parquet …   measured so far, experiment × metric × pair; each part whole or not there
    prompts.jsonl     the prompts, token by token          ┐
    edges.parquet     the table                            │
    effects.parquet   every pair's values                  ├ at the end
    baseline.parquet  random edges, if they are asked for  │
    attention.parquet what heads attend to, the same       │
    attribution.parquet   what components write, the same  │
    screening.parquet     estimates of a screened run      │
    circuit.svg       the drawing                          │
    plots/            heat maps and charts                 ┘
    evaluation.json   the circuit as a whole, once `evaluate` was called with the directory
    .lock             while a process writes

A directory that is no run directory is never written into. A run is continued only when it is asked
for (`resume`) and all of `manifest.IDENTITY` is the same; it is replaced only when that is asked for
(`replace`), by a new one that is finished beside it, as `<name>.new`, and then takes its place.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from circuitgraph.errors import FileError, InputError
from circuitgraph.results import lock
from circuitgraph.results.attention import AttentionTable
from circuitgraph.results.attribution import AttributionTable
from circuitgraph.results.columns import read_measured, write_effects, write_part, write_rows
from circuitgraph.results.files import PARTIAL, file_errors, sync_directory, write_bytes, write_json, write_text
from circuitgraph.results.manifest import IDENTITY, KEPT, Status, differences, identity, inspect
from circuitgraph.results.names import (
    ATTENTION,
    ATTRIBUTION,
    BASELINE,
    DRAWING,
    EDGES,
    EFFECTS,
    FORMAT,
    FORMAT_VERSION,
    MANIFEST,
    OWN,
    PARTS,
    PLOTS,
    PROMPTS,
    SCREENING,
    SPEC,
)
from circuitgraph.results.prompts import Prompt, write_prompts
from circuitgraph.results.provenance import now, sha256_text
from circuitgraph.results.records import Measured, Row
from circuitgraph.results.screening import Screening


def check_place(path: str | Path, *, resume: bool, replace: bool) -> None:
    """A quick look before the work starts: refuse a place that `RunDirectory.create` will certainly refuse.

    Raises:
        InputError: something else is there, or a run that is neither to be continued nor replaced.
        FileError: it cannot be read.
    """
    found = inspect(Path(path))
    # A run with status running may be another process' own: only the lock can tell.
    if found is not None and not (resume or replace) and found.get("status") != Status.RUNNING:
        raise _occupied(Path(path), found)


class RunDirectory:
    """The one writer of a run directory. Use `create` and a `with` block, then `finish` inside it.

    Leaving the block with an exception records status failed (or interrupted) and frees the lock.
    """

    def __init__(self, path: Path, at: Path, locks: Sequence[lock.DirectoryLock], record: dict[str, Any]) -> None:
        self.path = path
        """Where the run can be found once it is finished."""
        self._at = at
        self._locks = locks
        self._record = record
        self._next_part = 1 + max((int(part.stem) for part in self._parts()), default=0)

    @classmethod
    def create(
        cls,
        path: str | Path,
        manifest: Mapping[str, Any],
        spec_text: str,
        *,
        resume: bool = False,
        replace: bool = False,
    ) -> Self:
        """Lock the directory and write run.json and spec.yaml, with status running.

        Args:
            manifest: the value of `provenance`, which holds the keys of IDENTITY.
            spec_text: the spec as it is run; its sha256 is the manifest's `spec_sha256`.
            resume: go on with the run that is there, if it is the same; start anew if there is none.
            replace: build a new run beside the one that is there and put it in its place when finished.

        Raises:
            InputError: something is there that may not be continued, replaced or written into.
            LockError: another process writes there.
            FileError: the place cannot be written.
            ValueError: the manifest lacks a key, or is not of this spec.
        """
        if missing := [key for key in IDENTITY if key not in identity(manifest)]:
            raise ValueError(f"the manifest has no {', '.join(missing)}")
        if manifest["spec_sha256"] != sha256_text(spec_text):
            raise ValueError("the manifest was made from another spec text")
        if resume and replace:
            raise InputError("a run is either resumed or replaced, not both")
        path = Path(path).resolve() if Path(path).is_symlink() else Path(path)
        inspect(path)  # before a lock file could be written into someone else's directory
        locks = [_lock(path)]
        try:
            at, found = path, inspect(path)
            if found is not None and replace:
                _check_only_ours(path)
                at, found = _empty_place_beside(path), None
                locks.append(_lock(at))
            elif found is not None:
                _check_may_continue(path, found, manifest, resume)
            return cls(path, at, locks, _begin(at, manifest, spec_text, found))
        except BaseException:
            for held in locks:
                held.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._record["status"] == Status.RUNNING:
                with suppress(FileError):  # a full disk must not hide the error that came first
                    if error is None or isinstance(error, KeyboardInterrupt):
                        self._save(Status.INTERRUPTED)
                    else:
                        self._save(Status.FAILED, error=f"{type(error).__name__}: {error}")
        finally:
            for held in self._locks:
                held.release()

    def write_part(self, measured: Sequence[Measured]) -> None:
        """Add a part: all metrics of one experiment or of several, checked by `table.check_finite`.

        Raises:
            FileError: it cannot be written; the parts before it stay as they are.
        """
        write_part(self._at / PARTS / f"{self._next_part:05d}.parquet", measured)
        self._next_part += 1

    @property
    def record(self) -> Mapping[str, Any]:
        """run.json."""
        return self._record

    def note(self, **changes: Any) -> None:
        """Write something down in run.json at once.

        Raises:
            FileError: it cannot be written.
        """
        self._save(Status.RUNNING, **changes)

    def measured(self) -> Iterator[Measured]:
        """What all parts hold.

        Raises:
            FileError: a part is damaged; the message names it.
        """
        for part in self._parts():
            try:
                yield from read_measured(part)
            except FileError as error:
                raise FileError(f"{error}; delete this part and --resume to measure its experiments again") from error

    def finished_parts(self) -> frozenset[str]:
        """The ids of the experiments that need not be measured again."""
        return frozenset(item.id for item in self.measured())

    def finish(
        self,
        rows: Sequence[Row],
        *,
        prompts: Sequence[Prompt] = (),
        baseline: Sequence[Row] = (),
        clusters: Sequence[str] | None = None,
        warnings: Sequence[str] = (),
        attention: AttentionTable | None = None,
        attribution: AttributionTable | None = None,
        screening: Screening | None = None,
        draw: Callable[[], str] | None = None,
        plots: Mapping[str, bytes] | None = None,
    ) -> None:
        """Write tables and drawings and set status done; a run that replaces another takes its place.

        Args:
            rows: the table; each row's values per pair are taken from the parts.
            prompts: what it was measured on.
            baseline: the table of random edges.
            draw: gives the SVG text; called when the tables are on disk.
            plots: file name → what is in it.

        Raises:
            FileError: a file cannot be written.
        """
        found = {(item.id, item.metric): item for item in self.measured()}
        if prompts:
            write_prompts(self._at / PROMPTS, prompts)
        write_rows(self._at / EDGES, rows)
        write_effects(self._at / EFFECTS, [found[row.id, row.metric] for row in rows], clusters)
        if baseline:
            write_rows(self._at / BASELINE, baseline)
        if attention is not None:
            attention.write(self._at / ATTENTION)
        if attribution is not None:
            attribution.write(self._at / ATTRIBUTION)
        if screening is not None:
            screening.write(self._at / SCREENING)
        if draw is not None:
            write_text(self._at / DRAWING, draw())
        self._write_plots(plots or {})
        self._save(Status.DONE, warnings=list(warnings), finished=now())
        if self._at != self.path:
            self._take_place()

    def _write_plots(self, plots: Mapping[str, bytes]) -> None:
        if not plots:
            return
        directory = self._at / PLOTS
        with file_errors("write", directory):
            directory.mkdir(exist_ok=True)
        for name, content in plots.items():
            write_bytes(directory / name, content)

    def _take_place(self) -> None:
        before = _beside(self.path, "old")
        with file_errors("replace", self.path):
            if before.exists():  # left by a process that was killed right here
                _check_only_ours(before)
                shutil.rmtree(before)
            self.path.rename(before)
            self._at.rename(self.path)
            sync_directory(self.path.parent)
            old, new = self._locks
            new.moved(self.path)
            old.moved(before)
            shutil.rmtree(before)
        self._at = self.path

    def _save(self, status: Status, **changes: Any) -> None:
        self._record = {key: value for key, value in self._record.items() if key != "error"}
        self._record |= {"status": status, **changes}
        write_json(self._at / MANIFEST, self._record)

    def _parts(self) -> list[Path]:
        return sorted(part for part in (self._at / PARTS).glob("*.parquet") if part.stem.isdecimal())


def _begin(at: Path, manifest: Mapping[str, Any], spec_text: str, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """Write what a run starts with, over what an earlier attempt left; the value is run.json's."""
    record = {"format": FORMAT, "format_version": FORMAT_VERSION, "status": Status.RUNNING, **manifest}
    if before is not None:
        record["created"] = before.get("created")
        record["resumed"] = [*before.get("resumed", []), now()]
        record |= {key: before[key] for key in KEPT if key in before}
    write_json(at / MANIFEST, record)
    write_text(at / SPEC, spec_text)
    with file_errors("write", at / PARTS):
        (at / PARTS).mkdir(exist_ok=True)
        for leftover in chain.from_iterable(place.glob(f"*{PARTIAL}") for place in (at, at / PARTS, at / PLOTS)):
            leftover.unlink()
    return record


def _lock(path: Path) -> lock.DirectoryLock:
    with file_errors("make", path):
        path.mkdir(parents=True, exist_ok=True)
    return lock.DirectoryLock(path)


def _check_may_continue(path: Path, found: Mapping[str, Any], manifest: Mapping[str, Any], resume: bool) -> None:
    if not resume:
        raise _occupied(path, found)
    if differing := differences(found, manifest):
        raise InputError(
            f"{path} cannot be resumed: {', '.join(differing)}; "
            "--resume with what it was started with, or choose another --out"
        )


def _occupied(path: Path, found: Mapping[str, Any]) -> InputError:
    status = found.get("status")
    if status == Status.DONE:
        return InputError(f"{path} holds a finished run; choose another --out, or replace it with --force")
    state = "was killed" if status == Status.RUNNING else f"is {status}"
    return InputError(
        f"{path} holds a run that {state}; continue it with --resume, replace it with --force, or choose another --out"
    )


def _check_only_ours(path: Path) -> None:
    """Refuse to delete a directory that holds anything a run does not write."""
    with file_errors("read", path):
        other = sorted(e.name for e in path.iterdir() if e.name not in OWN and not e.name.endswith(PARTIAL))
    if other or inspect(path) is None:
        raise InputError(
            f"{path} is not replaced: it holds {', '.join(other) or 'no ' + MANIFEST}, which no run writes; "
            "move that away, or choose another --out"
        )


def _beside(path: Path, word: str) -> Path:
    return path.with_name(f"{path.name}.{word}")


def _empty_place_beside(path: Path) -> Path:
    """`<name>.new`, without the remains of an earlier attempt."""
    place = _beside(path, "new")
    if inspect(place) is not None:
        held = _lock(place)
        try:
            _check_only_ours(place)
            with file_errors("remove", place):
                shutil.rmtree(place)
        finally:
            held.release()
    return place

"""Runs, run directories, specs -> the RunResults that are compared, and what they are called. Specs are run."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from circuitgraph.comparing.compare import distinct_labels
from circuitgraph.errors import InputError, did_you_mean
from circuitgraph.results.files import file_errors
from circuitgraph.results.load import load_run
from circuitgraph.results.records import RunResult
from circuitgraph.spec.model import EstimateMethod

if TYPE_CHECKING:
    from circuitgraph.checks import Checked, SpecLike

Progress = Callable[[int, int], None]
Watch = Callable[["Job", "Checked"], AbstractContextManager["Progress | None"]]
"""(job, its checked spec) → what shows its progress while it runs."""


@dataclass(frozen=True)
class Job:
    """A spec that has to be run, with what changes it."""

    spec: SpecLike
    overrides: tuple[str, ...]
    label: str | None
    """What tells it apart from others; None = its name does."""
    out: Path | None


def gather(
    given: Sequence[RunResult | SpecLike],
    *,
    labels: Sequence[str] | None = None,
    overrides: Sequence[str] = (),
    estimate: str | None = None,
    out: str | Path | None = None,
    replace: bool = False,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> tuple[tuple[RunResult, ...], tuple[str, ...]]:
    """Load what is a run, check all specs, then run them one after the other.

    Args:
        watch: shows progress, run by run; `progress` is called if it is not given.

    Raises:
        InputError: fewer than two; options that speak of one spec, with several; as many labels as runs are asked for.
        … and everything that loading and running raises.
    """
    jobs = _jobs(given, tuple(overrides), estimate, None if out is None else Path(out))
    if labels is not None and labels and len(labels) != len(jobs):
        raise InputError(f"{len(labels)} labels for {len(jobs)} runs: give one for each, in their order")
    if labels and len(set(labels)) < len(labels):
        raise InputError(f"two runs cannot have the same label '{next(x for x in labels if labels.count(x) > 1)}'")
    _distinct(jobs)
    checked = [_checked(job, replace) if isinstance(job, Job) else None for job in jobs]
    if estimate is not None and checked[0] is not None and checked[0].spec.estimate is not None:
        raise InputError(
            f"{checked[0].spec.name} has an 'estimate:' of its own, so that there is no exact run to compare with: "
            "take it out, or compare two specs"
        )
    loaded = [load_run(job) if isinstance(job, Path) else job for job in jobs]
    runs = tuple(
        _run(job, found, replace, watch or (lambda _job, _spec: nullcontext(progress)))
        if isinstance(job, Job) and found is not None
        else job
        for job, found in zip(loaded, checked, strict=True)
    )
    results = tuple(run for run in runs if isinstance(run, RunResult))
    own = [job.label if isinstance(job, Job) else None for job in jobs]
    named = [run.graph.name for run in results]
    if any(own):
        return results, tuple(labels or [label or name for label, name in zip(own, named, strict=True)])
    return results, tuple(labels or distinct_labels(results))


def _jobs(
    given: Sequence[RunResult | SpecLike], overrides: tuple[str, ...], estimate: str | None, out: Path | None
) -> list[RunResult | Path | Job]:
    if not given:
        raise InputError("compare takes two runs or specs, or one spec with --set or --estimate")
    found = [_as_given(item) for item in given]
    if len(found) > 1:
        if overrides or estimate is not None:
            option = "--set" if overrides else "--estimate"
            raise InputError(f"{option} makes a second run of one spec, and here are {len(found)}: give one spec alone")
        return [item if isinstance(item, RunResult | Path) else Job(item.spec, (), None, out) for item in found]
    spec = found[0]
    if not isinstance(spec, Job):
        raise InputError(
            "one run alone has nothing to be compared with: add another run or spec, or give one spec with --set"
        )
    if estimate is not None:
        methods = [each.value for each in EstimateMethod]
        if estimate not in methods:
            raise InputError(f"'{estimate}' is no method of estimation{did_you_mean(estimate, methods)}")
        return [
            Job(spec.spec, overrides, "exact", out),
            Job(spec.spec, (*overrides, f"estimate.method={estimate}"), estimate, out),
        ]
    if not overrides:
        raise InputError(
            "one spec alone has nothing to be compared with: add --set key=value or --estimate METHOD, or another spec"
        )
    return [Job(spec.spec, (), "as written", out), Job(spec.spec, overrides, ", ".join(map(_short, overrides)), out)]


def _short(override: str) -> str:
    """`prompts.generator.corruption=abc` → `corruption=abc`."""
    key, equals, value = override.partition("=")
    return f"{key.strip().rpartition('.')[2]}{equals}{value.strip()}"


def _as_given(item: RunResult | SpecLike) -> RunResult | Path | Job:
    """A run directory is a path, a spec a job."""
    if isinstance(item, RunResult):
        return item
    if isinstance(item, str | Path):
        path = Path(item)
        with file_errors("read", path):
            if path.is_dir():
                return path
    return Job(item, (), None, None)


def _distinct(jobs: Sequence[RunResult | Path | Job]) -> None:
    """Refuse a run that is compared with itself by mistake: the same directory twice."""
    seen: set[Path] = set()
    for job in jobs:
        if isinstance(job, Path):
            if job.resolve() in seen:
                raise InputError(f"{job} is given twice: a run is compared with another one")
            seen.add(job.resolve())


def _checked(job: Job, replace: bool) -> Checked:
    """Everything that can be wrong with a spec before any is run."""
    from circuitgraph.checks import check
    from circuitgraph.results.directory import check_place

    found = check(job.spec, job.overrides)
    if not found.graph.claims:
        raise InputError(f"{found.spec.name}: nothing to compare: the spec has neither edges nor nodes")
    if (place := place_of(job, found)) is not None:
        check_place(place, resume=False, replace=replace)
    return found


def place_of(job: Job, found: Checked) -> Path | None:
    """The run directory of a job: called like its spec, and what was changed about it."""
    if job.out is None:
        return None
    name = found.spec.name
    if job.label is not None and job.label not in ("as written", "exact"):
        name += "-" + re.sub(r"[^A-Za-z0-9._=-]+", "-", job.label).strip("-")[:80]
    return job.out / name


def _run(job: Job, found: Checked, replace: bool, watch: Watch) -> RunResult:
    from circuitgraph.running import Running  # imports torch

    with watch(job, found) as progress:
        place = place_of(job, found)
        return Running(job.spec, job.overrides, progress).result(place, resume=False, replace=replace)

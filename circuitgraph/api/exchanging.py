"""Runs held against each other, and files of other tools."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from circuitgraph.checks import SpecLike

if TYPE_CHECKING:
    from circuitgraph.comparing import Comparison, Comparisons
    from circuitgraph.interchange.formats import Content
    from circuitgraph.interchange.importing import Imported
    from circuitgraph.prepared import Progress
    from circuitgraph.results.records import RunResult


def compare(
    a: RunResult | SpecLike,
    b: RunResult | SpecLike | None = None,
    *more: RunResult | SpecLike,
    match: str = "auto",
    metric: str | None = None,
    of: str = "auto",
    labels: Sequence[str] | None = None,
    overrides: Sequence[str] = (),
    estimate: str | None = None,
    out: str | Path | None = None,
    replace: bool = False,
    progress: Progress | None = None,
) -> Comparison | Comparisons:
    """Hold runs against each other: B − A for every experiment that both have, with intervals (docs/compare.md).

    Two give a Comparison, more Comparisons. What `run` raises for a spec is raised here too.

    Args:
        a: a run, a run directory, a spec or a spec file; a spec is run.
        b: the same. Without it the spec `a` is compared with itself under `overrides`, or estimated by `estimate`.
        more: the same, of three or more.
        match: `address`, `group`, or `auto`: by address where the architectures are the same.
        metric: the first metric of A if not given.
        of: differences of the `effect`, of the `normalized` effect, or `auto`: normalized where architectures differ.
        labels: what the runs are called.
        overrides: of one spec alone: what makes B of it; with `estimate` they hold for both.
        estimate: of one spec alone: the method that estimates B.
        out: a directory; what is run is kept there, each in a run directory of its own.
        replace: put these runs in the place of finished ones in `out`.
        progress: called with (steps done, steps in all) of one run after the other.

    Raises:
        InputError: nothing to compare with; nothing in common; a run that is not finished; no such metric.
    """
    from circuitgraph.comparing import compare_all, compare_two
    from circuitgraph.comparing.gather import gather

    given = (a, *(() if b is None else (b,)), *more)
    runs, names = gather(
        given, labels=labels, overrides=overrides, estimate=estimate, out=out, replace=replace, progress=progress
    )
    if len(runs) == 2:
        return compare_two(*runs, labels=(names[0], names[1]), metric=metric, by=match, quantity=of)
    return compare_all(runs, labels=names, metric=metric, by=match, quantity=of)


def export(
    what: RunResult | Content | str | Path,
    path: str | Path,
    to: str | None = None,
    *,
    metric: str | None = None,
    top: int | None = None,
    threshold: float | None = None,
    direction: str | None = None,
    drop: bool = False,
    circuit: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Path:
    """Write a run as a file of another tool, or a file of one tool as that of another (docs/interchange.md).

    Args:
        what: a RunResult, a run directory, a file that `import_circuit` reads, or the `content` of what it read.
        to: `eap-json`, `mib`, `graphml`, `networkx-json` or `csv`; not needed where the ending tells it.
        metric: one metric's effects; the first if not given. A csv holds all.
        top: so many edges are in the graph of `eap-json` and `mib`, the strongest. All that were measured, if neither
            this nor `threshold` is given.
        threshold: the edges with such an |effect| are.
        direction: `effect` or `importance` (its negative); `eap-json` holds the first, `mib` the second, if not given.
        drop: leave out what the format cannot hold, instead of refusing it; `tell` hears what it was.
        circuit: `mib` alone: which edges belong to the circuit, without scores.
        tell: called with each note on what the file holds otherwise, or not; a Python warning if not given.

    Raises:
        InputError: no such format or metric; something has no place in the format, all of it in one message.
        FileError: a file cannot be read or written, or one of another kind is there.
    """
    from circuitgraph.interchange.exporting import export as write

    return write(
        what,
        path,
        to,
        metric=metric,
        top=top,
        threshold=threshold,
        direction=direction,
        drop=drop,
        circuit=circuit,
        tell=tell or (lambda note: warnings.warn(note.removeprefix("note: "), stacklevel=5)),
    )


def import_circuit(
    path: str | Path,
    out: str | Path | None = None,
    *,
    format: str | None = None,
    model: str | None = None,
    prompts: str | Path | None = None,
    top: int | None = None,
    threshold: float | None = None,
    direction: str | None = None,
    label: str | None = None,
    replace: bool = False,
) -> Imported:
    """Make a spec of a circuit that another tool found, or prompt pairs of its prompts (docs/interchange.md).

    Args:
        path: graph JSON or `.pt` of EAP-IG and MIB, Edge-Pruning's edges.json, ACDC's edges; auto-circuit's prompts,
            EAP's CSV; or what `export` wrote.
        out: the spec to write (`.yaml`; prompts `.jsonl`); scores go beside it as `.scores.csv`. None = write nothing.
        format: insist on a format, instead of finding it by ending and content.
        model: a bundled name, a hub id, or a directory (relative to the spec).
        prompts: a `.jsonl` file, or prompts of auto-circuit or EAP, which are written beside the spec.
        top: so many edges of largest |score|, instead of those in the file's graph.
        threshold: the edges whose |score| is at least this.
        direction: what the scores are, where the file does not say: `effect` or `importance`.
        label: what numbers under `label` of EAP's CSV are: `id`, `year` or `text`.
        replace: write over files that are there.

    Raises:
        InputError, SpecError: everything that is wrong with the file, by line and column; or with an argument.
        FileError: a file cannot be read or written, or is there already.
        ModelError: the model's config cannot be read.
    """
    from circuitgraph.interchange.importing import import_circuit as read

    return read(
        path,
        out,
        format=format,
        model=model,
        prompts=prompts,
        top=top,
        threshold=threshold,
        direction=direction,
        label=label,
        replace=replace,
    )

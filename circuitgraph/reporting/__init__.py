"""The report: a run, or several compared, as one HTML page that needs nothing but a browser. No torch.

The page's own parts are in `page/`: a template, styles and a program in plain JavaScript, put into one file by
`assemble`; `data` says what the program reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from circuitgraph.comparing.compare import distinct_labels
from circuitgraph.errors import InputError
from circuitgraph.reporting.assemble import Part, assemble
from circuitgraph.reporting.data import data_of, prefix_of
from circuitgraph.reporting.heading import description, facts, isolated, warnings
from circuitgraph.reporting.sections import sections
from circuitgraph.results.files import check_writable, write_text
from circuitgraph.results.records import RunResult

if TYPE_CHECKING:
    from circuitgraph.comparing.records import Comparison

__all__ = ["page", "write_page"]

ENDINGS = (".html", ".htm")


def page(runs: Sequence[RunResult], comparison: Comparison | None = None, *, title: str | None = None) -> str:
    """The whole HTML text. Several runs are compared, each with each, unless the comparison of two is given.

    Raises:
        InputError: no run, or runs that cannot be compared.
        NotFiniteError: NaN or infinity in a row; the message names it.
    """
    if not runs:
        raise InputError("a report is of a run, or of several")
    names = distinct_labels(runs) if comparison is None else comparison.labels
    comparisons = _compared(runs, names) if comparison is None else {(0, 1): comparison}
    heading = title or (" and ".join(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} other runs")
    return assemble(
        data_of(runs, names, comparisons, heading),
        title=heading,
        version=version("circuitgraph"),
        parts=_parts(runs, names),
        heading=isolated(heading),
        description=description(runs),
        facts=facts(runs, names, comparisons),
        warnings=warnings(runs, comparisons),
        footer=_footer(runs),
    )


def write_page(runs: Sequence[RunResult], path: str | Path, *, title: str | None = None) -> Path:
    """Write the page of some runs to a file, which appears whole or not at all.

    Raises:
        InputError: the file's ending is not .html; and as `page`.
        FileError: the file cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() not in ENDINGS:
        raise InputError(f"'{target.name}': a report is an .html file")
    check_writable(target)
    write_text(target, page(runs, title=title))
    return target


def _compared(runs: Sequence[RunResult], names: Sequence[str]) -> Mapping[tuple[int, int], Comparison]:
    """(i, j) → run i against run j; empty for a single run."""
    if len(runs) < 2:
        return {}
    from circuitgraph.comparing import compare_all

    return compare_all(runs, labels=names).pairs


def _parts(runs: Sequence[RunResult], names: Sequence[str]) -> list[Part]:
    """What stands beside the graph and the table, run by run."""
    found = []
    for i, (result, name) in enumerate(zip(runs, names, strict=True)):
        several = len(runs) > 1
        for section in sections(result, prefix=prefix_of(i, runs)):
            heading = f"{section.title}, {name}" if several else section.title
            begin = f'<section id="{section.id}" aria-labelledby="{section.id}-title">'
            title = f'<h2 id="{section.id}-title">{isolated(heading)}</h2>'
            found.append(Part(section.id, heading, f"{begin}{title}{section.html}</section>"))
    return found


def _footer(runs: Sequence[RunResult]) -> str:
    made = [result.provenance.get("spec_sha256") for result in runs]
    specs = ", ".join(f'<span class="mono">{str(digest)[:12]}</span>' for digest in made if digest)
    return f"circuitgraph {version('circuitgraph')}" + (f" · spec {specs}" if specs else "")

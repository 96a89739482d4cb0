"""What is drawn: circuits, stages, sweeps, pages. No torch, but where a spec has to be measured first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitgraph.api.specs import load_run
from circuitgraph.checks import Checked, SpecLike
from circuitgraph.checks import check as check_spec
from circuitgraph.errors import InputError, did_you_mean
from circuitgraph.spec.metrics import metric_names

if TYPE_CHECKING:
    from circuitgraph.drawing import Example
    from circuitgraph.graph.claims import Claim
    from circuitgraph.plotting import Picture
    from circuitgraph.results.attention import AttentionTable
    from circuitgraph.results.attribution import AttributionTable
    from circuitgraph.results.records import RunResult


def render(
    what: RunResult | SpecLike,
    path: str | Path,
    *,
    layout: str = "layered",
    style: str = "plain",
    title: str | None = None,
    tell: Callable[[str], None] = lambda _note: None,
) -> Path:
    """Draw a spec (the hypothesis) or a run (the finding); the file ending picks the format.

    Of more than 1,000 arrows the 1,000 strongest are drawn, which the picture says; `.graphml` and `.json` hold all
    edges.

    Args:
        what: a RunResult, a CircuitSpec, a spec file or a run directory.
        style: `plain`, every edge an arrow; `paper`, as in a paper's figure: groups are boxes with their members
            written in them, all edges from one to one port of another are one arrow, and the tokens of the first
            prompt stand below the positions.
        tell: called with what of it was drawn, where it was not all.

    Raises:
        SpecError, InputError: the spec is wrong or has nothing to draw, or too much that is not measured, or there
            is no such format, layout or style.
        FileError: a file cannot be read or written.
    """
    from circuitgraph.drawing import render as draw
    from circuitgraph.results.files import check_no_runs_file
    from circuitgraph.results.names import DRAWING
    from circuitgraph.results.records import RunResult

    check_no_runs_file(Path(path), own=(DRAWING,))
    if isinstance(what, str | Path) and Path(what).is_dir():
        what = load_run(what)
    if isinstance(what, RunResult):
        settings = what.provenance.get("settings", {})
        example = _example(settings.get("tokens"))
        positions = settings.get("positions")
        written = draw(what.graph, path, rows=what.primary, layout=layout, title=title, positions=positions,
                       style=style, example=example)  # fmt: skip
        if note := drawn_part(what, written, style):
            tell(note)
        return written
    found = check_spec(what)
    if not found.graph.claims and not found.graph.groups:
        raise InputError(f"{found.spec.name}: nothing to draw: the spec has no edges, nodes or groups")
    positions = found.prompts.position_names() if found.prompts else None
    example = None
    if style == "paper" and found.prompts:
        from circuitgraph.graph.claims import replaced
        from circuitgraph.prompts.tokens import first_tokens

        places = {end.position: None for sender, receiver, _ in found.graph.arcs() for end in (sender, receiver)}
        places |= {address.position: None for claim in found.graph.claims for address in replaced(claim)}
        known = [position for position in places if position is not None]
        example = _example(first_tokens(found.prompts, known, found.location.path))
    return draw(found.graph, path, layout=layout, title=title, positions=positions, style=style, example=example)


def _example(first: dict[str, Any] | None) -> Example | None:
    """The first prompt for a picture, if its tokens are known as text."""
    from circuitgraph.drawing import Example

    if first is None or all(token.startswith("#") for token in first["clean"]):
        return None
    return Example(first["clean"], first["at"])


def diagram(
    spec: SpecLike, experiment: str, path: str | Path, *, title: str | None = None, overrides: Sequence[str] = ()
) -> Path:
    """Draw one experiment of a spec as its plan says it: the model unrolled, once for each stage; no torch.

    Args:
        experiment: its label, its addresses in any accepted spelling (`a0.h0 -> a2.h0<q>`), or the start of its id.
        path: the ending picks the format: .svg, .png or .pdf.

    Raises:
        SpecError: everything that is wrong with the spec.
        InputError: the spec has no such experiment, or several; or there is no such format.
        RefusedError: the experiment has no stages: a set, or `receivers: add`.
        FileError: the file cannot be written.
    """
    from circuitgraph.unrolled import find_claim

    found = check_spec(spec, overrides)
    return draw_stages(found, find_claim(found.graph, experiment), path, title=title)


def draw_stages(found: Checked, claim: Claim, path: str | Path, *, title: str | None = None) -> Path:
    """`diagram` of a claim of a spec that has been checked."""
    from circuitgraph.drawing import save
    from circuitgraph.results.files import check_no_runs_file
    from circuitgraph.unrolled import picture

    check_no_runs_file(Path(path))
    names, model = metric_names(found.spec), found.location.name
    return save(picture(found.graph, claim, names, model=model, prompts=found.prompts, title=title), path)


def plot(
    what: RunResult | AttributionTable | AttentionTable | str | Path,
    path: str | Path,
    *,
    kind: str | None = None,
    metric: str | None = None,
    top: int = 20,
    tell: Callable[[str], None] = lambda _note: None,
) -> tuple[Path, ...]:
    """Plot a run's sweeps and attributions, an attribution, or attention patterns (docs/plots.md); needs matplotlib.

    Args:
        what: a RunResult, a run directory, an AttributionTable, or an AttentionTable that was read with `pair`.
        path: a `.svg`, `.png` or `.pdf` file for one plot, or a directory (a name without an ending) for all as SVG.
        kind: `heatmap`, `bars`, `attribution`, or the name of one plot; of several, a file gets the first.
        metric: one metric's plots alone.
        top: how many bars a bar chart has.
        tell: called with what else there is, where a file does not hold it all.

    Returns:
        The files that were written.

    Raises:
        InputError: matplotlib is not installed; nothing to plot; no such kind, metric or format.
        FileError: a file cannot be read or written.
    """
    from circuitgraph.plotting import choose, write_all, write_picture

    one = check_plot(path)
    chosen = choose(_pictures(what, metric, top), kind)
    if not chosen:
        raise InputError("nothing to plot: the run has neither rows nor an attribution")
    if not one:
        return write_all(chosen, path)
    first, *others = chosen
    if others:
        tell(f"drawn: {first.name}; there are also {', '.join(picture.name for picture in others)}")
    return (write_picture(first, path),)


def check_plot(path: str | Path) -> bool:
    """Refuse, before any work is done, a place where `plot` cannot write; whether it is a file for one plot.

    Raises:
        InputError, FileError: as `plot`.
    """
    from circuitgraph.plotting import check_plot_file, require
    from circuitgraph.results.files import check_no_runs_file
    from circuitgraph.results.names import PLOTS

    require()
    one = bool(Path(path).suffix) and not Path(path).is_dir()
    check_no_runs_file(Path(path) if one else Path(path) / "a plot", own=(PLOTS,))
    if one:
        check_plot_file(path)
    return one


def _pictures(
    what: RunResult | AttributionTable | AttentionTable | str | Path, metric: str | None, top: int
) -> Sequence[Picture]:
    from circuitgraph.plotting import patterns_picture, pictures_of
    from circuitgraph.plotting.bars import attribution_pictures
    from circuitgraph.results.attention import AttentionTable
    from circuitgraph.results.attribution import AttributionTable

    if isinstance(what, AttributionTable):
        metrics = tuple(dict.fromkeys(total.metric for total in what.totals))
        if metric is not None and metric not in metrics:
            raise InputError(f"'{metric}' is no metric of this attribution{did_you_mean(metric, metrics)}")
        return attribution_pictures(what, top, metric)
    if isinstance(what, AttentionTable):
        if what.patterns is None:
            raise InputError("nothing to plot: attention patterns are of one pair, attention(…, pair=1)")
        return (patterns_picture(what.patterns),)
    return pictures_of(load_run(what) if isinstance(what, str | Path) else what, metric=metric, top=top)


def unplotted(result: RunResult) -> str | None:
    """Why there are no plots of a run that has something to plot; None where there are, or where there is nothing."""
    from circuitgraph.plotting import MISSING, available, worth_drawing

    return MISSING if not available() and worth_drawing(result) else None


def drawn_part(result: RunResult, path: str | Path, style: str = "plain") -> str | None:
    """Which of very many edges of a run the picture `path` shows, in words; None = all."""
    from circuitgraph.drawing import what_is_drawn

    return what_is_drawn(result.graph, result.primary, path, style)


def report(
    runs: RunResult | str | Path | Sequence[RunResult | str | Path],
    path: str | Path,
    *,
    title: str | None = None,
    metric: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a run, or several compared, as one HTML page that needs nothing but a browser (docs/report.md).

    Args:
        runs: results or run directories; one, or several to be compared.
        path: an `.html` file.
        metric: the one that several runs are compared in, the first if not given; a page of one run has all.
        progress: called with (steps done, steps in all) while several runs are compared.

    Raises:
        InputError: no run, one that is not finished, or runs that cannot be compared; the file is no .html.
        NotFiniteError: NaN or infinity in a run; the message names it.
        FileError: a file cannot be read or written.
    """
    from circuitgraph.reporting import write_page
    from circuitgraph.results.records import RunResult

    listed = [runs] if isinstance(runs, RunResult | str | Path) else list(runs)
    loaded = [load_run(run) if isinstance(run, str | Path) else run for run in listed]
    return write_page(loaded, path, title=title, metric=metric, progress=progress)

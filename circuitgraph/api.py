"""The Python API: load, check, plan, run, test, render. The command line is a thin face over these.

import circuitgraph as cg

spec = cg.load("specs/ioi-mini.yaml")
print(cg.explain(spec))
result = cg.run(spec)
cg.render(result, "circuit.svg")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitgraph.checks import Checked, SpecLike
from circuitgraph.checks import check as check_spec
from circuitgraph.errors import InputError, did_you_mean
from circuitgraph.plans import Plan, build_plan, explain_plan
from circuitgraph.plans.schedule import Executor
from circuitgraph.spec import CircuitSpec
from circuitgraph.spec import load as load_spec
from circuitgraph.spec.metrics import metric_names
from circuitgraph.spec.model import CircuitSection, EstimateMethod
from circuitgraph.spec.overrides import Options

if TYPE_CHECKING:
    from circuitgraph.comparing import Comparison, Comparisons
    from circuitgraph.discovery.records import Discovery
    from circuitgraph.drawing import Example
    from circuitgraph.graph.claims import Claim
    from circuitgraph.interchange.formats import Content
    from circuitgraph.interchange.importing import Imported
    from circuitgraph.judging import Verdicts
    from circuitgraph.plotting import Picture
    from circuitgraph.prepared import Progress
    from circuitgraph.results.attention import AttentionTable
    from circuitgraph.results.attribution import AttributionTable
    from circuitgraph.results.evaluated import Evaluation
    from circuitgraph.results.records import RunResult

EXECUTORS = tuple(executor.value for executor in Executor)


def load(path: str | Path, overrides: Sequence[str] = ()) -> CircuitSpec:
    """Read a spec file; `overrides` are texts such as `prompts.generator.n=32`.

    Raises:
        SpecError: everything that is wrong with the text, its keys and its values.
        FileError: the file cannot be read.
    """
    return load_spec(path, overrides).in_directory(Path(path).parent)


def check(spec: SpecLike, overrides: Sequence[str] = ()) -> Checked:
    """Check a spec, and what its `circuit:` and `discover:` sections ask of it; torch is not imported.

    Raises:
        SpecError, InputError: everything that is wrong with the spec, or with its circuit, or with what it looks for.
        FileError: a file cannot be read.
        ModelError: the model's config cannot be read.
    """
    found = check_spec(spec, overrides)
    if found.spec.circuit != CircuitSection():
        from circuitgraph.evaluation.aim import aim_of

        aim_of(found)
    if found.spec.discover is not None:
        from circuitgraph.discovery.asked import check_discovery

        check_discovery(found)
    return found


def plan(spec: SpecLike, overrides: Sequence[str] = ()) -> Plan:
    """The plan of a spec: one experiment per edge, chain, set or node; torch is not imported.

    Raises:
        SpecError: everything that is wrong with the spec.
    """
    return build_plan(check_spec(spec, overrides).graph)


def explain(spec: SpecLike, overrides: Sequence[str] = ()) -> str:
    """The plan in words: three readable stages per edge."""
    found = check_spec(spec, overrides)
    return explain_plan(build_plan(found.graph), metric_names(found.spec))


def executor_named(name: str) -> Executor:
    """The executor of a name.

    Raises:
        InputError: there is none.
    """
    if name not in EXECUTORS:
        raise InputError(f"'{name}' is no executor{did_you_mean(name, EXECUTORS)}")
    return Executor(name)


def run(
    spec: SpecLike,
    *,
    out: str | Path | None = None,
    executor: str = "auto",
    memory: int | None = None,
    estimate: str | None = None,
    screen: str | None = None,
    top: int = 100,
    overrides: Sequence[str] = (),
    resume: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Measure every experiment of a spec; or estimate it, where the spec or `estimate` says so (docs/estimates.md).

    Args:
        out: a run directory to write (tables, drawing, provenance); None = keep the result in memory.
        executor: `auto`: fast where possible, and a sample of that recomputed literally; `fast`: without the sample;
            `literal`: everything by whole forward passes.
        memory: bytes that may be used beside the model; a share of what is free if not given.
        estimate: a method (`eap`, `atp`, `eap-ig-inputs`, …) instead of the spec's.
        screen: a method that estimates everything; the `top` largest are measured, on prompts held apart.
        top: how many.
        resume: go on with the run in `out`.
        replace: put this run in the place of a finished one in `out`.
        progress: called with (steps done, steps in all).

    Raises:
        SpecError: everything that is wrong with the spec.
        RefusedError: something in it cannot be executed.
        ModelError: the model cannot be loaded.
        AuditError: the model does not pass its proofs, or the executors do not agree on an experiment.
        NotFiniteError: NaN or infinity in a value; the message names the experiment.
        FileError, LockError: the run directory cannot be used.
    """
    wanted = executor_named(executor)
    spec, overrides = estimating(spec, overrides, estimate, screen)
    if screen is not None and (resume or top < 1):
        raise InputError("a screened run is not resumed: start it anew" if resume else f"top is a number, not {top}")
    if out is not None:
        from circuitgraph.results import check_place

        check_place(out, resume=resume, replace=replace)
    if screen is not None:
        from circuitgraph.screening import screened_run  # imports torch

        return screened_run(
            spec, overrides, top, out=out, executor=wanted, memory=memory, replace=replace, progress=progress
        )
    from circuitgraph.running import Running  # imports torch

    return Running(spec, overrides, progress, wanted, memory).result(out, resume=resume, replace=replace)


def estimating(
    spec: SpecLike, overrides: Sequence[str], estimate: str | None, screen: str | None
) -> tuple[SpecLike, Sequence[str]]:
    """A spec and its overrides with a method of estimation as its `estimate:` asks for.

    Raises:
        InputError: two methods, or no such method.
    """
    if estimate is not None and screen is not None:
        raise InputError("estimate or screen, not both: a screened run estimates everything first")
    method = estimate or screen
    if method is None:
        return spec, overrides
    methods = [each.value for each in EstimateMethod]
    if method not in methods:
        raise InputError(f"'{method}' is no method of estimation{did_you_mean(method, methods)}")
    if isinstance(spec, CircuitSpec):
        return Options("estimate", {"method": method}).onto(spec), overrides
    return spec, (*overrides, f"estimate.method={method}")


def test(
    spec: SpecLike,
    *,
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    replace: bool = False,
    progress: Progress | None = None,
) -> Verdicts:
    """Measure a spec and judge everything it expects: `cg.test("circuit.yaml").check()` makes it a regression test.

    A refuted hypothesis raises nothing here: see `Verdicts.check`. What `run` raises is raised here too.

    Args:
        out: as in `run`.
        replace: as in `run`.

    Raises:
        InputError: the spec expects nothing, or estimates.
    """
    from circuitgraph.judging import Verdicts, judge_circuit, judge_run, ordered, refuse_nothing_expected

    found = check_spec(spec, overrides)
    refuse_nothing_expected(found.spec, found.graph)
    if found.spec.estimate is not None:
        raise InputError(
            "what a spec expects is said of effects, and this one asks for estimates: test it without 'estimate'"
        )
    result = evaluation = None
    if any(claim.expect is not None for claim in found.graph.claims):
        result = run(spec, out=out, overrides=overrides, replace=replace, progress=progress)
    if found.spec.circuit.expect is not None:
        from circuitgraph.evaluation.measure import Evaluating  # imports torch
        from circuitgraph.results.evaluated import CurveKind

        only = {"circuits": 0, "curve": CurveKind.NONE, "minimality": False}
        evaluation = Evaluating(spec, overrides, progress, **only).result()
    judged = [*(judge_run(result) if result else ()), *(judge_circuit(evaluation, found) if evaluation else ())]
    path = None if found.path is None else str(found.path)
    return Verdicts(found.spec.name, ordered(judged), result, path, evaluation)


def attention(
    spec: SpecLike,
    *,
    heads: str | Sequence[str] | None = None,
    from_: str | Sequence[str] | None = None,
    to: str | Sequence[str] | None = None,
    run: str | None = None,
    pair: int | None = None,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> AttentionTable:
    """What heads attend to: mean attention weights between named positions, with standard errors and intervals.

    Arguments win over the spec's `attention:` section.

    Args:
        heads: heads, layers, patterns or groups; the heads of all groups (or all heads, without groups) if not given.
        from_: positions that attend; every named position that all prompts have, if not given.
        to: positions that are attended to; the same.
        run: whose attention, of the `clean` or of the `corrupted` prompts.
        pair: a pair (counted from 1) whose whole patterns are kept too, as the table's `patterns`, to be plotted.
        progress: called with (prompts read, prompts in all).

    Raises:
        SpecError: everything that is wrong with the spec, or with an argument.
        ModelError, AuditError: the model cannot be loaded, or does not pass its proofs.
        NotFiniteError: NaN or infinity in a weight; the message names the head.
    """
    from circuitgraph.reading import read_attention  # imports torch

    lists = {"heads": heads, "from": from_, "to": to}
    given = {
        key: [value] if isinstance(value, str) else list(value) for key, value in lists.items() if value is not None
    }
    options = Options("attention", given if run is None else {**given, "run": run})
    return read_attention(spec, options, overrides, progress or (lambda _done, _total: None), pair)


def attribution(
    spec: SpecLike,
    *,
    unit: str | None = None,
    of: str | None = None,
    at: str | Sequence[str] | None = None,
    tokens: bool | None = None,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> AttributionTable:
    """Direct logit attribution: the metric as a sum over what each component writes towards it (docs/attribution.md).

    Arguments win over the spec's `attribution:` section; a spec without one is read with its defaults.

    Args:
        unit: `component`, `head` or `neuron`.
        of: `clean`, `corrupted` or `difference` (clean − corrupted).
        at: positions to read at, each by itself; where the metric is read, if not given.
        tokens: whether heads are split by the token that they attended to.
        progress: called with (prompts read, prompts in all).

    Raises:
        SpecError: everything that is wrong with the spec, or with an argument; no metric that is linear in the
            logits; a model whose logits pass a soft cap.
        ModelError, AuditError: the model cannot be loaded, or does not pass its proofs; or the sum is not the metric.
        NotFiniteError: NaN or infinity in a value; the message names the component.
    """
    from circuitgraph.reading import read_attribution  # imports torch

    positions = [at] if isinstance(at, str) else at
    given = {"unit": unit, "of": of, "at": None if positions is None else list(positions), "tokens": tokens}
    options = Options("attribution", {key: value for key, value in given.items() if value is not None})
    return read_attribution(spec, options, overrides, progress or (lambda _done, _total: None))


def discover(
    spec: SpecLike,
    path: str | Path | None = None,
    *,
    method: str | None = None,
    of: str | None = None,
    threshold: float | None = None,
    most: int | None = None,
    overrides: Sequence[str] = (),
    replace: bool = False,
    progress: Progress | None = None,
) -> Discovery:
    """Look for a circuit among all edges (or nodes) of the model, and make a spec of it on other prompts.

    `method`, `of`, `threshold` and `most` go before the spec's `discover:` section. The spec's own edges and
    nodes are not used.

    Args:
        path: the spec file to write; prompt pairs that have to be written go beside it. None = write nothing.
        method: `effects` ranks each edge by its exact effect; `acdc` prunes (`circuitgraph.discovery.acdc`).
        of: `edges` or `nodes`.
        threshold: `effects` keeps |effect| above it; `acdc`: τ.
        most: `effects` keeps so many at most, the largest.
        replace: write over files that are there.
        progress: called with (steps done, steps in all).

    Raises:
        SpecError: everything that is wrong with the spec.
        InputError, RefusedError: no such method; too few prompts to hold some apart; nothing found to write.
        ModelError, AuditError: the model cannot be loaded, or does not pass its proofs.
        NotFiniteError: NaN or infinity in a value; the message names the edge.
        FileError: a file is there already, or cannot be written.
    """
    from circuitgraph.discovery.finding import discover as find  # imports torch

    return find(
        spec,
        path,
        overrides=overrides,
        method=method,
        of=of,
        threshold=threshold,
        most=most,
        replace=replace,
        progress=progress,
    )


def evaluate(
    spec: SpecLike,
    *,
    overrides: Sequence[str] = (),
    random: int | None = None,
    curve: str = "hypothesis",
    progress: Progress | None = None,
) -> Evaluation:
    """Measure the circuit of a spec as a whole: faithfulness, completeness, minimality (docs/evaluate.md).

    Args:
        spec: or a run directory: the circuit of the spec that was run, kept there as evaluation.json.
        random: how many random circuits to compare with; None = as the spec says.
        curve: `hypothesis` (its edges, ranked by what dropping each one does), `all` (every edge of the model, ranked
            by its exact effect: one experiment each), or `none`.
        progress: called with (steps done, steps in all).

    Raises:
        SpecError, InputError: everything that is wrong with the spec, and with its edges as one circuit.
        ModelError, AuditError: the model cannot be loaded, or does not pass its proofs.
        NotFiniteError: NaN or infinity in a value; the message names the run.
        FileError, LockError: the run directory cannot be used.
    """
    from circuitgraph.evaluation.of_run import evaluate_run, is_run
    from circuitgraph.results.evaluated import CurveKind

    if curve not in list(CurveKind):
        raise InputError(f"'{curve}' is no curve{did_you_mean(curve, list(CurveKind))}")
    if random is not None and random < 0:
        raise InputError(f"random is a number of circuits, not {random}")
    if isinstance(spec, str | Path) and is_run(spec):
        if overrides:
            raise InputError(f"{spec} is a finished run, whose spec is not overridden; evaluate the spec instead")
        return evaluate_run(spec, progress, circuits=random, curve=CurveKind(curve))
    from circuitgraph.evaluation.measure import Evaluating  # imports torch

    return Evaluating(spec, overrides, progress, circuits=random, curve=CurveKind(curve)).result()


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
    from circuitgraph.results.records import RunResult

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
    from circuitgraph.unrolled import picture

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


def report(
    runs: RunResult | str | Path | Sequence[RunResult | str | Path], path: str | Path, *, title: str | None = None
) -> Path:
    """Write a run, or several compared, as one HTML page that needs nothing but a browser (docs/report.md).

    Args:
        runs: results or run directories; one, or several to be compared.
        path: an `.html` file.

    Raises:
        InputError: no run, one that is not finished, or runs that cannot be compared; the file is no .html.
        NotFiniteError: NaN or infinity in a run; the message names it.
        FileError: a file cannot be read or written.
    """
    from circuitgraph.reporting import write_page
    from circuitgraph.results.records import RunResult

    listed = [runs] if isinstance(runs, RunResult | str | Path) else list(runs)
    return write_page([load_run(run) if isinstance(run, str | Path) else run for run in listed], path, title=title)


def check_plot(path: str | Path) -> bool:
    """Refuse, before any work is done, a place where `plot` cannot write; whether it is a file for one plot.

    Raises:
        InputError, FileError: as `plot`.
    """
    from circuitgraph.plotting import check_plot_file, require

    require()
    one = bool(Path(path).suffix) and not Path(path).is_dir()
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
    tell: Callable[[str], None] = lambda _note: None,
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
        drop: leave out what the format cannot hold, instead of refusing it; `tell` is called with what it was.
        circuit: `mib` alone: which edges belong to the circuit, without scores.

    Raises:
        InputError: no such format or metric; something has no place in the format, all of it in one message.
        FileError: a file cannot be read or written.
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
        tell=tell,
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


def load_run(path: str | Path) -> RunResult:
    """Read a finished run directory.

    Raises:
        InputError: it is no run directory, or the run is not finished.
        FileError: a file in it is missing or damaged.
    """
    from circuitgraph.results import load_run as read

    return read(path)


__all__ = [
    "attention", "attribution", "check", "compare", "diagram", "discover", "evaluate", "explain", "export",
    "import_circuit", "load", "load_run", "plan", "plot", "render", "report", "run", "test",
]  # fmt: skip

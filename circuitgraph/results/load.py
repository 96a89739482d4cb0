"""Run directory -> RunResult. The graph and the plan are rebuilt from spec.yaml; no model is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from circuitgraph.errors import AddressError, FileError, InputError, SpecError
from circuitgraph.graph import CircuitGraph, build_graph
from circuitgraph.nodes import Input, Residual, Sae, parse, parse_position
from circuitgraph.plans import Plan, build_plan, plan_hash
from circuitgraph.results.attention import AttentionTable
from circuitgraph.results.attribution import AttributionTable
from circuitgraph.results.columns import read_measured, read_rows
from circuitgraph.results.evaluated import Evaluation
from circuitgraph.results.fitting import check_fit
from circuitgraph.results.manifest import Recorded, Status, check_told, other_origin, read_manifest, recorded
from circuitgraph.results.names import (
    ATTENTION,
    ATTRIBUTION,
    BASELINE,
    EDGES,
    EFFECTS,
    EVALUATION,
    MANIFEST,
    PROMPTS,
    SCREENING,
    SPEC,
)
from circuitgraph.results.prompts import read_prompts
from circuitgraph.results.provenance import sha256_file
from circuitgraph.results.records import Findings, RunResult, gaps_of
from circuitgraph.results.screening import Screening
from circuitgraph.spec import read_spec
from circuitgraph.spec.model import CircuitSpec


def load_run(path: str | Path) -> RunResult:
    """Read a finished run.

    Raises:
        InputError: no run directory, one that is not finished, or one of a newer format.
        FileError: a file is missing, damaged, or was changed after the run.
    """
    directory = Path(path)
    manifest = read_manifest(directory)
    if manifest.get("status") != Status.DONE:
        raise InputError(
            f"{directory} holds no finished run (status: {manifest.get('status')}); finish it with --resume"
        )
    check_told(directory, manifest)
    told = recorded(directory, manifest)
    graph, plan = rebuild(directory, manifest)
    rows = read_rows(directory / EDGES)
    measured = tuple(read_measured(directory / EFFECTS))
    found = RunResult(
        graph=graph,
        plan=plan,
        rows=rows,
        effects={(item.id, item.metric): item.effect for item in measured},
        gaps=gaps_of(plan, measured),
        provenance=manifest,
        metrics=tuple(dict.fromkeys(row.metric for row in rows)),
        warnings=told.warnings,
        directory=str(directory),
        baseline=read_rows(directory / BASELINE) if (directory / BASELINE).exists() else (),
        attention=AttentionTable.read(attention) if (attention := directory / ATTENTION).exists() else None,
        attribution=AttributionTable.read(taken) if (taken := directory / ATTRIBUTION).exists() else None,
        screening=Screening.read(screened) if (screened := directory / SCREENING).exists() else None,
        prompts=read_prompts(kept) if (kept := directory / PROMPTS).exists() else (),
        evaluation=read_evaluation(directory, manifest),
        spec_text=(directory / SPEC).read_text(encoding="utf-8"),
        audit=None if told.audit is None else Findings(**asdict(told.audit)),
    )
    check_fit(found, measured, directory)
    return found


def read_evaluation(directory: Path, manifest: Mapping[str, Any]) -> Evaluation | None:
    """The circuit as a whole, where it was evaluated.

    Raises:
        FileError: the file is damaged, or of another run.
    """
    path = directory / EVALUATION
    if not path.exists():
        return None
    found = Evaluation.read(path)
    if differing := other_origin(found.provenance, manifest):
        raise FileError(
            f"cannot use {path}: it is of another run ({', '.join(differing)}); "
            f"circuitgraph evaluate {directory} makes it anew"
        )
    return found


def _saes(told: Recorded) -> Mapping[str, Sae]:
    """The sparse autoencoders of a run, by name; their files are not needed."""
    found: dict[str, Sae] = {}
    for origin in told.saes:
        site = parse(origin.site).node
        if isinstance(site, Input | Residual):
            found[origin.name] = Sae(origin.name, site, origin.width)
    return found


def rebuild(directory: Path, manifest: Mapping[str, Any]) -> tuple[CircuitGraph, Plan]:
    """Graph and plan as they were when the run was made.

    Raises:
        FileError: run.json is damaged, or the spec or what is made of it is another than it was.
    """
    spec = directory / SPEC
    if sha256_file(spec) != manifest.get("spec_sha256"):
        raise FileError(f"cannot use {spec}: it was changed after the run")
    told = recorded(directory, manifest)
    if told.shape is None:
        raise FileError(f"cannot read {directory / MANIFEST}: shape is missing")
    reading = read_spec(spec)
    if reading.problems or reading.spec is None:
        raise SpecError(str(spec), reading.problems)
    try:
        each = None if told.settings.each is None else tuple(map(parse_position, told.settings.each))
        saes = _saes(told)
        if told.settings.spec:
            CircuitSpec.model_validate(told.settings.spec)
    except (AddressError, ValueError) as error:
        said = str(error).replace("\n", " ")
        raise FileError(f"cannot read {directory / MANIFEST}: it is damaged ({said})") from error
    graph = build_graph(reading.spec, told.shape, reading.source, each, saes)
    if told.settings.screened is not None:
        graph = graph.only(frozenset(told.settings.screened))
    plan = build_plan(graph)
    if plan_hash(plan) != manifest.get("plan_sha256"):
        raise FileError(
            f"cannot use {directory}: circuitgraph {told.versions.get('circuitgraph')} made another plan from its "
            f"{SPEC} than this version does, or its {MANIFEST} was changed"
        )
    return graph, plan

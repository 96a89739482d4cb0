"""What a file holds -> a CircuitSpec that measures it, and its YAML text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from circuitgraph.drawing.data import Attributed
from circuitgraph.errors import InputError, SpecError
from circuitgraph.graph.build import build_graph
from circuitgraph.graph.findings import Findings
from circuitgraph.graph.partition import partition_edges
from circuitgraph.graph.references import References
from circuitgraph.graph.shape import ModelShape
from circuitgraph.interchange.eap import LARGEST_SIZE
from circuitgraph.interchange.entries import Entries, Entry, entries_of_graph, entries_of_table, sections
from circuitgraph.interchange.formats import FileContent
from circuitgraph.interchange.from_run import MEANINGS, POSITIONS
from circuitgraph.interchange.names import shown
from circuitgraph.interchange.prompts import Pairs
from circuitgraph.interchange.records import Edge, ScoredGraph
from circuitgraph.interchange.scores import plain
from circuitgraph.interchange.shared import folded
from circuitgraph.interchange.tables import Table
from circuitgraph.nodes import parse
from circuitgraph.spec.dump import dump_spec
from circuitgraph.spec.model import (
    AllSpec,
    BaseRun,
    CircuitSpec,
    EdgeSpec,
    GroupSpec,
    InterventionSpec,
    MetricSpec,
    ModelSpec,
    PromptsSpec,
    ShapeSpec,
)

MODEL_TO_NAME = "name-the-model"
"""Stands where the file does not say which model it is of; `check` explains what may be written there."""
METRIC = {"name": "logit_diff", "at": "END"}


@dataclass(frozen=True)
class Wanted:
    """What the user says that the file may not say."""

    name: str
    model: str | None = None
    prompts: PromptsSpec | None = None
    pairs_file: str = ""
    """The prompts file that is named where there are no prompts."""
    shape: ModelShape | None = None


def spec_of(found: FileContent, path: Path, wanted: Wanted) -> tuple[CircuitSpec, tuple[str, ...]]:
    """The spec, and notes on what in it was not in the file.

    Raises:
        InputError: it holds prompts alone, or no edge of it is in the graph, or it does not fit the model.
    """
    content, notes = found.content, list[str]()
    about: Mapping[str, Any] = content.about if isinstance(content, ScoredGraph) else {}
    model = _model(content, wanted, about, notes)
    shape = wanted.shape or _declared(model) or _shape_of(content)
    match content:
        case ScoredGraph():
            entries = _of_scores(content, path, shape, known=wanted.shape is not None, notes=notes)
        case Table():
            entries = _of_entries(entries_of_table(str(path), content), path, notes)
        case Attributed():
            entries = _of_graph(content, path, notes)
        case Pairs():
            raise InputError(f"{path} holds prompts; write them as .jsonl, and name them in a spec as prompts: file")
    prompts = _prompts(wanted, about, notes)
    metrics = _metrics(content, about, notes)
    groups = _groups(content, about, shape, notes)
    spec = CircuitSpec(
        version=1,
        name=wanted.name,
        description=_description(found, path, about),
        model=model,
        prompts=prompts,
        metrics=metrics,
        intervention=entries.intervention,
        groups=groups,
        edges=entries.edges,
        nodes=entries.nodes,
    )
    if shape is not None:
        _fits(spec, shape, path, wanted)
    return spec, tuple(notes)


def _of_scores(graph: ScoredGraph, path: Path, shape: ModelShape | None, *, known: bool, notes: list[str]) -> Entries:
    """The edges in the graph; `known`: the shape is that of the model itself, and not what the file tells of it."""
    inside = [edge for edge, mark in graph.edges.items() if mark.in_graph]
    if not inside:
        raise InputError(
            f"{path}: no edge is in the graph; choose those of largest |score| with --top N or --threshold X"
        )
    base, source = graph.about.get("base", "clean"), graph.about.get("source", "counterfactual")
    if base not in list(BaseRun):
        raise InputError(f"{path}: about.base is '{shown(str(base))}'; it is clean or corrupted")
    if source not in ("counterfactual", "zero"):
        notes.append(
            f"the scores were made with source '{shown(str(source))}', whose reference set is not in the file: the "
            "spec measures with the counterfactual"
        )
        source = "counterfactual"
    how = InterventionSpec.model_validate({"base": base, "source": source})
    if graph.about.get(POSITIONS):
        notes.append(
            "the circuit had positions, which the file leaves out: in the spec each edge is patched at every token"
        )
    if shape is not None:
        inside = _folded(inside, shape, graph.scored, notes)
    if shape is not None and known and _is_everything(inside, shape):
        return Entries((EdgeSpec(all=AllSpec()),), (), how)
    edges = tuple(EdgeSpec(sender=(str(edge.sender),), receiver=(str(edge.target),)) for edge in inside)
    return Entries(edges, (), how)


def _folded(inside: Sequence[Edge], shape: ModelShape, scored: bool, notes: list[str]) -> Sequence[Edge]:
    """Keys and values that query heads share, as the model has them; what cannot be is noted."""
    found = folded(inside, shape)
    if found.together:
        scores = "; scores of single query heads are none of it, and stay in the scores file" if scored else ""
        notes.append(
            f"query heads share keys and values: the edges of all of a group are one edge in the spec, such as "
            f"{found.together[0]}{scores}"
        )
    if found.alone:
        notes.append(
            f"query heads share keys and values, and {len(found.alone):,} edges reach those of some heads of a group "
            f"alone, such as {found.alone[0]}: run measures them, and evaluate refuses a circuit with them"
        )
    return found.edges


def _is_everything(inside: Sequence[Edge], shape: ModelShape) -> bool:
    every = {(edge.sender, edge.target) for edge in partition_edges(shape)}
    return len(every) == len(inside) and every == {(edge.sender, edge.target) for edge in inside}


def _of_graph(content: Attributed, path: Path, notes: list[str]) -> Entries:
    entries = entries_of_graph(str(path), content)
    if any(attributes.get("patched") is True for _, attributes in content.nodes):
        notes.append("nodes that were patched by themselves are not in the spec: the file holds their numbers alone")
    if not entries:
        raise InputError(f"{path} holds no edges")
    return _of_entries(entries, path, notes)


def _of_entries(entries: Sequence[Entry], path: Path, notes: list[str]) -> Entries:
    if any(len(entry.receivers) > 1 and entry.receivers_mode is None for entry in entries):
        notes.append(
            "whether joined receivers are overwritten or added to is not in the file: the spec overwrites them"
        )
    return sections(str(path), entries)


def _model(content: Any, wanted: Wanted, about: Mapping[str, Any], notes: list[str]) -> ModelSpec:
    if wanted.model is not None:
        declared = None
        if wanted.shape is None:
            declared = _shape_spec(content)
            notes.append(f"the shape of {wanted.model} is not known here: the spec declares what the file needs")
        return ModelSpec(name=wanted.model, shape=declared)
    kept = about.get("model")
    if isinstance(kept, dict) and kept:
        try:
            return ModelSpec.model_validate(kept)
        except ValidationError as error:
            notes.append(f"about.model of the file cannot be used: {_first(error)}")
    notes.append("the file does not say which model it is of: name it under model (or import with --model)")
    return ModelSpec(name=MODEL_TO_NAME, shape=_shape_spec(content))


def _shape_spec(content: Any) -> ShapeSpec | None:
    match content:
        case ScoredGraph(sizes=sizes) if sizes is not None:
            return ShapeSpec(layers=sizes.layers, heads=sizes.heads, d_model=sizes.d_model, parallel=sizes.parallel)
        case _:
            return None


def _shape_of(content: Any) -> ModelShape | None:
    return content.sizes.shape if isinstance(content, ScoredGraph) and content.sizes is not None else None


def _declared(model: ModelSpec) -> ModelShape | None:
    from circuitgraph.models.shape import declared_shape

    return None if model.shape is None else declared_shape(model.shape)


def _prompts(wanted: Wanted, about: Mapping[str, Any], notes: list[str]) -> PromptsSpec:
    if wanted.prompts is not None:
        return wanted.prompts
    kept = about.get("prompts")
    if isinstance(kept, dict):
        try:
            return PromptsSpec.model_validate(kept)
        except ValidationError as error:
            notes.append(f"about.prompts of the file cannot be used: {_first(error)}")
    notes.append(f"the file has no prompts: write {wanted.pairs_file} (or import with --prompts)")
    return PromptsSpec(file=wanted.pairs_file)


def _metrics(content: Any, about: Mapping[str, Any], notes: list[str]) -> tuple[MetricSpec, ...]:
    kept = about.get("metric")
    if isinstance(kept, dict):
        try:
            return (MetricSpec.model_validate(kept),)
        except ValidationError as error:
            notes.append(f"about.metric of the file cannot be used: {_first(error)}")
    names = list(dict.fromkeys(line.row.metric for line in content.lines)) if isinstance(content, Table) else []
    if names:
        notes.append(f"the file has the metric as {', '.join(map(shown, names))}, without its parameters: the spec has "
                     f"{METRIC['name']} at {METRIC['at']}")  # fmt: skip
    else:
        notes.append(f"the file does not say the metric: the spec has {METRIC['name']} at {METRIC['at']}")
    return (MetricSpec.model_validate(METRIC),)


def _groups(content: Any, about: Mapping[str, Any], shape: ModelShape | None, notes: list[str]) -> dict[str, GroupSpec]:
    named: dict[str, list[str]] = {}
    if isinstance(content, Attributed):
        for node, attributes in content.nodes:
            for group in filter(None, str(attributes.get("groups") or "").split(",")):
                named.setdefault(group, []).append(node)
    else:
        kept = about.get("groups", {})
        named = kept if isinstance(kept, dict) else {}
    shape = shape or ModelShape(LARGEST_SIZE, LARGEST_SIZE, LARGEST_SIZE)
    found: dict[str, GroupSpec] = {}
    for name, members in named.items():
        group = _group(str(name), members, shape)
        if group is None:
            notes.append(f"group '{shown(str(name))}' of the file cannot be used")
        else:
            found[str(name)] = group
    return found


def _group(name: str, members: Any, shape: ModelShape) -> GroupSpec | None:
    """A group of nodes; None where its name cannot stand in a spec, or a member is no node of the model."""
    try:
        group = GroupSpec.model_validate({"nodes": members})
        for member in group.nodes:
            parse(member)
    except (ValidationError, InputError):
        return None
    findings = Findings(None)
    References({name: group}, shape, findings)
    return None if findings.problems else group


def _description(found: FileContent, path: Path, about: Mapping[str, Any]) -> str:
    kept = about.get("description")
    return kept if isinstance(kept, str) and kept.strip() else f"Imported from {plain(path.name)} ({found.format})"


def _first(error: ValidationError) -> str:
    detail = error.errors()[0]
    return f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"


def _fits(spec: CircuitSpec, shape: ModelShape, path: Path, wanted: Wanted) -> None:
    """Every rule of graphs; what is wrong lies in the file, or the model is another."""
    try:
        build_graph(spec, shape)
    except SpecError as error:
        model = f" with the model '{wanted.model}'" if wanted.model else ""
        lines = [problem.message for problem in error.problems[:10]]
        raise InputError("\n".join([f"{path} makes no spec{model}:", *(f"  {line}" for line in lines)])) from None


def name_of(path: Path) -> str:
    """The name of a spec, from that of a file."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.name.split(".")[0]).strip("-._") or "imported"
    return (name if name[0].isalnum() else f"x{name}")[:80]


def spec_text(spec: CircuitSpec, found: FileContent, path: Path, notes: Sequence[str]) -> str:
    """The spec as YAML: a header that says where it came from, and behind each edge its score."""
    header = [f"Imported from {plain(str(path.name))} ({found.format})."]
    content = found.content
    scores: dict[str, float] = {}
    if isinstance(content, ScoredGraph):
        about = content.about
        inside = sum(bool(mark.in_graph) for mark in content.edges.values())
        header.append(f"{inside:,} of {len(content.edges):,} edges that it lists are in its graph, and here.")
        told = {key: plain(str(about[key])) for key in ("made_by", "base", "source") if about.get(key)}
        header += [", ".join(f"{key} {value}" for key, value in told.items())] if told else []
        if content.scored:
            header.append(f"Behind each edge its score there: {MEANINGS[content.direction].removeprefix('score = ')}.")
            scores = {str(edge): mark.score for edge, mark in content.edges.items() if mark.score is not None}
    header += [f"Note: {plain(note)}." for note in notes]
    comments = "".join(f"# {line}\n" for line in header)
    return comments + _with_scores(dump_spec(spec), spec, scores)


def _with_scores(text: str, spec: CircuitSpec, scores: Mapping[str, float]) -> str:
    """The score as a comment behind each edge that has a line of its own."""
    lines = text.splitlines()
    places = [i for i, line in enumerate(lines) if re.fullmatch(r"- \{sender: .*\}", line)]
    if len(places) == len(spec.edges):
        for i, edge in zip(places, spec.edges, strict=True):
            if (
                edge.sender
                and edge.receiver
                and (score := scores.get(f"{edge.sender[0]}->{edge.receiver[0]}")) is not None
            ):
                lines[i] += f"  # {score:+.6g}"
    return "\n".join(lines) + "\n"

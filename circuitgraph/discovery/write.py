"""What was found -> a CircuitSpec, its YAML text with a header, and its files: whole, or not there."""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from circuitgraph.checks import Checked
from circuitgraph.checks.files import directory_of
from circuitgraph.discovery.aims import describe_rule
from circuitgraph.discovery.records import Discovery, Found
from circuitgraph.errors import FileError, InputError
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import Logits, Node, parse
from circuitgraph.results.files import check_writable, write_text
from circuitgraph.spec.dump import dump_spec
from circuitgraph.spec.model import (
    CircuitSection,
    CircuitSpec,
    DiscoverSection,
    EdgeSpec,
    GroupSpec,
    NodeSpec,
    Of,
    PairSpec,
    PromptsSpec,
)

NAME_LENGTH = 80
ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a found spec goes, and where its prompt pairs go if they need a file."""

    spec: Path
    pairs: Path

    @classmethod
    def of(cls, path: str | Path, checked: Checked, *, replace: bool) -> Place:
        """Look whether the files can be written, before anything is measured.

        Raises:
            InputError: the name is none of a spec; the spec searched, or its prompts, would be written over.
            FileError: something is there already and `replace` is false, or nothing can be written there.
        """
        if Path(path).is_dir():
            raise FileError(f"'{path}' is a directory; give a file, such as {Path(path) / 'found.yaml'}")
        if Path(path).suffix not in ENDINGS:
            raise InputError(f"'{path}' is no name of a spec, which is YAML; let it end in {' or '.join(ENDINGS)}")
        place = cls(Path(path), Path(path).with_suffix(".pairs.jsonl"))
        prompts = checked.spec.prompts.file
        sources = [checked.path, None if prompts is None else directory_of(checked) / prompts]
        for target in (place.spec, place.pairs):
            for source in sources:
                if source is not None and _same_file(target, source):
                    raise InputError(f"'{target}' is what the search starts from; give the found spec another name")
            if target.exists() and not replace:
                raise FileError(f"'{target}' is there already; --force replaces it")
        if not place.spec.parent.is_dir():
            raise FileError(f"there is no directory '{place.spec.parent}'")
        check_writable(place.spec)
        return place


def found_spec(
    checked: Checked,
    aims: DiscoverSection,
    kept: Sequence[Found],
    held_out: PromptsSpec,
    metric: str,
) -> CircuitSpec:
    """The circuit as a spec on the prompts held apart: groups by layer, the entries by |effect|.

    Everything else is as in the spec searched, but for its own edges, nodes and aims.
    """
    spec = checked.spec
    edges = [EdgeSpec(sender=(one.sender,), receiver=(one.receiver,)) for one in kept if one.receiver is not None]
    nodes = [NodeSpec(node=(one.sender,)) for one in kept if one.receiver is None]
    return spec.model_copy(
        update={
            "name": _name(spec.name, "found"),
            "description": f"Found by circuitgraph discover: {describe_rule(aims, metric)}",
            "prompts": held_out,
            "groups": _groups(kept, checked.shape),
            "edges": tuple(edges),
            "nodes": tuple(nodes),
            "circuit": CircuitSection(),
            "baseline": None,
            "attention": None,
            "attribution": None,
            "estimate": None,
            "discover": None,
        }
    ).in_directory(directory_of(checked))


def _name(searched: str, suffix: str) -> str:
    """`ioi-mini-found`: the run directory is called like it, so that two found specs do not share one."""
    suffix = re.sub(r"[^A-Za-z0-9._-]+", "-", suffix).strip("-") or "found"
    if suffix.startswith(searched):
        return suffix[:NAME_LENGTH]
    suffix = suffix[: NAME_LENGTH // 2]
    return f"{searched[: NAME_LENGTH - len(suffix) - 1]}-{suffix}"


def _groups(kept: Sequence[Found], shape: ModelShape) -> dict[str, GroupSpec]:
    """`layer0: [a0.h0, m0]`, ...: the heads and MLPs of what was found, in the order the model runs them."""
    nodes = {parse(end).node for one in kept for end in (one.sender, one.receiver) if end is not None}
    layers: dict[int, list[Node]] = {}
    for node in sorted(nodes, key=lambda node: (shape.written_at(node), str(type(node)), node)):
        layer = getattr(node, "layer", None)
        if layer is not None and not isinstance(node, Logits):
            layers.setdefault(layer, []).append(node)
    return {f"layer{layer}": GroupSpec(nodes=tuple(map(str, layers[layer]))) for layer in sorted(layers)}


def write_found(discovery: Discovery, place: Place, checked: Checked) -> tuple[CircuitSpec, Path | None]:
    """Write the spec, and the pairs it needs beside it; returns the spec as written and the path of the pairs.

    Raises:
        FileError: a file cannot be written; none is half written.
    """
    if discovery.spec is None:
        raise ValueError("nothing was found")
    spec, pairs = _relocated(discovery.spec, directory_of(checked), place.spec.parent), None
    if spec.prompts.pairs is not None:
        pairs = place.pairs
        write_text(pairs, pairs_text(spec.prompts.pairs))
        spec = spec.model_copy(update={"prompts": PromptsSpec(file=pairs.name, bos=spec.prompts.bos)})
    named = {"name": _name(checked.spec.name, place.spec.stem)}
    spec = spec.model_copy(update=named).in_directory(place.spec.parent)
    try:
        write_text(place.spec, spec_text(discovery, spec, checked))
    except BaseException:
        if pairs is not None:
            pairs.unlink(missing_ok=True)  # alone it means nothing, and would be in the way of the next search
        raise
    return spec, pairs


def pairs_text(pairs: Sequence[PairSpec]) -> str:
    """JSONL, one pair a line."""
    lines = (pair.model_dump(mode="json", exclude_defaults=True) for pair in pairs)
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)


def spec_text(discovery: Discovery, spec: CircuitSpec, checked: Checked) -> str:
    """The spec as YAML: a header that says how it was found, and behind each edge its effect."""
    aims, kept = discovery.settings, discovery.kept
    meaning = "its effect" if discovery.distance is None else "the change of D when its removal was tried"
    header = [
        f"Found by circuitgraph {version('circuitgraph')}, discover: {describe_rule(aims, discovery.metric)}; "
        f"base {discovery.base}, source {checked.spec.intervention.source}.",
        f"{len(kept)} of {len(discovery.ranked)} {aims.of} of {checked.location.name}, the largest first.",
        f"Discovered on {discovery.prompts}.",
        f"Measured below on others, {discovery.held_out}.",
    ]
    if discovery.distance is not None:
        header.insert(2, f"D of what was kept: {discovery.distance:.6g}, after {discovery.experiments} runs.")
    if aims.of is Of.EDGES:
        header.append(f"Behind each edge: {meaning}, on the discovery prompts.")
    else:
        effects = ", ".join(f"{one.label} {one.effect:+.6g}" for one in kept)
        header += textwrap.wrap(f"Effects on the discovery prompts: {effects}.", width=108)
    comments = "".join(f"# {' '.join(line.split())}\n" for line in header)
    return comments + _with_effects(dump_spec(spec), kept)


def _with_effects(text: str, kept: Sequence[Found]) -> str:
    """The effect as a comment behind each edge that has a line of its own."""
    lines = text.splitlines()
    places = [i for i, line in enumerate(lines) if re.fullmatch(r"- \{sender: .*\}", line)]
    if len(places) == len(kept):
        for i, one in zip(places, kept, strict=True):
            lines[i] += f"  # {one.effect:+.6g}"
    return "\n".join(lines) + "\n"


def _relocated(spec: CircuitSpec, old: Path, new: Path) -> CircuitSpec:
    """The spec with its relative paths, of model and reference prompts, taken from another directory."""
    model = spec.model
    if (old / Path(model.name).expanduser()).is_dir():
        model = model.model_copy(update={"name": _moved(model.name, old, new)})
    how = spec.intervention
    if how.reference is not None and how.reference.prompts.file is not None:
        prompts = how.reference.prompts.model_copy(update={"file": _moved(how.reference.prompts.file, old, new)})
        how = how.model_copy(update={"reference": how.reference.model_copy(update={"prompts": prompts})})
    return spec.model_copy(update={"model": model, "intervention": how})


def _moved(text: str, old: Path, new: Path) -> str:
    if Path(text).expanduser().is_absolute() or os.path.realpath(old) == os.path.realpath(new):
        return text
    relative = os.path.relpath(os.path.realpath(old / text), os.path.realpath(new))
    return relative if relative.startswith("..") else f"./{relative}"


def _same_file(a: Path, b: Path) -> bool:
    return os.path.realpath(a) == os.path.realpath(b)

"""A file of another tool -> a spec (or prompts) of ours, and its files; the body of `circuitgraph.import_circuit`."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from circuitgraph.errors import CircuitGraphError, FileError, InputError, did_you_mean
from circuitgraph.graph.shape import ModelShape
from circuitgraph.interchange.exporting import direction_named
from circuitgraph.interchange.formats import Content, FileContent, Format, format_named, read_file
from circuitgraph.interchange.prompts import Label, Pairs, pairs_text
from circuitgraph.interchange.records import Direction, ScoredGraph, Sizes
from circuitgraph.interchange.scores import has_scores, is_scores, scores_text
from circuitgraph.interchange.specs import Wanted, name_of, spec_of, spec_text
from circuitgraph.models.locate import locate
from circuitgraph.models.shape import read_shape
from circuitgraph.results.files import check_writable, file_errors, write_text, write_texts
from circuitgraph.spec.model import CircuitSpec, ModelSpec, PairSpec, PromptsSpec

SPEC_ENDINGS = (".yaml", ".yml")
PAIRS_ENDING = ".jsonl"


@dataclass(frozen=True)
class Imported:
    """What a file held, what was made of it, and the files that were written."""

    format: Format
    content: Content
    """As it was read: `circuitgraph.export` writes it in another format."""
    spec: CircuitSpec | None
    """None of a file of prompts."""
    text: str
    """The spec as YAML with comments, or the prompts as JSONL."""
    notes: tuple[str, ...]
    """What was read otherwise than it stood there, and what the spec lacks."""
    pairs: tuple[PairSpec, ...] = ()
    """The prompts, of a file of prompts."""
    written: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _Places:
    """Where the spec goes, and what goes beside it."""

    spec: Path

    @property
    def pairs(self) -> Path:
        """The prompts, where they come from another tool's file."""
        return self.spec.with_suffix(".pairs.jsonl")

    @property
    def scores(self) -> Path:
        """The scores that the file had."""
        return self.spec.with_suffix(".scores.csv")


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
    """Read a file, and write what is made of it; see `circuitgraph.import_circuit`."""
    source, place = Path(path), None if out is None else Path(out)
    wanted, turn, numbers = format_named(format), direction_named(direction), label_named(label)
    directory = Path() if place is None else place.parent
    if place is not None:
        _check_place(place, source, replace=replace)
    shape = _shape(model, directory)
    found = read_file(source, wanted=wanted, shape=shape, label=numbers)
    if isinstance(found.content, Pairs):
        given = {"model": model, "prompts": prompts, "top": top, "threshold": threshold, "direction": direction}
        if idle := [name for name, value in given.items() if value is not None]:
            raise InputError(f"{source} holds prompts; {idle[0]} goes with a file of edges")
        return _pairs(found, found.content, place)
    shape = shape or _shape_told(found.content, directory)
    found = _chosen(found, source, shape, turn, top, threshold)
    places = None if place is None else _Places(place)
    if place is not None and place.suffix.lower() not in SPEC_ENDINGS:
        raise InputError(f"'{place}' is no name of a spec, which is YAML; let it end in {' or '.join(SPEC_ENDINGS)}")
    told, pairs = _prompts(prompts, places, numbers, replace=replace)
    name = name_of(source if place is None else place)
    file = f"{name}.pairs.jsonl" if places is None else places.pairs.name
    spec, notes = spec_of(found, source, Wanted(name, model, told, file, shape))
    if places is not None:
        _check_prompts(spec, prompts, places)
    text = spec_text(spec, found, source, (*found.notes, *notes))
    made = Imported(found.format, found.content, spec.in_directory(directory), text, (*found.notes, *notes))
    return made if places is None else _write(made, places, found, source, pairs, replace=replace)


def label_named(name: str | None) -> Label | None:
    """What numbers under `label` are.

    Raises:
        InputError: no such meaning.
    """
    if name is not None and name not in list(Label):
        raise InputError(f"'{name}' is no meaning of a label{did_you_mean(name, Label)}")
    return None if name is None else Label(name)


def _check_place(place: Path, source: Path, *, replace: bool) -> None:
    """Refuse a place where nothing can be written, before anything is read."""
    if place.suffix.lower() not in (*SPEC_ENDINGS, PAIRS_ENDING):
        raise InputError(f"'{place}': a spec ends in .yaml, prompts in {PAIRS_ENDING}")
    if os.path.realpath(place) == os.path.realpath(source):
        raise InputError(f"'{place}' is the file that is read; give the spec another name")
    _check_free(place, replace=replace)
    check_writable(place)


def _check_free(place: Path, *, replace: bool) -> None:
    if place.exists() and not replace:
        raise FileError(f"'{place}' is there already; --force replaces it")


def _shape(model: str | None, directory: Path) -> ModelShape | None:
    """The shape of a model that is named, where it is known here."""
    return None if model is None else read_shape(locate(ModelSpec(name=model), directory))


def _shape_told(content: Content, directory: Path) -> ModelShape | None:
    """The shape of the model that a file of ours names, where that is the model which is known here by the name."""
    model = content.about.get("model") if isinstance(content, ScoredGraph) else None
    if not isinstance(content, ScoredGraph) or content.sizes is None or not isinstance(model, dict):
        return None
    try:
        shape = read_shape(locate(ModelSpec.model_validate(model), directory))
        if shape is not None:
            _same_model(content.sizes, shape, Path())
    except (CircuitGraphError, ValidationError):
        return None
    return shape


def _pairs(found: FileContent, content: Pairs, place: Path | None) -> Imported:
    text = pairs_text(content.pairs)
    made = Imported(found.format, content, None, text, found.notes, content.pairs)
    if place is None:
        return made
    if place.suffix.lower() != PAIRS_ENDING:
        raise InputError(f"the file holds prompts, no edges: let '{place.name}' end in {PAIRS_ENDING}")
    write_text(place, text)
    return dataclasses.replace(made, written=(place,))


def _chosen(
    found: FileContent,
    path: Path,
    shape: ModelShape | None,
    direction: Direction | None,
    top: int | None,
    threshold: float | None,
) -> FileContent:
    """The content with the user's choice of edges, and what they say of the scores."""
    content = found.content
    if not isinstance(content, ScoredGraph):
        given = {"top": top, "threshold": threshold, "direction": direction}
        if idle := [name for name, value in given.items() if value is not None]:
            raise InputError(f"{idle[0]} goes with files of scores; {path} is {found.format}")
        return found
    if shape is not None and content.sizes is not None:
        _same_model(content.sizes, shape, path)
    if direction is not None:
        if content.direction not in (Direction.UNKNOWN, direction):
            raise InputError(f"{path} says itself that its scores are {content.direction}, not {direction}")
        content = content.told(direction)
    return dataclasses.replace(found, content=content.kept(top, threshold))


def _same_model(sizes: Sizes, shape: ModelShape, path: Path) -> None:
    pairs = {
        "layers": (sizes.layers, shape.layers),
        "heads": (sizes.heads, shape.heads),
        "parallel attention and MLP": (sizes.parallel, shape.parallel),
    }
    if sizes.d_model is not None and shape.d_model is not None:
        pairs["d_model"] = sizes.d_model, shape.d_model
    for name, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise InputError(f"{path} is of a model with {name}: {theirs}, and the model named has {ours}")


def _prompts(
    given: str | Path | None, places: _Places | None, label: Label | None, *, replace: bool
) -> tuple[PromptsSpec | None, tuple[PairSpec, ...]]:
    """What the spec says of prompts, and the pairs that have to be written for it."""
    if given is None:
        return None, ()
    path = Path(given)
    if path.suffix.lower() == PAIRS_ENDING:
        if not path.is_file():
            raise FileError(f"there is no file '{path}'")
        start = Path() if places is None else places.spec.parent
        return PromptsSpec(file=os.path.relpath(path, start)), ()
    content = read_file(path, label=label).content
    if not isinstance(content, Pairs):
        raise InputError(f"{path} holds no prompts")
    if places is None:
        return PromptsSpec(pairs=content.pairs), ()
    _check_free(places.pairs, replace=replace)
    return PromptsSpec(file=places.pairs.name), content.pairs


def _write(
    made: Imported, places: _Places, found: FileContent, source: Path, pairs: tuple[PairSpec, ...], *, replace: bool
) -> Imported:
    """All files or none; the spec last: where it is, what it names is there too."""
    texts: dict[Path, str] = {}
    stale = None
    if pairs:
        texts[places.pairs] = pairs_text(pairs)
    if isinstance(found.content, ScoredGraph) and has_scores(found):
        _check_free(places.scores, replace=replace)
        texts[places.scores] = scores_text(found.content, source)
    else:
        stale = _stale_scores(places.scores, replace=replace)
    texts[places.spec] = made.text
    write_texts(texts)
    if stale is not None:
        with file_errors("remove", stale):
            stale.unlink()
        removed = f"{source} has no scores: {stale}, those of an earlier import, is removed"
        made = dataclasses.replace(made, notes=(*made.notes, removed))
    beside = [path for path in texts if path != places.spec]
    return dataclasses.replace(made, written=(places.spec, *beside))


def _stale_scores(place: Path, *, replace: bool) -> Path | None:
    """Scores of an earlier import, which would be taken for those of the spec that is written now.

    Raises:
        FileError: they may not be removed, or the file is none that an import wrote.
    """
    if not place.exists():
        return None
    _check_free(place, replace=replace)
    if not is_scores(place):
        raise FileError(f"'{place}' would be taken for the scores of this import, and no import wrote it: move it away")
    return place


def _check_prompts(spec: CircuitSpec, given: str | Path | None, places: _Places) -> None:
    """Refuse prompts that the spec would measure on only because they bear its name."""
    if given is None and spec.prompts.file == places.pairs.name and places.pairs.exists():
        raise FileError(
            f"'{places.pairs}' is there already, and the spec would measure on it: say so with --prompts, or move it "
            "away"
        )

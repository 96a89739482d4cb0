"""Drawing: a circuit graph, alone (the hypothesis) or with a run's rows (the finding), as a file.

One `Scene` holds every mark with its place; SVG, PNG, PDF, DOT and JSON spell out the same scene.
Importing this package loads neither torch nor Graphviz nor networkx.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from circuitgraph.drawing.compose import Layout, scene
from circuitgraph.drawing.data import attributed, graphml, node_link
from circuitgraph.drawing.dot import dot
from circuitgraph.drawing.paper import Example, folded_part, grouped
from circuitgraph.drawing.raster import raster
from circuitgraph.drawing.scene import Scene
from circuitgraph.drawing.strongest import shown
from circuitgraph.drawing.style import Style, finding
from circuitgraph.drawing.svg import svg
from circuitgraph.errors import FileError, InputError, did_you_mean
from circuitgraph.graph.claims import CircuitGraph

if TYPE_CHECKING:
    from circuitgraph.results.records import Row

__all__ = [
    "FORMATS", "PICTURES", "Example", "Layout", "Scene", "Style", "dot", "grouped", "render", "save", "scene", "svg",
    "what_is_drawn",
]  # fmt: skip

PICTURES = (".svg", ".png", ".pdf")
FORMATS = (*PICTURES, ".dot", ".graphml", ".json")


def render(
    graph: CircuitGraph,
    path: str | os.PathLike[str],
    *,
    rows: Sequence[Row] | None = None,
    layout: Layout | str = Layout.LAYERED,
    title: str | None = None,
    positions: Sequence[str] | None = None,
    style: Style | str = Style.PLAIN,
    example: Example | None = None,
) -> Path:
    """Draw a graph to a file; the file's ending picks the format. Without rows it is drawn as a hypothesis.

    The file appears whole or not at all. Of very many edges the strongest are drawn (see `what_is_drawn`), but
    `.graphml` and `.json` hold all. Of rows under several metrics, those of the first metric are drawn.
    `positions` are the names of positions in the order of the prompt: the order of the columns. The style `paper`
    draws groups as boxes (`grouped`), with the tokens of `example` below the positions.

    Raises:
        InputError: an ending, layout or style that does not exist, rows of another graph, too much to draw.
        NotFiniteError: an effect is NaN or infinite.
        FileError: the file cannot be written.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"'{target.name}' names no format by its ending{did_you_mean(suffix, FORMATS)}")
    if layout not in list(Layout):
        raise InputError(f"'{layout}' is no layout{did_you_mean(layout, Layout)}")
    if style not in list(Style):
        raise InputError(f"'{style}' is no style{did_you_mean(style, Style)}")
    if style == Style.PAPER and layout != Layout.LAYERED:
        raise InputError(f"the style 'paper' has a layout of its own; leave the layout '{layout}' out")
    if suffix == ".graphml":  # all edges and no picture
        _write(target, graphml(attributed(graph, finding(graph, rows))).encode())
        return target
    if style == Style.PAPER:
        drawn = grouped(graph, rows, title=title, positions=positions, example=example)
    else:
        drawn = scene(graph, rows, title=title, layout=Layout(layout), positions=positions)
    match suffix:
        case ".dot":
            content = dot(drawn).encode()
        case ".json":
            content = node_link(attributed(graph, finding(graph, rows)), drawn).encode()
        case _:
            return save(drawn, target)
    _write(target, content)
    return target


def save(drawn: Scene, path: str | os.PathLike[str]) -> Path:
    """Write a scene as a picture: .svg, .png or .pdf. The file appears whole or not at all.

    Raises:
        InputError: an ending that names no picture.
        FileError: the file cannot be written.
    """
    target = Path(path)
    match target.suffix.lower():
        case ".svg":
            _write(target, svg(drawn).encode())
        case ".png":
            _write(target, raster(drawn, "png"))
        case ".pdf":
            _write(target, raster(drawn, "pdf"))
        case suffix:
            raise InputError(f"'{target.name}' names no picture by its ending{did_you_mean(suffix, PICTURES)}")
    return target


def what_is_drawn(
    graph: CircuitGraph, rows: Sequence[Row], path: str | os.PathLike[str], style: Style | str = Style.PLAIN
) -> str | None:
    """Which of very many measured edges a file shows: `drawn: the 1,000 strongest of 32,491 edges …`; None = all."""
    suffix = Path(path).suffix.lower()
    part = folded_part if style == Style.PAPER else shown
    note = None if suffix == ".graphml" else part(graph, rows).note
    return note and f"drawn: {note}" + ("; the data are of all" if suffix == ".json" else "")


def _write(target: Path, content: bytes) -> None:
    """Through a temporary file beside the target, renamed at the end; links are followed."""
    place = Path(os.path.realpath(target))
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(place)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise FileError(f"cannot write '{target}': {error.strerror or error}") from error

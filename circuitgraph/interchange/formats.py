"""A file -> what it holds; which format it is, its ending and its content tell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from circuitgraph.drawing.data import Attributed
from circuitgraph.errors import CircuitGraphError, InputError, did_you_mean
from circuitgraph.graph.shape import ModelShape
from circuitgraph.interchange import attributed, eap, lists, matrix, prompts, tables
from circuitgraph.interchange.jsontext import TOO_DEEP, JsonText, kind_of, read_bytes
from circuitgraph.interchange.prompts import Label, Pairs
from circuitgraph.interchange.records import ScoredGraph
from circuitgraph.interchange.tables import Table, read_records
from circuitgraph.results.files import file_errors

Content = ScoredGraph | Table | Attributed | Pairs


class Format(StrEnum):
    """What a file that is read can be."""

    EAP_JSON = "eap-json"
    """Graph JSON of EAP-IG and MIB."""
    MATRIX = "matrix"
    """`.pt` of EAP-IG and MIB."""
    EDGE_PRUNING = "edge-pruning"
    """Edge-Pruning's edges.json."""
    ACDC = "acdc"
    """ACDC's edges, as JSON or as its `.pth`."""
    AUTO_CIRCUIT = "auto-circuit"
    """auto-circuit's prompts."""
    EAP_CSV = "eap-csv"
    """EAP's prompts."""
    CSV = "csv"
    """The table of a run of ours."""
    GRAPHML = "graphml"
    """A run of ours as GraphML."""
    NETWORKX_JSON = "networkx-json"
    """A run of ours in networkx' node-link form."""


READ = {
    "mib": Format.EAP_JSON,
}
"""Other names of formats: MIB's files are EAP-IG's."""


@dataclass(frozen=True)
class FileContent:
    """What a file holds, and what of it was read otherwise than it stands there."""

    format: Format
    content: Content
    notes: tuple[str, ...]


def format_named(name: str | None) -> Format | None:
    """The format of a name.

    Raises:
        InputError: there is none.
    """
    if name is None:
        return None
    if name in READ:
        return READ[name]
    if name not in list(Format):
        raise InputError(f"'{name}' is no format that is read{did_you_mean(name, [*Format, *READ])}")
    return Format(name)


def read_file(
    path: Path, *, wanted: Format | None = None, shape: ModelShape | None = None, label: Label | None = None
) -> FileContent:
    """Read a file of any known format.

    Args:
        wanted: insist on a format.
        shape: of the model, where the format does not hold its sizes.
        label: what numbers under `label` of EAP's CSV are.

    Raises:
        FileError: it cannot be read.
        InputError, SpecError: it is of no known format or of another than `wanted`, or everything wrong with it.
    """
    try:
        return _read(path, wanted, shape, label)
    except RecursionError:
        raise InputError(f"{path}: {TOO_DEEP}") from None


def _read(path: Path, wanted: Format | None, shape: ModelShape | None, label: Label | None) -> FileContent:
    match path.suffix.lower():
        case ".pt" | ".pth":
            return _tensors(path, wanted, shape)
        case ".pkl" | ".pickle" | ".npy" | ".npz" | ".joblib":
            raise InputError(
                f"{path} is not read: files of this kind can run code. In the tool that made it, save JSON: "
                "json.dump([[*key[:1], str(key[1]), key[2], str(key[3])] for key in edges], file)"
            )
        case ".csv":
            return _csv(path, wanted, label)
        case ".graphml" | ".xml":
            _expect(path, Format.GRAPHML, wanted)
            return FileContent(Format.GRAPHML, attributed.read_graphml(path), ())
        case ".json" | "":
            return _json(path, wanted, shape)
        case ending:
            if read_bytes(path).lstrip()[:1] not in (b"{", b"["):
                endings = ".json .pt .pth .csv .graphml"
                raise InputError(f"{path} is of no format that is read: '{ending}' is none of {endings}")
            return _json(path, wanted, shape)


def is_exchanged(path: Path) -> bool:
    """Whether a file looks like a graph or a table that such tools hold, or is empty: it may be replaced."""
    if path.suffix.lower() == ".pt":
        try:
            return path.stat().st_size == 0 or matrix.is_matrix(matrix.load_tensors(path))
        except CircuitGraphError:
            return False
    with file_errors("read", path), open(path, "rb") as file:
        start = file.read(4096).decode("utf-8-sig", "replace").strip()
    match path.suffix.lower():
        case ".csv":
            return not start or tables.is_table(start.splitlines()[0].split(","))
        case ".graphml":
            return not start or "<graphml" in start
        case _:
            return not start or re.match(r'\{\s*"(cfg|directed)"', start) is not None


def _expect(path: Path, found: Format, wanted: Format | None) -> None:
    if wanted is not None and wanted is not found:
        raise InputError(f"{path} is no {wanted}; by its ending and its content it is {found}")


def _tensors(path: Path, wanted: Format | None, shape: ModelShape | None) -> FileContent:
    value = matrix.load_tensors(path)
    if matrix.is_matrix(value):
        _expect(path, Format.MATRIX, wanted)
        return FileContent(Format.MATRIX, *matrix.read_matrix(path, value))
    if lists.is_acdc_subgraph(value):
        _expect(path, Format.ACDC, wanted)
        return FileContent(Format.ACDC, *lists.read_acdc_subgraph(path, value, shape))
    raise InputError(f"{path} holds {kind_of(value) if isinstance(value, dict | list) else type(value).__name__}; "
                     f"what is read is {matrix.WANTED}, or a subgraph of ACDC")  # fmt: skip


def _csv(path: Path, wanted: Format | None, label: Label | None) -> FileContent:
    records = read_records(path)
    columns = [cell.strip() for cell in records[0].cells] if records else []
    if tables.is_table(columns):
        _expect(path, Format.CSV, wanted)
        return FileContent(Format.CSV, tables.read_table(path), ())
    if prompts.is_eap_csv(columns):
        _expect(path, Format.EAP_CSV, wanted)
        return FileContent(Format.EAP_CSV, *prompts.read_eap_csv(path, label))
    raise InputError(
        f"{path}:1: these columns are of no known format: a run's table has id and effect, EAP's prompts have clean, "
        "corrupted and label, or correct_idx and incorrect_idx"
    )


def _json(path: Path, wanted: Format | None, shape: ModelShape | None) -> FileContent:
    file = JsonText.read(path)
    value = file.value
    kinds = {
        Format.EAP_JSON: eap.is_graph(value),
        Format.NETWORKX_JSON: attributed.is_node_link(value),
        Format.AUTO_CIRCUIT: prompts.is_prompts(value),
        Format.ACDC: lists.is_acdc(value),
        Format.EDGE_PRUNING: lists.is_pruning(value),
    }
    found = next((kind for kind, yes in kinds.items() if yes), None)
    if found is not None:
        _expect(path, found, wanted)
    match found or wanted:
        case Format.EAP_JSON:
            return FileContent(Format.EAP_JSON, *eap.read_graph(file))
        case Format.NETWORKX_JSON if found:
            graph = attributed.read_node_link(file)
            return FileContent(Format.NETWORKX_JSON, graph, file.notes)
        case Format.AUTO_CIRCUIT if found:
            return FileContent(Format.AUTO_CIRCUIT, *prompts.read_prompts(file))
        case Format.ACDC if isinstance(value, list):
            return FileContent(Format.ACDC, *lists.read_acdc(file, shape))
        case Format.EDGE_PRUNING if isinstance(value, list) or found:
            return FileContent(Format.EDGE_PRUNING, *lists.read_pruning(file, shape))
    raise InputError(
        f"{path} is of no known format: a graph of EAP-IG or MIB has cfg, nodes and edges; Edge-Pruning's edges are "
        "pairs of names; ACDC's are hooks with indices; auto-circuit's prompts stand under prompts; networkx' graphs "
        "have directed, nodes and edges"
    )

"""The scores that a file had -> the CSV beside the spec, which joins them with a run by id."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from circuitgraph.graph.claims import Counterfactual, EdgeClaim, Intervention, Zero, claim_id
from circuitgraph.interchange.formats import FileContent
from circuitgraph.interchange.records import ScoredGraph
from circuitgraph.interchange.tables import guarded
from circuitgraph.nodes import Address
from circuitgraph.results.files import file_errors
from circuitgraph.spec.model import BaseRun

SCORE_COLUMNS = (
    "id", "sender", "receiver", "score", "in_graph", "direction", "base", "source", "metric", "made_by", "file",
)  # fmt: skip


def plain(text: str) -> str:
    """Text as one printable line, for comments, descriptions and cells."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def scores_text(graph: ScoredGraph, path: Path) -> str:
    """The scores as CSV; `id` is that of the experiment which the spec makes of the edge, as in edges.parquet."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(SCORE_COLUMNS)
    about = graph.about
    source = Zero() if about.get("source") == "zero" else Counterfactual()
    base = BaseRun.CORRUPTED if about.get("base") == "corrupted" else BaseRun.CLEAN
    metric = about.get("metric_label") or ""
    said = [graph.direction.value, base.value, str(about.get("source") or ""), metric, about.get("made_by") or ""]
    for edge, mark in graph.edges.items():
        claim = EdgeClaim((Address(edge.sender),), (edge.target,), Intervention(base=base, source=source))
        score = "" if mark.score is None else repr(mark.score)
        inside = "" if mark.in_graph is None else str(mark.in_graph).lower()
        texts = [claim_id(claim), str(edge.sender), str(edge.target), score, inside]
        writer.writerow([*texts, *(guarded(plain(str(text))) for text in (*said, path.name))])
    return buffer.getvalue()


def has_scores(found: FileContent) -> bool:
    """Whether the file holds scores that a spec cannot hold."""
    return isinstance(found.content, ScoredGraph) and found.content.scored


def is_scores(path: Path) -> bool:
    """Whether a file is what `scores_text` wrote, by its first line."""
    first = ",".join(SCORE_COLUMNS).encode()
    with file_errors("read", path), open(path, "rb") as file:
        return file.readline(len(first) + 2).rstrip(b"\r\n") == first

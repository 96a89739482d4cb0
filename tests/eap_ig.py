"""What EAP-IG's Graph does with a file, written anew from its description, to hold our files against.

Two matrices, [senders, ports]: scores (zeros at first) and membership (False at first). Each listed edge sets its two
cells; what is listed must be there, and must have `score` and `in_graph`. A float32 is kept of each score.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def node_names(layers: int, heads: int) -> list[str]:
    names = ["input"]
    for layer in range(layers):
        for head in range(heads):
            names.append(f"a{layer}.h{head}")
        names.append(f"m{layer}")
    names.append("logits")
    return names


def edge_names(layers: int, heads: int, parallel: bool) -> list[str]:
    """In the order in which the graph is built: block by block, each writer before the readers of its block."""
    writers, names = ["input"], []
    for layer in range(layers):
        own = [f"a{layer}.h{head}" for head in range(heads)]
        if parallel:
            for writer in writers:
                for head in own:
                    for port in "qkv":
                        names.append(f"{writer}->{head}<{port}>")
                names.append(f"{writer}->m{layer}")
            writers += own
            writers.append(f"m{layer}")
        else:
            for writer in writers:
                for head in own:
                    for port in "qkv":
                        names.append(f"{writer}->{head}<{port}>")
            writers += own
            for writer in writers:
                names.append(f"{writer}->m{layer}")
            writers.append(f"m{layer}")
    for writer in writers:
        names.append(f"{writer}->logits")
    return names


@dataclass
class EapGraph:
    """A graph as EAP-IG holds it."""

    layers: int
    heads: int
    parallel: bool
    scores: NDArray[np.float32] = field(init=False)
    inside: NDArray[np.bool_] = field(init=False)
    nodes_inside: dict[str, bool] = field(default_factory=dict)
    node_scores: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.senders = [name for name in node_names(self.layers, self.heads) if name != "logits"]
        self.ports: list[str] = []
        for layer in range(self.layers):
            for port in "qkv":
                self.ports += [f"a{layer}.h{head}<{port}>" for head in range(self.heads)]
            self.ports.append(f"m{layer}")
        self.ports.append("logits")
        self.scores = np.zeros((len(self.senders), len(self.ports)), dtype=np.float32)
        self.inside = np.zeros(self.scores.shape, dtype=bool)
        self.real = np.zeros(self.scores.shape, dtype=bool)
        self.names = edge_names(self.layers, self.heads, self.parallel)
        for name in self.names:
            self.real[self.cell(name)] = True

    def cell(self, name: str) -> tuple[int, int]:
        sender, port = name.split("->")
        return self.senders.index(sender), self.ports.index(port)

    @classmethod
    def from_json(cls, path: Path, *, scores_optional: bool = False) -> EapGraph:
        """`scores_optional` is MIB's rule, which takes a missing score as 0."""
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        assert {"cfg", "nodes", "edges"} <= value.keys()
        cfg = value["cfg"]
        found = cls(cfg["n_layers"], cfg["n_heads"], cfg["parallel_attn_mlp"])
        assert isinstance(cfg["d_model"], int)  # the size of a tensor there
        known = set(found.names)
        for name, info in value["nodes"].items():
            if name != "logits":
                assert name in found.senders
                found.nodes_inside[name] = info["in_graph"]
            if "score" in info:
                found.node_scores[name] = info["score"]
        for name, info in value["edges"].items():
            assert name in known, name
            score = info.get("score", 0.0) if scores_optional else info["score"]
            assert isinstance(score, float)
            assert isinstance(info["in_graph"], bool)
            found.scores[found.cell(name)] = score
            found.inside[found.cell(name)] = info["in_graph"]
        return found

    def top(self, n: int, *, absolute: bool) -> set[str]:
        """The n edges that `apply_topn` keeps (before it prunes)."""
        ranked = np.abs(self.scores) if absolute else self.scores.copy()
        ranked[~self.real] = -np.inf
        order = np.argsort(-ranked.reshape(-1), kind="stable")[:n]
        return {f"{self.senders[i // len(self.ports)]}->{self.ports[i % len(self.ports)]}" for i in order}

    def edges(self) -> set[str]:
        """The edges that are inside."""
        return {name for name in self.names if self.inside[self.cell(name)]}

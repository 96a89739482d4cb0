"""Edge-Pruning's `edges.json` and ACDC's tuples -> ScoredGraph: lists of the edges that a circuit has.

Edge-Pruning: [["a5.h5", "a7.h3.q"], ["tok_embeds", "m0"], …].
ACDC: [receiver hook, index, sender hook, index], each edge alone, with its effect ([edge, 0.02]) or with whether it is
present; hooks may hold their index ("blocks.9.attn.hook_result[:, :, 6]"). Edges inside a head or an MLP are left out:
here a head and an MLP are one node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from circuitgraph.errors import AddressError, Problem, SpecError
from circuitgraph.graph.shape import ModelShape
from circuitgraph.interchange.jsontext import MOST_PROBLEMS, JsonText, finite, kind_of
from circuitgraph.interchange.names import (
    EMBEDDINGS,
    edge_between,
    head_index,
    hook_and_index,
    hook_end,
    nearest,
    problem_with,
    pruning_end,
    smallest_shape,
)
from circuitgraph.interchange.records import Direction, Edge, Mark, ScoredGraph, Sizes
from circuitgraph.nodes import Address, Head, KVHead, Logits, Port

Place = Callable[[str, Any], Problem]
"""Where in the file an entry stands: (message, entry) -> problem."""


@dataclass
class _Listed:
    """Edges as they are read, and what is said about them."""

    path: Path
    place: Place
    shape: ModelShape | None
    edges: dict[Edge, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    twice: int = 0
    merged: int = 0
    inner: int = 0
    missing: int = 0
    ends: set[int] = field(default_factory=set)
    """The layers after which the final residual stream was read."""

    def problem(self, message: str, entry: Any) -> None:
        """Note a problem with an entry."""
        if len(self.problems) <= MOST_PROBLEMS:
            self.problems.append(self.place(message, entry))

    @property
    def full(self) -> bool:
        """Whether more was found than is told."""
        return len(self.problems) > MOST_PROBLEMS

    def add(self, edge: Edge, mark: Mark, entry: Any, *, embedding: bool) -> None:
        """One edge; the same again is fine where both say the same, and a problem where they do not."""
        if self.shape is not None and (problem := problem_with(edge, self.shape)):
            self.problem(f"{edge}: {problem}", entry)
            return
        before = self.edges.setdefault(edge, mark)
        if before is mark:
            return
        if embedding:  # token and position embedding are one node here: the edge is there if either is
            self.merged += 1
            self.edges[edge] = Mark(None, bool(before.in_graph) or bool(mark.in_graph))
        elif before != mark:
            self.problem(f"{edge} is given twice, with different values", entry)
        else:
            self.twice += 1

    def graph(self, about: Mapping[str, Any]) -> tuple[ScoredGraph, tuple[str, ...]]:
        """What was read.

        Raises:
            SpecError: everything that is wrong.
        """
        if not self.edges and not self.problems:
            self.problems.append(Problem("no edge between input, heads, MLPs and logits", file=str(self.path)))
        sizes = self._sizes()
        if self.problems:
            raise SpecError(str(self.path), self.problems)
        said = (
            (self.inner, "inside a head or an MLP are left out: here each is one node"),
            (self.merged, "of token and position embedding are one here: both are part of 'input'"),
            (self.twice, "are listed twice"),
            (self.missing, "have NaN or infinity as their score, which is read as missing"),
        )
        notes = [f"{self.path}: {number:,} edges {text}" for number, text in said if number]
        return ScoredGraph(sizes, self.edges, {}, about), tuple(notes)

    def _sizes(self) -> Sizes:
        """The model's; or the smallest that has these edges, without `d_model`."""
        layers, heads = smallest_shape(set(self.edges))
        if self.shape is None:
            sizes = Sizes(max([layers, *(1 + layer for layer in self.ends)]), heads)
            for edge in self.edges:
                if problem := problem_with(edge, sizes.shape):
                    self.problem(problem, str(edge))
        else:
            sizes = Sizes(self.shape.layers, self.shape.heads, self.shape.parallel, self.shape.d_model)
        for layer in sorted(self.ends - {sizes.layers - 1}):
            hook = f"blocks.{layer}.hook_resid_post"
            self.problem(f"'{hook}' is not the end of a model with {sizes.layers} layers", [hook])
        return sizes


def is_pruning(value: Any) -> bool:
    """Whether a JSON value is a list of pairs of names, or what Edge-Pruning makes of ACDC's edges."""
    if isinstance(value, dict):
        return isinstance(value.get("original"), list)
    if not isinstance(value, list) or not value:
        return False
    return _is_pair(value[0]) and "hook_" not in "".join(value[0])


def _is_pair(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and all(isinstance(end, str) for end in entry)


def read_pruning(file: JsonText, shape: ModelShape | None) -> tuple[ScoredGraph, tuple[str, ...]]:
    """The edges of Edge-Pruning's file. Of a model with shared keys and values, `a9.h2.k` is the third shared one.

    Raises:
        SpecError: everything that is wrong with it.
    """
    listed = _Listed(file.path, lambda message, entry: file.problem(message, _first_name(entry)), shape)
    entries = file.value["original"] if isinstance(file.value, dict) else file.value
    if not isinstance(entries, list):
        entries = []
    for entry in entries:
        if listed.full:
            break
        ends = [entry["from"], entry["to"]] if isinstance(entry, dict) and {"from", "to"} <= entry.keys() else entry
        if not _is_pair(ends):
            listed.problem(f"an edge is a pair of names, from and to; not {kind_of(entry)}", entry)
            continue
        if _is_inner(*ends):
            listed.inner += 1
            continue
        try:
            sender, target = (pruning_end(end) for end in ends)
            edge = edge_between(sender, _shared(target, shape))
        except AddressError as error:
            listed.problem(f"{error}{'' if shape is None else nearest(ends[0], shape)}", ends)
            continue
        listed.add(edge, Mark(None, True), ends, embedding=ends[0] in EMBEDDINGS)
    return listed.graph(
        {"made_by": "Edge-Pruning", "direction": Direction.UNKNOWN.value, "base": "clean", "source": "counterfactual"}
    )


def _is_inner(sender: str, receiver: str) -> bool:
    """`a9.h6.q` -> `a9.h6`: within a head."""
    return sender[:-2] == receiver and sender[-2:] in (".q", ".k", ".v") and "." in receiver


def _shared(target: Address, shape: ModelShape | None) -> Address:
    match target:
        case Address(Head(layer, index), (Port.K | Port.V as port,)) if shape is not None and shape.grouped:
            return Address(KVHead(layer, index), (port,))
        case _:
            return target


def _first_name(entry: Any) -> str:
    """A text in an entry by which its place in the file can be found."""
    if isinstance(entry, str):
        return entry
    if isinstance(entry, list | tuple):
        return next((name for part in entry if (name := _first_name(part))), "")
    if isinstance(entry, dict):
        return _first_name(list(entry.values()))
    return ""


# ACDC -------------------------------------------------------------------------------------------


def is_acdc(value: Any) -> bool:
    """Whether a JSON value is a list of ACDC's edges."""
    return isinstance(value, list) and bool(value) and "hook_" in _first_name(value[0])


def is_acdc_subgraph(value: Any) -> bool:
    """Whether what a `.pth` file holds is a subgraph as ACDC saves it: {(hook, index, hook, index): present}."""
    return isinstance(value, Mapping) and bool(value) and all(isinstance(key, tuple) and len(key) == 4 for key in value)


def read_acdc(file: JsonText, shape: ModelShape | None) -> tuple[ScoredGraph, tuple[str, ...]]:
    """The edges of a list.

    Raises:
        SpecError: everything that is wrong with it.
    """
    return _acdc(file.value, _Listed(file.path, lambda text, entry: file.problem(text, _first_name(entry)), shape))


def read_acdc_subgraph(
    path: Path, value: Mapping[tuple[Any, ...], Any], shape: ModelShape | None
) -> tuple[ScoredGraph, tuple[str, ...]]:
    """The edges of a `.pth` file.

    Raises:
        SpecError: everything that is wrong with it.
    """

    def place(message: str, entry: Any) -> Problem:
        return Problem(f"{message} (in {_first_name(entry)[:80]})", file=str(path))

    return _acdc([[list(key), present] for key, present in value.items()], _Listed(path, place, shape))


def _acdc(entries: Sequence[Any], listed: _Listed) -> tuple[ScoredGraph, tuple[str, ...]]:
    scored = False
    for entry in entries:
        if listed.full:
            break
        try:
            ends, value = _parted(entry)
            (receiver, receiver_head), (sender, sender_head) = ends
            target, source = (
                hook_end(receiver, receiver_head, sends=False),
                hook_end(sender, sender_head, sends=True),
            )
            if target is None or source is None:
                listed.inner += 1
                continue
            edge = edge_between(source, target)
        except AddressError as error:
            listed.problem(str(error), entry)
            continue
        if isinstance(target.node, Logits):
            listed.ends.add(int(receiver.split(".")[1]))
        mark = _value(listed, value, entry)
        if mark is not None:
            scored = scored or mark.score is not None
            listed.add(edge, mark, entry, embedding=sender in ("hook_embed", "hook_pos_embed"))
    about: dict[str, Any] = {"made_by": "ACDC", "base": "clean", "source": "counterfactual"}
    about["direction"] = (Direction.EFFECT if scored else Direction.UNKNOWN).value
    if scored:
        about["meaning"] = (
            "the change of ACDC's metric, of which less is better, when the edge was removed from what was left then"
        )
    return listed.graph(about)


def _value(listed: _Listed, value: Any, entry: Any) -> Mark | None:
    if value is None:
        return Mark(None, True)
    if isinstance(value, bool):
        return Mark(None, value)
    if not isinstance(value, int | float):
        listed.problem(f"behind an edge stands its effect, or whether it is present; not {kind_of(value)}", entry)
        return None
    score = finite(value)
    listed.missing += score is None
    return Mark(score, True)


def _parted(entry: Any) -> tuple[list[tuple[str, int | None]], Any]:
    """The two hooks with their heads, receiver first, and what stands behind the edge.

    Raises:
        AddressError: the entry has none of the shapes in which such edges are saved.
    """
    value = None
    if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], list) and not isinstance(entry[1], list):
        entry, value = entry
    match entry:
        case [str(receiver), receiver_index, str(sender), sender_index]:
            return [(receiver, head_index(receiver_index)), (sender, head_index(sender_index))], value
        case [[str(receiver), receiver_index], [str(sender), sender_index]]:
            return [(receiver, head_index(receiver_index)), (sender, head_index(sender_index))], value
        case [str(receiver), str(sender)]:
            return [hook_and_index(receiver), hook_and_index(sender)], value
        case [str(receiver), str(sender), (None | bool() | int() | float()) as value]:
            return [hook_and_index(receiver), hook_and_index(sender)], value
        case _:
            raise AddressError(
                "an edge of ACDC is [receiver hook, index, sender hook, index], alone or with its effect"
            )

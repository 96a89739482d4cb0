"""Two RunResults -> which of their experiments belong together, and what to say about that. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from circuitgraph.comparing.records import By
from circuitgraph.comparing.settings import shapes_differ
from circuitgraph.comparing.units import Unit, by_address, by_group, differing_as_a_whole, varying
from circuitgraph.errors import InputError, did_you_mean
from circuitgraph.graph.claims import CircuitGraph
from circuitgraph.results.records import RunResult

MAPS = ("auto", *(by.value for by in By))


@dataclass(frozen=True)
class Match:
    """The units of both runs that belong together, and those of one alone."""

    by: By
    both: tuple[tuple[Unit, Unit], ...]
    """In A's order."""
    only_a: tuple[Unit, ...]
    only_b: tuple[Unit, ...]
    across: tuple[str, ...]
    warnings: tuple[str, ...]


def match(a: RunResult, b: RunResult, labels: tuple[str, str], wanted: str = "auto") -> Match:
    """Match by address where the architectures are the same, by group otherwise; or as is wanted.

    Raises:
        InputError: no such way of matching; addresses that the other model does not have; nothing in common.
    """
    if wanted not in MAPS:
        raise InputError(f"'{wanted}' is no way to match experiments{did_you_mean(wanted, MAPS)}")
    shapes = shapes_differ(a.graph.shape, b.graph.shape)
    by = By(wanted) if wanted != "auto" else By.GROUP if shapes else By.ADDRESS
    across = differing_as_a_whole(a.graph, b.graph)
    told = varying((a.graph, b.graph), across)
    warnings: list[str] = []
    if by is By.ADDRESS:
        if shapes:
            _check_addresses(a, b, labels, shapes)
            warnings.append(
                f"the models differ ({', '.join(shapes)}): the same address is another part of another model"
            )
        left, right = by_address(a.graph, told), by_address(b.graph, told)
    else:
        layers = a.graph.shape.layers == b.graph.shape.layers
        left, right = (by_group(run.graph, told, same_nodes=not shapes, same_layers=layers) for run in (a, b))
    both = tuple((unit, right[key]) for key, unit in left.items() if _counterpart(unit, right))
    if not both:
        raise InputError(_nothing(labels, (left, right), by, shapes))
    prints = [run.provenance.get("model_fingerprint") for run in (a, b)]
    if by is By.ADDRESS and not shapes and None not in prints and prints[0] != prints[1]:
        warnings.append(
            "the weights differ: the same address is the same part in checkpoints of one training, "
            "and another part where training began anew"
        )
    return Match(
        by=by,
        both=both,
        only_a=tuple(unit for unit in left.values() if not _counterpart(unit, right)),
        only_b=tuple(unit for unit in right.values() if not _counterpart(unit, left)),
        across=across,
        warnings=tuple(warnings),
    )


def _counterpart(unit: Unit, others: Mapping[str, Unit]) -> bool:
    return unit.why is None and unit.key in others and others[unit.key].why is None


def _check_addresses(a: RunResult, b: RunResult, labels: tuple[str, str], shapes: Sequence[str]) -> None:
    """Refuse to match by addresses that one of the models does not have."""
    for run, other, name in ((a, b, labels[1]), (b, a, labels[0])):
        for node in _experimented(run.graph):
            if problem := other.graph.shape.problem_with(node):
                raise InputError(
                    f"--map address: '{name}' has not the same nodes ({', '.join(shapes)}): {problem}; "
                    "match by the names of groups with --map group"
                )


def _experimented(graph: CircuitGraph) -> list:
    from circuitgraph.graph.claims import NodeClaim

    arcs = [end.node for s, r, _ in graph.arcs() for end in (s, r)]
    return [*arcs, *(at.node for claim in graph.claims if isinstance(claim, NodeClaim) for at in claim.nodes)]


def _nothing(labels: tuple[str, str], units: Sequence[Mapping[str, Unit]], by: By, shapes: Sequence[str]) -> str:
    """Why there is nothing to compare, with what either has."""
    has = "; ".join(f"'{name}' has {_some(side)}" for name, side in zip(labels, units, strict=True))
    if by is By.ADDRESS:
        hint = "specs with groups of the same names can be matched by these: --map group"
    elif shapes:
        hint = (
            f"the models differ ({', '.join(shapes)}), so experiments are matched by the names of their groups: "
            "give groups that play the same part the same name in both specs"
        )
    else:
        hint = "give groups that play the same part the same name in both specs"
    return f"the runs have no experiment in common. {has}. {hint[:1].upper()}{hint[1:]}"


def _some(units: Mapping[str, Unit]) -> str:
    shown = [f"{unit.label} ({unit.why})" if unit.why else unit.label for unit in units.values()]
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3:,} more" if len(shown) > 3 else "")

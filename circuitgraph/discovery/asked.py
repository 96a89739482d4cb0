"""What a search starts from, and whether it can be done: everything that is known before a model runs. No torch."""

from __future__ import annotations

from circuitgraph.checks import Checked, check
from circuitgraph.checks.files import directory_of
from circuitgraph.discovery.aims import aims_of
from circuitgraph.discovery.held_out import hold_apart
from circuitgraph.spec.model import CircuitSection, CircuitSpec, NodeSpec


def check_discovery(checked: Checked) -> None:
    """Look whether what the `discover:` section asks for can be done.

    Raises:
        SpecError: the prompts lack what its source needs.
        InputError, RefusedError: a combination that has no meaning; too few prompts to hold some apart.
    """
    aims_of(checked.spec)
    check_prompts(checked)


def check_prompts(checked: Checked) -> CircuitSpec:
    """The spec that is searched; its prompts suffice, where they could be read.

    Raises:
        as `check_discovery`.
    """
    bare = bare_spec(checked)
    if checked.prompts is not None:
        hold_apart(check(bare))
    return bare


def bare_spec(checked: Checked) -> CircuitSpec:
    """The spec without its own edges and nodes. One node stands in, so that prompts and sources are checked."""
    update = {
        "edges": (),
        "nodes": (NodeSpec(node=("input",)),),
        "groups": {},
        "attention": None,
        "attribution": None,
        "estimate": None,
        "baseline": None,
        "circuit": CircuitSection(),
    }
    return checked.spec.model_copy(update=update).in_directory(directory_of(checked))

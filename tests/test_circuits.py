"""Circuits as a whole against a literal forward pass of the Hugging Face model, and identities in every family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitgraph.execute.literal import cached_sites
from circuitgraph.graph.claims import Counterfactual, Mean, Zero
from circuitgraph.graph.partition import Circuit, partition_edges, partition_nodes
from circuitgraph.nodes import Position
from circuitgraph.plans.circuits import only, only_nodes, without, without_nodes
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.spec.model import Align, BaseRun, PairSpec, PromptsSpec, ReferenceSpec
from tests.circuit_oracle import OracleModel
from tests.circuits import EVERYWHERE, MIXED, measure_circuits, random_circuit, random_nodes
from tests.tiny import FLOAT32_INSIDE, TELLING, random_prompts

PROMPTS = random_prompts(pairs=3, length=6)
CLEAN, CORRUPTED = BaseRun.CLEAN, BaseRun.CORRUPTED
OTHER = {CLEAN: CORRUPTED, CORRUPTED: CLEAN}
# States that are summed in another order round differently where a family computes in float32 in every dtype.
ROUNDED = 1e-5


def within(family: str) -> float:
    return ROUNDED if family in FLOAT32_INSIDE else 1e-9


def close(a: NDArray[np.float64], b: NDArray[np.float64] | None, tolerance: float) -> bool:
    assert b is not None
    return bool(np.abs(a - b).max() <= tolerance * max(1.0, np.abs(b).max()))


# Against the oracle -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def oracle(checkpoint) -> Callable[[str], OracleModel]:
    return cache(lambda family: OracleModel(checkpoint(family)))


def ids(side: BaseRun, prompts: PromptSet = PROMPTS) -> Tensor:
    rows = [pair.clean if side is CLEAN else pair.corrupted for pair in prompts.pairs]
    return torch.tensor(rows)


def logit_diff(logits: Tensor) -> NDArray[np.float64]:
    """logit(answers) − logit(wrong answers) at the last token, means over several."""
    found = []
    for row, pair in zip(logits[:, -1], PROMPTS.pairs, strict=True):
        found.append(float(row[list(pair.answers)].mean() - row[list(pair.wrong_answers)].mean()))
    return np.array(found)


def named(circuit: Circuit) -> dict[tuple[str, str], tuple[str, ...]]:
    return {(str(e.sender), str(e.target)): tuple(map(str, at)) for e, at in circuit.items()}


def inside(circuit: Circuit) -> Callable[[str, str], Tensor | bool]:
    """(sender, receiver) → where the edge belongs to the circuit."""
    names = named(circuit)

    def where(sender: str, receiver: str) -> Tensor | bool:
        positions = names.get((sender, receiver))
        if not positions:
            return positions is not None
        mask = torch.zeros(len(PROMPTS), 6, dtype=torch.bool)
        for name in positions:
            for row, pair in enumerate(PROMPTS.pairs):
                mask[row, pair.positions[name]] = True
        return mask

    return where


def outside(circuit: Circuit) -> Callable[[str, str], Tensor | bool]:
    where = inside(circuit)

    def elsewhere(sender: str, receiver: str) -> Tensor | bool:
        found = where(sender, receiver)
        return not found if isinstance(found, bool) else ~found

    return elsewhere


def expected(model: OracleModel, circuit: Circuit, base: BaseRun, given: Mapping[str, Tensor]) -> list[NDArray]:
    """The metric with the circuit alone, and with it knocked out."""
    runs = (model.run(ids(base), exchanged(circuit), given)[0] for exchanged in (outside, inside))
    return [logit_diff(logits) for logits in runs]


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "llama"])
@pytest.mark.parametrize("positions", [EVERYWHERE, MIXED], ids=["everywhere", "at positions"])
def test_random_circuits_against_a_literal_forward_pass(tiny_model, oracle, family, positions):
    model, plain = tiny_model(family), oracle(family)
    for seed, base in enumerate((CLEAN, CORRUPTED, CLEAN)):
        circuit = random_circuit(model.shape, seed, positions)
        made = [f(circuit, model.shape, "x", base, Counterfactual()) for f in (only, without)]
        found = measure_circuits(model, PROMPTS, *made)
        other = plain.run(ids(OTHER[base]))[1]
        for measured, value in zip(found, expected(plain, circuit, base, other), strict=True):
            assert np.abs(measured.effect).max() > 1e-4
            assert close(measured.metric_patched, value, 1e-9)


def test_the_oracle_is_the_model(oracle):
    for family in ("gpt2", "gpt_neox", "llama"):
        plain = oracle(family)
        with torch.no_grad():
            whole = plain.model(input_ids=ids(CLEAN)).logits
        assert torch.allclose(plain.run(ids(CLEAN))[0], whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("source", ["zero", "mean"])
def test_zero_and_mean_against_a_literal_forward_pass(tiny_model, oracle, source):
    model, plain = tiny_model("gpt2"), oracle("gpt2")
    reference = random_prompts(pairs=5, length=6, seed=9)
    activations = plain.run(ids(CLEAN, reference))[1]
    average = {name: z.mean(dim=0) for name, z in activations.items()}
    given = average if source == "mean" else {name: torch.zeros_like(z) for name, z in average.items()}
    somewhere = PromptsSpec(pairs=(PairSpec(clean=(1,)),))  # what is given to the executor counts
    kind = Mean(ReferenceSpec(prompts=somewhere, align=Align.POSITION)) if source == "mean" else Zero()
    for seed, positions in enumerate((EVERYWHERE, MIXED)):
        circuit = random_circuit(model.shape, seed, positions)
        made = [f(circuit, model.shape, "x", CLEAN, kind) for f in (only, without)]
        found = measure_circuits(model, PROMPTS, *made, reference=reference)
        for measured, value in zip(found, expected(plain, circuit, CLEAN, given), strict=True):
            assert close(measured.metric_patched, value, 1e-9)


# Identities -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", TELLING)
@pytest.mark.parametrize("base", [CLEAN, CORRUPTED])
def test_the_empty_circuit_is_the_other_run_and_the_full_one_the_base_run(tiny_model, family, base):
    model = tiny_model(family)
    how = (model.shape, "x", base, Counterfactual())
    edges = dict.fromkeys(partition_edges(model.shape), ())
    nodes = dict.fromkeys(partition_nodes(model.shape), ())
    empty = [only({}, *how), without(edges, *how), only_nodes({}, *how), without_nodes(nodes, *how)]
    full = [only(edges, *how), without({}, *how), only_nodes(nodes, *how), without_nodes({}, *how)]
    for measured in measure_circuits(model, PROMPTS, *empty):
        assert close(measured.metric_patched, measured.metric_other, within(family))
    for measured in measure_circuits(model, PROMPTS, *full):
        assert close(measured.metric_patched, measured.metric_base, 0.0)


@pytest.mark.parametrize("family", TELLING)
def test_knocking_out_the_complement_leaves_the_circuit(tiny_model, family):
    """without(all − C) = only(C), and the other way round: two ways of writing one run."""
    model = tiny_model(family)
    for seed, base in enumerate((CLEAN, CORRUPTED)):
        how = (model.shape, "x", base, Counterfactual())
        circuit = random_circuit(model.shape, seed)
        rest = {edge: () for edge in partition_edges(model.shape) if edge not in circuit}
        nodes = random_nodes(model.shape, seed)
        others = {node: () for node in partition_nodes(model.shape) if node not in nodes}
        pairs = [
            (only(circuit, *how), without(rest, *how)),
            (without(circuit, *how), only(rest, *how)),
            (only_nodes(nodes, *how), without_nodes(others, *how)),
            (without_nodes(nodes, *how), only_nodes(others, *how)),
        ]
        for pair in pairs:
            one, two = measure_circuits(model, PROMPTS, *pair)
            assert close(one.metric_patched, two.metric_patched, within(family))


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "llama", "tl_bidirectional"])
def test_nodes_knocked_out_are_their_edges_knocked_out(tiny_model, family):
    """A node whose value is replaced for all is replaced for each of those that read it."""
    model = tiny_model(family)
    how = (model.shape, "x", CLEAN, Counterfactual())
    nodes = random_nodes(model.shape, 3, MIXED)
    edges = {edge: nodes[edge.sender] for edge in partition_edges(model.shape) if edge.sender in nodes}
    one, two = measure_circuits(model, PROMPTS, without_nodes(nodes, *how), without(edges, *how))
    assert np.abs(one.effect).max() > 1e-4
    assert close(one.metric_patched, two.metric_patched, within(family))


def test_kept_nodes_are_never_knocked_out(tiny_model):
    """Wholly kept: as if not in the circuit. Kept at A: knocked out at every other token, one by one."""
    model = tiny_model("gpt2")
    how = (model.shape, "x", CLEAN, Counterfactual())
    first, second, third = partition_nodes(model.shape)[2:5]
    kept = without_nodes(dict.fromkeys((first, second, third), ()), *how, keep={first: (), second: (Position("A"),)})
    tokens = tuple(Position("", index) for index in (0, 2, 3, 4, 5))  # A is token 1 of each
    by_hand = without_nodes({second: tokens, third: ()}, *how)
    one, two = measure_circuits(model, PROMPTS, kept, by_hand)
    assert np.abs(one.effect).max() > 1e-4
    assert close(one.metric_patched, two.metric_patched, 0.0)


def test_equal_circuits_have_equal_ids(tiny_model):
    shape = tiny_model("gpt2").shape
    circuit = random_circuit(shape, 0)
    shuffled = dict(reversed(list(circuit.items())))
    how = (CLEAN, Counterfactual())
    assert only(circuit, shape, "x", *how).id == only(shuffled, shape, "y", *how).id
    assert only(circuit, shape, "x", *how).id != only(circuit, shape, "x", CORRUPTED, Counterfactual()).id


# What is computed -------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_receivers_that_read_the_same_stream_are_computed_once(tiny_model, monkeypatch, family):
    model = tiny_model(family)
    shape, computed = model.shape, []
    monkeypatch.setattr(
        model, "port", lambda site, resid: computed.append(site) or type(model).port(model, site, resid)
    )
    edges = partition_edges(shape)
    one = next(e for e in edges if str(e) == "a0.h1 → a1.h2<q>")
    measure_circuits(model, PROMPTS, only({one: ()}, shape, "one edge", CLEAN, Counterfactual()))
    again = [site for site in computed if computed.count(site) > 1]
    assert len(computed) == 3 * shape.layers + 1
    assert {str(site) for site in again} == {"q(1)"}


def test_of_the_unpatched_runs_only_what_a_circuit_reads_is_kept(tiny_model):
    shape = tiny_model("gpt2").shape
    kept = cached_sites([only({}, shape, "no edge", CLEAN, Counterfactual())], shape)
    wanted = {f"{kind}({layer})" for kind in ("z", "mlp_out") for layer in range(shape.layers)}
    assert set(map(str, kept)) == {"resid_pre(0)", *wanted}

"""Plans: the stages of every kind of experiment as data and as text, JSON, hashes, ids and costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitgraph.errors import RefusedError
from circuitgraph.execute.literal import refuse_all, refuses
from circuitgraph.graph.claims import (
    ChainClaim,
    CircuitGraph,
    Claim,
    Counterfactual,
    EdgeClaim,
    Intervention,
    Mean,
    NodeClaim,
    Origin,
    Prune,
    Resample,
    SetClaim,
    Zero,
    claim_id,
)
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import Address, parse
from circuitgraph.plans import (
    Cost,
    Plan,
    PromptShape,
    build,
    build_plan,
    cost_of,
    describe_cost,
    explain,
    explain_plan,
    plan_hash,
    plan_to_json,
)
from circuitgraph.plans.types import Base, Experiment, Free, Isolate, Propagate, Recorded, Swap, Value
from circuitgraph.spec.model import BaseRun, PairSpec, PathKind, PromptsSpec, ReceiverMode, ReferenceSpec
from tests.measuring import edge, node

SHAPE = ModelShape(layers=12, heads=12, kv_heads=12)
REFERENCE = ReferenceSpec(prompts=PromptsSpec(pairs=(PairSpec(clean=(1, 2)), PairSpec(clean=(3, 4)))))
S2, MOVER, OTHER = parse("a5.h5@S2"), parse("a9.h6<q>@END"), parse("a9.h9<q>@END")
LOGITS = parse("logits")
EDGE = edge("a5.h5@S2", "a9.h6<q>@END")


def chain(*hops: str, **how: object) -> ChainClaim:
    return ChainClaim(tuple(map(parse, hops)), Intervention(**how))  # type: ignore[arg-type]  # keywords come from the test


def edge_set(*edges: tuple[str, str], **how: object) -> SetClaim:
    pairs = tuple((parse(sender), parse(receiver)) for sender, receiver in edges)
    return SetClaim(pairs, Intervention(**how))  # type: ignore[arg-type]  # keywords come from the test


def plan_of(*claims: Claim, name: str = "test") -> Plan:
    return build_plan(CircuitGraph(name, SHAPE, (), claims))


def experiment_of(claim: Claim) -> Experiment:
    return build.experiment_of(claim, SHAPE)


def words(claim: Claim, metrics: Sequence[str] = ("logit_diff at END",)) -> list[str]:
    return explain(experiment_of(claim), metrics)


# Stages as data ---------------------------------------------------------------------------------


def test_an_edge_has_one_isolation_so_three_stages():
    experiment = experiment_of(EDGE)
    assert experiment.kind == "edge"
    assert experiment.base is BaseRun.CLEAN
    assert experiment.isolations == (Isolate((Value(S2, Counterfactual()),), Free.NONE, (MOVER,)),)
    assert experiment.propagate == Propagate((Recorded(MOVER, 0),))
    assert experiment.repeat == 1
    assert experiment.id == claim_id(EDGE)


def test_through_mlps_leaves_the_mlps_free_while_isolating():
    (isolation,) = experiment_of(edge("a5.h5@S2", "logits", path=PathKind.THROUGH_MLPS)).isolations
    assert isolation == Isolate((Value(S2, Counterfactual()),), Free.MLPS, (LOGITS,))


def test_joined_senders_change_together_in_one_isolation():
    (isolation,) = experiment_of(edge(["a5.h5@S2", "a6.h9@S2"], "a9.h6<q>@END")).isolations
    assert isolation.writes == (Value(S2, Counterfactual()), Value(parse("a6.h9@S2"), Counterfactual()))


def test_joined_receivers_overwrite_are_recorded_together_and_written_together():
    experiment = experiment_of(edge("a5.h5@S2", ["a9.h6<q>@END", "a9.h9<q>@END"]))
    assert experiment.isolations == (Isolate((Value(S2, Counterfactual()),), Free.NONE, (MOVER, OTHER)),)
    assert experiment.propagate.writes == (Recorded(MOVER, 0), Recorded(OTHER, 0))


def test_joined_receivers_add_are_one_swap_each():
    claim = edge(["a5.h5@S2", "a6.h9@S2"], ["a9.h6<q>@END", "a9.h9<q>@END"], receivers=ReceiverMode.ADD)
    experiment = experiment_of(claim)
    senders = (S2, parse("a6.h9@S2"))
    assert experiment.isolations == ()
    assert experiment.propagate.writes == (
        Swap(senders, MOVER, Counterfactual()),
        Swap(senders, OTHER, Counterfactual()),
    )


def test_added_receivers_take_only_the_senders_before_them():
    claim = edge(["a5.h5@S2", "a9.h0@S2"], ["a9.h6<q>@S2", "logits"], receivers=ReceiverMode.ADD)
    late, final = parse("a9.h6<q>@S2"), parse("logits")
    assert experiment_of(claim).propagate.writes == (
        Swap((S2,), late, Counterfactual()),
        Swap((S2, parse("a9.h0@S2")), final, Counterfactual()),
    )


def test_add_with_one_receiver_is_the_edge():
    claim = edge("a5.h5@S2", "a9.h6<q>@END", receivers=ReceiverMode.ADD)
    assert experiment_of(claim) == experiment_of(EDGE)


def test_a_node_has_no_isolation():
    experiment = experiment_of(node(["a5.h5@S2", "m3"], base=BaseRun.CORRUPTED, source=Zero()))
    assert (experiment.kind, experiment.base, experiment.isolations) == ("node", BaseRun.CORRUPTED, ())
    assert experiment.propagate.writes == (Value(S2, Zero()), Value(parse("m3"), Zero()))


def test_a_chain_has_an_isolation_per_hop():
    experiment = experiment_of(chain("input@S2", "a2.h3<v>@S2>END", "m4", "logits", path=PathKind.THROUGH_MLPS))
    hop = parse("a2.h3<v>@S2>END")
    assert experiment.kind == "chain"
    assert experiment.isolations == (
        Isolate((Value(parse("input@S2"), Counterfactual()),), Free.MLPS, (hop,)),
        Isolate((Recorded(hop, 0),), Free.MLPS, (parse("m4"),)),
        Isolate((Recorded(parse("m4"), 1),), Free.MLPS, (LOGITS,)),
    )
    assert experiment.propagate.writes == (Recorded(LOGITS, 2),)


def test_a_two_node_chain_has_the_stages_of_the_edge():
    ours, theirs = experiment_of(chain("a5.h5@S2", "a9.h6<q>@END")), experiment_of(EDGE)
    assert (ours.isolations, ours.propagate) == (theirs.isolations, theirs.propagate)


def test_a_set_is_one_swap_per_receiver_with_all_its_senders():
    experiment = experiment_of(
        edge_set(("a5.h5@S2", "logits"), ("a0.h1", "a9.h6<q>@END"), ("m3", "logits"), source=Zero())
    )
    assert (experiment.kind, experiment.isolations) == ("set", ())
    assert experiment.propagate.writes == (
        Swap((S2, parse("m3")), LOGITS, Zero()),
        Swap((parse("a0.h1"),), MOVER, Zero()),
    )


@pytest.mark.parametrize(
    ("source", "draws"),
    [(Counterfactual(), 1), (Zero(), 1), (Mean(REFERENCE), 1), (Resample(REFERENCE, 5, 7), 5), (Base(), 1)],
    ids=str,
)
@pytest.mark.parametrize("kind", ["edge", "node", "chain", "set"])
def test_the_source_is_in_the_plan_and_draws_are_repeats(kind, source, draws):
    claim: Claim = {
        "edge": edge("a5.h5", "logits", source=source),
        "node": node("a5.h5", source=source),
        "chain": chain("a5.h5", "m7", "logits", source=source),
        "set": edge_set(("a5.h5", "logits"), source=source),
    }[kind]
    experiment = experiment_of(claim)
    assert experiment.sources == (source,)
    assert experiment.repeat == draws


def test_a_plan_has_the_claims_in_their_order():
    claims = (node("m3"), EDGE, node("a5.h5"))
    plan = plan_of(*claims, name="order")
    assert plan.name == "order"
    assert [experiment.id for experiment in plan.experiments] == list(map(claim_id, claims))


# Text -------------------------------------------------------------------------------------------


def test_an_edge_in_words():
    assert words(EDGE) == [
        "cache      clean run and corrupted run; keep a5.h5@S2 of the latter",
        "isolate    clean run, a5.h5@S2 set to its corrupted value, all other heads and MLPs frozen; "
        "record a9.h6<q>@END",
        "propagate  clean run again, a9.h6<q>@END set to what was recorded; read logit_diff at END",
    ]


def test_the_words_follow_the_base_the_path_and_the_metrics():
    claim = edge(["a5.h5", "a5.h8"], "logits", base=BaseRun.CORRUPTED, path=PathKind.THROUGH_MLPS)
    assert words(claim, ["logit_diff at END", "kl at END"]) == [
        "cache      corrupted run and clean run; keep a5.h5 and a5.h8 of the latter",
        "isolate    corrupted run, a5.h5 set to its clean value; a5.h8 set to its clean value, "
        "all other heads frozen, MLPs free; record logits",
        "propagate  corrupted run again, logits set to what was recorded; read logit_diff at END, kl at END",
    ]


def test_a_chain_in_words():
    assert words(chain("input@S2", "a2.h3<v>@S2", "m4", "logits")) == [
        "cache      clean run and corrupted run; keep input@S2 of the latter",
        "isolate 1  clean run, input@S2 set to its corrupted value, all other heads and MLPs frozen; "
        "record a2.h3<v>@S2",
        "isolate 2  clean run, a2.h3<v>@S2 reading what isolation 1 recorded, all other heads and MLPs frozen; "
        "record m4",
        "isolate 3  clean run, m4 reading what isolation 2 recorded, all other heads and MLPs frozen; record logits",
        "propagate  clean run again, logits set to what was recorded; read logit_diff at END",
    ]


def test_sets_and_nodes_in_words():
    assert words(edge_set(("a5.h5", "logits"), ("m3", "logits"), ("a0.h1", "a9.h6<q>"))) == [
        "cache      clean run and corrupted run; keep a5.h5, m3 and a0.h1 of the latter",
        "propagate  clean run again, logits reading a5.h5 and m3, each at its corrupted value, all else as it comes; "
        "a9.h6<q> reading a0.h1 at its corrupted value, all else as it comes; read logit_diff at END",
    ]
    assert words(node("a5.h5")) == [
        "cache      clean run and corrupted run; keep a5.h5 of the latter",
        "propagate  clean run again, a5.h5 set to its corrupted value; read logit_diff at END",
    ]


def test_other_sources_in_words():
    assert words(node("a5.h5", source=Zero())) == [
        "cache      clean run",
        "propagate  clean run again, a5.h5 set to zero; read logit_diff at END",
    ]
    assert words(node("a5.h5", source=Mean(REFERENCE))) == [
        "cache      clean run and reference set; keep a5.h5 of the latter",
        "propagate  clean run again, a5.h5 set to its mean over the reference set; read logit_diff at END",
    ]
    assert words(node("a5.h5", source=Resample(REFERENCE, draws=4))) == [
        "cache      clean run and reference set; keep a5.h5 of the latter",
        "propagate  clean run again, a5.h5 set to its value in another reference prompt; read logit_diff at END",
        "repeat     4 draws, effects averaged",
    ]


def test_a_plan_in_words_numbers_its_experiments_and_uses_their_labels():
    labelled = replace(EDGE, label="S-inhibition")
    assert explain_plan(plan_of(labelled, node("m3")), ["kl at END"]).splitlines() == [
        "1. S-inhibition",
        *(f"     {line}" for line in words(EDGE, ["kl at END"])),
        "",
        "2. m3",
        *(f"     {line}" for line in words(node("m3"), ["kl at END"])),
    ]


# JSON, hashes, ids ------------------------------------------------------------------------------

EVERY_KIND: tuple[Claim, ...] = (
    EDGE,
    edge("a5.h5", ["a9.h6<q>", "m10"], receivers=ReceiverMode.ADD),
    node(["a5.h5", "m3"], base=BaseRun.CORRUPTED, source=Mean(REFERENCE)),
    chain("input@S2", "a2.h3<v>@S2>END", "logits", source=Resample(REFERENCE, 3, 1)),
    edge_set(("a5.h5", "logits"), ("m3", "logits"), source=Zero()),
)


def test_json_is_strict_and_loads_back():
    tree = plan_to_json(plan_of(*EVERY_KIND))
    assert json.loads(json.dumps(tree, allow_nan=False)) == tree


def test_json_of_an_edge():
    assert plan_to_json(plan_of(replace(EDGE, label="an edge"))) == {
        "name": "test",
        "experiments": [
            {
                "id": claim_id(EDGE),
                "kind": "edge",
                "label": "an edge",
                "base": "clean",
                "isolations": [
                    {
                        "writes": [{"value": "a5.h5@S2", "source": "counterfactual"}],
                        "free": "none",
                        "record": ["a9.h6<q>@END"],
                    }
                ],
                "propagate": [{"recorded": "a9.h6<q>@END", "isolation": 0}],
                "repeat": 1,
            }
        ],
    }


def test_json_tells_every_stage_of_every_kind_apart():
    stages = [json.dumps(plan_to_json(plan_of(claim))["experiments"][0]) for claim in EVERY_KIND]
    assert len(set(stages)) == len(EVERY_KIND)
    swap = plan_to_json(plan_of(EVERY_KIND[4]))["experiments"][0]["propagate"]
    assert swap == [{"swap": ["a5.h5", "m3"], "port": "logits", "source": "zero"}]
    resampled = plan_to_json(plan_of(EVERY_KIND[3]))["experiments"][0]
    assert resampled["repeat"] == 3
    source = resampled["isolations"][0]["writes"][0]["source"]
    assert (source["draws"], source["seed"], source["resample"]["align"]) == (3, 1, "position")


@pytest.mark.parametrize("claim", EVERY_KIND, ids=lambda claim: type(claim).__name__)
def test_labels_and_origins_change_neither_id_nor_hash(claim):
    other = replace(claim, label="another name", origin=Origin(7, 3, "edges.1"))
    assert claim_id(other) == claim_id(claim)
    assert plan_hash(plan_of(other, name="renamed")) == plan_hash(plan_of(claim))


def test_the_order_of_joined_ends_does_not_change_the_id():
    one = edge(["a5.h5", "a6.h9"], ["m10", "a9.h6<q>"])
    assert claim_id(edge(["a6.h9", "a5.h5"], ["a9.h6<q>", "m10"])) == claim_id(one)
    assert claim_id(edge_set(("m3", "logits"), ("a5.h5", "logits"))) == claim_id(
        edge_set(("a5.h5", "logits"), ("m3", "logits"))
    )
    assert claim_id(chain("input", "m3", "m5", "logits")) != claim_id(chain("input", "m5", "m3", "logits"))


LONGER = REFERENCE.model_copy(update={"side": BaseRun.CORRUPTED})

DIFFERENT: tuple[Claim, ...] = (
    EDGE,
    edge("a5.h5@S1", "a9.h6<q>@END"),
    edge("a5.h5", "a9.h6<q>@END"),
    edge("a5.h6@S2", "a9.h6<q>@END"),
    edge("a5.h5@S2", "a9.h6<k>@END"),
    edge("a5.h5@S2", "a9.h6@END"),
    edge("a5.h5@S2", "a9.h6<q>@END", path=PathKind.THROUGH_MLPS),
    edge("a5.h5@S2", "a9.h6<q>@END", base=BaseRun.CORRUPTED),
    edge("a5.h5@S2", "a9.h6<q>@END", source=Zero()),
    edge("a5.h5@S2", "a9.h6<q>@END", source=Mean(REFERENCE)),
    edge("a5.h5@S2", "a9.h6<q>@END", source=Mean(LONGER)),
    edge("a5.h5@S2", "a9.h6<q>@END", source=Resample(REFERENCE)),
    edge("a5.h5@S2", "a9.h6<q>@END", source=Resample(REFERENCE, draws=2)),
    edge("a5.h5@S2", "a9.h6<q>@END", source=Resample(REFERENCE, seed=1)),
    edge(["a5.h5@S2", "a6.h9@S2"], "a9.h6<q>@END"),
    edge("a5.h5@S2", ["a9.h6<q>@END", "a9.h9<q>@END"]),
    edge("a5.h5@S2", ["a9.h6<q>@END", "a9.h9<q>@END"], receivers=ReceiverMode.ADD),
    chain("a5.h5@S2", "a9.h6<q>@END"),
    edge_set(("a5.h5@S2", "a9.h6<q>@END")),
    node("a5.h5@S2"),
    node(["a5.h5@S2", "a6.h9@S2"]),
)


def test_everything_that_decides_a_number_is_in_id_and_hash():
    assert len({claim_id(claim) for claim in DIFFERENT}) == len(DIFFERENT)
    assert len({plan_hash(plan_of(claim)) for claim in DIFFERENT}) == len(DIFFERENT)


def test_the_hash_covers_which_experiments_there_are_and_their_order():
    plans = [plan_of(EDGE), plan_of(EDGE, node("m3")), plan_of(node("m3"), EDGE), plan_of(node("m3"))]
    assert len(set(map(plan_hash, plans))) == len(plans)


def test_ids_are_the_same_on_every_machine_and_in_every_version():
    """Run directories name experiments by id: a changed id orphans every run that was ever made."""
    assert claim_id(EDGE) == "aece682fd6de"
    assert claim_id(node(["a5.h5@S2", "m3"], base=BaseRun.CORRUPTED, source=Zero())) == "6dcac8e65c79"
    assert plan_hash(plan_of(EDGE)) == "45e6b15328e4ba59a64dc66f89c8b50ffa653f352816a4dead2d9c7793423e9e"


ADDRESSES = [parse(text) for text in ("input@A", "a0.h1", "a1.h0@B", "m0", "m1@A", "a1", "m1.n3@END")]


@given(st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=4, unique=True), st.randoms())
def test_ids_do_not_depend_on_the_order_of_senders(senders: list[Address], random):
    shuffled = random.sample(senders, len(senders))
    assert claim_id(EdgeClaim(tuple(shuffled), (LOGITS,))) == claim_id(EdgeClaim(tuple(senders), (LOGITS,)))
    assert claim_id(NodeClaim(tuple(shuffled))) == claim_id(NodeClaim(tuple(senders)))


# Cost -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "cost"),
    [
        # Clean and corrupted caches once; isolate + propagate per edge. Alone each edge costs 4.
        ([EDGE, edge("m3", "logits")], Cost(2, caches=2, isolations=2, propagations=2, edge_at_a_time=8)),
        # A node is not isolated.
        ([node("m3")], Cost(1, caches=2, isolations=0, propagations=1, edge_at_a_time=3)),
        # Zero needs no other run.
        ([node("m3", source=Zero())], Cost(1, caches=1, isolations=0, propagations=1, edge_at_a_time=2)),
        # Zero on both bases: two runs in all, one per experiment alone.
        (
            [node("m3", source=Zero()), node("m3", source=Zero(), base=BaseRun.CORRUPTED)],
            Cost(2, caches=2, isolations=0, propagations=2, edge_at_a_time=4),
        ),
        # A chain of four nodes isolates three hops.
        ([chain("input", "m1", "m2", "logits")], Cost(1, caches=2, isolations=3, propagations=1, edge_at_a_time=6)),
        # A set is one run, however many edges it has.
        (
            [edge_set(("a5.h5", "logits"), ("m3", "logits"))],
            Cost(1, caches=2, isolations=0, propagations=1, edge_at_a_time=3),
        ),
        # Every draw isolates and propagates anew; the reference set is run once.
        (
            [edge("m3", "logits", source=Resample(REFERENCE, draws=5))],
            Cost(1, caches=2, isolations=5, propagations=5, edge_at_a_time=12),
        ),
        ([], Cost(0, caches=0, isolations=0, propagations=0, edge_at_a_time=0)),
    ],
)
def test_cost_counts_forward_passes(claims, cost):
    assert cost_of(plan_of(*claims)) == cost
    assert cost.forwards == cost.caches + cost.isolations + cost.propagations


def test_cost_in_words():
    cost = cost_of(plan_of(EDGE, edge("m3", "logits")))
    assert list(describe_cost(cost, PromptShape((5, 7)))) == [
        "2 experiments, 6 forward passes: 2 to cache, 2 to isolate, 2 to propagate",
        "one edge at a time, caching anew for each: 8 forward passes",
        "one pass = 2 prompts, 12 tokens",
    ]
    assert len(describe_cost(cost, None)) == 2
    single = describe_cost(cost_of(plan_of(node("m3"))), PromptShape((1,)))
    assert single[0].startswith("1 experiment, 3 forward passes")
    assert single[-1] == "one pass = 1 prompt, 1 token"


# What the literal executor cannot run ------------------------------------------------------------

REFUSED = tuple(experiment_of(edge(["a0.h0", name], [name, "a6.h1<q>"])) for name in ("m3.n5", "r4"))


@pytest.mark.parametrize("experiment", REFUSED, ids=lambda experiment: experiment.label)
def test_the_literal_executor_says_what_it_refuses(experiment):
    reason = refuses(experiment)
    assert reason is not None
    assert "is both a joined sender and a joined receiver" in reason


def test_the_literal_executor_takes_everything_else():
    taken = (
        EDGE,
        node("m3"),
        edge("m3", "logits", source=Base()),
        EVERY_KIND[1],
        chain("input", "m3", "logits"),
        edge_set(("a5.h5", "logits")),
        node("m3", source=Zero()),
        node("m3", source=Prune()),
        edge("m3", "logits", source=Mean(REFERENCE)),
        node("m3", source=Resample(REFERENCE)),
    )
    assert [refuses(experiment_of(claim)) for claim in taken] == [None] * len(taken)


def test_all_refusals_come_at_once_each_with_its_experiment():
    with pytest.raises(RefusedError) as raised:
        refuse_all([experiment_of(EDGE), *REFUSED])
    lines = str(raised.value).splitlines()
    assert len(lines) == len(REFUSED)
    for line, experiment in zip(lines, REFUSED, strict=True):
        assert line.startswith(f"'{experiment.label}': ")
    refuse_all([experiment_of(EDGE)])

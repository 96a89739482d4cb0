"""What stands beside an effect: p- and q-values, verdicts on what is expected, draws, places among random edges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import pytest

import circuitgraph as cg
from circuitgraph.checks.baseline import random_edges
from circuitgraph.errors import InputError, RefutedError, UndecidedError
from circuitgraph.graph.claims import claim_id
from circuitgraph.stats import Verdict, benjamini_hochberg, sign_flip_p

SPEC = """\
version: 1
name: judged
model: ioi-mini
prompts: {generator: {name: ioi, n: 12, seed: 0, corruption: swap_s2}}
metrics: [logit_diff, kl]
groups: {movers: [a3.h0, a3.h1]}
intervention:
  reference: {prompts: {generator: {name: ioi, n: 9, seed: 5}}, align: pooled}
  draws: 3
edges:
  - {sender: movers@END, receiver: logits, expect: negative}
  - {sender: m3@END, receiver: logits, expect: {at_most: -1, at_least: -40}}
  - {sender: "a2.h1@END", receiver: "a3.h1<q>@END"}
  - {sender: "a2.h2@END", receiver: "a3.h1<q>@END", expect: {within: 0.5}}
nodes:
  - {node: a3.h1@END, source: resample}
  - {node: a3.h1@END, source: mean, expect: {sign: negative}}
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("judged") / "judged.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def result(spec: Path, tmp_path_factory: pytest.TempPathFactory) -> cg.RunResult:
    """A finished run, read back from its directory."""
    place = tmp_path_factory.mktemp("run") / "judged"
    cg.run(spec, out=place, overrides=["baseline.edges=4"])
    return cg.load_run(place)


# p and q ----------------------------------------------------------------------------------------


def test_p_and_q_are_those_of_the_effects_per_pair(result: cg.RunResult) -> None:
    pairs = pandas.read_parquet(Path(str(result.directory)) / "effects.parquet")
    clusters = list(pairs[pairs.id == result.primary[0].id].query("metric == 'logit_diff'").cluster)
    effects = np.stack([result.effects[row.id, "logit_diff"] for row in result.primary])
    p = sign_flip_p(effects, clusters, seed=0)
    assert [row.p_value for row in result.primary] == p.tolist()
    assert [row.q_value for row in result.primary] == benjamini_hochberg(p).tolist()
    for row, effect in zip(result.primary, effects, strict=True):
        assert row.same_sign == pytest.approx(np.mean(np.sign(effect) == np.sign(effect.mean())))


def test_a_divergence_has_no_p_value_but_an_interval(result: cg.RunResult) -> None:
    rows = [row for row in result.rows if row.metric == "kl"]
    assert rows
    for row in rows:
        assert (row.p_value, row.q_value, row.expected, row.percentile) == (None, None, None, None)
        assert row.ci_low is not None


def test_a_divergence_from_another_run_than_the_base_has_a_sign_to_flip(spec: Path) -> None:
    settings = ["metrics=[]", "prompts.generator.n=8"]
    loaded = cg.load(spec, settings[1:])
    kl = [{"name": "kl", "to": "corrupted"}, {"name": "kl", "to": "clean", "label": "to clean"}]
    changed = type(loaded).model_validate({**loaded.model_dump(mode="json", by_alias=True), "metrics": kl})
    changed = changed.model_copy(update={"edges": changed.edges[2:3], "nodes": ()}).in_directory(spec.parent)
    rows = cg.run(changed).rows
    assert [row.p_value is None for row in rows] == [False, True]


# Resampling -------------------------------------------------------------------------------------


def test_draws_come_back_from_disk_and_are_what_the_effect_averages(result: cg.RunResult) -> None:
    (row,) = (row for row in result.primary if row.source == "resample")
    pairs = pandas.read_parquet(Path(str(result.directory)) / "effects.parquet")
    mine = pairs[(pairs.id == row.id) & (pairs.metric == row.metric)]
    draws = np.stack(mine.draws.to_list())
    assert draws.shape == (12, 3)
    assert row.draws == 3
    assert row.draw_std == pytest.approx(draws.mean(axis=0).std(ddof=1))
    assert row.draw_std > 0
    np.testing.assert_allclose(draws.mean(axis=1), mine.metric_patched)
    assert all(other.draws is None for other in result.primary if other is not row)


def test_the_reference_set_is_in_the_provenance(result: cg.RunResult) -> None:
    found = result.provenance["settings"]["reference"]
    assert (found["size"], found["side"], found["align"]) == (9, "clean", "pooled")
    assert found["prompts"] == "ioi(n=9, seed=5)"
    assert len(found["sha256"]) == 64


def test_an_interrupted_run_of_draws_goes_on(spec: Path, tmp_path: Path, result: cg.RunResult) -> None:
    place = tmp_path / "again"
    cg.run(spec, out=place, overrides=["baseline.edges=4"])
    again = cg.run(spec, out=place, overrides=["baseline.edges=4"], resume=True)
    assert again.rows == result.rows
    assert again.baseline == result.baseline


# Random edges -----------------------------------------------------------------------------------


def test_percentiles_count_random_edges_of_the_same_kind(spec: Path, result: cg.RunResult) -> None:
    checked = cg.check(spec, ["baseline.edges=4"])
    among = random_edges(checked, 4, 0)
    effects = {row.id: row.effect for row in result.baseline}
    assert {claim_id(edge) for edges in among.values() for edge in edges} == set(effects)
    for row in result.primary:
        if row.kind != "edge":
            assert row.percentile is None
            continue
        others = np.array([effects[claim_id(edge)] for edge in among[row.id]])
        assert row.percentile_of == len(others) > 0
        assert row.percentile == 100 * np.mean(np.abs(others) < abs(row.effect))


def test_random_edges_are_of_the_same_kind_and_none_is_hypothesised(spec: Path) -> None:
    checked = cg.check(spec)
    hypothesised = {claim_id(edge) for edge in checked.graph.edges}
    for name, edges in random_edges(checked, 50, 3).items():
        claim = checked.graph.by_id[name]
        assert len({claim_id(edge) for edge in edges}) == len(edges)
        assert not hypothesised & {claim_id(edge) for edge in edges}
        for edge in edges:
            assert edge.how == claim.how
            for ours, theirs in ((edge.senders[0], claim.senders[0]), (edge.receivers[0], claim.receivers[0])):
                assert type(ours.node) is type(theirs.node)
                assert (ours.ports, ours.position) == (theirs.ports, theirs.position)
            assert checked.shape.can_reach(edge.senders[0].node, edge.receivers[0].node)


def test_a_kind_of_which_every_edge_is_hypothesised_is_told(spec: Path) -> None:
    edges = 'edges=[{sender: "a*.h*@END", receiver: logits}]'
    found = cg.run(spec, overrides=["prompts.generator.n=2", "nodes=[]", edges, "baseline.edges=2"])
    (warning,) = [warning for warning in found.warnings if warning.startswith("baseline")]
    assert warning == "baseline: no random edge of the kind of a0.h0@END → logits and 15 more is left"
    assert all(row.percentile is None for row in found.primary)


def test_the_seed_decides_which_edges_are_drawn(spec: Path) -> None:
    checked = cg.check(spec)
    first, again, other = (random_edges(checked, 5, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    few = {len(edges) for edges in random_edges(checked, 100, 0).values()}
    # 16 heads of which 2 are hypothesised, 4 MLPs of which 1 is, and 48 + 32 + 16 pairs of heads of which 2 are.
    assert few == {14, 3, 94}


# Verdicts ---------------------------------------------------------------------------------------


def test_a_spec_is_a_test(spec: Path) -> None:
    found = cg.test(spec)
    assert found.verdict is Verdict.SUPPORTED
    assert len(found.judged) == 5
    found.check()


@pytest.mark.parametrize(
    ("setting", "status", "verdict", "message"),
    [
        ("edges.0.expect=positive", 1, "refuted", "judged.yaml:11: refuted: a3.h0@END → logits: effect -"),
        ("edges.1.expect.at_most=-38", 1, "refuted", "judged.yaml:12: refuted: m3@END → logits: effect -"),
        ("edges.1.expect.at_most=-9.4", 3, "undecided", "judged.yaml:12: undecided: m3@END → logits: effect -"),
    ],
)
def test_exits_tell_refuted_from_undecided_and_name_the_line(
    circuitgraph, spec, setting, status, verdict, message
) -> None:
    ended, out, err = circuitgraph("test", spec, "--set", setting)
    assert ended == status
    assert message in err
    assert out.splitlines()[0].startswith(verdict)
    if status == 3:
        assert "pairs would decide it, 12 were measured" in err


CIRCUIT = ["circuit.expect.faithfulness.at_least=-0.5", "circuit.expect.completeness.within=2"]


def test_a_circuit_is_judged_as_a_whole(spec: Path) -> None:
    found = cg.test(spec, overrides=CIRCUIT)
    whole = {item.quantity: item for item in found.judged if item.what == "the circuit as a whole"}
    assert set(whole) == {"faithfulness", "completeness"}
    evaluation = cg.evaluate(spec, overrides=CIRCUIT, random=0, curve="none")
    for name, item in whole.items():
        share = getattr(evaluation.metrics[0], name)
        assert (item.value, item.low, item.high) == (share.value, share.low, share.high)
        assert item.pairs == 12
    assert found.evaluation is not None
    assert found.evaluation.runs == 2


def test_a_circuit_that_is_not_enough_is_refuted(circuitgraph, spec) -> None:
    ended, out, err = circuitgraph("test", spec, "--set", "circuit.expect.faithfulness.at_least=0.99")
    assert ended == 1
    assert "judged.yaml: circuit.expect.faithfulness: refuted: the circuit as a whole: faithfulness " in err
    assert out.splitlines()[0].startswith("refuted")


def test_a_spec_that_holds_exits_0_and_prints_every_verdict(circuitgraph, spec) -> None:
    ended, out, _ = circuitgraph("test", spec)
    assert ended == 0
    assert out.splitlines()[-1] == "judged: 5 supported"
    assert sum(line.startswith("supported  line ") for line in out.splitlines()) == 5


def test_verdicts_raise_their_own_classes(spec: Path) -> None:
    with pytest.raises(RefutedError, match=r"judged.yaml:11: refuted"):
        cg.test(spec, overrides=["edges.0.expect=positive"]).check()
    with pytest.raises(UndecidedError, match=r"judged.yaml:12: undecided"):
        cg.test(spec, overrides=["edges.1.expect.at_most=-9.4"]).check()


def test_nothing_expected_is_nothing_to_test(tmp_path: Path) -> None:
    path = tmp_path / "silent.yaml"
    path.write_text("\n".join(line.replace(", expect: negative", "") for line in SPEC.splitlines()[:11]))
    with pytest.raises(InputError, match="nothing to test: write what you expect"):
        cg.test(path)


def test_warnings_of_the_run_are_told_once(circuitgraph, spec) -> None:
    _, _, err = circuitgraph(
        "test", spec, "--set", "prompts.generator.n=2", *(f"--set={setting}" for setting in CIRCUIT)
    )
    assert err.count("warning: only 2 pairs") == 1


def test_one_pair_decides_nothing(circuitgraph, spec) -> None:
    ended, _, err = circuitgraph("test", spec, "--set", "prompts.generator.n=1")
    assert ended == 3
    assert "there is no interval to judge by" in err


# Sweeps -----------------------------------------------------------------------------------------


def test_each_sweeps_every_token_of_prompts_of_one_length(spec: Path, tmp_path: Path) -> None:
    pairs = "{clean: [1, 2, 3, 4], corrupted: [1, 5, 6, 4], answers: [7], wrong_answers: [8]}"
    swept = SPEC[: SPEC.index("edges:")].replace(SPEC.splitlines()[3], f"prompts: {{pairs: [{pairs}, {pairs}]}}")
    path = tmp_path / "swept.yaml"
    path.write_text(swept + 'nodes: ["a*.h1@each", {node: [m0@each, m1@each], join: senders, label: both}]\n')
    result = cg.run(path, out=tmp_path / "run")
    assert len(result.primary) == 4 * 4 + 4
    assert {row.sender_position for row in result.primary} == {"0", "1", "2", "3"}
    assert cg.load_run(tmp_path / "run").rows == result.rows


def test_each_sweeps_names_where_lengths_differ(spec: Path) -> None:
    checked = cg.check(spec, ["nodes.0.node=a3.h1@each"])
    assert any("@each sweeps the positions that all name" in warning for warning in checked.warnings)
    swept = [claim for claim in checked.graph.claims if claim.origin.entry == "nodes.0"]
    assert len(swept) == len(checked.each or ())
    assert {str(address.position) for claim in swept for address in claim.nodes} >= {"S1", "S2", "IO", "END", "BOS"}

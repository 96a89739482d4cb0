"""What is known before a model runs: problems with their lines, warnings, and what stays unchecked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from circuitgraph.checks import Checked, check
from circuitgraph.checks.needs import check_size
from circuitgraph.checks.places import which
from circuitgraph.errors import FileError, ModelError, SpecError
from circuitgraph.graph.findings import Findings
from circuitgraph.graph.shape import ModelShape
from circuitgraph.prompts.pairs import Pair, PromptSet
from circuitgraph.spec.model import CircuitSpec, PromptsSpec

WORDS = Path(__file__).parent / "broken" / "words-model"

SHAPE = {"layers": 3, "heads": 2, "vocab": 50, "context": 16}
PAIRS = [
    {
        "clean": [1, 2, 3, 4, 5, 6],
        "corrupted": [1, 2, 9, 4, 5, 6],
        "answers": [7],
        "wrong_answers": [8],
        "positions": {"A": 1, "B": 2, "C": 4},
    },
    {
        "clean": [1, 2, 3, 4],
        "corrupted": [1, 2, 9, 4],
        "answers": [7],
        "wrong_answers": [8],
        "positions": {"A": 1, "B": 2, "C": 2},
    },
]


def spec(**parts: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "name": "test",
        "model": {"name": "org/model", "shape": SHAPE | parts.pop("shape", {})},
        "prompts": {"pairs": parts.pop("pairs", PAIRS)},
        "metrics": [{"name": "logit_diff"}],
    } | parts


def checked(**parts: Any) -> Checked:
    return check(CircuitSpec.model_validate(spec(**parts)))


def messages(**parts: Any) -> list[str]:
    with pytest.raises(SpecError) as raised:
        checked(**parts)
    return [problem.message for problem in raised.value.problems]


def edge(sender: Any, receiver: Any, **more: Any) -> dict[str, Any]:
    return {"sender": sender, "receiver": receiver, **more}


class TestMovement:
    @pytest.mark.parametrize(
        ("sender", "receiver"),
        [
            ("a0.h0@B", "a1.h0<k>@B"),
            ("a0.h0@B", "a1.h0"),
            ("a0.h0", "a1.h0<q>@END"),
            ("input@B", "m1@B"),
            ("a0.h0@END", "logits"),
            ("a0.h0@END", "logits@-1"),
            ("a0.h0@C-1", "a2.h0<v>@C-1"),
            ("a1.h0@B", "m1@B"),
            ("a0.h0@B", "r2@B"),
            ("a0.h0@B", "a1@B"),
        ],
    )
    def test_edges_that_move_information(self, sender, receiver):
        assert checked(edges=[edge(sender, receiver)]).warnings == ()

    @pytest.mark.parametrize(
        ("sender", "receiver", "reason"),
        [
            ("a0.h0@A", "a1.h0<q>@B", "would enter a1.h0 at a1.h0<k>@A or a1.h0<v>@A"),
            ("a0.h0@A+1", "a1.h0<q>@C+1", "never the same token"),
            ("a0.h0@A", "m1@B", "give both ends one position"),
            ("a0.h0@B", "logits", "no metric reads the logits at B"),
            ("a0.h0", "r4@B", "r4 has layer 4"),
            ("a0.h0", "m2@B", "no attention after m2 moves B there"),
            ("a0.h0@B", "m2", "no attention after m2 moves B there"),
            ("a0.h0", "a2.h0<q>@B", "no attention after a2.h0 moves B there"),
            ("m1@B", "r2.mid@B", "no attention after r2.mid moves B there"),
        ],
    )
    def test_edges_that_cannot(self, sender, receiver, reason):
        (message,) = messages(edges=[edge(sender, receiver)])
        assert reason in message

    def test_only_attention_after_it_lets_a_change_reach_the_metric(self):
        assert checked(edges=[edge("a0.h0", "m1@B"), edge("m1@B", "r2@B"), edge("a0.h0", "a2.h0<v>@B")])

    def test_nothing_moves_back_unless_the_model_is_bidirectional(self):
        metrics = [{"name": "logit_diff", "at": "B"}]
        (message,) = messages(edges=[edge("a0.h0", "a1.h0<k>@END")], metrics=metrics)
        assert "attention moves nothing from END back there" in message
        assert checked(edges=[edge("a0.h0", "a1.h0<k>@END")], metrics=metrics, shape={"causal": False})

    def test_any_metric_will_do(self):
        metrics = [{"name": "logit_diff"}, {"name": "logit", "at": "B"}]
        assert checked(edges=[edge("a0.h0@B", "logits")], metrics=metrics).warnings == ()

    def test_positions_that_meet_in_some_pairs_only(self):
        (warning,) = checked(edges=[edge("a0.h0@B", "a1.h0<k>@C")]).warnings
        assert warning == (
            "edges.0: a0.h0@B → a1.h0<k>@C: B and C are the same token in 1 of 2 pairs only; "
            "in the others the effect is 0"
        )

    def test_a_metric_that_is_reached_in_some_pairs_only(self):
        metrics = [{"name": "logit_diff", "at": "B"}]
        (warning,) = checked(edges=[edge("a0.h0", "a1.h0<k>@C")], metrics=metrics).warnings
        assert "a change at C gets there in 1 of 2 pairs only" in warning

    def test_joined_ends_need_one_partner_each(self):
        assert checked(edges=[edge(["a0.h0@B", "a0.h1@END"], ["a1.h0<k>@B", "a1.h0<q>@END"], join="both")])
        (message,) = messages(edges=[edge(["a0.h0@A", "a0.h1@END"], ["a1.h0<q>@END"], join="senders")])
        assert message.startswith("edges.0: a0.h0@A → a1.h0<q>@END is structurally zero")

    def test_a_joined_receiver_that_reaches_no_metric_does_not_make_the_others_zero(self):
        entry = edge("a0.h0", ["a1.h0<q>@END", "a2.h0<q>@B"], join="receivers")
        assert checked(edges=[entry]).warnings == (
            "edges.0: a0.h0 → a2.h0<q>@B adds nothing to what it is joined with: the metric is read at END, "
            "and no attention after a2.h0 moves B there",
        )
        (message,) = messages(edges=[edge("a0.h0", ["a2.h1<q>@A", "a2.h0<q>@B"], join="receivers")])
        assert message.startswith("edges.0: a0.h0 → a2.h1<q>@A is structurally zero")
        (warning,) = checked(nodes=[{"node": ["a1.h0@B", "a2.h0@B"], "join": "senders"}]).warnings
        assert warning.startswith("nodes.0: patching a2.h0@B adds nothing")

    def test_joined_receivers_reach_a_metric_in_the_pairs_of_either(self):
        receivers = ["a2.h0<q>@B", "a2.h1<q>@C"]
        metrics = [{"name": "logit_diff", "at": "C"}]
        assert checked(edges=[edge("a0.h0", receivers, join="receivers")], metrics=metrics).warnings == ()
        receivers = ["a2.h0<q>@B", "a2.h1<q>@A"]
        (warning,) = checked(edges=[edge("a0.h0", receivers, join="receivers")], metrics=metrics).warnings
        assert warning == (
            "edges.0: a0.h0 → a2.h0<q>@B and 1 more: the metric is read at C, and the changes get there in "
            "1 of 2 pairs only; in the others the effect is 0 (and 1 more in this entry)"
        )

    def test_joined_ends_that_do_not_come_after_each_other_are_no_partners(self):
        ends = ["a0.h0@END", "a1.h0@B"], ["a1.h1<k>@B", "a2.h0<q>@END"]
        (message,) = messages(edges=[edge(*ends, join="both")])
        assert message.startswith("edges.0: a1.h0@B → a2.h0<q>@END is structurally zero")
        ends = ["a0.h0@B", "a1.h0@C"], ["a1.h1<k>@B", "a2.h0<v>@C"]
        (warning,) = checked(edges=[edge(*ends, join="both")]).warnings
        assert warning.startswith("edges.0: a0.h0@B → a2.h0<v>@C: B and C are the same token in 1 of 2 pairs only")
        assert "more" not in warning  # nothing is said of a1.h0@C → a1.h1<k>@B

    @pytest.mark.parametrize(
        "chain",
        [
            ["input@B", "a0.h0<v>@B>END", "a1.h0<q>@END", "logits@END"],
            ["input@B", "a0.h0<v>@B", "a1.h0<q>@END", "logits"],
            ["input@B", "a0.h0@B>END", "m1@END", "logits"],
        ],
    )
    def test_chains_that_move_information(self, chain):
        assert checked(edges=[{"chain": chain}]).warnings == ()

    @pytest.mark.parametrize(
        ("chain", "reason"),
        [
            (["input@B", "a0.h0<q>@B>END", "logits"], "a0.h0 does not move a change from B to END"),
            (["input@END", "a0.h0<v>@END>B", "a1.h0<v>@B", "logits"], "a0.h0 does not move a change from END to B"),
            (["input@END", "a0.h0<v>@END", "a1.h0<v>@A", "logits"], "what a0.h0 moves from END to later tokens never"),
            (["input@B", "a0.h0<v>@B>B", "m1", "logits"], "no metric reads the logits at B"),
        ],
    )
    def test_chains_that_cannot(self, chain, reason):
        (message,) = messages(edges=[{"chain": chain}])
        assert reason in message

    def test_nodes_and_sets(self):
        assert checked(nodes=["a1.h0@B", "a2.h0<k>@B", "a2.h0@END", "r2@B"]).warnings == ()
        (message,) = messages(nodes=["a2.h0@B"])
        assert message.startswith("nodes.0: patching a2.h0@B is structurally zero")
        (message,) = messages(edges=[{"set": [edge("a0.h0@B", "a1.h0<k>@B"), edge("m0@B", "logits")]}])
        assert message == "edges.0: m0@B → logits is structurally zero: no metric reads the logits at B (read at END)"

    def test_one_message_for_an_entry(self):
        (message,) = messages(edges=[edge("a*.h*@B", "logits")])
        assert message.endswith("(and 5 more in this entry)")

    def test_what_a_pattern_names_among_others_is_a_warning(self):
        groups = {"all": ["every"], "every": ["a*.h*"]}
        for name in ("a*.h*", "every", "all"):
            result = checked(groups=groups, edges=[edge("m0@B", f"{name}<q>@B")])
            assert len(result.graph.claims) == 4
            (warning,) = result.warnings
            assert "m0@B → a2.h0<q>@B is structurally zero" in warning
            assert warning.endswith("(and 1 more in this entry)")
        assert "a2.h0<q>@B is structurally zero" in messages(edges=[edge("m0@B", ["a1.h0<q>@B", "a2.h0<q>@B"])])[0]

    def test_senders_that_no_token_changes(self):
        warnings = checked(edges=[edge("a0.h0@A", "a1.h0<k>@A"), edge("input@C+1", "a1.h0<k>@C+1")]).warnings
        assert [warning.split(" is ")[0] for warning in warnings] == ["edges.0: a0.h0@A", "edges.1: input@C+1"]
        assert "have the same tokens up to A" in warnings[0]
        zero = checked(edges=[edge("a0.h0@A", "a1.h0<k>@A", source="zero")])
        assert zero.warnings == ()

    def test_before_all_attention_a_node_is_made_of_its_own_token(self):
        after_it = edge("m0@END", "a1.h0<k>@END")
        assert checked(edges=[after_it]).warnings == ()
        (warning,) = checked(edges=[after_it], shape={"parallel": True}).warnings
        assert "m0@END is the same in clean and corrupted prompts, which have the same tokens at END" in warning

    def test_joined_ones_are_zero_only_if_no_token_changes_any(self):
        warnings = checked(edges=[edge(["a0.h0@A", "a0.h0@END"], "a1.h0", join="senders")],
                           nodes=[{"node": ["r1@A", "a2.h0@END"], "join": "senders"}]).warnings  # fmt: skip
        assert len(warnings) == 2
        assert all("@A is the same" in warning and "is 0" not in warning for warning in warnings)
        assert all(warning.endswith("it adds nothing to what it is joined with") for warning in warnings)
        (both,) = checked(nodes=[{"node": ["a1.h0@A", "a1.h1@A"], "join": "senders"}]).warnings
        assert "a1.h0@A + a1.h1@A is 0" in both


class TestOverlaps:
    """PAIRS: B and C are tokens 2 and 4 in pair 1, both 2 in pair 2; END is 5 and 3."""

    @pytest.mark.parametrize(
        ("entry", "ends", "where"),
        [
            (
                edge("a0.h0", ["logits@END", "logits@-1"], join="receivers", receivers="add"),
                "logits@END and logits@-1",
                "END and -1 are the same token in all 2 pairs",
            ),
            (
                edge("a0.h0", ["a1.h0<k,v>@B", "m1@B", "a1.h0<v>@C"], join="receivers"),
                "a1.h0<k,v>@B and a1.h0<v>@C",
                "B and C are the same token in pair 2",
            ),
            (
                edge("a0.h0", ["a1<k>@B", "a1.h0<k>@C"], join="receivers", receivers="add"),
                "a1<k>@B and a1.h0<k>@C",
                "B and C are the same token in pair 2",
            ),
            (
                edge(["a0.h0@B", "a0.h0@C"], "a1.h0<k>", join="senders"),
                "a0.h0@B and a0.h0@C",
                "B and C are the same token in pair 2",
            ),
            (
                {"set": [edge("a0.h0@B", "a1.h0<k>@B"), edge("a0.h1@C", "a1.h0<k>@C")]},
                "a1.h0<k>@B and a1.h0<k>@C",
                "B and C are the same token in pair 2",
            ),
            (
                {"set": [edge("a0.h0@B", "a1.h0<k>"), edge("m1@C", "a2.h0<k>"), edge("a0.h0@C", "a1.h0<k>")]},
                "a0.h0@B and a0.h0@C",
                "B and C are the same token in pair 2",
            ),
        ],
    )
    def test_ends_at_one_token_are_not_changed_together(self, entry, ends, where):
        (message,) = messages(edges=[entry])
        assert message == f"edges.0: {ends} cannot be changed together: {where}, which would be changed twice"

    def test_nodes_at_one_token_are_not_patched_together(self):
        (message,) = messages(nodes=[{"node": ["a1.h0@B", "a1.h0@C"], "join": "senders"}])
        assert message.startswith("nodes.0: a1.h0@B and a1.h0@C cannot be changed together")

    @pytest.mark.parametrize(
        "entry",
        [
            edge("a0.h0", ["a1.h0<k>@B", "a1.h0<v>@C"], join="receivers"),  # other ports
            edge("a0.h0", ["a1.h0<k>@A", "a1.h0<k>@C"], join="receivers"),  # other tokens
            edge("a0.h0", ["a1.h0<k>@B", "a1.h1<k>@C"], join="receivers"),  # other nodes
            edge("a0.h0", ["a1.h0<k>@B", "a1.h0<k>@C"]),  # measured apart
            {"set": [edge("a0.h0@B", "a1.h0<k>"), edge("a0.h0@C", "a1.h1<k>")]},  # other receivers
        ],
    )
    def test_ends_that_have_nothing_in_common_may_be(self, entry):
        assert checked(edges=[entry])

    def test_the_end_is_known_without_prompts(self, monkeypatch):
        monkeypatch.setattr("circuitgraph.models.locate._cached_snapshot", lambda *_: None)
        entry = edge("a0.h0", ["logits@END", "logits@-1"], join="receivers", receivers="add")
        prompts = {"generator": {"name": "ioi", "n": 4}}
        (message,) = messages(model="gpt2", prompts=prompts, edges=[entry])
        assert "END and -1 are the same token in every prompt" in message
        entry = edge("a0.h0", ["a1.h0<k>@S1", "a1.h0<k>@S2"], join="receivers")
        assert checked(model="gpt2", prompts=prompts, edges=[entry]).unchecked

    def test_one_message_for_an_entry(self):
        (message,) = messages(edges=[edge("a0.h*", ["a1.h0<k>@B", "a1.h0<k>@C"], join="receivers")])
        assert "a1.h0<k>@B and a1.h0<k>@C cannot be changed together" in message


class TestPrompts:
    def test_pairs_that_are_the_same_twice(self):
        same = PAIRS[0] | {"corrupted": PAIRS[0]["clean"]}
        result = checked(pairs=[*PAIRS, same], edges=[edge("a0.h0", "logits")])
        assert result.warnings == ("prompts: clean and corrupted are the same in pair 3; every effect there is 0",)
        assert result.prompts is not None
        assert len(result.prompts) == 3

    @pytest.mark.parametrize(
        ("pair", "vocab_out", "message"),
        [
            (Pair((1, 2), None, (8,), (4,)), 9, None),
            (Pair((1, 2), None, (8,), (9,)), 9, "pair 1 has answer id 9; this model has logits for 0 to 8"),
            (Pair((1, 2), None, (4,), ()), 3, "pair 1 has answer id 4; this model has logits for 0 to 2"),
            (Pair((1, 2), None, (5,), ()), None, "pair 1 has answer id 5; this model has logits for 0 to 4"),
            (Pair((1, 8), None, (8,), ()), 9, "pair 1 has token id 8; this model has tokens 0 to 4"),
        ],
    )
    def test_prompts_belong_to_the_input_vocabulary_and_answers_to_the_output(self, pair, vocab_out, message):
        findings, shape = Findings(), ModelShape(layers=1, heads=1, kv_heads=1, vocab=5, vocab_out=vocab_out)
        check_size(PromptsSpec(file="pairs.jsonl"), PromptSet((pair,)), shape, findings)
        assert [problem.message for problem in findings.problems] == ([f"prompts: {message}"] if message else [])

    def test_settings_that_nothing_uses(self):
        reference = {"prompts": {"pairs": PAIRS}, "align": "pooled"}
        how = {"draws": 3, "reference": reference}
        assert checked(intervention=how, baseline={}, nodes=["a0.h0"]).warnings == (
            "intervention.draws is 3, and no source is resample: nothing is drawn",
            "intervention.reference is not used: no source is mean or resample",
            "baseline has random edges beside single edges only, and no entry is one",
        )
        assert checked(intervention=how | {"source": "resample"}, nodes=["a0.h0"]).warnings == ()
        edges = [edge("a0.h0", "logits")]
        assert checked(intervention=how, circuit={"source": "resample"}, edges=edges, baseline={}).warnings == ()

    def test_a_position_that_is_nowhere_is_told_once(self):
        how = {"source": "mean", "reference": {"prompts": {"pairs": PAIRS}, "align": "name"}}
        (found,) = messages(intervention=how, nodes=["a0.h0@NOPE"])
        assert found.startswith("nodes.0.node.0: 'NOPE' is no position of these prompts")

    def test_pairs_that_come_again_are_not_independent(self):
        claims = [edge("a0.h0", "logits")]
        twice = [*PAIRS, PAIRS[1] | {"positions": {}}, PAIRS[0], PAIRS[1]]
        assert checked(pairs=twice, edges=claims).warnings == (
            "prompts: 3 of 5 pairs repeat an earlier one (pair 3 is pair 2 again) and count as independent; "
            "leave them out, or give them one cluster",
        )
        one = [pair | {"cluster": "one"} for pair in (*PAIRS, *PAIRS)]
        assert checked(pairs=one, edges=claims).warnings == ()
        several = [*one, PAIRS[0] | {"cluster": "other"}]
        assert checked(pairs=several, edges=claims).warnings[0].startswith("prompts: 1 of 5 pairs")
        answer = [*PAIRS, PAIRS[0] | {"answers": [9]}, PAIRS[0] | {"corrupted": [1, 2, 9, 9, 5, 6]}]
        assert checked(pairs=answer, edges=claims).warnings == ()

    def test_metrics_say_what_they_need(self):
        pairs = [{"clean": [1, 2]}]
        metrics = [{"name": "logit_diff"}, {"name": "kl", "to": "corrupted"}]
        found = messages(pairs=pairs, metrics=metrics, edges=[edge("a0.h0", "logits", source="zero")])
        assert found == [
            "metrics.0: metric logit_diff needs answers, and pair 1 has none",
            "metrics.0: metric logit_diff needs wrong_answers, and pair 1 has none",
            "metrics.1: metric kl needs a corrupted prompt, and pair 1 has none",
        ]
        assert checked(pairs=pairs, metrics=[{"name": "kl"}], edges=[edge("a0.h0", "logits", source="zero")])

    def test_references_that_fit(self):
        intervention = {"source": "mean", "reference": {"prompts": {"pairs": PAIRS}, "align": "pooled"}}
        assert checked(intervention=intervention, edges=[edge("a0.h0", "logits")])
        intervention["reference"]["align"] = "position"
        (message,) = messages(intervention=intervention, edges=[edge("a0.h0", "logits")])
        assert "prompts and reference have 4 to 6 tokens" in message

    def test_a_reference_is_checked_as_prompts_are(self):
        prompts = {"pairs": [{"clean": [1, 99]}, {"clean": []}]}
        intervention = {"source": "mean", "reference": {"prompts": prompts, "align": "pooled"}}
        found = messages(intervention=intervention, edges=[edge("a0.h0", "logits")])
        assert found == ["pair 2: clean has no tokens"]

    def test_a_metric_that_is_none(self):
        found = messages(metrics=[{"name": "logit_dif"}], edges=[edge("a9.h0", "logits")])
        assert len(found) == 2
        assert "did you mean 'logit_diff'?" in found[0]


class TestFiles:
    def write(self, directory: Path, **parts: Any) -> Path:
        path = directory / "spec.yaml"
        path.write_text(yaml.safe_dump(spec(**parts), sort_keys=False, default_flow_style=None))
        return path

    def test_what_is_found_out(self, tmp_path):
        path = self.write(tmp_path, edges=[edge("a*.h*@END", "logits")])
        result = check(path)
        assert (result.path, result.spec.name, result.shape.layers) == (path, "test", 3)
        assert len(result.graph.claims) == 6
        assert result.location.kind == "hub"
        assert result.unchecked == result.warnings == ()
        assert result.graph.claims[0].origin.line > 0

    def test_warnings_name_the_line(self, tmp_path):
        path = self.write(tmp_path, edges=[edge("a0.h0@B", "a1.h0<k>@C")])
        line = next(i for i, text in enumerate(path.read_text().splitlines(), start=1) if "a0.h0@B" in text)
        assert check(path).warnings[0].startswith(f"line {line}: a0.h0@B → a1.h0<k>@C: ")

    def test_overrides_are_checked_too(self, tmp_path):
        path = self.write(tmp_path, edges=[edge("a0.h0", "logits")])
        assert check(path, ["intervention.source=zero"]).spec.intervention.source == "zero"
        with pytest.raises(SpecError, match=r"--set intervention\.source=mean.*needs a reference set"):
            check(path, ["intervention.source=mean"])

    def test_syntax_and_circuit_are_reported_together(self, tmp_path):
        path = self.write(tmp_path, edges=[edge("a0.h7", "logits"), edge("a0.h0", "logits", joint=1)])
        with pytest.raises(SpecError) as raised:
            check(path)
        assert "'joint' is no key" in str(raised.value)
        assert "a0.h7 has head 7" in str(raised.value)

    def test_no_file(self, tmp_path):
        with pytest.raises(FileError):
            check(tmp_path / "missing.yaml")

    def test_an_unreadable_model_is_no_problem_of_the_spec(self, tmp_path):
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "config.json").write_text("{")
        path = self.write(tmp_path, model="./model", edges=[edge("a0.h0", "logits")])
        with pytest.raises(ModelError, match=r"config\.json"):
            check(path)

    def test_text_for_a_model_without_tokenizer(self, tmp_path):
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "config.json").write_text((WORDS / "config.json").read_text())
        pairs = [{"clean": "When Mary", "corrupted": "When John", "answers": ["John"], "wrong_answers": ["Mary"]}]
        path = self.write(tmp_path, model="./model", pairs=pairs, edges=[edge("a0.h0", "logits")])
        with pytest.raises(SpecError, match=r"'\./model' has none; write token ids"):
            check(path)
        prompts = {"pairs": PAIRS, "bos": True}
        path = self.write(tmp_path, model="./model", prompts=prompts, edges=[edge("a0.h0", "logits")])
        with pytest.raises(SpecError, match=r"bos: true needs a tokenizer, .* begin the ids with it, without bos:"):
            check(path)
        path = self.write(tmp_path, model=str(WORDS), pairs=pairs, edges=[edge("a0.h0@BOS", "a1.h0<k>")])
        assert check(path).prompts is not None


class TestOffline:
    """GPT-2 is not on this machine: what does not need its tokenizer is checked, the rest is listed."""

    def gpt2(self, sender: str, receiver: str) -> CircuitSpec:
        parts = spec(
            model="gpt2",
            prompts={"generator": {"name": "ioi", "n": 4}},
            edges=[edge(sender, receiver), edge("10.0@END", "logits")],
        )
        return CircuitSpec.model_validate(parts)

    @pytest.fixture(autouse=True)
    def _no_cache(self, monkeypatch):
        monkeypatch.setattr("circuitgraph.models.locate._cached_snapshot", lambda *_: None)

    def test_what_is_not_checked_is_listed(self):
        result = check(self.gpt2("a5.h5@S2", "a8.h6<v>@S1+1"))
        assert result.prompts is None
        assert result.unchecked == (
            "prompts: token counts, answers and positions were not checked: no tokenizer for gpt2 on this machine",
            "positions: for 1 experiments it depends on the prompts whether their positions can meet",
        )

    @pytest.mark.parametrize(
        ("sender", "receiver", "message"),
        [
            ("a5.h5@S2", "a8.h6<v>@S2+1", "S2 and S2+1 are never the same token"),
            ("a5.h5@END", "a8.h6<q>@-2", "END and -2 are never the same token"),
            ("a5.h5@S2", "a8.h6<v>@S3", "'S3' is no position of these prompts"),
            ("a12.h0", "logits", "a12.h0 has layer 12"),
        ],
    )
    def test_what_is_certain_is_checked(self, sender, receiver, message):
        with pytest.raises(SpecError, match=message.replace("+", r"\+")):
            check(self.gpt2(sender, receiver))


def test_pairs_are_named_from_one():
    assert which([0], 1) == "pair 1"
    assert which([0, 2], 8) == "pairs 1 and 3"
    assert which([1, 2, 4, 5], 8) == "4 of 8 pairs (the first: 2)"
    assert which([0, 1], 2) == "all 2 pairs"


def test_checking_imports_nothing_heavy(tmp_path):
    path = TestFiles().write(tmp_path, model=str(WORDS), edges=[edge("a*.h*", "logits")])
    program = (
        "import sys\nfrom circuitgraph.checks import check\n"
        f"assert len(check({str(path)!r}).graph.claims) == 4\n"
        "heavy = 'torch', 'transformer_lens', 'transformers', 'pandas', 'pyarrow', 'networkx', 'numpy'\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")

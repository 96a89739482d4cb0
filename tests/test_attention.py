"""Attention readout: weights against Hugging Face and a written-out transformer, means, rests, options, messages."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import circuitgraph as cg
from circuitgraph.errors import InputError, NotFiniteError, SpecError
from circuitgraph.execute.weights import heads_of, read_weights
from circuitgraph.graph.reading import AttentionReading, ReadHead
from circuitgraph.nodes import Head, parse_position
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.results.attention import attention_table
from circuitgraph.spec.model import AttentionSection, BaseRun
from circuitgraph.stats import intervals
from tests.node_oracle import PlainTransformer
from tests.test_cli import write_spec
from tests.tiny import HEADS, LAYERS, random_prompts

IOI_MINI = Path(__file__).parents[1] / "specs" / "ioi-mini.yaml"
PROMPTS = random_prompts(6, lengths=(5, 7, 6))
POSITIONS = ("A", "B", "END", "A+2")
EVERY_HEAD = tuple(ReadHead(Head(layer, index)) for layer in range(LAYERS) for index in range(HEADS))

Patterns = Callable[[tuple[int, ...]], torch.Tensor]
"""Token ids of one prompt → attention weights [layers, heads, query, key]."""


def patterns_of(family: str, directory: Path) -> Patterns:
    """The oracle of a family: Hugging Face's own attentions, or a forward pass written out."""
    if family.startswith("tl_"):
        plain = PlainTransformer.load(directory)

        def written_out(ids):
            tokens = torch.tensor([ids])
            layers = [
                [plain.value(tokens, f"a{layer}.h{head}<pattern>")[0] for head in range(HEADS)]
                for layer in range(LAYERS)
            ]
            return torch.stack([torch.stack(heads) for heads in layers])

        return written_out
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float64, attn_implementation="eager")

    def hugging_face(ids):
        with torch.no_grad():
            return torch.cat(model.eval()(torch.tensor([ids]), output_attentions=True).attentions)

    return hugging_face


def expected_weights(patterns: Patterns, prompts: PromptSet, run: BaseRun, positions=POSITIONS):
    """[heads, from, to, pairs] and the rest [heads, from, pairs], by slow loops over single prompts."""
    weights = np.zeros((len(EVERY_HEAD), len(positions), len(positions), len(prompts)))
    rest = np.zeros((len(EVERY_HEAD), len(positions), len(prompts)))
    for i, pair in enumerate(prompts.pairs):
        found = patterns(pair.clean if run is BaseRun.CLEAN else pair.corrupted or ()).double().numpy()
        at = [pair.index(parse_position(text)) for text in positions]
        for h, read in enumerate(EVERY_HEAD):
            for f, query in enumerate(at):
                row = found[read.head.layer, read.head.index, query]
                weights[h, f, :, i] = [row[key] for key in at]
                rest[h, f, i] = 1 - sum(row[key] for key in set(at))
    return weights, rest


def reading_of(run: BaseRun = BaseRun.CLEAN, positions=POSITIONS) -> AttentionReading:
    parsed = tuple(map(parse_position, positions))
    return AttentionReading(EVERY_HEAD, parsed, parsed, run)


@pytest.mark.parametrize("run", list(BaseRun))
@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "tl_attention_only", "tl_bidirectional", "tl_no_norm"])
def test_weights_of_every_head_equal_the_oracle(family, run, checkpoint, tiny_model):
    found = read_weights(tiny_model(family), PROMPTS, reading_of(run))
    weights, rest = expected_weights(patterns_of(family, checkpoint(family)), PROMPTS, run)
    np.testing.assert_allclose(found.weights, weights, atol=1e-9)
    # softmax in float32 adds up to 1 as far as float32 does
    np.testing.assert_allclose(found.rest, rest, atol=1e-9 if family not in ("llama", "gemma2") else 1e-6)
    assert found.rest.min() >= 0
    assert found.weights.max() > 0.5, "heads of some contrast"
    later = np.array([[[pair.index(parse_position(text)) for pair in PROMPTS.pairs] for text in POSITIONS]])
    after = later > later.transpose(1, 0, 2)
    assert after.any()
    if family == "tl_bidirectional":
        assert found.visible.all()
        assert found.weights[:, after].min() > 0
    else:
        np.testing.assert_array_equal(found.visible, ~after)
        assert found.weights[:, after].max() == 0


def test_positions_that_are_one_token_count_once(checkpoint, tiny_model):
    prompts = random_prompts(4, length=4)  # B is 2 or 3: in half of the prompts it is END
    positions = ("B", "END", "-1", "A")
    found = read_weights(tiny_model("gpt2"), prompts, reading_of(positions=positions))
    weights, rest = expected_weights(patterns_of("gpt2", checkpoint("gpt2")), prompts, BaseRun.CLEAN, positions)
    np.testing.assert_allclose(found.weights, weights, atol=1e-9)
    np.testing.assert_allclose(found.rest, rest, atol=1e-9)
    assert found.weights[:, 1].sum(axis=1).max() > 1, "the columns alone would say more than everything"


def test_a_head_that_two_groups_name_is_read_once_and_shown_twice(tmp_path, checkpoint):
    groups = {"early": ["a0.h1@A", "a0.h1@B", "m0"], "late": ["a2", "a0.h1"], "mlps": ["m1"]}
    path = write_spec(tmp_path, checkpoint("gpt2"), groups=groups)
    table = cg.attention(path, from_="END", to="A")
    shown = [(row.group, row.head) for row in table.rows if row.to_position]
    assert shown == [("early", "a0.h1"), *(("late", f"a2.h{i}") for i in range(HEADS)), ("late", "a0.h1")]
    assert table.rows[0].weight == table.rows[-2].weight
    assert len(heads_of(cg.check(path, ["attention.to=[A]"]).attention)) == HEADS + 1


def test_heads_that_are_named_alone_have_no_group(tmp_path, checkpoint):
    path = write_spec(tmp_path, checkpoint("gpt2"), groups={"some": ["a0.h1"]})
    named = cg.attention(path, heads=["a*.h1", "some", "1.0", "a1.h0"], from_="END", to="A").rows
    assert [(row.group, row.head) for row in named if row.to_position] == [
        (None, "a1.h1"), (None, "a2.h1"), ("some", "a0.h1"), (None, "a1.h0")
    ]  # fmt: skip


def test_all_heads_and_all_shared_positions_where_the_spec_says_nothing(tmp_path, checkpoint):
    path = write_spec(tmp_path, checkpoint("gpt2"))
    table = cg.attention(path)
    assert [row.head for row in table.rows[:: 4 * 3]] == [f"a{x}.h{y}" for x in range(LAYERS) for y in range(HEADS)]
    assert table.from_positions == table.to_positions == ("A", "B", "END")
    assert cg.check(path).attention is None, "without a section, nothing is asked for"


def test_a_spec_needs_no_edges(tmp_path, checkpoint):
    path = write_spec(tmp_path, checkpoint("gpt2"), edges=[], nodes=[], attention={"to": ["A"]})
    assert cg.check(path).graph.claims == ()
    assert len(cg.attention(path, heads="a1.h0").rows) == 3 * 2


# Means ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clustered(tmp_path_factory, checkpoint) -> tuple[Path, PromptSet]:
    """A spec whose twelve prompts make four clusters of unlike size."""
    prompts = random_prompts(12, lengths=(5, 6))
    names = [f"c{i * i % 5 + i // 11}" for i in range(12)]
    prompts = PromptSet(tuple(replace(pair, cluster=name) for pair, name in zip(prompts.pairs, names, strict=True)))
    directory = tmp_path_factory.mktemp("clustered")
    path = write_spec(directory, checkpoint("gpt2"), prompts)
    lines = [json.loads(line) for line in (directory / "pairs.jsonl").read_text().splitlines()]
    text = "".join(json.dumps({**line, "cluster": name}) + "\n" for line, name in zip(lines, names, strict=True))
    (directory / "pairs.jsonl").write_text(text)
    return path, prompts


@pytest.mark.parametrize("run", ["clean", "corrupted"])
def test_rows_are_means_with_intervals_that_respect_clusters(clustered, checkpoint, run):
    path, prompts = clustered
    table = cg.attention(path, from_=POSITIONS, to=POSITIONS, run=run, overrides=["intervention.seed=3"])
    weights, rest = expected_weights(patterns_of("gpt2", checkpoint("gpt2")), prompts, BaseRun(run))
    values = np.concatenate([weights, rest[:, :, None]], axis=2).reshape(-1, len(prompts))
    wanted = intervals(values, prompts.clusters, seed=3)
    assert (table.run, table.n) == (run, 12)
    assert {row.interval for row in table.rows} == {"cluster-t", "constant"}
    for i, row in enumerate(table.rows):
        assert row.weight == pytest.approx(values[i].mean(), abs=1e-9)
        assert row.std_error == pytest.approx(wanted.std_error[i], abs=1e-9)
        low, high = np.clip([wanted.low[i], wanted.high[i]], 0, 1)
        assert (row.ci_low, row.ci_high) == pytest.approx((low, high), abs=1e-8)
    assert wanted.low.min() < -1e-3, "there is something to cut off"
    assert any("clusters" in warning for warning in table.warnings)


def test_a_row_adds_up_to_one(clustered):
    rows = cg.attention(clustered[0]).to_frame()
    totals = rows.groupby(["head", "from_position"])["weight"].sum()
    np.testing.assert_allclose(totals, 1, atol=1e-12)
    assert list(rows.columns)[:6] == ["group", "head", "from_position", "to_position", "weight", "std_error"]
    assert rows["to_position"].isna().sum() == len(totals)


def test_one_prompt_has_no_interval(tmp_path, checkpoint):
    path = write_spec(tmp_path, checkpoint("gpt2"), random_prompts(1))
    row = cg.attention(path, heads="a0.h0", from_="END", to="A").rows[0]
    assert (row.std_error, row.ci_low, row.ci_high, row.interval) == (None, None, None, None)


def test_a_weight_that_is_not_finite_names_head_and_pair():
    weights = np.full((len(EVERY_HEAD), 4, 4, 3), 0.1)
    weights[5, 0, 1, 2] = np.nan
    with pytest.raises(NotFiniteError, match=r"attention of a1\.h1 is not finite in 1 of 3 prompts, first pair 3: nan"):
        attention_table(
            reading_of(), [read.head for read in EVERY_HEAD], weights, np.zeros((len(EVERY_HEAD), 4, 3)),
            np.ones((4, 4, 3), dtype=bool), name="x", model="y",
        )  # fmt: skip


def test_a_missing_corrupted_prompt_is_refused_when_read(tiny_model):
    alone = PromptSet(tuple(replace(pair, corrupted=None) for pair in PROMPTS.pairs))
    with pytest.raises(InputError, match="pair 1 has none"):
        read_weights(tiny_model("gpt2"), alone, reading_of(BaseRun.CORRUPTED))


# Options ----------------------------------------------------------------------------------------


def test_options_win_over_set_and_set_over_the_spec(tmp_path, checkpoint):
    section = {"heads": ["a0.h0"], "from": ["A"], "to": ["A"], "run": "corrupted"}
    path = write_spec(tmp_path, checkpoint("gpt2"), attention=section)

    def asked(**given):
        table = cg.attention(path, **given)
        return table.rows[0].head, table.from_positions, table.to_positions, table.run

    assert asked() == ("a0.h0", ("A",), ("A",), "corrupted")
    settings = ["attention.heads=[a1.h1]", "attention.from=[B]"]
    assert asked(overrides=settings) == ("a1.h1", ("B",), ("A",), "corrupted")
    assert asked(overrides=settings, heads=["a2.h2"], run="clean") == ("a2.h2", ("B",), ("A",), "clean")


def test_an_option_takes_the_place_of_what_is_wrong_in_the_spec(tmp_path, checkpoint):
    path = write_spec(tmp_path, checkpoint("gpt2"), attention={"heads": ["a9.h9"], "to": ["A"]})
    with pytest.raises(SpecError, match=r"tiny\.yaml:\d+:\d+: a9\.h9 has layer 9"):
        cg.check(path)
    assert cg.attention(path, heads="a0.h0").to_positions == ("A",)


def test_a_problem_names_the_option_it_came_with(tmp_path, checkpoint):
    path = write_spec(tmp_path, checkpoint("gpt2"), groups={"movers": ["a0.h1"]}, attention={"heads": "a0"})
    with pytest.raises(SpecError) as raised:
        cg.attention(
            path, heads=["movers", "movres"], from_="EN", to=[], run="other", overrides=["attention.heads=[x]"]
        )
    messages = str(raised.value).splitlines()
    assert [message.split(": ")[0] for message in messages] == ["--from EN", "--heads movres", "--run other", "--to []"]
    assert "did you mean 'movers'?" in messages[1]
    assert messages[3] == "--to []: to needs at least 1 entry, not 0"


def test_a_spec_in_memory_takes_options_too(tmp_path, checkpoint):
    path = write_spec(tmp_path, checkpoint("gpt2"))
    spec = cg.load(path)
    rows = cg.attention(spec, heads="a1", to="A", run="corrupted").rows
    assert rows == cg.attention(path, heads="a1", to="A", run="corrupted").rows
    assert spec.attention is None, "the caller's spec stays as it is"
    with pytest.raises(SpecError, match=r"attention\.heads\.0: a9\.h0 has layer 9"):
        cg.attention(spec, heads="a9.h0")
    with pytest.raises(SpecError, match=r"attention\.run: 'other' is no run; have: clean, corrupted"):
        cg.attention(spec, run="other")


def test_a_spec_made_in_python_is_checked_too(tmp_path, checkpoint):
    spec = cg.load(write_spec(tmp_path, checkpoint("gpt2")))
    wrong = AttentionSection.model_construct(heads=None, from_=("A B",), to=("C",), run=BaseRun.CLEAN)
    with pytest.raises(SpecError) as raised:
        cg.check(spec.model_copy(update={"attention": wrong}).in_directory(tmp_path))
    assert "attention.from.0: '@A B' is no position; write a name" in str(raised.value)
    assert "attention.to.0: 'C' is no position" in str(raised.value)


# The command ------------------------------------------------------------------------------------


def test_the_command_prints_what_the_heads_of_ioi_mini_attend_to(circuitgraph):
    ended = circuitgraph("attention", IOI_MINI)
    assert ended.status == 0
    head, _, names, *lines = ended.out.splitlines()
    assert head == "mean attention weights in 64 clean prompts"
    assert names.split() == ["group", "head", "from", "BOS", "IO", "S1", "S1+1", "S2", "else"]
    rows = {tuple(line.split()[:3]): list(map(float, line.split()[3:])) for line in lines[:12]}
    assert rows["inhibition", "a2.h0", "END"][4] == 0.99
    assert rows["inhibition", "a2.h1", "END"][4] == 0.98
    assert rows["movers", "a3.h0", "END"][1] == rows["movers", "a3.h1", "END"][1] == 0.99
    assert all(abs(sum(row) - 1) <= 0.03 for row in rows.values())
    # the very lines of the page
    page = (IOI_MINI.parents[1] / "docs" / "ioi-mini.md").read_text(encoding="utf-8")
    assert "".join(f"    {line}\n" if line else "\n" for line in ended.out.splitlines()) in page


def test_later_tokens_are_a_dot_and_the_footer_says_why(circuitgraph):
    ended = circuitgraph(
        "attention", IOI_MINI, "--heads", "movers", "--from", "S2", "--from", "END", "--to", "END", "--to", "S2"
    )
    lines = ended.out.splitlines()
    assert lines[3].split()[:5] == ["movers", "a3.h0", "S2", "·", "0.03"]
    assert lines[4].split()[3] == "0.00"
    assert "·: a later token, which this model cannot attend to; the weight is 0" in lines


def test_the_group_column_is_left_out_where_nothing_has_a_group(circuitgraph):
    ended = circuitgraph("attention", IOI_MINI, "--heads", "a0.h3", "--set", "prompts.generator.n=2")
    assert ended.out.splitlines()[2].split() == ["head", "from", "BOS", "IO", "S1", "S1+1", "S2", "else"]
    assert "warning: only 2 pairs" in ended.err


def test_json_has_every_number(circuitgraph):
    ended = circuitgraph("attention", IOI_MINI, "--heads", "a2.h0", "--from", "END", "--json", "--run", "corrupted")
    data = json.loads(ended.out)
    assert (data["name"], data["model"], data["run"], data["n"]) == ("ioi-mini", "ioi-mini", "corrupted", 64)
    last = data["rows"][-1]
    assert last["to_position"] is None
    assert sum(row["weight"] for row in data["rows"]) == pytest.approx(1, abs=1e-6)
    assert all(0 <= row["ci_low"] <= row["weight"] <= row["ci_high"] <= 1 for row in data["rows"])
    assert {row["interval"] for row in data["rows"]} == {"cluster-t"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--heads", "movres"], "--heads movres: 'movres' is no node and no group; did you mean 'movers'?"),
        (["--heads", "a3.h0<q>@END"], "--heads a3.h0<q>@END: attention is read of whole heads, without a"),
        (["--from", "S3"], "--from S3: 'S3' is no position of these prompts"),
        (["--run", "dirty"], "--run dirty: 'dirty' is no run; have: clean, corrupted"),
        (["--set", "attention.to=[S9]"], "--set attention.to=[S9]: 'S9' is no position of these prompts"),
    ],
)  # fmt: skip
def test_misuse_is_told_in_one_line(circuitgraph, arguments, message):
    ended = circuitgraph("attention", IOI_MINI, *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(message)
    assert ended.err.count("\n") == 1


def test_corrupted_needs_corrupted_prompts(circuitgraph, tmp_path, checkpoint):
    alone = PromptSet(tuple(replace(pair, corrupted=None) for pair in PROMPTS.pairs))
    spec = write_spec(tmp_path, checkpoint("gpt2"), alone, edges=[], nodes=[], attention={})
    ended = circuitgraph("attention", spec, "--run", "corrupted")
    assert ended.status == 2
    assert ended.err == "--run corrupted: run: corrupted needs corrupted prompts, and all 6 pairs have none\n"


def test_check_says_what_will_be_read(circuitgraph):
    assert "reads    attention of 6 heads, 2 × 5 positions, in clean prompts" in circuitgraph("check", IOI_MINI).out


def test_a_group_that_cannot_be_read_is_the_only_problem(tmp_path, checkpoint):
    path = write_spec(tmp_path, checkpoint("gpt2"), groups={"late": [5]}, attention={"heads": ["late"], "to": ["A"]})
    with pytest.raises(SpecError) as raised:
        cg.check(path)
    assert len(raised.value.problems) == 1
    assert yaml.safe_load(path.read_text())["groups"] == {"late": [5]}


def test_what_tokens_there_are_is_not_known_without_a_tokenizer(tmp_path):
    spec = {
        "version": 1,
        "name": "far",
        "model": {"name": "org/far", "shape": {"layers": 2, "heads": 2}},
        "prompts": {"pairs": [{"clean": "a b", "positions": {"A": 1}}]},
        "metrics": [{"name": "kl"}],
        "attention": {"to": ["A"], "from": ["B"]},
    }
    path = tmp_path / "far.yaml"
    path.write_text(yaml.safe_dump(spec))
    with pytest.raises(SpecError, match="'B' is no position of these prompts"):
        cg.check(path)
    found = cg.check(path, ["attention.from=[A]"])
    assert (found.attention, found.prompts) == (None, None)


def test_a_run_reads_it_too_and_keeps_it(tmp_path):
    result = cg.run(IOI_MINI, out=tmp_path / "run", overrides=["prompts.generator.n=8"])
    assert result.attention == cg.attention(IOI_MINI, overrides=["prompts.generator.n=8"])
    assert cg.load_run(tmp_path / "run").attention == result.attention

"""Direct logit attribution: it adds up, and each summand is what TransformerLens, patching and hand say."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import circuitgraph as cg
from circuitgraph.errors import AuditError, InputError, NotFiniteError, RefusedError, SpecError
from circuitgraph.execute.attribution import take_apart
from circuitgraph.execute.bind import bind_metrics
from circuitgraph.graph.reading import AttributionReading
from circuitgraph.graph.shape import ModelShape
from circuitgraph.models.frozen import freeze
from circuitgraph.nodes import Position, parse_position
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.results.attribution import AttributionTable, Part, Summands, attribution_table
from circuitgraph.spec.kinds import PluginSpec
from circuitgraph.spec.model import AttributionOf, BaseRun, Unit
from tests.measuring import edge, measure_all
from tests.test_cli import write_spec
from tests.tiny import FAMILIES, HEADS, LAYERS, random_prompts

IOI_MINI = Path(__file__).parents[1] / "specs" / "ioi-mini.yaml"
PROMPTS = random_prompts(5, lengths=(5, 7, 6))
METRICS = bind_metrics([PluginSpec(name="logit_diff"), PluginSpec(name="logit")])
CAPPED = ("gemma2",)
UNCAPPED = tuple(family for family in FAMILIES if family not in CAPPED)


def taken(model, unit=Unit.HEAD, of=AttributionOf.CLEAN, at=None, tokens=None, prompts=PROMPTS) -> tuple[Summands, ...]:
    positions = None if at is None else tuple(map(parse_position, at))
    split = None if tokens is None else tuple(map(parse_position, tokens))
    return take_apart(model, PROMPTS, METRICS, AttributionReading((0, 1), unit, of, positions, split))


def by_label(found: Summands) -> dict[str, np.ndarray]:
    labels = [part.name if part.token is None else f"{part.name} {part.token}" for part in found.parts]
    assert len(set(labels)) == len(labels)
    return dict(zip(labels, found.values, strict=True))


def logits_of(model, run: BaseRun, position: Position) -> torch.Tensor:
    """The model's own logits, prompt by prompt. [pairs, vocab]"""
    rows = []
    for pair in PROMPTS.pairs:
        ids = torch.tensor([pair.clean if run is BaseRun.CLEAN else pair.corrupted])
        rows.append(model.run(ids).logits[0, pair.index(position)].double())
    return torch.stack(rows)


def expected_metrics(model, run: BaseRun, position: Position) -> tuple[np.ndarray, np.ndarray]:
    """logit_diff and logit, written out over single prompts."""
    right, difference = [], []
    for row, pair in zip(logits_of(model, run, position), PROMPTS.pairs, strict=True):
        answer = sum(float(row[a]) for a in pair.answers) / len(pair.answers)
        right.append(answer)
        difference.append(answer - sum(float(row[w]) for w in pair.wrong_answers) / len(pair.wrong_answers))
    return np.array(difference), np.array(right)


@pytest.mark.parametrize("family", UNCAPPED)
def test_it_adds_up_to_the_metric_on_every_family(tiny_model, family):
    model = tiny_model(family)
    for at in ("END", "B"):
        sides = {run: expected_metrics(model, run, parse_position(at)) for run in BaseRun}
        clean, corrupted = sides[BaseRun.CLEAN], sides[BaseRun.CORRUPTED]
        wanted = {
            AttributionOf.CLEAN: clean,
            AttributionOf.CORRUPTED: corrupted,
            AttributionOf.DIFFERENCE: tuple(a - b for a, b in zip(clean, corrupted, strict=True)),
        }
        for unit in Unit:
            for of, expected in wanted.items():
                for found, metric in zip(taken(model, unit, of, at=[at]), expected, strict=True):
                    # 1e-9 of the size of what is added up, which is some 10 here.
                    assert np.abs(found.values.sum(axis=0) - metric).max() < 1e-9 * max(1, np.abs(found.values).max())
                    assert np.abs(found.metrics - metric).max() < 1e-9 * max(1, np.abs(metric).max())
                    assert found.residue < 1e-9


@pytest.mark.parametrize("family", ["gpt2", "gemma3_text", "gpt_neox", "tl_attention_only"])
def test_coarse_units_are_sums_of_fine_ones(tiny_model, family):
    model = tiny_model(family)
    whole, heads, neurons = (by_label(taken(model, unit)[0]) for unit in Unit)
    for layer in range(LAYERS):
        inner = [value for name, value in heads.items() if name.startswith(f"a{layer}.")]
        assert len(inner) >= HEADS
        assert np.allclose(sum(inner), whole[f"a{layer}"], atol=1e-9)
        if model.shape.mlps:
            parts = [value for name, value in neurons.items() if name.startswith(f"m{layer}.")]
            assert len(parts) >= model.shape.d_mlp
            assert np.allclose(sum(parts), whole[f"m{layer}"], atol=1e-6)  # norms in float32 inside
            assert np.allclose(heads[f"m{layer}"], whole[f"m{layer}"], atol=0)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "llama", "qwen2", "qwen3", "mistral", "opt", "phi", "gptj"])
def test_it_is_what_transformer_lens_decomposes(tiny_model, checkpoint, family):
    """TransformerLens decomposes models whose norms are folded into the weights.

    Folding changes no sum over a layer: centring what is written and unembedded drops out of a difference of logits,
    and what it does to biases stays in the row of its layer but for b_V, which is not folded here.
    """
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedTokenizerFast  # noqa: F401 (a bridge loads it itself)

    from circuitgraph.models.loading import load_model
    from circuitgraph.models.locate import Location

    own = load_model(Location("directory", family, checkpoint(family)), dtype="float64", device="cpu")
    expected = {unit: by_label(taken(own, unit)[0]) for unit in (Unit.COMPONENT, Unit.HEAD)}
    bridge = own._bridge
    assert isinstance(bridge, TransformerBridge)
    bridge.enable_compatibility_mode(disable_warnings=True, fold_value_biases=False)
    for i, pair in enumerate(PROMPTS.pairs):
        with torch.no_grad():
            _, cache = bridge.run_with_cache(torch.tensor([pair.clean]))
        where = pair.index(parse_position("END"))
        direction = bridge.W_U[:, list(pair.answers)].mean(1) - bridge.W_U[:, list(pair.wrong_answers)].mean(1)
        layers, names = cache.decompose_resid(apply_ln=True, return_labels=True)
        theirs = dict(zip(names, (layers[:, 0, where] @ direction).tolist(), strict=True))
        heads, names = cache.stack_head_results(apply_ln=True, return_labels=True)
        theirs |= dict(zip(names, (heads[:, 0, where] @ direction).tolist(), strict=True))
        # Its rows lack b_O of heads, b_U, and the bias of the final norm, which folding puts into b_U.
        pairs = {"embed": "embed", **({"pos_embed": "pos_embed"} if "pos_embed" in theirs else {})}
        pairs |= {f"{layer}_attn_out": f"a{layer}" for layer in range(LAYERS)}
        pairs |= {f"{layer}_mlp_out": f"m{layer}" for layer in range(LAYERS)}
        for name, ours in pairs.items():
            assert theirs[name] == pytest.approx(expected[Unit.COMPONENT][ours][i], abs=2e-6), name
        for layer in range(LAYERS):
            for head in range(HEADS):
                ours = expected[Unit.HEAD][f"a{layer}.h{head}"][i]
                assert theirs[f"L{layer}H{head}"] == pytest.approx(ours, abs=2e-6), (layer, head)


def test_shares_and_intervals_of_the_table_by_hand():
    parts = (Part("a0.h0", "head", 0), Part("m0", "mlp", 0))
    values = np.array([[30.0, 32.0, 31.0], [-1.0, -1.0, -1.0]])
    metric = values.sum(axis=0)
    found = Summands("logit_diff", "END", parts, values, metric)
    table = attribution_table([found], name="hand", model="none", of="clean", unit="head")
    head, mlp = table.rows
    assert (head.value, head.share, head.std_error) == (31.0, pytest.approx(31 / 30), pytest.approx(1 / 3**0.5))
    assert (mlp.value, mlp.share, mlp.ci_low, mlp.ci_high, mlp.interval) == (
        -1.0, pytest.approx(-1 / 30), -1.0, -1.0, "constant",
    )  # fmt: skip


def test_a_frozen_norm_by_hand():
    stream = torch.tensor([[1.0, 3.0, -1.0, 5.0]], dtype=torch.float64)
    weight, bias = torch.tensor([1.0, 2.0, -1.0, 0.5]), torch.tensor([0.1, 0.2, 0.3, 0.4])
    norm = torch.nn.LayerNorm(4, eps=1e-12, dtype=torch.float64)
    norm.weight.data, norm.bias.data = weight.double(), bias.double()
    frozen = freeze(norm, stream, "norm")
    # mean 2, deviations (−1, 1, −3, 3), variance 5
    u = torch.tensor([[1.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
    pulled = torch.tensor([1.0, 2.0, 0.0, 0.0], dtype=torch.float64) - 0.75
    assert torch.allclose(frozen.pull(u), pulled[None] / 5**0.5, atol=1e-6)
    assert torch.allclose(frozen.bias, bias.double(), atol=1e-12)


def test_a_function_that_is_no_norm_is_refused():
    with pytest.raises(AuditError, match="the final norm is no norm that can be frozen: as an affine map it deviates"):
        freeze(lambda x: x * x.abs().amax(-1, keepdim=True).rsqrt() + x**3, torch.randn(2, 6), "the final norm")


@pytest.mark.parametrize("width", [6, 7])
@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_frozen_norms_of_any_width(width, kind):
    torch.manual_seed(width)
    norm = {"layer": torch.nn.LayerNorm, "rms": torch.nn.RMSNorm}[kind](width, dtype=torch.float64)
    for parameter in norm.parameters():
        parameter.data.normal_()
    stream, u = torch.randn(3, width, dtype=torch.float64), torch.randn(3, width, dtype=torch.float64)
    frozen = freeze(norm, stream, "norm")
    expected = (norm(stream).detach() * u).sum(-1)
    assert torch.allclose((frozen.pull(u) * stream).sum(-1) + u @ frozen.bias, expected, atol=1e-9)


def test_the_difference_is_that_of_the_two_runs(tiny_model):
    clean, corrupted, difference = (by_label(taken(tiny_model("gemma3_text"), of=of)[0]) for of in AttributionOf)
    for name, value in difference.items():
        assert np.allclose(value, clean[name] - corrupted[name], atol=1e-12)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma3_text", "tl_bidirectional"])
def test_the_tokens_a_head_attended_to_add_up_to_the_head(tiny_model, family):
    model = tiny_model(family)
    # B and A+1 are one token in some prompts: it counts once.
    heads, split = (by_label(taken(model, tokens=tokens)[0]) for tokens in (None, ("A", "B", "A+1", "END")))
    for layer in range(LAYERS):
        for head in range(HEADS):
            name = f"a{layer}.h{head}"
            parts = [split[f"{name} {token}"] for token in ("A", "B", "A+1", "END", "else")]
            assert np.allclose(sum(parts), heads[name], atol=1e-6 if family != "gpt2" else 1e-10)
            assert all(np.abs(part).max() > 0 for part in parts)


def test_without_a_norm_it_is_the_edge_into_the_logits(tiny_model):
    """clean − corrupted of each head is minus the effect of its edge into the logits."""
    model = tiny_model("tl_no_norm")
    claims = [edge(f"a{layer}.h{head}", "logits") for layer in range(LAYERS) for head in range(HEADS)]
    effects = {m.id: m.effect for m in measure_all(model, claims, PROMPTS)}
    found = by_label(taken(model, of=AttributionOf.DIFFERENCE)[0])
    from circuitgraph.graph.claims import claim_id

    for claim in claims:
        assert np.allclose(effects[claim_id(claim)], -found[str(claim.senders[0].node)], atol=1e-9)


def test_log_probabilities_differ_as_logits_do(tiny_model):
    """log_softmax takes the same number off every logit, so attribution speaks of log-probabilities as well."""
    model = tiny_model("gpt2")
    found = taken(model)[0]
    for i, (row, pair) in enumerate(
        zip(logits_of(model, BaseRun.CLEAN, parse_position("END")), PROMPTS.pairs, strict=True)
    ):
        log_probs = row.log_softmax(-1)
        difference = log_probs[list(pair.answers)].mean() - log_probs[list(pair.wrong_answers)].mean()
        assert found.values[:, i].sum() == pytest.approx(float(difference), abs=1e-9)


def test_in_float32_it_adds_up_to_rounding(tiny_model):
    for family in ("gpt2", "gemma3_text", "llama"):
        for unit in Unit:
            assert all(found.residue < 1e-5 for found in taken(tiny_model(family, "float32"), unit))


def test_a_sum_that_is_not_the_metric_is_an_error(tiny_model, monkeypatch):
    from circuitgraph.execute import attribution

    monkeypatch.setattr(attribution._Batch, "_mlp", lambda self, layer, where, g: {})
    with pytest.raises(AuditError, match=r"attribution of logit_diff at END: what components write does not add up"):
        taken(tiny_model("gpt2"))


def test_a_capped_model_is_refused_also_where_check_could_not_know(tiny_model):
    with pytest.raises(RefusedError, match="soft cap"):
        taken(tiny_model("gemma2"))


def test_twins_take_a_preference_for_a_name_out():
    """Each prompt and its twin exchange answer and wrong answer: what favours a name, such as a bias, cancels."""
    settings = ["prompts.generator.n=8"]
    plain = cg.attribution(IOI_MINI, overrides=settings)
    twins = cg.attribution(IOI_MINI, overrides=[*settings, "prompts.generator.twin=true"])
    bias = {table: next(row for row in table.rows if row.name == "norm.bias") for table in (plain, twins)}
    values = np.array(bias[twins].values).reshape(-1, 2)
    assert np.allclose(values.sum(axis=1), 0, atol=1e-6)
    assert np.abs(values).max() > 1e-3
    assert abs(bias[twins].value) < 1e-7 < abs(bias[plain].value)
    assert bias[twins].interval is not None


def test_the_table(tmp_path):
    table = cg.attribution(IOI_MINI, of="difference", at=["END", "S2"], overrides=["prompts.generator.n=8"])
    assert [(total.metric, total.at) for total in table.totals] == [("logit_diff", "END"), ("logit_diff", "S2")]
    for total in table.totals:
        rows = [row for row in table.rows if row.at == total.at]
        assert sum(row.value for row in rows) == pytest.approx(total.value, abs=1e-4)
        assert [sum(v) for v in zip(*(row.values for row in rows), strict=True)] == pytest.approx(
            total.values, abs=1e-4
        )
    row = max(table.rows, key=lambda row: abs(row.value))
    assert row.share == pytest.approx(row.value / table.totals[0].value)
    assert row.value == pytest.approx(np.mean(row.values))
    assert row.ci_low is not None
    assert row.ci_low < row.value
    table.save(tmp_path / "a.parquet")
    assert AttributionTable.read(tmp_path / "a.parquet") == table
    table.save(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().startswith("metric,of,at,name,kind,layer,token,value,share,")
    assert len(table.to_frame()) == len(table.rows)
    with pytest.raises(InputError, match=r"'a.txt' is no .parquet or .csv file"):
        table.save("a.txt")


def test_not_a_number_is_named():
    found = Summands("logit_diff", "END", (Part("a0.h0", "head", 0),), np.array([[1.0, np.nan]]), np.ones(2))
    with pytest.raises(NotFiniteError, match=r"of logit_diff to a0.h0 is not finite in 1 of 2 prompts, first pair 2"):
        attribution_table([found], name="x", model="y", of="clean", unit="head")


def test_the_command(circuitgraph, tmp_path):
    settings = ["--set", "prompts.generator.n=8"]
    ended = circuitgraph("attribution", IOI_MINI, *settings, "--top", "3", "-o", "all.parquet")
    assert ended.status == 0
    lines = ended.out.splitlines()
    assert lines[0].startswith("logit_diff at END, clean run, 8 prompts: ")
    assert lines[3].split() == ["component", "writes", "95", "%", "interval", "share"]
    assert [line.split()[0] for line in lines[4:7]] == ["a3.h1", "a3.h0", "m3"]
    assert lines[7].split()[1] == "more"
    assert lines[8].split()[0] == "together"
    assert (tmp_path / "all.parquet").exists()
    as_json = json.loads(circuitgraph("attribution", IOI_MINI, *settings, "--tokens", "--json").out)
    assert {row["token"] for row in as_json["rows"] if row["kind"] == "head"} >= {"IO", "S1", "S2", "END", "else"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--unit", "heads"], "--unit heads: 'heads' is no unit; did you mean 'head'?"),
        (["--at", "EDN"], "'EDN' is no position of these prompts; did you mean 'END'?"),
        (["--tokens", "--unit", "component"], "tokens splits heads: write unit: head (or neuron)"),
        (["-o", "a.txt"], "'a.txt' is no .parquet or .csv file"),
        (
            ["--set", "metrics=[kl]"],
            "attribution takes apart what is linear in the logits (logit_diff, logit); 'kl' is not",
        ),
    ],
)
def test_what_cannot_be_read_is_said(circuitgraph, options, said):
    ended = circuitgraph("attribution", IOI_MINI, *options)
    assert ended.status == 2
    assert said in ended.err


def test_what_the_model_and_the_prompts_forbid(checkpoint, tmp_path):
    capped = write_spec(tmp_path, checkpoint("gemma2"), PROMPTS, metrics=["logit_diff"], attribution={})
    with pytest.raises(SpecError, match="the logits of this model pass a soft cap"):
        cg.check(capped)
    largest = {"name": "logit_diff", "reduce": "max"}
    several = write_spec(tmp_path, checkpoint("gpt2"), PROMPTS, metrics=[largest], attribution={})
    with pytest.raises(SpecError, match=r"with reduce: max is not where there are several answers \(pair 1\)"):
        cg.check(several)
    alone = PromptSet(tuple(dataclasses.replace(pair, corrupted=None) for pair in PROMPTS.pairs))
    unpaired = write_spec(tmp_path, checkpoint("gpt2"), alone, metrics=["logit"], attribution={"of": "difference"},
                          intervention={"source": "zero"})  # fmt: skip
    with pytest.raises(SpecError, match="of: difference needs corrupted prompts"):
        cg.check(unpaired)


def test_metrics_that_are_not_linear_are_left_out_with_a_word(checkpoint, tmp_path):
    spec = write_spec(tmp_path, checkpoint("gpt2"), PROMPTS, metrics=["kl", "logit_diff"], attribution={})
    table = cg.attribution(spec)
    assert {row.metric for row in table.rows} == {"logit_diff"}
    assert "not taken apart, as not linear in the logits: kl" in table.warnings


def test_a_run_takes_apart_too_and_keeps_it(tmp_path):
    data = yaml.safe_load(IOI_MINI.read_text()) | {"attribution": {"unit": "component"}}
    spec = tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump(data))
    settings = ["prompts.generator.n=8"]
    result = cg.run(spec, out=tmp_path / "run", overrides=settings)
    assert result.attribution == cg.attribution(spec, overrides=settings)
    assert cg.load_run(tmp_path / "run").attribution == result.attribution


def test_shapes_that_are_only_declared_are_not_called_capped():
    assert not ModelShape(1, 1, 1).soft_cap

"""Metrics against hand-worked numbers and plain numpy, alone and at the end of a run."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from circuitgraph import catalog
from circuitgraph.errors import InputError
from circuitgraph.execute.bind import bind_metrics
from circuitgraph.graph.claims import Base
from circuitgraph.metrics.readout import Readout, token_table
from circuitgraph.models.sites import Site, SiteKind
from circuitgraph.spec.model import BaseRun, PluginSpec
from tests.measuring import edge, measure_all, node
from tests.tiny import random_prompts

LOG = math.log
# Two pairs over four tokens. exp(logits) is [1, 2, 3, 4], sum 10, and [8, 1, 1, 6], sum 16.
LOGITS = [[0.0, LOG(2), LOG(3), LOG(4)], [LOG(8), 0.0, 0.0, LOG(6)]]
OTHER = [[LOG(4), LOG(3), LOG(2), 0.0], [0.0, 0.0, 0.0, 0.0]]
# The first pair has two answers and one wrong answer, the second one answer and two wrong ones.
ANSWERS, WRONG = [(3, 1), (0,)], [(2,), (3, 1)]


def readout(logits: list[list[float]] = LOGITS, corrupted: bool = True) -> Readout:
    device = torch.device("cpu")
    return Readout(
        logits=torch.tensor(logits, dtype=torch.float64),
        answers=token_table(ANSWERS, device),
        wrong=token_table(WRONG, device),
        base=torch.tensor(OTHER, dtype=torch.float64),
        clean=torch.tensor(LOGITS, dtype=torch.float64),
        corrupted=torch.tensor(OTHER, dtype=torch.float64) if corrupted else None,
    )


def value(read: Readout, name: str, **parameters: object) -> NDArray[np.float64]:
    entry = catalog.metrics.lookup(name)
    return entry.load().measure(read, entry.read(parameters)).numpy()


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        # Means over the answers: (log 4 + log 2) / 2 = log √8, and log 8.
        ("logit", {}, [LOG(8) / 2, LOG(8)]),
        ("logit", {"reduce": "mean"}, [LOG(8) / 2, LOG(8)]),
        ("logit", {"reduce": "max"}, [LOG(4), LOG(8)]),
        # − log 3, and − (log 6 + 0) / 2.
        ("logit_diff", {}, [LOG(8) / 2 - LOG(3), LOG(8) - LOG(6) / 2]),
        ("logit_diff", {"reduce": "max"}, [LOG(4) - LOG(3), LOG(8) - LOG(6)]),
        # Probabilities are summed: (4 + 2) / 10 and 8 / 16; the wrong ones are 3 / 10 and (6 + 1) / 16.
        ("prob", {}, [0.6, 0.5]),
        ("log_prob", {}, [LOG(0.6), LOG(0.5)]),
        ("prob_diff", {}, [0.6 - 0.3, 8 / 16 - 7 / 16]),
        # KL(clean ‖ patched) of a distribution with itself.
        ("kl", {"to": "clean"}, [0.0, 0.0]),
    ],
)
def test_worked_by_hand(name, parameters, expected):
    assert value(readout(), name, **parameters) == pytest.approx(expected, abs=1e-15)


def test_kl_worked_by_hand():
    # Reference [4, 3, 2, 1] / 10 against [1, 2, 3, 4] / 10: .4 log 4 + .3 log 3/2 + .2 log 2/3 + .1 log 1/4;
    # reference uniform against [8, 1, 1, 6] / 16: mean of log (16/4) / (8, 1, 1, 6).
    first = 0.3 * LOG(4) + 0.1 * LOG(1.5)
    second = LOG(4) - LOG(8 * 6) / 4
    for to in ("base", "corrupted"):
        assert value(readout(), "kl", to=to) == pytest.approx([first, second], abs=1e-15)
    assert value(readout(), "kl") == pytest.approx([first, second], abs=1e-15)
    with pytest.raises(InputError, match="corrupted"):
        value(readout(corrupted=False), "kl", to="corrupted")


def test_the_reference_comes_first():
    # KL is not symmetric: KL(p ‖ q) with p the reference.
    p, q = np.array([8, 1, 1, 6]) / 16, np.full(4, 0.25)
    flat = readout(logits=OTHER)
    assert value(flat, "kl", to="clean")[1] == pytest.approx((p * np.log(p / q)).sum(), abs=1e-15)
    assert abs((p * np.log(p / q)).sum() - (q * np.log(q / p)).sum()) > 1e-2


def test_a_tiny_probability_keeps_its_logarithm():
    far = readout(logits=[[0.0, -2000.0, 0.0, -2000.0], [-900.0, 0.0, -5.0, -5.0]])
    assert value(far, "prob") == pytest.approx([0.0, 0.0])
    assert value(far, "log_prob") == pytest.approx([LOG(2) - 2000 - LOG(2), -900 - LOG(1 + 2 * math.exp(-5))])


def test_the_same_logits_shifted_by_a_constant():
    shifted = readout(logits=[[x + 100 for x in row] for row in LOGITS])
    for name in ("logit_diff", "prob", "log_prob", "prob_diff", "kl"):
        assert value(shifted, name) == pytest.approx(value(readout(), name), abs=1e-12)
    assert value(shifted, "logit") == pytest.approx(value(readout(), "logit") + 100)


# At the end of a run --------------------------------------------------------------------------

PROMPTS = random_prompts(pairs=4, lengths=(5, 6))
METRICS = (
    PluginSpec(name="logit_diff"),
    PluginSpec.model_validate({"name": "logit", "at": "A", "reduce": "max"}),
    PluginSpec.model_validate({"name": "prob", "at": -2}),
    PluginSpec.model_validate({"name": "log_prob", "at": "B"}),
    PluginSpec.model_validate({"name": "prob_diff", "label": "gain"}),
    *(
        PluginSpec.model_validate({"name": "kl", "to": to, "label": f"kl_{to}"})
        for to in ("base", "clean", "corrupted")
    ),
)


def by_numpy(logits: NDArray[np.float64], clean: NDArray[np.float64], corrupted: NDArray[np.float64], base, pair):
    """Every metric of METRICS for one pair, from logits [tokens, vocab] of the measured run and the others."""

    def prob(row: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.exp(row - row.max()) / np.exp(row - row.max()).sum()

    right, wrong, end = list(pair.answers), list(pair.wrong_answers), len(pair) - 1
    b = pair.positions["B"]
    kls = []
    for reference in (base, clean, corrupted):
        p, q = prob(reference[end]), prob(logits[end])
        kls.append((p * np.log(p / q)).sum())
    return [
        logits[end, right].mean() - logits[end, wrong].mean(),
        logits[1, right].max(),
        prob(logits[end - 1])[right].sum(),
        np.log(prob(logits[b])[right].sum()),
        prob(logits[end])[right].sum() - prob(logits[end])[wrong].sum(),
        *kls,
    ]


@pytest.mark.parametrize("side", BaseRun)
def test_several_metrics_in_one_run_at_their_own_positions(tiny_model, side):
    model = tiny_model("gpt2")
    at_input = Site(SiteKind.RESID_PRE, 1)
    claims = [node("r1@A", base=side), edge("a0.h1", "a2.h1<v>", base=side)]
    measured = measure_all(model, claims, PROMPTS, METRICS)
    columns = [m.metric for m in measured[: len(METRICS)]]
    assert columns == ["logit_diff", "logit", "prob", "log_prob", "gain", "kl_base", "kl_clean", "kl_corrupted"]
    assert [m.metric for m in measured[len(METRICS) :]] == columns
    for i, pair in enumerate(PROMPTS.pairs):
        clean, corrupted = (model.run(torch.tensor([ids]), reads=[at_input]) for ids in (pair.clean, pair.corrupted))
        here, there = (clean, corrupted) if side is BaseRun.CLEAN else (corrupted, clean)

        def put(old: torch.Tensor, there=there, at=pair.positions["A"]) -> torch.Tensor:
            new = old.clone()
            new[0, at] = there.reads[at_input][0, at]
            return new

        ids = pair.clean if side is BaseRun.CLEAN else pair.corrupted
        moved = model.run(torch.tensor([ids]), writes={at_input: put})
        logits = [run.logits[0].numpy() for run in (clean, corrupted, here, there, moved)]
        unpatched = by_numpy(logits[2], *logits[:3], pair)
        other = by_numpy(logits[3], *logits[:3], pair)
        patched = by_numpy(logits[4], *logits[:3], pair)
        for j, m in enumerate(measured):
            assert m.metric_base[i] == pytest.approx(unpatched[j % len(METRICS)], abs=1e-10)
            assert m.metric_other[i] == pytest.approx(other[j % len(METRICS)], abs=1e-10)
        for m, expected in zip(measured, patched, strict=False):
            assert m.metric_patched[i] == pytest.approx(expected, abs=1e-10)
    assert all(np.abs(m.effect).max() > 1e-6 for m in measured[: len(METRICS)])


def test_metrics_that_would_share_a_column_get_their_position():
    specs = [PluginSpec(name="logit"), PluginSpec.model_validate({"name": "logit", "at": "A"})]
    assert [metric.column for metric in bind_metrics([*specs, specs[1]])] == ["logit", "logit@A", "logit@A#2"]


def test_a_run_without_corrupted_prompts_has_no_other_value(tiny_model):
    pairs = [type(pair)(pair.clean, None, pair.answers, pair.wrong_answers, pair.positions) for pair in PROMPTS.pairs]
    (measured,) = measure_all(tiny_model("gpt2"), [node("a1.h1", source=Base())], type(PROMPTS)(tuple(pairs)))
    assert measured.metric_other is None
    assert (measured.effect == 0).all()

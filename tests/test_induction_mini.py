"""induction-mini: it does its task, and what its spec claims is what a few lines of numpy find too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import circuitgraph as cg
from circuitgraph.checks import check
from circuitgraph.models.locate import BUNDLED
from circuitgraph.prompts.pairs import Pair

SPEC = Path(__file__).parents[1] / "specs" / "induction-mini.yaml"
WEIGHTS = {
    name: array.astype(np.float64) for name, array in load_file(BUNDLED / "induction-mini/model.safetensors").items()
}


class Plain:
    """One prompt through the model: no norms, no MLPs, and biases that are 0, so the stream is a plain sum."""

    def __init__(self, ids: tuple[int, ...]) -> None:
        self.embedded = WEIGHTS["embed.W_E"][list(ids)] + WEIGHTS["pos_embed.W_pos"][: len(ids)]
        self.first = self.heads(0, dict.fromkeys("QKV", self.embedded))
        self.middle = self.embedded + self.first.sum(0)

    def heads(self, layer: int, streams: Mapping[str, Any]) -> np.ndarray:
        """What each head writes, [head, position, width], from the stream that each port reads."""
        q, k, v = (streams[port] @ WEIGHTS[f"blocks.{layer}.attn.W_{port}"] for port in "QKV")
        scores = q @ k.transpose(0, 2, 1) / k.shape[-1] ** 0.5
        scores[:, *np.triu_indices(scores.shape[-1], 1)] = -np.inf
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        self.attention = weights / weights.sum(-1, keepdims=True)
        return self.attention @ v @ WEIGHTS[f"blocks.{layer}.attn.W_O"]

    def logits(self, keys: dict[int, np.ndarray] | None = None) -> np.ndarray:
        """The logits of the last token; `keys`: another stream for the keys of some heads of layer 1."""
        written = self.heads(1, dict.fromkeys("QKV", self.middle))
        for head, stream in (keys or {}).items():
            written[head] = self.heads(1, {"Q": self.middle, "K": stream, "V": self.middle})[head]
        return (self.middle + written.sum(0))[-1] @ WEIGHTS["unembed.W_U"]


@pytest.fixture(scope="module")
def pairs() -> tuple[Pair, ...]:
    prompts = check(SPEC).prompts
    assert prompts is not None
    return prompts.pairs


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("induction") / "run"
    return cg.test(SPEC, out=out), cg.load_run(out).to_frame().set_index("label")


def test_it_continues_repeated_words(pairs: tuple[Pair, ...]) -> None:
    assert not any(np.any(array) for name, array in WEIGHTS.items() if ".b_" in name)
    right = [int(np.argmax(Plain(pair.clean).logits())) == pair.answers[0] for pair in pairs]
    assert all(right)


def test_its_heads_attend_where_the_groups_say(pairs: tuple[Pair, ...]) -> None:
    previous, induction = [], []
    for pair in pairs:
        model = Plain(pair.clean)
        model.heads(0, dict.fromkeys("QKV", model.embedded))
        previous.append(model.attention[3, pair.positions["B1"], pair.positions["A1"]])
        model.heads(1, dict.fromkeys("QKV", model.middle))
        induction.append(model.attention[:, pair.positions["END"], pair.positions["B1"]])
    assert np.mean(previous) > 0.9
    assert np.all(np.mean(induction, axis=0) > 0.8)


def test_everything_that_its_spec_expects_is_so(verdicts: Any) -> None:
    found, _ = verdicts
    found.check()


def test_key_composition_is_what_numpy_finds(pairs: tuple[Pair, ...], verdicts: Any) -> None:
    """Edge a0.h3@B1 → a1.h<k>@B1: that head's keys at B1 read the previous-token head's other write."""
    _, frame = verdicts
    effects = np.zeros((4, len(pairs)))
    for i, pair in enumerate(pairs):
        assert pair.corrupted is not None
        clean, other, at = Plain(pair.clean), Plain(pair.corrupted), pair.positions["B1"]
        keys = clean.middle.copy()
        keys[at] += other.first[3, at] - clean.first[3, at]
        for head in range(4):
            change = clean.logits({head: keys}) - clean.logits()
            effects[head, i] = change[pair.answers[0]] - change[pair.wrong_answers[0]]
    measured = [frame.loc[f"a0.h3@B1 → a1.h{head}<k>@B1", "effect"] for head in range(4)]
    np.testing.assert_allclose(measured, effects.mean(1), atol=1e-4)
    assert all(effect < -2 for effect in measured)


def test_what_does_nothing_to_the_circuit_changes_exactly_nothing():
    """The controls' senders carry what the other run has, with and without their edges: float32 differs by 1e-8."""
    (found,) = cg.evaluate(SPEC, random=0, curve="none").metrics
    others = next(drop for drop in found.dropped if drop.name == "others")
    assert (others.change.value, others.change.low, others.change.high) == (0, 0, 0)
    previous = next(drop for drop in found.dropped if drop.name == "previous")
    assert previous.change.value is not None
    assert previous.change.value < -0.5


def test_no_random_circuit_is_below_one_that_does_as_little():
    """All are 0 but for float32, whose noise would put some below."""
    (found,) = cg.evaluate(SPEC, overrides=["edges=[{sender: a0.h0@B1, receiver: a1.h0<k>@B1}]"],
                           random=8, curve="none").metrics  # fmt: skip
    assert found.circuit.faithfulness.value == 0
    assert set(found.random.faithfulness) == {0}
    assert found.random.below == 0

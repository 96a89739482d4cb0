"""There and back on a model: a run is exported, read by EAP-IG's rules, and scored by a literal forward pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import circuitgraph as cg
from tests.circuit_oracle import OracleModel
from tests.eap_ig import EapGraph
from tests.test_cli import write_spec
from tests.tiny import random_prompts

PROMPTS = random_prompts(pairs=3, length=6)
KEPT = 25


def test_an_exported_circuit_scores_there_as_it_does_here(checkpoint, tmp_path):
    """MIB's faithfulness of the top edges: outside the circuit every edge carries the corrupted run's write."""
    directory = checkpoint("gpt2")
    result = cg.run(write_spec(tmp_path, directory, PROMPTS, edges="all", nodes=[]))
    for name, to in (("eap.json", "eap-json"), ("mib.json", "mib")):
        cg.export(result, tmp_path / name, to, top=KEPT)
    theirs = EapGraph.from_json(tmp_path / "eap.json")
    circuit = theirs.edges()
    assert circuit == theirs.top(KEPT, absolute=True)
    assert circuit == EapGraph.from_json(tmp_path / "mib.json").edges()
    pairs = tmp_path / "pairs.jsonl"
    cg.import_circuit(tmp_path / "mib.json", tmp_path / "found.yaml", prompts=pairs)
    found = cg.evaluate(tmp_path / "found.yaml", curve="none", random=0)

    plain = OracleModel(directory)
    clean = torch.tensor([pair.clean for pair in PROMPTS.pairs])
    corrupted = torch.tensor([pair.corrupted for pair in PROMPTS.pairs])
    other = plain.run(corrupted)[1]
    whole, nothing = plain.run(clean)[0], plain.run(corrupted)[0]
    alone = plain.run(clean, lambda sender, receiver: f"{sender}->{receiver}" not in circuit, other)[0]
    metric = [float(np.mean(differences(logits))) for logits in (alone, whole, nothing)]
    assert len({round(value, 3) for value in metric}) == 3
    here = found.primary
    # The three numbers of MIB's faithfulness; their ratio is left out where the interval of the gap holds 0.
    assert [here.circuit.metric, here.base.metric, here.empty.metric] == pytest.approx(metric, abs=1e-9)


def differences(logits: torch.Tensor) -> list[float]:
    return [
        float(row[list(pair.answers)].mean() - row[list(pair.wrong_answers)].mean())
        for row, pair in zip(logits[:, -1], PROMPTS.pairs, strict=True)
    ]

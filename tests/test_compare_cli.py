"""The command `compare`: what it takes, what it prints and writes, and what it says of what it cannot do."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import circuitgraph as cg
from circuitgraph.comparing import Comparisons, compare_two
from circuitgraph.comparing.write import write
from circuitgraph.results.tablefiles import read_records
from tests.compared_runs import edges, run_of
from tests.tiny import Sizes, save_checkpoint

PAIRS = "\n".join(
    f"    - {{clean: [1, {5 + i}, {9 + 2 * i}, 4, {11 + i}], corrupted: [1, {20 + i}, {30 - i}, 4, {11 + i}], "
    f"answers: [{6 + i}], wrong_answers: [{21 + i}], positions: {{A: 1, B: 3}}}}"
    for i in range(8)
)
SPEC = """\
version: 1
name: {name}
model: {{name: {model}, dtype: float64}}
prompts:
  pairs:
{pairs}
metrics: [{metrics}]
groups:
  early: {{nodes: {early}, label: early heads}}
  late: {{nodes: {late}, label: late heads}}
edges:
  - {{sender: input@A, receiver: "early<v>@A"}}
  - {{sender: early, receiver: "late<v>"}}
  - {{sender: late@END, receiver: logits}}
"""


def spec(
    place: Path, name: str, model: Path, early: str = "[a0.h0]", late: str = "[a1.h0, a1.h1]", metrics="logit_diff"
):
    path = place / f"{name}.yaml"
    path.write_text(SPEC.format(name=name, model=model, pairs=PAIRS, early=early, late=late, metrics=metrics))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Two models of different shapes, their specs, and a run of each."""
    found = tmp_path_factory.mktemp("compare")
    save_checkpoint("gpt2", found / "small-model", Sizes(2, 2, 2))
    save_checkpoint("gpt2", found / "large-model", Sizes(3, 4, 2))
    small = spec(found, "small", found / "small-model", metrics="logit_diff, prob_diff")
    large = spec(found, "large", found / "large-model", "[a0.h0, a0.h1, a0.h2]", "[a2.h1, a2.h3]")
    cg.run(small, out=found / "runs" / "small")
    cg.run(large, out=found / "runs" / "large")
    return found


def test_one_spec_and_a_setting_are_compared_and_kept(circuitgraph, place):
    ended = circuitgraph(
        "compare", place / "small.yaml", "--set", "intervention.source=zero", "--out", "kept", "--json"
    )
    assert ended.status == 0, ended.err
    found = json.loads(ended.out)
    assert found["labels"] == ["as written", "source=zero"]
    assert found["across"] == ["source"]
    assert found["paired"] is True
    assert {row["source"] for row in found["rows"]} == {None}
    assert {"name": "source", "a": "counterfactual", "b": "zero"} in found["differing"]
    assert "small, as written: 5 experiments" in ended.err
    assert "small, source=zero: 5 experiments" in ended.err
    assert sorted(path.name for path in Path("kept").iterdir()) == ["small", "small-source=zero"]
    again = circuitgraph("compare", *sorted(Path("kept").iterdir()), "--json")
    assert [row["difference"] for row in json.loads(again.out)["rows"]] == [row["difference"] for row in found["rows"]]
    refused = circuitgraph("compare", place / "small.yaml", "--set", "intervention.source=zero", "--out", "kept")
    assert refused.status == 2
    assert "--force" in refused.err


def test_one_spec_and_its_estimate(circuitgraph, place):
    ended = circuitgraph("compare", place / "small.yaml", "--estimate", "eap", "--top", "2")
    assert ended.status == 0, ended.err
    assert "A: exact\nB: eap\n" in ended.out
    assert "B is ESTIMATED by eap from gradients, not measured" in ended.out
    assert "… 3 more" in ended.out


def test_two_shapes_are_matched_by_group(circuitgraph, place):
    ended = circuitgraph("compare", place / "runs/small", place / "large.yaml", "--of", "effect")
    assert ended.status == 0, ended.err
    assert "3 pairs of groups matched by group" in ended.out
    small, large = (cg.load_run(place / "runs" / name) for name in ("small", "large"))
    line = next(line for line in ended.out.splitlines() if line.startswith("early → late<v> "))
    counts, a, b, difference = line.split()[3:5], *map(float, line.split()[5:8])
    assert counts == ["2", "6"]
    means = [np.mean([row.effect for row in run.primary if "late" not in row.label and row.receiver.endswith("<v>")
                      and row.receiver_position is None]) for run in (small, large)]  # fmt: skip
    assert (a, b) == pytest.approx(means, abs=1e-5)
    assert difference == pytest.approx(means[1] - means[0], abs=2e-5)


def test_more_than_two_runs_are_a_matrix(circuitgraph, place):
    small = place / "small.yaml"
    circuitgraph("run", small, "--set", "intervention.source=zero", "--out", "zero")
    circuitgraph("run", small, "--set", "intervention.base=corrupted", "--out", "denoise")
    runs = (place / "runs/small", "zero", "denoise")
    ended = circuitgraph("compare", *runs, "--label", "a", "--label", "b", "--label", "c", "-o", "all.csv")
    assert ended.status == 0, ended.err
    assert ended.out.splitlines()[2].split() == ["Spearman", "A", "B", "C"]
    assert [line.split()[:2] for line in ended.out.splitlines()[3:6]] == [["A", "a"], ["B", "b"], ["C", "c"]]
    frame = pd.read_csv("all.csv")
    assert len(frame) == 15
    assert set(zip(frame["run_a"], frame["run_b"], strict=True)) == {("a", "b"), ("a", "c"), ("b", "c")}
    assert isinstance(cg.compare(*map(Path, runs)), Comparisons)
    assert circuitgraph("compare", *runs, "-o", "all.svg").status == 0
    assert Path("all.svg").read_text().startswith("<?xml")
    refused = circuitgraph("compare", *runs, "-o", "all.parquet")
    assert (refused.status, "of more, write .csv or .json" in refused.err) == (2, True)


@pytest.mark.parametrize("ending", [".svg", ".png", ".pdf", ".json", ".csv", ".parquet"])
def test_every_format_is_written(tmp_path, ending):
    a, b = (run_of(np.random.default_rng(i).normal(size=(4, 6))) for i in range(2))
    found = compare_two(a, b, labels=("a", "b"))
    path = tmp_path / f"out{ending}"
    write(found, path)
    head = {".svg": b"<?xml", ".png": b"\x89PNG", ".pdf": b"%PDF"}
    match ending:
        case ".json":
            assert json.loads(path.read_text())["rows"][1]["difference"] == found.rows[1].difference
        case ".csv":
            assert list(pd.read_csv(path)["difference"]) == pytest.approx([row.difference for row in found.rows])
        case ".parquet":
            rows, about = read_records(path, type(found.rows[0]))
            assert rows == found.rows
            assert about["agreement"]["overlap"] == list(found.agreement.overlap)
        case _:
            assert path.read_bytes().startswith(head[ending])
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_label_is_no_formula_in_a_spreadsheet(tmp_path):
    from dataclasses import replace

    claims = [replace(claim, label=text) for claim, text in zip(edges(2), ("=1+1", "@SUM(A1)"), strict=True)]
    run = run_of([[1.0, 2.0], [3.0, 4.0]], claims)
    write(compare_two(run, run), tmp_path / "out.csv")
    with open(tmp_path / "out.csv", newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["'=1+1", "'@SUM(A1)"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["small"], "one run alone has nothing to be compared with"),
        (["small.yaml"], "add --set key=value or --estimate METHOD"),
        (["small", "small"], "is given twice"),
        (["small", "large", "--set", "prompts.bos=true"], "--set makes a second run of one spec, and here are 2"),
        (["small", "large", "--estimate", "eap"], "--estimate makes a second run of one spec"),
        (["small.yaml", "--estimate", "epa"], "'epa' is no method of estimation; did you mean 'eap'"),
        (
            ["small.yaml", "--estimate", "eap-ig-inputs", "--set", "estimate.method=eap"],
            "has an 'estimate:' of its own",
        ),
        (["small.yaml", "--set", "intervention.source=zeor"], "did you mean 'zero'"),
        (["small", "large", "--metric", "prob_diff"], "'prob_diff' is no metric of 'large'"),
        (["small", "large", "--metric", "logit_dif"], "did you mean 'logit_diff'"),
        (["small", "large", "--map", "adress"], "did you mean 'address'"),
        (["small", "large", "--map", "address"], "has not the same nodes"),
        (["small", "large", "--of", "share"], "'share' is nothing to compare"),
        (["small", "large", "--label", "one"], "1 labels for 2 runs"),
        (["small", "large", "--label", "x", "--label", "x"], "cannot have the same label 'x'"),
        (["small", "large", "-o", "out.jpg"], "names no format by its ending"),
        (["small", "broken"], "holds no finished run"),
        (["small", "empty"], "empty is no run directory: it holds no run.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_compared_is_said_in_one_message(circuitgraph, place, tmp_path, arguments, said):
    broken = tmp_path / "broken"
    broken.mkdir()
    record = json.loads((place / "runs/small/run.json").read_text())
    (broken / "run.json").write_text(json.dumps(record | {"status": "interrupted"}))
    (tmp_path / "empty").mkdir()
    homes = {"small": place / "runs/small", "large": place / "runs/large", "small.yaml": place / "small.yaml"}
    ended = circuitgraph("compare", *(homes.get(word, word) for word in arguments))
    assert ended.status in (2, 5), ended
    assert said in ended.err
    assert ended.out == ""


def test_comparing_run_directories_loads_no_torch(place):
    program = (
        "import sys\nfrom circuitgraph.cli import main\n"
        f"sys.argv = ['circuitgraph', 'compare', {str(place / 'runs/small')!r}, {str(place / 'runs/large')!r}]\n"
        "try:\n    main()\nexcept SystemExit as exit:\n    assert exit.code == 0\n"
        "assert not {'torch', 'transformer_lens', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

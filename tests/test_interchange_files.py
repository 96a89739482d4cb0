"""Files that other tools wrote, and files that are wrong: each mistake is told with its place, and nothing is run."""

from __future__ import annotations

import difflib
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

import circuitgraph as cg
from circuitgraph.errors import CircuitGraphError, FileError, InputError
from circuitgraph.graph.shape import ModelShape
from circuitgraph.interchange.formats import Format
from circuitgraph.interchange.prompts import Pairs
from circuitgraph.interchange.records import Edge, Mark, ScoredGraph, Sizes
from circuitgraph.nodes import parse
from circuitgraph.prompts.files import read_pairs
from tests.render_graphs import NASTY, edge, graph, nasty
from tests.runs_by_hand import every_edge, run_of
from tests.test_imports import HEAVY, loaded_after

CFG = {"n_layers": 12, "n_heads": 12, "parallel_attn_mlp": False, "d_model": 768}
TWO = {"n_layers": 2, "n_heads": 2}


@pytest.fixture
def file(tmp_path) -> Callable[..., Path]:
    """A file with a text or a JSON value in it."""

    def write(name: str, value: Any) -> Path:
        path = tmp_path / name
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return path

    return write


GRAPHML = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><graph>{}</graph></graphml>'


def eap(edges: dict[str, Any], nodes: dict[str, Any] | None = None, cfg: Any = CFG) -> dict[str, Any]:
    return {"cfg": cfg, "nodes": nodes or {}, "edges": edges}


def scores(path: Path, **more: Any) -> dict[str, Mark]:
    found = cg.import_circuit(path, **more).content
    assert isinstance(found, ScoredGraph)
    return {str(edge): mark for edge, mark in found.edges.items()}


# Edge-Pruning -----------------------------------------------------------------------------------


def test_edge_pruning(file):
    edges = [
        ["tok_embeds", "a0.h1.q"], ["pos_embeds", "a0.h1.q"], ["pos_embeds", "m0"], ["a0.h1.q", "a0.h1"],
        ["a0.h1", "a11.h10.v"], ["m10", "m11"], ["a11.h10", "resid_post"],
    ]  # fmt: skip
    path = file("edges.json", edges)
    made = cg.import_circuit(path)
    assert made.format is Format.EDGE_PRUNING
    inside = Mark(None, True)
    assert scores(path) == dict.fromkeys(
        ["input->a0.h1<q>", "input->m0", "a0.h1->a11.h10<v>", "m10->m11", "a11.h10->logits"], inside
    )
    assert made.spec is not None
    assert made.spec.model.shape is not None
    assert (made.spec.model.shape.layers, made.spec.model.shape.heads) == (12, 11)  # at least
    assert any("1 edges inside a head or an MLP" in note for note in made.notes)
    assert any("1 edges of token and position embedding are one here" in note for note in made.notes)


def test_edge_pruning_of_a_model_with_shared_keys(file, tmp_path):
    config = {"model_type": "llama", "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
              "hidden_size": 16, "vocab_size": 50, "intermediate_size": 32, "max_position_embeddings": 16,
              "head_dim": 4}  # fmt: skip
    (tmp_path / "llama").mkdir()
    (tmp_path / "llama" / "config.json").write_text(json.dumps(config))
    path = file("edges.json", [["embeds", "a1.h3.q"], ["a0.h2", "a1.h1.k"]])
    assert set(scores(path, model=str(tmp_path / "llama"))) == {"input->a1.h3<q>", "a0.h2->a1.kv1<k>"}


def test_what_edge_pruning_makes_of_acdc_s_edges(file):
    value = {"original": [{"from": "head.3.5", "to": "mlp.4"}, {"from": "mlp.0", "to": "head.4.1.k"},
                          {"from": "mlp.3", "to": "resid_post"}], "extra": []}  # fmt: skip
    assert set(scores(file("graph.json", value))) == {"a3.h5->m4", "m0->a4.h1<k>", "m3->logits"}


# ACDC -------------------------------------------------------------------------------------------

RECEIVER, SENDER = "blocks.1.hook_v_input", "blocks.0.attn.hook_result"


@pytest.mark.parametrize(
    "entry",
    [
        [RECEIVER, "[:, :, 2]", SENDER, "[:, :, 11]"],
        [RECEIVER, "[COLON, COLON, 2]", SENDER, "[COLON, COLON, 11]"],
        [RECEIVER, [None, None, 2], SENDER, [None, None, 11]],
        [[RECEIVER, "[:, :, 2]"], [SENDER, [None, None, 11]]],
        [f"{RECEIVER}[:, :, 2]", f"{SENDER}[:, :, 11]"],
        [[RECEIVER, [None, None, 2], SENDER, [None, None, 11]], None],
        [[RECEIVER, [None, None, 2], SENDER, [None, None, 11]], True],
    ],
)
def test_the_shapes_in_which_acdc_s_edges_are_saved(entry, file):
    end = ["blocks.1.hook_resid_post", [None], "blocks.1.hook_mlp_out", "[:]"]
    found = scores(file("acdc.json", [entry, end]))
    assert found == dict.fromkeys(["a0.h11->a1.h2<v>", "m1->logits"], Mark(None, True))


def test_acdc_s_whole_graph(file):
    one = [None, None, 1]
    value = [
        [["blocks.1.hook_resid_post", [None], "blocks.0.attn.hook_result", one], 0.5],
        [["blocks.1.hook_resid_post", [None], "blocks.1.hook_mlp_out", [None]], -0.25],
        [["blocks.1.hook_mlp_out", [None], "blocks.1.hook_mlp_in", [None]], 3.0],
        [["blocks.1.hook_mlp_in", [None], "blocks.0.hook_mlp_out", [None]], None],
        [["blocks.1.attn.hook_result", one, "blocks.1.attn.hook_q", one], 3.0],
        [["blocks.1.attn.hook_q", one, "blocks.1.hook_q_input", one], 3.0],
        [["blocks.1.hook_q_input", one, "hook_embed", [None]], 0.125],
        [["blocks.1.hook_q_input", one, "hook_pos_embed", [None]], 0.5],
        [["blocks.0.hook_mlp_in", [None], "blocks.0.hook_resid_pre", [None]], 2],
    ]
    path = file("acdc.json", value)
    made = cg.import_circuit(path)
    assert made.format is Format.ACDC
    assert scores(path) == {
        "a0.h1->logits": Mark(0.5, True),
        "m1->logits": Mark(-0.25, True),
        "m0->m1": Mark(None, True),
        "input->a1.h1<q>": Mark(None, True),  # of two embeddings: neither's effect
        "input->m0": Mark(2.0, True),
    }
    assert isinstance(made.content, ScoredGraph)
    assert made.content.direction == "effect"
    assert "removed from what was left" in made.content.about["meaning"]
    assert any("3 edges inside a head or an MLP" in note for note in made.notes)


def test_effects_of_acdc_that_are_no_numbers_are_missing(file):
    end = ["blocks.1.hook_resid_post", [None], "blocks.1.hook_mlp_out", [None]]
    path = file("acdc.json", [[[RECEIVER, [None, None, 2], SENDER, [None, None, 1]], 10**400], [end, 0.5]])
    assert scores(path) == {"a0.h1->a1.h2<v>": Mark(None, True), "m1->logits": Mark(0.5, True)}
    assert any("1 edges have NaN or infinity" in note for note in cg.import_circuit(path).notes)


def test_acdc_s_pth(tmp_path):
    one = (None, None, 1)
    torch.save({(RECEIVER, one, SENDER, one): True, ("blocks.1.hook_resid_post", (None,), SENDER, one): False},
               tmp_path / "subgraph.pth")  # fmt: skip
    found = cg.import_circuit(tmp_path / "subgraph.pth")
    assert found.format is Format.ACDC
    assert scores(tmp_path / "subgraph.pth") == {
        "a0.h1->a1.h1<v>": Mark(None, True),
        "a0.h1->logits": Mark(None, False),
    }


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ([RECEIVER, "[:, 3, 2]", SENDER, "[:, :, 1]"], "[:, 3, 2] is read as [:] (all) or [:, :, head]"),
        ([RECEIVER, "[:]", SENDER, "[:, :, 1]"], "'blocks.1.hook_v_input' needs the index of a head"),
        (["blocks.1.hook_nothing", "[:]", SENDER, "[:, :, 1]"], "'blocks.1.hook_nothing' is no hook of ACDC's graph"),
        (["blocks.0.hook_mlp_in", "[:]", "blocks.1.hook_mlp_out", "[:]"], "goes backwards"),
        (["blocks.0.hook_resid_post", "[:]", SENDER, "[:, :, 1]"], "is not the end of a model with 2 layers"),
        ([RECEIVER, "[:, :, 2]", "blocks.1.hook_resid_pre", "[:]"], "is no sender of ACDC's graph"),
        ([RECEIVER], "an edge of ACDC is [receiver hook, index, sender hook, index]"),
        ([[RECEIVER, [None, None, 2], SENDER, [None, None, 1]], "big"], "not a text"),
    ],
)
def test_edges_of_acdc_that_cannot_be_read(entry, said, file):
    good = ["blocks.1.hook_resid_post", "[:]", "blocks.1.hook_mlp_out", "[:]"]
    path = file("acdc.json", [good, entry])
    with pytest.raises(InputError) as error:
        cg.import_circuit(path)
    assert said in str(error.value)


# Prompts ----------------------------------------------------------------------------------------


def test_prompts_of_auto_circuit_become_pairs(file, tmp_path):
    value = {
        "seq_labels": ["a", "b"],
        "word_idxs": {"A_def": 1, ",_B": -1, "END": 0, "_B": 2},
        "prompts": [
            {"clean": "one two", "corrupt": "one six", "answers": [" x"], "wrong_answers": [" y", " z"]},
            {"clean": [1, 2], "corrupt": [1, 3], "answers": [4], "wrong_answers": [5]},
        ],
    }
    made = cg.import_circuit(file("prompts.json", value), tmp_path / "pairs.jsonl")
    assert made.format is Format.AUTO_CIRCUIT
    positions = {"A_def": 1, "B": -1, "END_here": 0, "B_2": 2}
    written = read_pairs(tmp_path / "pairs.jsonl")
    assert [row.pair and row.pair.model_dump(exclude_defaults=True) for row in written] == [
        {"clean": "one two", "corrupted": "one six", "answers": (" x",), "wrong_answers": (" y", " z"),
         "positions": positions},
        {"clean": (1, 2), "corrupted": (1, 3), "answers": (4,), "wrong_answers": (5,), "positions": positions},
    ]  # fmt: skip
    assert any("',_B' → B" in note and "'END' → END_here" in note for note in made.notes)
    assert any("seq_labels" in note for note in made.notes)


def test_prompts_of_eap_become_pairs(file):
    ids = file("ioi.csv", 'clean,corrupted,extra,correct_idx,incorrect_idx\n"A, b",C,x,12,"[3, 4]"\n')
    made = cg.import_circuit(ids)
    assert made.pairs[0].model_dump(exclude_defaults=True) == {
        "clean": "A, b", "corrupted": "C", "answers": (12,), "wrong_answers": (3, 4)
    }  # fmt: skip
    assert made.notes == (f"{ids}: column extra is left out",)
    years = file("years.csv", "clean,corrupted,label\nin 1397 to 13,in 1301 to 13,97\nin 1604 to 16,in 1601 to 16,4\n")
    with pytest.raises(InputError, match=r"years.csv:2: the label '97' is a number, and what it means is the task's"):
        cg.import_circuit(years)
    pairs = cg.import_circuit(years, label="year").pairs
    assert pairs[0].answers == ("98", "99")
    assert pairs[0].wrong_answers[-1] == "97"
    assert (pairs[1].wrong_answers, pairs[1].answers[0], len(pairs[1].answers)) == (
        ("00", "01", "02", "03", "04"), "05", 95
    )  # fmt: skip
    assert cg.import_circuit(years, label="id").pairs[0].answers == (97,)
    texts = file("texts.csv", "clean,corrupted,label\na,b, yes\n")
    assert cg.import_circuit(texts).pairs[0].answers == (" yes",)


def test_a_circuit_and_its_prompts_become_a_spec_that_check_accepts(file, tmp_path):
    """From files of two tools to a spec of ours, on a bundled model."""
    names = [["When", "Rachel", "and", "Martin", "walked"], ["When", "Martin", "and", "Rachel", "walked"]]
    prompts = {"prompts": [{"clean": " ".join(names[0]), "corrupt": " ".join(names[1]), "answers": [" Rachel"],
                            "wrong_answers": [" Martin"]}]}  # fmt: skip
    edges = file("edges.json", [["tok_embeds", "a0.h1.q"], ["a3.h2", "resid_post"]])
    made = cg.import_circuit(edges, tmp_path / "x.yaml", model="ioi-mini", prompts=file("prompts.json", prompts))
    assert made.written == (tmp_path / "x.yaml", tmp_path / "x.pairs.jsonl")
    checked = cg.check(tmp_path / "x.yaml")
    assert len(checked.graph.claims) == 2
    assert checked.prompts is not None
    given = cg.import_circuit(edges, tmp_path / "y.yaml", model="ioi-mini", prompts=tmp_path / "x.pairs.jsonl")
    assert given.spec is not None
    assert given.spec.prompts.file == "x.pairs.jsonl"
    cg.check(tmp_path / "y.yaml")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("p.json", {"prompts": []}, "there are no prompts"),
        ("p.json", {"prompts": [{"clean": "a", "corrupt": "b", "answers": "x"}]}, "answers must be a list of texts"),
        ("p.json", {"prompts": ["a"]}, "prompt 1 must be an object with clean and corrupt, not a text"),
        ("p.json", {"prompts": [{"clean": 3}]}, "clean must be a text or a list of token ids"),
        ("p.json", {"word_idxs": {"A": 1.5}, "prompts": [{"clean": "a"}]}, "index of 'A' must be a whole number"),
        ("p.json", {"prompts": [{"clean": "\ud800"}]}, "prompt 1: a text in it holds half a character"),
        ("p.csv", "clean,corrupted,label\na,b\n", "p.csv:2: 2 cells, but there are 3 columns"),
        ("p.csv", "clean,corrupted,correct_idx,incorrect_idx\na,b,x,3\n", "p.csv:2: correct_idx is 'x'"),
        ("p.csv", "clean,corrupted,label\n", "there are no prompts"),
        ("p.csv", 'clean,corrupted,label\n"a,b\n', "not CSV"),
        ("p.csv", "a,b\n1,2\n", "these columns are of no known format"),
    ],
)
def test_prompts_that_cannot_be_read(name, value, said, file):
    with pytest.raises(InputError) as error:
        cg.import_circuit(file(name, value))
    assert said in str(error.value)


# Wrong graphs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (eap({"a0.h1->a12.h0<q>": {"score": 1, "in_graph": True}}), "a12.h0 has layer 12; this model has layers"),
        (eap({"a0.h12->logits": {"score": 1, "in_graph": True}}), "a0.h12 has head 12; this model has heads 0 to 11"),
        (eap({"a3.h1->a1.h0<q>": {"score": 1, "in_graph": True}}), "goes backwards: a1.h0 reads before a3.h1 writes"),
        (eap({"a1.h1->a1.h0<q>": {"score": 1, "in_graph": True}}), "goes backwards"),
        (eap({"m1->m1": {"score": 1, "in_graph": True}}), "goes backwards"),
        (eap({"a0.h1->a1.h0": {"score": 1, "in_graph": True}}), "'a1.h0' needs one port: a1.h0<q>, <k> or <v>"),
        (eap({"a0.h1->m1<q>": {"score": 1, "in_graph": True}}), "'m1<q>' has no ports; write 'm1'"),
        (eap({"a0.h1<q>->m1": {"score": 1, "in_graph": True}}), "'a0.h1<q>' sends as a whole"),
        (eap({"logits->m1": {"score": 1, "in_graph": True}}), "'logits' sends nothing"),
        (eap({"m1->input": {"score": 1, "in_graph": True}}), "'input' receives nothing"),
        (eap({"a0.h1@END->m1": {"score": 1, "in_graph": True}}), "names a position, and these files have none"),
        (eap({"a0.h1": {"score": 1, "in_graph": True}}), "is no edge; edges are written like a5.h5->a7.h3<q>"),
        (eap({"inptu->m1": {"score": 1, "in_graph": True}}), "'inptu' is no node; did you mean 'input'?"),
        (eap({"m0.n3->m1": {"score": 1, "in_graph": True}}), "'m0.n3' is no end of an edge"),
        (eap({"m0->m1": {"score": "1", "in_graph": True}}), "the score of edge m0->m1 must be a number, not a text"),
        (eap({"m0->m1": {"score": True, "in_graph": True}}), "must be a number, not true or false"),
        (eap({"m0->m1": {"score": 1, "in_graph": "yes"}}), "in_graph of edge m0->m1 must be true or false, not a text"),
        (eap({"m0->m1": [1]}), "edge m0->m1 must be an object with score and in_graph, not a list"),
        (eap({"m0->m1": {"scor": 1}}), "edge m0->m1 has 'scor'; did you mean 'score'?"),
        (eap({"m0->m1": {"in_graph": True}, "m0->MLP 1": {"in_graph": True}}), "edge m0->m1 is given twice"),
        (eap({}, {"a0.h13": {"in_graph": True}}), "a0.h13 has head 13"),
        (eap({}, {"m0": {"in_graph": True}, "MLP 0": {"in_graph": True}}), "node m0 is given twice"),
        (eap({}, cfg={"n_layers": 12}), "cfg.n_heads must be a whole number from 1; it is missing"),
        (eap({}, cfg={"n_layers": 10**9, "n_heads": 1}), "cfg.n_layers must be a whole number from 1; it is"),
        (eap({}, cfg={"n_layers": True, "n_heads": 1}), "cfg.n_layers must be a whole number"),
        (eap({}, cfg={**CFG, "parallel_attn_mlp": "no"}), "cfg.parallel_attn_mlp must be true or false"),
        (eap({}, cfg=[12]), "cfg must be an object, not a list"),
        ({**eap({}), "edges": []}, "edges must be an object of names, not a list"),
        ({**eap({}), "about": "x"}, "about must be an object, not a text"),
        (eap({"m0->m1": {"score": 1, "in_graph": False}}), "no edge is in the graph; choose those of largest |score|"),
        ({"cfg": 1}, "is of no known format"),
        ([], "is of no known format"),
        ("{", "not JSON: Expecting property name"),
        ('{"cfg": {}, "cfg": {}}', "key 'cfg' is given twice"),
        ('{"cfg":' * 3000, "nested too deeply"),
        ("[" + "9" * 5000 + "]", "a number has too many digits"),
        ({**eap({}), "about": {"metric": {"name": json.loads("[" * 900 + "]" * 900)}}}, "about is nested too deeply"),
        ("[" * 600 + '"hook_"' + "]" * 600, "nested too deeply"),
        ([["a0.h1", "a12.x"]], "'a12.x' is no node"),
        ([["a0.h1", "m0", "m1"]], "no known format"),
        ([["m0", "m1"], ["m0", 3]], "an edge is a pair of names, from and to; not a list"),
    ],
)  # fmt: skip
def test_graphs_that_cannot_be_read(value, said, file):
    with pytest.raises(InputError) as error:
        cg.import_circuit(file("graph.json", value))
    assert said in str(error.value)
    assert error.value.exit_status == 2


def test_every_mistake_is_told_with_its_line_and_column(file):
    text = (
        f'{{"cfg": {json.dumps(CFG)},\n "nodes": {{}},\n "edges": {{\n  "m0->m1": {{"score": 1, "in_graph": true}},\n'
    )
    text += '  "m3->m1": {"score": 1, "in_graph": true},\n  "m0->m99": {"score": "x", "in_graph": true}\n}}'
    path = file("graph.json", text)
    with pytest.raises(cg.SpecError) as error:
        cg.import_circuit(path)
    assert [(problem.line, problem.column) for problem in error.value.problems] == [(5, 3), (6, 3)]
    assert f"{path}:5:3: edge 'm3->m1'" in str(error.value)
    assert '"m3->m1"' in error.value.problems[0].source
    many = {f"m3->m{i}": {"score": 1, "in_graph": True} for i in range(12, 99)}
    with pytest.raises(cg.SpecError) as error:
        cg.import_circuit(file("many.json", eap(many)))
    assert len(error.value.problems) == 21
    assert "… and more" in str(error.value)


def test_nan_and_infinity_are_read_as_missing_and_that_is_said(file):
    text = json.dumps(eap({"m0->m1": {"score": 2.5, "in_graph": True}, "m0->m2": {"score": 1.5, "in_graph": True}},
                          {"m0": {"in_graph": True, "score": 0.125}}))  # fmt: skip
    text = text.replace("2.5", "NaN").replace("0.125", "-Infinity")
    path = file("nan.json", text)
    found = cg.import_circuit(path)
    assert scores(path) == {"m0->m1": Mark(None, True), "m0->m2": Mark(1.5, True)}
    assert found.notes[0] == f"{path}: 2 numbers are NaN or infinite, and read as missing"
    assert isinstance(found.content, ScoredGraph)
    assert found.content.nodes[parse("m0").node] == Mark(None, True)
    again = cg.export(found.content, path.with_name("again.json"), "mib", direction="effect").read_text()
    assert "NaN" not in again
    assert "Infinity" not in again
    assert json.loads(again)["edges"]["m0->m1"] == {"in_graph": True}
    ranked = scores(path, top=1)
    assert ranked == {"m0->m1": Mark(None, False), "m0->m2": Mark(1.5, True)}


def test_older_files_and_small_differences_are_read(file):
    value = eap({"m0->m1": {"score": 1, "in_graph": 1}, "input->m0": True}, {"m0": True, "logits": {"in_graph": True}})
    assert scores(file("old.json", value)) == {"m0->m1": Mark(1.0, True), "input->m0": Mark(None, True)}
    with_bom = file("bom.json", "\ufeff" + json.dumps(value))
    assert scores(with_bom)["m0->m1"] == Mark(1.0, True)
    neurons = eap({"m0->m1": {"score": 1, "in_graph": True}}, {"m0": {"in_graph": True, "neurons": [True]}})
    assert any("which neurons of 1 nodes" in note for note in cg.import_circuit(file("n.json", neurons)).notes)


# Wrong files ------------------------------------------------------------------------------------


class Trap:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def test_code_in_a_pt_file_is_not_run(tmp_path):
    torch.save({"cfg": CFG, "edges_scores": Trap(tmp_path / "ran")}, tmp_path / "trap.pt")
    with pytest.raises(InputError, match="it holds more than tensors and plain data, which could run code"):
        cg.import_circuit(tmp_path / "trap.pt")
    assert not (tmp_path / "ran").exists()
    (tmp_path / "edges.pkl").write_bytes(b"cos\nsystem\n")
    with pytest.raises(InputError, match="files of this kind can run code"):
        cg.import_circuit(tmp_path / "edges.pkl")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (torch.zeros(3, 4), "a matrix of 3 × 4 is none of scores"),
        (torch.zeros(157, 446), "a matrix of 157 × 446 is none of scores"),
        ([torch.zeros(3)], "holds a list; what is read is"),
        ({"weights": torch.zeros(3)}, "holds an object; what is read is"),
        ({"cfg": CFG, "edges_scores": torch.zeros(157, 444)}, "edges_scores is 157 × 444; layers and heads in"),
        ({"cfg": CFG, "edges_scores": [1]}, "edges_scores must be a plain tensor of numbers, not a list"),
        ({"cfg": {"n_layers": 1}, "edges_scores": torch.zeros(1)}, "cfg.n_heads must be a whole number"),
        ({"cfg": CFG, "edges_scores": torch.zeros(157, 445), "src_nodes": ["m0"]},
         "src_nodes has 1 names, and layers and heads in cfg make 157"),
        ({"cfg": CFG, "edges_scores": torch.zeros(157, 445), "src_nodes": ["m0"] * 157},
         "src_nodes has 'm0' at place 0, where EAP-IG has 'input'"),
        ({"cfg": TWO, "edges_in_graph": torch.full((7, 15), 0.3)}, "edges_in_graph holds 0.3 at input->a0.h0<q>;"),
        ({"cfg": TWO, "edges_in_graph": torch.full((7, 15), torch.nan)}, "edges_in_graph holds nan at input->a0"),
        ({"cfg": TWO, "edges_scores": torch.zeros(7, 15), "nodes_in_graph": torch.full((7,), 2)},
         "nodes_in_graph holds 2 at input; it says in or out"),
        ({"cfg": {"n_layers": 10_000, "n_heads": 10_000}, "edges_scores": torch.zeros(3, 3)}, "edges_scores is 3 × 3;"),
        ({"cfg": {"n_layers": 300, "n_heads": 300}, "edges_scores": torch.zeros(1).expand(90_301, 270_301)},
         "edges_scores has 24,408,450,601 cells; up to"),
        ({"cfg": {"n_layers": 9_000, "n_heads": 9_000}, "edges_scores": None}, "neither edges_scores nor edges_in"),
        ({"cfg": TWO, "edges_scores": torch.empty(7, 15, device="meta")}, "it is on 'meta', without numbers"),
        ({"cfg": TWO, "edges_scores": torch.zeros(7, 15), "about": '{"a":' * 100_000}, "about is nested too deeply"),
        ({"cfg": TWO, "edges_scores": torch.zeros(7, 15), "about": '{"a":' * 99 + "0" + "}" * 99},
         "about is nested too deeply"),
        ({"cfg": CFG, "edges_scores": torch.zeros(157, 445), "about": "["}, "about must be the JSON text of an object"),
    ],
)  # fmt: skip
def test_pt_files_that_hold_something_else(value, said, tmp_path):
    torch.save(value, tmp_path / "x.pt")
    with pytest.raises(InputError) as error:
        cg.import_circuit(tmp_path / "x.pt", top=1)
    assert said in str(error.value)
    assert error.value.exit_status == 2


@pytest.mark.filterwarnings("ignore:.*(Sparse CSR|nested tensors)")
def test_tensors_of_other_layouts_are_refused(tmp_path):
    nested = torch.nested.nested_tensor([torch.zeros(3), torch.zeros(4)])
    for value, said in (
        ({"cfg": TWO, "edges_scores": torch.eye(7, 15).to_sparse_csr()}, "it is sparse_csr"),
        ({"cfg": TWO, "edges_scores": torch.eye(7, 15).to_sparse()}, "it is sparse_coo"),
        ({"cfg": TWO, "edges_scores": torch.zeros(7, 15, dtype=torch.complex64)}, "it is complex"),
        ({"cfg": TWO, "edges_scores": nested}, "it is nested"),
        (nested, "holds Tensor; what is read is"),
    ):
        torch.save(value, tmp_path / "x.pt")
        with pytest.raises(InputError, match=said):
            cg.import_circuit(tmp_path / "x.pt", top=1)


def test_files_that_cannot_be_used_exit_with_5(tmp_path, file, monkeypatch):
    (tmp_path / "broken.pt").write_bytes(b"PK\x03\x04 no archive")
    (tmp_path / "folder.json").mkdir()
    for path in ("broken.pt", "folder.json", "missing.json", "missing.pt"):
        with pytest.raises(FileError):
            cg.import_circuit(tmp_path / path)
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", b"\0" * (1 << 22))
    monkeypatch.setattr("circuitgraph.interchange.matrix.LARGEST", 1 << 20)
    with pytest.raises(FileError, match="bytes when unpacked"):
        cg.import_circuit(tmp_path / "bomb.pt")
    monkeypatch.setattr("circuitgraph.interchange.jsontext.LARGEST", 10)
    with pytest.raises(FileError, match="files of up to 10 are read"):
        cg.import_circuit(file("large.json", eap({})))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"PK\x01\x02\x00\x00\x00\x00", b"PK\x01\x02\x00\x00\x91\x00"),  # "zip file version 14.5"
        (b"PK\x06\x07\x00\x00\x00\x00", b"PK\x06\x07\x07\x00\x00\x00"),  # "zipfiles that span multiple disks"
    ],
)
def test_a_damaged_archive_is_told_as_such(before, after, tmp_path):
    torch.save({"cfg": CFG, "edges_scores": torch.zeros(157, 445)}, tmp_path / "x.pt")
    content = (tmp_path / "x.pt").read_bytes()
    assert before in content
    (tmp_path / "x.pt").write_bytes(content.replace(before, after))
    with pytest.raises(FileError, match=r"x\.pt: damaged \(zip"):
        cg.import_circuit(tmp_path / "x.pt")


def test_a_file_of_another_model_is_refused_as_soon_as_enough_is_wrong(file, monkeypatch):
    """The nearest names are sought for what is told alone: 32,491 searches took most of a minute."""
    sought: list[str] = []
    search = difflib.get_close_matches
    monkeypatch.setattr(
        difflib, "get_close_matches", lambda name, *names, **how: sought.append(name) or search(name, *names, **how)
    )
    wrong = [f"b{i}.h1" for i in range(500)]
    edges = {f"{name}->m1": {"score": 1, "in_graph": True} for name in wrong}
    nodes = {name: {"in_graph": True} for name in wrong}
    hooks = [[f"blocks.{i + 12}.hook_v_input", "[:, :, 1]", "hook_embed", "[:]"] for i in range(500)]
    for value in (eap(edges), eap({}, nodes), hooks, [[name, "m0"] for name in wrong]):
        with pytest.raises(cg.SpecError) as error:
            cg.import_circuit(file("wrong.json", value), model="gpt2")
        assert len(error.value.problems) == 21
        assert 0 < len(sought) <= 21
        sought.clear()


def test_text_that_is_no_utf_8_is_told_by_line(tmp_path):
    (tmp_path / "x.json").write_bytes(b'{\n"a": "\xff"}')
    with pytest.raises(InputError, match=r"x\.json:2: no UTF-8 text \(byte 0xff\)"):
        cg.import_circuit(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.graphml", '<!DOCTYPE a [<!ENTITY b "c">]><a/>', "with a document type or entities is not read"),
        ("x.graphml", "<a>", "not XML: no element found"),
        ("x.graphml", "<a/>", "no GraphML with a graph in it"),
        ("x.graphml", GRAPHML.format('<node id="a">' * 9_999 + "</node>" * 9_999), "nested too deeply"),
        ("x.graphml", GRAPHML.format("".join(f'<node id="{i}"/>' for i in (*range(9_999), 9_998))),
         "node '9998' is given twice"),
        ("x.json", {"directed": True, "nodes": [{"id": "m0"}], "edges": [{"source": "m0", "target": "m1", "key": "k"}]},
         "ends at 'm1', which is none of its nodes"),
        ("x.json", {"directed": True, "nodes": [{"id": "m0"}, {"id": "m0"}], "edges": []}, "node 'm0' is given twice"),
        ("x.json", {"directed": True, "nodes": [3], "edges": []}, "a node is an object with an id, not 3"),
        ("x.json", {"directed": True, "nodes": [{"id": "m0"}, {"id": "m1"}],
                    "edges": [{"source": "m0", "target": "m1", "key": "k"}]}, "lacks claim, kind, base"),
        ("x.csv", "id,effect\n1,2\n", "column 'kind' is missing"),
        ("x.csv", "id,effect,efect\n1,2,3\n", "'efect' is no column; did you mean 'effect'?"),
    ],
)  # fmt: skip
def test_graphs_and_tables_that_cannot_be_read(name, text, said, file):
    with pytest.raises(InputError) as error:
        cg.import_circuit(file(name, text))
    assert said in str(error.value)


def test_cells_that_cannot_be_read_are_told_by_line(tmp_path):
    circuit = graph(edge("a0.h1", "logits"), edge("m0", "logits"))
    path = cg.export(run_of(circuit, [0.5, 0.25]), tmp_path / "x.csv")
    text = path.read_text()
    for old, new, said in (
        ("0.25,", "nan,", "x.csv:3: effect is 'nan'; a finite number is needed"),
        (",64,", ",many,", "x.csv:2: n is 'many'; a whole number is needed"),
        ("m0 → logits", "m0 → ", "'' is no address"),
        (",counterfactual,", ",mean,", "its reference set is not in the file"),
        (",edge,", ",egde,", "'egde' is no kind of experiment; did you mean 'edge'?"),
    ):
        path.write_text(text.replace(old, new))
        with pytest.raises(CircuitGraphError) as error:
            cg.import_circuit(path)
        assert said in str(error.value), said


def test_insisting_on_a_format(file):
    path = file("edges.json", [["m0", "m1"]])
    assert cg.import_circuit(path, format="edge-pruning").format is Format.EDGE_PRUNING
    with pytest.raises(InputError, match="is no acdc; by its ending and its content it is edge-pruning"):
        cg.import_circuit(path, format="acdc")
    with pytest.raises(InputError, match="'edge-prunin' is no format that is read; did you mean 'edge-pruning'"):
        cg.import_circuit(path, format="edge-prunin")
    with pytest.raises(InputError, match="there are no scores to choose"):
        cg.import_circuit(path, top=1)
    assert cg.import_circuit(file("g.json", eap({"m0->m1": True})), format="mib").format is Format.EAP_JSON


# Hostile names ----------------------------------------------------------------------------------

HOSTILE = [
    "<script>alert(1)</script>",
    "\u202egnp.x",
    "=HYPERLINK(1)",
    "a\nb",
    "]]>&\"'",
    "\x00\x08\ufffe",
    "x" * 10_000,
]


@pytest.mark.parametrize("label", [*HOSTILE, NASTY])
def test_hostile_labels_are_text_and_nothing_else(label, tmp_path):
    circuit = graph(edge("a0.h1", "logits", label), name="x")
    result = run_of(circuit, [0.5])
    text = cg.export(result, tmp_path / "x.graphml").read_text(encoding="utf-8")
    xml = ElementTree.fromstring(text)  # noqa: S314 (our own)
    assert not [item for item in xml.iter() if item.tag.endswith("script")]
    held = json.loads(cg.export(result, tmp_path / "x.json", "networkx-json").read_text(encoding="utf-8"))
    assert held["edges"][0]["label"] == label
    table = cg.export(result, tmp_path / "x.csv").read_text(encoding="utf-8")
    assert not [cell for cell in table.replace('"', "").split(",") if cell.startswith(("=", "+", "@"))]
    for path in ("x.graphml", "x.csv", "x.json"):
        spec = cg.import_circuit(tmp_path / path, tmp_path / f"{path}.yaml").spec
        assert spec is not None
        again = cg.load(tmp_path / f"{path}.yaml")
        assert again.edges == spec.edges
        if path != "x.graphml":  # XML cannot hold every character
            assert again.edges[0].label == label


def test_hostile_names_in_what_is_imported_stay_on_one_line(file, tmp_path):
    value = {**eap({"m0->m1": {"score": 1, "in_graph": True}}),
             "about": {"made_by": "x\n- injected: y", "description": "d\nedges: []", "metric_label": "=1+1",
                       "groups": {"g\n": ["m0"], "bad": ["nothing"], "worse": 3}, "model": {"name": "a\nb: c"},
                       "prompts": {"file": "x\ny"}, "metric": {"name": "logit_diff", "at": 3}}}  # fmt: skip
    path = file("evil\u202e.json", value)
    made = cg.import_circuit(path, tmp_path / "evil.yaml")
    spec = cg.load(tmp_path / "evil.yaml")
    assert len(spec.edges) == 1
    assert (spec.model.name, spec.prompts.file, spec.description) == ("a\nb: c", "x\ny", "d\nedges: []")
    assert all(line.isprintable() for line in (tmp_path / "evil.yaml").read_text().splitlines())
    assert "'=1+1" in (tmp_path / "evil.scores.csv").read_text()
    assert sum("cannot be used" in note for note in made.notes) == 3


def test_the_nasty_run_comes_back(tmp_path):
    result = run_of(nasty(), [1.0, 2.0, 3.0])
    assert cg.import_circuit(cg.export(result, tmp_path / "x.csv")).spec is not None
    assert cg.import_circuit(cg.export(result, tmp_path / "x.graphml")).spec is not None


# Places and commands ----------------------------------------------------------------------------


def test_places_that_cannot_be_written(file, tmp_path):
    path = file("g.json", eap({"m0->m1": {"score": 1, "in_graph": True}}))
    spec = tmp_path / "x.yaml"
    cg.import_circuit(path, spec)
    for taken in (spec, tmp_path / "x.scores.csv"):
        with pytest.raises(FileError, match="is there already; --force replaces it"):
            cg.import_circuit(path, spec)
        spec.unlink(missing_ok=True)
        assert taken.exists() == (taken != spec)
    assert cg.import_circuit(path, spec, replace=True).written == (spec, tmp_path / "x.scores.csv")
    with pytest.raises(InputError, match=r"a spec ends in \.yaml, prompts in \.jsonl"):
        cg.import_circuit(path, tmp_path / "x.json")
    with pytest.raises(FileError):
        cg.import_circuit(path, tmp_path / "nowhere" / "x.yaml")
    with pytest.raises(InputError, match="is no name of a spec"):
        cg.import_circuit(path, tmp_path / "x.jsonl")
    with pytest.raises(FileError):
        cg.export(run_of(graph(edge("m0", "m1")), [1.0]), tmp_path / "nowhere" / "x.csv")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", b'{"format": "circuitgraph run"}'),
        ("prompts.json", b'[{"cfg": 1}]'),
        ("x.scores.csv", b"id,sender,receiver,score\n"),
        ("x.graphml", b"<svg/>"),
        ("weights.pt", b"PK"),
    ],
)
def test_an_export_replaces_exports_alone(name, content, tmp_path):
    result = run_of(every_edge(ModelShape(1, 1, 1, d_model=8)), [float(i) for i in range(8)])
    to = {".json": "eap-json", ".pt": "mib"}.get(Path(name).suffix)
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"is there already, and is none that export writes|is a run directory"):
        cg.export(result, path, to)
    assert path.read_bytes() == content
    path.write_bytes(b"")
    for _ in range(2):
        assert cg.export(result, path, to).stat().st_size
    if to == "eap-json":
        cg.export(result, path, "networkx-json")
        cg.export(result, path, to)


def test_scores_of_an_earlier_import_do_not_stay_beside_another_spec(file, tmp_path):
    """They are joined with a run by id, and would be another circuit's."""
    scored = file("g.json", eap({"m0->m1": {"score": 1, "in_graph": True}}))
    alone = file("edges.json", [["m0", "m1"]])
    spec, beside = tmp_path / "x.yaml", tmp_path / "x.scores.csv"
    cg.import_circuit(scored, spec)
    spec.unlink()
    with pytest.raises(FileError, match=r"x\.scores\.csv' is there already; --force replaces it"):
        cg.import_circuit(alone, spec)
    made = cg.import_circuit(alone, spec, replace=True)
    assert not beside.exists()
    assert "those of an earlier import, is removed" in made.notes[-1]
    beside.write_text("mine\n")
    with pytest.raises(FileError, match="no import wrote it: move it away"):
        cg.import_circuit(alone, spec, replace=True)
    assert beside.read_text() == "mine\n"


def test_prompts_of_the_spec_s_name_are_not_taken_unasked(file, tmp_path):
    path, pairs = file("g.json", [["m0", "m1"]]), tmp_path / "x.pairs.jsonl"
    pairs.write_text('{"clean": "a", "corrupted": "b"}\n')
    with pytest.raises(FileError, match="the spec would measure on it: say so with --prompts"):
        cg.import_circuit(path, tmp_path / "x.yaml", replace=True)
    spec = cg.import_circuit(path, tmp_path / "x.yaml", prompts=pairs).spec
    assert spec is not None
    assert spec.prompts.file == "x.pairs.jsonl"


def test_what_was_there_stays_where_a_file_cannot_be_written(file, tmp_path):
    path = file("g.json", eap({"m0->m1": {"score": 1, "in_graph": True}}))
    prompts = file("p.json", {"prompts": [{"clean": "a", "corrupt": "b", "answers": ["c"], "wrong_answers": ["d"]}]})
    spec = tmp_path / "x.yaml"
    cg.import_circuit(path, spec, prompts=prompts)
    before = {name: (tmp_path / name).read_bytes() for name in ("x.yaml", "x.scores.csv", "x.pairs.jsonl")}
    other = file("h.json", eap({"m0->m2": {"score": 2, "in_graph": True}}))
    (tmp_path / "x.scores.csv.tmp").mkdir()
    with pytest.raises(FileError):
        cg.import_circuit(other, spec, prompts=prompts, replace=True)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    (tmp_path / "y.scores.csv.tmp").mkdir()
    with pytest.raises(FileError):
        cg.import_circuit(other, tmp_path / "y.yaml", prompts=prompts)
    assert not [name for name in os.listdir(tmp_path) if name.startswith("y") and not name.endswith(".tmp")]


def test_the_commands(circuitgraph, file, tmp_path):
    path = file("g.json", eap({"m0->m1": {"score": 0.5, "in_graph": True}}))
    ended = circuitgraph("import", str(path))
    assert ended.status == 0
    assert "- {sender: m0, receiver: m1}  # +0.5" in ended.out
    assert "note: the file does not say the metric" in ended.err
    ended = circuitgraph("import", str(path), "-o", str(tmp_path / "s.yaml"), "--json")
    value = json.loads(ended.out)
    assert value["spec"]["edges"] == [{"sender": ["m0"], "receiver": ["m1"]}]
    assert value["written"] == [str(tmp_path / "s.yaml"), str(tmp_path / "s.scores.csv")]
    assert f"next: circuitgraph check {tmp_path / 's.yaml'}" in ended.err
    ended = circuitgraph("export", str(path), "--to", "mib", "-o", str(tmp_path / "mib.json"))
    assert ended.status == 0
    assert "does not say which difference they are" in ended.err
    assert circuitgraph("import", str(tmp_path / "none.json")).status == 5
    assert circuitgraph("import", str(path), "--from", "acdc").status == 2
    assert circuitgraph("export", str(tmp_path), "--to", "csv", "-o", str(tmp_path / "x.csv")).status in (2, 5)
    assert circuitgraph("export", str(path), "--to", "mib").status == 2


def test_reading_a_graph_loads_nothing_heavy(file, tmp_path):
    path = file("g.json", eap({"m0->m1": {"score": 0.5, "in_graph": True}}))
    heavy = {*HEAVY, "networkx", "graphviz", "matplotlib"}
    assert loaded_after(["import", str(path), "-o", "x.yaml", "--model", "gpt2"], tmp_path) & heavy == set()
    assert loaded_after(["export", str(path), "--to", "mib", "-o", "x.json"], tmp_path) & heavy == set()


def test_sizes_are_needed_to_write(file, tmp_path):
    found = cg.import_circuit(file("edges.json", [["m0", "m1"]])).content
    with pytest.raises(InputError, match="which this one does not have; name the model"):
        cg.export(found, tmp_path / "x.json", "mib")
    assert isinstance(found, ScoredGraph)
    assert found.sizes == Sizes(2, 1)
    assert Edge(parse("m0").node, parse("m1")) in found.edges
    pairs = Pairs(())
    with pytest.raises(InputError, match="this file holds prompts, from which no mib is made"):
        cg.export(pairs, tmp_path / "x.json", "mib")


def test_a_file_of_no_format_says_which_endings_are_read(tmp_path):
    (tmp_path / "notes.md").write_text("# notes")
    with pytest.raises(InputError, match=r"notes\.md is of no format that is read: '\.md' is none of \.json \.pt"):
        cg.import_circuit(tmp_path / "notes.md")

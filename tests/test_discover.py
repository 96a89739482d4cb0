"""Looking for a circuit: known circuits are recovered, ACDC equals a plain loop, prompts are held apart."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import circuitgraph as cg
from circuitgraph.checks import check
from circuitgraph.discovery import write
from circuitgraph.discovery.acdc import Removed, prune
from circuitgraph.discovery.held_out import halves, shared_pairs, units_of
from circuitgraph.discovery.records import Discovery
from circuitgraph.errors import FileError, InputError
from circuitgraph.execute.bind import bind_metrics
from circuitgraph.execute.run import execute
from circuitgraph.graph.claims import CircuitGraph, Counterfactual, SetClaim
from circuitgraph.graph.partition import PartitionEdge
from circuitgraph.graph.shape import ModelShape
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.loading import load_model
from circuitgraph.models.locate import Location
from circuitgraph.nodes import parse
from circuitgraph.plans import Plan, build_plan
from circuitgraph.plans.circuits import only
from circuitgraph.prompts.pairs import Pair, PromptSet
from circuitgraph.spec.model import BaseRun, PluginSpec
from tests.conftest import Ended
from tests.measuring import edge, effect, node
from tests.test_cli import write_pairs
from tests.tiny import random_prompts

Command = Callable[..., Ended]

# A model whose circuit is known --------------------------------------------------------------------

# Two tokens, two layers of three heads, no MLP, no norm. The residual stream has six numbers:
#
#     t  what the token says: 2 · its id        p  where it stands: 0, 1
#     a, b, c, d  what heads write
#
#     a0.h0   looks at all it sees alike;         v = t;  writes a
#     a0.h1   all weights zero
#     a0.h2   looks at all it sees alike;         v = t;  writes c, which nobody reads
#     a1.h0   q = a · ln 2, k = p;                v = t;  writes b
#     a1.h1   q = 1, k = a;                       v = p;  writes d
#     a1.h2   all weights zero
#
#     logit of token 0 = b + d, the others 0
#
# The prompts of a pair differ in the first token, so p never changes.
TRUE_EDGES = {
    "input → a0.h0<v>",
    "input → a1.h0<v>",
    "a0.h0 → a1.h0<q>",
    "a0.h0 → a1.h1<k>",
    "a1.h0 → logits",
    "a1.h1 → logits",
}
TRUE_NODES = {"input", "a0.h0", "a1.h0", "a1.h1"}
PAIRS: list[dict[str, Any]] = [
    {"clean": [i, last], "corrupted": [i + 2, last], "answers": [0], "wrong_answers": [1]}
    for i in range(3)
    for last in (1, 3)
]


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> Path:
    """A directory with the model above, as `model`."""
    directory = tmp_path_factory.mktemp("known")
    (directory / "model").mkdir()
    t, p, a, b, c, d = torch.eye(6, dtype=torch.float64)
    zero = 0 * t
    sizes = {"n_layers": 2, "n_heads": 3, "d_model": 6, "d_head": 1, "n_ctx": 2, "d_vocab": 5, "d_vocab_out": 5}
    kind = {"attn_only": True, "normalization_type": None, "positional_embedding_type": "standard", "act_fn": "relu"}
    state = {
        "embed.W_E": torch.stack([2 * i * t for i in range(5)]),
        "pos_embed.W_pos": torch.stack([zero, p]),
        "unembed.W_U": torch.stack([b + d, zero, zero, zero, zero], dim=1),
        "unembed.b_U": torch.zeros(5, dtype=torch.float64),
    }
    idle = (zero, zero, zero, zero, 0)
    heads = [
        [(zero, zero, t, a, 0), idle, (zero, zero, t, c, 0)],
        [(math.log(2) * a, p, t, b, 0), (zero, a, p, d, 1), idle],
    ]
    for layer, some in enumerate(heads):
        at = f"blocks.{layer}.attn."
        for i, name in enumerate("QKV"):
            state[f"{at}W_{name}"] = torch.stack([head[i].reshape(6, 1) for head in some])
            biases = [float(head[4]) if name == "Q" else 0.0 for head in some]
            state[f"{at}b_{name}"] = torch.tensor(biases, dtype=torch.float64).reshape(3, 1)
        state[f"{at}W_O"] = torch.stack([head[3].reshape(1, 6) for head in some])
        state[f"{at}b_O"] = zero.clone()
    (directory / "model" / "config.json").write_text(json.dumps(sizes | kind))
    save_file(state, directory / "model" / "model.safetensors")
    return directory


def write_spec(directory: Path, **sections: Any) -> Path:
    """A spec in a directory that has a model called `model`."""
    spec = {
        "version": 1,
        "name": "known",
        "model": {"name": "model", "dtype": "float64", "device": "cpu"},
        "prompts": {"pairs": PAIRS},
        "metrics": ["logit_diff"],
        "discover": {},
    }
    path = directory / "spec.yaml"
    path.write_text(yaml.safe_dump(spec | sections, sort_keys=False))
    return path


def labels(found: Discovery) -> set[str]:
    return {one.label for one in found.kept}


@pytest.mark.parametrize("metric", ["logit_diff", "kl"])
@pytest.mark.parametrize("base", ["clean", "corrupted"])
@pytest.mark.parametrize(("method", "threshold"), [("effects", 1e-9), ("acdc", 1e-9)])
def test_the_known_circuit_is_found(known, metric, base, method, threshold):
    spec = write_spec(known, metrics=[metric], intervention={"base": base})
    found = cg.discover(spec, method=method, threshold=threshold)
    assert labels(found) == TRUE_EDGES
    assert len(found.ranked) == 9 + 9 * 4 + 7
    assert found.path is None
    assert {(*e.sender, *e.receiver) for e in found.spec.edges} == {tuple(x.split(" → ")) for x in TRUE_EDGES}


def test_the_known_nodes_are_found(known):
    found = cg.discover(write_spec(known), of="nodes", threshold=1e-9)
    assert labels(found) == TRUE_NODES
    assert found.spec.edges == ()
    assert {entry.node for entry in found.spec.nodes} == {(name,) for name in TRUE_NODES}


def test_effects_by_pencil_and_paper(known):
    """Of a1.h0 → logits: b at the second token, for t = (2i, 2j) and a = (2i, i + j)."""
    found = cg.discover(write_spec(known))
    effects = {one.label: one.effect for one in found.ranked}

    def b(first: int, last: int) -> float:
        return (2 * first + 2 * last * 2 ** (first + last)) / (1 + 2 ** (first + last))

    used = [pair for pair in PAIRS if pair not in held_pairs(found)]
    changes = [b(*pair["corrupted"]) - b(*pair["clean"]) for pair in used]
    assert len(changes) == 3
    assert effects["a1.h0 → logits"] == pytest.approx(np.mean(changes), abs=1e-12)
    assert effects["a0.h2 → logits"] == 0


def held_pairs(found: Discovery) -> list[dict[str, Any]]:
    """The pairs that the found spec measures, as a spec writes them."""
    return [pair.model_dump(mode="json", exclude_defaults=True) for pair in found.spec.prompts.pairs]


def test_at_most_so_many(known):
    found = cg.discover(write_spec(known), most=2)
    assert len(found.kept) == 2
    assert [one.size for one in found.ranked] == sorted((one.size for one in found.ranked), reverse=True)
    assert found.kept == found.ranked[:2]


def test_what_leads_nowhere_goes_without_a_run(known):
    found = cg.discover(write_spec(known), method="acdc", threshold=1e-9)
    # Logits hear a1.h0 and a1.h1; of layer 1, h2 is cut off: 3 ports × 4 senders. Of layer 0, h1 and h2: 3 ports each.
    assert len(found.ranked) - found.experiments == 12 + 6
    assert sum(one.effect is None for one in found.ranked) == 18
    assert found.distance == pytest.approx(0, abs=1e-12)


# Against plain loops ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A directory with a random GPT-2 of two layers of two heads, as `model`, and prompts for it."""
    import transformers

    directory = tmp_path_factory.mktemp("small")
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=50, n_layer=2, n_head=2, n_embd=8, n_positions=16)
    model = transformers.GPT2LMHeadModel(config).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data.add_(0.8 * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(directory / "model")
    write_pairs(directory / "pairs.jsonl", random_prompts(6, lengths=(5, 6), seed=3))
    return directory


SENDERS = ["m1", "a1.h1", "a1.h0", "m0", "a0.h1", "a0.h0", "input"]
BEFORE = {
    "logits": SENDERS,
    "m1": SENDERS[1:],
    **{f"a1.h{i}<{port}>": SENDERS[3:] for i in (1, 0) for port in "qkv"},
    "m0": SENDERS[4:],
    **{f"a0.h{i}<{port}>": SENDERS[6:] for i in (1, 0) for port in "qkv"},
}
"""Receiver → senders, both last first: ACDC's order, written out."""


def plain_acdc(
    model: TransformerModel, prompts: PromptSet, metric: str, threshold: float, base: BaseRun
) -> tuple[dict[tuple[str, str], float | None], set[tuple[str, str]], float]:
    """Algorithm 1 once more: every run a fresh `execute` of a set of edges. Returns changes, what is left, D."""
    left = {(sender, receiver) for receiver, senders in BEFORE.items() for sender in senders}
    everything = set(left)

    def distance(graph: set[tuple[str, str]]) -> float:
        outside = tuple((parse(s), parse(r)) for s, r in sorted(everything - graph))
        if not outside:
            return 0.0
        plan = build_plan(CircuitGraph("plain", model.shape, (), (SetClaim(outside, edge("m0", "m1", base=base).how),)))
        parts = execute(model, plan, prompts, bind_metrics([PluginSpec(name=metric)]))
        (measured,) = [item for part in parts for item in part]
        return abs(measured.metric_patched.mean() - measured.metric_base.mean())

    def leads_to_logits(receiver: str) -> bool:
        name = receiver.partition("<")[0]
        return name == "logits" or any(leads_to_logits(r) for s, r in left if s == name)

    changes: dict[tuple[str, str], float | None] = {}
    for receiver, senders in BEFORE.items():
        for sender in senders:
            if not leads_to_logits(receiver):
                changes[sender, receiver] = None
                left.discard((sender, receiver))
                continue
            change = distance(left - {(sender, receiver)}) - distance(left)
            changes[sender, receiver] = change
            if change < threshold:
                left.discard((sender, receiver))
    return changes, left, distance(left)


@pytest.mark.parametrize(
    ("metric", "threshold", "base"),
    [("kl", 0.003, "clean"), ("kl", 0.01, "corrupted"), ("logit_diff", 0.1, "corrupted")],
)
def test_acdc_equals_a_plain_loop(small, metric, threshold, base):
    spec = write_spec(small, metrics=[metric], prompts={"file": "pairs.jsonl"}, intervention={"base": base})
    found = cg.discover(spec, method="acdc", threshold=threshold)
    model = load_model(Location("directory", "model", small / "model"), dtype="float64", device="cpu")
    used = discovery_prompts(spec, found)
    changes, left, distance = plain_acdc(model, used, metric, threshold, BaseRun(base))
    assert {(one.sender, one.receiver) for one in found.kept} == left
    assert 3 < len(left) < len(changes) - 3
    assert any(change is None for change in changes.values())
    for one in found.ranked:
        assert one.effect == pytest.approx(changes[one.sender, one.receiver], abs=1e-10)
    assert found.distance == pytest.approx(distance, abs=1e-10)
    assert found.experiments == sum(change is not None for change in changes.values())

    # And D of what is left is that of the circuit alone.
    circuit = {PartitionEdge(parse(s).node, parse(r).node, (*parse(r).ports, None)[0]): () for s, r in left}
    alone = only(circuit, model.shape, "alone", BaseRun(base), Counterfactual())
    (measured,) = next(execute(model, Plan("alone", (alone,)), used, bind_metrics([PluginSpec(name=metric)])))
    assert abs(measured.effect.mean()) == pytest.approx(distance, abs=1e-10)


def discovery_prompts(spec: Path, found: Discovery) -> PromptSet:
    """The pairs of a spec that the found spec does not measure."""
    prompts, other = check(spec).prompts, check(found.spec).prompts
    assert prompts is not None
    assert other is not None
    return PromptSet(tuple(pair for pair in prompts.pairs if pair not in other.pairs))


@pytest.mark.parametrize("of", ["edges", "nodes"])
def test_effects_are_those_of_single_claims(small, of):
    spec = write_spec(small, prompts={"file": "pairs.jsonl"})
    found = cg.discover(spec, of=of)
    model = load_model(Location("directory", "model", small / "model"), dtype="float64", device="cpu")
    used = discovery_prompts(spec, found)
    for one in found.ranked[::5]:
        claim = node(one.sender) if one.receiver is None else edge(one.sender, one.receiver)
        assert one.effect == pytest.approx(effect(model, claim, used).mean(), abs=1e-12)


def test_the_order_is_that_of_acdcs_code():
    shape = ModelShape(layers=2, heads=2, kv_heads=2)
    seen: list[tuple[str, str]] = []

    def distance(removed: Removed) -> float:
        receiver = list(removed)[-1]
        seen.append((str(removed[receiver][-1]), str(receiver)))
        return 2.0 * len(seen)

    pruned = prune(shape, distance, threshold=1.0)
    assert seen == [(sender, receiver) for receiver, senders in BEFORE.items() for sender in senders]
    assert all(step.kept for step in pruned.steps)
    assert pruned.distance == 0


def test_shared_keys_lead_on_while_a_head_of_the_group_does():
    """Four heads share two keys and values; only a0.h1 is heard, so kv0 leads to the logits and kv1 does not."""
    shape = ModelShape(layers=1, heads=4, kv_heads=2, mlps=False)

    def distance(removed: Removed) -> float:
        gone = {(str(sender), str(target)) for target, senders in removed.items() for sender in senders}
        return 5.0 if ("a0.h1", "logits") in gone else 0.0

    pruned = prune(shape, distance, threshold=1.0)
    run = {str(step.edge) for step in pruned.steps if step.change is not None}
    into_heads = {text for text in run if not text.endswith("logits")}
    assert into_heads == {"input → a0.h1<q>", "input → a0.kv0<k>", "input → a0.kv0<v>"}
    assert [str(step.edge) for step in pruned.steps if step.kept] == ["a0.h1 → logits"]


# On the bundled model -----------------------------------------------------------------------------

IOI_MINI = Path(__file__).parents[1] / "specs" / "ioi-mini.yaml"
SENTENCE = "After {A} and {B} went to the {PLACE}, {S2} gave a {OBJECT} to"
FEW = ["prompts.generator.n=6", f'prompts.generator.text=["{SENTENCE}"]']
"""Six pairs of one length: one batch."""
SHIPPED = {"a0.h0", "a0.h1", "a2.h0", "a2.h1", "a3.h0", "a3.h1"}


@pytest.mark.parametrize(("method", "threshold"), [("effects", 1.0), ("acdc", 1.0)])
def test_the_shipped_circuit_is_found(method, threshold, tmp_path):
    path = tmp_path / "found.yaml"
    found = cg.discover(IOI_MINI, path, method=method, threshold=threshold, overrides=FEW)
    heads = {name for one in found.kept for name in (one.sender, one.receiver.partition("<")[0]) if ".h" in name}
    assert heads == SHIPPED
    groups = {name: set(group.nodes) & SHIPPED for name, group in found.spec.groups.items()}
    assert {frozenset(found) for found in groups.values() if found} == {
        frozenset({f"a{layer}.h0", f"a{layer}.h1"}) for layer in (0, 2, 3)
    }
    first, second = check(IOI_MINI, FEW).prompts, check(path).prompts
    assert found.spec.prompts.generator.parameters["seed"] == 1
    assert shared_pairs(first, second, BaseRun.CLEAN) == 0
    assert cg.load(path) == found.spec


# Prompts held apart -------------------------------------------------------------------------------

TOKENS = st.integers(0, 3)


@st.composite
def prompt_sets(draw: st.DrawFn) -> PromptSet:
    """Few tokens and few clusters, so that pairs are often the same."""
    pairs = []
    for _ in range(draw(st.integers(1, 14))):
        clean, corrupted = (tuple(draw(st.lists(TOKENS, min_size=2, max_size=2))) for _ in range(2))
        cluster = draw(st.sampled_from([None, None, "a", "b", "c"]))
        pairs.append(Pair(clean, draw(st.sampled_from([corrupted, None])), (), (), cluster=cluster))
    return PromptSet(tuple(pairs))


@settings(max_examples=200, deadline=None)
@given(prompts=prompt_sets(), base=st.sampled_from(BaseRun), seed=st.integers(0, 5))
def test_a_split_never_straddles(prompts, base, seed):
    try:
        first, second, units = halves(prompts, base, seed)
    except InputError:
        assert len(units_of(prompts, base)) < 4
        return
    assert sorted(first + second) == list(range(len(prompts)))
    assert first == sorted(first)
    some, others = (PromptSet(tuple(prompts.pairs[i] for i in side)) for side in (first, second))
    assert shared_pairs(some, others, base) == 0
    clusters = ({pair.cluster for pair in side.pairs} - {None} for side in (some, others))
    assert set.intersection(*clusters) == set()
    held = [unit for unit in units_of(prompts, base) if unit[0] in second]
    assert (len(held), units - len(held)) == (-(-units // 2), units // 2)


def test_what_makes_pairs_the_same():
    def prompts(*pairs: tuple[int, int]) -> PromptSet:
        return PromptSet(tuple(Pair((a,), (b,), (), ()) for a, b in pairs))

    some = prompts((1, 2))
    for others, clean, corrupted in [((1, 3), 1, 0), ((3, 2), 0, 1), ((2, 1), 1, 1), ((2, 3), 0, 0), ((3, 1), 0, 0)]:
        assert shared_pairs(some, prompts(others), BaseRun.CLEAN) == clean, others
        assert shared_pairs(some, prompts(others), BaseRun.CORRUPTED) == corrupted, others


def clustered() -> list[dict[str, Any]]:
    """Twelve pairs: three clusters of two, six alone; two of the latter equal."""
    pairs = [dict(pair, cluster=f"c{i // 2}") for i, pair in enumerate(PAIRS)]
    alone = [{**pair, "clean": pair["corrupted"][::-1], "corrupted": pair["clean"][::-1]} for pair in PAIRS]
    return [*pairs, *alone[:5], alone[0]]


@pytest.mark.parametrize("origin", ["pairs", "jsonl", "csv"])
def test_pairs_and_files_are_split(known, tmp_path, origin):
    shutil.copytree(known / "model", tmp_path / "model")
    if origin == "pairs":
        prompts: dict[str, Any] = {"pairs": clustered()}
    else:
        prompts = {"file": f"own.{origin}"}
        rows = [pair | {"positions": {"A": -2}} for pair in clustered()]
        if origin == "jsonl":
            text = "".join(json.dumps(row) + "\n" for row in rows)
        else:
            columns = ["clean", "corrupted", "answers", "wrong_answers", "positions", "cluster"]
            cells = [['"' + str(json.dumps(row[c])).replace('"', '""') + '"' if c in row else "" for c in columns[:-1]]
                     + [row.get("cluster", "")] for row in rows]  # fmt: skip
            text = "\n".join(",".join(line) for line in [columns, *cells]) + "\n"
        (tmp_path / f"own.{origin}").write_text(text)
    (tmp_path / "out").mkdir()
    spec, out = write_spec(tmp_path, prompts=prompts), tmp_path / "out" / "found.yaml"
    found = cg.discover(spec, out, threshold=1e-9)
    assert found.pairs_path == tmp_path / "out" / "found.pairs.jsonl"
    given_, held = check(spec).prompts, check(out).prompts
    assert cg.load(out) == found.spec
    assert found.spec.prompts.file == "found.pairs.jsonl"
    assert found.spec.model.name == "../model"
    assert [pair for pair in given_.pairs if pair in held.pairs] == list(held.pairs)
    used = PromptSet(tuple(pair for pair in given_.pairs if pair not in held.pairs))
    assert len(used) == found.pairs
    assert shared_pairs(used, held, BaseRun.CLEAN) == 0
    assert not {pair.cluster for pair in used.pairs} & ({pair.cluster for pair in held.pairs} - {None})
    assert cg.run(out).rows[0].n == len(held)


TEMPLATE = {
    "name": "template",
    "text": "When {A} and {B} went to the shop, {A2} gave a book to",
    "slots": {"A": "names", "B": "names", "A2": {"same_as": "A"}},
    "words": {"names": ["Adam", "Alice", "David", "Emma", "Grace", "Jack", "Laura", "Peter"]},
    "corruption": {"set": {"A2": "B"}},
    "answers": "B",
    "wrong_answers": "A",
}


def test_a_generator_with_few_prompts_is_split(tmp_path):
    """Eight names make 56 prompts: two seeds of 40 must meet, two of 4 need not."""
    sections = {"model": "ioi-mini", "discover": {"of": "nodes", "most": 3}}
    few = write_spec(tmp_path, prompts={"generator": {**TEMPLATE, "n": 4}}, **sections)
    found = cg.discover(few, tmp_path / "few.yaml")
    assert found.spec.prompts.generator is not None
    assert shared_pairs(check(few).prompts, check(tmp_path / "few.yaml").prompts, BaseRun.CLEAN) == 0
    many = write_spec(tmp_path, prompts={"generator": {**TEMPLATE, "n": 40}}, **sections)
    found = cg.discover(many, tmp_path / "many.yaml")
    held = check(tmp_path / "many.yaml").prompts
    assert held.note == "many.pairs.jsonl"
    assert "make some of its pairs again" in found.prompts
    whole = check(many).prompts
    assert [pair for pair in whole.pairs if pair in held.pairs] == list(held.pairs)
    assert len(held) + found.pairs == 40
    assert "positions" in json.loads((tmp_path / "many.pairs.jsonl").read_text().splitlines()[0])


def test_too_few_pairs(known, circuitgraph):
    spec = write_spec(known, prompts={"pairs": PAIRS[:3]})
    ended = circuitgraph("discover", spec, "-o", "found.yaml")
    assert ended.status == 2
    assert "the prompts are too few to be split" in ended.err
    assert "3 pairs in 3 independent units" in ended.err
    assert not Path("found.yaml").exists()


# The written file ---------------------------------------------------------------------------------


def test_the_header_says_how(known, circuitgraph):
    ended = circuitgraph("discover", write_spec(known), "-o", "found.yaml", "--threshold", "1e-9")
    assert ended.status == 0, ended.err
    text = Path("found.yaml").read_text()
    header = [line for line in text.splitlines() if line.startswith("#")]
    assert f"circuitgraph {cg.__version__}" in header[0]
    assert "|effect| > 1e-09 on logit_diff; base clean, source counterfactual" in header[0]
    assert header[1] == "# 6 of 52 edges of model, the largest first."
    assert "3 of the 6 pairs of pairs of the spec, split with seed 0" in header[2]
    assert "the other 3" in header[3]
    effects = [float(line.partition("# ")[2]) for line in text.splitlines() if line.startswith("- {sender")]
    assert len(effects) == 6
    assert [abs(e) for e in effects] == sorted(map(abs, effects), reverse=True)
    assert circuitgraph("check", "found.yaml").status == 0
    ended = circuitgraph("run", "found.yaml")
    assert ended.status == 0, ended.err


def test_nodes_and_names(known, circuitgraph):
    """The effects of nodes stand in the header; the spec is called like its file, for its run directory."""
    for name in ("one two.yaml", "known-2.yaml", "é.yaml"):
        ended = circuitgraph("discover", write_spec(known), "-o", name, "--of", "nodes", "--most", "2")
        assert ended.status == 0, ended.err
    effects = {one.label: one.effect for one in cg.discover(write_spec(known), of="nodes").ranked}
    line = next(line for line in Path("known-2.yaml").read_text().splitlines() if line.startswith("# Effects"))
    for name in cg.load("known-2.yaml").nodes:
        assert f"{name.node[0]} {effects[name.node[0]]:+.6g}" in line
    names = [cg.load(name).name for name in ("one two.yaml", "known-2.yaml", "é.yaml")]
    assert names == ["known-one-two", "known-2", "known-found"]


@pytest.mark.parametrize(("family", "threshold"), [("llama", 0.1), ("gpt_neox", 0.3), ("gemma2", 0.3)])
def test_families(checkpoint, tmp_path, family, threshold):
    """Shared keys and values, parallel blocks, post-norms: what is written passes its check."""
    (tmp_path / "model").symlink_to(checkpoint(family))
    write_pairs(tmp_path / "pairs.jsonl", random_prompts(4, 5))
    spec = write_spec(tmp_path, prompts={"file": "pairs.jsonl"})
    found = cg.discover(spec, tmp_path / "found.yaml", method="acdc", threshold=threshold)
    assert any(".kv" in one.receiver for one in found.ranked) == (family != "gpt_neox")
    checked = check(tmp_path / "found.yaml")
    assert len(checked.graph.claims) == len(found.kept) > 0
    assert checked.warnings == ()


def test_paths_are_taken_along(known, tmp_path):
    """A reference set in a file, seen from another directory."""
    (known / "own.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    spec = write_spec(
        known, intervention={"source": "mean", "reference": {"prompts": {"file": "own.jsonl"}, "align": "pooled"}}
    )
    found = cg.discover(spec, tmp_path / "found.yaml", threshold=1e-9)
    assert labels(found) >= {"a1.h0 → logits", "a1.h1 → logits"}
    assert len(check(tmp_path / "found.yaml").reference) == len(PAIRS)
    assert cg.run(tmp_path / "found.yaml").rows[0].source == "mean"


def test_no_pairs_without_their_spec(known, tmp_path, monkeypatch):
    """The disk is full between the two files: neither is left."""

    def full(path: Path, text: str) -> None:
        if path.suffix == ".yaml":
            raise FileError("cannot write: no space")
        path.write_text(text)

    monkeypatch.setattr(write, "write_text", full)
    with pytest.raises(FileError, match="no space"):
        cg.discover(write_spec(known), tmp_path / "found.yaml")
    assert list(tmp_path.iterdir()) == []


def test_edges_of_the_spec_are_not_used(known):
    one = cg.discover(write_spec(known), threshold=1e-9)
    other = cg.discover(write_spec(known, edges=[{"sender": "a0.h1", "receiver": "logits"}]), threshold=1e-9)
    assert one.ranked == other.ranked
    assert one.spec == other.spec


def test_the_same_search_twice(small):
    spec = write_spec(small, prompts={"file": "pairs.jsonl"}, discover={"method": "acdc", "threshold": 0.1})
    assert cg.discover(spec).ranked == cg.discover(spec).ranked


def test_several_draws_and_lengths(small):
    """acdc with resampled values: the mean over draws, the same at every call."""
    how = {"source": "resample", "draws": 2, "reference": {"prompts": {"file": "pairs.jsonl"}, "align": "pooled"}}
    spec = write_spec(small, prompts={"file": "pairs.jsonl"}, intervention=how)
    found = cg.discover(spec, method="acdc", threshold=0.3)
    assert 0 < len(found.kept) < len(found.ranked)


def test_flags_go_before_set_and_set_before_the_spec(known, circuitgraph):
    spec = write_spec(known, discover={"method": "acdc", "threshold": 1e-9})
    ended = circuitgraph("discover", spec, "-o", "a.yaml", "--json")
    assert json.loads(ended.out)["settings"]["method"] == "acdc"
    changes = ["--set", "discover.method=effects", "--set", "discover.most=3"]
    ended = circuitgraph("discover", spec, "-o", "b.yaml", "--json", *changes)
    found = json.loads(ended.out)
    assert (found["settings"]["method"], found["kept"]) == ("effects", 3)
    ended = circuitgraph("discover", spec, "-o", "c.yaml", "--json", *changes, "--most", "1")
    found = json.loads(ended.out)
    assert found["kept"] == 1
    assert len(found["ranked"]) == 52
    assert found["pairs_file"] == "c.pairs.jsonl"


def test_the_table(known, circuitgraph):
    ended = circuitgraph("discover", write_spec(known), "-o", "a.yaml", "--method", "acdc", "--threshold", "0.01",
                         "--top", "7")  # fmt: skip
    assert ended.status == 0, ended.err
    assert "6 of 52 edges kept: acdc on logit_diff, τ = 0.01; D of what was kept: " in ended.out
    assert "34 runs; 18 edges went without one" in ended.out
    assert ended.out.count("  kept\n") == 6
    assert "… 45 more, 0 of them kept" in ended.out
    assert "known: acdc, 52 edges: at most as many forward passes" in ended.err
    assert "discovered on 3 of the 6 pairs" in ended.err
    assert "next: circuitgraph run a.yaml" in ended.err


# Misuse -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sections", "message"),
    [
        (["--method", "efects"], {}, "'efects' is not a method of discovery; did you mean 'effects'? have: effects"),
        (["--of", "heads"], {}, "'heads' is not what a circuit is made of; did you mean 'edges'? have: edges, nodes"),
        (["--threshold", "-1"], {}, "threshold is -1.0; it must be a number that is 0 or more"),
        (["--threshold", "nan"], {}, "threshold is nan; it must be a number that is 0 or more"),
        (["--most", "0"], {}, "most is 0; it must be 1 or more"),
        (["--method", "acdc"], {}, "acdc needs a threshold τ above 0"),
        (["--method", "acdc", "--threshold", "1", "--most", "3"], {}, "'most' goes with method: effects"),
        (["--method", "acdc", "--threshold", "1", "--of", "nodes"], {}, "a node goes with its last edge"),
        ([], {"intervention": {"path": "through-mlps"}}, "discover needs path: direct"),
        ([], {"intervention": {"source": "mean"}}, "source: mean needs a reference set"),
        (["--threshold", "1e9"], {}, "nothing has |effect| > 1e+09; the largest is "),
        (["--method", "acdc", "--threshold", "1e9"], {}, "nothing is left"),
        ([], {"discover": {"method": "acdcs"}}, "spec.yaml:"),
        (
            [],
            {"prompts": {"pairs": [{"clean": [i, 1], "answers": [0], "wrong_answers": [1]} for i in range(5)]}},
            "source: counterfactual needs corrupted prompts",
        ),
    ],
)  # fmt: skip
def test_one_clear_message(known, circuitgraph, arguments, sections, message):
    ended = circuitgraph("discover", write_spec(known, **sections), "-o", "found.yaml", *arguments)
    assert ended.status == 2
    assert message in ended.err
    assert ended.out == ""
    assert list(Path().iterdir()) == []


def test_ctrl_c_leaves_nothing_behind(known, circuitgraph, monkeypatch):
    def interrupted(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    spec = write_spec(known)
    before = sorted(spec.parent.iterdir())
    monkeypatch.setattr("circuitgraph.discovery.finding.rank", interrupted)
    ended = circuitgraph("discover", spec, "-o", "found.yaml")
    assert (ended.status, ended.out, ended.err.splitlines()[-1]) == (130, "", "interrupted")
    assert list(Path().glob("found*")) == []
    assert sorted(spec.parent.iterdir()) == before


def test_files_in_the_way(known, circuitgraph):
    spec = write_spec(known)
    Path("found.pairs.jsonl").write_text("precious")
    ended = circuitgraph("discover", spec, "-o", "found.yaml")
    assert (ended.status, ended.out) == (5, "")
    assert "'found.pairs.jsonl' is there already; --force replaces it" in ended.err
    assert Path("found.pairs.jsonl").read_text() == "precious"
    assert circuitgraph("discover", spec, "-o", "found.yaml", "--force").status == 0
    ended = circuitgraph("discover", spec, "-o", "found.yaml")
    assert (ended.status, "'found.yaml' is there already" in ended.err) == (5, True)
    ended = circuitgraph("discover", spec, "-o", "no/found.yaml")
    assert (ended.status, "there is no directory 'no'" in ended.err) == (5, True)
    ended = circuitgraph("discover", spec, "-o", ".")
    assert (ended.status, "'.' is a directory" in ended.err) == (5, True)
    ended = circuitgraph("discover", spec, "-o", "found.py", "--force")
    assert (ended.status, "let it end in .yaml or .yml" in ended.err) == (2, True)
    ended = circuitgraph("discover", spec, "-o", "/proc/found.yaml")
    assert (ended.status, "cannot write /proc/found.yaml" in ended.err) == (5, True)
    assert "forward passes" not in ended.err, "told before anything runs"
    before = spec.read_text()
    ended = circuitgraph("discover", spec, "-o", spec, "--force")
    assert (ended.status, "is what the search starts from" in ended.err) == (2, True)
    assert spec.read_text() == before
    assert circuitgraph("discover", spec).status == 2

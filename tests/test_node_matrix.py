"""Every node × source × base × family: a number equal to an independent oracle's (see node_oracle), or a refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitgraph.checks import check
from circuitgraph.errors import InputError, SpecError
from circuitgraph.execute.references import derangement
from circuitgraph.graph.claims import Mean, Resample
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.results.records import Measured
from circuitgraph.spec.model import Align, BaseRun, CircuitSpec
from tests import matrix
from tests.measuring import measure_all, node, reference_spec
from tests.node_oracle import NodeOracle, oracle_of
from tests.tiny import FAMILIES, TELLING, random_prompts

PROMPTS = random_prompts(pairs=4)
REFERENCE = random_prompts(pairs=6, seed=7)
# Fewer than there are pairs, and of other lengths.
MIXED = random_prompts(pairs=3, seed=8, lengths=(5, 8, 6))
SEED = 11
CLEAN, CORRUPTED = BaseRun.CLEAN, BaseRun.CORRUPTED
WITHIN = 1e-9
# Its attention is saturated: many a token looks at one other, and at no other token's changes.
MOVING = {"tl_no_norm": 0.5}


class Remembering:
    """An oracle that runs the model once for each value that is asked for again and again."""

    def __init__(self, oracle: NodeOracle) -> None:
        self.patched, self.pruned = oracle.patched, oracle.pruned
        self._values = cache(lambda rows, node: oracle.value(torch.tensor(rows), node))
        self._logits = cache(lambda rows: oracle.logits(torch.tensor(rows)))

    def value(self, ids: Tensor, node: str) -> Tensor:
        return self._values(tuple(map(tuple, ids.tolist())), node)

    def logits(self, ids: Tensor) -> Tensor:
        return self._logits(tuple(map(tuple, ids.tolist())))


@pytest.fixture(scope="module")
def oracle(checkpoint: Callable[[str], Path]) -> Callable[[str], NodeOracle]:
    """family → its oracle."""
    return cache(lambda family: Remembering(oracle_of(family, checkpoint(family))))


def ids(prompts: PromptSet, side: BaseRun) -> Tensor:
    return torch.tensor([pair.clean if side is CLEAN else pair.corrupted for pair in prompts.pairs])


def logit_diff(logits: Tensor) -> NDArray[np.float64]:
    """Mean logit of the answers − mean logit of the wrong answers at END, per pair."""
    found = [
        logits[i, -1, list(pair.answers)].mean() - logits[i, -1, list(pair.wrong_answers)].mean()
        for i, pair in enumerate(PROMPTS.pairs)
    ]
    return torch.stack(found).numpy()


def off(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """How far two values per pair are apart, relative to the larger of 1 and their size."""
    return float((np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs))).max())


def named(node: str) -> str:
    """The position at which a node is patched alone: where it still reaches the metric."""
    return "END" if node == "r3" else "B"


@dataclass(frozen=True)
class Case:
    """One experiment, and the side and alignment of its reference set."""

    node: str
    source: str
    base: BaseRun
    at: str | None = None
    side: BaseRun = CLEAN
    align: str = "position"
    reference: PromptSet = REFERENCE

    def __str__(self) -> str:
        where = "" if self.at is None else f"@{self.at}"
        return f"{self.node}{where}, {self.source} ({self.align}, {self.side}), base {self.base}"

    def value(self, oracle: NodeOracle) -> Tensor:
        """What the source puts at the node. [pairs, pos, columns]"""
        own = oracle.value(ids(PROMPTS, self.base), self.node)
        match self.source:
            case "counterfactual":
                return oracle.value(ids(PROMPTS, CORRUPTED if self.base is CLEAN else CLEAN), self.node)
            case "zero":
                return torch.zeros_like(own)
        values = [
            oracle.value(torch.tensor([pair.clean if self.side is CLEAN else pair.corrupted]), self.node)[0]
            for pair in self.reference.pairs
        ]
        if self.source == "resample":
            order = derangement(SEED, 0, len(values))
            values = [values[order[i % len(values)]] for i in range(len(PROMPTS))]
            at = [self.reference.pairs[order[i % len(self.reference)]].positions["B"] for i in range(len(PROMPTS))]
        else:
            at = [pair.positions["B"] for pair in self.reference.pairs]
        match self.source, self.align:
            case "mean", "position":
                total = torch.zeros_like(values[0])
                for value in values:
                    total += value
                return (total / len(values)).expand_as(own)
            case "mean", "name":
                found = [value[index] for value, index in zip(values, at, strict=True)]
                return torch.stack(found).mean(dim=0).expand_as(own)
            case "mean", "pooled":
                tokens = [token for value in values for token in value]
                return torch.stack(tokens).mean(dim=0).expand_as(own)
            case "resample", "position":
                return torch.stack(values)
            case "resample", "name":
                found = [value[index] for value, index in zip(values, at, strict=True)]
                return torch.stack(found)[:, None].expand_as(own)
        raise ValueError(self)

    def expected(self, oracle: NodeOracle) -> NDArray[np.float64]:
        """The metric of each pair in the oracle's patched run."""
        base = ids(PROMPTS, self.base)
        if self.source == "prune":
            return logit_diff(oracle.pruned(base, [self.node]))
        at = None if self.at is None else [pair.positions[self.at] for pair in PROMPTS.pairs]
        return logit_diff(oracle.patched(base, self.node, self.value(oracle), at))

    def entry(self) -> dict[str, Any]:
        """The entry of `nodes:` in a spec."""
        where = self.node if self.at is None else f"{self.node}@{self.at}"
        how = {"prune": True} if self.source == "prune" else {"source": self.source}
        return {"node": where, "base": self.base.value, **how}


def cases_of(family: str) -> Iterator[Case]:
    """All that a family's ✓ stand for, with reference prompts aligned by position."""
    for name in matrix.nodes_in(family):
        for turn, base in enumerate(BaseRun):
            # Of several ports at once and of a second middle, what tells most.
            for number, source in enumerate(matrix.SOURCES[::2] if "," in name or name == "r0.mid" else matrix.SOURCES):
                places = (None, named(name))
                # Families that differ from another one in their rules alone take turns.
                yield from (
                    Case(name, source, base, at)
                    for at in (places if family in TELLING else (places[(turn + number) % 2],))
                )
            if name in matrix.PRUNABLE:
                yield Case(name, "prune", base)


def aligned_cases(family: str) -> Iterator[Case]:
    """The other alignments and the other side, for some nodes."""
    names = [n for n in matrix.nodes_in(family) if n not in ("r1", "a1", "r3", "a1.h2<q>", "a1.h2<pattern>", "r0.mid")]
    for number, name in enumerate(names):
        base, side = (CLEAN, CORRUPTED)[number % 2], (CORRUPTED, CLEAN)[number // 2 % 2]
        for align, at in (("name", "B"), ("pooled", None), ("pooled", "B")):
            yield Case(name, "mean", base, at, side, align, MIXED)
        yield Case(name, "resample", base, "B", side, "name", MIXED)
    for source in ("mean", "resample"):
        yield Case("a1.h2", source, CLEAN, None, CORRUPTED)
        yield Case("a1.h2<pattern>", source, CORRUPTED, "B", CORRUPTED)


def section(prompts: PromptSet, *keys: str) -> dict[str, Any]:
    """Prompts as a spec has them."""
    keys = ("clean", "corrupted", *keys)
    pairs = [{key: list(getattr(pair, key)) for key in keys} for pair in prompts.pairs]
    for written, pair in zip(pairs, prompts.pairs, strict=True):
        written["positions"] = {name: index for name, index in pair.positions.items() if name != "END"}  # type: ignore[assignment]
    return {"pairs": pairs}


def spec_of(
    directory: Path, nodes: Sequence[Any], *, align: str = "position", reference: PromptSet = REFERENCE
) -> CircuitSpec:
    """A spec that patches nodes of a checkpoint."""
    intervention = {"reference": {"prompts": section(reference), "align": align}, "seed": SEED}
    return CircuitSpec.model_validate(
        {
            "version": 1,
            "name": "matrix",
            "model": {"name": str(directory)},
            "prompts": section(PROMPTS, "answers", "wrong_answers"),
            "metrics": ["logit_diff"],
            "intervention": intervention,
            "nodes": list(nodes),
        }
    )


def problems(spec: CircuitSpec) -> list[str]:
    with pytest.raises(SpecError) as raised:
        check(spec)
    return [problem.message for problem in raised.value.problems]


def compare(oracle: NodeOracle, cases: Sequence[Case], measured: Sequence[Measured], moving: float = 1.0) -> None:
    """Pair by pair; and that at least this share of the cases moves the metric."""
    moved = 0
    for case, ours in zip(cases, measured, strict=True):
        expected = case.expected(oracle)
        assert np.isfinite(ours.metric_patched).all(), case
        assert off(ours.metric_patched, expected) < WITHIN, f"{case}: {off(ours.metric_patched, expected):.1e} off"
        base = logit_diff(oracle.logits(ids(PROMPTS, case.base)))
        assert off(ours.metric_base, base) < WITHIN
        moves = np.abs(ours.effect).max() > 1e-6 * max(1.0, np.abs(base).max())
        assert moves or moving < 1, f"{case} moves nothing"
        moved += moves
    assert moved >= moving * len(cases)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_node_source_and_base_equals_the_oracle(tiny_model, oracle, checkpoint, family):
    cases = [*cases_of(family)]
    checked = check(spec_of(checkpoint(family), [case.entry() for case in cases]))
    assert checked.warnings == checked.unchecked == ()
    assert checked.prompts is not None
    assert [pair.clean for pair in checked.prompts.pairs] == [pair.clean for pair in PROMPTS.pairs]
    measured = measure_all(tiny_model(family), checked.graph.claims, PROMPTS, reference=REFERENCE)
    compare(oracle(family), cases, measured, MOVING.get(family, 1.0))


@pytest.mark.parametrize("family", TELLING)
def test_reference_sets_of_other_lengths_equal_the_oracle(tiny_model, oracle, family):
    cases = [*aligned_cases(family)]
    by_set = {id(reference): [c for c in cases if c.reference is reference] for reference in (REFERENCE, MIXED)}
    for reference in (REFERENCE, MIXED):
        some = by_set[id(reference)]
        claims = []
        for case in some:
            settings = reference_spec(Align(case.align), case.side)
            source = Mean(settings) if case.source == "mean" else Resample(settings, seed=SEED)
            claims.append(
                node(case.node if case.at is None else f"{case.node}@{case.at}", source=source, base=case.base)
            )
        measured = measure_all(tiny_model(family), claims, PROMPTS, reference=reference)
        compare(oracle(family), some, measured, MOVING.get(family, 1.0))


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_not_tested_is_refused(checkpoint, family):
    nodes = [n for names in matrix.KINDS.values() for n in names if matrix.refusal(family, n)]
    found = problems(spec_of(checkpoint(family), nodes))
    assert len(found) == len(nodes)
    for message, name in zip(found, nodes, strict=True):
        assert str(matrix.refusal(family, name)) in message
        assert name in message


def test_what_has_no_weights_of_its_own_is_not_pruned(checkpoint):
    names = [n for n in matrix.nodes_in("llama") if matrix.prune_refusal(n)] + ["a1.h2@B"]
    found = problems(spec_of(checkpoint("llama"), [{"node": name, "prune": True} for name in names]))
    for message, name in zip(found, names, strict=True):
        assert name in message
        assert str(matrix.prune_refusal(name) if name != "a1.h2@B" else "weights are the same at every pos") in message


@pytest.mark.parametrize("align", matrix.ALIGNMENTS)
@pytest.mark.parametrize("source", ["mean", "resample"])
def test_what_a_reference_set_does_not_have_is_refused(tiny_model, checkpoint, align, source):
    """By `check`, and once more by the executor."""
    for name in ("a1.h2", "a1.h2<pattern>", "r1", "m1.n5@B"):
        for at in ("", "@B"):
            whole = name if "@" in name else name + at
            refused = matrix.align_refusal(name.partition("@")[0], align, positioned="@" in whole)
            spec = spec_of(checkpoint("gpt2"), [{"node": whole, "source": source}], align=align)
            if refused is None:
                assert len(check(spec).graph.claims) == 1
                continue
            (message,) = problems(spec)
            assert refused in message
            settings = reference_spec(Align(align))
            claim = node(whole, source=Mean(settings) if source == "mean" else Resample(settings))
            with pytest.raises(InputError, match=refused):
                measure_all(tiny_model("gpt2"), [claim], PROMPTS, reference=REFERENCE)


def test_the_page_is_up_to_date():
    """`make docs` writes it anew."""
    assert matrix.PAGE.read_text(encoding="utf-8") == matrix.table()

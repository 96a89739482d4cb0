"""Which nodes can be patched in which family, with which values: what is tested, and the page that says so.

`python -m tests.matrix` writes docs/coverage.md; test_node_matrix tests each ✓ and each refusal.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.tiny import FAMILIES, GROUPED, PARALLEL, TELLING

PAGE = Path(__file__).parents[1] / "docs" / "coverage.md"

KINDS: dict[str, tuple[str, ...]] = {
    "`input`": ("input",),
    "residual stream, `r1`": ("r1",),
    "after the last block, `r3`": ("r3",),
    "between the halves, `r1.mid`": ("r1.mid", "r0.mid"),
    "attention layer, `a1`": ("a1",),
    "head, `a1.h2`": ("a1.h2",),
    "ports of a head, `a1.h2<q>`": ("a1.h2<q>", "a1.h2<k>", "a1.h2<v>", "a1.h2<q,k,v>"),
    "ports of a key/value head, `a1.kv1<k>`": ("a1.kv1<k>", "a1.kv1<v>", "a1.kv1<k,v>"),
    "attention pattern, `a1.h2<pattern>`": ("a1.h2<pattern>",),
    "MLP, `m1`": ("m1",),
    "neuron, `m1.n5`": ("m1.n5",),
    "`logits`": ("logits",),
}
"""What the page calls a kind of node, and the nodes of that kind that are tested."""

SOURCES = ("counterfactual", "zero", "mean", "resample")
ALIGNMENTS = ("position", "name", "pooled")
PRUNABLE = ("a1", "a1.h2", "m1", "m1.n5")
WITHOUT_MLPS = ("tl_attention_only",)


def refusal(family: str, node: str) -> str | None:
    """What a refusal of a node says; None where it can be patched."""
    if node == "logits":
        return "what the metric reads"
    if node.endswith(".mid") and family in PARALLEL:
        return "run in parallel in this model"
    if (node.endswith(".mid") or node[0] == "m") and family in WITHOUT_MLPS:
        return "this model has no MLPs"
    return None


def prune_refusal(node: str) -> str | None:
    """What a refusal of pruning a node says; None where it can be pruned."""
    return None if node in PRUNABLE else "has no output weights that could be pruned"


def align_refusal(node: str, align: str, *, positioned: bool) -> str | None:
    """What a refusal of a reference set says; None where the node has a value in it."""
    if node.endswith("<pattern>") and align != "position":
        return "a pattern says how the tokens of one prompt look at each other"
    if align == "name" and not positioned:
        return "gives values at positions alone"
    return None


def nodes_in(family: str) -> tuple[str, ...]:
    """The nodes of every kind that can be patched in a family."""
    return tuple(node for nodes in KINDS.values() for node in nodes if refusal(family, node) is None)


def _rows(first: str, columns: list[str], rows: dict[str, list[str | None]]) -> str:
    lines = [[first, *columns], ["---"] * (len(columns) + 1)]
    lines += [[name, *("✓" if cell is None else f"refused: {cell}" for cell in cells)] for name, cells in rows.items()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def table() -> str:
    """The text of docs/coverage.md."""
    families = _rows(
        "node",
        [family.replace("_", "\\_") for family in FAMILIES],
        {kind: [refusal(family, nodes[0]) for family in FAMILIES] for kind, nodes in KINDS.items()},
    )
    patched = {kind: nodes[0] for kind, nodes in KINDS.items() if nodes != ("logits",)}
    pruned = _rows("node", ["`prune`"], {kind: [prune_refusal(node)] for kind, node in patched.items()})
    aligned = _rows(
        "node",
        [f"`align: {align}`, {where}" for align in ALIGNMENTS for where in ("everywhere", "`@B`")],
        {
            kind: [align_refusal(n, align, positioned=at) for align in ALIGNMENTS for at in (False, True)]
            for kind, n in (("any node", "a1.h2"), ("attention pattern", "a1.h2<pattern>"))
        },
    )
    return f"""# What can be patched, and what is tested

Written by `make docs` from `tests/matrix.py`; `tests/test_node_matrix.py` tests each cell. A ✓ is a number, equal to
1e-9 in float64 to that of an independent implementation: plain hooks on the Hugging Face model, or a forward pass
written out. Everything else is refused before a model runs, with the words that stand here.

## Nodes in families

✓: with the sources {_code(SOURCES)}, on both bases, everywhere and at a named
position (one of the two by turns for {_code(f for f in FAMILIES if f not in TELLING)}); several ports at once with
`counterfactual` and `mean`. The models are tiny and random, with three blocks of four heads;
{_code(GROUPED)} share keys and values.

{families}

## Weights set to zero

✓: equal to a copy of the model whose weights are zero, in every family that has the node, on both bases.

{pruned}

## Reference sets

The sources `mean` and `resample`, from reference prompts that are others than those measured. By position, every node;
by name and pooled, most kinds of nodes in most families, with reference prompts of several lengths. Which tokens a
pooled `resample` draws is drawn, so there its values are tested, not a metric: `tests/test_references.py`.

{aligned}
"""


if __name__ == "__main__":
    PAGE.write_text(table(), encoding="utf-8")

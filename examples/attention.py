"""What do the heads of each group attend to? Mean attention weights between named positions.

    python examples/attention.py specs/ioi-mini.yaml --query S2 END

Prints, for every head of every group, the mean weight from the query positions to every named position.
"""

from __future__ import annotations

import argparse

import torch

import circuitgraph as cg
from circuitgraph.models.loading import load_model
from circuitgraph.models.sites import Site, SiteKind
from circuitgraph.nodes import Head, parse_position
from circuitgraph.prompts.pairs import PromptSet


def attention(spec: cg.CircuitSpec, heads: list[Head], queries: list[str], keys: list[str]) -> torch.Tensor:
    """Mean attention weight [heads, queries, keys] over the clean prompts."""
    checked = cg.check(spec)
    if checked.prompts is None:
        raise SystemExit("the prompts cannot be read without the model's tokenizer")
    model = load_model(checked.location, dtype=spec.model.dtype, device=spec.model.device)
    sites = {head: Site(SiteKind.PATTERN, head.layer) for head in heads}
    total = torch.zeros(len(heads), len(queries), len(keys), dtype=torch.float64)
    for rows in checked.prompts.by_length():
        pairs = PromptSet(tuple(checked.prompts.pairs[row] for row in rows))
        ids = torch.tensor([pair.clean for pair in pairs.pairs], device=model.device)
        patterns = model.run(ids, reads=set(sites.values())).reads
        batch = torch.arange(len(pairs))
        for h, head in enumerate(heads):
            weights = patterns[sites[head]][:, head.index].double().cpu()
            for q, query in enumerate(queries):
                for k, key in enumerate(keys):
                    at = [torch.tensor(pairs.indexes(parse_position(text))) for text in (query, key)]
                    total[h, q, k] += weights[batch, at[0], at[1]].sum()
    return total / len(checked.prompts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec")
    parser.add_argument("--query", nargs="+", default=["END"], help="positions that attend (END)")
    parser.add_argument("--key", nargs="+", default=["BOS", "IO", "S1", "S1+1", "S2"], help="positions attended to")
    arguments = parser.parse_args()

    spec = cg.load(arguments.spec)
    groups = cg.check(spec).graph.groups
    members = [(group.name, address.node) for group in groups for address in group.members]
    heads = [node for _, node in members if isinstance(node, Head)]
    weights = attention(spec, heads, arguments.query, arguments.key)
    print(f"{'group':14s} {'head':7s} {'from':5s}" + "".join(f"{key:>7s}" for key in arguments.key))
    for h, (group, head) in enumerate((name, node) for name, node in members if isinstance(node, Head)):
        for q, query in enumerate(arguments.query):
            row = "".join(f"{float(weight):7.2f}" for weight in weights[h, q])
            print(f"{group:14s} {head!s:7s} {query:5s}{row}")


if __name__ == "__main__":
    main()

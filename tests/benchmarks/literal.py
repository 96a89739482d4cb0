"""What an edge costs with the literal executor, in plain forward passes of the same model and prompts.

    python tests/benchmarks/literal.py [SPEC] [--repeat 5]

Times, alternating in one process: a plain forward of TransformerLens' bridge over all prompts, and the
measurement of one edge. Prints medians and their ratio; by definition an edge is two forward passes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

import circuitgraph as cg
from circuitgraph.execute.bind import bind_batches, bind_metrics
from circuitgraph.execute.literal import LiteralExecutor
from circuitgraph.models.loading import load_model
from circuitgraph.plans import build_plan


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", nargs="?", default="specs/ioi-mini.yaml")
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()

    checked = cg.check(arguments.spec)
    if checked.prompts is None:
        raise SystemExit("the prompts cannot be read without the model's tokenizer")
    model = load_model(checked.location, dtype=checked.spec.model.dtype, device=checked.spec.model.device)
    plan = build_plan(checked.graph)
    metrics = bind_metrics(checked.spec.metrics)
    batches = bind_batches(plan, checked.prompts, metrics, model.shape, model.device, 64)
    executors = [LiteralExecutor(model, batch, metrics) for batch in batches]

    def forward() -> None:
        for batch in batches:
            model.run(batch.clean)

    plain, edges = [], []
    for _ in range(arguments.repeat):
        for experiment in plan.experiments:
            plain.append(seconds(forward))
            edges.append(seconds(lambda e=experiment: [list(executor.patched(e)) for executor in executors]))
    forward_s, edge_s = statistics.median(plain), statistics.median(edges)
    print(f"{len(plan.experiments)} experiments, {len(checked.prompts)} pairs, {len(batches)} batches, ", end="")
    print(f"{torch.get_num_threads()} threads, {model.device}")
    print(f"one forward {1000 * forward_s:.1f} ms, one edge {1000 * edge_s:.1f} ms, ratio {edge_s / forward_s:.2f}")


if __name__ == "__main__":
    main()

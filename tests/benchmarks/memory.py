"""Predicted memory of a run beside what it takes at its peak: each case in a process of its own.

    python -m tests.benchmarks.memory CASE CHECKPOINT DEVICE PAIRS TOKENS

is such a process; it prints predicted and measured bytes. On a CPU the peak is resident memory, looked at every
millisecond, over what is resident after the model was loaded and run once; on a GPU what PyTorch has allocated.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch

from circuitgraph.execute.audit import Audit
from circuitgraph.execute.bind import bind_metrics
from circuitgraph.execute.memory import Load
from circuitgraph.execute.run import execute
from circuitgraph.execute.settings import Settings
from circuitgraph.graph.claims import CircuitGraph, Claim
from circuitgraph.plans import build_plan
from circuitgraph.plans.schedule import Executor, parts_of
from circuitgraph.plans.work import PromptShape
from circuitgraph.spec.model import PathKind, PluginSpec
from tests.benchmarks.report import Table
from tests.benchmarks.setting import SMALL, TINY, Prompts, checkpoint, loaded
from tests.measuring import edge, node

COLUMNS = ("predicted, MB", "measured, MB", "predicted / measured", "target from 512 MiB on")
TARGET = "within 25 %"


class Case(NamedTuple):
    """Claims, given the number of layers, and the metrics that are read."""

    claims: Callable[[int], Sequence[Claim]]
    metrics: tuple[str, ...] = ("logit_diff",)


CASES = {
    "heads → q": Case(lambda n: [edge(f"a{n - 3}.h{i}", f"a{n - 2}.h{i}<q>") for i in range(2)]),
    "MLP nodes": Case(lambda n: [node(f"m{layer}") for layer in range(n - 3, n)]),
    "heads → logits, kl": Case(lambda n: [edge(f"a{i}.h0", "logits") for i in range(n - 3, n)], ("kl",)),
    "heads → q, through MLPs": Case(
        lambda n: [edge(f"a{n // 2}.h{i}", f"a{n - 1}.h{i}<q>", path=PathKind.THROUGH_MLPS) for i in range(2)]
    ),
}


def memory(device: str, *, quick: bool = False) -> Iterator[Table]:
    """One table: every case in a fresh process."""
    pairs, tokens = (4, 8) if quick else (64, 64)
    rows = []
    with checkpoint(TINY if quick else SMALL) as directory:
        for name in CASES:
            print(f"memory: {name}", file=sys.stderr)
            command = [sys.executable, "-m", "tests.benchmarks.memory", name, directory, device, pairs, tokens]
            done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
            predicted, measured = json.loads(done.stdout.splitlines()[-1])
            ratio = predicted / max(1, measured)
            rows.append(
                [
                    name,
                    f"{predicted / 1e6:.0f}",
                    f"{measured / 1e6:.0f}",
                    f"{ratio:.2f}",
                    TARGET if predicted > 2**29 else "",
                ]
            )
    yield Table(f"Memory beside the model, {pairs} pairs × {tokens} tokens", ("", *COLUMNS), rows)


def measured_alone(case: Case, directory: Path, device: str, pairs: int, tokens: int) -> tuple[int, int]:
    """Predicted and measured bytes of one case in this process."""
    model, settings = loaded(directory, device), Settings()
    prompts = Prompts(pairs, tokens, late=False).made(model.shape.vocab or 0)
    plan = build_plan(CircuitGraph("memory", model.shape, (), tuple(case.claims(model.shape.layers))))
    parts = parts_of(plan, model.shape, PromptShape.of(prompts), Executor.AUTO, device)
    element = torch.finfo(model.dtype).bits // 8
    load = Load.of(model.shape, parts, [tokens] * pairs, 2, case.metrics, element)
    metrics = bind_metrics([PluginSpec(name=name) for name in case.metrics])
    with torch.no_grad():
        model.run(torch.arange(8, device=device)[None])  # Touches every weight.
    with peak_over(device) as peak:
        for _ in execute(
            model, plan, prompts, metrics, executor=Executor.AUTO, settings=settings, audit=Audit(model, 0)
        ):
            pass
    return load.predicted(settings), peak[0]


@contextmanager
def peak_over(device: str) -> Iterator[list[int]]:
    """Bytes taken at the most, in the list when the block has ended."""
    peak = [0]
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        yield peak
        peak[0] = torch.cuda.max_memory_allocated() - before
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    before, done = _resident(), threading.Event()

    def watch() -> None:
        while not done.wait(0.001):
            peak[0] = max(peak[0], _resident() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(arguments: Sequence[str]) -> None:
    """One case; see the module."""
    name, directory, device, pairs, tokens = arguments
    found: Any = measured_alone(CASES[name], Path(directory), device, int(pairs), int(tokens))
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])

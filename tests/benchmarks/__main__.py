"""Speed beside TransformerLens, in one process on the same weights, prompts and threads.

    python -m tests.benchmarks [--speed] [--growth] [--memory] [--estimates] [--drawing] [--quick] [--markdown]
                               [--device cuda] [--prompts 8x16,32x64] [--rounds 3] [--threads 2] [--cpu-time]

Sections: --speed (what is measured where none is named), --growth (how the cost grows with edges, pairs, tokens and
layers), --memory (predicted beside measured), --estimates (gradients of all edges, and what they take) and --drawing
(how long pictures take).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace

import torch

from circuitgraph.models.threads import using_threads
from tests.benchmarks import drawing, estimates, growth, memory
from tests.benchmarks.report import Table, machine
from tests.benchmarks.rows import every_edge, rows
from tests.benchmarks.setting import SMALL, TINY, Prompts, Sides, both_sides
from tests.benchmarks.speed import LEGEND, Effort, table
from tests.benchmarks.timing import Clock, peak

_EFFORTS = {"cpu": Effort(), "cuda": Effort(tokens=None, theirs=24 * 1024)}
CPU, CUDA, QUICK = "8x16,32x16,8x64,32x64", "64x16", "3x7"


def _speed(sides: Sides, arguments: argparse.Namespace) -> Iterator[Table]:
    """Rows against TransformerLens; every edge of the model where it takes no hours."""
    everything = arguments.quick or arguments.device == "cuda"
    effort = replace(_EFFORTS[arguments.device], rounds=arguments.rounds, clock=_clock(arguments))
    if arguments.quick:
        effort = Effort(tokens=None, theirs=12 * 21, rounds=1, products=((256, 256, 256),))
    chosen = rows(sides.ours.shape) + ((every_edge(),) if everything else ())
    for pairs, tokens in arguments.prompts:
        for late in (False,) if arguments.quick else (False, True):
            yield from table(sides, Prompts(pairs, tokens, late), chosen, effort)


def _clock(arguments: argparse.Namespace) -> Clock:
    return time.process_time if arguments.cpu_time else time.perf_counter


def _growth(sides: Sides, arguments: argparse.Namespace) -> Iterator[Table]:
    """One thing varied at a time."""
    return growth.growth(sides.ours, _clock(arguments), quick=arguments.quick)


def _estimates(sides: Sides, arguments: argparse.Namespace) -> Iterator[Table]:
    """All edges of the model by gradients."""
    pairs, tokens = (3, 7) if arguments.quick else (16, 16)
    return estimates.table(sides, Prompts(pairs, tokens, late=False), _clock(arguments))


def _memory(arguments: argparse.Namespace) -> Iterator[Table]:
    """Each case in a process of its own."""
    return memory.memory(arguments.device, quick=arguments.quick)


def main(argv: list[str] | None = None) -> None:
    """Print facts about the machine, then table after table."""
    arguments = _arguments(argv)
    torch.backends.cuda.matmul.allow_tf32 = False
    with using_threads(1 if arguments.quick else arguments.threads):
        _print_all(arguments)


def _print_all(arguments: argparse.Namespace) -> None:
    device = torch.device(arguments.device)
    clock = "processor time of all threads" if arguments.cpu_time else "wall time"
    facts = machine(device, peak(device, clock=_clock(arguments)))
    legends = [LEGEND] * arguments.speed + [growth.LEGEND] * arguments.growth + [estimates.LEGEND] * arguments.estimates
    legends += [drawing.LEGEND] * arguments.drawing
    print("\n".join(("```", *facts, clock, *(f"\n{legend}" for legend in legends), "```", "")))
    if arguments.speed or arguments.growth or arguments.estimates:
        with both_sides(TINY if arguments.quick else SMALL, arguments.device) as sides:
            for section in (
                [_speed] * arguments.speed + [_growth] * arguments.growth + [_estimates] * arguments.estimates
            ):
                _print(section(sides, arguments), arguments)
    if arguments.drawing:
        _print(drawing.table(_clock(arguments), quick=arguments.quick), arguments)
    if arguments.memory:
        _print(_memory(arguments), arguments)


def _print(tables: Iterator[Table], arguments: argparse.Namespace) -> None:
    for found in tables:
        print(found.markdown() if arguments.markdown else found.text(), flush=True)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for section in ("--speed", "--growth", "--memory", "--estimates", "--drawing"):
        parser.add_argument(section, action="store_true")
    parser.add_argument("--quick", action="store_true", help="a tiny model: whether it runs and the numbers agree")
    parser.add_argument("--markdown", action="store_true", help="tables for docs/performance.md")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--prompts", type=_sizes, help="pairs x tokens, several after commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of PyTorch, on both sides")
    parser.add_argument("--cpu-time", action="store_true", help="on a busy machine, with --threads 1")
    arguments = parser.parse_args(argv)
    arguments.speed |= not (arguments.growth or arguments.memory or arguments.estimates or arguments.drawing)
    default = QUICK if arguments.quick else CUDA if arguments.device == "cuda" else CPU
    arguments.prompts = arguments.prompts or _sizes(default)
    return arguments


def _sizes(text: str) -> list[tuple[int, int]]:
    sizes = [tuple(int(number) for number in part.split("x")) for part in text.split(",")]
    return [(pairs, tokens) for pairs, tokens in sizes]


if __name__ == "__main__":
    main()

"""A run that is killed at random moments and goes on, as often as is asked for: what it did, as JSON on stdout.

    python -m tests.killed_runs SPEC DIRECTORY KILLS SEED

Everything is imported and the model is loaded once. Each attempt is a fork of this process, which has no threads, and
is killed with SIGKILL at a random moment: before its first part, or in or between its first few parts.
`DIRECTORY/whole` is never killed; `DIRECTORY/killed` is.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

import circuitgraph as cg
import circuitgraph.running
from circuitgraph import prepared
from circuitgraph.checks import check
from circuitgraph.execute.parts import Parts
from circuitgraph.plans import schedule
from circuitgraph.plans.schedule import Part

PAUSE = 0.02
"""Seconds that a part takes longer, so that many kills hit parts and not only the rest of a run."""


def attempt(spec: str, out: Path, log: Path) -> int:
    """Begin or go on in a process of its own; the value is its id. What parts it begins is logged, and when."""
    child = os.fork()
    if child:
        return child
    measure = Parts.measure
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def logged(self: Parts, part: Part) -> object:
        os.write(written, f"{part.experiments[0].id} {time.monotonic()}\n".encode())
        time.sleep(PAUSE)
        return measure(self, part)

    Parts.measure = logged  # type: ignore[method-assign]  # in this process alone
    status = 1
    try:
        cg.run(spec, out=out, resume=True)
        status = 0
    finally:
        os._exit(status)


def parts_in(log: Path) -> list[tuple[str, float]]:
    """What an attempt logged. A line is written at once, or not at all."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [(line.split()[0], float(line.split()[1])) for line in lines]


def main(spec: str, place: str, kills: str, seed: str) -> None:
    """Print the attempts: how each ended and which parts it began."""
    torch.set_num_threads(1)
    schedule.PART_EXPERIMENTS = 1
    model = prepared.load(check(spec))
    prepared.load = lambda _found: model
    directory, stream = Path(place), random.Random(int(seed))  # noqa: S311 (a sample, no secret)
    begun = time.monotonic()
    _, status = os.waitpid(attempt(spec, directory / "whole", directory / "whole.log"), 0)
    moments = [moment for _, moment in parts_in(directory / "whole.log")]
    before, each = moments[0] - begun, (moments[-1] - moments[0]) / (len(moments) - 1)
    attempts = []
    for number in range(int(kills) + 1):
        log = directory / f"{number}.log"
        child = attempt(spec, directory / "killed", log)
        if number < int(kills):
            time.sleep(stream.uniform(before / 2, before + 3 * each))
            os.kill(child, signal.SIGKILL)
        _, ended = os.waitpid(child, 0)
        attempts.append({"ended": os.waitstatus_to_exitcode(ended), "parts": [part for part, _ in parts_in(log)]})
    print(json.dumps({"whole": os.waitstatus_to_exitcode(status), "attempts": attempts}))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Tables as aligned text or as Markdown, and what machine they come from. Pure but for reading the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from tests.benchmarks.timing import Peak


@dataclass(frozen=True)
class Table:
    """Cells by row; the first column names the row."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Aligned columns."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        shown = ["  ".join(_aligned(line, widths)).rstrip() for line in lines]
        return "\n".join((self.title, *shown, ""))

    def markdown(self) -> str:
        """The same as a Markdown table under its title."""
        bars = ["---", *["---:"] * (len(self.columns) - 1)]
        lines = ["| " + " | ".join(line) + " |" for line in (self.columns, bars, *self.rows)]
        return "\n".join((f"**{self.title}**", "", *lines, ""))


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = zip(line, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]


def machine(device: torch.device, peak: Peak) -> list[str]:
    """Facts that the numbers depend on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformer_lens", "transformers"))
    rows, inner, columns = peak.shape
    lines = [f"{_cpu()}, {cores} cores, {torch.get_num_threads()} threads{load}"]
    if device.type == "cuda":
        lines.append(f"{torch.cuda.get_device_name(device)}, TF32 off")
    lines.append(f"Python {platform.python_version()}, {versions}")
    lines.append(f"fastest product {peak.flops / 1e9:.0f} GFLOP/s, of [{rows}×{inner}]·[{inner}×{columns}], float32")
    return lines


def _cpu() -> str:
    """What Linux calls the processor; elsewhere what Python knows."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()

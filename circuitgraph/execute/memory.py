"""How much memory a run takes beside the model, and sizes that fit into what there is. No torch on a CPU.

The prediction is the largest of what is alive at the same time in three moments:

    caching   what the unpatched runs leave behind, that of the pairs that are being run once more, and what one block
              of a whole run holds at once
    stacking  that, keys and values laid out for attention, the streams that a part follows and what it reads of them,
              what one block holds at once for a stack, and the logits of whole vocabularies where a metric reads them
    auditing  the same caches, and a whole run of the audited pairs with its logits; of all pairs of a batch, where
              experiments are run literally. What blocks of the unpatched runs held is counted here as well: malloc
              keeps what was freed in pieces of less than 32 MiB, and maps logits, which are larger, beside it
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from circuitgraph import catalog
from circuitgraph.execute.fast.needed import needed_sites
from circuitgraph.execute.settings import AUDITED_PAIRS, VOCABULARY_ROWS, Settings
from circuitgraph.graph.shape import ModelShape
from circuitgraph.models.sites import Site, SiteKind
from circuitgraph.plans.schedule import Executor, Part
from circuitgraph.plans.types import Free
from circuitgraph.plans.work import saes_of
from circuitgraph.spec.model import BaseRun

if TYPE_CHECKING:
    import torch

SHARE = 0.5
"""Of the free memory that a run may use, where nothing else is said."""
FEATURE_STEPS = 4
"""How often the features of a stream are held at once while some of them are changed."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the memory of a run depends on, beside the settings.

    Attributes:
        sites: what is kept of each side.
        parts: of the plan.
        length: tokens of the longest pair.
        pairs: how many there are of one length at most.
        vocabularies: metrics that read whole vocabularies.
        element: bytes of a number.
    """

    shape: ModelShape
    sites: Mapping[BaseRun, Collection[Site]]
    parts: Sequence[Part]
    length: int
    pairs: int
    sides: int
    vocabularies: int
    element: int

    @classmethod
    def of(
        cls,
        shape: ModelShape,
        parts: Sequence[Part],
        lengths: Sequence[int],
        sides: int,
        metrics: Sequence[str],
        element: int,
    ) -> Load:
        """The load of a plan on prompts of some lengths."""
        fast = [e for part in parts if part.executor is Executor.FAST for e in part.experiments]
        whole = [name for name in metrics if not catalog.metrics.lookup(name).answers_only]
        most = max((lengths.count(length) for length in set(lengths)), default=0)
        sites = needed_sites(fast, shape)
        return cls(shape, sites, parts, max(lengths, default=0), most, sides, len(whole), element)

    def predicted(self, settings: Settings) -> int:
        """Bytes beside the model at the worst moment."""
        pairs = min(settings.pairs, self.pairs)
        tokens = pairs * self.length
        own, attended = (tokens * width for width in self._kept_widths())
        together = min(tokens, max(settings.tokens, self.length))
        whole = self._whole_block(together)
        caching = own + own * together // max(1, self.sides * tokens) + whole
        stacking = own + attended + self._block(max(settings.tokens, self.length)) + self._streams(pairs)
        auditing = own + attended + self._literally(pairs, whole)
        return max(self.element * max(caching, auditing), self.element * stacking + self._reading(pairs))

    def _kept_widths(self) -> tuple[int, int]:
        """Numbers that are kept of a token: activations; keys and values once more."""
        own = sum(self._width(site) for side, sites in self.sites.items() if self._runs(side) for site in sites)
        base = max(self.sites.values(), key=len)
        return own, sum(self._width(site) for site in base if site.kind in (SiteKind.K, SiteKind.V))

    def _runs(self, side: BaseRun) -> bool:
        return side is BaseRun.CLEAN or self.sides > 1

    def _width(self, site: Site) -> int:
        shape = self.shape
        match site.kind:
            case SiteKind.Q | SiteKind.Z:
                return shape.heads * (shape.d_head or 0)
            case SiteKind.K | SiteKind.V:
                return shape.kv_heads * (shape.d_head or 0)
            case SiteKind.PATTERN:
                return shape.heads * self.length
            case SiteKind.NEURONS:
                return shape.d_mlp or 0
            case _:
                return shape.d_model or 0

    def _block(self, tokens: int) -> int:
        """Numbers that a block holds at once for some tokens: in its attention or in its MLP."""
        shape = self.shape
        width, heads = shape.d_model or 0, shape.heads * (shape.d_head or 0)
        attention = 3 * width + 4 * heads + 3 * shape.heads * self.length
        mlp = 3 * width + (shape.d_mlp or 0) * (3 if shape.gated else 2)
        return tokens * max(attention, mlp)

    def _streams(self, pairs: int) -> int:
        """Numbers of the streams of a part, and of what is read of them, if they change at all tokens."""
        widest = max((sum(_widths(part, self.shape)) for part in self.parts), default=0)
        return pairs * self.length * widest

    def _whole_block(self, tokens: int) -> int:
        """Numbers that a block of a whole run holds at once: transformers computes step by step."""
        shape = self.shape
        return tokens * (7 * (shape.d_mlp or 0) + 6 * (shape.d_model or 0) + 4 * shape.heads * self.length)

    def _literally(self, pairs: int, before: int) -> int:
        """Numbers of whole runs with their caches and the logits of all tokens; `before`: what blocks held earlier."""
        literal = any(part.executor is Executor.LITERAL for part in self.parts)
        tokens = (pairs if literal else min(pairs, AUDITED_PAIRS)) * self.length
        frozen = self.shape.layers * (self.shape.heads * (self.shape.d_head or 0) + (self.shape.d_model or 0))
        return tokens * (2 * (self.shape.vocab_out or 0) + self.sides * frozen + self._taken_apart()) + max(
            before, self._whole_block(tokens)
        )

    def _taken_apart(self) -> int:
        """Numbers of a token that sparse autoencoders add: features of each side, and the steps of a change of them."""
        literal = (e for part in self.parts if part.executor is Executor.LITERAL for e in part.experiments)
        saes = {sae for experiment in literal for sae in saes_of(experiment)}
        return (self.sides + FEATURE_STEPS) * sum(sae.width or 0 for sae in saes)

    def _reading(self, pairs: int) -> int:
        """Bytes of whole vocabularies: of the sides; of some rows those again and the steps of two softmaxes."""
        vocabulary = self.shape.vocab_out or 0
        return self.vocabularies * 8 * vocabulary * pairs * self.sides + (
            8 * 9 * vocabulary * max(pairs, VOCABULARY_ROWS) if self.vocabularies else 0
        )

    def fitting(self, settings: Settings, memory: int) -> Settings:
        """The settings, with less at once until they fit; what is left over may keep caches."""
        while self.predicted(settings) > memory and (smaller := settings.halved()) is not None:
            settings = smaller
        return replace(settings, kept=max(0, memory - self.predicted(settings)))


def _widths(part: Part, shape: ModelShape) -> Iterator[int]:
    """Numbers of a token that the streams of a part hold."""
    if part.executor is not Executor.FAST:
        return
    width, seen = shape.d_model or 0, set[object]()
    for experiment in part.experiments:
        writes = experiment.isolations[0].writes if experiment.isolations else experiment.propagate.writes
        free = experiment.isolations[0].free if experiment.isolations else Free.NONE
        stream = (experiment.base, writes, free)
        if stream not in seen:
            seen.add(stream)
            yield width * (shape.layers if free is Free.MLPS else 1) * experiment.repeat
        for isolation in experiment.isolations:
            for address in isolation.record:
                for port in address.ports or ("input",):
                    read = (stream, getattr(address.node, "layer", -1), port)
                    if read not in seen:
                        seen.add(read)
                        yield width * experiment.repeat


def free_memory(device: torch.device) -> int:
    """Bytes that can be taken: of the GPU, or of the machine, its container and the process' own limit."""
    if device.type == "cuda":
        import torch

        return torch.cuda.mem_get_info(device)[0]
    return max(0, min(_limits()))


def _limits() -> Iterator[int]:
    yield _field("/proc/meminfo", "MemAvailable:") or 2**33
    for most, now in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):
            yield int(Path(most).read_text()) - int(Path(now).read_text())
    with suppress(ImportError, ValueError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            yield limit - int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _field(file: str, name: str) -> int | None:
    """A line of /proc, in bytes; None where there is no such file."""
    with suppress(OSError):
        for line in Path(file).read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return None

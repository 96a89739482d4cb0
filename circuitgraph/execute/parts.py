"""Measures parts of a plan, batch by batch: the caches of one batch serve all parts that fit into memory with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from circuitgraph.errors import RefusedError
from circuitgraph.execute.bind import Batch, BoundMetric, bind_batches
from circuitgraph.execute.fast.begin import Item
from circuitgraph.execute.fast.executor import FastExecutor
from circuitgraph.execute.fast.needed import needed_sites
from circuitgraph.execute.literal import LiteralExecutor, cached_sites
from circuitgraph.execute.references import Reference
from circuitgraph.execute.settings import Settings
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.plans.schedule import Executor, Part
from circuitgraph.plans.types import Experiment, Plan
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.results.records import Measured

Progress = Callable[[int], None]
"""Called with the number of experiments that were finished since the last call, counted over batches."""


class Parts:
    """Measures one part after the other."""

    def __init__(
        self,
        model: TransformerModel,
        plan: Plan,
        parts: Sequence[Part],
        prompts: PromptSet,
        metrics: Sequence[BoundMetric],
        reference: Reference | None,
        settings: Settings,
        progress: Progress,
        halved: Callable[[Settings], None],
    ) -> None:
        """Bind every name of the plan.

        Raises:
            InputError: plan, prompts and model do not fit together.
        """
        self._model = model
        self._plan = plan
        self._prompts = prompts
        self._metrics = metrics
        self._reference = reference
        self._settings = settings
        self._progress = progress
        self._halved = halved
        fast = [e for part in parts if part.executor is Executor.FAST for e in part.experiments]
        self._sites = needed_sites(fast, model.shape)
        self._bind()

    def _bind(self) -> None:
        model = self._model
        self._batches = bind_batches(
            self._plan, self._prompts, self._metrics, model.shape, model.device, self._settings.pairs
        )
        self._fast: dict[int, FastExecutor] = {}

    def measure(self, part: Part) -> tuple[Measured, ...]:
        """Every metric of the part's experiments; with less at once after memory ran out.

        Raises:
            RefusedError: there is not enough memory for a single token of a single pair.
        """
        while True:
            done = 0

            def count(more: int) -> None:
                nonlocal done
                done += more
                self._progress(more)

            try:
                return self._measure(part, count)
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                smaller = self._settings.halved()
                if smaller is None:
                    raise RefusedError("there is not enough memory to measure a single pair") from error
            # Outside of `except`, which holds on to everything that the failed attempt had allocated.
            self._progress(-done)
            self._settings = smaller
            self._halved(smaller)
            self._bind()
            if self._model.device.type == "cuda":
                torch.cuda.empty_cache()

    def _measure(self, part: Part, progress: Progress) -> tuple[Measured, ...]:
        tables = [Table(experiment, self._metrics, len(self._prompts)) for experiment in part.experiments]
        for number, batch in enumerate(self._batches):
            if part.executor is Executor.FAST:
                self._measure_fast(self._executor(number), tables, progress)
            else:
                executor = self.literally(batch, part.experiments)
                for table in tables:
                    table.measure(executor)
                    progress(1)
        return tuple(measured for table in tables for measured in table.measured(part.executor.value))

    def literally(self, batch: Batch, experiments: Sequence[Experiment]) -> LiteralExecutor:
        """A literal executor for some experiments on a batch."""
        sites = cached_sites(experiments, self._model.shape)
        return LiteralExecutor(self._model, batch, self._metrics, reference=self._reference, sites=sites)

    def batches_of(self, rows: frozenset[int]) -> tuple[Batch, ...]:
        """Some pairs of the prompts, as batches of one length."""
        some = [batch.of(rows) for batch in self._batches if not rows.isdisjoint(batch.rows)]
        return tuple(some)

    def _executor(self, number: int) -> FastExecutor:
        """The fast executor of a batch; others are kept while there is room."""
        if number not in self._fast:
            while self._fast and sum(executor.size for executor in self._fast.values()) > self._settings.kept:
                self._fast.pop(next(iter(self._fast)))
            self._fast[number] = FastExecutor(
                self._model,
                self._batches[number],
                self._metrics,
                sites=self._sites,
                reference=self._reference,
                tokens=self._settings.tokens,
            )
        return self._fast[number]

    def _measure_fast(self, executor: FastExecutor, tables: Sequence[Table], progress: Progress) -> None:
        items = [Item(table.experiment, draw) for table in tables for draw in range(table.experiment.repeat)]
        values = executor.measure(items, progress)
        rows, at = np.array(executor.batch.rows), 0
        for table in tables:
            draws = table.experiment.repeat
            table.fill(rows, *executor.unpatched(table.experiment.base), values[:, at : at + draws])
            at += draws


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that an allocation failed, on a GPU or on the machine."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in ("can't allocate memory", "not enough memory", "Cannot allocate"))


class Table:
    """The values of one experiment, filled batch by batch: [metrics, pairs], of draws [metrics, pairs, draws]."""

    def __init__(self, experiment: Experiment, metrics: Sequence[BoundMetric], pairs: int) -> None:
        self.experiment = experiment
        self._columns = [metric.column for metric in metrics]
        shape = (len(metrics), pairs)
        self._base, self._other = np.empty(shape), np.full(shape, np.nan)
        self._patched = np.empty((*shape, experiment.repeat))
        self._paired = True

    def measure(self, executor: LiteralExecutor) -> None:
        """Run the experiment on the executor's batch."""
        base, other = zip(*executor.unpatched(self.experiment.base), strict=True)
        draws = range(self.experiment.repeat)
        patched = [[value.cpu().numpy() for value in executor.patched(self.experiment, draw)] for draw in draws]
        found = None if other[0] is None else np.stack([value.cpu().numpy() for value in other])
        here = np.stack([value.cpu().numpy() for value in base])
        self.fill(np.array(executor.batch.rows), here, found, np.stack(patched, axis=1))

    def fill(
        self,
        rows: NDArray[np.int64],
        base: NDArray[np.float64],
        other: NDArray[np.float64] | None,
        patched: NDArray[np.float64],
    ) -> None:
        """Values of some pairs: base and other [metrics, rows], patched [metrics, draws, rows]."""
        self._base[:, rows] = base
        if other is None:
            self._paired = False
        else:
            self._other[:, rows] = other
        self._patched[:, rows] = patched.swapaxes(1, 2)

    def measured(self, executor: str) -> tuple[Measured, ...]:
        """One record per metric; without another run where some pair has none."""
        return tuple(
            Measured(
                id=self.experiment.id,
                metric=column,
                metric_base=self._base[m],
                metric_other=self._other[m] if self._paired else None,
                metric_patched=self._patched[m].mean(axis=-1),
                draws=self._patched[m] if self.experiment.repeat > 1 else None,
                executor=executor,
            )
            for m, column in enumerate(self._columns)
        )

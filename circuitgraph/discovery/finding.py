"""One search from spec to found spec: check, hold prompts apart, load the model, measure, keep, write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as replaced
from pathlib import Path

from circuitgraph.checks import SpecLike, check
from circuitgraph.discovery.acdc import Removed, prune
from circuitgraph.discovery.aims import aims_of, looked_at
from circuitgraph.discovery.asked import check_prompts
from circuitgraph.discovery.held_out import Apart, hold_apart
from circuitgraph.discovery.ranking import claims_of, rank, ranking_plan
from circuitgraph.discovery.records import Discovery, Found, in_order
from circuitgraph.discovery.write import Place, found_spec, write_found
from circuitgraph.errors import InputError
from circuitgraph.execute.session import Session
from circuitgraph.graph.claims import Intervention, Resample, Source
from circuitgraph.graph.entries import source_of
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import Address
from circuitgraph.plans.circuits import only
from circuitgraph.plans.types import Experiment, Plan, Propagate, Swap
from circuitgraph.prepared import Prepared, Progress
from circuitgraph.results import Measured, check_finite
from circuitgraph.spec.model import BaseRun, CircuitSpec, DiscoverSection, DiscoveryMethod


def discover(
    spec: SpecLike,
    path: str | Path | None,
    *,
    overrides: Sequence[str],
    method: str | None,
    of: str | None,
    threshold: float | None,
    most: int | None,
    replace: bool,
    progress: Progress | None,
) -> Discovery:
    """Look for a circuit; `api.discover` has the contract."""
    asked = check(spec, overrides)
    aims = aims_of(asked.spec, method=method, of=of, threshold=threshold, most=most)
    place = None if path is None else Place.of(path, asked, replace=replace)
    search = _Search(check_prompts(asked), aims, progress)
    found = search.result()
    if place is None:
        return found
    if found.spec is None:
        raise InputError(f"{nothing_kept(found)}; nothing was written")
    written, pairs = write_found(found, place, search.checked)
    return replaced(found, spec=written, path=place.spec, pairs_path=pairs)


def nothing_kept(found: Discovery) -> str:
    """Why there is no circuit."""
    aims = found.settings
    if aims.method is DiscoveryMethod.ACDC:
        return f"nothing is left: each removal, in its turn, changed D by less than τ = {aims.threshold:g}"
    largest = found.ranked[0]
    return f"nothing has |effect| > {aims.threshold:g}; the largest is {largest.label} with {largest.effect:+.6g}"


class _Search(Prepared):
    """A search in progress, on the prompts for discovery."""

    def __init__(self, spec: CircuitSpec, aims: DiscoverSection, progress: Progress | None) -> None:
        super().__init__(spec, (), progress)
        self.aims = aims
        self.apart: Apart = hold_apart(self.checked)
        self.shape: ModelShape = self.checked.shape
        intervention = self.checked.spec.intervention
        self.base: BaseRun = intervention.base
        self.source: Source = source_of(self.checked.spec, intervention.source)
        self._tell = progress

    def result(self) -> Discovery:
        """Search, and make the spec."""
        if self.aims.method is DiscoveryMethod.ACDC:
            return self._acdc()
        return self._effects()

    def _effects(self) -> Discovery:
        claims = claims_of(self.shape, self.aims.of, Intervention(base=self.base, source=self.source))
        plan = ranking_plan(self.checked.spec.name, claims, self.shape)
        self.expect_steps(plan, prompts=self.apart.discovery)
        metric = self.metrics[0].column
        parts = self.measure(plan, prompts=self.apart.discovery)
        measured = [item for part in parts for item in part if item.metric == metric]
        effects = {item.id: float(item.effect.mean()) for item in measured}
        return self._discovery(rank(claims, effects, self.aims), measured[0], len(measured), None)

    def _acdc(self) -> Discovery:
        graph = _Graph(self)
        total, done = looked_at(self.aims, self.shape), 0

        def step(number: int) -> None:
            nonlocal done
            done += number
            if self._tell is not None:
                self._tell(done, total)

        pruned = prune(self.shape, graph.distance, self.aims.threshold, step)
        found = [Found(str(s.edge.sender), str(s.edge.target), s.change, s.kept) for s in pruned.steps]
        return self._discovery(in_order(found), graph.unpatched, pruned.runs, pruned.distance)

    def _discovery(
        self, ranked: tuple[Found, ...], one: Measured, experiments: int, distance: float | None
    ) -> Discovery:
        """`one` is any experiment: it knows what the unpatched runs gave."""
        kept = [found for found in ranked if found.kept]
        metric = self.metrics[0].column
        return Discovery(
            settings=self.aims,
            metric=metric,
            base=self.base.value,
            metric_base=float(one.metric_base.mean()),
            metric_other=None if one.metric_other is None else float(one.metric_other.mean()),
            pairs=len(self.apart.discovery),
            prompts=self.apart.used,
            held_out=self.apart.kept,
            ranked=ranked,
            experiments=experiments,
            distance=distance,
            spec=found_spec(self.checked, self.aims, kept, self.apart.held_out, metric) if kept else None,
            warnings=self.checked.warnings,
        )


class _Graph:
    """D of a graph with edges removed, on the discovery prompts; the caches are made once."""

    def __init__(self, search: _Search) -> None:
        self._source, self._base = search.source, search.base
        self._repeat = search.source.draws if isinstance(search.source, Resample) else 1
        nothing = only({}, search.shape, "no edge", search.base, search.source)
        metrics, prompts = search.metrics[:1], search.apart.discovery
        self._session = Session(search.model, prompts, metrics, nothing, search.reference)
        self.unpatched: Measured = self._measure(self._experiment({}))

    def distance(self, removed: Removed) -> float:
        """|mean m(H) − mean m(base)|, in the metric's units."""
        return abs(float(self._measure(self._experiment(removed)).effect.mean()))

    def _experiment(self, removed: Removed) -> Experiment:
        """`plans.circuits.only` of the edges that are left, without its id: hashing would take longer than the run."""
        swaps = tuple(
            Swap(tuple(Address(sender) for sender in senders), target, self._source)
            for target, senders in removed.items()
        )
        return Experiment("acdc", "circuit", "what is left", self._base, (), Propagate(swaps), self._repeat)

    def _measure(self, experiment: Experiment) -> Measured:
        measured = self._session.measure(experiment)
        check_finite(Plan("acdc", (experiment,)), measured)
        return measured[0]

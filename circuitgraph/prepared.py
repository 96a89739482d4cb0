"""A spec made ready to be measured: checked, prompts as token ids, the model loaded and proven."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from circuitgraph.checks import Checked, SpecLike, check
from circuitgraph.checks.files import directory_of, relative_files
from circuitgraph.errors import InputError, RefusedError
from circuitgraph.execute.audit import Audit
from circuitgraph.execute.bind import BoundMetric, bind_metrics
from circuitgraph.execute.gradient.run import estimate_all, refuse_estimates
from circuitgraph.execute.literal import refuse_all
from circuitgraph.execute.memory import SHARE, Load, free_memory
from circuitgraph.execute.parts import out_of_memory
from circuitgraph.execute.references import own_prompt_warning
from circuitgraph.execute.run import execute, steps
from circuitgraph.execute.settings import Settings
from circuitgraph.graph.claims import CircuitGraph, replaced
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.dictionaries import load_dictionaries
from circuitgraph.models.loading import fetch, load_model
from circuitgraph.models.threads import threads_for, using_threads
from circuitgraph.plans import Plan, build_plan
from circuitgraph.plans.schedule import Executor, parts_of
from circuitgraph.plans.work import PromptShape
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.prompts.tokens import first_tokens, token_texts
from circuitgraph.results import Measured, check_finite, provenance
from circuitgraph.results.prompts import Prompt
from circuitgraph.spec import CircuitSpec
from circuitgraph.spec.dump import dump_spec
from circuitgraph.stats import sample_warning

LESS_MEMORY = "take fewer or shorter prompts, a smaller reference set, or --executor fast, which leaves out the audit"
Progress = Callable[[int, int], None]
"""(steps done, steps in all), called while something is measured."""


def fetched(found: Checked, check_again: Callable[[], Checked]) -> tuple[Checked, PromptSet]:
    """The check of a spec once the model's files are on this machine, and its prompts as token ids.

    Raises:
        SpecError, InputError: what could only be found with the files, the tokenizer above all.
        ModelError: the files cannot be fetched.
    """
    if fetch(found.location) != found.location.path or found.prompts is None:
        found = check_again()
    if found.prompts is None:
        raise InputError("; ".join(found.unchecked) or "the prompts could not be read")
    return found, found.prompts


def load(found: Checked) -> TransformerModel:
    """The model of a checked spec, loaded and proven, with its sparse autoencoders.

    Raises:
        ModelError, AuditError: it cannot be loaded, or does not pass its proofs.
    """
    model = load_model(found.location, dtype=found.spec.model.dtype, device=found.spec.model.device)
    read = load_dictionaries(found.saes.files, model.device, model.dtype)
    model.dictionaries = {dictionary.sae.name: dictionary for dictionary in read}
    return model


class Prepared:
    """What every measurement of a spec needs. Everything that can be wrong with the spec is known once this exists.

    Attributes:
        checked: the spec, its graph and what was found out about them.
        plan: of the spec's own claims.
        prompts, reference: pairs as token ids; the reference set of `mean` and `resample`, if there is one.
        metrics: the first is primary.
        model: loaded and proven.
        spec_text: the spec as it is measured: the file's own text, comments included, unless it was overridden.
        executor: who measures.
        settings: sizes of what is computed at once.
        audit: of the fast executor; None where none was asked for.
    """

    def __init__(
        self,
        spec: SpecLike,
        overrides: Sequence[str] = (),
        progress: Progress | None = None,
        executor: Executor = Executor.AUTO,
        memory: int | None = None,
        estimating: bool = False,
        model: TransformerModel | None = None,
    ) -> None:
        """Check, then load.

        Args:
            estimating: whether effects are estimated where the spec says so, not measured.
            memory: bytes that may be used beside the model; None = a share of what is free.
            model: the spec's, where it is loaded already.

        Raises:
            SpecError, InputError: what is wrong with the spec.
            RefusedError: something in it cannot be executed.
            ModelError, AuditError: the model cannot be loaded, or does not pass its proofs.
        """
        found = check(spec, overrides)
        refuse_all(build_plan(found.graph).experiments)
        found, prompts = fetched(found, lambda: check(spec, overrides))
        self.checked: Checked = found
        self.spec_text: str = _spec_text(spec, overrides, found.spec)
        self.plan: Plan = build_plan(found.graph)
        self.prompts: PromptSet = prompts
        self.reference: PromptSet | None = found.reference
        self.metrics: tuple[BoundMetric, ...] = bind_metrics(found.spec.metrics)
        self.model: TransformerModel = load(found) if model is None else model
        self.executor = executor
        self.estimate = found.spec.estimate if estimating else None
        if self.estimate is not None:
            refuse_estimates(self.model, self.plan.experiments, self.estimate)
        self.settings: Settings = Settings(threads=threads_for(self.model.shape))
        self._memory = memory
        self._short: int | None = None
        audited = executor is Executor.AUTO and self.estimate is None
        self.audit = Audit(self.model, found.spec.intervention.seed) if audited else None
        self._progress = progress
        self.halvings: int = 0
        self._done = self._total = 0

    @property
    def graph(self) -> CircuitGraph:
        """The spec's circuit."""
        return self.checked.graph

    def expect_steps(self, *plans: Plan, prompts: PromptSet | None = None) -> None:
        """Say what is going to be measured, on the spec's prompts or on others, so that progress can be shown."""
        prompts = self.prompts if prompts is None else prompts
        self.settings = self._fitting(plans, prompts)
        self._total += sum(steps(plan, prompts, self.settings) for plan in plans)

    def _continue_with(self, settings: Settings, *plans: Plan) -> None:
        """Compute with other sizes than those that fit best, and count the steps of these plans anew."""
        self.settings = settings
        self._total = sum(steps(plan, self.prompts, settings) for plan in plans)

    def measure(
        self, plan: Plan, prompts: PromptSet | None = None, skip: frozenset[str] = frozenset()
    ) -> Iterator[tuple[Measured, ...]]:
        """Measure the experiments of a plan but those in `skip`, part by part, on the spec's prompts or on others.

        Raises:
            NotFiniteError: NaN or infinity in a value; the message names the experiment.
            AuditError: fast and literal executor do not agree on an experiment.
        """
        prompts = self.prompts if prompts is None else prompts
        self.step(steps(Plan(plan.name, tuple(e for e in plan.experiments if e.id in skip)), prompts, self.settings))
        parts = self._parts(plan, prompts, skip)
        while True:
            try:
                with using_threads(self.settings.threads):
                    part = next(parts, None)
            except (MemoryError, RuntimeError) as error:
                if out_of_memory(error):
                    raise RefusedError(f"memory ran out beside what can be halved; {LESS_MEMORY}") from error
                raise
            if part is None:
                return
            check_finite(plan, part)
            yield part

    def _parts(self, plan: Plan, prompts: PromptSet, skip: frozenset[str]) -> Iterator[tuple[Measured, ...]]:
        if self.estimate is not None:
            return estimate_all(
                self.model,
                plan,
                prompts,
                self.metrics,
                self.estimate,
                reference=self.reference,
                skip=skip,
                settings=self.settings,
                progress=self.step,
            )
        return execute(
            self.model,
            plan,
            prompts,
            self.metrics,
            reference=self.reference,
            skip=skip,
            progress=self.step,
            executor=self.executor,
            settings=self.settings,
            audit=self.audit,
            halved=self._halve,
        )

    def load_of(self, plans: Sequence[Plan], prompts: PromptSet) -> Load:
        """What the memory of plans depends on."""
        model, shape = self.model, PromptShape.of(prompts)
        parts = [
            part for plan in plans for part in parts_of(plan, model.shape, shape, self.executor, model.device.type)
        ]
        sides = 2 if prompts.paired else 1
        names = [metric.plugin for metric in self.metrics]
        return Load.of(model.shape, parts, shape.lengths, sides, names, model.dtype.itemsize)

    def _fitting(self, plans: Sequence[Plan], prompts: PromptSet) -> Settings:
        """Sizes that fit into the memory."""
        memory = self._memory or int(SHARE * free_memory(self.model.device))
        load = self.load_of(plans, prompts)
        settings = load.fitting(self.settings, memory)
        least = load.predicted(settings)
        self._short = None if self._memory is None or least <= memory else least
        return settings

    def _short_warning(self) -> str | None:
        """What a reader should know if the memory that was asked for cannot be kept to."""
        if self._short is None:
            return None
        return f"memory: about {self._short / 2**20:,.1f} MiB are needed, a pair and a token at a time"

    def _halve(self, settings: Settings) -> None:
        """Memory ran out: the run goes on with less at once."""
        self.settings = settings
        self.halvings += 1

    def _halved_warning(self) -> str | None:
        """What a reader should know of a run for which memory did not suffice; the same for an interrupted one."""
        if not self.halvings:
            return None
        return (
            f"memory ran out: the run went on with {self.settings.tokens} tokens at once; "
            "numbers are equal to rounding, not to the last bit"
        )

    def sample_warnings(self, plan: Plan, prompts: PromptSet | None = None) -> tuple[str, ...]:
        """What a reader should know of the prompts on which a plan was measured, and of those that it drew."""
        prompts = self.prompts if prompts is None else prompts
        found = (
            sample_warning(len(prompts), prompts.clusters),
            own_prompt_warning(plan.experiments, prompts, self.reference),
        )
        return tuple(warning for warning in found if warning is not None)

    def step(self, done: int) -> None:
        """Report steps as done."""
        self._done += done
        if self._progress is not None:
            self._progress(self._done, max(self._total, self._done))

    def origin(self, plan: Plan, **settings: Any) -> dict[str, Any]:
        """Where a plan's numbers come from: see `results.provenance`; `settings` are added to those of the spec."""
        spec = self.checked.spec
        return provenance(
            spec_text=self.spec_text,
            plan=plan,
            shape=self.model.shape,
            model_fingerprint=self.model.fingerprint,
            prompts_sha256=self.prompts.digest(),
            saes=[
                {**dictionary.file.to_json(), "sha256": dictionary.sha256}
                for dictionary in self.model.dictionaries.values()
            ],
            settings={
                "spec": spec.model_dump(mode="json", exclude_defaults=True, by_alias=True),
                "model": {"kind": self.checked.location.kind, "name": self.checked.location.name},
                "pairs": len(self.prompts),
                "positions": list(self.prompts.position_names()),
                "each": None if self.checked.each is None else [str(position) for position in self.checked.each],
                "tokens": self._tokens(plan),
                "reference": self._reference_settings(),
                **self._files(),
                **settings,
            },
            seed=spec.intervention.seed,
            device=str(self.model.device),
            dtype=str(self.model.dtype).removeprefix("torch."),
            executor=self.executor.value if self.estimate is None else self.estimate.method.value,
            schedule=self.settings.to_json(),
            threads=self.settings.threads,
        )

    def kept_prompts(self) -> tuple[Prompt, ...]:
        """The prompts as a run keeps them."""
        directory = self.checked.location.path
        tokenizer = None if directory is None else load_tokenizer(directory)

        def texts(ids: Sequence[int]) -> tuple[str, ...]:
            return tuple(token_texts(ids, tokenizer))

        return tuple(
            Prompt(
                clean=pair.clean,
                corrupted=pair.corrupted,
                answers=pair.answers,
                wrong_answers=pair.wrong_answers,
                positions=pair.positions,
                start=pair.start,
                cluster=pair.cluster,
                clean_tokens=texts(pair.clean),
                corrupted_tokens=None if pair.corrupted is None else texts(pair.corrupted),
                answer_tokens=texts(pair.answers),
                wrong_answer_tokens=texts(pair.wrong_answers),
            )
            for pair in self.prompts.pairs
        )

    def _tokens(self, plan: Plan) -> dict[str, Any]:
        """The first pair's tokens, and where in it the experiments act: labels for pictures."""
        claims = [self.graph.by_id[e.id] for e in plan.experiments if e.id in self.graph.by_id]
        places = {address.position: None for claim in claims for address in replaced(claim)}
        return first_tokens(self.prompts, [p for p in places if p is not None], self.checked.location.path)

    def _files(self) -> dict[str, Any]:
        """What the spec names relative to itself, and where that was, so that a run's copy of the spec can find it."""
        named = relative_files(self.checked.spec, own_model=self.checked.location.kind == "directory")
        place = str(directory_of(self.checked).absolute())
        return {"files": {"directory": place, "names": list(named)}} if named else {}

    def _reference_settings(self) -> dict[str, Any] | None:
        """What the reference set is and how large, where there is one."""
        settings = self.checked.spec.intervention.reference
        if settings is None or self.reference is None:
            return None
        found = {"side": settings.side.value, "align": settings.align.value, "prompts": self.reference.note}
        return {**found, "size": len(self.reference), "sha256": self.reference.digest()}


def _spec_text(spec: SpecLike, overrides: Sequence[str], read: CircuitSpec) -> str:
    if isinstance(spec, CircuitSpec) or overrides:
        return dump_spec(read)
    return Path(os.fspath(spec)).read_text(encoding="utf-8-sig")

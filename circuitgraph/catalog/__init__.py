"""What exists, by name, without loading it: `metrics` and `generators`. Torch-free.

Other packages add their own through the entry point groups `circuitgraph.metrics` (a `MetricEntry`)
and `circuitgraph.generators` (an `Entry`); the module that an entry point names must be torch-free too.
"""

from circuitgraph.catalog.generators import IoiParams, TemplateParams
from circuitgraph.catalog.metric_params import METRICS, MetricEntry, MetricParams
from circuitgraph.catalog.registry import Entry, Registry
from circuitgraph.catalog.task_params import (
    DocstringParams,
    GenderedPronounParams,
    GreaterThanParams,
    InductionParams,
    SubjectVerbParams,
)

metrics = Registry("metric", "circuitgraph.metrics", METRICS, MetricEntry)

# The parameter models' module has the registry's name, and is imported above, before the registry takes it.
generators = Registry(
    "generator",
    "circuitgraph.generators",
    (
        Entry("ioi", "indirect object identification", IoiParams, "circuitgraph.prompts.ioi"),
        Entry("induction", "repeated random words", InductionParams, "circuitgraph.prompts.induction"),
        Entry("greater_than", "a later year of the century", GreaterThanParams, "circuitgraph.prompts.greater_than"),
        Entry(
            "gendered_pronoun", "he or she, by the name", GenderedPronounParams, "circuitgraph.prompts.gendered_pronoun"
        ),
        Entry("subject_verb", "is or are, by the subject", SubjectVerbParams, "circuitgraph.prompts.subject_verb"),
        Entry("docstring", "the next argument of a docstring", DocstringParams, "circuitgraph.prompts.docstring"),
        Entry("template", "a new task: text with named slots", TemplateParams, "circuitgraph.prompts.template"),
    ),
    Entry,
)

__all__ = ["Entry", "MetricEntry", "MetricParams", "Registry", "generators", "metrics"]

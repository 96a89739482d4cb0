"""The catalog: what exists by name, its parameters and facts, third-party entries."""

import importlib
import subprocess
import sys

import pytest
from pydantic import ValidationError

from circuitgraph import catalog
from circuitgraph.catalog import Entry, MetricEntry, MetricParams, Registry
from circuitgraph.catalog.metric_params import METRICS
from circuitgraph.errors import InputError

PACKAGE = """
from circuitgraph.catalog import MetricEntry, MetricParams
ENTRY = MetricEntry("entropy", "entropy of the next token", MetricParams, "thirdparty.entropy", needs_answers=False)
"""


def test_the_metrics_of_the_design_are_there():
    assert catalog.metrics.names() == ("logit_diff", "logit", "log_prob", "prob", "prob_diff", "kl")
    facts = {
        e.name: (e.needs_answers, e.needs_wrong_answers, e.one_signed, e.linear_in_logits) for e in catalog.metrics
    }
    assert facts == {
        "logit_diff": (True, True, False, True),
        "logit": (True, False, False, True),
        "log_prob": (True, False, False, False),
        "prob": (True, False, False, False),
        "prob_diff": (True, True, False, False),
        "kl": (False, False, True, False),
    }


def test_an_unknown_name_names_its_neighbours():
    with pytest.raises(InputError, match=r"'logit_dif' is no metric; did you mean 'logit_diff'\? have: .*kl"):
        catalog.metrics.lookup("logit_dif")
    with pytest.raises(InputError, match="'iou' is no generator; did you mean 'ioi'"):
        catalog.generators.lookup("iou")


@pytest.mark.parametrize("entry", [*catalog.metrics, *catalog.generators], ids=lambda entry: entry.name)
def test_every_entry_says_what_it_is_and_refuses_unknown_parameters(entry):
    assert entry.summary
    assert entry.params.__doc__
    with pytest.raises(ValidationError, match="nonsense"):
        entry.params.model_validate({"nonsense": 1})


@pytest.mark.parametrize("entry", [*catalog.metrics], ids=lambda entry: entry.name)
def test_metrics_are_read_at_a_position(entry):
    assert str(entry.read({}).position) == "END"
    assert str(entry.read({"at": -1}).position) == "-1"
    assert str(entry.read({"at": " S1 + 1 "}).position) == "S1+1"
    for wrong in ("S1++1", True, 1.5):
        with pytest.raises(ValidationError):
            entry.read({"at": wrong})


def install(folder, group, lines):
    """A distribution on disk, as pip would leave it, with the entry points `lines`."""
    info = folder / f"thirdparty_{len(list(folder.iterdir()))}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {info.name.split('-')[0]}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}\n")
    (folder / "thirdparty_metrics.py").write_text(PACKAGE)


@pytest.fixture
def registry(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield Registry("metric", "circuitgraph.test_metrics", METRICS, MetricEntry)
    sys.modules.pop("thirdparty_metrics", None)


def test_installed_packages_add_entries(registry, tmp_path):
    install(tmp_path, registry.group, "entropy = thirdparty_metrics:ENTRY")
    assert registry.lookup("entropy").params is MetricParams
    assert registry.names()[-1] == "entropy"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("kl = thirdparty_metrics:ENTRY", "takes a name that another metric has"),
        ("entropi = thirdparty_metrics:ENTRY", "is no MetricEntry called 'entropi'"),
        ("entropy = thirdparty_metrics:PACKAGE", "cannot be imported"),
        ("entropy = thirdparty_missing:ENTRY", "cannot be imported"),
        ("entropy = thirdparty_metrics:MetricParams", "is no MetricEntry"),
    ],
)
def test_entries_of_installed_packages_that_cannot_be_used_are_refused(registry, tmp_path, lines, said):
    install(tmp_path, registry.group, lines)
    with pytest.raises(InputError, match=said):
        list(registry)


def test_a_built_in_name_needs_no_look_at_installed_packages(registry, tmp_path):
    install(tmp_path, registry.group, "kl = thirdparty_metrics:ENTRY")
    assert registry.lookup("kl").module == "circuitgraph.metrics.kl"


def test_an_entry_loads_its_module_late():
    entry = Entry("late", "the errors", MetricParams, "circuitgraph.errors")
    assert entry.load().InputError is InputError


def test_the_catalog_and_the_spec_import_nothing_heavy():
    code = "import sys, circuitgraph.spec, circuitgraph.spec.schema; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "pandas", "networkx", "transformer_lens", "tokenizers"} & set(modules)

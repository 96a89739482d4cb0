"""Where a run's numbers come from, how to make them again, and how to cite them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from circuitgraph.plotting.labels import plain
from circuitgraph.reporting.sections.markup import Child, Markup, element, joined
from circuitgraph.reporting.sections.pieces import facts, folded, heading, paragraph
from circuitgraph.reporting.sections.section import Section
from circuitgraph.results.records import RunResult

HASHES = {
    "spec_sha256": "Spec",
    "plan_sha256": "Plan",
    "prompts_sha256": "Prompts",
    "model_fingerprint": "Model",
    "saes_sha256": "Sparse autoencoders",
}
"""Keys of run.json that tell two runs apart, and what they are hashes of."""
LONGEST_PATH = 1000
BIBTEX = str.maketrans({char: f"\\{char}" for char in "{}%&#_$"} | {"\\": " "})


def origin_section(result: RunResult, prefix: str, name: str | None = None) -> Section:
    """Versions, hashes, settings and warnings; the command that makes the run again; how it is cited.

    `name`: what the run is called, if not by its circuit's name.
    """
    origin = result.provenance
    html = joined(
        facts(_what(origin)),
        _warnings(result),
        heading("Make it again"),
        *_again(result, name),
        heading("Cite it"),
        element("pre", {"class": "s-code s-copy"}, element("code", None, citation(origin))),
        heading("To the last bit"),
        facts(_hashes(origin)),
        folded("Versions and settings", facts(_versions(origin)), facts(_settings(origin))),
    )
    return Section(f"{prefix}provenance", "Provenance", html)


def _what(origin: Mapping[str, Any]) -> Iterator[tuple[str, Child]]:
    model = origin.get("settings", {}).get("model", {})
    yield "Run", origin.get("name")
    yield "Model", f"{model.get('name', 'unknown')} ({model.get('kind', 'unknown')})"
    yield "Made", _dates(origin)
    yield "With", f"circuitgraph {origin.get('versions', {}).get('circuitgraph')}"
    yield "Computed in", f"{origin.get('dtype')} on {origin.get('device')}"
    yield "Seed", str(origin.get("seed"))
    for sae in origin.get("saes", ()):
        yield "Sparse autoencoder", f"{sae.get('name')} at {sae.get('site')}, {sae.get('width')} features"


def _dates(origin: Mapping[str, Any]) -> str:
    finished = origin.get("finished")
    said = str(origin.get("created", ""))
    said += f" to {finished}" if finished else ""
    resumed = len(origin.get("resumed", ()))
    return said + (f", interrupted and resumed {resumed}×" if resumed else "")


def _warnings(result: RunResult) -> Markup | None:
    if not result.warnings:
        return None
    return element("ul", {"class": "s-warnings"}, *(element("li", None, warning) for warning in result.warnings))


def _again(result: RunResult, name: str | None) -> Iterator[Markup]:
    files = result.provenance.get("settings", {}).get("files")
    yield element("pre", {"class": "s-code s-copy"}, element("code", None, "\n".join(commands(result, name))))
    said = "spec.yaml is the spec above; what was overridden on the command line already stands in it."
    if (screening := result.screening) is not None:
        said = (
            "SPEC.yaml is the spec that was screened, with the prompts of the estimates "
            f"({screening.screened_on}); the one above has those of the measurement ({screening.measured_on})."
        )
    if files:
        names = ", ".join(map(str, files.get("names", ())))
        said += f" It names {names}, relative to the directory that the spec was run from: put it there."
    yield paragraph(said)


def commands(result: RunResult, name: str | None = None) -> list[str]:
    """What makes a run again from its spec.yaml; `name`: of its directory, if not its circuit's name."""
    origin = result.provenance
    called = plain(str(name or origin.get("name", "run")), LONGEST_PATH)
    directory = shlex.quote(called if "/" in called else f"runs/{called}")
    words = ["circuitgraph run spec.yaml", f"--out {directory}"]
    if origin.get("executor") in ("fast", "literal"):
        words.append(f"--executor {origin['executor']}")
    if result.screening is not None:
        words = ["circuitgraph run SPEC.yaml", *words[1:]]
        words.append(f"--screen {shlex.quote(result.screening.method)} --top {result.screening.measured}")
    lines = [" ".join(words)]
    if result.evaluation is not None:
        lines.append(f"circuitgraph evaluate {directory}")
    return lines


def citation(origin: Mapping[str, Any]) -> str:
    """A BibTeX entry that names what was run by its hashes."""

    def tex(value: object) -> str:
        return plain(str(value), 80).translate(BIBTEX)

    model = origin.get("settings", {}).get("model", {}).get("name", "unknown")
    spec, fingerprint = str(origin.get("spec_sha256")), str(origin.get("model_fingerprint"))
    prompts, version = str(origin.get("prompts_sha256")), origin.get("versions", {}).get("circuitgraph")
    lines = [
        f"title = {{{tex(origin.get('name'))}: a circuit of {tex(model)}, measured by path patching}}",
        f"year = {{{str(origin.get('created', ''))[:4]}}}",
        f"note = {{circuitgraph {tex(version)}; sha256 of spec {spec[:12]}, model {fingerprint[:12]}, "
        f"prompts {prompts[:12]}}}",
    ]
    return "\n".join([f"@misc{{circuit-{spec[:12]},", *(f"  {line}," for line in lines), "}"])


def _hashes(origin: Mapping[str, Any]) -> Iterator[tuple[str, Child]]:
    for key, word in HASHES.items():
        if origin.get(key):
            yield word, element("code", {"class": "s-hash"}, str(origin[key]))


def _versions(origin: Mapping[str, Any]) -> Iterator[tuple[str, Child]]:
    for package, version in origin.get("versions", {}).items():
        yield str(package), None if version is None else str(version)
    place = origin.get("platform", {})
    yield "System", ", ".join(str(value) for key, value in place.items() if key != "cpus")


def _settings(origin: Mapping[str, Any]) -> Iterator[tuple[str, Child]]:
    settings = origin.get("settings", {})
    yield "Pairs", str(settings.get("pairs", ""))
    yield "Positions", ", ".join(map(str, settings.get("positions") or ()))
    reference = settings.get("reference")
    if reference:
        yield (
            "Reference set",
            (
                f"{reference.get('size')} {reference.get('side')} prompts, {reference.get('prompts')}, "
                f"matched by {reference.get('align')}"
            ),
        )

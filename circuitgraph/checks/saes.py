"""The sparse autoencoders of a spec: their streams and their files, as far as headers tell. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from circuitgraph.checks.places import references
from circuitgraph.errors import AddressError
from circuitgraph.graph.findings import Findings
from circuitgraph.graph.shape import ModelShape
from circuitgraph.models.sae_files import SaeFile, read_sae
from circuitgraph.nodes import Address, Input, Residual, Sae, parse, parse_node
from circuitgraph.spec.model import CircuitSpec

SITES = "r2, r2.mid or input"


@dataclass(frozen=True)
class Saes:
    """The sparse autoencoders of a spec; `unread` are those with something wrong, whose features are not counted."""

    files: tuple[SaeFile, ...] = ()
    unread: tuple[Sae, ...] = ()

    @cached_property
    def nodes(self) -> Mapping[str, Sae]:
        """By name, what features belong to."""
        return {sae.name: sae for sae in (*(file.sae for file in self.files), *self.unread)}


def read_saes(spec: CircuitSpec, shape: ModelShape, base_dir: Path, findings: Findings) -> Saes:
    """Read the header of every file; what is wrong with one is noted."""
    files: list[SaeFile] = []
    unread: list[Sae] = []
    for name, section in spec.saes.items():
        site = _site(section.site, shape)
        if isinstance(site, str):
            findings.add(("saes", name, "site"), site)
        sae = Sae(name, Input() if isinstance(site, str) else site)
        file, flaws = read_sae(sae, section, base_dir, shape.d_model)
        for key, message in flaws:
            # A key that is left out is a problem of the file's, which does not say it either.
            findings.add(("saes", name, key if getattr(section, key) is not None else "file"), message)
        if file is None or isinstance(site, str):
            unread.append(sae)
        else:
            files.append(file)
    return Saes(tuple(files), tuple(unread))


def _site(text: str, shape: ModelShape) -> Input | Residual | str:
    """The stream that is meant, or why there is none."""
    try:
        address = parse(text)
    except AddressError:
        return f"'{text}' is no residual stream; write {SITES}"
    if not isinstance(address.node, Input | Residual) or address != Address(address.node):
        return f"'{text}' is no place where a sparse autoencoder can be; features are parts of a stream: {SITES}"
    return shape.problem_with(address.node) or address.node


def unused_saes(spec: CircuitSpec) -> Sequence[str]:
    """A warning for each sparse autoencoder that no entry names."""
    named = set(_named(spec))
    return [f"saes: nothing names a feature of {name}" for name in spec.saes if name not in named]


def _named(spec: CircuitSpec) -> Iterator[str]:
    for _, reference in references(spec):
        pattern = parse_node(reference.name)
        if pattern is not None:
            yield pattern.sae

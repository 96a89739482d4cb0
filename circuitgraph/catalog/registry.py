"""A registry: name -> what can be known of a plugin without loading it. No torch.

An `Entry` carries the plugin's parameter model and the path of the module that does the work, which
is imported when somebody calls `Entry.load`. Third parties register entries through entry points.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from circuitgraph.errors import InputError, did_you_mean


@dataclass(frozen=True, slots=True)
class Entry:
    """A plugin: its name, one line about it, its parameters, and the module that holds it."""

    name: str
    summary: str
    params: type[BaseModel]
    module: str

    def load(self) -> ModuleType:
        """Import the module that does the work (this may import torch)."""
        return importlib.import_module(self.module)

    def read(self, parameters: Mapping[str, Any]) -> BaseModel:
        """The parameters, validated; a loaded spec's are already known to be valid.

        Raises:
            pydantic.ValidationError: unknown or wrong parameters.
        """
        return self.params.model_validate(dict(parameters))


E = TypeVar("E", bound=Entry)


class Registry(Generic[E]):
    """The entries of one kind: the built-in ones, then those of installed packages.

    Installed packages are looked at only when a name is not built in, or when all names are asked for.
    """

    def __init__(self, kind: str, group: str, builtin: tuple[E, ...], entry_type: type[E]) -> None:
        self.kind = kind
        self.group = group
        self._builtin = {entry.name: entry for entry in builtin}
        self._type = entry_type

    def lookup(self, name: str) -> E:
        """The entry called `name`.

        Raises:
            InputError: there is none, or an installed package's entry cannot be used.
        """
        if entry := self._builtin.get(name):
            return entry
        if point := self._points.get(name):
            return self._third_party(name, point)
        raise InputError(f"'{name}' is no {self.kind}{did_you_mean(name, self.names())}")

    def names(self) -> tuple[str, ...]:
        """All names, the built-in ones first."""
        return (*self._builtin, *self._points)

    def __iter__(self) -> Iterator[E]:
        return map(self.lookup, self.names())

    @cached_property
    def _points(self) -> Mapping[str, Any]:
        from importlib.metadata import entry_points

        points = {}
        for point in entry_points(group=self.group):
            if point.name in self._builtin or point.name in points:
                raise InputError(
                    f"entry point '{point.name}' of group {self.group} ({point.value}) takes a name that "
                    f"another {self.kind} has; uninstall that package or rename its entry point"
                )
            points[point.name] = point
        return points

    def _third_party(self, name: str, point: Any) -> E:
        try:
            entry = point.load()
        except (ImportError, AttributeError) as error:
            raise InputError(f"the {self.kind} '{name}' ({point.value}) cannot be imported: {error}") from error
        if not isinstance(entry, self._type) or entry.name != name:
            raise InputError(f"{point.value} is no {self._type.__name__} called '{name}'")
        return entry

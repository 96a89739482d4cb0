"""The JSON Schema of a spec file, for editors and for the spec reference: the models' own schema, with the
parameters of every metric and generator, the short forms, and the rules that hold between keys."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, get_args

from pydantic import BaseModel

from circuitgraph import catalog
from circuitgraph.catalog import Entry, Registry
from circuitgraph.spec.model import CircuitSpec, EdgeSpec, GeneratorSpec, MetricSpec, PromptsSpec

_REFERENCE = "#/$defs/{model}"


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) that every spec file satisfies."""
    schema = CircuitSpec.model_json_schema(ref_template=_REFERENCE)
    defs: dict[str, Any] = schema["$defs"]
    for model in _models(CircuitSpec):
        _describe(schema if model is CircuitSpec else defs.get(model.__name__, {}), model)
    for section, registry in ((MetricSpec, catalog.metrics), (GeneratorSpec, catalog.generators)):
        defs[section.__name__] = _one_of(registry, section, defs)
    _allow_single_metric(schema)
    schema["anyOf"] = [{"required": [key]} for key in ("edges", "nodes", "attention", "discover")]
    defs[EdgeSpec.__name__]["oneOf"] = [
        {"required": ["sender", "receiver"]},
        {"required": ["chain"]},
        {"required": ["set"]},
        {"required": ["all"]},
    ]
    origins = ("generator", "file", "pairs")
    defs[PromptsSpec.__name__]["oneOf"] = [{"required": [origin]} for origin in origins]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "circuitgraph spec"}


def _allow_single_metric(schema: dict[str, Any]) -> None:
    """`metric: …` may stand for `metrics: […]`."""
    properties = schema["properties"]
    properties["metric"] = {**properties["metrics"]["items"], "description": "Short for metrics with one entry."}
    schema["required"].remove("metrics")
    schema["oneOf"] = [{"required": ["metrics"]}, {"required": ["metric"]}]


def _one_of(registry: Registry[Any], section: type[BaseModel], defs: dict[str, Any]) -> dict[str, Any]:
    """One branch per plugin, told apart by `name`; the models that their parameters use go into `defs`."""
    branches = [_branch(entry, f"{registry.kind}.{entry.name}", defs) for entry in registry]
    return {"title": section.__name__, "description": section.__doc__, "oneOf": branches}


def _branch(entry: Entry, prefix: str, defs: dict[str, Any]) -> dict[str, Any]:
    branch = entry.params.model_json_schema(ref_template=f"#/$defs/{prefix}.{{model}}")
    inner: dict[str, Any] = branch.pop("$defs", {})
    for model in _models(entry.params):
        _describe(branch if model is entry.params else inner.get(model.__name__, {}), model)
    defs.update({f"{prefix}.{name}": definition for name, definition in inner.items()})
    branch["properties"] = {"name": {"const": entry.name, "description": entry.summary}, **branch["properties"]}
    branch["required"] = ["name", *branch.get("required", [])]
    return branch | {"title": entry.name}


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """`model` and the models its fields use, each once."""
    seen: list[type[BaseModel]] = []
    waiting: list[Any] = [model]
    while waiting:
        annotation = waiting.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if annotation not in seen:
                seen.append(annotation)
                waiting.extend(field.annotation for field in annotation.model_fields.values())
        else:
            waiting.extend(get_args(annotation))
    return iter(seen)


def _describe(definition: dict[str, Any], model: type[BaseModel]) -> None:
    """Add the docstrings below the model's fields as descriptions."""
    documented: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if issubclass(cls, BaseModel) and cls is not BaseModel:
            documented |= _field_docstrings(cls)
    for name, field in model.model_fields.items():
        written = definition.get("properties", {}).get(field.alias or name)
        if written is not None and name in documented:
            written.setdefault("description", documented[name])


def _field_docstrings(cls: type) -> dict[str, str]:
    """Field name -> the string that stands below it in the class body; {} without source code."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    except (OSError, TypeError, SyntaxError):
        return {}
    found: dict[str, str] = {}
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for field, below in pairwise(statements):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
    return found

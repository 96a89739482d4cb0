"""Who may import whom, read from the source, and what the quick commands leave alone, seen in a subprocess."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import circuitgraph

ROOT = Path(circuitgraph.__file__).parent

# part → the parts it may import while it is itself imported. Parts further down may be left out of a row only
# if the part does not use them: a row says what is there, so that a new arrow is a decision.
MAY_IMPORT: dict[str, str] = {
    "errors": "",
    "nodes": "errors",
    "catalog": "errors nodes",
    "spec": "errors nodes catalog showing",
    "graph": "errors nodes spec showing",
    "prompts": "errors nodes catalog spec",
    # `locate` and `shape` of models are torch-free: check reads a model's config, never its weights.
    "models": "errors nodes spec graph",
    "checks": "errors nodes catalog spec graph plans prompts models showing",
    "plans": "nodes spec graph prompts showing",
    "metrics": "errors catalog",
    "stats": "",
    "results": "errors nodes spec graph prompts plans stats showing",
    "execute": "errors nodes catalog spec graph prompts plans models metrics results",
    "drawing": "errors nodes spec graph",
    "comparing": "drawing errors graph nodes results showing spec stats tables",
    "unrolled": "errors nodes spec graph prompts plans drawing",
    "discovery": "errors nodes catalog spec graph prompts models checks plans execute prepared results showing",
    "plotting": "errors graph nodes spec drawing",
    "reporting": "catalog comparing drawing errors graph nodes plans plotting results spec stats",
    "tables": "graph results spec",
    "api": "checks errors plans spec",
    "interchange": "drawing errors graph models nodes results spec",
    "prepared": "checks errors execute graph models plans prompts results spec stats",
    "explaining": "catalog checks execute plans",
    "reading": "checks errors execute models prepared prompts results spec",
    "judging": "checks errors graph results showing spec stats tables",
    "evaluation": "checks errors graph nodes plans prepared results spec stats",
    "showing": "",
    "markup": "drawing",
    "notebook": "checks comparing discovery drawing errors evaluation graph judging markup plans results showing "
    "spec tables",
    "screening": "checks discovery plans prepared results running",
    "running": "errors spec checks graph models plans prepared execute results drawing plotting reading",
    "cli": "errors",
    "__main__": "cli",
    "__init__": "",
}

# The same, for imports inside functions (on first use) and under TYPE_CHECKING.
MAY_USE: dict[str, str] = {
    "drawing": "results",  # the type of a row
    "comparing": "checks drawing running",
    "api": "comparing discovery drawing evaluation graph interchange judging plotting prepared prompts reading "
    "reporting results running screening unrolled",
    "cli": "__init__ api checks comparing discovery evaluation explaining judging plotting spec plans prepared results "
    "tables unrolled",
    "plotting": "results",
    "__init__": "api comparing discovery errors graph judging plans results spec",
    "notebook": "reporting",
}

# library → the parts that may import it, at the top or inside functions.
LIBRARIES: dict[str, str] = {
    "transformer_lens": "models",
    "transformers": "models",
    "huggingface_hub": "models",
    "safetensors": "models",
    "torch": "models metrics execute prepared interchange",
    "networkx": "graph",
    "graphviz": "drawing",
    "pygraphviz": "drawing",
    "pandas": "results comparing",
    "pyarrow": "results",
    "numpy": "stats results execute evaluation plotting comparing",
    "matplotlib": "plotting",
    "tokenizers": "prompts",
    "yaml": "spec",
    "pydantic": "catalog spec prompts checks interchange",
    "pydantic_core": "spec",
    "typer": "cli",
    "rich": "cli",
}

# Too slow to load for everyone who touches the part: inside functions (or for types) only.
LAZY_EVERYWHERE = {"pandas", "pyarrow", "networkx", "graphviz", "pygraphviz", "tokenizers", "transformer_lens",
                   "transformers", "huggingface_hub", "matplotlib"}  # fmt: skip


class Import(NamedTuple):
    """One import statement's target: a part of circuitgraph, or a library."""

    file: Path
    line: int
    target: str
    ours: bool
    when: str
    """`top`, `function` or `types`."""

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT.parent)}:{self.line} imports {self.target} ({self.when})"


def part_of(file: Path) -> str:
    return file.relative_to(ROOT).with_suffix("").parts[0]


def imports_of(file: Path) -> Iterator[Import]:
    def visit(node: ast.AST, when: str) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            inner = when
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                inner = "function"
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                inner = "types"
            for name in names_in(child):
                library, _, rest = name.partition(".")
                ours = library == "circuitgraph"
                target = (rest.partition(".")[0] or "__init__") if ours else library
                yield Import(file, getattr(child, "lineno", 0), target, ours, inner)
            yield from visit(child, inner)

    yield from visit(ast.parse(file.read_text(encoding="utf-8")), "top")


def names_in(node: ast.AST) -> list[str]:
    """The dotted names that one statement imports; `from circuitgraph import catalog` is circuitgraph.catalog."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"relative import at line {node.lineno}"
        if node.module == "circuitgraph":
            return [f"circuitgraph.{a.name}" if a.name in MAY_IMPORT else "circuitgraph" for a in node.names]
        return [node.module or ""]
    return []


FILES = sorted(ROOT.rglob("*.py"))
IMPORTS = [found for file in FILES for found in imports_of(file)]
OURS = [found for found in IMPORTS if found.ours and part_of(found.file) != found.target]
LIBRARY_IMPORTS = [found for found in IMPORTS if not found.ours and found.target not in sys.stdlib_module_names]


def test_every_part_is_in_the_table():
    assert {part_of(file) for file in FILES} == set(MAY_IMPORT)


def test_parts_import_only_what_the_table_allows():
    wrong = []
    for found in OURS:
        part = part_of(found.file)
        allowed = MAY_IMPORT[part].split() + (MAY_USE.get(part, "").split() if found.when != "top" else [])
        if found.target not in allowed:
            wrong.append(str(found))
    assert wrong == []


def test_the_table_allows_nothing_that_is_not_used():
    used = {(part_of(f.file), f.target, f.when == "top") for f in OURS}
    idle = [f"{part} → {other}" for part, row in MAY_IMPORT.items() for other in row.split()
            if (part, other, True) not in used]  # fmt: skip
    idle += [f"{part} ⇢ {other}" for part, row in MAY_USE.items() for other in row.split()
             if (part, other, False) not in used]  # fmt: skip
    assert idle == []


def test_imports_go_one_way():
    """No part needs a part that needs it, on import or at work; a type alone is no need."""
    arrows: dict[str, set[str]] = {part: set() for part in MAY_IMPORT}
    for found in OURS:
        if found.when != "types":
            arrows[part_of(found.file)].add(found.target)
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_libraries_stay_in_their_parts():
    wrong = [
        str(found) for found in LIBRARY_IMPORTS if part_of(found.file) not in LIBRARIES.get(found.target, "").split()
    ]
    assert wrong == []


def test_slow_libraries_are_imported_on_first_use():
    assert [str(f) for f in LIBRARY_IMPORTS if f.target in LAZY_EVERYWHERE and f.when == "top"] == []


def test_only_the_declared_libraries_are_imported():
    """Everything imported is a dependency in pyproject.toml, or comes with one."""
    import tomllib

    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + project["optional-dependencies"]["plots"]
    declared = {text.split(">")[0].split("[")[0].lower() for text in asked}
    comes_with = {"transformers": "transformer_lens", "huggingface_hub": "transformer_lens",
                  "pydantic_core": "pydantic", "yaml": "pyyaml"}  # fmt: skip
    missing = {f.target for f in LIBRARY_IMPORTS if comes_with.get(f.target, f.target) not in declared}
    assert missing == set()


# What a command loads ---------------------------------------------------------------------------

SPEC = """\
version: 1
name: quick
model: {name: org/model, shape: {layers: 2, heads: 2, vocab: 50, context: 16}}
prompts:
  pairs:
    - {clean: [1, 2, 3], corrupted: [1, 4, 3], answers: [5], wrong_answers: [6], positions: {A: 1}}
metrics: [logit_diff]
edges:
  - {sender: "input@A", receiver: "a0.h0<k>@A"}
  - {sender: a0.h0@END, receiver: logits}
"""

HEAVY = ("torch", "transformer_lens", "transformers", "pandas", "pyarrow")


def loaded_after(arguments: list[str], cwd: Path) -> set[str]:
    """The top-level modules in a fresh interpreter that has run `circuitgraph ARGUMENTS` with status 0."""
    program = (
        "import json, sys\n"
        "sys.argv = ['circuitgraph', *json.loads(sys.argv[1])]\n"
        "from circuitgraph.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as exit:\n    status = exit.code\n"
        "names = sorted({name.partition('.')[0] for name in sys.modules})\n"
        "print(json.dumps([status, names]), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(arguments)], cwd=cwd, capture_output=True, text=True, check=True
    )
    status, names = json.loads(done.stderr.splitlines()[-1])
    assert status == 0, done.stderr
    return set(names)


@pytest.mark.parametrize(
    ("arguments", "not_loaded"),
    [
        (["--help"], (*HEAVY, "numpy", "networkx", "pydantic", "yaml", "graphviz", "pygraphviz", "rich")),
        (["--version"], (*HEAVY, "numpy", "networkx", "pydantic", "yaml")),
        (["check", "quick.yaml"], (*HEAVY, "networkx", "graphviz", "pygraphviz")),
        (["check", "quick.yaml", "--json"], (*HEAVY, "networkx", "graphviz", "pygraphviz")),
        (["plan", "quick.yaml"], (*HEAVY, "networkx", "graphviz", "pygraphviz")),
        (
            ["plan", "quick.yaml", "--diagram", "0.0@END -> logits", "-o", "stages.svg"],
            (*HEAVY, "networkx", "graphviz"),
        ),
        (["plan", "quick.yaml", "--diagram", "0.0@END -> logits", "-o", "stages.png"], (*HEAVY, "networkx")),
        (["render", "quick.yaml", "-o", "quick.svg"], (*HEAVY, "networkx")),
        (["render", "quick.yaml", "-o", "quick.png"], (*HEAVY, "networkx")),
        (["schema"], (*HEAVY, "networkx")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_quick_commands_load_nothing_heavy(arguments, not_loaded, tmp_path):
    (tmp_path / "quick.yaml").write_text(SPEC)
    assert loaded_after(arguments, tmp_path) & set(not_loaded) == set()


def test_import_circuitgraph_alone_loads_neither_pydantic_nor_numpy(tmp_path):
    program = "import sys, circuitgraph; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert {"circuitgraph"} == {"circuitgraph", "pydantic", "numpy", *HEAVY} & set(done.stdout.split())

"""docs/methods.md -> the same with the output of every spec on it. `make docs` runs it.

After each block

    circuitgraph run NAME.yaml

what the command prints is put between markers; `printed` is also what tests compare the page with.

python docs/make_methods.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import circuitgraph as cg
from circuitgraph.tables import ranked_table

PAGE = Path(__file__).with_name("methods.md")
SHOWN = re.compile(
    r"```yaml\n(?P<spec>(?:(?!```)[^\n]*\n)*)```\n\n"
    r"(?P<command>    circuitgraph (?P<verb>run|test) [\w.]+)\n\n"
    r"<!-- output -->\n(?P<output>(?:(?:    [^\n]*)?\n)*)"
)


def shown(text: str) -> Iterator[tuple[str, str, str]]:
    """Spec, verb and the output that the page shows, for each command on it."""
    for found in SHOWN.finditer(text):
        output = "\n".join(line.removeprefix("    ") for line in found["output"].strip("\n").splitlines())
        yield found["spec"], found["verb"], output


def printed(spec: str, verb: str, directory: Path) -> str:
    """What `circuitgraph VERB` prints for a spec."""
    path = directory / "spec.yaml"
    path.write_text(spec, encoding="utf-8")
    return ranked_table(cg.run(path), 30) if verb == "run" else cg.test(path).text()


def page(text: str) -> str:
    """The page with every output anew."""

    def write(found: re.Match[str]) -> str:
        with TemporaryDirectory() as directory:
            output = printed(found["spec"], found["verb"], Path(directory))
        lines = "\n".join(f"    {line}".rstrip() for line in output.splitlines())
        return f"```yaml\n{found['spec']}```\n\n{found['command']}\n\n<!-- output -->\n\n{lines}\n\n"

    return SHOWN.sub(write, text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

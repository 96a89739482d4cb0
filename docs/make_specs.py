"""specs/*.yaml -> docs/specs.md: each spec that ships, as it is. `make docs` runs it.

python docs/make_specs.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

PAGE = Path(__file__).with_name("specs.md")
SPECS = sorted((PAGE.parents[1] / "specs").glob("*.yaml"))

HEAD = """\
# The specs that ship

Generated from `specs/` by `docs/make_specs.py`; do not edit. Copy one and change it: every key is in the
[spec reference](spec.md). Pictures of them: [gallery](gallery.md).

| spec | what it is | model |
|---|---|---|
"""


def page() -> str:
    """The text of docs/specs.md."""
    return HEAD + "\n".join([*_rows(), "", *_sections()])


def _rows() -> Iterator[str]:
    for path in SPECS:
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))
        model = spec["model"] if isinstance(spec["model"], str) else spec["model"]["name"]
        yield f"| [{path.stem}](#{path.stem}) | {spec['description']} | `{model}` |"


def _sections() -> Iterator[str]:
    for path in SPECS:
        yield f"## {path.stem}\n\n`specs/{path.name}`\n\n```yaml\n{path.read_text(encoding='utf-8').rstrip()}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

"""examples/*.ipynb -> themselves with what their cells print and draw. `make docs` runs it.

python docs/make_notebooks.py

Each runs in a copy of `specs/` and `examples/`, in a kernel of this interpreter; no kernel has to be installed.
"""

from __future__ import annotations

import json
import os
import shutil
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from ipykernel.kernelspec import get_kernel_dict
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
KERNEL = "this-interpreter"
HTML, SVG, FRAME = "text/html", "image/svg+xml", "<iframe"


def executed(path: Path, place: Path) -> nbformat.NotebookNode:
    """A notebook with its outputs, run in the empty directory `place`; a cell that raises, raises here."""
    for name in ("specs", "examples"):
        shutil.copytree(ROOT / name, place / name)
    notebook = nbformat.read(path, as_version=4)
    with kernel(place):
        # `allow_errors` is off: what fails in a cell fails here.
        client = NotebookClient(notebook, timeout=300, kernel_name=KERNEL, record_timing=False)
        client.execute(cwd=str(place / "examples"))
    for cell in notebook.cells:
        cell.metadata.clear()
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                raise RuntimeError(f"{path.name} writes to stderr: {output.text}")
            keep_small(output)
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    return notebook


def keep_small(output: dict[str, Any]) -> None:
    """One picture in an output, and no interactive page: what is said instead of that is its plain text."""
    data = output.get("data", {})
    if data.get(HTML, "").startswith(FRAME):
        del data[HTML]
        data.pop(SVG, None)
    if HTML in data:
        data.pop(SVG, None)
    elif SVG in data:
        image = b64encode(data.pop(SVG).encode()).decode()
        data[HTML] = f'<img src="data:image/svg+xml;base64,{image}" style="max-width:100%">'


@contextmanager
def kernel(place: Path) -> Iterator[None]:
    """Jupyter with one kernel, this interpreter with this circuitgraph; it keeps its files in `place`."""
    home = place / "jupyter" / "kernels" / KERNEL
    home.mkdir(parents=True)
    found = get_kernel_dict(["--log-level=ERROR"])
    (home / "kernel.json").write_text(json.dumps(found), encoding="utf-8")
    ours = {
        "JUPYTER_PATH": place / "jupyter",
        "JUPYTER_RUNTIME_DIR": place / "runtime",
        "IPYTHONDIR": place / "ipython",
        "MPLCONFIGDIR": place / "matplotlib",
        "PYTHONPATH": ROOT,
        "OMP_NUM_THREADS": 1,
        "PYTHONWARNINGS": "ignore:IProgress not found",  # a progress bar that nobody sees
    }
    before = dict(os.environ)
    os.environ.update({name: str(value) for name, value in ours.items()})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


if __name__ == "__main__":
    for each in NOTEBOOKS:
        with TemporaryDirectory() as directory:
            found = executed(each, Path(directory))
        each.write_text(nbformat.writes(found) + "\n", encoding="utf-8")

"""The wheel: what it carries, and that it works where there is nothing but it."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from circuitgraph.models.locate import BUNDLED

REPO = Path(__file__).parent.parent

SPEC = """\
version: 1
name: four-pairs
model: ioi-mini
prompts:
  generator: {name: ioi, n: 4, seed: 0, corruption: abc}
metrics: [{name: logit_diff, at: END}]
edges:
  - {sender: "input@S2", receiver: "a0.h0<q>@S2"}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel of this checkout."""
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(REPO)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """The interpreter of an environment that holds the wheel; its dependencies are those of this one."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # An editable install is a .pth file, and .pth files of a directory added by one are not read:
    # of this environment the packages are seen, and the checkout is not.
    dependencies = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (site / "dependencies.pth").write_text("".join(f"{path}\n" for path in dependencies))
    return home / "bin" / "python"


def names(wheel: Path) -> dict[str, int]:
    """Path in the wheel → size."""
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info.file_size for info in archive.infolist()}


def test_the_wheel_carries_every_module_and_data_file_whole(wheel):
    package = REPO / "circuitgraph"
    ours = {
        str(file.relative_to(REPO)): file.stat().st_size
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    found = {name: size for name, size in names(wheel).items() if name.startswith("circuitgraph/")}
    assert found == ours
    assert any(name.endswith(".ttf") for name in found)


def test_the_wheel_carries_the_bundled_model(wheel):
    model = "circuitgraph/models/bundled/ioi-mini/"
    assert (BUNDLED / "ioi-mini" / "model.safetensors").is_file()
    assert {f"{model}config.json", f"{model}model.safetensors", f"{model}tokenizer.json"} <= set(names(wheel))
    assert sum(names(wheel).values()) < 5e6  # a package of a few megabytes, however many models come


def test_nothing_but_the_package_is_in_the_wheel(wheel):
    assert {name.split("/")[0].split("-")[0] for name in names(wheel)} == {"circuitgraph"}


def test_the_wheel_runs_where_the_checkout_is_not(python, tmp_path):
    (tmp_path / "spec.yaml").write_text(SPEC)
    program = (
        "import circuitgraph, sys; print(circuitgraph.__file__, file=sys.stderr)\n"
        "from circuitgraph.cli import main; main()"
    )
    # -I: neither the working directory nor PYTHONPATH is searched.
    done = subprocess.run(
        [python, "-I", "-c", program, "run", "spec.yaml", "--json"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stderr.splitlines()[0]).is_relative_to(python.parent.parent)
    report = json.loads(done.stdout)
    (row,) = report["rows"]
    assert (row["label"], row["n"]) == ("input@S2 → a0.h0<q>@S2", 4)
    assert row["effect"] != 0
    assert (tmp_path / "runs/four-pairs/circuit.svg").is_file()


def test_the_wheel_draws_with_its_own_fonts(python, tmp_path):
    (tmp_path / "spec.yaml").write_text(SPEC)
    draw = "from circuitgraph.cli import main; main()"
    done = subprocess.run(
        [python, "-I", "-c", draw, "render", "spec.yaml", "-o", "spec.png"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "spec.png").read_bytes().startswith(b"\x89PNG")


def test_the_console_script_is_declared(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert archive.read(name).decode().split("\n")[:2] == [
            "[console_scripts]",
            "circuitgraph = circuitgraph.cli:main",
        ]

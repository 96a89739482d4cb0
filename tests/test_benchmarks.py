"""The benchmark runs, and its two sides and the literal executor agree. No time is asserted."""

from __future__ import annotations

from tests.benchmarks.__main__ import main
from tests.benchmarks.speed import COLUMNS


def test_the_benchmark_runs_and_its_numbers_agree(capsys):
    main(["--quick", "--markdown"])
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    rows = [dict(zip(COLUMNS, cells[1:], strict=True)) for cells in lines if cells[-1] not in ("effect", "---:")]
    assert len(rows) == 6
    for row in rows:
        assert float(row["apart"]) < 1e-5
        assert float(row["effect"]) > 1e-4


def test_growth_runs_and_counts_what_is_measured(capsys):
    main(["--quick", "--markdown", "--growth"])
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    rows = {cells[0]: dict(zip(("ms", "ms/edge", "× base", "counted"), cells[1:5], strict=True)) for cells in lines[2:]}
    assert len(rows) == 5
    assert rows["4 edges (base)"]["counted"] == "1.00"
    assert float(rows["8 edges"]["counted"]) > 1.5
    assert all(float(row["ms"]) >= 0 for row in rows.values())


def test_drawing_is_timed(capsys):
    main(["--quick", "--markdown", "--drawing"])
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert lines[2][:2] == ["ioi-mini", "15"]
    assert all(float(cell.replace(",", "")) >= 0 for cell in lines[2][1:])

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

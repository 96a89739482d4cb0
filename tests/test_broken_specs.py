"""Each broken spec of tests/broken gives exactly the message that stands beside it."""

from pathlib import Path

import pytest

from circuitgraph.checks import check
from circuitgraph.errors import SpecError

BROKEN = sorted((Path(__file__).parent / "broken").glob("*.yaml"))


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_every_problem_is_told_in_full(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    with pytest.raises(SpecError) as raised:
        check(path.name)
    assert str(raised.value) + "\n" == path.with_suffix(".txt").read_text(encoding="utf-8")


def test_no_expectation_without_a_spec():
    texts = {path.stem for path in BROKEN[0].parent.glob("*.txt")}
    assert texts == {path.stem for path in BROKEN}

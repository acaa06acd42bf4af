"""scripts/simulate_coverage.py: that what it simulates is what nnlab has, and the table's form."""

import re
from pathlib import Path

import numpy as np
import pytest

from nnlab.report.interval import bootstrap_t, student


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "scripts")
    import simulate_coverage

    return simulate_coverage


@pytest.mark.parametrize("num", [4, 5, 8, 9, 30])
@pytest.mark.parametrize("which", ["student", "bootstrap"])
def test_limits_of_many_samples_are_those_of_each(script, which, num):
    samples = np.random.default_rng(num).chisquare(1, size=(20, num))
    one_by_one = [(student if which == "student" else bootstrap_t)(list(values)) for values in samples]
    low, high = (script.student_limits if which == "student" else script.bootstrap_limits)(samples)
    assert low == pytest.approx([one.low for one in one_by_one], rel=1e-6)
    assert high == pytest.approx([one.high for one in one_by_one], rel=1e-6)


def test_table_has_a_row_for_each_distribution_and_size(script, capsys):
    assert script.main(["--samples", "500", "--sizes", "5", "10"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split(" | ")[:2] for row in rows] == [
        [f"| {name}", num] for name in ("normal", "exponential", "chi-square(1)", "lognormal(1)") for num in ("5", "10")
    ]
    # three standard errors of 500 samples
    assert float(re.findall(r"([\d.]+) %", rows[0])[0]) == pytest.approx(95, abs=3)
    bootstrap = [float(re.findall(r"([\d.]+) %", row)[1]) for row in rows]
    assert min(bootstrap[:6]) > 86
    assert min(bootstrap[6:]) > 84


@pytest.mark.parametrize("words", [["--sizes", "3"], ["--samples", "0"]])
def test_simulation_without_limits_is_refused(script, words):
    with pytest.raises(SystemExit, match="2"):
        script.main(words)

"""What `nnlab tune` has found is gone by, on the machine that it was found on."""

import json
import os
from dataclasses import replace

import pytest
import torch

from nnlab.cli import main
from nnlab.device import choose_threads
from nnlab.machine import FILE, TUNED, Machine, machine, remember
from nnlab.tune import NEVER, Timing, per_thread


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NNLAB_CACHE", str(tmp_path))
    machine.cache_clear()
    yield
    machine.cache_clear()


MEASURED = Machine(multiply_adds_per_thread=1000, native_work_per_thread=500, saved_us=33.5)


def test_without_a_file_the_defaults_hold():
    assert machine() == Machine()
    assert machine().digest == "defaults"


def test_what_is_remembered_is_gone_by(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    cpu, shapes = torch.device("cpu"), [(10, 10)]
    assert choose_threads(cpu, 20, shapes) == 1
    remember(MEASURED)
    assert machine() == MEASURED
    assert choose_threads(cpu, 20, shapes) == min(2, len(os.sched_getaffinity(0)))
    assert machine().digest not in ("defaults", replace(MEASURED, saved_us=1.0).digest)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"processor": "another, 64 cores"},
        {"numbers": {"saved_us": 1.0}},
        {"numbers": {**vars(MEASURED), "saved_us": -1.0}},
        {"numbers": {**vars(MEASURED), "saved_us": "1"}},
        {"numbers": None},
    ],
)
def test_file_of_another_machine_or_kind_is_passed_over(tmp_path, change):
    remember(MEASURED)
    content = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(content | change))
    machine.cache_clear()
    assert machine() == Machine()


def test_file_may_leave_out_what_tune_does_not_measure(tmp_path):
    remember(MEASURED)
    content = json.loads((tmp_path / FILE).read_text())
    content["numbers"] = {name: content["numbers"][name] for name in TUNED}
    (tmp_path / FILE).write_text(json.dumps(content))
    machine.cache_clear()
    assert machine() == MEASURED


@pytest.mark.parametrize("text", ["", "{", "[]", "7"])
def test_damaged_file_is_passed_over(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    assert machine() == Machine()


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ([0.5, 1.5, 1.6], 1000),
        ([1.5, 1.5, 1.5], 500),
        ([1.5, 0.9, 1.6], 2000),
        ([0.5, 0.5, 1.05], NEVER),
        ([], NEVER),
    ],
)
def test_threads_pay_from_the_size_on_where_they_always_gain(gains, expected):
    timings = [Timing(1000 * 2**place, gain, 1.0) for place, gain in enumerate(gains)]
    assert per_thread(timings) == expected


def test_tune_measures_and_forgets(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("nnlab.tune.SIZES", ((16, 8), (32, 8)))
    monkeypatch.setattr("nnlab.tune.NATIVE_SIZES", ((16, 8), (32, 8)))
    monkeypatch.setattr("nnlab.tune.LEAST_S", 0.001)
    assert main(["tune"]) == 0
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / FILE).read_text())
    assert found["digest"] == machine().digest
    assert found["digest"] in printed
    assert "work of a compiled step" in printed
    assert main(["tune", "--forget"]) == 0
    assert not (tmp_path / FILE).exists()
    assert main(["tune", "--forget"]) == 0
    assert "nothing to forget" in capsys.readouterr().out


def test_tune_with_other_words_is_refused(capsys):
    assert main(["tune", "--quick"]) == 2
    assert "--forget" in capsys.readouterr().err

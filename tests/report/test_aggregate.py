"""The curves of groups, read back by TensorBoard's own reader; numbers are computed here from the rows."""

import csv
import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.util.tensor_util import make_ndarray

from nnlab.folder import FolderError
from nnlab.report.aggregate import write_aggregates
from nnlab.report.groups import Group
from nnlab.report.members import find_runs, members_of
from nnlab.report.runs import RunData, read_runs

RECORD = {
    "schema_version": 1,
    "name": "a",
    "created": "",
    "config": {},
    "options": {},
    "overrides": [],
    "seed": 0,
    "data_fingerprint": "",
    "plugins": [],
    "choices": {},
    "versions": {},
    "git_commit": None,
    "history": [],
}
RESULT = {
    "name": "a",
    "status": "completed",
    "reason": "",
    "epochs": 1,
    "steps": 1,
    "seconds": 1.0,
    "final": {},
    "best": {},
    "test": {},
    "greater_is_better": [],
    "notes": [],
    "error": None,
}


def member(folder: Path, columns: dict[str, list[float]], status: str = "completed") -> RunData:
    """A run's folder as far as a comparison reads it; ``running`` without a process is a killed one."""
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(RECORD))
    (folder / "result.json").write_text(json.dumps(RESULT | {"status": status}))
    num_rows = len(next(iter(columns.values())))
    numbers = range(1, num_rows + 1)
    table: dict[str, list[Any]] = {"epoch": list(numbers)}
    table |= {"step": [10 * n for n in numbers], "time_s": [0.5 * n for n in numbers]}
    table |= {key: [repr(x) for x in values] for key, values in columns.items()}
    with open(folder / "metrics.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(table)
        rows.writerows(zip(*table.values(), strict=True))
    ((run,), problems) = read_runs([folder])
    assert problems == []
    return run


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    tags = [tag for tag in events.Tags()["tensors"] if tag.rpartition("/")[2] in ("mean", "lower", "upper")]
    return {tag: [(e.step, make_ndarray(e.tensor_proto).item()) for e in events.Tensors(tag)] for tag in tags}


def text(folder: Path) -> str:
    (event,) = EventAccumulator(str(folder)).Reload().Tensors("group")
    return str(make_ndarray(event.tensor_proto).item().decode())


@pytest.fixture
def sweep(tmp_path: Path) -> tuple[Path, list[Group], np.ndarray]:
    """Two groups of four runs; losses [8, 5]."""
    losses = np.random.default_rng(0).lognormal(size=(8, 5))
    names = ("sgd", "adam")
    groups = []
    for number, name in enumerate(names):
        runs = [
            member(tmp_path / f"{r}_optim={name}", {"valid/loss": losses[r].tolist()})
            for r in range(4 * number, 4 * number + 4)
        ]
        groups.append(Group({"optim": name}, tuple(runs)))
    return tmp_path, groups, losses


def test_aggregates_mean_and_student_interval_at_every_step(sweep) -> None:
    folder, groups, losses = sweep
    written = write_aggregates(folder, groups, ["valid/loss", "valid/accuracy"])
    assert written == [folder / "aggregate/optim=sgd", folder / "aggregate/optim=adam"]
    for path, values in zip(written, (losses[:4], losses[4:]), strict=True):
        found = read(path)
        assert found.keys() == {"valid/loss/mean", "valid/loss/lower", "valid/loss/upper"}
        low, high = stats.t.interval(0.95, 3, values.mean(axis=0), stats.sem(values, axis=0))
        for name, expected in (("mean", values.mean(axis=0)), ("lower", low), ("upper", high)):
            steps, numbers = zip(*found[f"valid/loss/{name}"], strict=True)
            assert steps == (10, 20, 30, 40, 50)
            np.testing.assert_allclose(numbers, expected, rtol=1e-6)


def test_aggregates_layout_and_text_name_the_curves_and_the_group(sweep) -> None:
    folder, groups, _ = sweep
    first, second = write_aggregates(folder, groups, ["valid/loss"])
    layouts = []
    for path in (first, second):
        (event,) = EventAccumulator(str(path)).Reload().Tensors("custom_scalars__config__")
        layouts.append(Layout.FromString(make_ndarray(event.tensor_proto).item()))
    # TensorBoard shows the union: equal charts are one chart, with the curves of all groups.
    assert layouts[0] == layouts[1]
    ((chart,),) = [category.chart for category in layouts[0].category]
    (series,) = chart.margin.series
    names = (chart.title, series.value, series.lower, series.upper)
    assert names == ("valid/loss", "valid/loss/mean", "valid/loss/lower", "valid/loss/upper")
    assert "optim=adam" in text(second)
    assert "mean over 4 runs" in text(second)
    assert "left out" not in text(second)


def test_aggregates_runs_that_did_not_end_are_left_out_and_it_is_said(tmp_path: Path) -> None:
    values = {"a": 1.0, "b": 3.0, "c": 100.0, "d": 100.0}
    status = {"c": "diverged", "d": "running"}
    runs = [member(tmp_path / n, {"valid/loss": [x]}, status.get(n, "completed")) for n, x in values.items()]
    (path,) = write_aggregates(tmp_path, [Group({}, tuple(runs))], ["valid/loss"])
    assert path.name == "all-runs"
    assert read(path)["valid/loss/mean"] == [(10, 2.0)]
    assert "left out: 2 runs (diverged, killed)" in text(path)


def test_aggregates_runs_of_unequal_length_end_with_the_shortest(tmp_path: Path) -> None:
    rows = {"a": [4.0, 3.0, 2.0], "b": [2.0, 1.0]}
    runs = [member(tmp_path / name, {"train/loss": losses}) for name, losses in rows.items()]
    (path,) = write_aggregates(tmp_path, [Group({"x": "1"}, tuple(runs))], ["train/loss"])
    assert read(path)["train/loss/mean"] == [(10, 3.0), (20, 2.0)]


def test_aggregates_values_that_are_not_finite_end_no_group(tmp_path: Path) -> None:
    rows = {"a": [4.0, math.nan, 2.0], "b": [2.0, 1.0, 4.0]}
    runs = [member(tmp_path / name, {"train/loss": losses}) for name, losses in rows.items()]
    (path,) = write_aggregates(tmp_path, [Group({"x": "1"}, tuple(runs))], ["train/loss"])
    assert read(path)["train/loss/mean"] == [(10, 3.0), (30, 3.0)]


def test_aggregates_single_run_has_a_mean_and_no_limits(tmp_path: Path) -> None:
    runs = (member(tmp_path / "a", {"train/loss": [4.0]}),)
    (path,) = write_aggregates(tmp_path, [Group({"x": "1"}, runs)], ["train/loss"])
    found = read(path)
    assert found["train/loss/mean"] == [(10, 4.0)]
    # The three curves need the same steps, or TensorBoard draws none of them.
    assert [math.isnan(value) for side in ("lower", "upper") for _, value in found[f"train/loss/{side}"]] == [True] * 2


def test_aggregates_group_without_values_gets_no_run(tmp_path: Path) -> None:
    ended = Group({"x": "1"}, (member(tmp_path / "a", {"train/loss": [4.0]}),))
    lost = Group({"x": "2"}, (member(tmp_path / "b", {"train/loss": [4.0]}, "failed"),))
    assert [path.name for path in write_aggregates(tmp_path, [ended, lost], ["train/loss"])] == ["x=1"]
    assert write_aggregates(tmp_path, [lost], ["train/loss"]) == []
    assert not (tmp_path / "aggregate").exists()


def test_aggregates_written_again_replace_the_old_ones_and_leave_nothing_else(sweep) -> None:
    folder, groups, _ = sweep
    members = members_of(folder)
    write_aggregates(folder, groups, ["valid/loss"])
    (folder / ".aggregate.1.new.tmp/x").mkdir(parents=True)  # of a process that was killed
    assert write_aggregates(folder, groups[:1], ["valid/loss"]) == [folder / "aggregate/optim=sgd"]
    assert [path.name for path in (folder / "aggregate").iterdir()] == ["optim=sgd"]
    assert len(list((folder / "aggregate/optim=sgd").iterdir())) == 1
    assert [path for path in folder.iterdir() if path.name != "aggregate" and path not in members] == []


def test_aggregates_are_no_members(sweep) -> None:
    folder, groups, _ = sweep
    before = find_runs([folder]), members_of(folder)
    write_aggregates(folder, groups, ["valid/loss"])
    assert (find_runs([folder]), members_of(folder)) == before
    with pytest.raises(FolderError, match="holds no run"):
        find_runs([folder / "aggregate"])


@pytest.mark.parametrize("place", ["aggregate", "aggregate/notes.txt", "aggregate/x/notes.txt", "aggregate/x/y/z"])
def test_aggregates_place_taken_by_a_users_file_is_refused_and_nothing_is_lost(sweep, place: str) -> None:
    folder, groups, _ = sweep
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    with pytest.raises(FolderError, match="not of nnlab's making"):
        write_aggregates(folder, groups, ["valid/loss"])
    assert path.read_text() == "mine"


def test_aggregates_link_is_not_followed(sweep, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, groups, _ = sweep
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "x").mkdir()
    (elsewhere / "x/events.out.tfevents.1.host.1.0").touch()
    (folder / "aggregate").symlink_to(elsewhere)
    with pytest.raises(FolderError, match="not of nnlab's making"):
        write_aggregates(folder, groups, ["valid/loss"])
    assert (elsewhere / "x/events.out.tfevents.1.host.1.0").exists()


def test_aggregates_names_are_short_legal_and_different(tmp_path: Path) -> None:
    labels = ["a" * 500, "a" * 499 + "b", "../../etc", "модель 😀" * 60, "x/y", "x:y", "...", ""]
    runs = (member(tmp_path / "run", {"train/loss": [4.0]}),)
    paths = write_aggregates(tmp_path, [Group({"k": label}, runs) for label in labels], ["train/loss"])
    assert len({path.name for path in paths}) == len(labels)
    for path in paths:
        assert path.parent == tmp_path / "aggregate"
        assert path.is_dir()
        assert len(path.name.encode()) <= 255


def test_aggregates_that_cannot_be_written_leave_the_old_ones(sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, groups, _ = sweep
    write_aggregates(folder, groups, ["valid/loss"])
    before = sorted(folder.rglob("events*"))
    rename = Path.rename

    def fails(path: Path, target: Path) -> Path:
        if ".new." in path.name:
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="No space left"):
        write_aggregates(folder, groups, ["valid/loss"])
    assert sorted(folder.rglob("events*")) == before
    assert not list(folder.glob(".aggregate*"))


def test_aggregates_of_250_runs_take_a_few_seconds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tags = ("train/loss", "valid/loss", "train/accuracy", "valid/accuracy")
    runs = [member(tmp_path / str(n), {tag: rng.random(100).tolist() for tag in tags}) for n in range(250)]
    groups = [Group({"optim": str(n)}, tuple(runs[n::4])) for n in range(4)]
    begin = time.perf_counter()
    written = write_aggregates(tmp_path, groups, tags)
    assert time.perf_counter() - begin < 5
    assert [len(read(path)["valid/loss/mean"]) for path in written] == [100] * 4


def test_aggregate_module_brings_neither_torch_nor_tensorflow() -> None:
    code = "import sys, nnlab.report.aggregate; print({'torch', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"

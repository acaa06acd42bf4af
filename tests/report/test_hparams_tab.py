"""A sweep in TensorBoard: settings and metrics of every member, charts, aggregates; a real process, a real browser."""

import json
import shutil
import time
import urllib.request
from contextlib import chdir
from pathlib import Path
from urllib.parse import quote

import pytest
from torch import nn

from nnlab.cli import main
from nnlab.logger import Run, TensorBoard
from nnlab.metrics_file import read_metrics
from nnlab.report.aggregate import write_aggregates
from nnlab.report.groups import group_runs
from nnlab.report.members import members_of
from nnlab.report.runs import read_runs

STATUSES = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
PLUGINS = "data/plugin"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two members, the first of them resumed, and their aggregates."""
    words = ["data=iris", "optim=sgd,adam", "trainer.max_epochs=2", "trainer.threads=1", "model.width=4"]
    with chdir(tmp_path_factory.mktemp("work")):
        assert main(["train", "-m", *words]) == 0
        (folder,) = Path("outputs/iris").absolute().iterdir()
        assert main(["resume", str(members_of(folder)[0]), "trainer.max_epochs=3"]) == 0
    runs, problems = read_runs(members_of(folder))
    assert problems == []
    write_aggregates(folder, group_runs(runs, ["optim"]), ["train/loss", "valid/loss"])
    return folder


@pytest.fixture(params=[True, False], ids=["data server", "no data server"])
def loader(request, monkeypatch):
    """TensorBoard's two readers of event files, which withdraw a resumed run's points each in its own way."""
    if not request.param:
        monkeypatch.setenv("TENSORBOARD_DATA_SERVER_BINARY", shutil.which("false") or "")


def ask(address, body=None):
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, content, {"Content-Type": "application/json"} if content else {})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def session_groups(address, num_sessions, num_metrics=8, columns=()):
    """What the HParams tab asks for, as soon as all members are read."""
    body = {"experimentName": "", "allowedStatuses": STATUSES, "startIndex": 0, "sliceSize": 100}
    deadline = time.monotonic() + 10
    while True:
        answer = ask(f"{address}{PLUGINS}/hparams/session_groups", body | {"colParams": list(columns)})
        groups = answer["sessionGroups"]
        if len(groups) == num_sessions and all(len(group.get("metricValues", ())) == num_metrics for group in groups):
            return groups
        assert time.monotonic() < deadline, groups
        time.sleep(0.05)


def metrics_of(group):
    return {value["name"]["tag"]: value["value"] for value in group["metricValues"]}


def logged(folder):
    """The last row of a run's metrics.csv and its test metrics: what the tab should show."""
    last = {key: value for key, value in read_metrics(folder / "metrics.csv")[-1].items() if "/" in key}
    test = json.loads((folder / "result.json").read_text())["test"]
    return last | {f"test/{name}": value for name, value in test.items()}


@pytest.mark.usefixtures("loader")
def test_hparams_of_a_sweep_every_member_has_its_row_with_settings_and_metrics(sweep, dashboard):
    with dashboard(sweep) as (_, address):
        groups = session_groups(address, 2)
        assert [group["name"] for group in groups] == [folder.name for folder in members_of(sweep)]
        experiment = ask(f"{address}{PLUGINS}/hparams/experiment", {"experimentName": ""})
        columns = {info["name"]: info for info in experiment["hparamInfos"]}
        # The union, with nothing lost: sgd has no betas, adam no momentum.
        assert columns.keys() == set().union(*(group["hparams"] for group in groups))
        assert {"optim.betas", "optim.momentum"} <= columns.keys()
        differing = {name for name, info in columns.items() if info["differs"]}
        assert differing == {"optim"}  # of max_epochs, TensorBoard keeps the first that it read
        assert next(iter(columns)) == "optim"
        assert {info["type"] for info in columns.values()} == {f"DATA_TYPE_{t}" for t in ("STRING", "FLOAT64", "BOOL")}
        shared = {"seed", "optim", "optim.lr", "model.widths", "data.shuffle", "trainer.max_steps"}
        assert all(shared <= group["hparams"].keys() for group in groups)
        last = groups[1]["hparams"]
        found = [last[key] for key in ("optim", "optim.betas", "seed", "data.shuffle", "model.widths", "optim.lr")]
        assert found == ["Adam", "[0.9, 0.999]", 0, True, "none", 0.001]
        tags = {info["name"]["tag"] for info in experiment["metricInfos"]}
        for group, folder in zip(groups, members_of(sweep), strict=True):
            expected = logged(folder)
            assert tags == expected.keys() | {"throughput/steps_per_s"}
            found = {tag: value for tag, value in metrics_of(group).items() if tag in expected}
            assert found == pytest.approx(expected, rel=1e-6)
            assert [session["name"] for session in group["sessions"]] == [folder.name]


def test_hparams_column_that_is_null_or_missing_in_some_runs_can_be_sorted_by(tmp_path, dashboard):
    """TensorBoard answers 500 where a column holds numbers and text."""
    configs = {
        "a": {"optim": {"betas": [0.9, 0.999]}, "trainer": {"grad_clip_norm": None, "max_steps": 10}},
        "b": {"optim": {"momentum": 0.9}, "trainer": {"grad_clip_norm": 1.0, "max_steps": None}},
    }
    for name, config in configs.items():
        (tmp_path / name).mkdir()
        logger = TensorBoard()
        logger.start(Run(tmp_path / name, config, nn.Linear(1, 1)))
        logger.scalars(1, {"valid/loss": 1.0}, 0.0)
        logger.close()
    with dashboard(tmp_path) as (_, address):
        session_groups(address, 2, num_metrics=1)
        for key in ("optim.betas", "optim.momentum", "trainer.grad_clip_norm", "trainer.max_steps"):
            column = {"hparam": key, "order": "ORDER_ASC"}
            groups = session_groups(address, 2, num_metrics=1, columns=[column])
            assert {group["name"] for group in groups} == {"a", "b"}


@pytest.mark.usefixtures("loader")
def test_hparams_of_one_run_are_shown_under_its_name_with_its_metrics(sweep, dashboard):
    folder = members_of(sweep)[0]
    with dashboard(folder) as (_, address):
        (group,) = session_groups(address, 1)
        assert group["name"] == folder.name
        assert metrics_of(group)["test/loss"] == pytest.approx(logged(folder)["test/loss"])
        for tag, num_points in (("valid/loss", 3), ("test/loss", 2)):  # it was tested at the end of each training
            place = f"run={quote(folder.name)}&tag={tag}"
            series = ask(f"{address}{PLUGINS}/scalars/scalars?{place}")
            assert len({step for _, step, _ in series}) == len(series) == num_points


@pytest.mark.usefixtures("loader")
def test_custom_scalars_of_a_sweep_has_each_chart_once_and_aggregates_their_band(sweep, dashboard):
    with dashboard(sweep) as (_, address):
        session_groups(address, 2)
        deadline = time.monotonic() + 10
        while len(categories := ask(f"{address}{PLUGINS}/custom_scalars/layout")["category"]) < 3:
            assert time.monotonic() < deadline, categories
        charts = {category["title"]: [chart["title"] for chart in category["chart"]] for category in categories}
        assert charts == {
            "train and valid": ["loss", "accuracy"],
            "all runs": ["valid/loss", "valid/accuracy", "train/loss", "train/accuracy"],
            "groups: mean and 95 % interval": ["train/loss", "valid/loss"],
        }
        tags = ask(f"{address}{PLUGINS}/scalars/tags")
        three = ("mean", "lower", "upper")
        expected = {f"{split}/loss/{name}" for split in ("train", "valid") for name in three}
        for name, folder in zip(("sgd", "adam"), members_of(sweep), strict=True):
            run = f"aggregate/optim={name}"
            assert tags[run].keys() == expected
            losses = [row["valid/loss"] for row in read_metrics(folder / "metrics.csv")]
            place = f"run={quote(run)}&tag=valid/loss/mean"
            served = ask(f"{address}{PLUGINS}/scalars/scalars?{place}")
            assert [value for _, _, value in served] == pytest.approx(losses, rel=1e-6)


def test_hparams_tab_in_a_browser_shows_settings_and_metrics_of_all_members(sweep, dashboard, chromium):
    tests = {f"{logged(folder)['test/loss']:#.5g}" for folder in members_of(sweep)}
    with dashboard(sweep) as (_, address):
        session_groups(address, 2)
        expected = {"optim", "Adam", "SGD", "test/loss", "test/accuracy"} | tests
        assert chromium.shown(f"{address}#hparams", expected, timeout_s=20) == expected
        bands = {"groups: mean and 95 % interval", "aggregate/optim=adam", "all runs"}
        assert chromium.shown(f"{address}#custom_scalars", bands, timeout_s=20) == bands

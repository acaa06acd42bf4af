"""MLflow's own client reads back what was logged; without MLflow the message says what to install."""

import json
import sys
import warnings
from contextlib import chdir

import numpy as np
import pytest
from torch import nn

from nnlab.cli import main
from nnlab.figure import confusion_matrix, png
from nnlab.logger import Histogram, Image, MLflow, Run

CONFIG = {"seed": 3, "optim": {"_target_": "torch.optim.SGD", "lr": 0.5}, "trainer": {"max_steps": None}, "name": "x"}


def test_train_without_mlflow_is_refused_with_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert main(["train", "data=iris", "logger=[mlflow]"]) == 2
    error = capsys.readouterr().err
    assert "logger.mlflow: needs mlflow" in error
    assert "pip install 'nnlab[mlflow]'" in error
    assert not (tmp_path / "mlflow.db").exists()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A working directory with a store of its own: to make its tables takes seconds, once."""
    pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'nnlab[mlflow]'")
    folder = tmp_path_factory.mktemp("mlflow")
    with chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what MLflow says of its own dependencies
        yield folder


def client():
    import mlflow

    return mlflow.MlflowClient("sqlite:///mlflow.db")


def started(folder, resumed_at=None, history=(), experiment="nnlab"):
    logger = MLflow(experiment)
    logger.start(Run(folder, CONFIG, nn.Linear(2, 1), resumed_at, history))
    return logger


def run_of(folder):
    return client().get_run(json.loads((folder / "mlflow.json").read_text())["run_id"])


def points(folder, key):
    history = client().get_metric_history(run_of(folder).info.run_id, key)
    return sorted((metric.step, metric.value) for metric in history)


@pytest.fixture
def folder(store, tmp_path):
    path = tmp_path / "2026-01-31_12-00-00"
    path.mkdir()
    return path


def test_run_settings_scalars_and_pictures_are_read_back(folder):
    logger = started(folder, experiment="blobs")
    for step in (10, 20):
        logger.scalars(step, {"train/loss": step / 4, "valid/loss": float("nan")}, 1000.0 + step)
    picture, width, height = png(confusion_matrix(np.eye(2, dtype=int), ["a", "b"], "a run"))
    logger.media(20, "figures/confusion", Image(picture, width, height))
    logger.media(20, "weights", Histogram(np.arange(3.0)))
    logger.close()
    run = run_of(folder)
    assert run.info.run_name == folder.name
    assert client().get_experiment(run.info.experiment_id).name == "blobs"
    assert run.data.params == {"seed": "3", "optim": "SGD", "optim.lr": "0.5", "trainer.max_steps": "none"}
    assert run.data.tags["nnlab.folder"] == str(folder)
    history = client().get_metric_history(run.info.run_id, "train/loss")
    assert [(m.step, m.value, m.timestamp) for m in history] == [(10, 2.5, 1_010_000), (20, 5.0, 1_020_000)]
    assert np.isnan(points(folder, "valid/loss")[0][1])
    (artifact,) = client().list_artifacts(run.info.run_id, "figures/confusion")
    assert artifact.path == "figures/confusion/00000020.png"
    assert artifact.file_size == len(picture)
    assert client().list_artifacts(run.info.run_id, "weights") == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("completed", "FINISHED"),
        ("early_stopped", "FINISHED"),
        ("diverged", "FAILED"),
        ("failed", "FAILED"),
        ("interrupted", "KILLED"),
        ("preempted", "KILLED"),
    ],
)
def test_end_status_is_the_runs_status(folder, status, expected):
    logger = started(folder)
    assert run_of(folder).info.status == "RUNNING"
    logger.end(status)
    logger.close()
    logger.close()
    assert run_of(folder).info.status == expected


def test_resumed_run_goes_on_as_the_same_run_and_nothing_is_doubled(folder):
    first = started(folder)
    for step in (10, 20, 30):
        first.scalars(step, {"train/loss": float(step)}, 0.0)
    first.sync()  # and then it is killed
    run_id = run_of(folder).info.run_id
    history = [(5, {"train/loss": 5.0}), (10, {"train/loss": 10.0})]
    second = started(folder, resumed_at=10, history=history)
    assert run_of(folder).info.status == "RUNNING"
    for step in (20, 30, 40):
        second.scalars(step, {"train/loss": float(step)}, 7.0)
    second.end("completed")
    second.close()
    assert run_of(folder).info.run_id == run_id
    assert points(folder, "train/loss") == [(step, float(step)) for step in (5, 10, 20, 30, 40)]
    assert run_of(folder).info.status == "FINISHED"


@pytest.mark.parametrize("content", ['{"run_id": "0123456789abcdef0123456789abcdef"}', "{", '{"run_id": "../x"}'])
def test_resumed_run_that_the_store_does_not_have_begins_another_and_says_so(folder, content, caplog):
    (folder / "mlflow.json").write_text(content)
    logger = started(folder, resumed_at=10, history=[(10, {"train/loss": 1.0})])
    logger.close()
    assert "logger.mlflow: a new run is begun" in caplog.text
    assert points(folder, "train/loss") == [(10, 1.0)]


def test_scalars_more_than_a_request_takes_arrive_all(folder):
    logger = started(folder)
    logger.scalars(1, {f"trace/{number}": float(number) for number in range(2500)}, 0.0)
    logger.close()
    assert len(run_of(folder).data.metrics) == 2500


def test_train_store_that_does_not_answer_costs_the_logger_never_the_run(store, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert main(["train", "data=iris", "logger=[mlflow]", "trainer.dry_run=true", "trainer.threads=1"]) == 0
    assert "logger MLflow failed" in capsys.readouterr().out

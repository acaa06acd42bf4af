"""Runs in an MLflow store; needs the extra ``mlflow``."""

import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, final

from nnlab.folder import FolderError, read_json, write_json
from nnlab.logger.base import Histogram, Logger, Media, Run
from nnlab.logger.hyperparameters import hyperparameters

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

log = logging.getLogger("nnlab")
Item = TypeVar("Item")

#: in the run's folder: which MLflow run it is
MLFLOW_FILE = "mlflow.json"
FLUSH_EVERY_S = 2.0
#: how many MLflow takes in one request
_MOST_METRICS, _MOST_PARAMETERS = 1000, 100
#: what MLflow does unless the user's environment says otherwise: it stays quiet, tells its makers nothing, and gives a
#: server up that does not answer before minutes have passed
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
_STATUS = {
    "completed": "FINISHED",
    "early_stopped": "FINISHED",
    "diverged": "FAILED",
    "failed": "FAILED",
    "interrupted": "KILLED",
    "preempted": "KILLED",
}


@final
class MLflow(Logger):
    """Sends settings, scalars and pictures to MLflow.

    The store is what ``MLFLOW_TRACKING_URI`` names, else ``mlflow.db`` in the working directory, which `mlflow ui`
    shows. It never comes from a config: a run folder from elsewhere can send nothing anywhere. Histograms are left out,
    since MLflow has none.

    A resumed run goes on as the same MLflow run, which ``mlflow.json`` in its folder names. MLflow takes nothing back:
    what the earlier process logged after the checkpoint stays, and is what this one comes to as well, so it is not sent
    twice. Settings stay as they were at first.

    Args:
        experiment: the MLflow experiment that the run belongs to; made if it is absent.

    Raises:
        ValueError: if mlflow cannot be imported.
    """

    def __init__(self, experiment: str) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:  # here, since it takes seconds, which are none of the training's
            import mlflow  # noqa: F401
        except ImportError as error:
            raise ValueError(f"needs mlflow ({error}): pip install 'nnlab[mlflow]'") from None
        self._experiment = experiment
        self._client: MlflowClient | None = None
        self._run_id = ""
        self._there: set[tuple[int, str]] = set()
        self._held: list[Metric] = []
        self._flushed_s = 0.0
        self._status = "FINISHED"

    def start(self, run: Run) -> None:
        """Open a new MLflow run with the settings, or the one of the process before.

        Raises:
            mlflow.exceptions.MlflowException: if the store does not answer or refuses.
        """
        self._client = _connect()
        if not self._reopen(run.folder):
            self._open(run)
        for step, scalars in run.history:
            self.scalars(step, scalars, time.time())
        self._flush()
        log.info("mlflow run %s in %s", self._run_id, self._client.tracking_uri)

    def scalars(self, step: int, values: Mapping[str, float], time_s: float) -> None:
        """Send named numbers, at the latest 2 s later with the next ones; MLflow stores infinities as its largest."""
        from mlflow.entities import Metric

        new = {tag: value for tag, value in values.items() if (step, tag) not in self._there}
        self._held += [Metric(tag, value, round(time_s * 1000), step) for tag, value in new.items()]
        if time.monotonic() - self._flushed_s >= FLUSH_EVERY_S or len(self._held) >= _MOST_METRICS:
            self._flush()

    def media(self, step: int, tag: str, item: Media) -> None:
        """Store a picture as ``<tag>/<step>.png`` among the run's artifacts."""
        if isinstance(item, Histogram):
            return
        assert self._client is not None, "start() comes first"
        with tempfile.TemporaryDirectory(prefix="nnlab-mlflow-") as folder:
            path = Path(folder) / f"{step:08d}.png"
            path.write_bytes(item.png)
            self._client.log_artifact(self._run_id, str(path), tag)

    def sync(self) -> None:
        """Send what is held back."""
        self._flush()

    def end(self, status: str) -> None:
        """Remember how the run ended, for ``close``."""
        self._status = _STATUS.get(status, "FINISHED")

    def close(self) -> None:
        """Send what is held back and set the run's status."""
        if self._client is None:
            return
        self._flush()
        self._client.set_terminated(self._run_id, self._status)
        self._client = None

    def _reopen(self, folder: Path) -> bool:
        """Go on with the MLflow run that the folder names, if there is one and the store has it."""
        from mlflow.exceptions import MlflowException

        assert self._client is not None
        path = folder / MLFLOW_FILE
        if not path.exists():
            return False
        try:
            run_id = str(read_json(path).get("run_id"))
            run = self._client.get_run(run_id)
            self._client.update_run(run_id, status="RUNNING")
        except (FolderError, MlflowException) as error:
            log.warning("logger.mlflow: a new run is begun, since the one of %s cannot be had: %s", path, error)
            return False
        self._run_id = run_id
        histories = [self._client.get_metric_history(run_id, key) for key in run.data.metrics]
        self._there = {(metric.step, metric.key) for history in histories for metric in history}
        return True

    def _open(self, run: Run) -> None:
        from mlflow.entities import Param

        assert self._client is not None
        experiment = self._client.get_experiment_by_name(self._experiment)
        experiment_id = experiment.experiment_id if experiment else self._client.create_experiment(self._experiment)
        tags = {"nnlab.folder": str(run.folder)}
        self._run_id = self._client.create_run(experiment_id, tags=tags, run_name=run.folder.name or None).info.run_id
        self._there = set()
        settings = [Param(key, str(value)) for key, value in hyperparameters(run.config).items()]
        for part in _parts(settings, _MOST_PARAMETERS):
            self._client.log_batch(self._run_id, params=part)
        if run.folder.name:  # a training without a folder leaves nothing on disk
            write_json(run.folder / MLFLOW_FILE, {"run_id": self._run_id})

    def _flush(self) -> None:
        if self._client is None:
            return
        held, self._held = self._held, []
        for part in _parts(held, _MOST_METRICS):
            self._client.log_batch(self._run_id, metrics=part)
        self._flushed_s = time.monotonic()


def _connect() -> "MlflowClient":
    import mlflow

    return mlflow.MlflowClient(None if mlflow.is_tracking_uri_set() else f"sqlite:///{Path('mlflow.db').absolute()}")


def _parts(items: Sequence[Item], length: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), length):
        yield items[start : start + length]

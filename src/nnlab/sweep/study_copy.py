"""A search's trials in an Optuna storage, for people and for Optuna's own tools: a copy that nothing is read from."""

from collections.abc import Sequence
from pathlib import Path
from typing import final

import optuna
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from nnlab.folder import FolderError
from nnlab.report.search_record import Trial
from nnlab.sweep.study import Study

STUDY_FILE = "study.db"


@final
class StudyCopy:
    """Keeps a study in a storage up to date.

    Args:
        study: the search's.
        folder: the sweep's.
        url: of the storage, as Optuna reads it; None for ``study.db`` in the sweep's folder.
        name: of the study there.

    Raises:
        FolderError: if the storage cannot be opened, or has another study of this name.
    """

    def __init__(self, study: Study, folder: Path, url: str | None, name: str) -> None:
        self.url = url or f"sqlite:///{folder / STUDY_FILE}"
        self._study = study
        directions = list(study.head.direction)
        try:
            self._storage = RDBStorage(self.url)
            self._copy = optuna.create_study(
                storage=self._storage, study_name=name, directions=directions, load_if_exists=True
            )
            self._trials = list(self._copy.get_trials(deepcopy=False))
        except Exception as error:  # whatever SQLAlchemy and the driver of somebody's database raise
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise FolderError(f"{self.url}: cannot be opened as an Optuna storage ({first})") from None
        if [one.name.lower() for one in self._copy.directions] != directions:
            raise FolderError(self._taken("has other directions"))

    def begin(self, trials: Sequence[Trial]) -> None:
        """Note that trials are under way, if that was not noted before.

        Raises:
            FolderError: if the storage holds other trials under these numbers.
        """
        for trial in trials:
            frozen = self._study.frozen(trial, TrialState.RUNNING)
            if trial.number >= len(self._trials):
                self._copy.add_trial(frozen)
                self._trials = list(self._copy.get_trials(deepcopy=False))
            if self._trials[trial.number].params != frozen.params:
                raise FolderError(self._taken(f"has a trial {trial.number} of another search"))

    def end(self, trials: Sequence[Trial]) -> None:
        """Note what trials came to, if that was not noted before."""
        for trial in trials:
            known = self._trials[trial.number]
            if known.state.is_finished():
                continue
            state = TrialState.FAIL if trial.state == "failed" else TrialState.COMPLETE
            values = None if trial.state == "failed" else self._study.objectives(trial)
            self._storage.set_trial_state_values(known._trial_id, state, values)

    def close(self) -> None:
        """Give the storage's connections back."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _taken(self, what: str) -> str:
        return (
            f"{self.url}: the study {self._copy.study_name!r} {what}; hydra.sweeper.study_name or "
            "hydra.sweeper.storage chooses another place"
        )

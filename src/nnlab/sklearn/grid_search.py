"""Grid search whose candidates and folds are trained together."""

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV, ParameterGrid, check_cv
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params, indexable

from nnlab.loss.base import Loss
from nnlab.optim.stacked import stacking_key
from nnlab.sklearn.network import linear_layers
from nnlab.sklearn.training import Training, using
from nnlab.sweep.widths import Step
from nnlab.trainer.result import FitResult
from nnlab.trainer.together import Task, fit_together

#: numbers of rows and weights that wait for each other at most, over all candidates and folds: half a gigabyte
MOST_NUMBERS = 64_000_000
#: microseconds of an epoch beside its steps, alone and of each member of a stack, and of a stack's step beside its
#: arithmetic, which takes about twice what ``Step`` says (measured with 4-8-3 to 30-100-2 in stacks of 5 to 100)
ALONE_EPOCH_US = 320.0
STACKED_EPOCH_US = 70.0
STACKED_STEP_US = 250.0
STACKED_ARITHMETIC = 2.0


@final
class StackedGridSearchCV(GridSearchCV):  # type: ignore[misc]
    """``sklearn.model_selection.GridSearchCV`` that trains nnlab's estimators in stacks.

    Candidates and folds of one network, whose training rows are as many, share a stack where that is faster than one
    by one; others are trained by themselves. Nothing else differs: scores, ranks, refit and attributes are
    GridSearchCV's own. ``mean_fit_time`` has each fit's share of the time of all.

    Args:
        estimator: one of nnlab's, or what has one inside, such as a Pipeline.
        param_grid: as for GridSearchCV.
        cv: likewise.
        scoring: likewise.
        refit: likewise.
        verbose: likewise.
        error_score: likewise.
        return_train_score: likewise.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from nnlab.sklearn import MLPClassifier
        >>> classifier = MLPClassifier(hidden_layer_sizes=(8,), max_iter=40, tol=1.0, random_state=0)
        >>> search = StackedGridSearchCV(classifier, {"alpha": [0.0, 0.1]}, cv=3)
        >>> search.fit(*load_iris(return_X_y=True)).cv_results_["mean_test_score"].shape
        (2,)
    """

    def __init__(
        self,
        estimator: Any,
        param_grid: Any,
        *,
        cv: Any = 5,
        scoring: Any = None,
        refit: Any = True,
        verbose: int = 0,
        error_score: Any = np.nan,
        return_train_score: bool = False,
    ) -> None:
        super().__init__(
            estimator,
            param_grid,
            cv=cv,
            scoring=scoring,
            refit=refit,
            verbose=verbose,
            error_score=error_score,
            return_train_score=return_train_score,
        )

    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None, groups: Any = None) -> "StackedGridSearchCV":  # noqa: N803
        """Search.

        Args:
            X: shape [N, F].
            y: shape [N] or [N, O].
            sample_weight: what each row counts in ``fit`` of the estimator, [N]; None to give it none.
            groups: of the rows, for a splitter that wants them.

        Returns:
            The search itself.
        """
        given = {"sample_weight": sample_weight, "groups": groups}
        given = {name: value for name, value in given.items() if value is not None}
        rows, target = indexable(X, y)
        splitter = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        self._search = _Search(rows, target, sample_weight, list(splitter.split(rows, target, groups)))
        try:
            super().fit(X, y, **given)
            share = self._search.seconds / (len(self.cv_results_["params"]) * self.n_splits_)
            self.cv_results_["mean_fit_time"] += share
        finally:
            del self._search
        return self

    def _run_search(self, evaluate_candidates: Any) -> None:
        candidates = list(ParameterGrid(self.param_grid))
        shelf = self._search.train(self.estimator, candidates)
        with using(shelf):
            evaluate_candidates(candidates, cv=self._search)


class _Search:
    """The rows of a search and how they are split, the same every time."""

    def __init__(self, rows: Any, target: Any, sample_weight: Any, splits: Sequence[Any]) -> None:
        self._rows = rows
        self._target = target
        self._sample_weight = sample_weight
        self._splits = splits
        self.seconds = 0.0

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Any]:  # noqa: N803
        """As a splitter of scikit-learn's."""
        yield from self._splits

    def train(self, estimator: Any, candidates: Sequence[Mapping[str, Any]]) -> "_Done":
        """Train what every candidate trains on every fold."""
        began = time.perf_counter()
        gathered = _Gathered()
        # Whatever a fit warns of or fails at, GridSearchCV hears of in its turn.
        with using(gathered), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for candidate in candidates:
                for train, _ in self._splits:
                    self._gather(estimator, candidate, train)
            gathered.train()
        self.seconds = time.perf_counter() - began
        return _Done(gathered.done)

    def _gather(self, estimator: Any, candidate: Mapping[str, Any], train: Any) -> None:
        fresh = clone(estimator).set_params(**clone(candidate, safe=False))
        given = {} if self._sample_weight is None else {"sample_weight": self._sample_weight}
        rows, target = _safe_split(fresh, self._rows, self._target, train)
        try:
            fresh.fit(rows, target, **_check_method_params(self._rows, given, train))
        except Exception:
            return


class _Gathered:
    """A shelf on which trainings wait for each other."""

    def __init__(self) -> None:
        self.done: dict[bytes, Training] = {}
        self._waiting: dict[bytes, Training] = {}
        self._num_numbers = 0

    def exchange(self, key: bytes, training: Training) -> Training | None:
        """Keep a training for ``train``."""
        if key not in self.done and key not in self._waiting:
            self._waiting[key] = training
            self._num_numbers += sum(tensor.numel() for tensor in training.rows)
            if self._num_numbers > MOST_NUMBERS:
                self.train()
        return None

    def train(self) -> None:
        """Train all that wait, in stacks or one by one."""
        alone, together = _dealt(list(self._waiting.values()))
        for group in together:
            _train_together(group)
        for training in alone:
            try:
                training.run()
            except Exception as error:  # it is raised where GridSearchCV fits
                training.error = error
        for training in self._waiting.values():
            training.release()
        self.done |= self._waiting
        self._waiting, self._num_numbers = {}, 0


class _Done:
    """A shelf of trainings that are done."""

    def __init__(self, trainings: Mapping[bytes, Training]) -> None:
        self._trainings = trainings

    def exchange(self, key: bytes, training: Training) -> Training | None:
        """The training with that key, or the one given."""
        return self._trainings.get(key, training)


def _dealt(trainings: Sequence[Training]) -> tuple[list[Training], list[list[Training]]]:
    """Those to be trained alone, and stacks of the others."""
    alike: dict[str, list[Training]] = {}
    for training in trainings:
        alike.setdefault(_kind(training), []).append(training)
    alone: list[Training] = []
    stacks: list[list[Training]] = []
    for group in alike.values():
        step = _step(group[0])
        width = step.width if _can_stack(group[0]) else 1
        batches = -(-len(group[0].rows[0]) // group[0].trainer.batch_size)
        for first in range(0, len(group), width):
            part = group[first : first + width]
            if len(part) > 1 and _gains(step, len(part), batches, group[0].compiles):
                stacks.append(part)
            else:
                alone += part
    return alone, stacks


def _gains(step: Step, num_members: int, steps_per_epoch: int, compiles: bool) -> bool:
    """Whether a stack is done sooner than its members one by one: a rule on shapes, not a stopwatch."""
    if not step.is_on_cpu:
        return True
    alone_us = ALONE_EPOCH_US + steps_per_epoch * (step.compiled_us if compiles else step.lone_us)
    stacked_us = STACKED_STEP_US / num_members + STACKED_ARITHMETIC * step.arithmetic_us
    return STACKED_EPOCH_US + steps_per_epoch * stacked_us < alone_us


def _kind(training: Training) -> str:
    """What trainings must have in common to be tried as a stack; ``fit_together`` looks closer."""
    trainer = training.trainer
    shapes = [tuple(tensor.shape) for tensor in (*training.rows, *trainer.model.parameters())]
    penalty = trainer.objective.penalty.l2
    return repr((trainer.model, type(trainer.optimizer), shapes, trainer.batch_size, trainer.precision.dtype, penalty))


def _can_stack(training: Training) -> bool:
    trainer = training.trainer
    # A lower rate changes what the optimizer remembers, which a stack has in one piece.
    is_constant = training.convergence.rules.learning_rate == "constant"
    return is_constant and stacking_key(trainer.optimizer) is not None and isinstance(trainer.loss, Loss)


def _step(training: Training) -> Step:
    trainer = training.trainer
    parameters = list(trainer.model.parameters())
    shapes = [(layer.in_features, layer.out_features) for layer in linear_layers(trainer.model)]
    num_parameters = sum(parameter.numel() for parameter in parameters)
    is_on_cpu = trainer.device == torch.device("cpu")
    return Step(trainer.batch_size, shapes, num_parameters, parameters[0].element_size(), is_on_cpu)


def _train_together(trainings: Sequence[Training]) -> None:
    tasks = [Task(training.trainer, training.rows, None, stacked=True) for training in trainings]

    def ended(number: int, result: FitResult | None, error: Exception | None) -> None:
        trainings[number].result, trainings[number].error = result, error

    fit_together(tasks, ended)

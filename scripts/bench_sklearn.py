"""nnlab.sklearn's MLPClassifier beside scikit-learn's own, and its grid search beside GridSearchCV.

Both classifiers have scikit-learn's defaults, the same initial weights and the same stratified folds; each seed has
folds and weights of its own. A fit of one follows a fit of the other, which goes first takes turns, and the time is
that of `fit` alone, without scaling. An interval is Student's, over the seeds, of the mean accuracy over the folds.
Steps in C are compiled before anything is timed.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn import datasets, neural_network
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.preprocessing import StandardScaler

import bench_report as report
from nnlab.report.interval import Interval, student
from nnlab.sklearn import MLPClassifier, StackedGridSearchCV

SETS: Mapping[str, Callable[..., Any]] = {
    "digits": datasets.load_digits,
    "breast_cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine,
    "iris": datasets.load_iris,
}
WAYS: Mapping[str, type] = {"nnlab": MLPClassifier, "scikit-learn": neural_network.MLPClassifier}
RATES = [0.001, 0.003, 0.01, 0.03, 0.1]
#: (set, parameters of the classifier) -> each is searched over the learning rates
SEARCHES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "iris, defaults": ("iris", {}),
    "iris, 16-16, batches of 20": ("iris", {"hidden_layer_sizes": (16, 16), "batch_size": 20, "max_iter": 100}),
    "breast_cancer, 32": ("breast_cancer", {"hidden_layer_sizes": (32,)}),
    "digits, 30 epochs": ("digits", {"max_iter": 30}),
}


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Args:
        seeds: how many.
        folds: of each seed.
        rounds: of each grid search.
        epochs: at most; None for the defaults.
    """

    seeds: int
    folds: int
    rounds: int
    epochs: int | None

    def of(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """A classifier's parameters, with fewer epochs if that is wanted."""
        return {**parameters} if self.epochs is None else {**parameters, "max_iter": self.epochs}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument("--set", choices=[*SETS, "all"], default="all", help="default: all")
    parser.add_argument("--seeds", type=report.positive(int), default=5, help="default: 5")
    parser.add_argument("--folds", type=report.positive(int), default=5, help="default: 5")
    parser.add_argument("--rounds", type=report.positive(int), default=3, help="of the grid searches; default: 3")
    parser.add_argument("--quick", action="store_true", help="two seeds and folds, three epochs: only to see it run")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print.

    Args:
        arguments: what was typed.

    Returns:
        0, or 1 if the stacked grid search scored otherwise than GridSearchCV with the same classifier.
    """
    report.print_machine(torch.get_num_threads())
    size = Size(arguments.seeds, arguments.folds, arguments.rounds, None)
    if arguments.quick:
        size = Size(2, 2, 1, 3)
    names = list(SETS) if arguments.set == "all" else [arguments.set]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        MLPClassifier(max_iter=1).fit(np.eye(3), [0, 1, 2])  # compiles the steps
        _compare_fits(names, size)
        searches = {name: search for name, search in SEARCHES.items() if search[0] in names}
        same = [_compare_searches(name, *search, size) for name, search in searches.items()]
        return 0 if all(same) else 1


def _compare_fits(names: list[str], size: Size) -> None:
    accuracies, times = [], []
    for name in names:
        for inputs in ("raw", "scaled"):
            rights, seconds = _fits(name, inputs == "scaled", size)
            difference = student((rights["nnlab"] - rights["scikit-learn"]).tolist())
            means = [_text(student(rights[way].tolist())) for way in WAYS]
            verdict = "met" if difference.high >= 0 else "MISSED"
            accuracies.append([f"{name} {inputs}", *means, _text(difference, "+"), verdict])
            medians = {way: report.median(values) for way, values in seconds.items()}
            ratio = medians["scikit-learn"] / medians["nnlab"]
            spreads = [f"{1e3 * medians[way]:.0f} ({_milliseconds(seconds[way])})" for way in WAYS]
            times.append([f"{name} {inputs}", *spreads, ratio, report.verdict(ratio, 1, True)])
    print(f"\naccuracy on rows held out, {size.seeds} seeds of {size.folds} folds, 95 % intervals")
    report.print_table(["set", *WAYS, "difference", "at least as accurate"], accuracies)
    print("\nmilliseconds of a fit: median (smallest..largest)")
    report.print_table(["set", *WAYS, "scikit-learn / nnlab", ""], times)


def _fits(name: str, is_scaled: bool, size: Size) -> tuple[dict[str, np.ndarray], dict[str, list[float]]]:
    """The accuracy of each seed, and the seconds of every fit."""
    inputs, target = SETS[name](return_X_y=True)
    accuracies = {way: np.zeros(size.seeds) for way in WAYS}
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for seed in range(size.seeds):
        folds = StratifiedKFold(size.folds, shuffle=True, random_state=seed).split(inputs, target)
        for number, (train, test) in enumerate(folds):
            scaler = StandardScaler(with_mean=is_scaled, with_std=is_scaled).fit(inputs[train])
            rows = scaler.transform(inputs[train])
            for way in list(WAYS)[:: 1 if number % 2 else -1]:
                classifier = WAYS[way](random_state=seed, **size.of({}))
                start = time.perf_counter()
                classifier.fit(rows, target[train])
                seconds[way].append(time.perf_counter() - start)
                right = classifier.score(scaler.transform(inputs[test]), target[test])
                accuracies[way][seed] += right / size.folds
    return accuracies, seconds


def _compare_searches(name: str, set_name: str, parameters: Mapping[str, Any], size: Size) -> bool:
    inputs, target = SETS[set_name](return_X_y=True)
    inputs = StandardScaler().fit_transform(inputs)
    ways = {
        "nnlab, stacked": lambda grid, own: StackedGridSearchCV(MLPClassifier(**own), grid, cv=size.folds),
        "nnlab, GridSearchCV": lambda grid, own: GridSearchCV(MLPClassifier(**own), grid, cv=size.folds),
        "scikit-learn, GridSearchCV": lambda grid, own: GridSearchCV(
            neural_network.MLPClassifier(**own), grid, cv=size.folds
        ),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    scores: dict[str, np.ndarray] = {}
    for _ in range(size.rounds):
        for way, make in ways.items():
            search = make({"learning_rate_init": RATES}, size.of({**parameters, "random_state": 0}))
            start = time.perf_counter()
            search.fit(inputs, target)
            seconds[way].append(time.perf_counter() - start)
            scores[way] = search.cv_results_["mean_test_score"]
    medians = {way: report.median(values) for way, values in seconds.items()}
    best = medians["nnlab, stacked"]
    print(f"\ngrid search: {name}; {len(RATES)} learning rates, {size.folds} folds")
    report.print_table(
        ["way", "seconds", "spread", "/ stacked", "best accuracy"],
        [
            [way, medians[way], report.spread(seconds[way]), medians[way] / best, float(scores[way].max())]
            for way in ways
        ],
    )
    apart = float(np.abs(scores["nnlab, stacked"] - scores["nnlab, GridSearchCV"]).max())
    print(f"  largest difference of nnlab's scores: {apart:.1e}")
    return apart <= 1e-5


def _text(interval: Interval, sign: str = "") -> str:
    return f"{interval.mean:{sign}.4f} [{interval.low:{sign}.4f}, {interval.high:{sign}.4f}]"


def _milliseconds(seconds: list[float]) -> str:
    return f"{1e3 * min(seconds):.0f}..{1e3 * max(seconds):.0f}"

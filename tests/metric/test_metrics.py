"""Every metric against scikit-learn, and where scikit-learn has no answer."""

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
import yaml
from sklearn import metrics as sk
from torch import Tensor

from nnlab import metric as nnmetric
from nnlab.data.dataset import Task
from nnlab.metric import Metric, Readout

CONFIGS = Path(__file__).parents[2] / "configs" / "metric"
NAN = float("nan")


def labels(seed: int, num_classes: int, missing: int | None = None, rows: int = 200) -> tuple[Tensor, Tensor]:
    """Predicted and true codes; the class ``missing`` is never true."""
    generator = torch.Generator().manual_seed(seed)
    predicted = torch.randint(num_classes, (rows,), generator=generator)
    true = torch.where(torch.rand(rows, generator=generator) < 0.5, predicted, predicted.roll(1))
    if missing is not None:
        true = true[true != missing]
    return predicted[: len(true)], true


def binary_scores(seed: int, decimals: int, rows: int = 200) -> tuple[Tensor, Tensor]:
    """Probabilities of class 1, many of them tied where few decimals are kept."""
    generator = torch.Generator().manual_seed(seed)
    true = torch.randint(2, (rows,), generator=generator)
    score = torch.sigmoid(torch.randn(rows, generator=generator, dtype=torch.float64) + true)
    return score.round(decimals=decimals), true


def class_scores(seed: int, num_classes: int, rows: int = 200) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    true = torch.randint(num_classes, (rows,), generator=generator)
    logit = torch.randn(rows, num_classes, generator=generator, dtype=torch.float64)
    logit += torch.nn.functional.one_hot(true, num_classes)
    return logit.round().softmax(dim=-1), true


def targets(seed: int, num_targets: int, rows: int = 200) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    true = 50 * torch.randn(rows, num_targets, generator=generator) + 100
    return true + torch.randn(rows, num_targets, generator=generator) * torch.arange(1, num_targets + 1), true


def f1_binary(true: np.ndarray, predicted: np.ndarray) -> float:
    return float(sk.f1_score(true, predicted, zero_division=0))


def f1_macro(true: np.ndarray, predicted: np.ndarray) -> float:
    return float(sk.f1_score(true, predicted, average="macro", zero_division=0))


def log_loss(true: np.ndarray, probability: np.ndarray) -> float:
    return float(sk.log_loss(true, probability, labels=range(2 if probability.ndim == 1 else probability.shape[1])))


def auroc_ovr(true: np.ndarray, probability: np.ndarray) -> float:
    return float(sk.roc_auc_score(true, probability, multi_class="ovr"))


Reference = Callable[[np.ndarray, np.ndarray], float]
ROWS: list[tuple[str, Metric, Reference, tuple[Tensor, Tensor]]] = [
    ("accuracy", nnmetric.Accuracy(), sk.accuracy_score, labels(0, 2)),
    ("accuracy of 5", nnmetric.Accuracy(), sk.accuracy_score, labels(1, 5)),
    ("balanced", nnmetric.BalancedAccuracy(), sk.balanced_accuracy_score, labels(2, 2)),
    ("balanced of 5", nnmetric.BalancedAccuracy(), sk.balanced_accuracy_score, labels(3, 5)),
    ("balanced without a class", nnmetric.BalancedAccuracy(), sk.balanced_accuracy_score, labels(4, 5, missing=2)),
    ("balanced without the last", nnmetric.BalancedAccuracy(), sk.balanced_accuracy_score, labels(4, 5, missing=4)),
    ("f1 binary", nnmetric.F1("binary"), f1_binary, labels(5, 2)),
    ("f1 binary without class 1", nnmetric.F1("binary"), f1_binary, labels(6, 2, missing=1)),
    ("f1 binary without class 0", nnmetric.F1("binary"), f1_binary, labels(7, 2, missing=0)),
    ("f1 binary, nothing at all", nnmetric.F1("binary"), f1_binary, (torch.zeros(9).long(), torch.zeros(9).long())),
    ("f1 macro", nnmetric.F1("multiclass"), f1_macro, labels(8, 5)),
    ("f1 macro of 2", nnmetric.F1("multiclass"), f1_macro, labels(9, 2)),
    ("f1 macro without a class", nnmetric.F1("multiclass"), f1_macro, labels(10, 5, missing=3)),
    ("f1 macro of 1", nnmetric.F1("multiclass"), f1_macro, (torch.ones(9).long(), torch.ones(9).long())),
    ("auroc", nnmetric.AUROC(), sk.roc_auc_score, binary_scores(11, 12)),
    ("auroc with ties", nnmetric.AUROC(), sk.roc_auc_score, binary_scores(12, 1)),
    ("auroc all tied", nnmetric.AUROC(), sk.roc_auc_score, binary_scores(13, 0)),
    ("auroc of 4", nnmetric.AUROC(), auroc_ovr, class_scores(14, 4)),
    ("log loss", nnmetric.LogLoss(), log_loss, binary_scores(15, 12)),
    ("log loss at 0 and 1", nnmetric.LogLoss(), log_loss, binary_scores(16, 0)),
    ("log loss of 4", nnmetric.LogLoss(), log_loss, class_scores(17, 4)),
    ("log loss of one class", nnmetric.LogLoss(), log_loss, (torch.full((5,), 0.3), torch.zeros(5).long())),
    ("mae", nnmetric.MAE(), sk.mean_absolute_error, targets(18, 1)),
    ("mae of 3", nnmetric.MAE(), sk.mean_absolute_error, targets(19, 3)),
    ("rmse", nnmetric.RMSE(), sk.root_mean_squared_error, targets(20, 1)),
    ("rmse of 3", nnmetric.RMSE(), sk.root_mean_squared_error, targets(21, 3)),
    ("r2", nnmetric.R2(), sk.r2_score, targets(22, 1)),
    ("r2 of 3", nnmetric.R2(), sk.r2_score, targets(23, 3)),
]


@pytest.mark.parametrize(("metric", "reference", "rows"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_value_on_random_rows_equals_sklearn(metric: Metric, reference: Reference, rows: tuple[Tensor, Tensor]) -> None:
    output, target = rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's remarks on missing classes
        expected = reference(target.double().numpy() if target.is_floating_point() else target.numpy(), output.numpy())
    value = metric(output, target)
    assert value.shape == ()
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(expected, rel=1e-6 if output.dtype == torch.float32 else 1e-12)


def test_log_loss_of_sure_and_wrong_float32_is_clipped_as_in_sklearn() -> None:
    probability, target = torch.tensor([0.0, 1.0, 1.0]), torch.tensor([1, 0, 1])
    expected = sk.log_loss(target.numpy(), probability.numpy())
    assert nnmetric.LogLoss()(probability, target).item() == pytest.approx(expected, rel=1e-6)
    assert expected == pytest.approx(-2 / 3 * np.log(np.finfo(np.float32).eps), rel=1e-3)


ONE = torch.ones(6).long()


@pytest.mark.parametrize(
    ("metric", "output", "target", "expected"),
    [
        (nnmetric.AUROC(), torch.linspace(0, 1, 6), ONE, NAN),
        (nnmetric.AUROC(), torch.linspace(0, 1, 6), 0 * ONE, NAN),
        (nnmetric.AUROC(), torch.tensor([0.2, NAN]), torch.tensor([0, 1]), NAN),
        (nnmetric.AUROC(), torch.eye(3)[[0, 1, 0, 1]], torch.tensor([0, 1, 0, 1]), NAN),  # class 2 does not occur
        (nnmetric.R2(), torch.rand(6, 1), torch.full((6, 1), 0.1), NAN),
        (nnmetric.R2(), torch.full((6, 1), 0.1), torch.full((6, 1), 0.1), NAN),
        (nnmetric.R2(), torch.rand(6, 2), torch.stack([torch.arange(6.0), torch.ones(6)], dim=-1), NAN),
        (nnmetric.R2(), torch.rand(1, 1), torch.rand(1, 1), NAN),
        (nnmetric.LogLoss(), torch.tensor([NAN, 0.5]), torch.tensor([0, 1]), NAN),
        (nnmetric.MAE(), torch.tensor([[NAN]]), torch.tensor([[1.0]]), NAN),
        (nnmetric.Accuracy(), ONE, ONE, 1.0),
        (nnmetric.BalancedAccuracy(), ONE, ONE, 1.0),
        (nnmetric.BalancedAccuracy(), 0 * ONE, ONE, 0.0),
        (nnmetric.F1("binary"), ONE, ONE, 1.0),
        (nnmetric.F1("binary"), 0 * ONE, ONE, 0.0),
    ],
)
def test_value_on_degenerate_rows_is_stated_without_raising(
    metric: Metric, output: Tensor, target: Tensor, expected: float
) -> None:
    assert metric(output, target).item() == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("readout", "num_outputs"),
    [(Readout("binary", "logit"), 1), (Readout("multiclass", "logit"), 4), (Readout("regression", "value"), 2)],
    ids=["binary", "multiclass", "regression"],
)
def test_leading_run_axis_gives_each_run_its_own_value(readout: Readout, num_outputs: int) -> None:
    torch.manual_seed(0)
    prediction = torch.randn(3, 50, num_outputs).round(decimals=1)
    truth = torch.randn(50, 2) if readout.task == "regression" else torch.arange(50) % max(2, num_outputs)
    fitting = [metric for metric in dict.fromkeys(row[1] for row in ROWS) if readout.task in metric.tasks]
    assert len(fitting) >= 3
    for metric in fitting:
        output = readout.read(metric.reads, prediction)
        together = metric(output, truth.expand(3, *truth.shape))
        alone = torch.stack([metric(output[run], truth) for run in range(3)])
        torch.testing.assert_close(together, alone, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("task", "names"), [("regression", ["rmse", "r2"]), ("binary", ["accuracy"]), ("multiclass", ["accuracy"])]
)
def test_auto_gives_the_tasks_metrics(task: Task, names: list[str]) -> None:
    chosen = nnmetric.auto(task)
    assert [metric.name for metric in chosen] == names
    assert all(task in metric.tasks for metric in chosen)


FILES = sorted(CONFIGS.glob("*.yaml"))


def test_option_files_are_all_found() -> None:
    assert len(FILES) == 9


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_option_file_names_its_metric(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    assert list(content) == [path.stem]
    node = content[path.stem]
    module, name = node.pop("_target_").rsplit(".", 1)
    assert (module, node) == ("nnlab.metric", {})
    target = getattr(nnmetric, name)
    # The builder passes the task to what asks for it; nothing else may be needed.
    needs_task = "task" in inspect.signature(target).parameters
    if name == "auto":
        assert needs_task
        return
    metric = target(task="binary") if needs_task else target()
    assert metric.name == path.stem
    assert metric.tasks <= set(get_args(Task))
    assert metric.greater_is_better == (path.stem not in ("log_loss", "mae", "rmse"))

"""What the losses refuse, what fits which task, the penalties and the defaults in YAML."""

import inspect
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from nnlab import loss as nnloss
from nnlab.data.dataset import Task

CONFIGS = Path(__file__).parents[2] / "configs" / "loss"


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: nnloss.Huber(0), "loss.delta"),
        (lambda: nnloss.Huber(float("nan")), "loss.delta"),
        (lambda: nnloss.SmoothL1(-0.1), "loss.beta"),
        (lambda: nnloss.CrossEntropy(-0.1), "loss.label_smoothing"),
        (lambda: nnloss.CrossEntropy(1.1), "loss.label_smoothing"),
        (lambda: nnloss.CrossEntropy(0.0, [1.0, -1.0]), "loss.class_weight"),
        (lambda: nnloss.CrossEntropy(0.0, [0.0, 0.0]), "loss.class_weight"),
        (lambda: nnloss.CrossEntropy(0.0, [1.0, float("nan")]), "loss.class_weight"),
        (lambda: nnloss.CrossEntropy(0.0, [1.0, 2.0])(torch.zeros(4, 3), torch.zeros(4).long()), "loss.class_weight"),
        (lambda: nnloss.CrossEntropy(0.0, [1, 2])(torch.zeros(2, 4, 3), torch.zeros(2, 4).long()), "loss.class_weight"),
        (lambda: nnloss.BCE([1.0]), "loss.class_weight"),
        (lambda: nnloss.BCE([1.0, 2.0, 3.0]), "loss.class_weight"),
        (lambda: nnloss.BCE([-1.0, 2.0]), "loss.class_weight"),
        (lambda: nnloss.Polynomial([]), "loss.coefficients"),
        (lambda: nnloss.Polynomial([1.0, float("nan")]), "loss.coefficients"),
        (lambda: nnloss.auto("regression", [1.0]), "loss.class_weight"),
        (lambda: nnloss.auto("binary", [1.0, 1.0, 1.0]), "loss.class_weight"),
        (lambda: nnloss.Penalty(l1=-1.0), "loss.l1"),
        (lambda: nnloss.Penalty(l2=float("nan")), "loss.l2"),
    ],
)
def test_argument_out_of_range_names_its_key(make, key: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=f"^{key}: expected .* found "):
        make()


def test_class_weight_of_zero_leaves_a_class_out() -> None:
    logit, target = torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([0, 1])
    expected = np.log(1 + np.exp(2.0))  # of the second row alone
    assert nnloss.CrossEntropy(0.0, [0.0, 5.0])(logit, target).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("task", "expected"),
    [("regression", nn.MSELoss), ("binary", nn.BCEWithLogitsLoss), ("multiclass", nn.CrossEntropyLoss)],
)
def test_auto_gives_the_tasks_loss_with_torchs_defaults(task: Task, expected: type[nn.Module]) -> None:
    torch.manual_seed(0)
    prediction = torch.randn(8, 3 if task == "multiclass" else 1)
    target = torch.randint(2, (8,)) if task == "multiclass" else torch.randint(2, (8, 1)).float()
    loss = nnloss.auto(task)
    assert task in loss.tasks
    torch.testing.assert_close(loss(prediction, target), expected()(prediction, target))


def test_auto_passes_class_weights_on() -> None:
    prediction, target = torch.randn(8, 3), torch.arange(8) % 3
    expected = nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 3.0]))(prediction, target)
    torch.testing.assert_close(nnloss.auto("multiclass", [1.0, 2.0, 3.0])(prediction, target), expected)


@pytest.mark.parametrize(
    ("name", "tasks", "reads"),
    [
        ("MSE", {"regression", "binary"}, "value"),
        ("HalfMSE", {"regression", "binary"}, "value"),
        ("L1", {"regression", "binary"}, "value"),
        ("Huber", {"regression", "binary"}, "value"),
        ("SmoothL1", {"regression", "binary"}, "value"),
        ("BCE", {"binary"}, "logit"),
        ("BCEProbability", {"binary"}, "probability"),
        ("CrossEntropy", {"multiclass"}, "logit"),
        ("Hinge", {"binary"}, "score"),
        ("Polynomial", {"regression"}, "value"),
    ],
)
def test_task_and_reading_of_each_loss_are_stated(name: str, tasks: set[str], reads: str) -> None:
    loss = getattr(nnloss, name)
    assert (loss.tasks, loss.reads) == (frozenset(tasks), reads)
    assert loss.tasks <= set(get_args(Task))


def test_penalty_equals_formula_and_leaves_zero_factors_out() -> None:
    weights = [torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0]])]
    assert nnloss.Penalty(l1=0.1, l2=0.5)(weights).item() == pytest.approx(0.1 * 6 + 0.5 / 2 * 14)
    assert nnloss.Penalty(l1=0.1)(weights).item() == pytest.approx(0.6)
    assert nnloss.Penalty(l2=0.5)(weights).item() == pytest.approx(3.5)
    assert (bool(nnloss.Penalty()), bool(nnloss.Penalty(l1=0.1)), bool(nnloss.Penalty(l2=0.1))) == (False, True, True)


#: torch's module with the same meaning, whose defaults the YAML repeats
TORCH = {"huber": nn.HuberLoss, "smooth_l1": nn.SmoothL1Loss, "cross_entropy": nn.CrossEntropyLoss}
FILES = sorted(CONFIGS.glob("*.yaml"))


def test_option_files_are_all_found() -> None:
    assert len(FILES) == 11


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_option_file_binds_to_its_target_with_torchs_defaults(path: Path) -> None:
    keys = yaml.safe_load(path.read_text())
    module, name = keys.pop("_target_").rsplit(".", 1)
    assert module == "nnlab.loss"
    assert (keys.pop("l1"), keys.pop("l2")) == (0.0, 0.0)
    target = getattr(nnloss, name)
    assert list(keys) == [key for key in inspect.signature(target).parameters if key != "task"]
    if path.stem in TORCH:
        defaults = inspect.signature(TORCH[path.stem]).parameters
        torch_name = {"class_weight": "weight"}
        assert keys == {key: defaults[torch_name.get(key, key)].default for key in keys}
    if name != "auto":
        assert isinstance(target(**keys), nnloss.Loss)

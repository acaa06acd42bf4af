"""Metrics of rows that come in parts are those of all rows at once."""

import pytest
import torch

from nnlab.metric import AUROC, F1, MAE, R2, RMSE, Accuracy, BalancedAccuracy, LogLoss

SIZES = [(1000,), (1, 999), (400, 3, 597), (250, 250, 250, 250)]


def rows(reads, num_classes, runs):
    random = torch.Generator().manual_seed(0)
    shape = (*runs, 1000)
    target = torch.randint(num_classes, shape, generator=random).sort(dim=-1).values  # parts hold different classes
    if reads == "label":
        return torch.randint(num_classes, shape, generator=random), target
    if num_classes == 2:
        return torch.rand(shape, generator=random), target
    return torch.rand((*shape, num_classes), generator=random).softmax(dim=-1), target


CASES = {
    "accuracy": (Accuracy(), 3),
    "balanced accuracy": (BalancedAccuracy(), 4),
    "f1 of two": (F1("binary"), 2),
    "f1 of several": (F1("multiclass"), 4),
    "log loss of two": (LogLoss(), 2),
    "log loss of several": (LogLoss(), 4),
}


def of_parts(metric, output, target, sizes, axis):
    parts = [
        metric.part(*pair) for pair in zip(output.split(sizes, dim=axis), target.split(sizes, dim=axis), strict=True)
    ]
    whole = parts[0]
    for part in parts[1:]:
        whole = metric.merged(whole, part)
    return metric.of_part(whole)


@pytest.mark.parametrize("runs", [(), (3,)], ids=["alone", "of runs"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize(("metric", "num_classes"), CASES.values(), ids=CASES)
def test_metric_of_classes_in_parts_is_that_of_all_rows(metric, num_classes, sizes, runs):
    output, target = rows(metric.reads, num_classes, runs)
    found = of_parts(metric, output, target, sizes, len(runs))
    torch.testing.assert_close(found, metric(output, target), rtol=1e-12, atol=0)


@pytest.mark.parametrize("runs", [(), (3,)], ids=["alone", "of runs"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("metric", [R2(), MAE(), RMSE()], ids=lambda metric: metric.name)
def test_metric_of_values_in_parts_is_that_of_all_rows(metric, sizes, runs):
    random = torch.Generator().manual_seed(0)
    target = torch.randn((*runs, 1000, 2), generator=random, dtype=torch.float64) + 50  # far from zero for its spread
    output = target + torch.randn(target.shape, generator=random, dtype=torch.float64)
    found = of_parts(metric, output, target, sizes, len(runs))
    torch.testing.assert_close(found, metric(output, target), rtol=1e-11, atol=0)


def test_r2_in_parts_is_not_defined_for_a_constant_target_and_only_then():
    constant, other = torch.full((10, 1), 0.1), torch.full((10, 1), 0.2)
    output = torch.zeros(20, 1)
    assert of_parts(R2(), output, torch.cat([constant, constant]), [10, 10], 0).isnan()
    assert of_parts(R2(), output, torch.cat([constant, other]), [10, 10], 0).isfinite()


def test_metric_that_sees_all_rows_at_once_says_so():
    assert AUROC().part(torch.tensor([0.1, 0.9]), torch.tensor([0, 1])) is None
    with pytest.raises(NotImplementedError, match="AUROC sees all rows at once"):
        AUROC().of_part(torch.tensor(0.0))

"""When training is asked to stop, and why."""

import math

import pytest
from torch import nn

from nnlab.callback import EarlyStopping, FitView
from nnlab.trainer.sinks import Sinks

NAN = math.nan
NOWHERE = Sinks(None, [], [], "")


METRICS = ("train/loss", "valid/loss", "train/score", "valid/score")


def view(monitor: str = "valid/loss", score_grows: bool = False) -> FitView:
    growing = frozenset({"score"} if score_grows else ())
    return FitView(nn.Linear(1, 1), NOWHERE, monitor, num_epochs=9, num_steps=90, metrics=METRICS, growing=growing)


def stopped_after(callback: EarlyStopping, values: list[float], watched: FitView, tag: str) -> int | None:
    callback.on_fit_start(watched)
    for epoch, value in enumerate(values, 1):
        if callback.on_evaluation(watched, epoch, 10 * epoch, {tag: value}) is not None:
            return epoch
    return None


@pytest.mark.parametrize(
    ("patience", "min_delta", "values", "expected"),
    [
        (2, 0.0, [3, 2, 1, 0.5], None),
        (2, 0.0, [3, 2, 2, 2], 4),
        (2, 0.0, [3, 4, 2.9, 4, 2.8, 4, 4], 7),
        (1, 0.0, [3, 3], 2),
        (3, 0.0, [1, 2, 2, 2], 4),
        (2, 0.5, [3, 2.5, 2.5], 3),  # better by exactly min_delta is no improvement
        (2, 0.5, [3, 2.75, 2.25, 2, 1.9], 5),  # small steps count once they add up
        (2, 0.0, [NAN, NAN], 2),
        (2, 0.0, [3, NAN, 2, NAN, NAN], 5),
        (2, 0.0, [NAN, 1, NAN, 0.5, 0.4], None),
        (2, 0.0, [math.inf, 5, 4], None),
    ],
)
@pytest.mark.parametrize("sign", [1, -1], ids=["less is better", "more is better"])
def test_early_stopping_values_stops_after_patience_evaluations(
    patience: int, min_delta: float, values: list[float], expected: int | None, sign: int
) -> None:
    callback = EarlyStopping(patience, min_delta, None)
    watched = view("valid/score", score_grows=sign < 0)
    assert stopped_after(callback, [sign * value for value in values], watched, "valid/score") == expected


@pytest.mark.parametrize(
    ("monitor", "values", "expected"),
    [
        ("train/loss", [3, 2, 1, 2, 2], 5),
        ("valid/score", [0.1, 0.2, 0.3, 0.2, 0.2], 5),
    ],
    ids=["the loss", "a metric that grows"],
)
def test_early_stopping_own_monitor_knows_its_direction(monitor: str, values: list[float], expected: int) -> None:
    callback = EarlyStopping(2, 0.0, monitor)
    assert stopped_after(callback, values, view("train/loss", score_grows=True), monitor) == expected


def test_early_stopping_reason_names_metric_best_and_epoch() -> None:
    callback = EarlyStopping(1, 0.01, None)
    callback.on_fit_start(view())
    assert callback.on_evaluation(view(), 4, 40, {"valid/loss": 0.25}) is None
    reason = callback.on_evaluation(view(), 5, 50, {"valid/loss": 0.245})
    assert reason == (
        "valid/loss has not improved by more than 0.01 for 1 evaluations; its best was 0.25 in epoch 4"
    )  # fmt: skip


@pytest.mark.parametrize("split", range(1, 7))
def test_early_stopping_resumed_goes_on_as_if_never_interrupted(split: int) -> None:
    values = [3.0, 2.0, NAN, 1.5, 1.6, 1.7, 1.8]
    first, second = EarlyStopping(3, 0.1, None), EarlyStopping(3, 0.1, None)
    assert stopped_after(first, values[:split], view(), "valid/loss") is None
    second.load_state_dict(first.state_dict())
    assert stopped_after(second, values[split:], view(), "valid/loss") == 7 - split


def test_early_stopping_resumed_on_another_metric_starts_afresh() -> None:
    first, second = EarlyStopping(2, 0.0, "train/loss"), EarlyStopping(2, 0.0, "valid/loss")
    stopped_after(first, [0.1, 0.2], view(), "train/loss")
    second.load_state_dict(first.state_dict())
    assert stopped_after(second, [5.0, 6.0], view(), "valid/loss") is None


@pytest.mark.parametrize("monitor", ["valid/auc", "optim/lr"])
def test_early_stopping_unknown_monitor_is_refused_with_those_there_are(monitor: str) -> None:
    with pytest.raises(ValueError, match=rf"monitor: .*'{monitor}'.* there are train/loss, valid/loss, train/score"):
        EarlyStopping(1, 0.0, monitor).on_fit_start(view())


@pytest.mark.parametrize(
    ("patience", "min_delta", "key"), [(0, 0.0, "patience"), (1, -0.1, "min_delta"), (1, NAN, "min_delta")]
)
def test_early_stopping_bad_argument_is_refused_by_its_key(patience: int, min_delta: float, key: str) -> None:
    with pytest.raises(ValueError, match=f"callback.early_stopping.{key}: expected"):
        EarlyStopping(patience, min_delta, None)

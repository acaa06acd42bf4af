"""Which histograms are logged, when, and that they are copies."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from nnlab import Trainer
from nnlab.callback import FitView, Histograms
from nnlab.logger import Histogram, Logger, Media, Run
from nnlab.trainer.sinks import Sinks

Logged = list[tuple[int, str, Media]]


class Kept(Logger):
    """Keeps the media that it gets."""

    def __init__(self, items: Logged) -> None:
        self.items = items

    def start(self, run: Run) -> None: ...

    def scalars(self, step: int, values: Mapping[str, float], time_s: float) -> None: ...

    def media(self, step: int, tag: str, item: Media) -> None:
        self.items.append((step, tag, item))

    def close(self) -> None: ...


def view_of(model: nn.Module, items: Logged) -> FitView:
    return FitView(
        model,
        Sinks(None, [Kept(items)], [], ""),
        "valid/loss",
        num_epochs=9,
        num_steps=90,
        metrics=("train/loss", "valid/loss"),
        growing=frozenset(),
    )


def logged(callback: Histograms, model: nn.Module, evaluations: range) -> Logged:
    items: Logged = []
    view = view_of(model, items)
    for number in evaluations:
        assert callback.on_evaluation(view, number, 10 * number, {}) is None
    return items


@pytest.mark.parametrize(
    ("every", "expected"), [(1, [10, 20, 30, 40, 50, 60, 70]), (2, [20, 40, 60]), (3, [30, 60]), (8, [])]
)
def test_histograms_every_counts_evaluations(every: int, expected: list[int]) -> None:
    items = logged(Histograms(every), nn.Linear(2, 1), range(1, 8))
    assert sorted({step for step, _, _ in items}) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_histograms_parameters_values_and_gradients_are_those_of_the_model(dtype: torch.dtype) -> None:
    model = nn.Linear(2, 3).to(dtype)
    model.weight.grad = torch.full((3, 2), 0.5, dtype=dtype)
    items = logged(Histograms(1), model, range(1, 2))
    assert [tag for _, tag, _ in items] == ["weights/weight", "gradients/weight", "weights/bias"]
    for (_, _, item), expected in zip(items, [model.weight, model.weight.grad, model.bias], strict=True):
        assert isinstance(item, Histogram)
        np.testing.assert_array_equal(item.values, expected.detach().double().numpy())


def test_histograms_training_goes_on_what_was_logged_stays() -> None:
    model = nn.Linear(2, 1).double()
    ((_, _, item), _) = logged(Histograms(1), model, range(1, 2))
    assert isinstance(item, Histogram)
    before = item.values.copy()
    with torch.no_grad():
        model.weight.add_(1)
    np.testing.assert_array_equal(item.values, before)


def trained(callback: Histograms, max_epochs: int) -> Logged:
    items: Logged = []
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    trainer = Trainer(
        model, nn.MSELoss(), optimizer, callbacks=[callback], loggers=[Kept(items)], batch_size=3, max_epochs=max_epochs
    )
    trainer.fit((torch.ones(6, 2), torch.ones(6, 1)))
    return items


def test_histograms_training_begins_with_the_initial_weights_at_step_0() -> None:
    torch.manual_seed(0)
    initial = nn.Linear(2, 1)
    items = trained(Histograms(2), 4)
    names = [(kind, name) for name in ("weight", "bias") for kind in ("weights", "gradients")]
    assert [(step, tag) for step, tag, _ in items] == [
        (0, "weights/weight"),
        (0, "weights/bias"),
        *((step, f"{kind}/{name}") for step in (4, 8) for kind, name in names),
    ]
    for (_, _, item), expected in zip(items, [initial.weight, initial.bias], strict=False):
        assert isinstance(item, Histogram)
        np.testing.assert_array_equal(item.values, expected.detach().double().numpy())


def test_histograms_training_of_no_steps_logs_the_initial_weights_once() -> None:
    assert [(step, tag) for step, tag, _ in trained(Histograms(1), 0)] == [(0, "weights/weight"), (0, "weights/bias")]


def test_histograms_gradient_that_was_there_before_training_is_not_logged() -> None:
    model = nn.Linear(2, 1)
    model(torch.ones(1, 2)).sum().backward()
    items: Logged = []
    Histograms(1).on_fit_start(view_of(model, items))
    assert [tag for _, tag, _ in items] == ["weights/weight", "weights/bias"]


def test_histograms_resumed_training_has_its_initial_weights_already() -> None:
    items: Logged = []
    Histograms(1).on_fit_start(replace(view_of(nn.Linear(2, 1), items), resumed_at=10))
    assert items == []


def test_histograms_resumed_keeps_the_rhythm() -> None:
    first, second = Histograms(3), Histograms(3)
    logged(first, nn.Linear(1, 1), range(1, 3))
    second.load_state_dict(first.state_dict())
    assert {step for step, _, _ in logged(second, nn.Linear(1, 1), range(3, 8))} == {30, 60}


def test_histograms_every_below_one_is_refused_by_its_key() -> None:
    with pytest.raises(ValueError, match=r"callback.histograms.every: expected at least 1 evaluation, found 0"):
        Histograms(0)

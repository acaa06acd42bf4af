"""When scikit-learn's MLP stops, and how it lowers its learning rate."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from nnlab.callback.base import Callback, FitView
from nnlab.schedule.base import Schedule
from nnlab.trainer.state import copy_of

RateName = Literal["constant", "invscaling", "adaptive"]
#: an adaptive rate that is this small already ends the training instead
SMALLEST_RATE = 1e-6


@final
class Rate(Schedule):
    """A learning rate that somebody else sets between epochs.

    Args:
        now: the rate of the first epoch.
    """

    def __init__(self, now: float) -> None:
        super().__init__(unit="epoch", warmup_steps=0)
        self.now = now

    def rate(self, base_lr: float, t: int) -> float:
        """The rate as it is set; neither the optimizer's own nor the time has a part in it."""
        return self.now

    def state_dict(self) -> dict[str, Any]:
        """The rate."""
        return {"now": self.now}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        self.now = state["now"]


@dataclass(frozen=True)
class Rules:
    """What decides when a training ends.

    Args:
        tol: how much better than the best an epoch must be to count as an improvement.
        n_iter_no_change: epochs in a row without one that are put up with.
        learning_rate: ``constant``, ``invscaling`` (by samples seen) or ``adaptive`` (a fifth in place of an end).
        learning_rate_init: the rate that ``invscaling`` divides.
        power_t: its exponent.
        verbose: whether to print a line for each epoch.
    """

    tol: float
    n_iter_no_change: float
    learning_rate: RateName
    learning_rate_init: float
    power_t: float
    verbose: bool


@dataclass
class Record:
    """What a training has come to; a warm start goes on with it.

    Args:
        samples: seen so far, over all epochs.
        losses: of the epochs, as minimized.
        scores: on the rows held out; None where none are.
        best: the lowest loss, or the highest score, so far.
        waited: epochs since an improvement.
    """

    samples: int = 0
    losses: list[float] = field(default_factory=list)
    scores: list[float] | None = None
    best: float = math.inf
    waited: int = 0


@final
class Convergence(Callback):
    """Stops as scikit-learn's MLP does: after more than ``n_iter_no_change`` epochs in a row without an improvement.

    (``BaseMultilayerPerceptron._update_no_improvement_count`` of scikit-learn 1.9.)

    Args:
        rules: what decides.
        record: is kept up to date.
        rate: is lowered.
        optimizer: whose velocities go on as they are when the rate is lowered.
        samples_per_epoch: rows that an epoch goes through.
        loss_scale: what a loss as trained on is multiplied by to be scikit-learn's.
        score: of a model on rows held out, the higher the better; None to watch the training loss.
    """

    def __init__(
        self,
        rules: Rules,
        record: Record,
        rate: Rate,
        optimizer: torch.optim.Optimizer,
        samples_per_epoch: int,
        loss_scale: float,
        score: Callable[[nn.Module], float] | None,
    ) -> None:
        self.rules = rules
        self.record = record
        self.rate = rate
        self.epochs = 0
        self._optimizer = optimizer
        #: the model's state with the highest score
        self.best_state: dict[str, Tensor] | None = None
        self._samples_per_epoch = samples_per_epoch
        self._loss_scale = loss_scale
        self._score = score

    def on_evaluation(self, view: FitView, epoch: int, step: int, metrics: Mapping[str, float]) -> str | None:
        """Compare an epoch with the best so far."""
        rules, record = self.rules, self.record
        self.epochs = epoch
        record.samples += self._samples_per_epoch
        record.losses.append(metrics["train/loss"] * self._loss_scale)
        self._say(f"Iteration {epoch}, loss = {record.losses[-1]:.8f}")
        if self._score is None:
            self._compare(-record.losses[-1], -record.best)
        else:
            self._compare_score(view.model)
        if rules.learning_rate == "invscaling":
            self._set_rate(rules.learning_rate_init / (record.samples + 1) ** rules.power_t)
        if record.waited <= rules.n_iter_no_change:
            return None
        return self._stand_still()

    def _compare_score(self, model: nn.Module) -> None:
        assert self._score is not None
        assert self.record.scores is not None
        score, best = self._score(model), self.record.best
        self.record.scores.append(score)
        self._say(f"Validation score: {score:f}")
        if self._compare(score, best):
            self.best_state = copy_of(model.state_dict())

    def _compare(self, gain: float, best: float) -> bool:
        """Count the epoch; whether it is the best so far."""
        record, is_best = self.record, gain > best
        # As written in scikit-learn: a loss that is better by exactly tol counts as an improvement.
        record.waited = 0 if gain >= best + self.rules.tol else record.waited + 1
        if is_best:
            record.best = gain if record.scores is not None else -gain
        return is_best

    def _stand_still(self) -> str | None:
        rules = self.rules
        watched = "Training loss" if self._score is None else "Validation score"
        reason = f"{watched} did not improve more than tol={rules.tol:f} for {rules.n_iter_no_change} epochs in a row."
        if rules.learning_rate != "adaptive":
            self._say(f"{reason} Stopping.")
            return reason
        if self.rate.now <= SMALLEST_RATE:
            self._say(f"{reason} Learning rate too small. Stopping.")
            return reason
        self._set_rate(self.rate.now / 5)
        self.record.waited = 0
        self._say(f"{reason} Setting learning rate to {self.rate.now:f}")
        return None

    def _set_rate(self, rate: float) -> None:
        # scikit-learn's velocity has the rate in it that each gradient came with; torch multiplies the whole by the
        # rate of the moment.
        for state in self._optimizer.state.values():
            if state.get("momentum_buffer") is not None:
                state["momentum_buffer"].mul_(self.rate.now / rate)
        self.rate.now = rate

    def _say(self, text: str) -> None:
        if self.rules.verbose:
            print(text)

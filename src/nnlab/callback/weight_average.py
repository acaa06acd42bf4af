"""Averages of the weights over the training, evaluated and saved beside the plain ones."""

from collections.abc import Mapping
from typing import Any, Literal, final, get_args

import torch
from torch import Tensor, nn

from nnlab.callback.base import Callback, FitView

Kind = Literal["ema", "swa"]
After = Literal["step", "evaluation"]


@final
class WeightAverage(Callback):
    """Keeps an average of the model's weights, and looks at every evaluation how good it is.

    ``average.csv`` has the loss and the metrics of the other splits with the averaged weights, loggers get the same
    numbers behind ``average/``, and ``result.json`` those of the test split. Every checkpoint holds the average:
    ``--checkpoint average`` takes it. The training itself is not changed by a bit.

    ``ema`` is the exponential mean ``a <- decay * a + (1 - decay) * w``, which begins at the first weights that count
    (Tarvainen and Valpola, Mean teachers are better role models, 2017). ``swa`` is the plain mean of all that count
    (Polyak and Juditsky, Acceleration of stochastic approximation by averaging, 1992; Izmailov et al., Averaging
    weights leads to wider optima and better generalization, 2018).

    Buffers of floating-point numbers, such as the running statistics of batch norm, are averaged in the same way, and
    others are the newest. (Izmailov et al. compute the statistics anew by one more pass over the training rows.)

    Args:
        kind: ``ema`` or ``swa``.
        decay: of ``ema``, from 0 to 1.
        start: the part of all steps before the first weights that count, from 0 to below 1.
        after: when weights are taken: after every ``step``, or after every ``evaluation``.

    Raises:
        ValueError: for a value outside its range.
    """

    def __init__(self, kind: Kind, decay: float, start: float, after: After) -> None:
        if kind not in get_args(Kind):
            raise ValueError(f"callback.weight_average.kind: expected ema or swa, found {kind!r}")
        if after not in get_args(After):
            raise ValueError(f"callback.weight_average.after: expected step or evaluation, found {after!r}")
        if not 0 <= decay <= 1:
            raise ValueError(f"callback.weight_average.decay: expected a number from 0 to 1, found {decay}")
        if not 0 <= start < 1:
            raise ValueError(f"callback.weight_average.start: expected a number from 0 to below 1, found {start}")
        self.kind = kind
        self.decay = decay
        self.start = start
        self.after = after
        #: whether steps are done one by one
        self.every_step = after == "step"  # type: ignore[misc]
        #: the averaged state of the model, by name; empty before there is one
        self.average: dict[str, Tensor] = {}
        self.num_taken = 0

    def on_step_end(self, view: FitView, step: int, loss: Tensor) -> None:
        """Take the weights, if it is time to."""
        if self.after == "step":
            self._take(view, step)

    def on_evaluation(self, view: FitView, epoch: int, step: int, metrics: Mapping[str, float]) -> str | None:
        """Take the weights, if it is time to, and evaluate the average."""
        if self.after == "evaluation":
            self._take(view, step)
        if not self.num_taken:
            return None
        scores = view.evaluate(self.average)
        if scores:
            view.out.table_row("average", {"epoch": epoch, "step": step, **scores})
            view.out.scalars(step, {f"average/{name}": value for name, value in scores.items()})
        return None

    def on_fit_end(self, view: FitView, step: int) -> None:
        """Say what was averaged."""
        if not self.num_taken:
            view.out.say(f"no weights were averaged: they count from step {self._first(view):,} on")
            return
        of_what = f"decay {self.decay:g}" if self.kind == "ema" else f"{self.num_taken:,} weights"
        scores = view.evaluate(self.average)
        shown = f": {view.monitor} {scores[view.monitor]:.6g}" if view.monitor in scores else ""
        view.out.say(f"averaged weights ({self.kind}, {of_what}){shown}; --checkpoint average takes them")

    def state_dict(self) -> dict[str, Any]:
        """The average and how many weights are in it."""
        return {"average": dict(self.average), "num_taken": self.num_taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        self.average = {name: tensor.clone() for name, tensor in state["average"].items()}
        self.num_taken = int(state["num_taken"])

    def _first(self, view: FitView) -> int:
        return int(self.start * view.num_steps) + 1

    @torch.no_grad()
    def _take(self, view: FitView, step: int) -> None:
        if step < self._first(view):
            return
        now = _state_of(view.model)
        self.num_taken += 1
        if self.num_taken == 1:
            self.average = {name: tensor.clone() for name, tensor in now.items()}
            return
        if next(iter(self.average.values())).device != next(iter(now.values())).device:  # after a resume
            self.average = {name: tensor.to(now[name].device) for name, tensor in self.average.items()}
        weight = 1 - self.decay if self.kind == "ema" else 1 / self.num_taken
        floating = [name for name, tensor in now.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([self.average[name] for name in floating], [now[name] for name in floating], weight)
        for name in now.keys() - floating:
            self.average[name].copy_(now[name])


def _state_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}

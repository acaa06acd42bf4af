"""One training of an estimator, done at once or kept for a stack."""

import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, final

import torch
from torch import Tensor, nn

from nnlab.sklearn.convergence import Convergence
from nnlab.trainer import Trainer
from nnlab.trainer.batches import place
from nnlab.trainer.engine_choice import NotCompiledError
from nnlab.trainer.result import FitResult


class DivergedError(ValueError):
    """A training ended in numbers that are not finite."""


@final
class Training:
    """A training that is ready to begin.

    Args:
        trainer: with the model and the optimizer inside.
        rows: inputs [N, F] and target [N, …].
        convergence: watches it.
        compiles: whether steps are done by the C library where it has a form for them.
    """

    def __init__(self, trainer: Trainer, rows: tuple[Tensor, Tensor], convergence: Convergence, compiles: bool) -> None:
        self.trainer = trainer
        self.rows = rows
        self.convergence = convergence
        self.result: FitResult | None = None
        self.error: Exception | None = None
        #: after the last step, where the record has only that before it: all of L-BFGS is one step
        self.final_loss: float | None = None
        self.compiles = compiles

    def run(self) -> None:
        """Train, unless that is done.

        Raises:
            ValueError: for what the model, the optimizer or the Trainer refuses.
            DivergedError: if the numbers overflowed.
        """
        if self.result is None and self.error is None:
            self._choose_engine()
            self.result = self.trainer.fit(self.rows)
            if isinstance(self.trainer.optimizer, torch.optim.LBFGS):
                self.final_loss = self._loss_now()
        if self.error is not None:
            raise self.error
        assert self.result is not None
        if self.result.status == "diverged":
            raise DivergedError(f"{self.result.reason}; scale the inputs, or lower learning_rate_init")
        if self.result.signal is not None:
            _obey(signal.Signals(self.result.signal), self.convergence.epochs)

    def _loss_now(self) -> float:
        trainer = self.trainer
        inputs, target = (place(tensor, trainer.device, trainer.precision.dtype) for tensor in self.rows)
        with torch.no_grad():
            return float(trainer.objective(trainer.model(inputs), target))

    def _choose_engine(self) -> None:
        # The Trainer's own rule leaves short trainings to torch, for which the library may have to be compiled: here
        # the next one comes soon.
        if self.compiles:
            self.trainer.compile = "step"
            try:
                self.trainer.choose_engine(self.rows)
            except NotCompiledError:
                self.trainer.compile = "off"

    def release(self) -> None:
        """Let go of the rows, of which many trainings would hold many copies."""
        self.rows = (torch.empty(0), torch.empty(0))

    def final_model(self) -> nn.Module:
        """The trained model, in evaluation mode on the CPU: with the highest score where rows were held out."""
        model = self.trainer.model
        best = self.convergence.best_state
        if best is not None:
            model.load_state_dict(best)
        for parameter in model.parameters():
            parameter.grad = None
        return model.cpu().eval()

    def optimizer_state(self) -> dict[str, Any]:
        """What the optimizer remembers, in tensors of its own."""
        state: dict[str, Any] = self.trainer.optimizer.state_dict()
        return {
            "param_groups": [group | {"lr": self.convergence.rate.now} for group in state["param_groups"]],
            "state": {
                number: {name: v.cpu().clone() if isinstance(v, Tensor) else v for name, v in held.items()}
                for number, held in state["state"].items()
            },
        }


def _obey(received: signal.Signals, epochs: int) -> None:
    """After a signal that the training was ended by: Ctrl-C keeps what is there, as in scikit-learn's MLP."""
    if received != signal.SIGINT:
        signal.raise_signal(received)
    warnings.warn(f"Training interrupted by user after {epochs} epochs.", stacklevel=5)


class Shelf(Protocol):
    """Where trainings wait for each other, or lie when they are done."""

    def exchange(self, key: bytes, training: Training) -> Training | None:
        """Give a training away.

        Args:
            key: what it is a function of.
            training: not begun.

        Returns:
            One with that key that is done, or the one given to be done now; None if it is going to be done later.
        """


_SHELF: ContextVar[Shelf | None] = ContextVar("_SHELF", default=None)


@contextmanager
def using(shelf: Shelf) -> Iterator[None]:
    """While it lasts, estimators that are fitted give their trainings to a shelf.

    Args:
        shelf: gets them.
    """
    token = _SHELF.set(shelf)
    try:
        yield
    finally:
        _SHELF.reset(token)


def current_shelf() -> Shelf | None:
    """The shelf in use, if there is one."""
    return _SHELF.get()

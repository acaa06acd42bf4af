"""The model's parameters from time to time, of which a film is made after the training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from nnlab.callback.base import Callback, FitView

#: pictures of a film: at ten a second it lasts half a minute
MOST_FRAMES = 300
#: numbers in all copies together, which every checkpoint holds: 80 MB in float32
MOST_NUMBERS = 20_000_000


@final
@dataclass(frozen=True)
class Frame:
    """A model at one moment.

    Args:
        number: evaluations before it and with it; 0 for the start.
        epoch: finished epochs.
        step: optimizer steps done.
        numbers: parameters and running averages, as ``numbers_of`` gives them, shape [P].
    """

    number: int
    epoch: int
    step: int
    numbers: Tensor


@final
class Film(Callback):
    """Keeps a copy of the model's parameters before training, after every few evaluations and after the last one.

    A run with data of two inputs then draws its decision map (a regression, its value map) for each of them into
    ``figures/decision_film.gif``. When there would be too many copies, every second one is dropped, and from then on
    every second one is not made: what is kept depends on the number of evaluations alone.

    Args:
        every: evaluations from one copy to the next, at least 1.
        most_frames: copies at a time, from 2 to 300.

    Raises:
        ValueError: if ``every`` or ``most_frames`` is out of range.
    """

    def __init__(self, every: int, most_frames: int) -> None:
        if every < 1:
            raise ValueError(f"callback.film.every: expected at least 1 evaluation, found {every}")
        if not 2 <= most_frames <= MOST_FRAMES:
            raise ValueError(f"callback.film.most_frames: expected from 2 to {MOST_FRAMES}, found {most_frames}")
        self.every = every
        self.most_frames = most_frames
        self._num_evaluations = 0
        self._num_numbers = 0
        self._frames: list[Frame] = []

    @property
    def frames(self) -> Sequence[Frame]:
        """The copies so far, from the start on."""
        return tuple(self._frames)

    def on_fit_start(self, view: FitView) -> None:
        """Keep the initial parameters, unless the run is resumed and has them.

        Raises:
            ValueError: if the copies would need too much room.
        """
        self._num_numbers = sum(tensor.numel() for tensor in _floating(view.model))
        _check_room(self._num_numbers, self.most_frames)
        if view.resumed_at is None:
            self._frames = [Frame(0, 0, 0, numbers_of(view.model))]

    def on_evaluation(self, view: FitView, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Keep the parameters; those of the evaluation before go, unless it was their turn."""
        if not step:
            return  # a training of no steps: its start is kept already
        self._num_evaluations += 1
        stride = stride_of(self._num_evaluations, self.every, self.most_frames)
        kept = [frame for frame in self._frames if frame.number % stride == 0]
        self._frames = [*kept, Frame(self._num_evaluations, epoch, step, numbers_of(view.model))]

    def state_dict(self) -> dict[str, Any]:
        """How many evaluations there were, each copy's moment, and all copies in one tensor, shape [M, P]."""
        return {
            "num_evaluations": self._num_evaluations,
            "moments": [[frame.number, frame.epoch, frame.step] for frame in self._frames],
            "numbers": torch.stack([frame.numbers for frame in self._frames]) if self._frames else torch.empty(0),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave.

        Raises:
            ValueError: if the copies are of another model.
        """
        numbers = state["numbers"]
        moments = [(int(number), int(epoch), int(step)) for number, epoch, step in state["moments"]]
        if moments and numbers.shape != (len(moments), self._num_numbers):
            expected, found = [len(moments), self._num_numbers], list(numbers.shape)
            raise ValueError(f"expected copies of shape {expected}, found {found}")
        self._num_evaluations = int(state["num_evaluations"])
        self._frames = [Frame(*moment, copy.clone()) for moment, copy in zip(moments, numbers, strict=True)]


def stride_of(num_evaluations: int, every: int, most_frames: int) -> int:
    """How many evaluations lie between two copies, with the start and the last evaluation in any case.

    Args:
        num_evaluations: evaluations so far, at least 1.
        every: the fewest.
        most_frames: copies at a time, at least 2.

    Returns:
        ``every``, doubled until the copies are few enough.

    Example:
        >>> [stride_of(num, every=1, most_frames=5) for num in (4, 5, 8, 9)]
        [1, 2, 2, 4]
    """
    stride = every
    while 1 + -(-num_evaluations // stride) > most_frames:
        stride *= 2
    return stride


def numbers_of(model: nn.Module) -> Tensor:
    """A model's parameters and running averages, one after the other.

    Args:
        model: the model.

    Returns:
        A copy on the CPU, shape [P].
    """
    return torch.cat([tensor.reshape(-1) for tensor in _floating(model)]).cpu()


def put(model: nn.Module, numbers: Tensor) -> None:
    """Give a model the parameters and running averages that ``numbers_of`` gave.

    Args:
        model: the model.
        numbers: shape [P].
    """
    tensors = _floating(model)
    parts = torch.split(numbers, [tensor.numel() for tensor in tensors])
    with torch.no_grad():
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


def _floating(model: nn.Module) -> list[Tensor]:
    """What evaluation mode computes with: counters of batches are no part of it."""
    return [tensor.detach() for tensor in model.state_dict().values() if tensor.is_floating_point()]


def _check_room(num_numbers: int, most_frames: int) -> None:
    total = num_numbers * most_frames
    if total <= MOST_NUMBERS:
        return
    fitting = MOST_NUMBERS // num_numbers
    way = f"choose callback.film.most_frames={min(fitting, MOST_FRAMES)}, or " if fitting >= 2 else ""
    raise ValueError(
        f"callback.film: {most_frames} copies of {num_numbers:,} numbers each are {total:,} numbers, and a film may "
        f"have {MOST_NUMBERS:,}; {way}leave the film out"
    )

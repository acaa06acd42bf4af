"""A training step that reads and writes the same places in memory every time, so that it can be recorded."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from nnlab.trainer.batches import Batch


class NotStaticError(ValueError):
    """A step is not the same operations on the same memory every time, with the reason in words."""


class Feed(ABC):
    """The rows of an epoch, always in the same memory."""

    #: steps of an epoch that have all their rows
    num_whole: int
    #: the batches of the last step where it has fewer, else empty
    rest: Sequence[Batch]

    @abstractmethod
    def whole(self, counter: Tensor) -> list[Batch]:
        """The batches of the step whose number is in ``counter``, int64 [1]."""


class Work(ABC):
    """What a step does with its batches: static but for the learning rate, which it finds by the step's number."""

    def begin(self) -> None:  # noqa: B027
        """Before some steps: look at what somebody else may have changed."""

    @abstractmethod
    def step(self, batches: Sequence[Batch], counter: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Update the parameters once.

        Args:
            batches: one, or several to accumulate.
            counter: the number of the step in the epoch, int64 [1].

        Returns:
            The objective before the update, shape [] or one for each run, and the prediction for each batch.
        """

    @abstractmethod
    def end(self) -> None:
        """After the last of some steps: keep its gradient, for those who look at it."""


@final
class StaticSteps:
    """The steps of an epoch, each a function without arguments: which it is says a counter on the device.

    Args:
        work: what a step does.
        feed: the rows.
        like: tells data type and device of the objective.
    """

    def __init__(self, work: Work, feed: Feed, like: Tensor) -> None:
        self._work = work
        self._feed = feed
        self._like = like.detach()
        self._counter = torch.zeros(1, dtype=torch.int64, device=like.device)
        self.num_whole, self.num_steps = feed.num_whole, feed.num_whole + bool(feed.rest)
        #: the objective of each step of the epoch, [S] or [S, K]
        self.losses = like.new_zeros(self.num_steps)
        self._whole: list[Tensor] = []
        self._rest: list[Tensor] = []

    def go_to(self, step: int) -> None:
        """Let the next step be the one with this number, from 0."""
        self._counter.fill_(step)

    def begin(self) -> None:
        """Before some steps."""
        self._work.begin()

    def whole(self) -> None:
        """The next step, with all the rows that a step can have."""
        predictions = self._step(self._feed.whole(self._counter))
        for place, prediction in zip(self._whole, predictions, strict=False):
            place.index_copy_(0, self._counter, prediction.unsqueeze(0))
        self._counter.add_(1)

    def rest(self) -> None:
        """The last step of an epoch whose rows are fewer."""
        predictions = self._step(self._feed.rest)
        for place, prediction in zip(self._rest, predictions, strict=False):
            place.copy_(prediction)
        self._counter.add_(1)

    def end(self) -> None:
        """After the last of some steps."""
        self._work.end()

    def predictions(self, first: int, number: int) -> list[Tensor]:
        """Those for each batch of some steps of the epoch, where ``try_out`` was told to make room for them.

        Args:
            first: the number of the first step.
            number: how many.
        """
        num_whole = max(0, min(number, self.num_whole - first))
        whole = [place[step] for step in range(first, first + num_whole) for place in self._whole]
        return whole + (self._rest if number > num_whole else [])

    def try_out(self, keeps_outputs: bool, times: int) -> None:
        """Do each kind of step some times, and make room for what they give; the caller puts back what that changes.

        Args:
            keeps_outputs: whether there has to be room for the epoch's predictions.
            times: how often.
        """
        self._whole, self._rest = [], []
        for number in range(times):
            makes_room = keeps_outputs and not number
            for kind in [self.whole] * (self.num_whole > 0) + [self.rest] * bool(self._feed.rest):
                self.go_to(0)
                self.begin()
                kind()
                self.end()
                if makes_room and kind == self.whole:
                    self._whole = [p.new_empty((self.num_whole, *p.shape)) for p in self._last]
                elif makes_room:
                    self._rest = [torch.empty_like(prediction) for prediction in self._last]

    def _step(self, batches: Sequence[Batch]) -> list[Tensor]:
        value, predictions = self._work.step(batches, self._counter)
        if self.losses.shape[1:] != value.shape:
            self.losses = self._like.new_zeros((self.num_steps, *value.shape))
        with torch.no_grad():
            self.losses.index_copy_(0, self._counter, value.unsqueeze(0).to(self.losses.dtype))
        self._last = predictions
        return predictions


@dataclass(frozen=True)
class Touched:
    """What steps change and draw from, beside the parameters' gradients.

    Args:
        model: whose buffers they may change.
        tensors: what else they change, in place; at least one.
        streams: random streams beside torch's own.
        parameters: whose gradients they leave behind.
    """

    model: nn.Module
    tensors: Sequence[Tensor]
    streams: Sequence[torch.Generator]
    parameters: Sequence[nn.Parameter] = ()

    @property
    def device(self) -> torch.device:
        """Where the steps are computed."""
        return self.tensors[0].device

    @contextmanager
    def put_back(self) -> Iterator[None]:
        """What happens inside leaves everything as it was, but for what a model of a user's keeps in plain numbers."""
        layers = self.model.modules()
        places = [(layer, name, b) for layer in layers for name, b in layer._buffers.items() if b is not None]
        held = [*(buffer for *_, buffer in places), *(tensor.detach() for tensor in self.tensors)]
        kept = [tensor.clone() for tensor in held]
        grads = [parameter.grad for parameter in self.parameters]
        states = [stream.get_state() for stream in self.streams]
        try:
            with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
                yield
        finally:
            for layer, name, buffer in places:
                layer._buffers[name] = buffer
            for tensor, before in zip(held, kept, strict=True):
                tensor.copy_(before)
            for parameter, grad in zip(self.parameters, grads, strict=True):
                parameter.grad = grad
            for stream, state in zip(self.streams, states, strict=True):
                stream.set_state(state)


def streams_of(model: nn.Module) -> list[torch.Generator]:
    """The random streams of a model's layers, each once."""
    own = [getattr(layer, "generator", None) for layer in model.modules()]
    return list({id(stream): stream for stream in own if isinstance(stream, torch.Generator)}.values())

"""Doing static steps many times: by calling them, or by replaying CUDA graphs that hold many of them."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import final

import torch

from nnlab.trainer.static_step import StaticSteps, Touched

#: steps in the longest graph: enough that the host is far ahead of the device
MOST_STEPS = 32
#: as ``torch.cuda.make_graphed_callables`` does before it captures
WARM_UP_STEPS = 3


class Runner(ABC):
    """Does a step some times, and then what has to be done after the last."""

    @abstractmethod
    def run(self, number: int) -> None:
        """Do the next steps.

        Args:
            number: how many.
        """


@final
class Repeat(Runner):
    """Calls the step: what ``Replay`` does, without a CUDA device.

    Args:
        step: without arguments, the same operations on the same memory each time.
        end: likewise, after the last of some steps.
    """

    def __init__(self, step: Callable[[], None], end: Callable[[], None]) -> None:
        self._step = step
        self._end = end

    def run(self, number: int) -> None:
        """See ``Runner``."""
        for _ in range(number):
            self._step()
        self._end()


@final
class Site:
    """Where the graphs of one training are captured: they share a stream and the memory of what is made on the way.

    Whatever runs in them is first run on the same stream, as ``torch.cuda.graph`` wants it: that is when cuBLAS makes
    its workspace and autograd notes the stream of each parameter.

    Args:
        device: a CUDA device.
        streams: random streams beside torch's own, which is always told of a graph.
    """

    def __init__(self, device: torch.device, streams: Sequence[torch.Generator]) -> None:
        self._device = device
        self._streams = list(streams)
        self._side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, work: Callable[[], None]) -> None:
        """Do something on the stream of the captures.

        Args:
            work: what.
        """
        self._side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._side):
            work()
        torch.cuda.current_stream(self._device).wait_stream(self._side)

    def capture(self, work: Callable[[], None]) -> torch.cuda.CUDAGraph:
        """Record something, without doing it.

        Args:
            work: what; it has been warmed up.

        Raises:
            RuntimeError: if it cannot be recorded; torch's CUDA state is not to be relied on afterwards.
        """
        with torch.cuda.device(self._device):
            graph = torch.cuda.CUDAGraph()
            with warnings.catch_warnings():
                # Later versions of torch register a random stream at its first use, and say so.
                warnings.simplefilter("ignore")
                for stream in self._streams:
                    graph.register_generator_state(stream)
            # Other threads may copy something for TensorBoard meanwhile: what they do is not recorded, nor refused.
            try:
                with torch.cuda.graph(graph, pool=self._pool, stream=self._side, capture_error_mode="thread_local"):
                    work()
            except RuntimeError as error:
                text = "the steps could not be recorded as a CUDA graph; trainer.compile=off does without"
                raise RuntimeError(f"{text}: {error}") from error
        return graph


@final
class Replay(Runner):
    """Replays graphs of one step and of many, each captured when it is first needed.

    Args:
        step: as for ``Repeat``.
        end: likewise.
        site: where it is captured.
        num_steps: in an epoch.
    """

    def __init__(self, step: Callable[[], None], end: Callable[[], None], site: Site, num_steps: int) -> None:
        self._once = Repeat(step, end)
        self._site = site
        self._block = block_of(num_steps)
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}

    def run(self, number: int) -> None:
        """See ``Runner``."""
        for size in (*[self._block] * (number // self._block), *[1] * (number % self._block)):
            self._graph(size).replay()

    def _graph(self, size: int) -> torch.cuda.CUDAGraph:
        if size not in self._graphs:
            self._graphs[size] = self._site.capture(lambda: self._once.run(size))
        return self._graphs[size]


@final
class Program:
    """The steps of a training, ready to be done: tried out, and recorded where there is a CUDA device.

    Args:
        steps: whose ``Work`` has its rates.
        touched: what they change and draw from.
        keeps_outputs: whether predictions are kept.
    """

    def __init__(self, steps: StaticSteps, touched: Touched, keeps_outputs: bool) -> None:
        self.steps = steps
        self.keeps_outputs = keeps_outputs
        site = Site(touched.device, touched.streams) if touched.device.type == "cuda" else None
        with touched.put_back():
            if site is None:
                steps.try_out(keeps_outputs, 1)
            else:
                site.warm_up(lambda: steps.try_out(keeps_outputs, WARM_UP_STEPS))
        kinds = (steps.whole, steps.num_whole), (steps.rest, 1)
        self._whole, self._rest = (
            Repeat(kind, steps.end) if site is None else Replay(kind, steps.end, site, most) for kind, most in kinds
        )

    def run(self, first: int, number: int) -> None:
        """Do steps of an epoch.

        Args:
            first: the number of the first, from 0; that of the device's counter.
            number: how many, at least 1.
        """
        self.steps.begin()
        num_whole = max(0, min(number, self.steps.num_whole - first))
        if num_whole:
            self._whole.run(num_whole)
        if number > num_whole:
            self._rest.run(1)


def block_of(num_steps: int, most: int = MOST_STEPS) -> int:
    """The steps in a graph with which an epoch takes the fewest replays; what blocks leave over goes one by one.

    Args:
        num_steps: in an epoch.
        most: in a graph.

    Example:
        >>> block_of(10), block_of(250), block_of(64), block_of(0)
        (10, 25, 32, 1)
    """
    sizes = range(1, max(1, min(num_steps, most)) + 1)
    # Of those that take as few, one that leaves nothing over: then nothing else has to be captured.
    return min(sizes, key=lambda size: (num_steps // size + num_steps % size, num_steps % size > 0, -size))

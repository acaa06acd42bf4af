"""What torch.compile costs and saves, predicted from the operations of a step."""

from collections.abc import Sequence
from typing import Any, NamedTuple, final

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nnlab.machine import machine
from nnlab.trainer.batches import Batch
from nnlab.trainer.step import StepParts
from nnlab.trainer.trial import on_trial

#: what is computed by the same library with and without a compiler
PRODUCTS = frozenset({"mm", "addmm", "bmm", "baddbmm"})
#: More than a compiled gradient was ever seen to save (637 microseconds, of 20 residual blocks with layer norm): a
#: training that would not gain by it is not even looked at.
MOST_SAVED_US = 1000.0
#: what has to be saved, of what compiling takes
LEAST_GAIN = 1.2


class Estimate(NamedTuple):
    """Seconds that compiling takes, and that it saves over the whole training."""

    compile_s: float
    saved_s: float

    @property
    def gains(self) -> bool:
        """Whether it clearly pays."""
        return self.saved_s >= LEAST_GAIN * self.compile_s

    def __str__(self) -> str:
        return f"takes about {self.compile_s:.2g} s and would save about {self.saved_s:.2g} s"


@final
class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts torch's operations while it is on, but for those that only look at a tensor in another way."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        #: how many
        self.number = 0
        #: what they wrote, matrix products apart
        self.num_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        aliases = [returned.alias_info for returned in func._schema.returns]
        if not any(alias is not None and not alias.is_write for alias in aliases):
            self.number += 1
            if str(func).split(".")[1] not in PRODUCTS:
                self.num_bytes += sum(leaf.nbytes for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        return result

    @property
    def saved_us(self) -> float:
        """Microseconds that one program in their place saves each time."""
        known = machine()
        return self.number * known.inductor_operation_us + self.num_bytes * known.inductor_byte_ns / 1e3


def estimate(
    parts: StepParts, batches: Sequence[Batch], num_graphs: int, accumulate_steps: int, num_steps: int
) -> Estimate:
    """What a program for the gradient costs and saves; found by computing one, which leaves no trace.

    Args:
        parts: what a step needs.
        batches: of an epoch.
        num_graphs: sizes of batches, each of which has a program of its own.
        accumulate_steps: batches whose gradients make one update.
        num_steps: optimizer steps of the whole training.
    """
    known = machine()
    compile_s = known.inductor_start_s + num_graphs * known.inductor_graph_s
    num_gradients = num_steps * accumulate_steps
    most = Estimate(compile_s, num_gradients * MOST_SAVED_US / 1e6)
    if not most.gains:
        return most
    operations = Operations()
    with on_trial(parts), operations:
        parts.gradient(parts.model, parts.objective, *batches[0], parts.precision, 1)
    return Estimate(compile_s, num_gradients * operations.saved_us / 1e6)

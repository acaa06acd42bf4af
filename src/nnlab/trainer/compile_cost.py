"""What torch.compile costs and saves, predicted from the operations of a step."""

from collections.abc import Sequence
from typing import Any, final

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nnlab.machine import machine
from nnlab.trainer.batches import Batch
from nnlab.trainer.step import StepParts
from nnlab.trainer.trial import on_trial

#: what is computed by the same library with and without a compiler
PRODUCTS = frozenset({"mm", "addmm", "bmm", "baddbmm"})
#: beside which the compiler's programs were slower than torch's own operations
CONVOLUTIONS = frozenset({"convolution", "convolution_backward"})
#: what has to be saved, of what compiling takes
LEAST_GAIN = 1.2


@final
class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts torch's operations while it is on, but for those that only look at a tensor in another way."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        #: how many
        self.number = 0
        #: what they wrote, matrix products apart
        self.num_bytes = 0
        #: whether there are convolutions among them
        self.convolves = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        aliases = [returned.alias_info for returned in func._schema.returns]
        if not any(alias is not None and not alias.is_write for alias in aliases):
            name = str(func).split(".")[1]
            self.number += 1
            self.convolves = self.convolves or name in CONVOLUTIONS
            if name not in PRODUCTS:
                self.num_bytes += sum(leaf.nbytes for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        return result

    @property
    def saved_us(self) -> float:
        """Microseconds that one program in their place saves each time; below 0 if it loses."""
        known = machine()
        return self.number * known.inductor_saved_us - self.num_bytes * known.inductor_byte_ns / 1e3


def why_not_worth_it(parts: StepParts, batches: Sequence[Batch], accumulate_steps: int, num_steps: int) -> str | None:
    """Why compiling the gradient would not clearly pay, with the seconds; None if it would.

    That is found by computing one, which leaves no trace.

    Args:
        parts: what a step needs.
        batches: of an epoch.
        accumulate_steps: batches whose gradients make one update.
        num_steps: optimizer steps of the whole training.
    """
    known = machine()
    num_gradients = num_steps * accumulate_steps
    num_sizes = len({len(batches[0].inputs), len(batches[-1].inputs)})  # each has a program of its own
    # Operations have to save what they take, however many there are.
    least = LEAST_GAIN * num_sizes * known.inductor_compile_s / (known.inductor_saved_us / 1e6)
    if num_gradients < least:
        return f"torch.compile pays from {least:,.0f} gradients on, and there are {num_gradients:,} to compute"
    operations = Operations()
    try:
        with on_trial(parts), operations:
            first = batches[0]
            parts.gradient(parts.model, parts.objective, first.inputs, first.target, parts.precision, 1)
    except Exception as error:  # whatever a model of a user's raises: training raises it again, and says more
        return f"a step failed: {error}"
    if operations.convolves:
        return "torch.compile is not known to save time where there are convolutions"
    compile_s = known.inductor_start_s + num_sizes * operations.number * known.inductor_compile_s
    saved_s = max(0.0, num_gradients * operations.saved_us / 1e6)
    if saved_s < LEAST_GAIN * compile_s:
        return f"torch.compile takes about {compile_s:.2g} s and would save about {saved_s:.2g} s"
    return None

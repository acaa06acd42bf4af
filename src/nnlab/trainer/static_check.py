"""Whether a function does the same operations with the same numbers in the same memory each time it is called."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nnlab.trainer.static_step import NotStaticError, StaticSteps, Touched

#: operations whose result the host reads, whose shape depends on numbers, or that bring numbers from the host
FORBIDDEN = frozenset(
    {"_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select", "lift_fresh", "bincount"}
    | {"_unique", "_unique2", "unique_dim", "unique_consecutive", "unique_dim_consecutive"}
)


class Place(NamedTuple):
    """A tensor that was there before: where it is; for a single number on the host also which."""

    address: int
    value: Any

    def is_same(self, other: Any) -> bool:
        """Whether an operation finds there what it found before, or something that is told apart on the device."""
        if not isinstance(other, Place):
            return False
        return self.address == other.address or (self.value is not None and self.value == other.value)


class Operation(NamedTuple):
    """One of torch's operations, and all that it was given but for tensors that were made on the way."""

    name: str
    given: tuple[Any, ...]


@final
class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Takes down every operation while it is on.

    It keeps all memory that is used meanwhile, so that none is given to another tensor, until it is let go of.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self._made: set[int] = set()
        self._kept: list[torch.UntypedStorage] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = tuple(self._seen(leaf) for leaf in tree_leaves((args, kwargs or {})))
        self.operations.append(Operation(str(func), given))
        result = func(*args, **(kwargs or {}))
        before = {place.address for place in given if isinstance(place, Place)}
        results = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self._kept += [leaf.untyped_storage() for leaf in results]
        self._made |= {_address(leaf) for leaf in results} - before
        return result

    def _seen(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        self._kept.append(leaf.untyped_storage())
        about = (tuple(leaf.shape), leaf.dtype)
        if _address(leaf) in self._made:
            return about
        return Place(_address(leaf), leaf.item() if leaf.dim() == 0 and leaf.is_cpu else None)


def why_not_recorded(steps: StaticSteps, touched: Touched) -> str | None:
    """Why steps cannot be recorded once and repeated; None if they can. They are tried out, and leave no trace.

    Args:
        steps: whose ``Work`` has its rates.
        touched: what they change and draw from.
    """
    with touched.put_back():
        try:
            with _no_waiting(touched.device):
                return why_not_static(lambda: steps.try_out(False, 1))
        except NotStaticError as error:
            return str(error)
        except RuntimeError as error:
            return f"a step failed: {str(error).splitlines()[0]}"


@contextmanager
def _no_waiting(device: torch.device) -> Iterator[None]:
    """While it lasts, what makes the host wait for the device is an error."""
    if device.type != "cuda":
        yield
        return
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def why_not_static(step: Callable[[], None]) -> str | None:
    """Why a function cannot be recorded once and repeated; None where nothing speaks against it.

    It is called three times: the first time may prepare something.

    Args:
        step: without arguments.
    """
    step()
    recorders = Recorder(), Recorder()
    for recorder in recorders:
        with recorder:
            step()
    first, second = (recorder.operations for recorder in recorders)
    for operation in first:
        if problem := _problem(operation):
            return problem
    return difference(first, second)


def difference(first: list[Operation], second: list[Operation]) -> str | None:
    """What differs between two calls, in words; None where nothing does.

    Args:
        first: of the one call.
        second: of the other.
    """
    if [operation.name for operation in first] != [operation.name for operation in second]:
        return f"its steps are not the same operations ({len(first)} in one, {len(second)} in the next)"
    for one, other in zip(first, second, strict=True):
        for before, after in zip(one.given, other.given, strict=True):
            if isinstance(before, Place):
                if not before.is_same(after):
                    return f"{one.name} looks at other memory in each step"
            elif not isinstance(before, torch.Generator) and before != after:
                return f"{one.name} is given {before} in one step and {after} in the next"
    return None


def _problem(operation: Operation) -> str | None:
    name = operation.name.removeprefix("aten.").split(".")[0]
    chooses_by_mask = name in ("index", "index_put", "index_put_") and any(
        isinstance(given, tuple) and given[-1:] == (torch.bool,) for given in operation.given
    )
    if name in FORBIDDEN or chooses_by_mask:
        return f"{operation.name} needs a number from the device or the host in each step"
    return None


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()

"""What went into each operation besides tensors with a gradient, which is all that autograd remembers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.graph import Node as GradFn
from torch.utils._python_dispatch import TorchDispatchMode

#: what numbers are called that an operation drew, such as a dropout mask
RANDOM = "random numbers"


@dataclass(frozen=True)
class Argument:
    """One argument of an operation.

    Args:
        has_gradient: whether it is a tensor that autograd follows.
        names: otherwise the named constants that it was made from, ``random numbers`` among them.
        text: what to call it if there are none: a plain number, or ``constant`` for a tensor.
    """

    has_gradient: bool
    names: tuple[str, ...]
    text: str


@final
class Recording(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, notes the arguments of every operation that autograd records.

    The operations themselves, and so the graph, are what they would be without it. Their tensors are kept until the
    recording is let go.

    Args:
        leaves: tensors by name; those without a gradient are the constants that it follows.

    Example:
        >>> import torch
        >>> x, w = torch.ones(3), torch.ones(3, requires_grad=True)
        >>> with Recording({"x": x}) as recording:
        ...     product = w * (2 - x)
        >>> [argument.names for argument in recording.arguments(product.grad_fn)]
        [(), ('x',)]
    """

    def __init__(self, leaves: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._arguments: dict[GradFn, tuple[Argument, ...]] = {}
        self._names: dict[int, tuple[str, ...]] = {
            id(tensor): (name,) for name, tensor in leaves.items() if not tensor.requires_grad
        }
        # A tensor is known by its id, which another one could take over after its end.
        self._kept: list[object] = [leaves]
        self._latest: tuple[tuple[Argument, ...], list[Tensor], bool] = ((), [], False)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute one operation and note what went into it."""
        self._settle()
        arguments = tuple(self._argument(part) for part in _parts(args))
        outputs = func(*args, **(kwargs or {}))
        is_random = torch.Tag.nondeterministic_seeded in func.tags
        self._latest = (arguments, [part for part in _parts([outputs]) if isinstance(part, Tensor)], is_random)
        self._kept += (args, outputs)
        return outputs

    def arguments(self, function: GradFn) -> tuple[Argument, ...] | None:
        """The arguments of the operation that a node stands for, in its order; None if it was not seen.

        Args:
            function: a ``grad_fn``.
        """
        self._settle()
        return self._arguments.get(function)

    def _argument(self, part: object) -> Argument:
        if isinstance(part, Tensor):
            return Argument(part.requires_grad, self._names.get(id(part), ()), "constant")
        return Argument(False, (), f"{part:g}")

    def _settle(self) -> None:
        """Autograd puts its node on an output only after the operation: so look at the one before."""
        arguments, outputs, is_random = self._latest
        self._latest = ((), [], False)
        names = [name for argument in arguments for name in argument.names] + [RANDOM] * is_random
        for output in outputs:
            if output.grad_fn is not None:
                self._arguments[output.grad_fn] = arguments
            elif not output.requires_grad:
                self._names[id(output)] = tuple(dict.fromkeys(names))


def _parts(values: Sequence[Any]) -> list[Tensor | int | float]:
    """The tensors and numbers in an operation's arguments or outputs; lists of tensors are opened."""
    opened = [part for value in values for part in (value if isinstance(value, list | tuple) else [value])]
    return [part for part in opened if isinstance(part, Tensor | int | float) and not isinstance(part, bool)]

"""Optimizers of torch's without torch._dynamo, which takes a second to import, for as long as nobody compiles."""

import sys
from types import FunctionType
from typing import Any, final

from torch.optim import Optimizer

DYNAMO = "torch._dynamo"
#: what the wrapper of ``torch._compile._disable_dynamo`` looks for on the function inside, before it imports the above
MARK = "__dynamo_disable"


def put_off_dynamo() -> None:
    """Let optimizers be made, saved and loaded without importing torch._dynamo; once it is imported, all is as ever.

    Torch keeps its compiler out of four methods of ``Optimizer``. At its first call each of them imports torch._dynamo
    for that, unless the function inside bears the mark that the import would leave there. Here it bears itself as the
    mark, which calls it as it is. Where torch is built in another way, nothing is marked.
    """
    if DYNAMO in sys.modules or any(isinstance(finder, _Listener) for finder in sys.meta_path):
        return
    marked = [inside for wrapper in vars(Optimizer).values() if (inside := _inside(wrapper)) is not None]
    for function in marked:
        setattr(function, MARK, function)
    if marked:
        sys.meta_path.insert(0, _Listener(marked))


def _inside(wrapper: Any) -> FunctionType | None:
    """The function that a wrapper of ``_disable_dynamo`` calls; None for anything else, or if it was called before."""
    inside = getattr(wrapper, "__wrapped__", None)
    if not isinstance(wrapper, FunctionType) or not isinstance(inside, FunctionType):
        return None
    asks = MARK in wrapper.__code__.co_consts and wrapper.__module__.startswith("torch.")
    return inside if asks and not hasattr(inside, MARK) else None


@final
class _Listener:
    """Among the finders of modules the one that finds none, and takes the marks back when torch._dynamo is wanted.

    A compiler that meets a marked function would look into it, which is what torch means to prevent.
    """

    def __init__(self, marked: list[FunctionType]) -> None:
        self._marked = marked

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Hear of an import, and leave it to the other finders."""
        if name == DYNAMO:
            while self._marked:  # it stays among the finders: the import that goes through them would pass one over
                function = self._marked.pop()
                if getattr(function, MARK, None) is function:
                    delattr(function, MARK)

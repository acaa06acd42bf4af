"""A laboratory for neural-network experiments on PyTorch.

``nnlab.Trainer`` is the training and evaluation loop with plain arguments, ``nnlab.load_run`` opens a trained run;
everything else is reached through ``python -m nnlab``.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Trainer", "__version__", "load_run"]

if TYPE_CHECKING:
    from nnlab.restore import load_run
    from nnlab.trainer import Trainer


def __getattr__(name: str) -> Any:
    # torch costs over a second: `nnlab --help` and everything that only reads files must not pay it.
    if name == "Trainer":
        from nnlab.trainer import Trainer

        return Trainer
    if name == "load_run":
        from nnlab.restore import load_run

        return load_run
    raise AttributeError(f"module 'nnlab' has no attribute {name!r}")

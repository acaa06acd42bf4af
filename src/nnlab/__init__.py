"""A laboratory for neural-network experiments on PyTorch.

``nnlab.train``, ``nnlab.sweep``, ``nnlab.compare`` and ``nnlab.resume`` do what the commands of the same names do,
``nnlab.load_run`` opens a trained run, and ``nnlab.Trainer`` is the training loop with plain arguments.
"""

import importlib
import sys
from collections.abc import Sequence
from os import PathLike
from types import ModuleType
from typing import TYPE_CHECKING, Any, final

__version__ = "0.1.0"
__all__ = ["ConfigError", "FolderError", "Trainer", "__version__", "compare", "load_run", "resume", "sweep", "train"]

if TYPE_CHECKING:
    from nnlab.api import Result, Sweep, compare, resume, sweep, train
    from nnlab.config import ConfigError
    from nnlab.folder import FolderError
    from nnlab.restore import load_run
    from nnlab.trainer import Trainer

#: where a name is that is imported only when somebody asks for it: torch alone costs over a second
_FOUND_IN = {
    "ConfigError": "nnlab.config",
    "FolderError": "nnlab.folder",
    "Trainer": "nnlab.trainer",
    "compare": "nnlab.api",
    "load_run": "nnlab.restore",
    "train": "nnlab.api",
}


def __getattr__(name: str) -> Any:
    if name in _FOUND_IN:
        return getattr(importlib.import_module(_FOUND_IN[name]), name)
    if name in _VERBS:
        return importlib.import_module(f"nnlab.{name}")
    raise AttributeError(f"module 'nnlab' has no attribute {name!r}")


@final
class _Sweep(ModuleType):
    """The package ``nnlab.sweep``, which can be called."""

    def __call__(
        self, overrides: Sequence[str], folder: "str | PathLike[str] | None" = None, progress: bool = True
    ) -> "Sweep":
        """See ``nnlab.api.sweep``."""
        from nnlab import api

        return api.sweep(overrides, folder, progress)


@final
class _Resume(ModuleType):
    """The module ``nnlab.resume``, which can be called."""

    def __call__(
        self, path: "str | PathLike[str]", overrides: Sequence[str] = (), progress: bool = True
    ) -> "Result | Sweep":
        """See ``nnlab.api.resume``."""
        from nnlab import api

        return api.resume(path, overrides, progress)


#: functions whose names are those of modules: whichever is imported first, both are there
_VERBS: dict[str, type[ModuleType]] = {"resume": _Resume, "sweep": _Sweep}


@final
class _Face(ModuleType):
    """The package itself, which sees its modules come: Python makes each an attribute once it is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _VERBS and type(value) is ModuleType:
            value.__class__ = _VERBS[name]
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face

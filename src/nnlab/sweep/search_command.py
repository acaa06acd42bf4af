"""What ``hydra/sweeper=optuna`` and ``hydra/sweeper=halving`` do with a command."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from hydra.core.override_parser.types import Override

from nnlab.config import ConfigError
from nnlab.sweep.asked import Asked
from nnlab.sweep.launching import Launching
from nnlab.sweep.space import read_space


def search(overrides: Sequence[Override], asked: tuple[Any, ...], launcher: Any) -> None:
    """Search by Optuna.

    Args:
        overrides: of the command.
        asked: the fields of an ``Asked``.
        launcher: Hydra's.

    Raises:
        ConfigError: for what no search can do, and where Optuna is not installed.
        FolderError: if the sweep's folder holds something else.
    """
    if find_spec("optuna") is None:
        raise ConfigError("hydra/sweeper=optuna needs Optuna: pip install 'nnlab[search]'")
    launching = _launching(launcher, "optuna")
    from nnlab.sweep.searching import Search

    Search(Asked(*asked), read_space(overrides), launching).run()


def halve(overrides: Sequence[Override], asked: tuple[Any, ...], launcher: Any) -> None:
    """Search by successive halving.

    Args:
        overrides: of the command.
        asked: the fields of a ``HalvingAsked``.
        launcher: Hydra's.

    Raises:
        ConfigError: for what no search can do.
        FolderError: if the sweep's folder holds something else.
    """
    launching = _launching(launcher, "halving")
    from nnlab.sweep.halving import Halving, HalvingAsked

    Halving(HalvingAsked(*asked), read_space(overrides), launching).run()


def _launching(launcher: Any, sweeper: str) -> Launching:
    launching = getattr(launcher, "planning", None)
    if not isinstance(launching, Launching):
        raise ConfigError(f"hydra/sweeper={sweeper} trains many members together; leave hydra/launcher=basic out")
    return launching

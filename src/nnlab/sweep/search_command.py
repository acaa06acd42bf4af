"""What ``hydra/sweeper=optuna`` and ``hydra/sweeper=halving`` do with a command."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Protocol

from hydra.core.override_parser.types import Override

from nnlab.config import ConfigError
from nnlab.sweep.asked import Asked
from nnlab.sweep.launching import Launching
from nnlab.sweep.space import read_space
from nnlab.trainer.interrupt import Interrupt


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

    _run(Search(Asked(*asked), read_space(overrides), launching))


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

    _run(Halving(HalvingAsked(*asked), read_space(overrides), launching))


class _Runs(Protocol):
    def run(self) -> None: ...


def _run(search: _Runs) -> None:
    """Search; a signal between two batches ends it as one in the middle of a batch does."""
    with Interrupt() as interrupt:
        search.run()
    interrupt.obey()


def _launching(launcher: Any, sweeper: str) -> Launching:
    launching = getattr(launcher, "planning", None)
    if not isinstance(launching, Launching):
        raise ConfigError(f"hydra/sweeper={sweeper} trains many members together; leave hydra/launcher=basic out")
    return launching

"""What a caller says: overrides as on the command line, and where the runs go."""

import os
from collections.abc import Sequence
from pathlib import Path

from nnlab.arguments import Arguments, split_arguments
from nnlab.check import Command
from nnlab.command import checked
from nnlab.config import ConfigError

#: what the command says of several values
_ADD = "add -m"
#: Hydra would configure logging for the whole process by these
_LOGGING = ("hydra.verbose", "hydra.job_logging", "hydra/job_logging", "hydra.hydra_logging", "hydra/hydra_logging")


def read_words(overrides: Sequence[str], function: str, example: str) -> Arguments:
    """Tell overrides from ``--config-dir DIR``, the one flag that there is.

    Args:
        overrides: what the caller gave.
        function: the function that was called.
        example: what it might be given.

    Raises:
        ConfigError: if it is no list of texts, or has flags.
    """
    if isinstance(overrides, str) or not all(isinstance(word, str) for word in overrides):
        raise ConfigError(f"{function}: expected a list of texts, such as {example}, found {overrides!r}")
    return split_arguments(list(overrides), known=("--config-dir",))


def checked_words(arguments: Arguments, key: str, folder: str | os.PathLike[str] | None, multirun: bool) -> Command:
    """The checked command.

    Args:
        arguments: from ``read_words``.
        key: of the folder, in the config.
        folder: where the caller wants it.
        multirun: whether it is a sweep.

    Raises:
        ConfigError: with every mistake.
    """
    try:
        command = checked(arguments, multirun)
    except ConfigError as error:
        raise ConfigError(*(text.replace(_ADD, "nnlab.sweep trains them") for text in error.problems)) from None
    problems = [
        f"{name}: logging is configured by the program that imports nnlab; leave it out"
        for name in command.values
        if name.startswith(_LOGGING)
    ]
    if command.choices.get("compare"):
        problems.append(f"compare: it makes sweeps of its own: `nnlab train compare={command.choices['compare'][0]}`")
    if folder is not None and key in command.values:
        problems.append(f"{key}: the argument folder says the same; leave one of them out")
    if problems:
        raise ConfigError(*problems)
    return command


def as_path(folder: str | os.PathLike[str]) -> Path:
    """A folder that a caller gave, with ``~`` for the home folder."""
    return Path(folder).expanduser()

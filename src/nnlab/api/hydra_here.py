"""Hydra without ``hydra.main``: the same configs, folders and files, and nothing of the process is configured."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from nnlab.command import hydra_errors, register_resolvers
from nnlab.config import config_folder
from nnlab.folder import FolderError


def through_hydra(
    how: Literal["run", "multirun"],
    words: Sequence[str],
    config_dirs: Sequence[Path],
    task: Callable[[DictConfig], Any],
) -> None:
    """Have Hydra compose what was asked for and call a task with it.

    Args:
        how: once, or for a whole sweep.
        words: checked overrides.
        config_dirs: the user's own folders of configs.
        task: called with the config.

    Raises:
        ConfigError: if Hydra refuses something that the checks let through.
        FolderError: if Hydra's files cannot be written.
    """
    register_resolvers()
    paths = [json.dumps(f"file://{path.resolve()}", ensure_ascii=False) for path in config_dirs]
    search = [f"hydra.searchpath=[{','.join(paths)}]"] if paths else []
    try:
        with hydra_errors(), hydra.initialize_config_dir(str(config_folder()), "train", version_base="1.3"):
            program = GlobalHydra.instance().hydra
            assert program is not None
            getattr(program, how)("config", task, [*words, *search], with_log_configuration=False)
    except OSError as error:
        raise FolderError(f"cannot write {error.filename or 'the run'}: {error.strerror or error}") from error

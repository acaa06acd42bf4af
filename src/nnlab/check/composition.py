"""What Hydra composes from overrides, as plain values; what it refuses, in one line."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import hydra
import yaml
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from nnlab.config import ConfigError, Library


class Composition:
    """A composed config.

    Args:
        library: the configs to choose from.
        overrides: readable ones.
        resolve: whether interpolations are replaced by what they come to.

    Raises:
        ConfigError: for what Hydra or OmegaConf refuses.
    """

    def __init__(self, library: Library, overrides: Sequence[str], resolve: bool = False) -> None:
        self.overrides = list(overrides)
        # Hydra's quoting is JSON's for quotes and backslashes.
        paths = [json.dumps(f"file://{path.resolve()}", ensure_ascii=False) for path in library.folders[1:]]
        search = [f"hydra.searchpath=[{','.join(paths)}]"] if paths else []
        try:
            with hydra.initialize_config_dir(str(library.folders[0]), version_base="1.3"):
                config = hydra.compose("config", [*overrides, *search], return_hydra_config=True)
                self.choices: dict[str, Any] = dict(config.hydra.runtime.choices)
                self.run_dir = str(config.hydra.run.dir) if resolve else ""
                with open_dict(config):
                    del config["hydra"]
                plain: Any = OmegaConf.to_container(config, resolve=resolve, throw_on_missing=resolve)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(in_one_line(error)) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(" ".join(str(error).split())) from error
        self.config: dict[str, Any] = plain

    def named(self, group: str) -> str:
        """Such as ``optim=adam``."""
        chosen = self.choices.get(group)
        return f"{group}={chosen}" if isinstance(chosen, str) else group

    def put(self, path: Sequence[str], value: Any) -> None:
        """Set a value as an override would, so that later overrides see it."""
        parent = self.config
        for part in path[:-1]:
            parent = parent.setdefault(part, {})
        before = parent.get(path[-1])
        parent[path[-1]] = {**before, **value} if isinstance(before, Mapping) and isinstance(value, dict) else value


def chosen(choices: Mapping[str, Any]) -> dict[str, Any]:
    """The option of each group of nnlab's and the user's own.

    Args:
        choices: as Hydra counts them, a DictConfig too.
    """
    plain = OmegaConf.to_container(choices) if isinstance(choices, DictConfig) else dict(choices)
    assert isinstance(plain, dict)
    # Of the groups inside groups, Hydra's are no part of the config, and an experiment's follow from its name.
    return {str(name): option for name, option in plain.items() if not str(name).startswith(("hydra/", "experiment/"))}


def in_one_line(error: Exception) -> str:
    """What Hydra or OmegaConf says, without its table of internals."""
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    key = getattr(cause, "full_key", None)
    text = " ".join(str(cause).split("Config search path:")[0].split())
    text = re.sub(r" (full_key|reference_type|object_type|sub_config)[:=].*", "", text)
    return f"{key}: {text}" if key else text

"""Hydra's flags, told apart from overrides wherever they stand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nnlab.config import ConfigError

#: flags without a value -> their long form
PLAIN = {
    "--multirun": "--multirun",
    "-m": "--multirun",
    "--run": "--run",
    "-r": "--run",
    "--resolve": "--resolve",
    "--help": "--help",
    "-h": "--help",
    "--hydra-help": "--hydra-help",
    "--shell-completion": "--shell-completion",
    "-sc": "--shell-completion",
}
#: flags with a value -> their long form
VALUED = {
    "--cfg": "--cfg",
    "-c": "--cfg",
    "--package": "--package",
    "-p": "--package",
    "--config-dir": "--config-dir",
    "-cd": "--config-dir",
    "--info": "--info",
    "-i": "--info",
}
REFUSED = {
    "--experimental-rerun": "it reads a pickle; `nnlab resume RUN_DIR` is going to do this from plain files",
    "--config-name": "there is one root config; choose with group=option",
    "-cn": "there is one root config; choose with group=option",
    "--config-path": "use --config-dir DIR for configs of your own",
    "-cp": "use --config-dir DIR for configs of your own",
}
#: what -i shows if it is given alone
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


@dataclass
class Arguments:
    """What was typed after the verb.

    Args:
        overrides: everything that is no flag.
        flags: the flags in their long form, each with its value ("" for none).
    """

    overrides: list[str] = field(default_factory=list)
    flags: dict[str, str] = field(default_factory=dict)

    @property
    def config_dirs(self) -> list[Path]:
        """The user's own folders of configs."""
        return [Path(self.flags["--config-dir"])] if "--config-dir" in self.flags else []

    def as_hydra_wants(self) -> list[str]:
        """The flags, for Hydra's parser, which wants them before the overrides."""
        return [word for flag, value in self.flags.items() for word in (flag, value) if word]


def split_arguments(words: Sequence[str]) -> Arguments:
    """Tell flags from overrides.

    Args:
        words: what was typed after the verb.

    Returns:
        Flags and overrides.

    Raises:
        ConfigError: for an unknown or refused flag, or one whose value is missing.
    """
    found = Arguments()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, _, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if name in REFUSED:
            raise ConfigError(f"{name}: {REFUSED[name]}")
        if name in PLAIN:
            found.flags[PLAIN[name]] = ""
        elif name in VALUED:
            long = VALUED[name]
            if not value and long == "--info" and not (rest and rest[0] in INFO):
                value = "all"
            if not value and not rest:
                raise ConfigError(f"{name}: a value is missing after it")
            found.flags[long] = value or rest.pop(0)
        elif word.startswith("-") and word != "-":
            raise ConfigError(f"{word}: there is no such flag; `nnlab train --help` shows them")
        else:
            found.overrides.append(word)
    folder = found.flags.get("--config-dir")
    if folder is not None and not Path(folder).is_dir():
        raise ConfigError(f"--config-dir: there is no folder {folder}")
    return found

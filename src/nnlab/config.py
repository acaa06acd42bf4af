"""Where the configs are and what is in them: groups, options, defaults; without Hydra and torch, for `nnlab list`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

import nnlab

ROOT_FILE = "config.yaml"
#: groups of which several options hold at once, each under its own name
LIST_GROUPS = frozenset({"callback", "logger", "metric"})
#: what each group is, for help pages; also their order there
GROUPS = {
    "data": "what to learn from",
    "model": "what learns",
    "init": "the weights it starts with",
    "loss": "what is minimized",
    "metric": "figures beside the loss (a list)",
    "optim": "how parameters are updated",
    "schedule": "how the learning rate changes",
    "gradient": "how gradients are computed",
    "trainer": "how long, how exact, how often it evaluates and saves",
    "callback": "who watches the training (a list)",
    "logger": "where it is logged beside metrics.csv (a list)",
    "compare": "options compared on equal terms, in place of a single run",
    "experiment": "a whole named run, with the figures to expect",
}


class ConfigError(ValueError):
    """A command, config or file that the user has to mend; exit code 2.

    Args:
        problems: one sentence for each thing that is wrong.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def config_folder() -> Path:
    """The folder of nnlab's own configs: inside the installed package, or beside ``src`` in a checkout."""
    package = Path(nnlab.__file__).resolve().parent
    for folder in (package / "configs", package.parents[1] / "configs"):
        if (folder / ROOT_FILE).is_file():
            return folder
    raise ConfigError(
        f"nnlab's configs are missing: neither {package / 'configs'} nor {package.parents[1] / 'configs'}"
    )


@dataclass(frozen=True)
class Option:
    """One option of a group.

    Args:
        group: such as ``optim``.
        name: such as ``adam``.
        path: its YAML file.
    """

    group: str
    name: str
    path: Path

    @property
    def meaning(self) -> str:
        """What the first comment line says."""
        for line in self.path.read_text(encoding="utf-8").splitlines():
            if line.startswith("#") and not line.startswith("# @package"):
                return line.lstrip("# ").strip()
        return ""

    @cached_property
    def content(self) -> dict[str, Any]:
        """The file's content as plain values."""
        return load_yaml(self.path)


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML file's mapping as plain values.

    Raises:
        ConfigError: if it is not valid YAML, or no mapping.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.load(text, Loader=loader) or {}  # a safe loader, the C one where it was built
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(content).__name__}")
    return content


class Library:
    """All groups and options that a command can choose from.

    Args:
        extra: folders of the user's own configs (``--config-dir``).

    Raises:
        ConfigError: if such a folder has an option that nnlab has as well, which would be passed over.
    """

    def __init__(self, extra: Sequence[Path] = ()) -> None:
        self.folders = [config_folder(), *extra]
        self._options: dict[str, dict[str, Option]] = {}
        doubles = [path for folder in extra for path in sorted(folder.glob("*/*.yaml")) if self._is_nnlabs(path)]
        if doubles:
            raise ConfigError(*(f"{path}: nnlab has {path.parent.name}={path.stem} too; rename it" for path in doubles))

    def _is_nnlabs(self, path: Path) -> bool:
        return (self.folders[0] / path.parent.name / path.name).is_file() and path.parent.parent != self.folders[0]

    @cached_property
    def root(self) -> dict[str, Any]:
        """The root config."""
        return load_yaml(self.folders[0] / ROOT_FILE)

    @cached_property
    def groups(self) -> list[str]:
        """The names of all groups, nnlab's own first and in the order of the help page."""
        found = {
            path.name
            for folder in self.folders
            for path in sorted(folder.iterdir())
            if path.is_dir() and path.name != "hydra" and any(path.glob("*.yaml"))
        }
        return [group for group in GROUPS if group in found] + sorted(found - set(GROUPS))

    def options(self, group: str) -> dict[str, Option]:
        """The options of a group by name, in alphabetical order."""
        if group not in self._options:
            paths = {path.stem: path for folder in self.folders for path in (folder / group).glob("*.yaml")}
            self._options[group] = {name: Option(group, name, paths[name]) for name in sorted(paths)}
        return self._options[group]

    def default_choices(self) -> dict[str, list[str]]:
        """What the root config's defaults list chooses for each group; [] for nothing."""
        return choices_of(self.root.get("defaults", []))


def choices_of(defaults: Sequence[Any]) -> dict[str, list[str]]:
    """The groups and options that a defaults list names.

    Args:
        defaults: as in YAML: ``- data: rings`` or ``- override /data: rings``.

    Returns:
        Each group's chosen options. Groups inside groups, such as Hydra's own, cannot be chosen and are left out.
    """
    chosen = {}
    for entry in defaults:
        if isinstance(entry, Mapping):
            for key, value in entry.items():
                group = re.sub(r"^(override|optional) +", "", str(key)).strip().lstrip("/")
                if "/" not in group and group != "hydra":
                    chosen[group] = (
                        [] if value is None else [str(v) for v in value] if isinstance(value, list) else [str(value)]
                    )
    return chosen


def nearest(word: str, names: Sequence[str] | Mapping[str, str]) -> str:
    """A hint such as ``; did you mean optim?``.

    Args:
        word: what was typed.
        names: what there is; of a mapping, the keys are compared and the values shown.

    Returns:
        The hint, or an empty string if no name comes near.
    """
    from difflib import get_close_matches

    by_lower = {name.lower(): names[name] if isinstance(names, Mapping) else name for name in names}
    shown = [by_lower[name] for name in get_close_matches(word.lower(), by_lower, n=3, cutoff=0.6)]
    return f"; did you mean {' or '.join(shown)}?" if shown else ""

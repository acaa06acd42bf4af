"""Hydra's flags, told apart from overrides wherever they stand."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nnlab.config import ConfigError, nearest

#: flags without a value -> their long form
PLAIN = {
    "--multirun": "--multirun",
    "-m": "--multirun",
    "--run": "--run",
    "-r": "--run",
    "--resolve": "--resolve",
    "--plan": "--plan",
    "--help": "--help",
    "-h": "--help",
    "--hydra-help": "--hydra-help",
}
#: flags of `nnlab lr-find` alone, each with a value
LR_FIND = ("--method", "--min-lr", "--max-lr", "--rates", "--steps", "--seeds")
#: flags of `nnlab data` alone, each with a value
DATA = ("--figure",)
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
    **{flag: flag for flag in (*LR_FIND, *DATA)},
}
REFUSED = {
    "--experimental-rerun": "it reads a pickle; `nnlab resume RUN_DIR` does this from plain files",
    "--config-name": "there is one root config; choose with group=option",
    "-cn": "there is one root config; choose with group=option",
    "--config-path": "use --config-dir DIR for configs of your own",
    "-cp": "use --config-dir DIR for configs of your own",
    "--shell-completion": "`nnlab --completion bash` prints what the shell has to read",
    "-sc": "`nnlab --completion bash` prints what the shell has to read",
}
#: flags that nnlab reads itself
OWN = frozenset({"--plan"})
#: what may stand after a flag, where that is known
VALUES = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
    "--method": ("sweep", "range"),
}
#: those of `nnlab train`
ALL = frozenset([*PLAIN.values(), *VALUED.values()]) - {*LR_FIND, *DATA}


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
        """Hydra's flags, each with its value, for its parser, which wants them before the overrides."""
        return [word for flag, value in self.flags.items() if flag not in OWN for word in (flag, value) if word]

    def as_typed(self) -> list[str]:
        """All flags, each with its value."""
        return [word for flag, value in self.flags.items() for word in (flag, value) if word]


def split_arguments(words: Sequence[str], known: Collection[str] = ALL) -> Arguments:
    """Tell flags from overrides.

    Args:
        words: what was typed after the verb.
        known: the flags that the verb has, in their long form.

    Returns:
        Flags and overrides.

    Raises:
        ConfigError: with every flag that is unknown or refused, or whose value is missing or wrong.
    """
    found, problems = Arguments(), []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            found.overrides.append(word)
            continue
        name, has_value, value = word.partition("=") if word.startswith("--") else (word, "", "")
        long = PLAIN.get(name) or VALUED.get(name)
        if name in REFUSED:
            problems.append(f"{name}: {REFUSED[name]}")
            if not has_value and rest and "=" not in rest[0] and not rest[0].startswith("-"):
                rest.pop(0)  # its value
        elif long is None or long not in known:
            problems.append(f"{word}: there is no such flag{_hint(word, known)}")
        elif long in VALUED.values():
            value, problem = _value_of(long, value, rest)
            problems += [f"{name}: {problem}"] if problem else []
            if found.flags.setdefault(long, value) != value:
                problems.append(f"{name}: given twice, as {found.flags[long]} and {value}")
        else:
            problems += [f"{word}: {name} takes no value"] if has_value else []
            found.flags[long] = ""
    problems += _conflicts(found.flags)
    if problems:
        raise ConfigError(*problems)
    return found


def _conflicts(flags: Mapping[str, str]) -> list[str]:
    lonely = [flag for flag in ("--package", "--resolve") if flag in flags and "--cfg" not in flags]
    problems = [f"{flag}: it says how --cfg prints, and there is no --cfg" for flag in lonely]
    if "--plan" in flags and "--multirun" not in flags:
        problems.append("--plan: it shows what a sweep would train; add -m")
    different = [flag for flag in ("--multirun", "--run", "--cfg", "--info") if flag in flags]
    return problems + ([f"{' and '.join(different)}: only one of them at a time"] if len(different) > 1 else [])


def _value_of(flag: str, value: str, rest: list[str]) -> tuple[str, str | None]:
    """A flag's value, taken from the words after it where it did not follow a ``=``, and what is wrong with it."""
    choices = VALUES.get(flag)
    if not value and flag == "--info" and not (rest and rest[0] in VALUES["--info"]):
        return "all", None
    if not value and (not rest or rest[0].startswith("-")):
        return "", f"a value is missing after it{_one_of(choices)}"
    value = value or rest.pop(0)
    if choices and value not in choices:
        return value, f"expected {', '.join(choices[:-1])} or {choices[-1]}, found {value!r}"
    if flag == "--config-dir" and not Path(value).is_dir():
        return value, f"there is no folder {value}"
    return value, None


def _one_of(choices: Sequence[str] | None) -> str:
    return f": {', '.join(choices[:-1])} or {choices[-1]}" if choices else ""


def _hint(word: str, known: Collection[str]) -> str:
    if "=" in word:
        return f"; overrides are written without dashes: {word.lstrip('-')}"
    return nearest(word, sorted(known)) or f"; there are {', '.join(sorted(known))}"

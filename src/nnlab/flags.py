"""The words of a verb that uses a run: the folder, the flags and the overrides, told apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnlab.config import ConfigError, nearest

#: flag -> the values that it takes: () for none, None for any
Flags = Mapping[str, Sequence[str] | None]


@dataclass(frozen=True)
class RunWords:
    """What was typed after the verb.

    Args:
        folder: the run's or the sweep's.
        overrides: everything else that is no flag.
        flags: the flags with their values ("" for those that take none).
    """

    folder: Path
    overrides: tuple[str, ...]
    flags: Mapping[str, str]


def split_run_words(verb: str, words: Sequence[str], known: Flags) -> RunWords:
    """Tell the words apart.

    Args:
        verb: for messages.
        words: what was typed after it.
        known: the verb's flags.

    Returns:
        The folder, the overrides and the flags.

    Raises:
        ConfigError: with every flag that is unknown, given twice or has no value or a wrong one; without a folder.
    """
    problems: list[str] = []
    flags: dict[str, str] = {}
    plain: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            plain.append(word)
            continue
        flag, has_value, value = word.partition("=")
        if flag not in known:
            hint = nearest(flag, list(known)) or f"; there are {', '.join(sorted(known))}"
            problems.append(f"{flag}: there is no such flag{hint}")
            continue
        choices = known[flag]
        if choices is None or choices:
            value = value if has_value else rest.pop(0) if rest and not rest[0].startswith("--") else ""
        problems += _value_problems(flag, value, bool(has_value), choices)
        if flag in flags:
            problems.append(f"{flag}: given twice")
        flags[flag] = value
    # The folder of a sweep's member has a = in its name, as an override has.
    folder = next((word for word in plain if Path(word).is_dir()), plain[0] if plain else None)
    if folder is None:
        problems.append(f"expected the folder of a run, as in nnlab {verb} outputs/rings/2026-01-31_12-00-00")
    if problems or folder is None:
        raise ConfigError(*problems)
    plain.remove(folder)
    return RunWords(Path(folder), tuple(plain), flags)


def _value_problems(flag: str, value: str, has_value: bool, choices: Sequence[str] | None) -> list[str]:
    if choices is not None and not choices:
        return [f"{flag}: takes no value"] if has_value else []
    if not value:
        return [f"{flag}: a value is missing after it{f': {_or(choices)}' if choices else ''}"]
    return [f"{flag}: expected {_or(choices)}, found {value!r}"] if choices and value not in choices else []


def _or(choices: Sequence[str]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"

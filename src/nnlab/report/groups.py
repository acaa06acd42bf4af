"""Runs put together by what differs between them; seeds and folds are replicates, never a difference."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nnlab.config import nearest
from nnlab.folder import FolderError
from nnlab.report.runs import RunData

#: what distinguishes no experiments: replicates, where results go, how fast they come
_IGNORED = re.compile(
    r"seed|data\.(seed|fold)|name|device|figures|plugins|logger(\..*)?|metric(\..*)?|compare(\..*)?|"
    r"trainer\.(threads|checkpoint_every|compile|profile|deterministic|on_divergence)"
)
#: the shown name of a value that a run's config does not have
ABSENT = "-"
_COMPARED: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_CONDITION = re.compile(r"([\w./@-]+)\s*(!=|<=|>=|==|=|<|>)\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Group:
    """Runs that differ by nothing but seeds and folds, or by nothing that was asked about.

    Args:
        label: the value of each key by which runs were grouped.
        runs: the runs, in the order in which they were found.
    """

    label: Mapping[str, str]
    runs: tuple[RunData, ...]

    @property
    def name(self) -> str:
        """Such as ``optim=adam, model.width=100``; ``all runs`` where nothing differs."""
        return ", ".join(f"{key}={value}" for key, value in self.label.items()) or "all runs"


def differing_keys(runs: Sequence[RunData]) -> list[str]:
    """The keys that tell the runs' experiments apart, none of them needless.

    A chosen option stands for what it sets: with ``optim=sgd,adam`` the key is ``optim``, and a key below it counts
    only if runs with the same optimizer differ in it. What was typed on a command line comes before what follows from
    it.

    Args:
        runs: any runs.

    Returns:
        The keys, groups of options first.
    """
    settings = {key for run in runs for key in run.settings if not _IGNORED.fullmatch(key)}
    typed = frozenset().union(*(run.typed for run in runs))
    ordered = sorted(settings, key=lambda key: (key != "experiment", "." in key, key not in typed, key))
    cells = [list(runs)]
    keys = []
    for key in ordered:
        if key == "experiment" and any(key not in run.settings for run in runs):
            continue
        if any(_differs(key, cell) for cell in cells):
            keys.append(key)
            cells = [part for cell in cells for part in _split([key], cell).values()]
    return keys


def group_runs(runs: Sequence[RunData], keys: Sequence[str]) -> list[Group]:
    """Put runs together whose settings agree in some keys.

    Args:
        runs: any runs.
        keys: groups of options or dotted keys.

    Returns:
        The groups, in the order of their first runs.

    Raises:
        FolderError: for a key that no run has.
    """
    _check_keys("--by", keys, runs)
    parts = _split(keys, runs)
    return [Group(dict(zip(keys, values, strict=True)), tuple(part)) for values, part in parts.items()]


def varying_inside(groups: Sequence[Group]) -> dict[str, list[str]]:
    """What differs between runs of one group, seeds and folds aside.

    Args:
        groups: the groups.

    Returns:
        The values by key, of all groups together.
    """
    found: dict[str, dict[str, None]] = {}
    for group in groups:
        for key in differing_keys(group.runs):
            found.setdefault(key, {}).update(dict.fromkeys(run.settings.get(key, ABSENT) for run in group.runs))
    return {key: list(values) for key, values in found.items()}


def chosen_runs(runs: Sequence[RunData], conditions: Sequence[str]) -> list[RunData]:
    """The runs that meet all conditions.

    Args:
        runs: any runs.
        conditions: such as ``optim=adam``, ``status!=failed``, ``model.width>=64``, ``seed<5``.

    Raises:
        FolderError: for a condition that is none, names a key that no run has, or that no run meets.
    """
    kept = list(runs)
    for condition in conditions:
        match = _CONDITION.fullmatch(condition)
        if match is None:
            raise FolderError(f"--where: expected key=value, with =, !=, <, <=, > or >=, found {condition!r}")
        key, sign, value = match.groups()
        if key != "status":
            _check_keys("--where", [key], kept)
        kept = [run for run in kept if _meets(_setting(run, key), sign, value)]
        if not kept:
            raise FolderError(f"--where: {condition}: no run is left")
    return kept


def _setting(run: RunData, key: str) -> str:
    return run.status if key == "status" else run.settings.get(key, ABSENT)


def _meets(found: str, sign: str, wanted: str) -> bool:
    numbers = as_number(found), as_number(wanted)
    if sign in ("=", "==", "!="):
        same = _tight(found) == _tight(wanted) or (numbers[0] is not None and numbers[0] == numbers[1])
        return same != (sign == "!=")
    if numbers[1] is None:
        raise FolderError(f"--where: expected a number after {sign}, found {wanted!r}")
    return numbers[0] is not None and _COMPARED[sign](numbers[0], numbers[1])


def _tight(text: str) -> str:
    """Without the space that a list is stored with and that nobody types."""
    return text.replace(", ", ",")


def as_number(text: str) -> float | None:
    """A setting's value as a number, or None."""
    try:
        return float(text)
    except ValueError:
        return None


def _check_keys(flag: str, keys: Sequence[str], runs: Sequence[RunData]) -> None:
    known = {key for run in runs for key in run.settings}
    for key in keys:
        if key not in known:
            raise FolderError(f"{flag}: no run has {key!r}{nearest(key, sorted(known))}")


def _differs(key: str, runs: Sequence[RunData]) -> bool:
    return len({run.settings.get(key) for run in runs}) > 1


def _split(keys: Sequence[str], runs: Sequence[RunData]) -> dict[tuple[str, ...], list[RunData]]:
    parts: dict[tuple[str, ...], list[RunData]] = {}
    for run in runs:
        parts.setdefault(tuple(run.settings.get(key, ABSENT) for key in keys), []).append(run)
    return parts

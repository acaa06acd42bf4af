"""A whole command: its overrides are read, groups chosen, values checked, and all of it composed once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nnlab.check.composition import Composition
from nnlab.check.folds import fold_problems
from nnlab.check.groups import NEEDS_MULTIRUN, group_choices, group_problem, is_group, wanted
from nnlab.check.launcher import launcher_problems
from nnlab.check.override import Typed, parse
from nnlab.check.root import composed_root_problems, refuse_files
from nnlab.check.values import Values
from nnlab.config import ConfigError, Library, choices_of

#: sweepers that choose values themselves
SEARCHES = ("optuna", "halving")

_HYDRAS_REFUSED = {
    "hydra.mode": "a sweep is asked for with -m",
    "hydra.searchpath": "configs of your own are found with --config-dir DIR",
}


@dataclass
class Command:
    """A checked command.

    Args:
        overrides: as typed.
        choices: for each group the options that the command can choose (several where it sweeps over them).
        problems: one sentence for each mistake.
        bad_groups: whether what is chosen is unclear, so that nothing can be said of values.
        good: the overrides without a mistake.
        values: keys that are set, with their values as plain data, of a sweep the first.
        fixed: groups and keys that a sweep does not vary.
        name: the run's name: as set, else the experiment's, else the data set's.
        first_member: the overrides of the run, or of a sweep's first member.
    """

    overrides: list[str]
    choices: dict[str, list[str]]
    problems: list[str] = field(default_factory=list)
    bad_groups: bool = False
    good: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    fixed: list[str] = field(default_factory=list)
    name: str = "run"
    first_member: list[str] = field(default_factory=list)

    @property
    def plugins(self) -> list[str]:
        """The packages that the command line grants, which is the only way to grant any."""
        granted = self.values.get("plugins")
        return [str(name) for name in granted] if isinstance(granted, list) else []

    def accept(self, one: Typed) -> None:
        """Note an override that is right."""
        self.good.append(one.text)
        if not one.is_sweep:
            self.fixed.append(one.key)

    def give_up(self, problems: Sequence[str]) -> None:
        """Note what is wrong with the command as a whole; nothing of it may be composed or built."""
        self.problems += problems
        self.good.clear()
        self.bad_groups = True

    def refuse(self, one: Typed, problem: str) -> None:
        """Note what is wrong with an override."""
        self.problems.append(f"{one.text}: {problem}")
        if one.text in self.good:
            self.good.remove(one.text)


def check(overrides: Sequence[str], library: Library, multirun: bool) -> Command:
    """Check a command's overrides against groups, keys, types and the targets' signatures.

    Args:
        overrides: as typed.
        library: the configs to choose from.
        multirun: whether several values for one key are a sweep.

    Returns:
        The command, with its problems.
    """
    command = Command(list(overrides), library.default_choices())
    typed = _parse(command, library)
    groups = [one for one in typed if is_group(one, library)]
    doubtful = _choose_groups(command, groups, library, multirun)
    command.problems += launcher_problems(command.choices, command.overrides, library)
    values = [one for one in typed if one not in groups and not one.is_hydras]
    # What else may be set depends on these two.
    values.sort(key=lambda one: (one.key != "plugins", not one.key.endswith("_target_")))
    try:
        checks = _checks(command, groups, library)
    except ConfigError as error:
        command.give_up(error.problems)
        return command
    for one in values:
        _check_value(command, one, checks, doubtful, multirun)
    for one, problem in fold_problems(values, [each.base.config for each in checks]):
        command.refuse(one, problem)
    command.problems += _conflicts(command, checks)
    if not command.problems:
        _check_whole(command, typed, checks, library)
    return command


def _parse(command: Command, library: Library) -> list[Typed]:
    found = []
    for text in command.overrides:
        try:
            one = parse(text, library)
        except ConfigError as error:
            command.problems += error.problems
            continue
        if not one.key or one.key in _HYDRAS_REFUSED:
            command.refuse(one, _HYDRAS_REFUSED.get(one.key, "expected key=value, without spaces"))
            continue
        found.append(one)
        if one.is_hydras:
            command.good.append(text)
            command.values[one.key] = one.value
    return found


def _choose_groups(command: Command, groups: Sequence[Typed], library: Library, multirun: bool) -> set[str]:
    """Note what the command chooses; returns the groups of which nothing can be said."""
    asked: dict[str, list[str]] = {}
    doubtful = set()
    for one in groups:
        problem = group_problem(one, library, multirun)
        if problem:
            command.refuse(one, problem)
            doubtful.add(one.key)
            continue
        command.accept(one)
        if not one.is_repackaged:
            asked[one.key] = [] if one.is_delete else wanted(one, library)
    command.bad_groups = bool(doubtful)
    for name in asked.get("experiment", []):
        command.choices |= choices_of(library.options("experiment")[name].content.get("defaults", []))
    command.choices |= asked
    return doubtful


def _checks(command: Command, groups: Sequence[Typed], library: Library) -> list[Values]:
    """What checks values, for each choice of groups that the command makes."""
    good = [one for one in groups if one.text in command.good]
    fixed = [one.text for one in good if not one.is_sweep]
    choices = group_choices([one for one in good if one.is_sweep], library)
    bases = [Composition(library, [*fixed, *choice]) for choice in choices]
    for base in bases:
        refuse_files(base.config)
    return [Values(library, base, command.plugins) for base in bases]


def _check_value(command: Command, one: Typed, checks: Sequence[Values], doubtful: set[str], multirun: bool) -> None:
    problem = _sweep_problem(command, one, multirun)
    is_doubtful = one.key.partition(".")[0] in doubtful
    if not problem and not is_doubtful:
        problem = next(filter(None, (values.problem(one) for values in checks)), None)
    if problem:
        command.refuse(one, problem)
    elif not is_doubtful:
        command.accept(one)
        command.values[one.key] = one.value
        if one.key == "plugins":
            for values in checks:
                values.plugins = command.plugins


def _sweep_problem(command: Command, one: Typed, multirun: bool) -> str | None:
    if not one.is_sweep:
        return None
    if not multirun:
        return NEEDS_MULTIRUN
    if one.key == "plugins":
        return "packages are granted to the whole sweep; give one list"
    if one.is_interval and command.values.get("hydra/sweeper") not in SEARCHES:
        return "an interval is for a search (hydra/sweeper=optuna); a grid takes values, as in 0.1,0.01 or range(1,5)"
    return None


def _conflicts(command: Command, checks: Sequence[Values]) -> list[str]:
    both = " and ".join(key for key in ("model.depth", "model.width") if key in command.values)
    for values in checks:
        widths = (values.base.config.get("model") or {}).get("widths")
        if both and command.values.get("model.widths") is not None:
            return [f"model.widths beside {both}: widths already says how many layers there are and how wide"]
        if both and widths:
            return [f"{both} would change nothing, because model.widths is {widths} here; add model.widths=null"]
    return []


def _check_whole(command: Command, typed: Sequence[Typed], checks: Sequence[Values], library: Library) -> None:
    """Compose with every override: what Hydra refuses, what interpolations come to, what files set at the root."""
    others = [one for one in typed if not is_group(one, library)]
    first_of_each = [one.one_each()[0] for one in others]
    found = []
    for values in checks:
        try:
            found.append(Composition(library, [*values.base.overrides, *first_of_each], resolve=True))
        except ConfigError as error:
            command.give_up(error.problems)
            return
        command.problems += composed_root_problems(found[-1].config, library)
    command.problems = list(dict.fromkeys(command.problems))
    # A sweep is called after its first member.
    first = found[0]
    command.first_member = first.overrides
    command.name = str(first.config["name"] or first.choices.get("experiment") or first.choices.get("data"))
    for one in others:
        problem = None if one.is_hydras else checks[0].interpolation_problem(one, first.config)
        if problem:
            command.refuse(one, problem)

"""A fair comparison: each option tuned by as many trials, chosen on validation, and run again on fresh seeds.

After DeepOBS (F. Schneider, L. Balles & P. Hennig, DeepOBS: A Deep Learning Optimizer Benchmark Suite, ICLR 2019),
which tunes every optimizer over a declared space by the same budget and reports ten fresh seeds, and AlgoPerf (G. E.
Dahl et al., Benchmarking Neural Network Training Algorithms, 2023), which scores the time to a target.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnlab.config import ConfigError
from nnlab.folder import FolderError
from nnlab.report.compare import Compared, find
from nnlab.report.comparison import Asked, Row
from nnlab.words import counted

#: runs a sweep of some overrides in a folder; the exit code
Sweep = Callable[[Sequence[str], Path], int]

_KEYS = ("over", "options", "space", "own_space", "tuning_seeds", "num_seeds", "target")


@dataclass(frozen=True)
class Protocol:
    """What is compared, and by which budget.

    Args:
        over: the group whose options are compared, such as ``optim``.
        options: these.
        spaces: for each option the values that are tried of each key, all combinations.
        tuning_seeds: runs of each trial.
        num_seeds: fresh seeds for the best trial of each option.
        target: a value of the monitored metric to be reached; None for the worst of the options' median results.
    """

    over: str
    options: tuple[str, ...]
    spaces: Mapping[str, Mapping[str, tuple[Any, ...]]]
    tuning_seeds: int
    num_seeds: int
    target: float | None

    @property
    def num_trials(self) -> int:
        """Trials of each option."""
        return _size(next(iter(self.spaces.values())))

    def tuning(self, option: str, seed: int) -> list[str]:
        """The overrides of an option's tuning.

        Args:
            option: one of ``options``.
            seed: the first of the tuning's seeds.
        """
        lists = [f"{key}={','.join(map(_typed, values))}" for key, values in self.spaces[option].items()]
        return [f"{self.over}={option}", *lists, _seeds(seed, self.tuning_seeds)]

    def final(self, option: str, best: Mapping[str, str], seed: int) -> list[str]:
        """The overrides of an option's fresh seeds.

        Args:
            option: one of ``options``.
            best: the values that the tuning chose.
            seed: the first of the tuning's seeds, which come before the fresh ones.
        """
        values = [f"{key}={value}" for key, value in best.items()]
        return [f"{self.over}={option}", *values, _seeds(seed + self.tuning_seeds, self.num_seeds)]


@dataclass(frozen=True)
class Outcome:
    """What a protocol came to.

    Args:
        tuned: the tuning runs of all options, compared by option and tuned values.
        final: the fresh runs, compared.
        tested: the same by their test figures, which chose nothing; None where the data have no test split.
        best: the values that the tuning chose for each option.
        target: the one that ``final`` was compared with.
        is_given: whether the target was given, rather than found.
        code: the exit code: 1 if a run failed.
    """

    tuned: Compared
    final: Compared
    tested: Compared | None
    best: Mapping[str, Mapping[str, str]]
    target: float
    is_given: bool
    code: int


def read_protocol(config: Mapping[str, Any]) -> Protocol:
    """Read the ``compare`` block of a config.

    Args:
        config: resolved, plain values.

    Raises:
        ConfigError: with every problem.
    """
    block = config["compare"]
    problems = [f"compare.{key}: missing" for key in _KEYS if key not in block]
    if problems:
        raise ConfigError(*problems)
    options = [str(option) for option in block["options"]]
    own, space = block["own_space"] or {}, block["space"]
    if len(options) < 2 or len(set(options)) < len(options):
        problems.append(f"compare.options: expected at least two different ones, found {options}")
    problems += [f"compare.own_space.{name}: no such option is compared" for name in own if name not in options]
    problems += [
        f"compare.{key}: expected a whole number of at least {least}, found {block[key]!r}"
        for key, least in (("tuning_seeds", 1), ("num_seeds", 2))
        if type(block[key]) is not int or block[key] < least
    ]
    spaces = {option: _space(own.get(option, space)) for option in options}
    problems += [
        f"compare.space: expected keys, each with a list of values, found {own.get(name, space)!r} for {name}"
        for name, values in spaces.items()
        if not values or not all(values.values())
    ]
    sizes = {name: _size(values) for name, values in spaces.items()}
    if not problems and len(set(sizes.values())) > 1:
        text = ", ".join(f"{name} {size}" for name, size in sizes.items())
        problems.append(
            f"compare.own_space: the budgets are unequal, in trials: {text}; give each as many combinations"
        )
    target = block["target"]
    if target is not None and (type(target) not in (int, float) or not math.isfinite(target)):
        problems.append(f"compare.target: expected a number or null, found {target!r}")
    if problems:
        raise ConfigError(*problems)
    seeds = (block["tuning_seeds"], block["num_seeds"])
    return Protocol(str(block["over"]), tuple(options), spaces, *seeds, None if target is None else float(target))


def run_protocol(protocol: Protocol, folder: Path, seed: int, sweep: Sweep, say: Callable[[str], None]) -> Outcome:
    """Tune each option, choose on validation, run the winners on fresh seeds.

    Args:
        protocol: what is compared.
        folder: gets ``tuning/<option>/`` and ``final/<option>/``, a sweep each.
        seed: the first of the tuning's seeds.
        sweep: runs a sweep.
        say: prints a line.

    Raises:
        FolderError: if no trial of an option came to its end.
    """
    codes = []
    for option in protocol.options:
        say(f"tuning {option}: {protocol.num_trials} trials of {counted(protocol.tuning_seeds, 'run')}")
        codes.append(sweep(protocol.tuning(option, seed), folder / "tuning" / option))
    keys = {option: list(space) for option, space in protocol.spaces.items()}
    best = {}
    for option in protocol.options:
        chosen, row = _choose(folder / "tuning" / option, keys[option])
        best[option] = chosen
        values = ", ".join(f"{key}={value}" for key, value in chosen.items())
        assert row.interval is not None
        say(
            f"best of {option}: {values} ({row.interval.mean:.6g}); {counted(protocol.num_seeds, 'run')} on fresh seeds"
        )
        codes.append(sweep(protocol.final(option, chosen, seed), folder / "final" / option))
    tuned_keys = dict.fromkeys(key for names in keys.values() for key in names)
    tuned = find([folder / "tuning"], Asked(by=[protocol.over, *tuned_keys]))
    target = protocol.target
    if target is None:
        target = target_of_all(find([folder / "final"], Asked(by=[protocol.over])))
    final = find([folder / "final"], Asked(by=[protocol.over], target=target))
    tested = _tested(folder / "final", protocol.over, final.comparison.metric)
    return Outcome(tuned, final, tested, best, target, protocol.target is not None, max(codes))


def _tested(folder: Path, over: str, metric: str) -> Compared | None:
    """The fresh runs by the test split: the validation split has chosen the epoch of each, and so looks better."""
    try:
        return find([folder], Asked(f"test/{metric.partition('/')[2]}", by=[over]))
    except FolderError:
        return None


def _choose(folder: Path, keys: Sequence[str]) -> tuple[dict[str, str], Row]:
    """The tuned values with the best mean on validation; trials with a run that did not end come last."""
    rows = find([folder], Asked(by=keys)).comparison.rows
    whole = [row for row in rows if len(row.values) == row.num_runs]
    row = (whole or rows)[0]
    if row.interval is None:
        raise ConfigError(f"{folder}: no trial came to its end, so there is nothing to choose; widen compare.space")
    return dict(row.group.label), row


def target_of_all(found: Compared) -> float:
    """The worst median of any option: the hardest target that each reaches in half of its runs that came to their end.

    A mean would follow one run that failed to learn, and be a target that the others pass on their way.

    Args:
        found: runs compared by option, at least one of which came to its end.
    """
    medians = [row.median for row in found.comparison.rows if row.values]
    return (min if found.comparison.grows else max)(medians)


def _space(space: Any) -> dict[str, tuple[Any, ...]]:
    if not isinstance(space, Mapping):
        return {}
    return {str(key): tuple(value) if isinstance(value, list) else () for key, value in _flat("", space).items()}


def _flat(prefix: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """``{"optim": {"lr": […]}}`` and ``{"optim.lr": […]}`` mean the same."""
    found: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        found |= _flat(f"{name}.", item) if isinstance(item, Mapping) else {name: item}
    return found


def _size(space: Mapping[str, Sequence[Any]]) -> int:
    return math.prod(len(values) for values in space.values())


def _typed(value: Any) -> str:
    """A value in Hydra's grammar."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) if isinstance(value, int | float | str) else str(value).replace(" ", "")


def _seeds(first: int, count: int) -> str:
    return f"seed=range({first},{first + count})"

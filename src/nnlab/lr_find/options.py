"""The flags of `nnlab lr-find`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nnlab.config import ConfigError
from nnlab.lr_find.rates import USUAL, WIDEST

Method = Literal["sweep", "range"]

#: trainings of one command: more than this is a sweep of its own
MOST_TRAININGS = 1000
DEFAULT_SEEDS = 3
#: steps of a range test, and those of a sweep's trainings at least and at most, where an epoch is shorter or longer
RANGE_STEPS = 400
LEAST_STEPS = 100
MOST_STEPS = 500


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Args:
        method: ``sweep`` for short trainings at constant rates, ``range`` for one whose rate grows.
        low: the smallest rate; None for the optimizer's usual one.
        high: the greatest rate, likewise.
        num_rates: of a sweep; None for some in each power of ten.
        num_steps: of each training; None for the usual number.
        num_seeds: of a sweep.
    """

    method: Method = "sweep"
    low: float | None = None
    high: float | None = None
    num_rates: int | None = None
    num_steps: int | None = None
    num_seeds: int = DEFAULT_SEEDS

    def limits(self, optimizer: str) -> tuple[float, float]:
        """The smallest and the greatest rate.

        Args:
            optimizer: its class, such as ``Adam``.

        Raises:
            ConfigError: if the smallest is not below the greatest.
        """
        usual = USUAL.get(optimizer, WIDEST)
        low = usual[0] if self.low is None else self.low
        high = usual[1] if self.high is None else self.high
        if not low < high:
            given = [f"--min-lr {low:g}"] * (self.low is not None) + [f"--max-lr {high:g}"] * (self.high is not None)
            raise ConfigError(
                f"{' and '.join(given)}: expected --min-lr below --max-lr, found {low:g} and {high:g}"
                + ("" if len(given) == 2 else f" (what {optimizer} has if nothing is said)")
            )
        return low, high


def read_options(flags: Mapping[str, str]) -> Options:
    """Read the flags.

    Args:
        flags: with their values as typed; others than those of ``lr-find`` are passed over.

    Raises:
        ConfigError: with everything that is wrong with them.
    """
    problems: list[str] = []
    is_range = flags.get("--method") == "range"
    low, high = (_number(flags, flag, problems) for flag in ("--min-lr", "--max-lr"))
    num_rates = _count(flags, "--rates", 2, problems)
    num_steps = _count(flags, "--steps", 20 if is_range else 1, problems)
    num_seeds = _count(flags, "--seeds", 1, problems)
    if is_range:
        problems += [f"{flag}: only --method sweep has it" for flag in ("--rates", "--seeds") if flag in flags]
    if (num_rates or 20) * (num_seeds or DEFAULT_SEEDS) > MOST_TRAININGS:
        problems.append(f"--rates, --seeds: expected at most {MOST_TRAININGS:,} trainings in all; make a sweep of them")
    if problems:
        raise ConfigError(*problems)
    method: Method = "range" if is_range else "sweep"
    return Options(method, low, high, num_rates, num_steps, num_seeds or DEFAULT_SEEDS)


def _number(flags: Mapping[str, str], flag: str, problems: list[str]) -> float | None:
    if flag not in flags:
        return None
    try:
        value = float(flags[flag])
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        problems.append(f"{flag}: expected a number > 0 such as 1e-4, found {flags[flag]!r}")
    return value


def _count(flags: Mapping[str, str], flag: str, least: int, problems: list[str]) -> int | None:
    if flag not in flags:
        return None
    text = flags[flag]
    if not (text.isascii() and text.isdigit() and least <= int(text) < 10**9):
        problems.append(f"{flag}: expected a whole number of at least {least}, found {text!r}")
        return None
    return int(text)

"""What a search may choose from: Hydra's sweep grammar, read as one dimension for each key."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from nnlab.config import ConfigError
from nnlab.sweep.typed import as_typed

Value = str | int | float | bool | None


@final
@dataclass(frozen=True)
class Real:
    """Real numbers from ``low`` to ``high``, both included; steps of ``step`` from ``low`` where it is given."""

    low: float
    high: float
    is_log: bool = False
    step: float | None = None

    def text(self, value: Any) -> str:
        """A value of it, as it is typed."""
        return repr(float(value))

    def value(self, text: str) -> Value:
        """What a text stands for."""
        return float(text)

    def ends(self) -> tuple[str, str]:
        """Its two ends, as they are typed."""
        return self.text(self.low), self.text(self.high)


@final
@dataclass(frozen=True)
class Whole:
    """Whole numbers from ``low`` to ``high``, both included, in steps of ``step``."""

    low: int
    high: int
    is_log: bool = False
    step: int = 1

    def text(self, value: Any) -> str:
        """A value of it, as it is typed."""
        return str(int(value))

    def value(self, text: str) -> Value:
        """What a text stands for."""
        return int(text)

    def ends(self) -> tuple[str, str]:
        """Its two ends, as they are typed."""
        return self.text(self.low), self.text(self.high)


@final
@dataclass(frozen=True)
class Choice:
    """Values without an order: options of a group, numbers, words, lists.

    Args:
        texts: as they are typed.
        values: the same as plain data where they are single values, else their texts.
    """

    texts: tuple[str, ...]
    values: tuple[Value, ...]

    def text(self, value: Any) -> str:
        """A value of it, as it is typed."""
        # 1, 1.0 and True are equal to each other.
        kinds = [(type(one), one) for one in self.values]
        return self.texts[kinds.index((type(value), value))]

    def value(self, text: str) -> Value:
        """What a text stands for."""
        return self.values[self.texts.index(text)]

    def ends(self) -> tuple[str, str]:
        """The first and the last value, as they are typed."""
        return self.texts[0], self.texts[-1]


Dimension = Real | Whole | Choice


@final
@dataclass(frozen=True)
class Space:
    """What a search chooses, and what is the same for all of its trials.

    Args:
        dimensions: by what stands before the ``=``.
        typed: what stands behind it.
        fixed: the other overrides, as typed.
    """

    dimensions: dict[str, Dimension]
    typed: dict[str, str]
    fixed: tuple[str, ...]

    def ends(self) -> list[list[str]]:
        """The overrides of its two corners: what all trials have in common, these two have."""
        return [[*self.fixed, *(f"{key}={one.ends()[end]}" for key, one in self.dimensions.items())] for end in (0, 1)]

    @property
    def num_cells(self) -> int | None:
        """Combinations of values, or None where there are real numbers between any two."""
        sizes = [_size(dimension) for dimension in self.dimensions.values()]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)


def values_of(dimension: Dimension) -> list[Value]:
    """All values of a dimension that has finitely many.

    Args:
        dimension: not of real numbers without steps.
    """
    if isinstance(dimension, Choice):
        return list(dimension.values)
    if isinstance(dimension, Whole):
        return list(range(dimension.low, dimension.high + 1, dimension.step))
    assert dimension.step is not None
    size = _size(dimension)
    assert size is not None
    return [dimension.low + place * dimension.step for place in range(size)]


def read_space(overrides: Sequence[Override]) -> Space:
    """Read what a search chooses from.

    Args:
        overrides: of the sweep, as Hydra's parser reads them.

    Returns:
        The space.

    Raises:
        ConfigError: with everything that no search can choose from, or if there is nothing to choose.
    """
    dimensions: dict[str, Dimension] = {}
    typed: dict[str, str] = {}
    fixed: list[str] = []
    problems: list[str] = []
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            fixed.append(str(override.input_line))
            continue
        try:
            dimensions[key] = _dimension(override)
            typed[key] = str(override.input_line).partition("=")[2]
        except ConfigError as error:
            problems += error.problems
    if not dimensions and not problems:
        problems.append(
            "hydra/sweeper: a search needs something to choose from, such as 'optim.lr=tag(log, interval(1e-4, 1e-1))' "
            "or model.width=16,32,64"
        )
    if problems:
        raise ConfigError(*problems)
    return Space(dimensions, typed, tuple(fixed))


def _dimension(override: Override) -> Dimension:
    sweep: Any = override.value()
    where, unknown = str(override.input_line), set(sweep.tags) - {"log"}
    if unknown:
        raise ConfigError(f"{where}: expected no tag but log, found {', '.join(sorted(map(str, unknown)))}")
    is_log = "log" in sweep.tags
    if isinstance(sweep, IntervalSweep):
        return _interval(where, sweep.start, sweep.end, is_log)
    if isinstance(sweep, RangeSweep):
        found = _range(where, list(sweep.range()), sweep.step, is_log)
        if found is not None:
            return found
    if is_log:
        raise ConfigError(f"{where}: tag(log, …) is for an interval or a range of numbers")
    texts = [str(text) for text in override.sweep_string_iterator()]
    values = [as_typed(text) for text in texts]
    if len(set(texts)) < len(texts):
        raise ConfigError(f"{where}: a value stands there twice")
    is_single = all(value is None or isinstance(value, str | int | float | bool) for value in values)
    is_single = is_single and len({(type(value), value) for value in values}) == len(values)
    return Choice(tuple(texts), tuple(values if is_single else texts))


def _interval(where: str, low: Any, high: Any, is_log: bool) -> Dimension:
    if not (math.isfinite(low) and math.isfinite(high)) or low > high:
        raise ConfigError(f"{where}: expected interval(low, high) of finite numbers, the lower one first")
    if is_log and low <= 0:
        raise ConfigError(f"{where}: the logarithm needs numbers above 0, found {low}")
    if isinstance(low, int) and isinstance(high, int):
        return Whole(low, high, is_log)
    return Real(float(low), float(high), is_log)


def _range(where: str, values: list[Any], step: Any, is_log: bool) -> Dimension | None:
    """A range of rising numbers; None for any other, whose values are a choice."""
    if not values:
        raise ConfigError(f"{where}: there is no number in this range")
    if step <= 0:
        return None
    if is_log and (values[0] <= 0 or step != 1 or not isinstance(values[0], int)):
        raise ConfigError(f"{where}: tag(log, range(…)) is for whole numbers above 0 in steps of 1")
    if all(isinstance(value, int) for value in values):
        return Whole(values[0], values[-1], is_log, int(step))
    return Real(float(values[0]), float(values[-1]), False, float(step))


def _size(dimension: Dimension) -> int | None:
    if isinstance(dimension, Choice):
        return len(dimension.values)
    if isinstance(dimension, Whole):
        return (dimension.high - dimension.low) // dimension.step + 1
    return None if dimension.step is None else round((dimension.high - dimension.low) / dimension.step) + 1

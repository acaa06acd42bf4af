"""What the estimators' parameters may be."""

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, NamedTuple

from nnlab.model.activation import ACTIVATIONS
from nnlab.sklearn.solver import SOLVERS


class Between(NamedTuple):
    """A range of numbers.

    Args:
        kind: ``Integral`` or ``Real``.
        low: the smallest.
        high: the largest.
        without: the ends that are not allowed themselves: ``low``, ``high`` or both.
        words: other values that are allowed.
    """

    kind: type
    low: float
    high: float = math.inf
    without: tuple[str, ...] = ("high",)
    words: tuple[Any, ...] = ()

    def allows(self, value: Any) -> bool:
        """Whether a value is in it."""
        if any(type(value) is type(word) and value == word for word in self.words):
            return True
        if not isinstance(value, self.kind) or isinstance(value, bool):
            return False
        number = float(value)  # type: ignore[arg-type]
        above = number > self.low if "low" in self.without else number >= self.low
        return above and (number < self.high if "high" in self.without else number <= self.high)

    def __str__(self) -> str:
        words = "".join(f"{word!r} or " for word in self.words)
        low = f"{'>' if 'low' in self.without else '>='} {self.low:g}"
        high = "" if self.high == math.inf else f" and {'<' if 'high' in self.without else '<='} {self.high:g}"
        return f"{words}{'a whole number' if self.kind is Integral else 'a number'} {low}{high}"


#: scikit-learn's names for what nnlab calls otherwise
ACTIVATION_NAMES = {"logistic": "sigmoid"}
BOTH = ("low", "high")

NUMBERS: Mapping[str, Between] = {
    "alpha": Between(Real, 0),
    "batch_size": Between(Integral, 1, words=("auto",)),
    "learning_rate_init": Between(Real, 0, without=BOTH),
    "power_t": Between(Real, 0),
    "max_iter": Between(Integral, 1),
    "tol": Between(Real, 0),
    "momentum": Between(Real, 0, 1, without=()),
    "validation_fraction": Between(Real, 0, 1, without=BOTH),
    "beta_1": Between(Real, 0, 1),
    "beta_2": Between(Real, 0, 1),
    "epsilon": Between(Real, 0, without=BOTH),
    "n_iter_no_change": Between(Integral, 1, words=(math.inf,)),
    "max_fun": Between(Integral, 1),
    "dropout": Between(Real, 0, 1),
}
CHOICES: Mapping[str, tuple[str, ...]] = {
    "activation": (*ACTIVATIONS, *ACTIVATION_NAMES),
    "solver": tuple(SOLVERS),
    "learning_rate": ("constant", "invscaling", "adaptive"),
    "norm": ("none", "batch", "layer"),
    "compile": ("auto", "off"),
}


def check_parameters(values: Mapping[str, Any]) -> None:
    """Refuse what an estimator cannot be fitted with.

    Args:
        values: all its parameters.

    Raises:
        ValueError: with every problem.
    """
    problems = [
        f"{name}: expected {allowed}, found {values[name]!r}"
        for name, allowed in NUMBERS.items()
        if not allowed.allows(values[name])
    ]
    problems += [
        f"{name}: expected one of {', '.join(allowed)}, found {values[name]!r}"
        for name, allowed in CHOICES.items()
        if values[name] not in allowed
    ]
    widths = hidden_widths(values["hidden_layer_sizes"])
    if widths is None:
        found = values["hidden_layer_sizes"]
        problems.append(f"hidden_layer_sizes: expected whole numbers >= 1, one for each layer, found {found!r}")
    if problems:
        raise ValueError("\n".join(problems))


def hidden_widths(sizes: Any) -> list[int] | None:
    """The widths of the hidden layers; None for what cannot be any.

    Args:
        sizes: one number or several.
    """
    try:
        found: list[Any] = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
    except TypeError:
        return None
    if not all(isinstance(size, Integral) and not isinstance(size, bool) and int(size) >= 1 for size in found):
        return None
    return [int(size) for size in found]

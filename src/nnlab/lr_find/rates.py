"""Which learning rates are tried."""

import numpy as np

#: from and to, by the optimizer's class: wide enough for inputs that nobody scaled
USUAL = {
    "SGD": (1e-6, 10.0),
    "Adagrad": (1e-5, 10.0),
    "Adadelta": (1e-3, 100.0),
    "LBFGS": (1e-2, 10.0),
    **dict.fromkeys(("Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop"), (1e-6, 1.0)),
}
#: for an optimizer of one's own
WIDEST = (1e-6, 10.0)
PER_DECADE = 3


def grid(low: float, high: float, num: int | None) -> list[float]:
    """Learning rates at equal ratios, rounded to two digits that are easily typed.

    Args:
        low: the smallest.
        high: the greatest.
        num: how many; None for three in a power of ten.

    Returns:
        Ascending, without doubles, ``low`` and ``high`` as given.

    Example:
        >>> grid(0.01, 1.0, None)
        [0.01, 0.022, 0.046, 0.1, 0.22, 0.46, 1.0]
    """
    number = num or max(2, round(PER_DECADE * float(np.log10(high / low))) + 1)
    inner = [float(f"{rate:.2g}") for rate in np.geomspace(low, high, number)[1:-1]]
    return sorted({low, *(rate for rate in inner if low < rate < high), high})

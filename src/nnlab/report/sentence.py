"""A comparison as a plain sentence."""

import math
from typing import TYPE_CHECKING

from nnlab.report.interval import Interval, size
from nnlab.report.power import MOST_RUNS, POWER
from nnlab.words import counted

if TYPE_CHECKING:
    from nnlab.report.difference import Difference


def sentence(difference: "Difference") -> str:
    """Say which group is better, by how much, and how sure that is.

    Args:
        difference: of two groups.

    Returns:
        One sentence without a full stop.
    """
    first, second, metric = difference.first, difference.second, difference.asked.metric
    if difference.verdict == "not told apart":
        text = f"{first} is not told apart from {second} by these runs: "
        return text + _size_of_it(difference) + _correction(difference) + _outlook(difference)
    interval = difference.interval
    if interval.mean < 0:
        interval = Interval(-interval.mean, -interval.high, -interval.low)
    amount, limits = numbers(interval)
    return (
        f"{first} is {difference.verdict} than {second} in {metric} by {amount} "
        f"({_interval(difference, limits)}){_correction(difference)}"
    )


def numbers(interval: Interval) -> tuple[str, str]:
    """A difference and its limits as text, all to the same decimal.

    Args:
        interval: of a difference.

    Returns:
        The difference, with three significant digits; with fewer where it is small beside its interval, and with more
        where its interval is small beside it. And the limits.

    Example:
        >>> numbers(Interval(0.01234, 0.00821, 0.016))
        ('0.0123', '0.0082 to 0.0160')
        >>> numbers(Interval(0.001, -0.5, math.inf))
        ('0.0010', '-0.5000 upwards')
        >>> numbers(Interval(12345.6, 11111.1, 13579.9))
        ('12,300', '11,100 to 13,600')
        >>> numbers(Interval(12345.6, 12344.6, 12346.6))
        ('12,346', '12,345 to 12,347')
        >>> numbers(Interval(1.2345e-7, 1e-8, 2.3e-7))
        ('1.23e-07', '0.10e-07 to 2.30e-07')
    """
    ends = [end for end in (interval.low, interval.high) if math.isfinite(end)]
    width = max((abs(end - interval.mean) for end in ends), default=0.0)
    largest = max(abs(interval.mean), width / 10)
    exponent = _exponent(largest) if largest else 0
    last = min(exponent - 2, max(_exponent(width), exponent - 5)) if width else exponent - 2

    def text(value: float) -> str:
        if -5 < exponent < 7:
            return f"{round(value, -last) + 0.0:,.{max(0, -last)}f}"  # adding 0 turns -0 into 0
        return f"{round(value / 10.0**exponent, exponent - last) + 0.0:.{exponent - last}f}e{exponent:+03d}"

    return text(interval.mean), _limits([text(end) for end in ends], math.isfinite(interval.low))


def _exponent(value: float) -> int:
    return math.floor(math.log10(value))


def _limits(ends: list[str], has_low: bool) -> str:
    if len(ends) == 1:
        return f"{ends[0]} upwards" if has_low else f"up to {ends[0]}"
    return " to ".join(ends) if ends else "without limits"


def _size_of_it(difference: "Difference") -> str:
    if difference.interval == Interval(0.0, 0.0, 0.0):
        return f"no difference at all in {difference.asked.metric} ({_basis(difference)})"
    amount, limits = numbers(difference.interval)
    return f"first minus second {amount} in {difference.asked.metric} ({_interval(difference, limits)})"


def _interval(difference: "Difference", limits: str) -> str:
    interval = difference.interval
    if interval.low == interval.high:
        return f"the same without any spread, {_basis(difference)}"
    kind = "" if difference.asked.interval == "student" else f"{difference.asked.interval.replace('_', '-')} "
    return f"{100 * difference.asked.level:.4g} % {kind}interval {limits}, {_basis(difference)}"


def _basis(difference: "Difference") -> str:
    first, second = difference.num_runs
    if not difference.is_paired:
        return (
            f"unpaired, {counted(first, 'run')} of each" if first == second else f"unpaired, {first} and {second} runs"
        )
    names = zip((difference.first, difference.second), difference.num_left_out, strict=True)
    left_out = [f"; {counted(number, 'run')} of {name} left out" for name, number in names if number]
    return f"paired over {counted(first, difference.noun)}" + "".join(left_out)


def _correction(difference: "Difference") -> str:
    """Many groups; and what the interval seems to say, where the correction took it back."""
    if difference.num_pairs == 1:
        return ""
    for_all = f"after Holm's correction ({difference.num_pairs:,} pairs)"
    if difference.verdict != "not told apart":
        return f", also {for_all}"
    is_clear_alone = difference.p_value <= size(difference.asked.level)
    return f"; told apart alone, but not {for_all}" if is_clear_alone else ""


def _outlook(difference: "Difference") -> str:
    if difference.interval.mean == 0:
        return ""
    if min(difference.num_runs) < 2:
        return "; it takes two runs of each to say more"
    if difference.num_needed is None:
        return f"; more than {MOST_RUNS:,} {difference.noun}s of each would be needed"
    first, second = difference.num_runs
    by = "" if difference.asked.interval == "student" else " by Student's t"
    tell = f"would tell, if real ({100 * POWER:.0f} % power{by})"
    if first == second:
        return f"; about {counted(difference.num_needed - first, f'more {difference.noun}')} each {tell}"
    return f"; about {counted(difference.num_needed, difference.noun)} each in all {tell}"

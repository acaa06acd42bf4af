"""The learning-rate range test: one short training whose rate grows from step to step.

Smith (2017), "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186, section 3.3.
"""

import math
from collections.abc import Sequence

import numpy as np

from nnlab.build import build
from nnlab.lr_find.suggestion import Numbers, valley
from nnlab.lr_find.trial import Trial
from nnlab.rows import seen
from nnlab.trainer.engine import Ahead
from nnlab.trainer.fitting import Fitting
from nnlab.trainer.interrupt import Interrupt
from nnlab.trainer.record import EpochRecord

#: decay of the running mean of the loss
BETA = 0.9
#: a smoothed loss of so many times the smallest one has diverged
DIVERGED = 4.0
#: steps that a valley has at least, and from which the loss of the beginning is known
LEAST_STEPS = 10
#: what the loss has to fall by, in standard deviations of those first ones, which differ by their batches alone
LEAST_FALL = 1.0


def range_test(trial: Trial, rates: Sequence[float], interrupt: Interrupt) -> list[float]:
    """The loss of each step of a training whose rate grows, until it diverges.

    Args:
        trial: the run.
        rates: one for each step, ascending.
        interrupt: a signal ends it.

    Returns:
        The losses, at most one for each rate; the last one may be infinite or NaN.

    Raises:
        ConfigError: for a config that cannot be built.
    """
    built = build(trial.at(rates[0], len(rates)), trial.choices, None, "")
    trainer = built.trainer
    train = seen(built.dataset.train, built.preprocessing, built.readout)
    with trainer.settings():
        # A rate for each step is only known to the engine that does one at a time, as a stack's member has it.
        fitting = trainer.begin(train, None, interrupt, in_stack=True)
        trainer.model.train()
        with trainer.own_randomness(fitting):
            return _losses(fitting, rates, interrupt)


def _losses(fitting: Fitting, rates: Sequence[float], interrupt: Interrupt) -> list[float]:
    losses: list[float] = []
    record, epoch, smallest = EpochRecord(), -1, math.inf
    for rate in rates:
        fitting.set_rate(rate)
        if epoch < 0 or not fitting.engine.steps(1):
            epoch += 1
            record.start(keeps_outputs=False)
            fitting.engine.start_epoch(Ahead(epoch, 0, [], record))
            fitting.engine.steps(1)
        losses.append(float(record.last_loss))
        value = float(smoothed(losses)[-1])
        smallest = min(smallest, value)
        if interrupt.received or not math.isfinite(value) or value > DIVERGED * smallest:
            break
    return losses


def smoothed(losses: Sequence[float]) -> Numbers:
    """Exponential running mean without the bias of its start, as Adam corrects it (Kingma and Ba, 2015).

    Args:
        losses: shape [N].

    Returns:
        Shape [N].

    Example:
        >>> smoothed([1.0, 1.0, 2.0]).round(3).tolist()
        [1.0, 1.0, 1.369]
    """
    mean, values = 0.0, []
    for number, loss in enumerate(losses, 1):
        mean = BETA * mean + (1 - BETA) * loss
        values.append(mean / (1 - BETA**number))
    return np.array(values)


def suggest(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """The rate half the length of the longest descent before its end; None where the loss does not fall.

    Of the rules in use (steepest descent, a tenth of the rate with the smallest loss, middle of the valley), this is
    the one that lost least on nnlab's own data: ``docs/learning-rate.md``.

    Args:
        rates: of the steps.
        losses: what ``range_test`` gave for the first of them.
    """
    curve = smoothed(losses)
    curve = curve[np.isfinite(curve)]
    if len(curve) < LEAST_STEPS:
        return None
    length, last = valley(curve)
    first = np.asarray(losses[:LEAST_STEPS])
    if length < LEAST_STEPS or first.mean() - curve[last] <= LEAST_FALL * first.std():
        return None
    return float(f"{rates[last - length // 2]:.2g}")

"""THE loop. Parts decide their own cadence; the loop only calls them."""

from nnlab.trainer.fitting import Fitting


def run_loop(fitting: Fitting) -> tuple[str, str]:
    """Train until the plan is done or something ends it earlier.

    Args:
        fitting: the training and everything that belongs to it, at its start or where an earlier process left it.

    Returns:
        The status (``completed``, ``early_stopped``, ``diverged``, ``interrupted``, ``preempted``) and its reason.
    """
    fitting.start_clock()
    if fitting.ended is not None:
        return fitting.ended
    if fitting.plan.num_steps == 0:
        fitting.evaluate_untrained()
        return "completed", "no training was asked for"
    while fitting.goes_on():
        if fitting.interrupt.received:
            return fitting.interrupted()
        fitting.start_epoch()
        while fitting.do_steps():
            if fitting.save_is_due() and not fitting.save():
                return fitting.diverged()
            if fitting.interrupt.received:
                break
        if fitting.has_diverged():
            return fitting.diverged()
        if fitting.interrupt.received:
            return fitting.interrupted()
        ending = fitting.end_epoch()
        if ending is not None:
            return ending
    return fitting.completed()

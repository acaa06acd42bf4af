"""One prepared run on the terminal: header, training, summary."""

from rich.console import Console

from nnlab import experiment
from nnlab.callback.progress import Progress, StackedProgress
from nnlab.console import log_header, print_header, print_profile, print_summary
from nnlab.experiment import Member, Result
from nnlab.trainer.interrupt import Interrupt


def train_member(console: Console, member: Member, is_member: bool, resume: bool = False) -> Result | None:
    """Train a run and say how it goes; a signal is obeyed once that is done.

    Args:
        console: where to.
        member: prepared.
        is_member: whether it is a sweep's, which says no more than its name.
        resume: whether to go on from its newest checkpoint.

    Returns:
        What it came to; None if the trainer refused it, for the reasons in ``member.refused``.

    Raises:
        SystemExit: with the code of the signal that ended it.
    """
    with Interrupt() as interrupt:
        result = _train(console, member, is_member, resume)
    interrupt.obey()
    return result


def _train(console: Console, member: Member, is_member: bool, resume: bool) -> Result | None:
    log_header(member)
    if not is_member:
        print_header(console, member)
        member.built.trainer.watch(StackedProgress(console) if member.stack_width > 1 else Progress(console))
    else:
        console.print(f"{member.folder.name}", highlight=False, markup=False, soft_wrap=True)
    experiment.fit([member], resume)
    if member.refused and not is_member:
        member.built.trainer.close()
        return None
    result = experiment.finish(member)
    if not is_member:
        print_summary(console, member, result)
        print_profile(console, member)
    return result

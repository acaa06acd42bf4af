"""What torchrun tells each process that it starts."""

import os
import time
from functools import cache

#: in the environment of its processes; a scheduler's own RANK says nothing of a torch process group
RUN_ID = "TORCHELASTIC_RUN_ID"

#: seconds for which a process waits for the first one to say what is wrong
PATIENCE_S = 5.0


def is_told_to_share() -> bool:
    """Whether torchrun has started this process, to train together with others."""
    return RUN_ID in os.environ and "RANK" in os.environ and "WORLD_SIZE" in os.environ


def is_silent() -> bool:
    """Whether another process speaks for this one."""
    return is_told_to_share() and os.environ["RANK"] != "0"


@cache
def let_first_speak() -> None:
    """Before a process says what is wrong: wait, unless it is the first, or has waited before.

    Most often the first one finds the same, says it, and torchrun ends the others: one that ended earlier would have
    torchrun end the first before it has spoken.
    """
    if is_silent():
        time.sleep(PATIENCE_S)


def speaker(command: str) -> str:
    """Who says something.

    Args:
        command: such as ``nnlab train``.
    """
    return f"{command}, process {os.environ['RANK']}" if is_silent() else command

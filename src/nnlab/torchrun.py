"""What torchrun tells each process that it starts."""

import os

#: in the environment of its processes; a scheduler's own RANK says nothing of a torch process group
RUN_ID = "TORCHELASTIC_RUN_ID"


def is_told_to_share() -> bool:
    """Whether torchrun has started this process, to train together with others."""
    return RUN_ID in os.environ and "RANK" in os.environ and "WORLD_SIZE" in os.environ


def is_silent() -> bool:
    """Whether another process speaks for this one."""
    return is_told_to_share() and os.environ["RANK"] != "0"

"""Python's garbage collector while modules are imported: it has nothing to find there, and looks a dozen times."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_is_sole_user = False


def claim_process() -> None:
    """Say that the process was started for nnlab alone, so that what it imports may be kept for good."""
    global _is_sole_user
    _is_sole_user = True


def is_sole_user() -> bool:
    """Whether the process was started for nnlab alone."""
    return _is_sole_user


@contextmanager
def resting() -> Iterator[None]:
    """For imports: no collection takes place meanwhile.

    In a process of nnlab's own none looks through what was imported later on either: a full one takes 0.1 s for the
    modules of torch alone, and so does the last one of the process.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        keep()
        if was_enabled:
            gc.enable()


def keep() -> None:
    """In a process of nnlab's own, leave out of later collections all that there is now.

    At its end too: every file is closed by whoever opened it, and none waits for a collection.
    """
    if _is_sole_user:
        gc.freeze()

"""How far apart runs are evaluated: by as much is every time to a target rounded up."""

from collections.abc import Iterable, Sequence

import numpy as np

from nnlab.report.runs import RunData


def spacing_notes(groups: Iterable[Sequence[RunData]], metric: str, target: float) -> list[str]:
    """What forbids to hold the times of groups to a target against each other as they are.

    Args:
        groups: the runs of each group whose times are known.
        metric: such as ``valid/loss``.
        target: the value that is to be reached.

    Returns:
        A sentence if the groups are not evaluated equally often; else nothing.
    """
    found = [{spacing for run in runs if (spacing := _spacing(run, metric)) is not None} for runs in groups]
    known = set().union(*found)
    if all(spacings == known for spacings in found if spacings):
        return []
    return [
        f"the steps to {target:.4g} are those of the first evaluation that reached it, and the groups have one every "
        f"{min(known):,} to {max(known):,} steps: each group's are rounded up to its own evaluations"
    ]


def _spacing(run: RunData, metric: str) -> int | None:
    """The most steps between evaluations; what ends a run may shorten the last of them."""
    curve = run.curve(metric)
    if curve is None:
        return None
    return int(np.diff(curve.steps[np.isfinite(curve.values)], prepend=0).max(initial=0)) or None

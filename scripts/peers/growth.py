"""The points at which it is measured how cost grows: one size moves, the others stay."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Point:
    """A size of network, batch and data.

    Args:
        width: units of each hidden layer.
        depth: hidden layers.
        batch: rows in a batch.
        rows: in all; a multiple of ``batch``.
    """

    width: int = 64
    depth: int = 2
    batch: int = 100
    rows: int = 10_000


#: where each series begins, and what moves along it
SERIES: dict[str, tuple[Point, list[int]]] = {
    "width": (Point(), [16, 64, 256, 1024]),
    "depth": (Point(), [1, 2, 4, 8]),
    "batch": (Point(), [8, 40, 200, 2000]),
    "rows": (Point(batch=1000), [1000, 10_000, 100_000, 1_000_000]),
}
LABELS = {"width": "units of a layer", "depth": "hidden layers", "batch": "rows of a batch", "rows": "rows in all"}
#: for a test
FEW = 2


def names_of(series: str, is_quick: bool) -> list[str]:
    """The names of a series' jobs, such as ``width=64``."""
    sizes = SERIES[series][1]
    return [f"{series}={size}" for size in (sizes[:FEW] if is_quick else sizes)]


def point_of(name: str) -> Point:
    """What a job's name stands for."""
    series, _, size = name.partition("=")
    return replace(SERIES[series][0], **{series: int(size)})

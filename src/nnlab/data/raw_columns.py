"""The columns of a data set as its user knows them: a category is one column, however many inputs it becomes."""

from dataclasses import dataclass

import numpy as np

from nnlab.data.dataset import Dataset, Split

#: training rows up to which different numbers are counted exactly
MOST_COUNTED = 100_000
#: categories that are named
_MOST_NAMED = 3
_DAY = np.timedelta64(86_400_000_000, "us")


@dataclass(frozen=True)
class RawColumn:
    """One column, and the inputs that it became.

    Args:
        name: the column's.
        kind: ``number``, ``boolean``, ``date`` or ``category``.
        start: the first of its inputs.
        width: how many they are.
        fill: what an empty cell becomes, as text; empty where none is filled in.
        num_empty: the training cells that were filled in.
        categories: of a category, one for each input.
        first: of dates, the day from which they are counted, in ISO form.
    """

    name: str
    kind: str
    start: int
    width: int = 1
    fill: str = ""
    num_empty: int = 0
    categories: tuple[str, ...] = ()
    first: str = ""

    @property
    def becomes(self) -> str:
        """What the model gets, in words."""
        return {
            "number": "the number",
            "boolean": "0 or 1",
            "date": f"days since {_day(self.first)}",
            "category": f"{self.width} x 0 or 1",
        }[self.kind]

    def inputs(self, split: Split) -> np.ndarray:
        """Its inputs in the rows of a split, float32 [N, width]."""
        return split.inputs[:, self.start : self.start + self.width].numpy()

    def counts(self, split: Split) -> np.ndarray:
        """The rows of each category, int [C], and last those of none of them."""
        counts = np.count_nonzero(self.inputs(split), axis=0)
        return np.append(counts, len(split) - counts.sum())

    def truths(self, split: Split) -> np.ndarray:
        """Of a boolean, the rows where it is false and those where it is true, int [2]."""
        num_true = int(np.count_nonzero(self.inputs(split)))
        return np.array([len(split) - num_true, num_true])

    def cells(self, split: Split) -> dict[str, str]:
        """What stands in the rows of a split, as encoded: columns of a table for people.

        Args:
            split: at least one row.

        Returns:
            ``different``, ``min``, ``mean``, ``std``, ``max``, ``commonest``, ``empty`` and ``filled with``; those that
            make no sense are absent. Cells that were filled in count like any other.
        """
        return self._figures(split) | ({"empty": f"{self.num_empty:,}", "filled with": self.fill} if self.fill else {})

    def _figures(self, split: Split) -> dict[str, str]:
        if self.kind == "category":
            counts = self.counts(split)[:-1]
            order = np.argsort(-counts, kind="stable")[:_MOST_NAMED]
            named = ", ".join(f"{self.categories[place]} {counts[place]:,}" for place in order)
            more = ", …" if len(counts) > len(order) else ""
            return {"different": f"{np.count_nonzero(counts):,}", "commonest": f"{named}{more}"}
        values = self.inputs(split)[:, 0].astype(np.float64)
        cells = {"different": _num_different(values)}
        if self.kind == "boolean":
            num_false, num_true = self.truths(split)
            return cells | {"commonest": f"true {num_true:,}, false {num_false:,}"}
        if self.kind == "date":
            start = np.datetime64(self.first, "us")
            days = (start + (day * _DAY).astype("timedelta64[us]") for day in (values.min(), values.max()))
            return cells | dict(zip(("min", "max"), (str(day)[:10] for day in days), strict=True))
        figures = {"min": values.min(), "mean": values.mean(), "std": values.std(), "max": values.max()}
        return cells | {name: f"{float(figure):.4g}" for name, figure in figures.items()}


def raw_columns(dataset: Dataset) -> list[RawColumn]:
    """The input columns of a data set.

    Args:
        dataset: one's own table, or any other: there each input is a column of numbers.

    Returns:
        The columns, in the order of the inputs.

    Example:
        >>> from nnlab.data.literal import inline
        >>> [column.name for column in raw_columns(inline([[0.0, 1.0], [1.0, 0.5]], [0.5, 2.0]))]
        ['x1', 'x2']
    """
    if dataset.encoding is None:
        return [RawColumn(name, "number", place) for place, name in enumerate(dataset.input_names)]
    columns = []
    start = 0
    num_empty = dataset.num_empty or (0,) * len(dataset.encoding.columns)
    for column, empty in zip(dataset.encoding.columns, num_empty, strict=True):
        width = len(column.input_names)
        fill = "" if column.fill is None else _fill_text(column.kind, column.fill)
        columns.append(
            RawColumn(column.name, column.kind, start, width, fill, empty, column.categories, column.first or "")
        )
        start += width
    return columns


def _fill_text(kind: str, fill: float | str) -> str:
    if kind == "boolean":
        return "true" if fill else "false"
    if kind == "date":
        return _day(str(fill))
    return f"{fill:.4g}" if isinstance(fill, float) else str(fill)


def _day(date: str) -> str:
    return date.removesuffix("T00:00:00.000000").removesuffix(".000000")


def _num_different(values: np.ndarray) -> str:
    if len(values) > MOST_COUNTED:
        return f">= {len(np.unique(values[:MOST_COUNTED])):,}"
    return f"{len(np.unique(values)):,}"

"""What is done to the rows before the model sees them, learnt from the training rows alone."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, final

import torch
from torch import Tensor

from nnlab.data.dataset import Dataset, Split
from nnlab.data.table.encoding import Encoding

#: rows that are taken at a time where there are many
_BLOCK = 1 << 13
#: rows of which the moments are taken in blocks
_MANY = 1 << 17

_Feature = Callable[[Tensor, Tensor], Tensor]

# Option -> name of the new column and its values from columns x and y (the Playground's five features).
_FEATURES: dict[str, tuple[str, _Feature]] = {
    "x2": ("{x}^2", lambda x, y: x.square()),
    "y2": ("{y}^2", lambda x, y: y.square()),
    "xy": ("{x}*{y}", lambda x, y: x * y),
    "sin_x": ("sin({x})", lambda x, y: x.sin()),
    "sin_y": ("sin({y})", lambda x, y: y.sin()),
}


@dataclass(frozen=True)
class Moments:
    """Mean and population standard deviation of each column; 1 in place of a constant column's zero.

    Args:
        mean: one number a column, in float64.
        std: one positive number a column, in float64.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, columns: Tensor) -> Self:
        """The moments of some rows, accumulated in float64 as scikit-learn's StandardScaler does.

        Args:
            columns: shape [N, C].

        Returns:
            C means and C standard deviations.
        """
        if len(columns) > _MANY:
            return cls.of_blocks(lambda: iter(_blocks(columns)), len(columns))
        exact = columns.double()
        # Compared, not computed: rounding can give a constant column a tiny spread, which would blow it up.
        constant = (columns == columns[0]).all(dim=0)
        return cls._of(exact.mean(dim=0), exact.std(dim=0, correction=0), constant)

    @classmethod
    def of_split(cls, split: Split, columns: Callable[[Tensor, Tensor], Tensor], name: str) -> Self:
        """The moments of something about the rows of a split; of rows on disk they are remembered beside these.

        Args:
            split: in memory or on disk.
            columns: from inputs and target to what is meant, [N, C].
            name: of what is meant.
        """
        stored = split.stored
        if stored is None or len(split) <= _MANY:
            return cls.of(columns(split.inputs, split.target))
        known = stored.recall(name)
        if known is not None:
            return cls(tuple(known["mean"]), tuple(known["std"]))
        moments = cls.of_blocks(lambda: (columns(*block) for block in split.blocks(_BLOCK)), len(split))
        stored.remember(name, {"mean": moments.mean, "std": moments.std})
        return moments

    @classmethod
    def of_blocks(cls, blocks: Callable[[], Iterator[Tensor]], num_rows: int) -> Self:
        """The moments of many rows: a tenth of the time of torch's own, and no copy of all rows in float64.

        Args:
            blocks: gives all rows, ``_BLOCK`` at a time, [B, C]; called three times.
            num_rows: N.
        """
        first = next(blocks())[0].clone()
        # One piece of memory for all sums: many small ones would lie in the way of the blocks that come and go.
        sums = torch.empty(-(-num_rows // _BLOCK), len(first), dtype=torch.float64)
        constant = torch.ones(len(first), dtype=torch.bool)
        for own, block in zip(sums, blocks(), strict=True):
            constant &= (block == first).all(dim=0)
            torch.sum(block.double(), 0, out=own)
        mean = sums.sum(dim=0) / num_rows
        for own, block in zip(sums, blocks(), strict=True):
            torch.sum((block.double() - mean).square_(), 0, out=own)
        return cls._of(mean, (sums.sum(dim=0) / num_rows).sqrt(), constant)

    @classmethod
    def _of(cls, mean: Tensor, std: Tensor, constant: Tensor) -> Self:
        return cls(tuple(mean.tolist()), tuple(torch.where(constant, 1.0, std).tolist()))


def _blocks(rows: Tensor) -> list[Tensor]:
    return [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]


@final
@dataclass(frozen=True)
class Preprocessing:
    """Expand, scale and standardize the inputs, in this order; standardize a regression's target.

    Made by ``fit`` or ``from_json``.

    Args:
        columns: the names of the F columns before expansion.
        expand: the features added to two columns, in order.
        input_scale: factor of every column after expansion.
        input_moments: of the scaled training inputs, or None to leave them as they are.
        target_moments: of the training target, or None.
        table: how raw columns become the F columns, or None where there are no others.
    """

    columns: tuple[str, ...]
    expand: tuple[str, ...]
    input_scale: float
    input_moments: Moments | None
    target_moments: Moments | None
    table: Encoding | None = None

    @classmethod
    def fit(
        cls, dataset: Dataset, expand: Sequence[str], input_scale: float, standardize: bool, standardize_target: bool
    ) -> Self:
        """Learn the preprocessing from the training split.

        Args:
            dataset: the data set; only its train split is read.
            expand: any of ``x2``, ``y2``, ``xy``, ``sin_x``, ``sin_y``; for two input columns only.
            input_scale: positive factor of the inputs, after expansion.
            standardize: give each input column mean 0 and standard deviation 1 over the training rows.
            standardize_target: the same for the target of a regression.

        Returns:
            The fitted preprocessing.

        Raises:
            ValueError: if a feature is unknown, repeated or unfit for the width, the scale is not positive, or a
                classification target is to be standardized.

        Example:
            >>> from nnlab.data.literal import inline
            >>> data = inline(inputs=[[0.0, 1.0], [2.0, 3.0]], targets=[5.0, 9.0])
            >>> fitted = Preprocessing.fit(data, ["xy"], 1.0, standardize=True, standardize_target=True)
            >>> fitted.inputs(data.train.inputs).tolist(), fitted.target_mean
            ([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]], tensor([7.]))
        """
        _check_expand(expand, dataset.input_names)
        if not (isinstance(input_scale, int | float) and math.isfinite(input_scale) and input_scale > 0):
            raise ValueError(f"data.input_scale: expected a number > 0, found {input_scale!r}")
        if standardize_target and dataset.task != "regression":
            raise ValueError(
                f"data.standardize_target: expected false for a {dataset.task} data set, found true; "
                f"class codes have no mean to take away"
            )
        unscaled = cls(dataset.input_names, tuple(expand), float(input_scale), None, None)
        name = f"inputs {expand} {input_scale}"
        return cls(
            unscaled.columns,
            unscaled.expand,
            unscaled.input_scale,
            Moments.of_split(dataset.train, lambda inputs, _: unscaled.inputs(inputs), name) if standardize else None,
            target_moments(dataset.train) if standardize_target else None,
            dataset.encoding,
        )

    def inputs(self, x: Tensor) -> Tensor:
        """The inputs as the model sees them.

        Args:
            x: rows as the user knows them, float32, shape [N, F].

        Returns:
            Float32, shape [N, F'], on the same device.

        Raises:
            ValueError: if the rows have another number of columns than the training rows.
        """
        if x.ndim != 2 or x.shape[1] != len(self.columns):
            raise ValueError(
                f"inputs: expected rows of {len(self.columns)} columns ({', '.join(self.columns)}), "
                f"found shape {list(x.shape)}"
            )
        if self.expand:
            x = torch.cat([x, *(_FEATURES[name][1](x[:, :1], x[:, 1:]) for name in self.expand)], dim=1)
        if self.input_scale != 1:
            x = x * self.input_scale
        if self.input_moments is None:
            return x
        mean = torch.tensor(self.input_moments.mean, dtype=torch.float64, device=x.device)
        std = torch.tensor(self.input_moments.std, dtype=torch.float64, device=x.device)
        # In float64, because a column far from zero would lose its digits to the subtraction.
        return ((x.double() - mean) / std).float()

    def all_inputs(self, x: Tensor) -> Tensor:
        """As ``inputs``, bit for bit, for many rows: in blocks that stay in the processor's cache.

        Args:
            x: float32, shape [N, F].

        Returns:
            Float32, shape [N, F'].
        """
        return self.inputs(x) if len(x) <= _BLOCK else torch.cat([self.inputs(block) for block in _blocks(x)])

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the F' columns that the model sees."""
        if not self.expand:
            return self.columns
        x, y = self.columns
        return (x, y, *(_FEATURES[name][0].format(x=x, y=y) for name in self.expand))

    @property
    def target_mean(self) -> Tensor | None:
        """The training target's mean, float32 [T], or None where the target is left as it is."""
        return None if self.target_moments is None else torch.tensor(self.target_moments.mean)

    @property
    def target_std(self) -> Tensor | None:
        """The training target's standard deviation, float32 [T], or None where the target is left as it is."""
        return None if self.target_moments is None else torch.tensor(self.target_moments.std)

    def to_json(self) -> dict[str, Any]:
        """Everything needed to do the same to other rows, as plain values.

        Returns:
            A dictionary for ``json.dumps``; its floats are float64 and survive the round trip exactly.
        """
        return {
            "columns": list(self.columns),
            "expand": list(self.expand),
            "input_scale": self.input_scale,
            "input": _moments_to_json(self.input_moments),
            "target": _moments_to_json(self.target_moments),
            "table": None if self.table is None else self.table.to_json(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The preprocessing that ``to_json`` wrote down.

        Args:
            values: what ``json.loads`` gives.

        Returns:
            An equal preprocessing.

        Raises:
            ValueError: if the values are not those of a preprocessing.
        """
        keys = {"columns", "expand", "input_scale", "input", "target"}
        # Runs of an earlier nnlab have no table.
        if not isinstance(values, Mapping) or set(values) - {"table"} != keys:
            found = sorted(values) if isinstance(values, Mapping) else type(values).__name__
            raise ValueError(f"preprocessing: expected the keys {sorted(keys)}, found {found}")
        for key in ("columns", "expand"):
            if not isinstance(values[key], list) or not all(isinstance(name, str) for name in values[key]):
                raise ValueError(f"preprocessing: {key}: expected a list of names, found {values[key]!r}")
        columns, expand = tuple(values["columns"]), tuple(values["expand"])
        _check_expand(expand, columns)
        (input_scale,) = _numbers("input_scale", [values["input_scale"]], 1)
        table = None if values.get("table") is None else Encoding.from_json(values["table"])
        if table is not None and table.input_names != columns:
            raise ValueError("preprocessing: table: expected the encoding of the columns, found that of others")
        return cls(
            columns,
            expand,
            input_scale,
            _moments_from_json("input", values["input"], len(columns) + len(expand)),
            _moments_from_json("target", values["target"], None),
            table,
        )


def target_moments(split: Split) -> Moments:
    """The moments of a split's target.

    Args:
        split: of a regression.
    """
    return Moments.of_split(split, lambda _, target: target, "target")


def _check_expand(expand: Sequence[str], columns: Sequence[str]) -> None:
    known = not isinstance(expand, str) and all(name in list(_FEATURES) for name in expand)
    if not known or len(set(expand)) != len(expand):
        raise ValueError(f"data.expand: expected a list of some of {', '.join(_FEATURES)}, each once, found {expand!r}")
    if expand and len(columns) != 2:
        raise ValueError(
            f"data.expand: expected a data set of two input columns, found {len(columns)}; leave data.expand empty"
        )


def _moments_to_json(moments: Moments | None) -> dict[str, list[float]] | None:
    return None if moments is None else {"mean": list(moments.mean), "std": list(moments.std)}


def _moments_from_json(key: str, values: Any, width: int | None) -> Moments | None:
    if values is None:
        return None
    if not isinstance(values, Mapping) or set(values) != {"mean", "std"}:
        raise ValueError(f"preprocessing: {key}: expected null or a mean and a std, found {values!r}")
    mean = _numbers(f"{key}.mean", values["mean"], width)
    std = _numbers(f"{key}.std", values["std"], len(mean))
    if min(std) <= 0:
        raise ValueError(f"preprocessing: {key}.std: expected numbers > 0, found {min(std)}")
    return Moments(mean, std)


def _numbers(key: str, values: Any, count: int | None) -> tuple[float, ...]:
    if not isinstance(values, list) or not values or (count is not None and len(values) != count):
        wanted = "at least one number" if count is None else f"{count} numbers"
        raise ValueError(f"preprocessing: {key}: expected a list of {wanted}, found {values!r}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"preprocessing: {key}: expected a finite number, found {value!r}")
    return tuple(float(value) for value in values)

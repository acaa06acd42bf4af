"""The tables that come with scikit-learn, as tables of one's own."""

from collections.abc import Sequence

import numpy as np

from nnlab.data.table.column import Column, Table

NAMES = ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")
_TARGETS = {
    "breast_cancer": "diagnosis",
    "diabetes": "progression",
    "digits": "digit",
    "iris": "species",
    "wine": "cultivar",
}


def read_sklearn(name: str | None) -> tuple[Table, tuple[str, ...]]:
    """A bundled set; nothing is downloaded.

    Args:
        name: one of ``NAMES``.

    Returns:
        The table, and the names of its targets: classes as texts; diabetes' inputs in their own units.

    Raises:
        ValueError: for a name that scikit-learn does not bundle.
    """
    if name not in NAMES:
        raise ValueError(f"data.name: expected a set that comes with scikit-learn: {', '.join(NAMES)}, found {name!r}")
    # scikit-learn takes a second to import.
    from sklearn import datasets

    load = getattr(datasets, f"load_{name}")
    # The scaled inputs carry the mean and spread of validation and test rows.
    bunch = load(scaled=False) if name == "diabetes" else load()
    columns = [
        _numbers(str(feature), values) for feature, values in zip(bunch.feature_names, bunch.data.T, strict=True)
    ]
    if name == "linnerud":
        targets = [
            _numbers(str(target), values) for target, values in zip(bunch.target_names, bunch.target.T, strict=True)
        ]
    elif name in ("diabetes", "digits"):
        targets = [_numbers(_TARGETS[name], bunch.target)]
    else:
        targets = [_classes(_TARGETS[name], bunch.target, bunch.target_names)]
    all_columns = {column.name: column for column in (*columns, *targets)}
    return Table(f"scikit-learn's {name}", all_columns, len(bunch.data)), tuple(column.name for column in targets)


def _numbers(name: str, values: np.ndarray) -> Column:
    return Column(name, "number", np.ascontiguousarray(values, np.float64))


def _classes(name: str, codes: np.ndarray, names: Sequence[str]) -> Column:
    return Column(name, "text", codes.astype(np.int32), tuple(map(str, names)))

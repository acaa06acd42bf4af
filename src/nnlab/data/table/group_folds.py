"""Cross-validation that keeps groups of rows together."""

import numpy as np

from nnlab.data.check import check_count
from nnlab.data.table.column import Table
from nnlab.data.table.splits import TRAIN, VALID


def group_folds(table: Table, parts: np.ndarray, name: str, folds: int | None, fold: int, seed: int) -> np.ndarray:
    """Deal the groups of the rows that are not for testing onto folds, one of which is held out.

    Groups come in a seeded order, the largest first; each goes to the fold that has the fewest rows, as scikit-learn's
    GroupKFold does.

    Args:
        table: of N rows.
        parts: the split of each row, int8 [N]; that of test rows stays.
        name: the column of the groups, without empty cells.
        folds: their number, at least 2.
        fold: the one that is held out, from 0.
        seed: of the order.

    Returns:
        The split of each row, int8 [N].

    Raises:
        ValueError: if there are fewer groups than folds, or the fold is none of them.
    """
    if folds is not None:
        check_count("folds", folds, 2)
    if folds is None or isinstance(fold, bool) or not isinstance(fold, int) or not 0 <= fold < folds:
        raise ValueError(f"data.fold: expected an integer from 0 to data.folds - 1, found {fold!r} of {folds!r} folds")
    is_dealt = (parts == TRAIN) | (parts == VALID)
    _, first, group_of, sizes = np.unique(
        table.columns[name].values[is_dealt], return_index=True, return_inverse=True, return_counts=True
    )
    if len(sizes) < folds:
        raise ValueError(f"data.folds: expected at most {len(sizes):,}, one for each group of {name}, found {folds:,}")
    # By their first row, so that the names of the groups have no part in the order.
    bits = np.empty(len(sizes), np.uint64)
    bits[np.argsort(first)] = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(len(sizes))
    filled, fold_of = np.zeros(folds, np.int64), np.empty(len(sizes), np.int64)
    for group in np.lexsort((bits, -sizes)):
        fold_of[group] = np.argmin(filled)
        filled[fold_of[group]] += sizes[group]
    dealt = parts.copy()
    dealt[is_dealt] = np.where(fold_of[group_of] == fold, VALID, TRAIN)
    return dealt

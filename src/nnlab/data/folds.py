"""Cross-validation: the rows that are not for testing, dealt onto folds, one of which is held out."""

from dataclasses import replace

import torch
from torch import Tensor

from nnlab.data.check import check_count
from nnlab.data.dataset import Dataset, Split
from nnlab.seeding import generator


def with_fold(dataset: Dataset, folds: int | None, fold: int, seed: int) -> Dataset:
    """The data set with one fold of its train and validation rows as validation split, and the others to train on.

    The rows of each class are shuffled and dealt onto the folds in turn, like cards: each fold has as many rows as any
    other, and of each class as many, give or take one. The test split stays what it is.

    Args:
        dataset: with its own split.
        folds: their number, at least 2; None leaves the data set as it is.
        fold: the one that is held out, from 0.
        seed: of the order in which rows are dealt: the same for all folds of a data set.

    Returns:
        The same rows, split anew; in both splits they are in the order in which they were.

    Raises:
        ValueError: if there are fewer rows than folds, the fold is none of them, or a class of a single row would be
            missing from what is trained on.

    Source: R. Kohavi, A study of cross-validation and bootstrap for accuracy estimation and model selection, IJCAI
    1995.

    Example:
        >>> from nnlab.data.literal import inline
        >>> data = inline(inputs=[1, 2, 3, 4, 5], targets=[2.0, 4.0, 6.0, 8.0, 10.0])
        >>> held_out = [with_fold(data, 5, fold, seed=0).valid.inputs.item() for fold in range(5)]
        >>> sorted(held_out)
        [1.0, 2.0, 3.0, 4.0, 5.0]
    """
    if folds is None:
        if fold != 0:
            raise ValueError(f"data.fold: found {fold!r}, but data.folds is null: say how many folds there are")
        return dataset
    own = [split for split in (dataset.train, dataset.valid) if split is not None]
    inputs, target = (torch.cat([getattr(split, side) for split in own]) for side in ("inputs", "target"))
    _check(dataset, folds, fold, target)
    is_held_out = _dealt(dataset, target, folds, seed) == fold
    train, valid = (Split(inputs[rows], target[rows]) for rows in (~is_held_out, is_held_out))
    return replace(dataset, train=train, valid=valid)


def fold_words(dataset: Dataset, folds: int | None, fold: int) -> str:
    """Such as ``valid is fold 0 of 5``; empty without folds.

    Args:
        dataset: as ``with_fold`` gives it.
        folds: their number, or None.
        fold: the one that is held out.
    """
    if folds is None or dataset.valid is None:
        return ""
    absent = [name for name, count in class_counts(dataset, dataset.valid.target).items() if not count]
    without = f", which has no row of {', '.join(absent)}" if absent else ""
    return f"valid is fold {fold} of {folds}{without}"


def num_held_out(num_rows: int, folds: int, fold: int) -> int:
    """The rows of a fold: the first ones have one more where the rows cannot be divided evenly.

    Args:
        num_rows: that are dealt.
        folds: onto so many folds.
        fold: whose rows are counted.
    """
    return (num_rows - fold + folds - 1) // folds


def _check(dataset: Dataset, folds: int, fold: int, target: Tensor) -> None:
    check_count("folds", folds, 2)
    if folds > len(target):
        raise ValueError(
            f"data.folds: expected at most {len(target):,}, one for each row to train and to select on, found {folds:,}"
        )
    if isinstance(fold, bool) or not isinstance(fold, int) or not 0 <= fold < folds:
        raise ValueError(f"data.fold: expected an integer from 0 to {folds - 1} for data.folds={folds}, found {fold!r}")
    for name, count in class_counts(dataset, target).items():
        if count == 1:
            raise ValueError(
                f"data.folds: class {name} has a single row to train and to select on: without the fold that has it, "
                "nothing of the class is left to train on; give the class a second row, or leave data.folds null"
            )


def _dealt(dataset: Dataset, target: Tensor, folds: int, seed: int) -> Tensor:
    """The fold of each row, int64 [N]."""
    order = torch.randperm(len(target), generator=generator(seed, "folds"))
    if dataset.class_names:
        order = order[torch.argsort(target.flatten()[order], stable=True)]
    fold_of = torch.empty_like(order)
    fold_of[order] = torch.arange(len(order)) % folds
    return fold_of


def class_counts(dataset: Dataset, target: Tensor) -> dict[str, int]:
    """The rows of each class.

    Args:
        dataset: whose classes they are.
        target: class codes, [N] or [N, 1].

    Returns:
        The counts by the names of the classes; nothing for a regression.
    """
    if not dataset.class_names:
        return {}
    counts = torch.bincount(target.flatten().long(), minlength=len(dataset.class_names)).tolist()
    return dict(zip(dataset.class_names, counts, strict=True))

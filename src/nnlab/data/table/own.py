"""Tables of one's own as data sets: what `data=csv`, `parquet`, `arrow`, `npz` and `sklearn` call."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nnlab.data.dataset import Dataset, Task
from nnlab.data.stream.keeper import Keeper
from nnlab.data.stream.streaming import Source, is_streamed, stream_dataset
from nnlab.data.table.column import Table
from nnlab.data.table.encoding import Encoding, Missing
from nnlab.data.table.make import Choice, make_dataset
from nnlab.data.table.read_arrow import ARROW_ENDINGS, PARQUET_ENDINGS, read_arrow, read_parquet
from nnlab.data.table.read_sklearn import read_sklearn
from nnlab.data.table.splits import Kind as Way
from nnlab.data.table.splits import SplitRule
from nnlab.data.table.table_files import find_files


def csv(
    path: str | None,
    target: str | Sequence[str] | None,
    features: Sequence[str],
    exclude: Sequence[str],
    task: Task | None,
    types: Mapping[str, str] | None,
    missing: Missing,
    max_categories: int,
    delimiter: str | None,
    encoding: str,
    split: Way,
    split_column: str | None,
    valid_fraction: float | None,
    test_fraction: float | None,
    num_valid: int | None,
    num_test: int | None,
    valid_path: str | None,
    test_path: str | None,
    sample_weight: str | None,
    streaming: str | bool,
    seed: int,
    folds: int | None = None,
    fold: int = 0,
    fitted: Encoding | None = None,
) -> Dataset:
    """The rows of a CSV file with a header.

    Args:
        path: the file.
        target: the column to predict, or several for a regression; None for the last one.
        features: the input columns; empty for all but the target and the excluded ones.
        exclude: columns to leave out.
        task: None to infer it from the target: texts, booleans and a few different whole numbers are classes.
        types: kinds by column, where the cells' own kind is not what is meant: ``number``, ``boolean``, ``date`` or
            ``category``.
        missing: ``error`` refuses empty cells, ``drop`` leaves their rows out, ``impute`` fills in what is learnt from
            the training rows.
        max_categories: most different values of a category column.
        delimiter: between cells; None to guess it.
        encoding: of the text.
        split: how rows are dealt: ``auto``, ``random``, ``stratified``, ``group``, ``time``, ``column``, ``order`` or
            ``files``.
        split_column: for ``group``, ``time`` and ``column``.
        valid_fraction: part of the rows to select on; 0 for no such split; None for 0.2, unless there is a count.
        test_fraction: likewise, to report on.
        num_valid: rows to select on, in place of the fraction.
        num_test: rows to report on, in place of the fraction.
        valid_path: a file that is the validation split as it stands.
        test_path: likewise, the test split.
        sample_weight: a column of weights, or None.
        streaming: whether rows stay on disk and are read block by block; ``auto`` where the files have more than 1 GiB.
        seed: of the split.
        folds: for cross-validation, or None.
        fold: the one that is held out, from 0.
        fitted: an encoding that another run has learnt; None to learn it from the training rows.

    Returns:
        The rows as numbers; the task follows from the target. What was guessed, filled in and left out is in its notes.

    Raises:
        ValueError: for a file that is no table and keys that do not fit it, with file, row and column.
    """
    choice = Choice(
        target, features, exclude, task, types or {}, missing, max_categories, sample_weight, seed, folds, fold
    )
    rule = SplitRule(split, split_column, valid_fraction, test_fraction, num_valid, num_test)

    def read(place: str, keeper: Keeper | None) -> Table:
        from nnlab.data.table.read_csv import CsvOptions, read_csv

        return read_csv(Path(place), CsvOptions(delimiter=delimiter, encoding=encoding), keeper)

    source = Source("csv", {"delimiter": delimiter, "encoding": encoding}, lambda place: [Path(place)], read)
    return _dataset(source, path, valid_path, test_path, choice, rule, fitted, streaming)


def parquet(
    path: str | None,
    target: str | Sequence[str] | None,
    features: Sequence[str],
    exclude: Sequence[str],
    task: Task | None,
    types: Mapping[str, str] | None,
    missing: Missing,
    max_categories: int,
    split: Way,
    split_column: str | None,
    valid_fraction: float | None,
    test_fraction: float | None,
    num_valid: int | None,
    num_test: int | None,
    valid_path: str | None,
    test_path: str | None,
    sample_weight: str | None,
    streaming: str | bool,
    seed: int,
    folds: int | None = None,
    fold: int = 0,
    fitted: Encoding | None = None,
) -> Dataset:
    """The rows of Parquet files.

    Args:
        path: a file, a folder of files, or a pattern such as ``parts/*.parquet``.
        target: as for ``csv``, and so are all others.
        features: the input columns.
        exclude: columns to leave out.
        task: None to infer it.
        types: kinds by column.
        missing: what is done with empty cells.
        max_categories: most different values of a category column.
        split: how rows are dealt.
        split_column: for ``group``, ``time`` and ``column``.
        valid_fraction: part of the rows to select on.
        test_fraction: part of the rows to report on.
        num_valid: rows to select on.
        num_test: rows to report on.
        valid_path: files that are the validation split.
        test_path: files that are the test split.
        sample_weight: a column of weights.
        streaming: whether rows stay on disk.
        seed: of the split.
        folds: for cross-validation.
        fold: the one that is held out.
        fitted: an encoding that another run has learnt.

    Returns:
        As ``csv``.

    Raises:
        ValueError: likewise.
    """
    choice = Choice(
        target, features, exclude, task, types or {}, missing, max_categories, sample_weight, seed, folds, fold
    )
    rule = SplitRule(split, split_column, valid_fraction, test_fraction, num_valid, num_test)

    def read(place: str, keeper: Keeper | None) -> Table:
        return read_parquet(place, keeper)

    source = Source("parquet", {}, lambda place: find_files(place, PARQUET_ENDINGS, "a Parquet file"), read)
    return _dataset(source, path, valid_path, test_path, choice, rule, fitted, streaming)


def arrow(
    path: str | None,
    target: str | Sequence[str] | None,
    features: Sequence[str],
    exclude: Sequence[str],
    task: Task | None,
    types: Mapping[str, str] | None,
    missing: Missing,
    max_categories: int,
    split: Way,
    split_column: str | None,
    valid_fraction: float | None,
    test_fraction: float | None,
    num_valid: int | None,
    num_test: int | None,
    valid_path: str | None,
    test_path: str | None,
    sample_weight: str | None,
    streaming: str | bool,
    seed: int,
    folds: int | None = None,
    fold: int = 0,
    fitted: Encoding | None = None,
) -> Dataset:
    """The rows of Arrow IPC or Feather files.

    Args:
        path: a file, a folder of files, or a pattern such as ``parts/*.arrow``.
        target: as for ``csv``, and so are all others.
        features: the input columns.
        exclude: columns to leave out.
        task: None to infer it.
        types: kinds by column.
        missing: what is done with empty cells.
        max_categories: most different values of a category column.
        split: how rows are dealt.
        split_column: for ``group``, ``time`` and ``column``.
        valid_fraction: part of the rows to select on.
        test_fraction: part of the rows to report on.
        num_valid: rows to select on.
        num_test: rows to report on.
        valid_path: files that are the validation split.
        test_path: files that are the test split.
        sample_weight: a column of weights.
        streaming: whether rows stay on disk.
        seed: of the split.
        folds: for cross-validation.
        fold: the one that is held out.
        fitted: an encoding that another run has learnt.

    Returns:
        As ``csv``.

    Raises:
        ValueError: likewise.
    """
    choice = Choice(
        target, features, exclude, task, types or {}, missing, max_categories, sample_weight, seed, folds, fold
    )
    rule = SplitRule(split, split_column, valid_fraction, test_fraction, num_valid, num_test)

    def read(place: str, keeper: Keeper | None) -> Table:
        return read_arrow(place, keeper)

    source = Source("arrow", {}, lambda place: find_files(place, ARROW_ENDINGS, "an Arrow file"), read)
    return _dataset(source, path, valid_path, test_path, choice, rule, fitted, streaming)


def npz(
    path: str | None,
    target: str | Sequence[str] | None,
    features: Sequence[str],
    exclude: Sequence[str],
    task: Task | None,
    types: Mapping[str, str] | None,
    missing: Missing,
    max_categories: int,
    split: Way,
    split_column: str | None,
    valid_fraction: float | None,
    test_fraction: float | None,
    num_valid: int | None,
    num_test: int | None,
    valid_path: str | None,
    test_path: str | None,
    sample_weight: str | None,
    streaming: str | bool,
    seed: int,
    folds: int | None = None,
    fold: int = 0,
    fitted: Encoding | None = None,
) -> Dataset:
    """The rows of NumPy arrays in one file: ``X`` and ``y``, ``inputs`` and ``target``, or columns by name.

    Args:
        path: the file.
        target: as for ``csv``, and so are all others.
        features: the input columns.
        exclude: columns to leave out.
        task: None to infer it.
        types: kinds by column.
        missing: what is done with empty cells.
        max_categories: most different values of a category column.
        split: how rows are dealt.
        split_column: for ``group``, ``time`` and ``column``.
        valid_fraction: part of the rows to select on.
        test_fraction: part of the rows to report on.
        num_valid: rows to select on.
        num_test: rows to report on.
        valid_path: a file that is the validation split.
        test_path: a file that is the test split.
        sample_weight: a column of weights.
        streaming: whether rows stay on disk.
        seed: of the split.
        folds: for cross-validation.
        fold: the one that is held out.
        fitted: an encoding that another run has learnt.

    Returns:
        As ``csv``.

    Raises:
        ValueError: likewise.
    """
    choice = Choice(
        target, features, exclude, task, types or {}, missing, max_categories, sample_weight, seed, folds, fold
    )
    rule = SplitRule(split, split_column, valid_fraction, test_fraction, num_valid, num_test)

    def read(place: str, keeper: Keeper | None) -> Table:
        from nnlab.data.table.read_npz import read_npz

        del keeper  # a compressed array is in memory as a whole
        return read_npz(Path(place))

    source = Source("npz", {}, lambda place: [Path(place)], read)
    return _dataset(source, path, valid_path, test_path, choice, rule, fitted, streaming)


def sklearn(
    name: str | None,
    target: str | Sequence[str] | None,
    features: Sequence[str],
    exclude: Sequence[str],
    task: Task | None,
    split: Way,
    split_column: str | None,
    valid_fraction: float | None,
    test_fraction: float | None,
    num_valid: int | None,
    num_test: int | None,
    seed: int,
    folds: int | None = None,
    fold: int = 0,
    fitted: Encoding | None = None,
) -> Dataset:
    """A set that comes with scikit-learn, taken the way that a table of one's own takes.

    Args:
        name: breast_cancer, diabetes, digits, iris, linnerud or wine.
        target: None for the set's own: three of linnerud's, one of the others'.
        features: the input columns; empty for all that are left.
        exclude: columns to leave out.
        task: None to infer it from the target.
        split: how rows are dealt, as for ``csv``.
        split_column: for ``group`` and ``time``.
        valid_fraction: part of the rows to select on; None for 0.2, unless there is a count.
        test_fraction: part of the rows to report on; likewise.
        num_valid: rows to select on, in place of the fraction.
        num_test: rows to report on, in place of the fraction.
        seed: of the split.
        folds: for cross-validation, or None.
        fold: the one that is held out, from 0.
        fitted: an encoding that another run has learnt; None to learn it from the training rows.

    Returns:
        The rows as numbers; classes are in alphabetical order.

    Raises:
        ValueError: for an unknown set, and keys that do not fit it.

    Example:
        >>> rule = {"split": "auto", "split_column": None, "valid_fraction": 0.2, "test_fraction": 0.0}
        >>> rule |= {"num_valid": None, "num_test": None, "seed": 0}
        >>> data = sklearn("linnerud", target=None, features=[], exclude=[], task=None, **rule)
        >>> data.input_names, data.target_names, len(data.train)
        (('Chins', 'Situps', 'Jumps'), ('Weight', 'Waist', 'Pulse'), 16)
    """
    table, own = read_sklearn(name)
    choice = Choice(
        list(own) if target is None else target, features, exclude, task, {}, "error", 50, None, seed, folds, fold
    )
    rule = SplitRule(split, split_column, valid_fraction, test_fraction, num_valid, num_test)
    return make_dataset(table, choice, rule, {}, fitted)


def _dataset(
    source: Source,
    path: str | None,
    valid_path: str | None,
    test_path: str | None,
    choice: Choice,
    rule: SplitRule,
    fitted: Encoding | None,
    streaming: str | bool,
) -> Dataset:
    if path is None:
        raise ValueError("data.path: expected a file, such as data.path=house.csv, found null")
    paths = {name: place for name, place in (("valid", valid_path), ("test", test_path)) if place is not None}
    rule = _with_files(rule, list(paths))
    if is_streamed(streaming, source, [path, *paths.values()]):
        return stream_dataset(source, {"train": path, **paths}, choice, rule, fitted)
    table = _read("data.path", path, source)
    others = {name: _read(f"data.{name}_path", place, source) for name, place in paths.items()}
    return make_dataset(table, choice, rule, others, fitted)


def _read(key: str, place: str, source: Source) -> Table:
    try:
        return source.read(place, None)
    except OSError as error:
        raise ValueError(f"{key}: {place} cannot be read: {error.strerror or error}") from None


def _with_files(rule: SplitRule, names: Sequence[str]) -> SplitRule:
    """The rule for the rows of the main file: a split that has a file of its own gets none of them."""
    if rule.split == "files" and not names:
        raise ValueError("data.split: files needs data.valid_path or data.test_path, found neither")
    if rule.split == "column" and names:
        raise ValueError(
            f"data.{names[0]}_path: with data.split=column, {rule.split_column} says what is {names[0]}; leave it out"
        )
    for name in names:
        for key in (f"{name}_fraction", f"num_{name}"):
            if getattr(rule, key) is not None:
                raise ValueError(f"data.{key}: data.{name}_path is the {name} split; leave one of them out")
    if rule.split == "files":
        return rule
    if "valid" in names:
        rule = replace(rule, valid_fraction=0.0)
    return replace(rule, test_fraction=0.0) if "test" in names else rule

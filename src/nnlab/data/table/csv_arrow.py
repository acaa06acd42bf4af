"""A CSV file by pyarrow: several threads, no Python for single cells."""

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any, final

import numpy as np

from nnlab.data.stream.keeper import Keeper
from nnlab.data.table.cells import MISSING, Written
from nnlab.data.table.csv_layout import Layout
from nnlab.data.table.csv_lines import count_lines, lines_of
from nnlab.data.table.csv_parts import Cells, Parts, WrongGuess

_COLUMN = re.compile(r"In CSV column #(\d+)")
#: bytes that a thread takes at once; a row has to fit
_BLOCK = 1 << 21
#: dtype of dates
_DATES = "datetime64[us]"


def read_by_arrow(layout: Layout, written: Sequence[Written], keeper: Keeper) -> Parts | None:
    """Read a file.

    Args:
        layout: of the file, whose encoding writes ASCII as ASCII.
        written: for each column, how its cells are taken to be written.
        keeper: where the cells go; where they stay on disk, the file is read block by block, by one thread.

    Returns:
        The columns, and the lines of their rows; None where pyarrow does not understand the file.

    Raises:
        WrongGuess: for a column that holds something else.
        ValueError: for a quote that is never closed.
        OSError: if the file cannot be read.
    """
    import pyarrow

    count = count_lines(layout.path)
    growing = [_Growing(written, place, keeper) for place in range(len(written))]
    num_rows = 0
    try:
        for table in _tables(layout, written, count.num_quotes > 0, keeper.is_on_disk):
            num_rows += table.num_rows
            # Each column is given back before the next one is copied.
            for name in table.column_names:
                growing[int(name)].add(table.column(name))
                table = table.drop_columns([name])
    except pyarrow.ArrowInvalid as error:
        found = _COLUMN.match(str(error))
        if found is None or written[int(found[1])] == "text":
            return None
        raise WrongGuess(int(found[1])) from None
    lines = lines_of(layout, count, num_rows)
    return None if lines is None else Parts([column.finished() for column in growing], lines)


@final
class _Growing:
    """A column whose cells come piece by piece."""

    def __init__(self, written: Sequence[Written], place: int, keeper: Keeper) -> None:
        self._written, self._place = written, place
        how = written[place]
        stored = {"number": "float64", "comma": "float64", "boolean": "float64", "date": _DATES, "zoned": _DATES}
        self._pieces = keeper.pieces(stored.get(how, "int32"))
        self._code_of: dict[str, int] | None = None if how in stored else {}

    def add(self, column: Any) -> None:
        """Take the next cells, a column of pyarrow."""
        from nnlab.data.table.arrow_cells import plain_cells

        cells, texts = plain_cells(column)
        if self._code_of is not None and texts is not None:
            code_of = self._code_of
            is_first = not code_of
            codes = [code_of.setdefault(text, len(code_of)) for text in texts]
            cells = cells if is_first else np.array([*codes, -1], np.int32)[cells]
        self._pieces.add(cells)

    def finished(self) -> Cells:
        """All cells."""
        values = self._pieces.joined()
        if self._code_of is not None:
            return Cells(values, tuple(self._code_of), "text")
        return Cells(values, None, _how(values, self._written, self._place))


def _tables(layout: Layout, written: Sequence[Written], has_quotes: bool, in_blocks: bool) -> Iterator[Any]:
    """The rows, in one table of pyarrow or in several."""
    import pyarrow
    from pyarrow import csv

    types = {
        "number": pyarrow.float64(),
        "comma": pyarrow.float64(),
        "boolean": pyarrow.bool_(),
        "date": pyarrow.timestamp("us"),
        "zoned": pyarrow.timestamp("us", "UTC"),
    }
    text = pyarrow.dictionary(pyarrow.int32(), pyarrow.utf8())
    # Columns go by their place: names may be anything.
    names = [str(place) for place in range(len(written))]
    options = {
        "read_options": csv.ReadOptions(
            column_names=names,
            skip_rows_after_names=1,
            block_size=_BLOCK,
            encoding="utf8" if layout.encoding == "utf-8-sig" else layout.encoding,
        ),
        "parse_options": csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=has_quotes),
        "convert_options": csv.ConvertOptions(
            column_types={name: types.get(how, text) for name, how in zip(names, written, strict=True)},
            null_values=_any_case(MISSING),
            true_values=_any_case({"true"}),
            false_values=_any_case({"false"}),
            strings_can_be_null=True,
            decimal_point="," if "comma" in written else ".",
        ),
    }
    with pyarrow.OSFile(str(layout.path)) as file:  # a path that ends in .gz would be unpacked
        if not in_blocks:
            yield csv.read_csv(file, **options)
            return
        for batch in csv.open_csv(file, **options):
            yield pyarrow.Table.from_batches([batch])


def _how(values: np.ndarray, written: Sequence[Written], place: int) -> Written:
    """How a column that is not of texts is written: where a comma stands before decimals, it does so in all columns."""
    if written[place] != "number" or "comma" not in written:
        return written[place]
    has_decimals = (values != np.trunc(values)) & ~np.isnan(values)
    return "comma" if has_decimals.any() else "number"


def _any_case(words: set[str] | frozenset[str]) -> list[str]:
    """All ways to write words in small and capital letters."""
    pairs = (zip(word, word.upper(), strict=True) for word in words)
    return sorted({"".join(letters) for pair in pairs for letters in itertools.product(*pair)})

"""A CSV file by pyarrow: several threads, no Python for single cells."""

import itertools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnlab.data.table.cells import MISSING, Written
from nnlab.data.table.csv_layout import Layout
from nnlab.data.table.csv_lines import count_lines, lines_of
from nnlab.data.table.csv_parts import Cells, Parts, WrongGuess

_COLUMN = re.compile(r"In CSV column #(\d+)")
#: bytes that a thread takes at once; a row has to fit
_BLOCK = 1 << 21


def read_by_arrow(layout: Layout, written: Sequence[Written]) -> Parts | None:
    """Read a file.

    Args:
        layout: of the file, whose encoding writes ASCII as ASCII.
        written: for each column, how its cells are taken to be written.

    Returns:
        The columns, and the lines of their rows; None where pyarrow does not understand the file.

    Raises:
        WrongGuess: for a column that holds something else.
        ValueError: for a quote that is never closed.
        OSError: if the file cannot be read.
    """
    import pyarrow

    from nnlab.data.table.arrow_cells import plain_cells

    count = count_lines(layout.path)
    try:
        table = _read(layout, written, count.num_quotes > 0)
    except pyarrow.ArrowInvalid as error:
        found = _COLUMN.match(str(error))
        if found is None or written[int(found[1])] == "text":
            return None
        raise WrongGuess(int(found[1])) from None
    lines = lines_of(layout, count, table.num_rows)
    if lines is None:
        return None
    columns = []
    # Each column is given back before the next one is copied.
    for name in table.column_names:
        values, texts = plain_cells(table.column(name))
        columns.append(Cells(values, texts, "text" if texts is not None else _how(values, written, int(name))))
        table = table.drop_columns([name])
    return Parts(columns, lines)


def _read(layout: Layout, written: Sequence[Written], has_quotes: bool) -> Any:
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
    with pyarrow.OSFile(str(layout.path)) as file:  # a path that ends in .gz would be unpacked
        return csv.read_csv(
            file,
            read_options=csv.ReadOptions(
                column_names=names,
                skip_rows_after_names=1,
                block_size=_BLOCK,
                encoding="utf8" if layout.encoding == "utf-8-sig" else layout.encoding,
            ),
            parse_options=csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=has_quotes),
            convert_options=csv.ConvertOptions(
                column_types={name: types.get(how, text) for name, how in zip(names, written, strict=True)},
                null_values=_any_case(MISSING),
                true_values=_any_case({"true"}),
                false_values=_any_case({"false"}),
                strings_can_be_null=True,
                decimal_point="," if "comma" in written else ".",
            ),
        )


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

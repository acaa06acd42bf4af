"""Tables of one's own whose rows stay on disk."""

import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from nnlab.data.dataset import Dataset, Split
from nnlab.data.stream import cache
from nnlab.data.stream.keeper import Keeper, OnDisk
from nnlab.data.stream.stored import StoredRows
from nnlab.data.table.column import Table
from nnlab.data.table.column_encoding import Found
from nnlab.data.table.encoding import ROWS_OF_BLOCK, Encoding
from nnlab.data.table.made_notes import input_notes, left_out_note, repeated_notes
from nnlab.data.table.make import PARTS, Choice, Columns, check_other, deal, num_empty, usable_rows
from nnlab.data.table.splits import SplitRule

log = logging.getLogger("nnlab")

#: bytes of a table's files beyond which ``data.streaming=auto`` leaves its rows on disk
AUTO_BYTES = 1 << 30
#: bytes of files that take some seconds to read
_LONG_BYTES = 100_000_000
#: rows beyond which none are looked for that stand in two splits, which takes 24 bytes a row
MOST_COMPARED = 1 << 24


@final
@dataclass(frozen=True)
class Source:
    """Where a table comes from.

    Args:
        kind: the option below ``data``, such as ``csv``.
        settings: what decides how its files are read, plain values.
        files: from what the user wrote to the files that he means.
        read: reads them.
    """

    kind: str
    settings: Mapping[str, Any]
    files: Callable[[str], Sequence[Path]]
    read: Callable[[str, Keeper | None], Table]


def is_streamed(streaming: str | bool, source: Source, places: Sequence[str]) -> bool:
    """Whether rows stay on disk.

    Args:
        streaming: ``data.streaming``.
        source: of the table.
        places: what the user wrote.

    Raises:
        ValueError: for another value than ``auto``, true and false.
    """
    if isinstance(streaming, bool):
        return streaming
    if streaming != "auto":
        raise ValueError(f"data.streaming: expected auto, true or false, found {streaming!r}")
    return _size(source, places) > AUTO_BYTES


def stream_dataset(
    source: Source, places: Mapping[str, str], choice: Choice, rule: SplitRule, fitted: Encoding | None
) -> Dataset:
    """A data set of one's own rows that stay on disk.

    The first time, the table is read piece by piece, its columns kept on disk meanwhile, and the rows of each split are
    written into the cache as the numbers that ``make_dataset`` would give. From then on only these are read.

    Args:
        source: of the tables.
        places: what the user wrote, by split; ``train`` is the table whose rows are dealt.
        choice: what the user says of it.
        rule: how its rows are dealt.
        fitted: an encoding that another run has learnt; None to learn it from the training rows.

    Returns:
        The data set, its tensors mapped into memory.

    Raises:
        ValueError: as ``make_dataset``, and for a cache that cannot be written.
    """
    if choice.sample_weight is not None:
        raise ValueError("data.sample_weight: rows that stay on disk have no weights; set data.streaming=false")
    files = {split: source.files(place) for split, place in places.items()}
    decides = {
        "kind": source.kind,
        "settings": dict(source.settings),
        "files": {split: len(own) for split, own in files.items()},
        "choice": asdict(choice),
        "rule": asdict(rule),
        "fitted": None if fitted is None else fitted.to_json(),
    }
    try:
        key = cache.key_of([file for own in files.values() for file in own], decides)
    except OSError as error:
        raise ValueError(f"data.path: {error.filename} cannot be read: {error.strerror or error}") from None
    if cache.found(key) is None:
        _convert(key, source, places, choice, rule, fitted)
    entry = cache.found(key)
    if entry is None:
        raise ValueError(f"data.streaming: {cache.rows_folder() / key} has gone while it was made; begin again")
    return _opened(*entry, places, choice.seed)


def _size(source: Source, places: Sequence[str]) -> int:
    return sum(file.stat().st_size for place in places for file in source.files(place) if file.is_file())


def _convert(
    key: str,
    source: Source,
    places: Mapping[str, str],
    choice: Choice,
    rule: SplitRule,
    fitted: Encoding | None,
) -> None:
    began_s = time.monotonic()
    size = _size(source, list(places.values()))
    level = logging.WARNING if size > _LONG_BYTES else logging.INFO  # one wants to know what takes a minute
    log.log(level, "data: %s (%s) is read once into the cache", ", ".join(places.values()), _bytes(size))

    def fill(folder: Path) -> dict[str, Any]:
        columns = folder / "columns"
        columns.mkdir()
        tables = {split: source.read(place, _keeper(columns, split)) for split, place in places.items()}
        meta = _write(folder, tables, choice, rule, fitted)
        shutil.rmtree(columns)
        return meta | {"places": dict(places)}

    try:
        cache.make(key, fill)
    except OSError as error:
        raise ValueError(
            f"data.streaming: the rows cannot be kept in {cache.rows_folder()}: {error.strerror or error}; "
            "NNLAB_CACHE names another folder"
        ) from None
    log.info("data: done in %.1f s", time.monotonic() - began_s)


def _keeper(folder: Path, split: str) -> Keeper:
    (folder / split).mkdir()
    return OnDisk(folder / split)


def _write(
    folder: Path, tables: Mapping[str, Table], choice: Choice, rule: SplitRule, fitted: Encoding | None
) -> dict[str, Any]:
    """Write the rows of all splits; returns what ``meta.json`` says of them."""
    others = {split: table for split, table in tables.items() if split != "train"}
    dealt = deal(tables["train"], choice, rule, others, fitted)
    encoding, parts = dealt.encoding, dealt.parts
    writer = _Writer(folder, encoding)
    splits, said = {}, list[str]()
    found = [Found() for _ in encoding.columns]
    for split, part in PARTS.items():
        if split in others:
            check_other(others[split], dealt.columns)
            splits[split], own = _write_other(writer, split, others[split], dealt.columns, choice, encoding)
            said += own
            continue
        chosen = parts[dealt.rows] == part
        if chosen.any():
            splits[split] = writer.write(split, dealt.table, dealt.rows[chosen], dealt.targets[chosen], found)
    notes = list(dealt.notes)
    for column, cells in zip(encoding.columns, found, strict=True):
        notes += column.notes(dealt.table, cells)
    notes += [*said, *_repeats(tables, (*dealt.columns.features, *dealt.columns.target), parts)]
    if fitted is None:
        notes += input_notes(encoding, writer.low, writer.high)
    return {
        "encoding": encoding.to_json(),
        "splits": splits,
        "notes": list(dict.fromkeys(notes)),
        "num_empty": list(num_empty(dealt.table, encoding, parts)),
        "fingerprint": writer.digest.hexdigest(),
    }


def _write_other(
    writer: "_Writer", split: str, table: Table, columns: Columns, choice: Choice, encoding: Encoding
) -> tuple[dict[str, Any], list[str]]:
    """A split that has a table of its own."""
    rows = usable_rows(table, columns, encoding.missing)
    found = [Found() for _ in encoding.columns]
    about = writer.write(split, table, rows, encoding.target.encode(table, rows), found)
    said = [*table.notes, *left_out_note(table, table.num_rows - len(rows), len(rows))]
    for column, cells in zip(encoding.columns, found, strict=True):
        said += column.notes(table, cells)
    return about, said


def _repeats(tables: Mapping[str, Table], names: Sequence[str], parts: np.ndarray) -> list[str]:
    num_rows = sum(table.num_rows for table in tables.values())
    if num_rows > MOST_COMPARED:
        return [f"whether a row stands in two splits was not looked for in {num_rows:,} rows"]
    return repeated_notes(tables, names, parts)


@final
class _Writer:
    """Writes the rows of splits, one split after the other, as ``Split`` has them.

    Args:
        folder: for the files.
        encoding: of the tables.
    """

    def __init__(self, folder: Path, encoding: Encoding) -> None:
        self._folder = folder
        self._encoding = encoding
        #: as ``nnlab.rows.fingerprint`` has it
        self.digest = hashlib.sha256()
        #: the extremes of each training input
        self.low = np.full(len(encoding.input_names), np.inf, np.float32)
        self.high = -self.low

    def write(
        self, split: str, table: Table, rows: np.ndarray, targets: np.ndarray, found: list[Found]
    ) -> dict[str, Any]:
        """Write a split; returns what ``meta.json`` says of it."""
        task = self._encoding.target.task
        targets = targets.astype(np.float32)[:, None] if task == "binary" else targets
        shape = (len(rows), len(self._encoding.input_names))
        self.digest.update(f"{split} {shape} torch.float32".encode())
        with open(self._folder / f"{split}.inputs", "wb") as file:
            for block in self._encoding.encode_in_blocks(table, rows, found):
                block.tofile(file)
                self.digest.update(block.reshape(-1).data)
                if split == "train":
                    self.low, self.high = (
                        np.minimum(self.low, block.min(axis=0)),
                        np.maximum(self.high, block.max(axis=0)),
                    )
        self.digest.update(f"{split} {tuple(targets.shape)} torch.{targets.dtype}".encode())
        with open(self._folder / f"{split}.target", "wb") as file:
            for start in range(0, len(targets), ROWS_OF_BLOCK):
                block = np.ascontiguousarray(targets[start : start + ROWS_OF_BLOCK])
                block.tofile(file)
                self.digest.update(block.reshape(-1).data)
        return {"num_rows": len(rows), "target_shape": list(targets.shape[1:]), "target_dtype": str(targets.dtype)}


def _opened(folder: Path, meta: Mapping[str, Any], places: Mapping[str, str], seed: int) -> Dataset:
    encoding = Encoding.from_json(meta["encoding"])
    splits: dict[str, Split | None] = dict.fromkeys(PARTS)
    for name, about in meta["splits"].items():
        stored = StoredRows(
            folder / f"{name}.inputs",
            folder / f"{name}.target",
            about["num_rows"],
            len(encoding.input_names),
            tuple(about["target_shape"]),
            about["target_dtype"],
            seed,
        )
        splits[name] = Split(*stored.mapped(), stored=stored)
    train = splits["train"]
    assert train is not None
    notes = list(meta["notes"])
    for split, place in meta["places"].items():  # the same content may lie elsewhere now
        notes = [note.replace(place, places[split]) for note in notes]
    size = sum(meta["files"].values())
    streamed = f"rows stay on disk, {_bytes(size)} in {folder}, and are read block by block (data.streaming)"
    return Dataset(
        encoding.target.task,
        train,
        splits["valid"],
        splits["test"],
        encoding.input_names,
        encoding.target.names,
        encoding.target.class_names,
        encoding=encoding,
        notes=(*notes, streamed),
        num_empty=tuple(meta["num_empty"]),
        fingerprint=meta["fingerprint"],
    )


def _bytes(number: int) -> str:
    return f"{number / 1e9:.2f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"

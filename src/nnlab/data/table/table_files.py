"""The files that a path means: one, those of a folder, or those that fit a pattern."""

import glob
from collections.abc import Sequence
from pathlib import Path


def find_files(path: str, endings: Sequence[str], what: str) -> list[Path]:
    """The files of a table.

    Args:
        path: of a file; of a folder, for the files below it; or a pattern such as ``parts/*.parquet``.
        endings: of the files that count in a folder, such as ``.parquet``.
        what: they are, for messages, such as ``a Parquet file``.

    Returns:
        At least one file, in the order of their names. Names that begin with a point or an underscore are passed over,
        in a folder and by a pattern: other programs keep their notes there.

    Raises:
        ValueError: if there is no such file.
    """
    place = Path(path)
    if place.is_dir():
        found = [file for file in place.rglob("*") if file.suffix.lower() in endings and file.is_file()]
        files = sorted(file for file in found if not _is_hidden(file.relative_to(place)))
        if not files:
            raise ValueError(f"{path}: expected {what}, found a folder without one that ends in {' or '.join(endings)}")
        return files
    if place.exists() or not glob.has_magic(path):
        if not place.is_file():
            raise ValueError(f"{path}: there is no such file")
        return [place]
    files = sorted(Path(name) for name in glob.glob(path, recursive=True))
    files = [file for file in files if file.is_file() and not file.name.startswith(("_", "."))]
    if not files:
        raise ValueError(f"{path}: no file fits this pattern")
    return files


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(("_", ".")) for part in path.parts)

"""Where a text is not in the encoding that it should have."""

import codecs
from pathlib import Path


def wrong_encoding(path: Path, encoding: str) -> ValueError:
    """An error that names the first byte that cannot be decoded.

    Args:
        path: of the file.
        encoding: what it should have.
    """
    name = codecs.lookup(encoding).name
    advice = "set data.encoding to what the file has, such as latin-1, cp1252 or utf-16"
    decoder = codecs.getincrementaldecoder(name)()
    offset, line = 0, 1
    with open(path, "rb") as file:
        for block in file:
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                # The decoder may have kept the start of a character from the block before.
                place = max(0, offset + len(block) - len(error.object)) + error.start
                found = f"0x{error.object[error.start]:02x}, byte {place + 1:,} of the file"
                return ValueError(f"{path}: line {line:,}: {found}, is not {name} ({error.reason}); {advice}")
            offset, line = offset + len(block), line + 1
    return ValueError(f"{path}: the file ends within a character of {name}; {advice}")

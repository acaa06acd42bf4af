"""TensorBoard's event file: an append-only file of checked records."""

import os
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import final

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorboard.compat.proto.event_pb2 import Event

from nnlab.durable import sync_file

PATTERN = "events.out.tfevents.*"

_MAX_HELD_BYTES = 1 << 20


@final
class EventFile:
    """Writes ``Event`` protos into a new file of a run's folder.

    The file is open only while it is written: a stack trains hundreds of members, more than a process may have open
    files. A write that fails leaves whole records on disk and keeps the rest for the next try.

    The framing is that of tensorboard's ``RecordWriter``, repeated here because importing that costs 0.15 s
    (it brings fsspec and asyncio) where the protos alone cost 0.02 s.

    Args:
        folder: the run's folder. The file sorts after every event file that is there already, since TensorBoard reads
            them in the order of their names, even if the clock went back.
        flush_every_s: seconds for which records may be held back.
    """

    def __init__(self, folder: Path, flush_every_s: float) -> None:
        names = [path.name.split(".")[3] for path in folder.glob(PATTERN)]
        earlier = [int(moment) for moment in names if moment.isdecimal()]
        seconds = max([int(time.time()), *(moment + 1 for moment in earlier)])
        self.path = folder / f"events.out.tfevents.{seconds:010d}.{socket.gethostname()}.{os.getpid()}.0"
        self._flush_every_s = flush_every_s
        self._held: list[bytes] = []
        self._num_held_bytes = 0
        self._framed = b""
        self._size = 0
        self._flushed_at = time.monotonic()
        self.path.touch(exist_ok=False)
        self.write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def write(self, event: Event) -> None:
        """Add an event; it reaches the disk within ``flush_every_s`` of the next call, or at ``flush``.

        Raises:
            OSError: if it was time to write and the disk did not take it; the event is kept.
        """
        payload = event.SerializeToString()
        self._held.append(payload)
        self._num_held_bytes += len(payload)
        if self._num_held_bytes > _MAX_HELD_BYTES or time.monotonic() - self._flushed_at >= self._flush_every_s:
            self.flush()

    def flush(self, durably: bool = False) -> None:
        """Write what is held back.

        Args:
            durably: whether to wait until it would survive a power failure.

        Raises:
            OSError: if the disk did not take it; it is kept.
        """
        self._flushed_at = time.monotonic()
        self._framed += records(self._held)
        self._held.clear()
        if not self._framed and not durably:
            return
        with open(self.path, "r+b", buffering=0) as file:
            file.seek(self._size)
            written = file.write(self._framed)
            if written < len(self._framed):
                # A nearly full disk takes a part first and complains only at the next write.
                file.truncate(self._size)
                raise OSError(28, "No space left on device", str(self.path))
            if durably:
                sync_file(file.fileno())
        self._size += written
        self._framed, self._num_held_bytes = b"", 0


def read_events(folder: Path) -> Iterator[Event]:
    """The events that a folder's files hold, in the order in which TensorBoard reads them; torn ends are left out.

    Args:
        folder: a run's folder.
    """
    for path in sorted(folder.glob(PATTERN)):
        content = path.read_bytes()
        start = 0
        while start + 12 <= len(content):
            (length,) = struct.unpack_from("<Q", content, start)
            payload = content[start + 12 : start + 12 + length]
            if len(payload) < length:
                break
            try:
                yield Event.FromString(payload)
            except DecodeError:
                break
            start += 12 + length + 4


def records(payloads: Sequence[bytes]) -> bytes:
    """Frame payloads: for each its length, that length's checksum, the payload, its checksum.

    The format is TensorFlow's TFRecord (tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details").
    """
    lengths = [struct.pack("<Q", len(payload)) for payload in payloads]
    of_length = {length: _framed_crc(_crc(length)) for length in dict.fromkeys(lengths)}
    parts: list[bytes] = []
    for length, payload, crc in zip(lengths, payloads, _crcs(payloads), strict=True):
        parts += [length, of_length[length], payload, _framed_crc(crc)]
    return b"".join(parts)


def _framed_crc(crc: int) -> bytes:
    """A checksum as the format has it: turned and added to, since records may lie in records."""
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _crcs(payloads: Sequence[bytes]) -> list[int]:
    """The checksum of each; those of one length, as the rows of one training are, together."""
    by_length: dict[int, list[int]] = {}
    for number, payload in enumerate(payloads):
        by_length.setdefault(len(payload), []).append(number)
    found = [0] * len(payloads)
    for length, numbers in by_length.items():
        if len(numbers) == 1 or not 4 <= length <= _BLOCK:
            crcs = [_crc(payloads[number]) for number in numbers]
        else:
            rows = np.frombuffer(b"".join(payloads[number] for number in numbers), np.uint8).reshape(-1, length)
            crcs = (_of_block(rows ^ _first_bytes(0xFFFFFFFF, length)) ^ np.uint32(0xFFFFFFFF)).tolist()
        for number, crc in zip(numbers, crcs, strict=True):
            found[number] = crc
    return found


def _crc(payload: bytes) -> int:
    """CRC-32C of one payload."""
    crc = 0xFFFFFFFF
    if len(payload) < _SHORT:
        for byte in payload:
            crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
        return crc ^ 0xFFFFFFFF
    whole = np.frombuffer(payload, np.uint8)
    for start in range(0, len(whole), _BLOCK):
        block = whole[start : start + _BLOCK]
        left = crc >> (8 * len(block)) if len(block) < 4 else 0
        crc = left ^ int(_of_block((block ^ _first_bytes(crc, len(block)))[None])[0])
    return crc ^ 0xFFFFFFFF


def _first_bytes(crc: int, length: int) -> np.ndarray:
    """What the bytes before have left, which enters with the first four, uint8 [length]."""
    found = np.zeros(length, np.uint8)
    head = min(4, length)
    found[:head] = np.frombuffer(struct.pack("<I", crc), np.uint8)[:head]
    return found


def _of_block(rows: np.ndarray) -> np.ndarray:
    """What rows of at most 1,024 bytes, uint8 [N, L], make of an empty checksum, uint32 [N]."""
    behind = np.arange(rows.shape[1] - 1, -1, -1)
    found: np.ndarray = np.bitwise_xor.reduce(_block_tables()[behind, rows], axis=1)
    return found


#: bytes up to which a loop over them is faster, and bytes that are looked up at once
_SHORT, _BLOCK = 64, 1024


@cache
def _block_tables() -> np.ndarray:
    """What a byte does to the checksum with that many bytes behind it, uint32 [1024, 256]: the checksum is linear.

    Sarwate's table-driven checksum (Communications of the ACM 31, 1988), a table for each place of a block.
    """
    first = np.array(_CRC_TABLE, np.uint32)
    tables = [first]
    while len(tables) < _BLOCK:
        tables.append((tables[-1] >> 8) ^ first[tables[-1] & 0xFF])
    return np.stack(tables)


def _crc_table() -> tuple[int, ...]:
    """The table of CRC-32C (Castagnoli), polynomial 0x1EDC6F41, reflected."""
    entries = []
    for entry in range(256):
        for _ in range(8):
            entry = (entry >> 1) ^ (0x82F63B78 if entry & 1 else 0)
        entries.append(entry)
    return tuple(entries)


_CRC_TABLE = _crc_table()

"""The rows of a split on disk."""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from nnlab.durable import write_atomic

#: neighbouring rows in a sample
_ROWS_OF_PLACE = 100


@final
@dataclass(frozen=True)
class StoredRows:
    """Inputs and target of N rows, each in a file of plain numbers, row after row.

    Args:
        inputs: the file of the inputs, float32 [N, F].
        target: the file of the target, ``target_dtype`` [N, …].
        num_rows: N.
        num_inputs: F.
        target_shape: what follows N in the target's shape.
        target_dtype: ``float32``, or ``int64`` of class codes.
        seed: of the order in which blocks of them are trained on, the data's.
    """

    inputs: Path
    target: Path
    num_rows: int
    num_inputs: int
    target_shape: tuple[int, ...]
    target_dtype: str
    seed: int = 0

    def read(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Some rows, in memory of their own.

        By reading, not through a map: pages of a map count as memory of the process for as long as it is there.

        Args:
            start: the first.
            stop: the one behind the last.

        Returns:
            Inputs [M, F] and target [M, …].

        Raises:
            OSError: if a file cannot be read, or has fewer rows than it had.
        """
        inputs = _read(self.inputs, np.dtype(np.float32), (self.num_inputs,), start, stop)
        return inputs, _read(self.target, np.dtype(self.target_dtype), self.target_shape, start, stop)

    def sample(self, most: int) -> tuple[Tensor, Tensor]:
        """Some rows: a few from each of many places, since the system reads whole pages anyway.

        Args:
            most: how many; all where there are no more.

        Returns:
            Inputs [M, F] and target [M, …], in the order of the disk.

        Raises:
            OSError: as ``read``.
        """
        if self.num_rows <= most:
            return self.read(0, self.num_rows)
        size = min(most, _ROWS_OF_PLACE)
        number = most // size
        starts = [place * (self.num_rows - size) // max(1, number - 1) for place in range(number)]
        parts = [self.read(start, start + size) for start in starts]
        inputs, target = (torch.cat([part[side] for part in parts]) for side in (0, 1))
        return inputs, target

    def recall(self, name: str) -> Any:
        """What was remembered of these rows under a name; None if there is nothing.

        Args:
            name: as for ``remember``.
        """
        try:
            return json.loads(self._note(name).read_text())
        except (OSError, ValueError):
            return None

    def remember(self, name: str, content: Any) -> None:
        """Keep what takes long to find out, for as long as the rows are there; if that is impossible, do not.

        Args:
            name: of what it is.
            content: plain values.
        """
        with suppress(OSError):
            write_atomic(self._note(name), json.dumps(content).encode())

    def _note(self, name: str) -> Path:
        return self.inputs.with_name(f"{self.inputs.name}.{hashlib.sha256(name.encode()).hexdigest()[:16]}.json")

    def mapped(self) -> tuple[Tensor, Tensor]:
        """All rows as tensors that are mapped into memory: whoever looks at a row makes the system read it."""
        inputs = np.memmap(self.inputs, np.float32, "c", shape=(self.num_rows, self.num_inputs))
        target = np.memmap(self.target, self.target_dtype, "c", shape=(self.num_rows, *self.target_shape))
        return torch.from_numpy(inputs), torch.from_numpy(target)

    def num_bytes(self) -> tuple[int, int]:
        """The sizes that the two files must have."""
        width = int(np.prod(self.target_shape, dtype=np.int64)) * np.dtype(self.target_dtype).itemsize
        return self.num_rows * self.num_inputs * 4, self.num_rows * width


def _read(path: Path, dtype: np.dtype, shape: tuple[int, ...], start: int, stop: int) -> Tensor:
    width = int(np.prod(shape, dtype=np.int64))
    numbers = np.fromfile(path, dtype, (stop - start) * width, offset=start * width * dtype.itemsize)
    if len(numbers) != (stop - start) * width:
        raise OSError(f"{path} has become shorter while its rows were read")
    return torch.from_numpy(numbers.reshape(stop - start, *shape))

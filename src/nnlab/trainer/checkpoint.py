"""Checkpoints: safetensors and JSON, written beside each other and put in force by one rename."""

import hashlib
import json
import math
import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, final

from torch import Tensor

from nnlab.durable import write_atomic
from nnlab.folder import FolderError, open_plain, write_json
from nnlab.pointer import CHECKPOINTS, POINTERS, Pointer, read_pointer

LAST, PREVIOUS, BEST = POINTERS
#: of a file of a checkpoint, where nothing is known of the model that it belongs to
MOST_BYTES = 16 << 30


def pack(state: Any) -> tuple[Any, dict[str, Tensor]]:
    """Split a nested state into plain values and tensors.

    Args:
        state: nested dicts and lists of tensors and plain values; dict keys may be strings or integers.

    Returns:
        The same structure with ``{"tensor": name}`` in place of each tensor and ``{"dict": [[key, value], …]}`` for
        each dict (JSON has neither integer keys nor infinities), and the tensors by name.
    """
    tensors: dict[str, Tensor] = {}

    def walk(value: Any, path: str) -> Any:
        if isinstance(value, Tensor):
            tensors[path] = value.detach().cpu().contiguous()
            return {"tensor": path}
        if isinstance(value, dict):
            return {"dict": [[key, walk(item, f"{path}.{key}" if path else str(key))] for key, item in value.items()]}
        if isinstance(value, list | tuple):
            return [walk(item, f"{path}.{number}") for number, item in enumerate(value)]
        if isinstance(value, float) and not math.isfinite(value):
            return {"float": repr(value)}
        return value

    return walk(state, ""), tensors


def unpack(skeleton: Any, tensors: dict[str, Tensor]) -> Any:
    """Put together again what ``pack`` took apart."""
    if isinstance(skeleton, dict) and "tensor" in skeleton:
        return tensors[skeleton["tensor"]]
    if isinstance(skeleton, dict) and "float" in skeleton:
        return float(skeleton["float"])
    if isinstance(skeleton, dict):
        return {key: unpack(item, tensors) for key, item in skeleton["dict"]}
    if isinstance(skeleton, list):
        return [unpack(item, tensors) for item in skeleton]
    return skeleton


@final
class Checkpoints:
    """The ``checkpoints/`` of a run folder: the two newest states and the best are kept.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / CHECKPOINTS
        #: pointers that an earlier process left and whose files are damaged; None until it is known
        self._lost: set[str] | None = None

    def save(
        self,
        step: int,
        state: dict[str, Any],
        best: tuple[int, dict[str, Any]] | None,
        before_pointing: Callable[[], None] = lambda: None,
    ) -> None:
        """Write a state, and the best one if it is not there yet, then point to them.

        Args:
            step: optimizer steps done.
            state: nested dicts and lists of tensors and plain values.
            best: the step and the state that the monitored metric chose, or None.
            before_pointing: brings to the disk whatever the state relies on, such as the rows of ``metrics.csv``.

        Raises:
            OSError: if the disk refuses; the pointers still name whole files.
        """
        self.folder.mkdir(exist_ok=True)
        before = set(self._numbered())
        try:
            self._save(step, state, best, before_pointing)
        except OSError:
            # What was written before the failure must not take the room of the next checkpoint.
            self._delete(path for path in self._numbered() if path not in before)
            raise
        self._delete(self._numbered())

    def _save(
        self,
        step: int,
        state: dict[str, Any],
        best: tuple[int, dict[str, Any]] | None,
        before_pointing: Callable[[], None],
    ) -> None:
        if self._lost is None:
            self._lost = set(filter(self._is_damaged, POINTERS))
        of_best = None
        if best is not None and best[0] != step and self._pointed(BEST) != best[0]:
            # A state that was saved at that step has it already; a file that has a name never changes.
            of_best = self._digests(best[0]) or self._write(*best)
        digests = self._write(step, state)
        before_pointing()
        if best is not None and best[0] == step:
            self._point(BEST, step, digests)
        elif best is not None and of_best is not None:
            self._point(BEST, best[0], of_best)
        if self._pointed(LAST) not in (None, step):
            before = read_pointer(self.folder / f"{LAST}.json")
            self._point(PREVIOUS, before.step, before.sha256)
        self._point(LAST, step, digests)
        for which in list(self._lost):
            (self.folder / f"{which}.json").unlink(missing_ok=True)
            self._lost.discard(which)

    def load(self, which: str, most_bytes: int = MOST_BYTES) -> tuple[int, dict[str, Any]]:
        """Read a state back, whole and as it was written.

        Args:
            which: ``last``, ``previous`` or ``best``.
            most_bytes: the most that a state can take; a larger file is refused before it is read.

        Returns:
            Its step and the state.

        Raises:
            FolderError: if a file is missing, damaged, too large or nothing that nnlab writes.
        """
        pointer = read_pointer(self.folder / f"{which}.json")
        step = pointer.step
        payload, described = (
            self._whole(f"{step}.{ending}", which, pointer, most_bytes) for ending in ("safetensors", "json")
        )
        try:
            content = json.loads(described)
            if content["step"] != step:
                raise ValueError(f"expected step {step}, found {content['step']!r}")
            state: dict[str, Any] = unpack(content["state"], _tensors(payload))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FolderError(f"{self.folder / f'{step}.json'} is no checkpoint of nnlab: {error}") from None
        return step, state

    def newest(self, most_bytes: int) -> tuple[tuple[int, dict[str, Any]] | None, list[str]]:
        """The newest state that is whole.

        Args:
            most_bytes: as for ``load``.

        Returns:
            Step and state, or None where none was ever put in force; and what is damaged, a sentence each.

        Raises:
            FolderError: if there are checkpoints, but none is whole.
        """
        problems: list[str] = []
        pointers = [which for which in (LAST, PREVIOUS) if (self.folder / f"{which}.json").exists()]
        for which in pointers:
            try:
                return self.load(which, most_bytes), problems
            except FolderError as error:
                problems.append(str(error))
        if pointers:
            raise FolderError("; ".join([*problems, "no other checkpoint is left"]))
        return None, []

    def _whole(self, name: str, which: str, pointer: Pointer, most_bytes: int) -> bytes:
        """A file's content, if it is the one that was written."""
        path = self.folder / name
        try:
            with open_plain(path) as file:
                size = os.fstat(file.fileno()).st_size
                if size > most_bytes:
                    raise FolderError(f"{path}: expected at most {most_bytes:,} bytes, found {size:,}")
                payload = file.read(size)
        except OSError as error:
            raise FolderError(f"{path} cannot be read: {error.strerror}") from None
        if hashlib.sha256(payload).hexdigest() != pointer.sha256[name]:
            raise FolderError(f"{path} is damaged: its content is not what {CHECKPOINTS}/{which}.json says")
        return payload

    def _write(self, step: int, state: dict[str, Any]) -> dict[str, str]:
        from safetensors import SafetensorError
        from safetensors.torch import save

        skeleton, tensors = pack(state)
        try:
            payload = save(tensors)
        except SafetensorError as error:
            raise OSError(f"checkpoint of step {step}: {error}") from None
        described = (
            json.dumps({"step": step, "saved": time.time(), "state": skeleton}, allow_nan=False) + "\n"
        ).encode()
        write_atomic(self.folder / f"{step}.safetensors", payload)
        write_atomic(self.folder / f"{step}.json", described)
        return {
            f"{step}.safetensors": hashlib.sha256(payload).hexdigest(),
            f"{step}.json": hashlib.sha256(described).hexdigest(),
        }

    def _point(self, which: str, step: int, digests: dict[str, str]) -> None:
        write_json(self.folder / f"{which}.json", {"step": step, "sha256": digests})
        if self._lost is not None:
            self._lost.discard(which)

    def _digests(self, step: int) -> dict[str, str] | None:
        for which in (LAST, PREVIOUS):
            if self._pointed(which) == step:
                return read_pointer(self.folder / f"{which}.json").sha256
        return None

    def _pointed(self, which: str) -> int | None:
        """The step that a pointer names; None where there is no pointer, or it or its files are damaged."""
        if self._lost and which in self._lost:
            return None
        try:
            return read_pointer(self.folder / f"{which}.json").step
        except FolderError:
            return None

    def _is_damaged(self, which: str) -> bool:
        """Whether a pointer is there and leads to nothing whole; False also for what cannot be read at the moment."""
        path = self.folder / f"{which}.json"
        if not path.exists():
            return False
        try:
            for name, digest in read_pointer(path).sha256.items():
                with open_plain(self.folder / name) as file:
                    if hashlib.sha256(file.read()).hexdigest() != digest:
                        return True
        except (FolderError, FileNotFoundError):
            return True
        except OSError:
            return False
        return False

    def _numbered(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if re.fullmatch(r"\d+\.(safetensors|json)", path.name)]

    def _delete(self, paths: Iterable[Path]) -> None:
        """Delete those that no pointer leads to."""
        kept = {self._pointed(which) for which in POINTERS}
        for path in paths:
            if int(path.stem) not in kept:
                path.unlink()


def _tensors(payload: bytes) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors: dict[str, Tensor] = load(payload)
        return tensors
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def parse_cadence(text: str | int) -> tuple[float, str]:
    """How often to save.

    Args:
        text: ``50`` (steps), ``30s`` (seconds) or ``2ep`` (epochs).

    Returns:
        The number and its unit: ``step``, ``s`` or ``ep``.

    Raises:
        ValueError: for anything else, or a number that is not positive.

    Example:
        >>> parse_cadence("30s"), parse_cadence(50)
        ((30.0, 's'), (50.0, 'step'))
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|ep)?", str(text).strip())
    number, unit = (float(match[1]), match[2] or "step") if match else (0.0, "")
    if number <= 0 or (unit != "s" and not number.is_integer()):
        raise ValueError(
            f"trainer.checkpoint_every: expected steps (50), seconds (30s) or epochs (2ep), found {str(text)!r}"
        )
    return number, unit

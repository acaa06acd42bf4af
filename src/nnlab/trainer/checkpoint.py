"""Checkpoints: safetensors and JSON, written beside each other and put in force by one rename."""

import hashlib
import json
import math
import re
import time
from pathlib import Path
from typing import Any, final

from torch import Tensor

from nnlab.folder import read_json, write_atomic, write_json

LAST, PREVIOUS, BEST = "last", "previous", "best"


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
        self.folder = folder / "checkpoints"

    def save(self, step: int, state: dict[str, Any], best: tuple[int, dict[str, Any]] | None) -> None:
        """Write a state, and the best one if it is not there yet, then point to them.

        Args:
            step: optimizer steps done.
            state: nested dicts and lists of tensors and plain values.
            best: the step and the state that the monitored metric chose, or None.

        Raises:
            OSError: if the disk refuses; the pointers still name whole files.
        """
        self.folder.mkdir(exist_ok=True)
        if best is not None and best[0] != step and self._pointed(BEST) != best[0]:
            # A state that was saved at that step has it already; a file that has a name never changes.
            self._point(BEST, best[0], self._digests(best[0]) or self._write(*best))
        digests = self._write(step, state)
        if best is not None and best[0] == step:
            self._point(BEST, step, digests)
        last = self.folder / f"{LAST}.json"
        if last.exists() and self._pointed(LAST) != step:
            write_atomic(self.folder / f"{PREVIOUS}.json", last.read_bytes())
        self._point(LAST, step, digests)
        self._sweep()

    def load(self, which: str) -> tuple[int, dict[str, Any]]:
        """Read a state back.

        Args:
            which: ``last``, ``previous`` or ``best``.

        Returns:
            Its step and the state.

        Raises:
            FolderError: if a file is missing or damaged.
        """
        from safetensors.torch import load_file

        step = int(read_json(self.folder / f"{which}.json")["step"])
        skeleton = read_json(self.folder / f"{step}.json")["state"]
        return step, unpack(skeleton, load_file(self.folder / f"{step}.safetensors"))

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

    def _digests(self, step: int) -> dict[str, str] | None:
        for which in (LAST, PREVIOUS):
            if self._pointed(which) == step:
                digests: dict[str, str] = read_json(self.folder / f"{which}.json")["sha256"]
                return digests
        return None

    def _pointed(self, which: str) -> int | None:
        path = self.folder / f"{which}.json"
        return int(read_json(path)["step"]) if path.exists() else None

    def _sweep(self) -> None:
        kept = {self._pointed(which) for which in (LAST, PREVIOUS, BEST)}
        for path in self.folder.iterdir():
            if re.fullmatch(r"\d+\.(safetensors|json)", path.name) and int(path.stem) not in kept:
                path.unlink()


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

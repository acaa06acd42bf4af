"""A training as every peer gets it: rows, initial weights, settings. Knows NumPy only, for any environment."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

#: how the last layer's numbers are compared with the target: squares; a probability; a class among several
Loss = Literal["mse", "probability", "classes"]
_ARRAYS = ("inputs", "target", "weights", "biases")


@dataclass
class Job:
    """One training of fully connected layers with ReLU between them.

    Args:
        name: of the workload.
        inputs: the training rows, float32, shape [N, F].
        target: float32, shape [N, O]; for ``classes`` codes, int64, shape [N].
        weights: the initial ones of each layer, float32, shape [O, F] as torch has them.
        biases: of each layer, float32, shape [O].
        loss: the mean over the batch that is minimized; ``probability`` has a sigmoid before it.
        optimizer: ``sgd`` (no momentum) or ``adam``.
        lr: its learning rate.
        batch_size: B, a divisor of N.
        shuffle: whether each epoch has an order of its own.
        threads: CPU threads.
        device: ``cpu`` or ``cuda``.
        experiment: nnlab's, where there is one.
    """

    name: str
    inputs: np.ndarray
    target: np.ndarray
    weights: list[np.ndarray]
    biases: list[np.ndarray]
    loss: Loss
    optimizer: Literal["sgd", "adam"]
    lr: float
    batch_size: int
    shuffle: bool
    threads: int = 1
    device: str = "cpu"
    experiment: str = ""
    widths: list[int] = field(init=False)

    def __post_init__(self) -> None:
        assert len(self.inputs) % self.batch_size == 0, "some peers drop the last batch, others pad it"
        self.widths = [self.weights[0].shape[1], *(len(weight) for weight in self.weights)]

    @property
    def num_rows(self) -> int:
        """N."""
        return len(self.inputs)

    @property
    def num_steps(self) -> int:
        """In an epoch."""
        return self.num_rows // self.batch_size

    def save(self, path: Path) -> None:
        """Write it.

        Args:
            path: ends in ``.npz``.
        """
        arrays: dict[str, Any] = {"inputs": self.inputs, "target": self.target}
        arrays |= {f"weight{place}": weight for place, weight in enumerate(self.weights)}
        arrays |= {f"bias{place}": bias for place, bias in enumerate(self.biases)}
        plain = {key: value for key, value in asdict(self).items() if key not in (*_ARRAYS, "widths")}
        np.savez(path, settings=np.array(json.dumps(plain)), **arrays)

    @classmethod
    def load(cls, path: Path) -> "Job":
        """Read one.

        Args:
            path: where it was saved.
        """
        with np.load(path, allow_pickle=False) as file:
            layers = range(sum(name.startswith("weight") for name in file.files))
            weights, biases = ([file[f"{what}{place}"] for place in layers] for what in ("weight", "bias"))
            plain = json.loads(str(file["settings"]))
            return cls(inputs=file["inputs"], target=file["target"], weights=weights, biases=biases, **plain)

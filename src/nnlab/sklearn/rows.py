"""Rows as NumPy arrays and as tensors."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from nnlab.sklearn.row_loss import with_weights


@dataclass(frozen=True)
class Rows:
    """What is fitted to.

    Args:
        inputs: shape [N, F], float32 or float64.
        target: values [N, O] in the inputs' dtype, or class codes, int64 [N].
        weight: what each row counts, float64 [N]; None where all count 1.
    """

    inputs: np.ndarray
    target: np.ndarray
    weight: np.ndarray | None

    def without_zeros(self) -> "Rows":
        """The rows that count."""
        if self.weight is None or (self.weight > 0).all():
            return self
        counts = self.weight > 0
        return Rows(self.inputs[counts], self.target[counts], self.weight[counts])


def output_of(model: nn.Module, inputs: np.ndarray) -> np.ndarray:
    """What a model in evaluation mode puts out for rows, [N, O], in the dtype of its weights.

    Args:
        model: on any device.
        inputs: shape [N, F].
    """
    parameter = next(model.parameters())
    with torch.no_grad():
        rows = _tensor(np.ascontiguousarray(inputs)).to(parameter.device, parameter.dtype)
        output: np.ndarray = model(rows).cpu().numpy()
    return output


def tensors_of(rows: Rows, needs_weights: bool) -> tuple[Tensor, Tensor]:
    """Inputs and target to train on.

    Args:
        rows: what is fitted to.
        needs_weights: whether the target has weights beside it even if all are 1.
    """
    inputs, target = _tensor(rows.inputs), _tensor(rows.target)
    if rows.weight is None and not needs_weights:
        return inputs, target
    weight = np.ones(len(inputs)) if rows.weight is None else rows.weight
    return inputs, with_weights(target, torch.from_numpy(weight).to(inputs.dtype))


def _tensor(array: np.ndarray) -> Tensor:
    # torch warns of an array that may not be written to, such as a memory map.
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def digest_of(settings: bytes, rows: Rows) -> bytes:
    """What a training is a function of, in a few bytes.

    Args:
        settings: all that is no row.
        rows: what is fitted to.
    """
    digest = hashlib.blake2b(settings)
    for array in (rows.inputs, rows.target, rows.weight):
        if array is not None:
            digest.update(f"{array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.digest()

"""Losses in C: which class is which function of loss.h, and what its rows count."""

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from nnlab.loss import (
    BCE,
    L1,
    MSE,
    BCEProbability,
    CrossEntropy,
    HalfMSE,
    Hinge,
    Huber,
    Loss,
    Polynomial,
    SmoothL1,
)


@final
class LossCode(ctypes.Structure):
    """As ``Loss`` in loss.h; it keeps the numbers that it points at, and so does a structure that it is put into."""

    _fields_ = [
        ("kind", ctypes.c_int64),
        ("setting", ctypes.c_double),
        ("num_numbers", ctypes.c_int64),
        ("numbers", ctypes.POINTER(ctypes.c_double)),
    ]


#: in the order of loss.h
_KINDS = [
    "mse", "half_mse", "l1", "huber", "smooth_l1", "bce", "bce_probability", "hinge", "polynomial", "cross_entropy",
]  # fmt: skip


def _code(kind: str, setting: float = 0.0, numbers: Sequence[float] | None = None) -> LossCode:
    code = LossCode(_KINDS.index(kind), setting)
    if numbers is not None:
        code.num_numbers = len(numbers)
        code.numbers = (ctypes.c_double * len(numbers))(*numbers)
    return code


def _smooth_l1(beta: float) -> LossCode:
    return _code("smooth_l1", beta) if beta > 0 else _code("l1")


def _is_plain(loss: Any) -> bool:
    """Whether a loss of torch's is the mean over all terms, unweighted."""
    weights = (getattr(loss, name, None) for name in ("weight", "pos_weight"))
    return loss.reduction == "mean" and all(weight is None for weight in weights)


_FORMS: dict[type, Callable[[Any], LossCode]] = {
    MSE: lambda loss: _code("mse"),
    HalfMSE: lambda loss: _code("half_mse"),
    L1: lambda loss: _code("l1"),
    Huber: lambda loss: _code("huber", loss.delta),
    SmoothL1: lambda loss: _smooth_l1(loss.beta),
    BCE: lambda loss: _code("bce"),
    BCEProbability: lambda loss: _code("bce_probability"),
    Hinge: lambda loss: _code("hinge"),
    Polynomial: lambda loss: _code("polynomial", 0.0, loss.coefficients),
    CrossEntropy: lambda loss: _code("cross_entropy", loss.label_smoothing, loss.class_weight),
}
_TORCHS_FORMS: dict[type[nn.Module], Callable[[Any], LossCode | None]] = {
    nn.MSELoss: lambda loss: _code("mse"),
    nn.L1Loss: lambda loss: _code("l1"),
    nn.HuberLoss: lambda loss: _code("huber", loss.delta),
    nn.SmoothL1Loss: lambda loss: _smooth_l1(loss.beta),
    nn.BCEWithLogitsLoss: lambda loss: _code("bce"),
    nn.BCELoss: lambda loss: _code("bce_probability"),
    nn.CrossEntropyLoss: lambda loss: (
        _code("cross_entropy", loss.label_smoothing) if loss.ignore_index == -100 else None
    ),
}


def code_of(loss: object) -> LossCode | None:
    """What C is told of a loss.

    A loss is known by its exact class: nnlab's own, and torch's where they are the plain mean.

    Args:
        loss: a function of a prediction and a target.

    Returns:
        Its code; None if it has no C form.

    Example:
        >>> code = code_of(Huber(delta=2.0))
        >>> code.kind, code.setting
        (3, 2.0)
    """
    own = _FORMS.get(type(loss))
    if own is not None:
        return own(loss)
    torchs = _TORCHS_FORMS.get(type(loss))  # type: ignore[arg-type]
    return torchs(loss) if torchs is not None and _is_plain(loss) else None


def row_weights(loss: object, target: Tensor) -> Tensor | None:
    """What each row counts in the mean, which is the sum of weighted terms over the sum of the weights.

    Args:
        loss: one that ``code_of`` knows.
        target: [N, O], or [N] of class codes.

    Returns:
        Shape [N], float64 where the target is class codes, else in the target's dtype; None where all rows count 1.
    """
    if isinstance(loss, CrossEntropy) and loss.class_weight is not None:
        # Not by ``sample_weight``, which may still hold them in single precision.
        return torch.tensor(loss.class_weight, dtype=torch.float64)[target]
    return loss.sample_weight(target) if isinstance(loss, Loss) else None

"""Inputs that do not fit the model, told in words before torch's ``mat1 and mat2 shapes cannot be multiplied``."""

import torch
from torch import Tensor, nn

from nnlab.gradient.base import Precision
from nnlab.trainer.batches import place
from nnlab.trainer.evaluation import predict


def check_inputs(model: nn.Module, inputs: Tensor, precision: Precision, whose: str = "") -> None:
    """Refuse inputs that cannot be multiplied by the model's first weight.

    It looks at shapes alone where they fit. Where they do not, the model is tried on a few rows before it is judged:
    it may reshape its inputs, or use its layers in another order than it registered them.

    Args:
        model: whose first layer with parameters is linear; with any other, nothing is checked.
        inputs: shape [N, F], on any device.
        precision: what is computed with.
        whose: such as ``train``, for the message; empty where there is only one kind.

    Raises:
        ValueError: naming both tensors, their shapes and what to transpose.
    """
    name, layer = _first_with_parameters(model)
    if not isinstance(layer, nn.Linear) or (inputs.dim() > 1 and inputs.shape[-1] == layer.in_features):
        return
    if _takes(model, inputs, layer, precision):
        return
    product = f"{name}.weight.T".lstrip(".")
    needed, found = layer.in_features, list(inputs.shape)
    raise ValueError(
        f"{f'{whose} inputs'.lstrip()}: shape {found} cannot be multiplied by {product}, shape "
        f"[{needed}, {layer.out_features}] (expected [N, {needed}], N rows of {needed}); {_remedy(found, needed)}"
    )


def _first_with_parameters(model: nn.Module) -> tuple[str, nn.Module | None]:
    own = ((name, module) for name, module in model.named_modules() if any(True for _ in module.parameters(False)))
    return next(own, ("", None))


def _takes(model: nn.Module, inputs: Tensor, layer: nn.Linear, precision: Precision) -> bool:
    if inputs.dim() == 0:
        return False
    # Of inputs [N] the rows tried would be taken for one row if they were as many as the layer needs.
    rows = place(inputs[: 3 if layer.in_features == 2 else 2], layer.weight.device, precision.dtype)
    try:
        with torch.random.fork_rng(devices=[rows.device] if rows.is_cuda else []):
            predict(model, rows, precision)
    except RuntimeError:
        return False
    return True


def _remedy(found: list[int], needed: int) -> str:
    if len(found) == 2 and found[0] == needed:
        return f"inputs.T has the shape {found[::-1]} that fits"
    if len(found) == 1 and needed == 1:
        return f"inputs.unsqueeze(1) has the shape {[*found, 1]} that fits"
    if found == [needed]:
        return f"inputs.unsqueeze(0) has the shape {[1, *found]} that fits"
    return f"give rows of {needed}, or a model that takes {found[-1] if len(found) > 1 else 1}"

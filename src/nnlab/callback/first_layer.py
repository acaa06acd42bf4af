"""The layer that a model's inputs meet first."""

from torch import nn


def first_layer(model: nn.Module, key: str) -> tuple[str, nn.Linear]:
    """A model's first linear layer.

    Args:
        model: the model.
        key: of the callback that asks, for the message.

    Returns:
        Its name and the layer.

    Raises:
        ValueError: if there is none.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            return name or type(model).__name__, module
    raise ValueError(f"{key}: expected a model with a linear layer, found {type(model).__name__} without one")

"""What activations are for: random networks with them and without."""

import copy
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from nnlab.callback.base import Callback, FitView
from nnlab.callback.first_layer import first_layer
from nnlab.seeding import generator

#: points of each curve
NUM_POINTS = 401


@final
class ActivationMatters(Callback):
    """Before training, draws random networks like the run's model over inputs in [-1, 1].

    Each is a copy of the model whose linear layers have weights and biases uniform in [-1, 1). The left panel of
    ``figures/activation_matters.png`` shows them with nothing between the linear layers, which leaves a linear
    function, however many layers there are; the right one shows them as they are, in evaluation mode. The run's model
    and the random streams of its training are not touched.

    Args:
        num_networks: curves in each panel, at least 1.
        seed: of the weights.

    Raises:
        ValueError: if ``num_networks`` is below 1.
    """

    def __init__(self, num_networks: int, seed: int) -> None:
        if num_networks < 1:
            raise ValueError(f"callback.activation_matters.num_networks: expected at least 1, found {num_networks}")
        self.num_networks = num_networks
        self.seed = seed

    def on_fit_start(self, view: FitView) -> None:
        """Draw the networks and say how far they are from straight lines.

        Raises:
            ValueError: if the model has another number of inputs than one.
        """
        _, layer = first_layer(view.model, "callback.activation_matters")
        if layer.in_features != 1:
            raise ValueError(
                f"callback.activation_matters: expected a model with 1 input, whose curve can be drawn, found "
                f"{layer.in_features} inputs; choose a data set with one, such as data=x_squared"
            )
        numbers = generator(self.seed, "activation_matters")
        bent = [random_copy(view.model, numbers) for _ in range(self.num_networks)]
        straight = [without_activations(network) for network in bent]
        grid = torch.linspace(-1, 1, NUM_POINTS, dtype=torch.float64)
        curves = [_curves(networks, grid) for networks in (straight, bent)]
        left, right = (max(departure(grid.numpy(), curve) for curve in panel) for panel in curves)
        view.out.say(
            f"{self.num_networks} random networks on [-1, 1]: their largest distance from a straight line is "
            f"{left:.2g} without activations, {right:.2g} with them"
        )
        self._draw(view, grid.numpy(), *curves)

    def _draw(self, view: FitView, grid: np.ndarray, straight: np.ndarray, bent: np.ndarray) -> None:
        # matplotlib takes half a second, which only those who draw shall pay
        from nnlab.figure.random_networks import random_networks

        layers = [module for module in view.model.modules() if isinstance(module, nn.Linear)]
        sizes = "-".join(str(size) for size in (1, *(layer.out_features for layer in layers)))
        output = "output" if layers[-1].out_features == 1 else "first output"
        title = f"{self.num_networks} random networks {sizes}"
        drawn = random_networks(grid, straight, bent, "input", output, title)
        view.out.figure(view.resumed_at or 0, "activation_matters", drawn)


def random_copy(model: nn.Module, numbers: torch.Generator) -> nn.Module:
    """A copy of a model with linear layers drawn anew from U(-1, 1), weights and biases.

    Args:
        model: stays as it is.
        numbers: where they are drawn from, on the CPU.

    Returns:
        The copy, on the CPU in float64 and in evaluation mode: a picture is the same on every device.
    """
    made = copy.deepcopy(model).to("cpu", torch.float64).eval()
    with torch.no_grad():
        for layer in made.modules():
            if isinstance(layer, nn.Linear):
                for parameter in layer.parameters():
                    parameter.uniform_(-1, 1, generator=numbers)
    return made


def without_activations(model: nn.Module) -> nn.Module:
    """A copy of a model in which every module but the linear layers gives back what it gets.

    Norm layers go as well: a layer norm alone would bend the line.
    """
    made = copy.deepcopy(model)
    # With its duplicates: one activation may stand in several places.
    for name, module in list(made.named_modules(remove_duplicate=False)):
        if not isinstance(module, nn.Linear) and not list(module.children()):
            made.set_submodule(name, nn.Identity())
    return made


def departure(x: np.ndarray, y: np.ndarray) -> float:
    """The largest distance of a curve from its straight line of least squares, along y.

    Args:
        x: shape [G].
        y: shape [G].

    Example:
        >>> x = np.linspace(-1, 1, 5)
        >>> departure(x, 3 * x + 1) < 1e-12, round(departure(x, abs(x)), 6)
        (True, 0.6)
    """
    slope, intercept = np.polyfit(x, y, 1)
    return float(np.max(np.abs(y - (slope * x + intercept))))


def _curves(networks: list[nn.Module], grid: Tensor) -> np.ndarray:
    with torch.no_grad():
        return np.stack([network(grid[:, None])[:, 0].numpy() for network in networks])

"""Gradients by the chain rule, written out by hand."""

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from nnlab.gradient.base import Gradient, Precision
from nnlab.gradient.chain import Rule, add_gradient, rules_for
from nnlab.loss.base import Loss
from nnlab.loss.objective import Objective


@final
class Backprop(Gradient):
    """Backpropagation without automatic differentiation.

    The prediction is the last of a chain of layers, ``a_l = f_l(a_(l-1))``. Going forward, each layer keeps what its
    derivative needs. Going back, one quantity is handed down: ``g_l``, the derivative of the objective with respect to
    ``a_l``. It begins as the derivative of the loss (``Loss.gradient``); each layer multiplies it by its own
    derivative (``nnlab.gradient.chain`` derives each), and on the way adds to its parameters' gradients. Penalties
    depend on the weights alone and are added last. Rumelhart, Hinton and Williams, Learning Representations by
    Back-propagating Errors, 1986.

    It can do linear layers in sequence with every activation of ``nnlab.model.slope_of``, batch and layer norm and
    nnlab's dropout, under every loss of nnlab, in fp32 and fp64.
    """

    by_chain_rule: ClassVar[bool] = True

    def __init__(self) -> None:
        self._model: nn.Module | None = None
        self._rules: list[Rule] = []

    def check(self, model: nn.Module, objective: Objective, precision: Precision, batch_size: int) -> None:
        """See ``Gradient``."""
        problems = []
        _, without = rules_for(model)
        if without:
            problems.append(f"knows no derivative of {', '.join(without)}")
        kind = type(objective.loss)
        if getattr(kind, "gradient", Loss.gradient) is Loss.gradient:
            text = f"knows no derivative of the loss {kind.__module__}.{kind.__name__}, which has no gradient method"
            problems.append(f"{text} (those of nnlab.loss have one)")
        if precision.autocast is not None:
            problems.append("computes in fp32 or fp64: the casts of trainer.precision=bf16 and fp16 are autograd's")
        if problems:
            raise ValueError("\n".join(f"gradient=backprop: {text}; or use gradient=autograd" for text in problems))

    def __call__(
        self, model: nn.Module, objective: Objective, inputs: Tensor, target: Tensor, precision: Precision, share: float
    ) -> tuple[Tensor, Tensor]:
        """See ``Gradient``."""
        if model is not self._model:
            self._model, (self._rules, _) = model, rules_for(model)
        with torch.no_grad():
            prediction = inputs
            for rule in self._rules:
                prediction = rule.forward(prediction)
            value, at_output = objective.value_and_gradient(prediction, target)
            grad: Tensor | None = at_output if share == 1 else at_output * share
            for index in range(len(self._rules) - 1, -1, -1):
                assert grad is not None
                grad = self._rules[index].backward(grad, wants_input=index > 0)
            if objective.penalty:
                for weight, slope in zip(objective.weights, objective.penalty.gradient(objective.weights), strict=True):
                    add_gradient(weight, slope if share == 1 else slope * share)
        return value, prediction

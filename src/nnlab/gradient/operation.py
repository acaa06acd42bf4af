"""What the operations that torch records compute, in a few words for those who do not know their names."""

import re

#: the names of nodes, without their ending ``Backward0``
MEANINGS = {
    # layers
    "Addmm": "matrix product plus bias",
    "Mm": "matrix product",
    "T": "transposed matrix",
    "NativeBatchNorm": "each column standardized over the batch",
    "NativeLayerNorm": "each row standardized",
    "NativeDropout": "some numbers set to 0, the others scaled up",
    "ToCopy": "the same numbers in another precision",
    # activations
    "Relu": "max(0, x)",
    "LeakyRelu": "x, below 0 a small multiple of it",
    "PreluKernel": "x, below 0 a learned multiple of it",
    "RreluWithNoise": "x, below 0 a random multiple of it",
    "Elu": "x, below 0 a multiple of exp(x) - 1",
    "Celu": "x, below 0 a multiple of exp(x / alpha) - 1",
    "Gelu": "x times the normal distribution up to x",
    "Silu": "x * sigmoid(x)",
    "Mish": "x * tanh(softplus(x))",
    "Softplus": "log(1 + exp(x))",
    "LogSigmoid": "log(sigmoid(x))",
    "Sigmoid": "1 / (1 + exp(-x))",
    "Tanh": "tanh(x)",
    "Softmax": "exp(x) / sum of exp(x), row by row",
    "LogSoftmax": "log(softmax(x)), row by row",
    "Hardtanh": "x, cut off below and above",
    "Hardsigmoid": "straight lines instead of a sigmoid",
    "Hardswish": "x * hardsigmoid(x)",
    "Softshrink": "x moved towards 0, which it does not cross",
    "Hardshrink": "x, 0 where it is small",
    # losses
    "MseLoss": "mean of (prediction - target)^2",
    "HuberLoss": "mean of squares, of lines further out",
    "SmoothL1Loss": "mean of squares, of lines further out",
    "BinaryCrossEntropy": "mean of -log(probability of the target)",
    "BinaryCrossEntropyWithLogits": "mean of -log(probability), the sigmoid inside",
    "_CrossEntropyTerms": "-log(probability of the target), row by row",
    "NllLoss": "mean of -log(probability of the target)",
    # arithmetic
    "Abs": "|x|",
    "Add": "a + b",
    "Sub": "a - b",
    "Rsub": "b - a",
    "Mul": "a * b",
    "Div": "a / b",
    "Neg": "-x",
    "Pow": "x to a power",
    "Exp": "exp(x)",
    "Log": "log(x)",
    "Sqrt": "square root of x",
    "Sum": "sum",
    "Mean": "mean",
    "Clamp": "x, cut off below or above",
    "Stack": "numbers put side by side",
    "Cat": "tensors put side by side",
    "View": "the same numbers in another shape",
    "Squeeze": "the same numbers in another shape",
    "Unsqueeze": "the same numbers in another shape",
    "Expand": "the same numbers, repeated",
}


def meaning(name: str) -> str:
    """What a node computes.

    Args:
        name: as torch calls it.

    Returns:
        A few words, or nothing for an operation that is not known here.

    Example:
        >>> meaning("ReluBackward0")
        'max(0, x)'
    """
    return MEANINGS.get(re.sub(r"Backward\d*$", "", name), "")

"""The numbers of models small enough to be read: their forward pass, their parameters, their predictions."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nnlab.experiment import Member

#: the widest layer whose numbers are shown
MOST_WIDTH = 8
#: parameters that `nnlab model` shows, and those that stand below a training
MOST_PARAMETERS = 300
MOST_TRAINED = 30
#: training rows whose predictions stand below a training
MOST_ROWS = 12

#: rows of numbers that stand under one name
Matrix = Sequence[Sequence[float]]


def forward_pass(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """What every layer puts out in evaluation mode, in the order of the forward pass.

    Args:
        model: layers that each give one tensor.
        inputs: shape [B, F].

    Returns:
        Shape [B, …] by the layer's name; of modules that hold others, nothing.
    """
    outputs: dict[str, Tensor] = {}
    names = {module: name for name, module in model.named_modules() if not list(module.children())}

    def remember(module: nn.Module, inputs: object, output: Tensor) -> None:
        outputs[names[module]] = output

    handles = [module.register_forward_hook(remember) for module in names]
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval()(inputs)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return outputs


def page_lines(model: nn.Module, inputs: Tensor) -> list[str]:
    """What `nnlab model` adds for a model whose layers are all narrow.

    Args:
        model: the model.
        inputs: the first training row as the model sees it, shape [1, F].

    Returns:
        The forward pass and the parameters, a line for each row of numbers; nothing for a wider model.
    """
    layers = {"input": inputs} | forward_pass(model, inputs)
    if any(output.dim() != 2 or output.shape[1] > MOST_WIDTH for output in layers.values()):
        return []
    lines = ["", "forward pass of the first training row", *_aligned({name: x.tolist() for name, x in layers.items()})]
    if _num_parameters(model) <= MOST_PARAMETERS:
        lines += ["", "parameters", *_aligned(_parameters(model))]
    return lines


def result_lines(member: Member) -> list[str]:
    """What stands below a training: the predictions for few rows, the parameters of a small model.

    Args:
        member: a finished run.

    Returns:
        The lines; none where there is more than can be read, or where the run failed.
    """
    lines: list[str] = []
    if member.fitted is None:
        return lines
    rows = member.arrays.get("rows_train")
    if rows is not None and len(rows["target"]) <= MOST_ROWS:
        epoch = member.arrays["about"]["best_epoch"]
        lines += ["", f"training rows, with the best parameters (epoch {epoch})", *_prediction_lines(member)]
    model = member.built.trainer.model
    if _num_parameters(model) <= MOST_TRAINED:
        lines += ["", "final parameters", *_aligned(_parameters(model))]
    return lines


def _num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _parameters(model: nn.Module) -> dict[str, Matrix]:
    """Each parameter as rows: a matrix has its own, anything else is one."""
    named = model.named_parameters()
    return {name: (x if x.dim() == 2 else x.reshape(1, -1)).tolist() for name, x in named}


def _prediction_lines(member: Member) -> list[str]:
    dataset, rows = member.built.dataset, member.arrays["rows_train"]
    columns: dict[str, list[str]] = {"row": [str(number) for number in range(1, len(rows["target"]) + 1)]}
    for what in ("target", "prediction"):
        if dataset.task != "regression":
            columns[what] = [dataset.class_names[code] for code in rows[what]]
            continue
        names = dataset.target_names
        for name, values in zip(names, rows[what].T, strict=True):
            columns[what if len(names) == 1 else f"{what} {name}"] = [_number(float(value)) for value in values]
    widths = {title: max(map(len, (title, *cells))) for title, cells in columns.items()}
    table = [list(columns), *(list(cells) for cells in zip(*columns.values(), strict=True))]
    return ["  " + "  ".join(map(str.rjust, cells, widths.values())) for cells in table]


def _aligned(named: Mapping[str, Matrix]) -> list[str]:
    """Names on the left, each beside its first row of numbers; all numbers equally wide."""
    texts = {name: [[_number(value) for value in row] for row in rows] for name, rows in named.items()}
    width = max(len(text) for rows in texts.values() for row in rows for text in row)
    indent = max(map(len, texts))
    return [
        f"  {name if not index else '':<{indent}}  {'  '.join(text.rjust(width) for text in row)}"
        for name, rows in texts.items()
        for index, row in enumerate(rows)
    ]


def _number(value: float) -> str:
    """Four decimals; what they would not show, or would show too long, as a power of ten."""
    return f"{value:.4f}" if value == 0 or 5e-5 <= abs(value) < 1e6 else f"{value:.4g}"

"""Whether task, loss, output activation and metrics fit each other; in words where they do not."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnlab.config import ConfigError
from nnlab.loss.base import Loss
from nnlab.metric.base import Metric
from nnlab.model.activation import ACTIVATIONS

PROBABILITIES = ("sigmoid", "hardsigmoid")
#: output activations that lie on both sides of zero: classes are coded -1 and 1 for least squares
TWO_SIDED = ("identity", "tanh", "hardtanh", "softsign")


def check_fit(
    task: str, loss: Any, metrics: Sequence[Metric], model: Mapping[str, Any], choices: Mapping[str, Any]
) -> None:
    """Refuse pairs that would train something other than what they say.

    Args:
        task: the data's task.
        loss: an nnlab loss; a torch one is taken as the user wants it.
        metrics: beside the loss.
        model: the model's node; ``output_activation`` is looked at if it is a name.
        choices: the option chosen for each group, for messages.

    Raises:
        ConfigError: with every unfit pair.
    """
    data = f"data={choices.get('data')}"
    problems = [
        f"metric={metric.name} does not fit {data}: it is for {_join(metric.tasks)}, the data are {task}"
        for metric in metrics
        if task not in metric.tasks
    ]
    if isinstance(loss, Loss):
        problems += _loss_problems(task, loss, model.get("output_activation", "identity"), data, choices.get("loss"))
    if problems:
        raise ConfigError(*problems)


def output_code(task: str, loss: Loss, model: Mapping[str, Any]) -> float:
    """The code of class 0 in the target that a loss sees: -1 for hinge and two-sided least squares, else 0."""
    two_sided = model.get("output_activation", "identity") in TWO_SIDED
    if task == "binary" and (loss.reads == "score" or (loss.reads == "value" and two_sided)):
        return -1.0
    return 0.0


def _loss_problems(task: str, loss: Loss, activation: Any, data: str, option: Any) -> list[str]:
    name = f"loss={option}"
    if task not in loss.tasks:
        return [f"{name} does not fit {data}: it is for {_join(loss.tasks)}, the data are {task}; {_FITTING[task]}"]
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        return []  # a module of the user's choice, or a name that the model itself refuses
    found = f"model.output_activation={activation}"
    if loss.reads == "logit" and activation != "identity":
        instead = " or choose loss=bce_probability" if task == "binary" and activation in PROBABILITIES else ""
        return [f"{name} does not fit {found}: it expects raw logits; set model.output_activation=identity{instead}"]
    if loss.reads == "probability" and activation not in PROBABILITIES:
        return [
            f"{name} does not fit {found}: it expects probabilities; set model.output_activation=sigmoid, or loss=bce"
        ]
    if loss.reads == "score" and activation not in TWO_SIDED:
        return [f"{name} does not fit {found}: it needs outputs on both sides of zero: {', '.join(TWO_SIDED)}"]
    if task == "binary" and loss.reads == "value" and activation not in (*PROBABILITIES, *TWO_SIDED):
        return [f"{name} does not fit {found} and {data}: it needs one of {', '.join((*PROBABILITIES, *TWO_SIDED))}"]
    return []


_FITTING = {
    "regression": "mse, half_mse, l1, huber and smooth_l1 fit",
    "binary": "bce, bce_probability, hinge and least squares fit",
    "multiclass": "cross_entropy fits",
}


def _join(tasks: frozenset[Any]) -> str:
    return " and ".join(sorted(tasks))

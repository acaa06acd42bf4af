"""Of which kind a run's figures are: what only looks alike is not held against each other."""

from collections.abc import Mapping, Sequence

from nnlab.report.groups import ABSENT, Group
from nnlab.report.runs import RunData

#: what a group's figures are of: for each of its runs the data set, and the loss where the metric is one
Kind = frozenset[tuple[str, str]]

_BY_TASK = {"regression": "nnlab.loss.MSE", "binary": "nnlab.loss.BCE", "multiclass": "nnlab.loss.CrossEntropy"}
#: the same quantity, be the model's output a logit or a probability
_ALIKE = {"nnlab.loss.BCEProbability": "nnlab.loss.BCE"}
#: settings that leave a loss what it is
_NOTHING = ("null", "0", "0.0")


def kind_of(group: Group, metric: str) -> Kind:
    """The kind of a group's figures.

    Args:
        group: the runs.
        metric: such as ``valid/loss``.
    """
    return frozenset((data_of(run), loss_of(run, metric)) for run in group.runs)


def data_of(run: RunData) -> str:
    """The data set of a run, by the option that was chosen."""
    return run.settings.get("data") or run.settings.get("data._target_", ABSENT)


def loss_of(run: RunData, metric: str) -> str:
    """The loss that a metric is; the same for each run where it is another metric.

    Penalties on the weights are part of the loss on the training rows, not of that on others.
    """
    split, _, name = metric.partition("/")
    if name != "loss":
        return ""
    target = run.settings.get("loss._target_", ABSENT)
    data = run.record.get("data")
    if target == "nnlab.loss.auto" and isinstance(data, Mapping):
        target = _BY_TASK.get(str(data.get("task")), target)
    left_out = {"loss._target_"} | (set() if split == "train" else {"loss.l1", "loss.l2"})
    settings = [
        f"{key}={value}"
        for key, value in sorted(run.settings.items())
        if key.startswith("loss.") and key not in left_out and value not in _NOTHING
    ]
    return ", ".join([_ALIKE.get(target, target), *settings])


def kind_notes(kinds: Sequence[Kind], metric: str, others: Sequence[str]) -> list[str]:
    """What is said where groups are of several kinds.

    Args:
        kinds: of the groups.
        metric: what is compared.
        others: metrics of the same split that do not depend on the loss.
    """
    notes = []
    parts = [tuple(frozenset(item[place] for item in kind) for place in (0, 1)) for kind in kinds]
    if len({data for data, _ in parts}) > 1:
        notes.append("groups of different data sets are not held against each other: their figures are of other rows")
    if any(len({losses for data, losses in parts if data == one}) > 1 for one in {data for data, _ in parts}):
        advice = f"; --metric {others[0]} means the same for all" if others else ""
        notes.append(
            f"{metric} is another quantity where the loss is another: such groups are not held against each other"
            + advice
        )
    return notes

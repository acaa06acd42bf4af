"""What an earlier process left of a training, read back and checked before anything is copied."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nnlab.folder import METRICS_FILE, FolderError
from nnlab.metrics_file import read_metrics
from nnlab.pointer import read_pointer
from nnlab.trainer.checkpoint import BEST, Checkpoints
from nnlab.trainer.result import Row

#: a checkpoint holds the model and what the optimizer remembers of it; L-BFGS keeps two hundred vectors
MOST_COPIES = 300
#: for the predictions of an epoch under way, and for the description
ROOM = 1 << 30


@dataclass(frozen=True)
class Found:
    """Where a training is to go on.

    Args:
        step: optimizer steps done.
        state: everything that decides how it goes on.
        best: the model's state at the best evaluation, or None.
        history: the rows of ``metrics.csv`` until then.
        problems: what is damaged and was not used, a sentence each.
    """

    step: int
    state: Mapping[str, Any]
    best: Mapping[str, Tensor] | None
    history: Sequence[Row]
    problems: Sequence[str]


def find(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Found | None:
    """Read the newest whole checkpoint of a run folder.

    Args:
        folder: the run's folder.
        model: what it has to fit.
        optimizer: likewise.

    Returns:
        What is there; None if no checkpoint was ever put in force.

    Raises:
        FolderError: if what is there is damaged, or of another model.
    """
    checkpoints = Checkpoints(folder)
    most_bytes = ROOM + MOST_COPIES * sum(tensor.nbytes for tensor in model.state_dict().values())
    newest, problems = checkpoints.newest(most_bytes)
    if newest is None:
        return None
    step, state = newest
    where = folder / "checkpoints" / f"{step}.safetensors"

    def of_best(best_step: int) -> Mapping[str, Any] | None:
        found = _best(checkpoints, best_step, step, most_bytes)
        return None if found is None else found["model"]

    return checked(folder, where, step, state, of_best, model, optimizer, problems)


def checked(
    folder: Path,
    where: Path,
    step: int,
    state: Mapping[str, Any],
    of_best: Callable[[int], Mapping[str, Any] | None],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    problems: Sequence[str],
) -> Found:
    """A state that was read, if it is that of this training.

    Args:
        folder: the run's.
        where: the file it was read from, for messages.
        step: optimizer steps done.
        state: what was read.
        of_best: from the step of the best evaluation to the model's state then, or None if it is to be found again.
        model: what the state has to fit.
        optimizer: likewise.
        problems: what is damaged and was not used.

    Raises:
        FolderError: if it is of another model, or no state of a training.
    """
    best = None
    try:
        check_state(state["model"], model, where)
        _check_optimizer(state, optimizer, where)
        if state["best"] is not None:
            found = of_best(int(state["best"]["step"]))
            if found is not None:
                check_state(found, model, where.with_name(f"{state['best']['step']}.safetensors"))
                best = _on_device(found, model)
        num_rows = int(state["tables"]["metrics"])
    except (KeyError, TypeError, AttributeError) as error:
        raise FolderError(f"{where}: expected the state of a training, found something else ({error})") from None
    return Found(step, state, best, _first_rows(folder / METRICS_FILE, num_rows), problems)


def _best(checkpoints: Checkpoints, best_step: int, step: int, most_bytes: int) -> Mapping[str, Any] | None:
    """The best state until a step.

    None where a later one is in its place already: the process was killed before the checkpoint that it belonged to was
    in force, or that one is damaged. The training comes to the later one again.
    """
    pointer = checkpoints.folder / f"{BEST}.json"
    found = read_pointer(pointer).step
    if found > step:
        return None
    if found != best_step:
        raise FolderError(f"{pointer}: step: expected {best_step} as in {step}.json, found {found}")
    return checkpoints.load(BEST, most_bytes)[1]


def check_state(state: Mapping[str, Any], model: nn.Module, where: Path) -> None:
    """Refuse a model's state that is not of this model.

    Args:
        state: tensors by name.
        model: the model.
        where: the file, for the message.

    Raises:
        FolderError: naming the first tensor that is missing, foreign, or of another shape or type.
    """
    expected = model.state_dict()
    for name in [*expected, *state]:
        found, wanted = state.get(name), expected.get(name)
        if (
            not isinstance(found, Tensor)
            or wanted is None
            or (found.shape, found.dtype) != (wanted.shape, wanted.dtype)
        ):
            raise FolderError(f"{where}: expected {name} to be {_kind(wanted)}, found {_kind(found)}")


def _check_optimizer(state: Mapping[str, Any], optimizer: torch.optim.Optimizer, where: Path) -> None:
    try:
        groups = state["optimizer"]["param_groups"]
        of_parameters = state["optimizer"]["state"]
        same = [
            set(found) == set(wanted) and len(found["params"]) == len(wanted["params"])
            for found, wanted in zip(groups, optimizer.param_groups, strict=True)
        ]
        fits = all(same) and isinstance(of_parameters, dict)
    except (KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise FolderError(f"{where}: expected the state of {type(optimizer).__name__}, found that of something else")
    if isinstance(optimizer, torch.optim.LBFGS):
        return  # one vector for all parameters
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, values in of_parameters.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.dim() and value.shape != parameters[index].shape:
                wanted = _kind(parameters[index])
                raise FolderError(f"{where}: expected {name} of parameter {index} as {wanted}, found {_kind(value)}")


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{list(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    return "nothing" if value is None else type(value).__name__


def _on_device(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    devices = {name: tensor.device for name, tensor in model.state_dict().items()}
    return {name: tensor.to(devices[name]) for name, tensor in state.items()}


def _first_rows(path: Path, num_rows: int) -> list[Row]:
    rows = read_metrics(path)[:num_rows] if num_rows else []
    if len(rows) < num_rows:
        raise FolderError(f"{path}: expected {num_rows} rows, found {len(rows)}")
    return [{name: int(x) if name in ("epoch", "step") else x for name, x in row.items()} for row in rows]

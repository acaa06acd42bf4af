"""What a run's figures are drawn from: predictions on grids and on rows, weights in bins, as plain arrays."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from nnlab.build import Built
from nnlab.callback.film import Film, Frame, numbers_of, put
from nnlab.config import ConfigError
from nnlab.data.dataset import Dataset
from nnlab.data.stream.streamed import Streamed
from nnlab.trainer import FitResult
from nnlab.trainer.trainer import Which

Arrays = dict[str, np.ndarray]

GRID = 100
CURVE = 400
#: share of the inputs' range that grids reach beyond it
MARGIN = 0.05
#: odd, so that what is all equal lies in the middle one; of small tensors three are drawn as one
BINS = 45
#: numbers up to which bins are faster found one by one than by ``np.histogram``
FEW = 2000
#: numbers in linear layers up to which the initial ones are kept, to be compared after the training
MOST_WEIGHTS = 10_000_000
#: rows of each split that arrays and figures hold where rows stay on disk
MOST_STREAMED = 10_000


def arrays_before(built: Built) -> dict[str, Arrays]:
    """What has to be kept from before the training: initial weights, and the curve where there is one input.

    Args:
        built: the run's objects.

    Returns:
        Named groups of arrays.

    Raises:
        ConfigError: if a film is asked for of data that no plane can show.
    """
    _check_film(built)
    made: dict[str, Arrays] = {}
    num_weights = sum(tensor.numel() for tensor in _linear_tensors(built.trainer.model).values())
    if num_weights > MOST_WEIGHTS:
        text = f"no figure of the weights: linear layers with {num_weights:,} numbers, more than {MOST_WEIGHTS:,}"
        built.trainer.sinks.note(text, logging.INFO)
    elif num_weights:
        made["weights"] = _weights(built)
    if len(built.dataset.input_names) == 1 and built.dataset.task == "regression":
        grid = _axis(built.dataset, 0, CURVE)
        made["curve"] = {"grid": grid, "before": _values(built, grid[:, None], "last")}
    return made


def arrays_after(
    built: Built,
    splits: Mapping[str, tuple[Tensor, Tensor] | Streamed],
    fitted: FitResult,
    before: Mapping[str, Arrays],
) -> dict[str, Arrays]:
    """What the trained model says, with its best parameters.

    Args:
        built: the run's objects.
        splits: encoded rows by split: (inputs, target).
        fitted: how the training went.
        before: what ``arrays_before`` gave.

    Returns:
        Named groups of arrays, each for a file ``arrays/<name>.npz``.
    """
    dataset = built.dataset.sample(MOST_STREAMED)
    made: dict[str, Arrays] = {"about": _about(dataset, fitted)}
    for split, encoded in splits.items():
        rows = dataset.splits[split]
        inputs = built.preprocessing.inputs(rows.inputs) if isinstance(encoded, Streamed) else encoded[0]
        made[f"rows_{split}"] = {
            "inputs": rows.inputs.numpy(),
            "target": _truth(dataset, rows.target),
            "prediction": _read(built, built.trainer.predict(inputs, checkpoint="best")),
        }
    if dataset.task != "regression":
        made["confusion"] = _confusion(made[f"rows_{held_out(splits)}"], len(dataset.class_names))
    if "curve" in before:
        grid = before["curve"]["grid"]
        made["curve"] = before["curve"] | {"after": _values(built, grid[:, None], "best")}
    if len(dataset.input_names) == 2:
        made["grid"] = _grid(built)
        frames = [frame for film in _films(built)[:1] for frame in film.frames]
        if frames:
            made["film"] = _film(built, frames)
    if "weights" in before:
        with built.trainer.holding("best"):
            after = _weights(built) if fitted.steps else None
        made["weights"] = _distributions(before["weights"], after)
    return made


def held_out(splits: Mapping[str, object]) -> str:
    """The split that says most about new rows: test, else valid, else train."""
    return next(name for name in ("test", "valid", "train") if name in splits)


def _about(dataset: Dataset, fitted: FitResult) -> Arrays:
    return {
        "task": np.array(dataset.task),
        "input_names": np.array(dataset.input_names),
        "target_names": np.array(dataset.target_names),
        "class_names": np.array(dataset.class_names, dtype=str),
        "best_epoch": np.array(fitted.best["epoch"] if fitted.best else 0),
        "best_step": np.array(fitted.best["step"] if fitted.best else 0),
    }


def _truth(dataset: Dataset, target: Tensor) -> np.ndarray:
    return (target.squeeze(-1).long() if dataset.task == "binary" else target).numpy()


def _read(built: Built, prediction: Tensor) -> np.ndarray:
    reads = "value" if built.dataset.task == "regression" else "label"
    return built.readout.read(reads, prediction).numpy()


def _axis(dataset: Dataset, column: int, num_points: int) -> np.ndarray:
    values = dataset.sample(MOST_STREAMED).train.inputs[:, column]
    low, high = float(values.min()), float(values.max())
    pad = MARGIN * (high - low) or 1.0
    return np.linspace(low - pad, high + pad, num_points, dtype=np.float32)


def _outputs(built: Built, inputs: np.ndarray, checkpoint: Which) -> Tensor:
    return built.trainer.predict(built.preprocessing.inputs(torch.from_numpy(inputs)), checkpoint=checkpoint)


def _values(built: Built, inputs: np.ndarray, checkpoint: Which) -> np.ndarray:
    return built.readout.value(_outputs(built, inputs, checkpoint)).numpy()


def _plane(built: Built) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both axes of a grid over the inputs, and its points, shape [GRID * GRID, 2]."""
    x, y = (_axis(built.dataset, column, GRID) for column in (0, 1))
    return x, y, np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def _grid(built: Built) -> Arrays:
    x, y, points = _plane(built)
    return {"x": x, "y": y} | _map(built, _outputs(built, points, "best"))


def _map(built: Built, outputs: Tensor) -> Arrays:
    """What the model says at each point of the grid."""
    if built.dataset.task == "regression":
        return {"values": built.readout.value(outputs).numpy().reshape(GRID, GRID, -1)}
    codes, probability = built.readout.label(outputs), built.readout.probability(outputs)
    sure = probability.amax(dim=-1) if probability.dim() == 2 else torch.maximum(probability, 1 - probability)
    return {"codes": codes.numpy().reshape(GRID, GRID), "confidence": sure.numpy().reshape(GRID, GRID)}


def _films(built: Built) -> list[Film]:
    return [callback for callback in built.trainer.callbacks if isinstance(callback, Film)]


def _check_film(built: Built) -> None:
    found = len(built.dataset.input_names)
    if _films(built) and found != 2:
        raise ConfigError(
            f"callback.film: expected data with 2 inputs, whose map can be drawn, found {found}; leave the film out, "
            "or choose a data set with two, such as data=moons"
        )


def _film(built: Built, frames: Sequence[Frame]) -> Arrays:
    """The map of each frame, as small as it may be: codes in 16 bits, the rest in float32."""
    x, y, points = _plane(built)
    inputs, trainer = built.preprocessing.inputs(torch.from_numpy(points)), built.trainer
    maps = []
    with trainer.holding("best"):  # asked for the best ones, the trainer now takes whatever the model has
        best = numbers_of(trainer.model)
        try:
            for frame in frames:
                put(trainer.model, frame.numbers)
                maps.append(_map(built, trainer.predict(inputs, checkpoint="best")))
        finally:
            put(trainer.model, best)
    moments = {"epoch": [frame.epoch for frame in frames], "step": [frame.step for frame in frames]}
    with np.errstate(over="ignore"):  # beyond float32 a value is infinite
        stacked = {
            name: np.stack([one[name] for one in maps]).astype(np.int16 if name == "codes" else np.float32)
            for name in maps[0]
        }
    return {"x": x, "y": y} | {name: np.array(column, dtype=np.int64) for name, column in moments.items()} | stacked


def _confusion(rows: Arrays, num_classes: int) -> Arrays:
    counts = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(counts, (rows["target"], rows["prediction"]), 1)
    return {"counts": counts}


def _linear_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Weights and biases of the linear layers, by their names in the model."""
    return {
        name: parameter
        for prefix, layer in model.named_modules()
        if isinstance(layer, nn.Linear)
        for name, parameter in layer.named_parameters(prefix, recurse=False)
    }


def _weights(built: Built) -> Arrays:
    """Copies in float32; what lies beyond its range counts as its largest number."""
    tensors = _linear_tensors(built.trainer.model)
    return {
        name: torch.nan_to_num(tensor.detach().to("cpu", torch.float32)).flatten().numpy()
        for name, tensor in tensors.items()
    }


def _distributions(before: Arrays, after: Arrays | None) -> Arrays:
    """Of T tensors: their names and, before and after, how many numbers lie in each of some bins, mean and deviation.

    Args:
        before: the numbers of each tensor, by its name.
        after: likewise; None after a training of no steps.

    Returns:
        ``names`` [T], ``edges`` [T, BINS + 1], ``counts_before`` [T, BINS], ``mean_before`` and ``std_before`` [T];
        with an ``after`` the same of it, over the same bins.
    """
    moments = [("before", before), *([("after", after)] if after is not None else [])]
    edges = [
        _edges([float(extreme(numbers[name])) for _, numbers in moments for extreme in (np.min, np.max)])
        for name in before
    ]
    made = {"names": np.array(list(before)), "edges": np.stack(edges)}
    for moment, numbers in moments:
        columns = [numbers[name].astype(np.float64) for name in before]
        made[f"counts_{moment}"] = np.stack([_counts(*pair) for pair in zip(columns, edges, strict=True)])
        made[f"mean_{moment}"] = np.array([column.mean() for column in columns])
        made[f"std_{moment}"] = np.array([column.std() for column in columns])
    return made


def _counts(column: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many numbers lie in each bin."""
    if len(column) > FEW:
        return np.histogram(column, BINS, (edges[0], edges[-1]))[0]
    return np.bincount(np.searchsorted(edges[1:-1], column, side="right"), minlength=BINS)


def _edges(extremes: list[float]) -> np.ndarray:
    low, high = min(extremes), max(extremes)
    # The extremes lie in the middle of their bins, and so does what is all equal.
    pad = (high - low) / (2 * BINS - 2) or 0.5 * abs(low) or 0.5
    return np.linspace(low - pad, high + pad, BINS + 1)

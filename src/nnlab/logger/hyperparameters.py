"""A config as the flat table of settings that dashboards show beside the metrics."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

#: what says nothing about the experiment: where it goes, where it ran, how fast it was
_LEFT_OUT = re.compile(
    r"name|device|figures|plugins|(logger|metric|compare)(\..*)?|"
    r"trainer|trainer\.(threads|checkpoint_every|compile|profile|deterministic|on_divergence)"
)
#: numbers that may be null, or a list: always text, since TensorBoard cannot sort a column of both
MIXED = frozenset(
    {
        *("data.folds", "data.num_test", "data.num_valid", "data.test_fraction", "data.valid_fraction"),
        *("init.mean", "init.std", "optim.max_eval", "schedule.max_lr", "schedule.total_steps"),
        *("trainer.grad_clip_norm", "trainer.max_steps"),
    }
)
#: how null is shown
NONE = "none"
#: characters of a text, which has to fit a cell
_MOST = 250

Scalar = bool | int | float | str


def hyperparameters(config: Mapping[str, Any]) -> dict[str, Scalar]:
    """The settings of a run by dotted key.

    Args:
        config: the resolved config as plain values.

    Returns:
        Numbers and booleans as they are; null as ``none``; lists, and numbers that may be null in another run, as text;
        text cut where it is long. A part that is chosen, such as ``optim``, has the name of its class or function.

    Example:
        >>> hyperparameters({"optim": {"_target_": "torch.optim.SGD", "lr": 0.1}, "model": {"widths": [8, 4]}})
        {'optim': 'SGD', 'optim.lr': 0.1, 'model.widths': '[8, 4]'}
    """
    return {key: _scalar(key, value) for key, value in _flat("", config) if not _LEFT_OUT.fullmatch(key)}


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield key, value
        return
    for name, item in value.items():
        if name == "_target_":
            yield key, str(item).rpartition(".")[2]
        else:
            yield from _flat(f"{key}.{name}" if key else str(name), item)


def _scalar(key: str, value: Any) -> Scalar:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and math.isfinite(value) and key not in MIXED:
        return value
    text = NONE if value is None else json.dumps(value) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= _MOST else f"{text[: _MOST - 1]}…"

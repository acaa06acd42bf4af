"""What building one member tells of all that are like it: whether they fit together, how long they take."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from torch import nn

from nnlab.build import build
from nnlab.rows import Rows
from nnlab.sweep.plan import PlannedMember
from nnlab.sweep.widths import Step
from nnlab.trainer.batches import TensorBatches
from nnlab.trainer.fitting import Fitting
from nnlab.trainer.interrupt import Interrupt
from nnlab.trainer.stacked_model import StackedModel
from nnlab.trainer.stream_batches import StreamBatches
from nnlab.trainer.together import why_alone

#: keys that may differ inside a stack; what is behind them is each member's own
FREE = (
    "seed",
    "data.seed",
    "data.fold",
    "name",
    "figures",
    "optim",
    "schedule",
    "init",
    "callback",
    "logger",
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.eval_every",
    "trainer.grad_clip_norm",
    "trainer.on_divergence",
    "trainer.monitor",
)


@final
@dataclass(frozen=True)
class Probe:
    """What building one of several like members tells.

    Args:
        reason: why they go alone, or None.
        width: members that one stack takes.
        steps: optimizer steps of one.
        lone_us: microseconds of a step of one that is trained alone.
        num_dealt: rows that are dealt onto folds.
        compiled: its size, where its steps are compiled if it is trained alone.
        steps_per_epoch: of one.
        notes: on its data.
        monitor: the metric that chooses its best epoch.
        columns: the metrics that it has.
        growing: names of metrics of which more is better.
    """

    reason: str | None
    width: int = 1
    steps: int = 0
    lone_us: float = 0.0
    num_dealt: int = 0
    compiled: Step | None = None
    steps_per_epoch: int = 1
    notes: tuple[str, ...] = ()
    monitor: str = ""
    columns: tuple[str, ...] = ()
    growing: frozenset[str] = frozenset()


def build_probe(config: Mapping[str, Any], member: PlannedMember, shared: Rows) -> Probe:
    """Build a member and look at it.

    Args:
        config: its own, which the parts may change.
        member: the one.
        shared: data sets that were made already.

    Raises:
        ValueError: for what cannot be built, and whatever else the parts raise.
    """
    built = build(config, member.options, None, member.name, shared)
    splits = shared.splits(built.dataset, built.preprocessing, built.readout)
    trainer = built.trainer
    fitting = trainer.begin(splits["train"], splits.get("valid"), Interrupt())
    reason = why_alone(fitting)
    linear = [module for module in trainer.model.modules() if isinstance(module, nn.Linear)]
    parameters = list(trainer.model.parameters())
    num_rows = min(trainer.batch_size, len(built.dataset.train)) * trainer.accumulate_steps
    step = Step(
        num_rows,
        [(layer.in_features, layer.out_features) for layer in linear],
        sum(parameter.numel() for parameter in parameters),
        parameters[0].element_size() if parameters else 4,
        trainer.device.type == "cpu",
    )
    reason = reason or _why_not_together(fitting)
    num_dealt = sum(len(rows) for name, rows in built.dataset.splits.items() if name != "test")
    engine = trainer.engine.engine.name if trainer.engine is not None else ""
    is_compiled = engine == "native"
    if engine in ("native", "inductor") and trainer.compile == "step":
        reason = "trainer.compile=step: stacks are computed by torch's own operations"
    lone_us = step.compiled_us if is_compiled else step.lone_us
    compiled = step if is_compiled else None
    plan = fitting.plan
    width = 1 if reason else step.width
    notes = built.dataset.notes
    view = fitting.view
    columns = tuple(f"{split}/{name}" for name in fitting.evaluator.names() for split in ("train", *fitting.splits))
    return Probe(
        reason,
        width,
        plan.num_steps,
        lone_us,
        num_dealt,
        compiled,
        plan.steps_per_epoch,
        notes,
        view.monitor,
        columns,
        frozenset(view.growing),
    )


def _why_not_together(fitting: Fitting) -> str | None:
    """Why two of such models cannot be computed as one, found by trying."""
    parts, batches = fitting.parts, fitting.batches
    assert isinstance(batches, TensorBatches | StreamBatches)
    rows, target = batches.first_rows
    try:
        stack = StackedModel([copy.deepcopy(parts.model) for _ in range(2)], parts.objective)
        stack.check(rows)
        stack.start_step()
        stack.add_gradient(rows.expand(2, *rows.shape), target.expand(2, *target.shape), parts.precision, 1)
        stack.predict(rows.expand(2, *rows.shape))
    except (ValueError, RuntimeError) as error:
        return f"{type(parts.model).__name__}: {str(error).splitlines()[0]}"
    return None


def fitting_key(config: Mapping[str, Any]) -> str:
    """What must agree for members to share a stack, as far as a config tells.

    Args:
        config: a member's, resolved.
    """
    kept = {group: dict(node) if isinstance(node, Mapping) else node for group, node in config.items()}
    for key in FREE:
        group, _, name = key.partition(".")
        if name:
            kept.get(group, {}).pop(name, None)
        else:
            kept.pop(group, None)
    model = kept.get("model")
    if isinstance(model, dict) and isinstance(model.get("dropout"), int | float):
        model["dropout"] = model["dropout"] > 0  # each member may have its own probability
    return json.dumps(kept, sort_keys=True, default=str)

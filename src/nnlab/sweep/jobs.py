"""Which members of a plan are trained together, and which alone, and why."""

import copy
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, final

import torch
from torch import nn

from nnlab.build import Rows, build
from nnlab.data.folds import num_held_out
from nnlab.sweep.plan import MOST_WITH_FIGURES, PlannedMember
from nnlab.sweep.widths import Step, num_stacks
from nnlab.trainer.batches import TensorBatches
from nnlab.trainer.fitting import Fitting
from nnlab.trainer.interrupt import Interrupt
from nnlab.trainer.stacked_model import StackedModel
from nnlab.trainer.together import why_alone

#: seconds of work below which no process is started for it
LEAST_WORK_S = 2.0
#: seconds that a member takes beside its training, with figures and without
FINISHING_S = (0.05, 0.8)
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
class Job:
    """What one worker does at a time.

    Args:
        places: of its members among those to be trained.
        is_stack: whether they are trained as one.
    """

    places: tuple[int, ...]
    is_stack: bool


@final
@dataclass
class Jobs:
    """Everything that is to be done, in order.

    Args:
        jobs: the longest first.
        num_workers: processes that do them; 1 for this one.
        lines: what goes where and why.
    """

    jobs: list[Job] = field(default_factory=list)
    num_workers: int = 1
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Probe:
    """What building one of several like members tells."""

    reason: str | None
    width: int = 1
    steps: int = 0
    lone_us: float = 0.0
    num_dealt: int = 0  # rows that are dealt onto folds


def plan_jobs(
    members: Sequence[PlannedMember],
    plugins: Sequence[str],
    begun: Mapping[int, int],
    num_workers: int | None = None,
    check: Callable[[Mapping[str, Any]], None] | None = None,
    done: Sequence[PlannedMember] = (),
) -> Jobs:
    """Divide members among stacks and workers.

    Args:
        members: those to be trained.
        plugins: packages that are granted.
        begun: the stack width that a member was begun with, by its place; such members stay with what they began as.
        num_workers: processes at a time; None for one a core, or one where there is little to do.
        check: raises ConfigError for a config that may not be begun, and so not be built to look at; None for none.
        done: those that were trained in stacks; what would have been with them has their bits, as a stack of one.

    Returns:
        The jobs. Each member is in one.
    """
    shared, probes = Rows(), dict[str, _Probe]()
    groups: dict[str, list[int]] = {}
    reasons: dict[str, list[int]] = {}
    fold_sizes: dict[str, set[int]] = {}
    num_dealt: dict[str, int] = {}
    work_us, widths = 0.0, dict[str, int]()
    for place, member in enumerate(members):
        probe = _probe(member, plugins, shared, probes, check)
        work_us += probe.steps * probe.lone_us + 1e6 * FINISHING_S[bool(member.config.get("figures"))]
        key = _fitting_key(member.config)
        held_out = _held_out(member.config, probe.num_dealt)
        fold_sizes.setdefault(key, set()).add(held_out)
        num_dealt[key] = probe.num_dealt
        key += f" {held_out}"
        width = probe.width if place not in begun else 1 if begun[place] == 1 else max(2, probe.width)
        if probe.reason is not None or width == 1:
            text = probe.reason or f"a step of {probe.lone_us / 1000:.1f} ms gains nothing from a stack"
            reasons.setdefault("they were begun alone" if begun.get(place) == 1 else text, []).append(place)
        else:
            groups.setdefault(key, []).append(place)
            widths[key] = min(width, widths.get(key, width))
    of_done = {
        f"{key} {_held_out(member.config, num_dealt.get(key, 0))}"
        for member in done
        for key in [_fitting_key(member.config)]
    }
    workers = num_workers or (1 if work_us < 1e6 * LEAST_WORK_S or not _on_cpu(members) else _num_cores())
    jobs = Jobs(num_workers=workers)
    for key, places in groups.items():
        if len(places) == 1 and begun.get(places[0], 1) == 1 and key not in of_done:
            reasons.setdefault("no other one fits together with it", []).extend(places)
            continue
        parts = _divided(places, num_stacks(len(places), widths[key], workers))
        jobs.jobs += [Job(tuple(part), True) for part in parts]
        sizes = sorted({len(part) for part in parts}, reverse=True)
        jobs.lines.append(f"{_members(len(places))} in {_stacks(len(parts))} of {' and '.join(map(str, sizes))}")
    for held_outs in fold_sizes.values():
        if len(held_outs) > 1 and groups:
            text = " and ".join(f"{size:,}" for size in sorted(held_outs))
            jobs.lines.append(f"folds of {text} rows share no stack, as their last batches differ in size")
    for text, places in reasons.items():
        jobs.jobs += [Job((place,), False) for place in places]
        jobs.lines.append(f"{_members(len(places))} alone: {text}")
    if len(members) > MOST_WITH_FIGURES and not members[0].config.get("figures") and not _chooses_figures(members[0]):
        text = f"no figures of single members, as there are more than {MOST_WITH_FIGURES}: 'figures=[png]' draws them"
        jobs.lines.append(text)
    workers = jobs.num_workers = min(workers, max(1, len(jobs.jobs)))
    if workers > 1:
        jobs.lines.append(f"on {workers} worker processes")
    return jobs


def _probe(
    member: PlannedMember,
    plugins: Sequence[str],
    shared: Rows,
    probes: dict[str, _Probe],
    check: Callable[[Mapping[str, Any]], None] | None,
) -> _Probe:
    """What is known of a member, once for all that are like it."""
    config = member.config
    kind = [config["optim"].get("_target_"), sorted(config["callback"]), config["trainer"].get("max_epochs")]
    key = _fitting_key(config) + json.dumps([*kind, config["trainer"].get("max_steps")], default=str)
    if key not in probes:
        try:
            own = {**copy.deepcopy(dict(config)), "plugins": list(plugins)}
            if check is not None:
                check(own)
            probes[key] = _build_probe(own, member, shared)
        except Exception as error:  # whatever it is, it is said when it is the member's turn
            probes[key] = _Probe(
                f"it cannot be built ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
            )
    return probes[key]


def _build_probe(config: Mapping[str, Any], member: PlannedMember, shared: Rows) -> _Probe:
    built = build(config, member.options, None, member.name, shared)
    splits = shared.splits(built)
    trainer = built.trainer
    fitting = trainer.begin(splits["train"], splits.get("valid"), Interrupt())
    reason = why_alone(fitting)
    linear = [module for module in trainer.model.modules() if isinstance(module, nn.Linear)]
    parameters = list(trainer.model.parameters())
    num_rows = min(trainer.batch_size, len(splits["train"][0])) * trainer.accumulate_steps
    step = Step(
        num_rows,
        [(layer.in_features, layer.out_features) for layer in linear],
        sum(parameter.numel() for parameter in parameters),
        parameters[0].element_size() if parameters else 4,
        trainer.device.type == "cpu",
    )
    reason = reason or _why_not_together(fitting)
    num_dealt = sum(len(splits[name][0]) for name in ("train", "valid") if name in splits)
    return _Probe(reason, 1 if reason else step.width, fitting.plan.num_steps, step.lone_us, num_dealt)


def _why_not_together(fitting: Fitting) -> str | None:
    """Why two of such models cannot be computed as one, found by trying."""
    parts, batches = fitting.parts, fitting.batches
    assert isinstance(batches, TensorBatches)
    rows, target = batches.inputs[:2], batches.target[:2]
    try:
        stack = StackedModel([copy.deepcopy(parts.model) for _ in range(2)], parts.objective)
        stack.start_step()
        stack.add_gradient(rows.expand(2, *rows.shape), target.expand(2, *target.shape), parts.precision, 1)
        stack.predict(rows.expand(2, *rows.shape))
    except (ValueError, RuntimeError) as error:
        return f"{type(parts.model).__name__}: {str(error).splitlines()[0]}"
    return None


def _fitting_key(config: Mapping[str, Any]) -> str:
    """What must agree for members to share a stack, as far as a config tells."""
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


def _held_out(config: Mapping[str, Any], num_rows: int) -> int:
    """The validation rows of a member of a cross-validation; 0 for any other."""
    folds, fold = config["data"].get("folds"), config["data"].get("fold", 0)
    return num_held_out(num_rows, folds, fold) if isinstance(folds, int) and isinstance(fold, int) else 0


def _chooses_figures(member: PlannedMember) -> bool:
    return any(text.lstrip("+").startswith("figures=") for text in member.overrides)


def _divided(places: Sequence[int], num_parts: int) -> list[list[int]]:
    """Neighbours together, in parts as equal as they can be."""
    edges = [round(part * len(places) / num_parts) for part in range(num_parts + 1)]
    return [list(places[start:end]) for start, end in pairwise(edges) if end > start]


def _on_cpu(members: Sequence[PlannedMember]) -> bool:
    devices = {str(member.config.get("device")) for member in members}
    return devices <= {"cpu"} or (devices <= {"cpu", "auto"} and not torch.cuda.is_available())


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _members(count: int) -> str:
    return f"{count:,} member{'s' * (count != 1)}"


def _stacks(count: int) -> str:
    return f"{count} stack{'s' * (count != 1)}"

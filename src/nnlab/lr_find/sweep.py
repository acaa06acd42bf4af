"""Short trainings at many learning rates and some seeds, together where that is faster."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnlab.build import build
from nnlab.lr_find.trial import Trial
from nnlab.rows import Rows
from nnlab.sweep.jobs import Job, plan_jobs
from nnlab.sweep.plan import PlannedMember
from nnlab.trainer.interrupt import Interrupt
from nnlab.trainer.result import FitResult
from nnlab.trainer.together import Task, fit_together

#: steps between evaluations, where an epoch is shorter
EVALUATION_STEPS = 25


@dataclass(frozen=True)
class Tried:
    """How a short training went.

    Args:
        lr: its learning rate.
        seed: its seed.
        status: ``completed`` or ``diverged``.
        steps: optimizer steps done.
        loss: the smallest of its evaluations; NaN if it diverged.
        metric: which loss that is: ``valid/loss``, or ``train/loss`` where there is no validation split.
    """

    lr: float
    seed: int
    status: str
    steps: int
    loss: float
    metric: str


def try_rates(
    trial: Trial,
    rates: Sequence[float],
    seeds: Sequence[int],
    num_steps: int,
    interrupt: Interrupt,
    say: Callable[[str], None],
) -> list[Tried]:
    """Train at every rate with every seed.

    Args:
        trial: the run.
        rates: learning rates.
        seeds: of weights and orders.
        num_steps: optimizer steps of each training.
        interrupt: a signal ends what is under way.
        say: told what is trained together.

    Returns:
        A row for each rate and seed; what a signal has ended is left out.

    Raises:
        ConfigError: for a config that cannot be built.
        Exception: whatever ends a training.
    """
    shared = Rows()
    eval_every = max(1, round(EVALUATION_STEPS / steps_of_epoch(trial, shared)))
    pairs = [(lr, seed) for lr in rates for seed in seeds]
    members = [
        PlannedMember(
            number,
            Path(str(number)),
            "",
            (f"optim.lr={lr!r}",),
            trial.at(lr, num_steps, seed, eval_every),
            trial.choices,
        )
        for number, (lr, seed) in enumerate(pairs)
    ]
    jobs = plan_jobs(members, trial.config["plugins"], {}, num_workers=1)
    for line in jobs.lines:
        say(line.replace("member", "training"))
    results: dict[int, FitResult] = {}
    for job in jobs.jobs:
        if not interrupt.received:
            results |= _trained(members, job, shared)
    return [
        _tried(*pairs[place], results[place])
        for place in sorted(results)
        if results[place].status in ("completed", "diverged")
    ]


def steps_of_epoch(trial: Trial, shared: Rows) -> int:
    """Optimizer steps in one pass over the training rows.

    Args:
        trial: the run.
        shared: data sets that are made already.
    """
    dataset, _ = shared.data(trial.config)
    rows_of_step: int = trial.config["data"]["batch_size"] * trial.config["trainer"]["accumulate_steps"]
    return max(1, -(-len(dataset.train) // rows_of_step))


def _trained(members: Sequence[PlannedMember], job: Job, shared: Rows) -> dict[int, FitResult]:
    tasks, results, errors = [], dict[int, FitResult](), list[Exception]()
    for place in job.places:
        built = build(members[place].config, members[place].options, None, "", shared)
        splits = shared.splits(built.dataset, built.preprocessing, built.readout)
        tasks.append(Task(built.trainer, splits["train"], splits.get("valid"), stacked=job.is_stack))

    def ended(number: int, result: FitResult | None, error: Exception | None) -> None:
        if result is not None:
            results[job.places[number]] = result
        elif error is not None:
            errors.append(error)

    fit_together(tasks, ended)
    if errors:
        raise errors[0]
    return results


def _tried(lr: float, seed: int, result: FitResult) -> Tried:
    is_whole = result.status == "completed" and result.best is not None
    loss = float(result.best[result.monitor]) if is_whole and result.best is not None else math.nan
    return Tried(lr, seed, result.status, result.steps, loss, result.monitor)

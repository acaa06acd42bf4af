"""A sweep with all its folders against a hand-written torch loop that trains its members one after another.

The hand-written loop is that of `bench.py train`: it permutes once an epoch, slices, uses torch's fused optimizer where
there is one, evaluates as often, and writes nothing. It trains a sample of the members, and its time is taken times
their number. nnlab trains all of them with metrics, metrics.csv, TensorBoard, checkpoints and arrays, on its own
choice of stacks and worker processes, whose start counts; start-up of Python, composing and the comparison do not.
"""

import argparse
import gc
import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

import bench_report as report
from bench_modules import Residual
from bench_ways import Outcome, train_by_hand
from bench_workloads import WORKLOADS, Case, Rows, Workload
from nnlab import experiment
from nnlab.command import composed
from nnlab.console import Terminal
from nnlab.sweep.plan import Plan, PlannedMember
from nnlab.sweep.run_plan import run_plan

#: relative difference of the sampled members' last validation losses that rounding may bring
TOLERANCE = 1e-2


@dataclass(frozen=True)
class Sweep:
    """Many runs, said twice: as overrides of nnlab and in plain torch.

    Args:
        about: what is trained.
        base: overrides that all members share.
        workload: the same in plain torch.
        optimizer: torch's class.
        num_members: K.
        epochs: passes over the training rows.
        sample: members that the hand-written loop trains.
        goal: its time for all members divided by nnlab's, at least.
        own_model: a module of one's own in place of nnlab's, by its path.
    """

    about: str
    base: Sequence[str]
    workload: Workload
    optimizer: Callable[..., torch.optim.Optimizer]
    num_members: int
    epochs: int
    sample: int
    goal: float
    own_model: str | None = None


SMALL = ("data=rings", "data.num_train=500", "data.num_valid=100", "data.num_test=100", "data.batch_size=32")
SMALL_MODEL = ("model.depth=2", "model.width=16")


def _small() -> nn.Module:
    layers = [nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)]
    return nn.Sequential(*layers)


def _accuracy(prediction: torch.Tensor, target: torch.Tensor) -> list[torch.Tensor]:
    return [(prediction.argmax(1) == target).float().mean()]


def _plain(model: Callable[[], nn.Module], loss: Callable[..., torch.Tensor], metrics: Any) -> Workload:
    return Workload("", "", 0, 0, model, loss, torch.optim.SGD, metrics, 0, 0)


_SMALL = _plain(_small, F.cross_entropy, _accuracy)
OTHERS = ("SGD", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam", "Adamax", "Adadelta", "Rprop")
SWEEPS = {
    "small": Sweep(
        "2-16-16-3 on 500 rows, batches of 32, Adam",
        (*SMALL, *SMALL_MODEL, "optim=adam"),
        _SMALL,
        torch.optim.Adam,
        128,
        200,
        6,
        25,
    ),
    **{
        name.lower(): Sweep(
            f"the same with {name}",
            (*SMALL, *SMALL_MODEL, f"optim={name.lower()}"),
            _SMALL,
            getattr(torch.optim, name),
            64,
            100,
            4,
            10,
        )
        for name in OTHERS
    },
    "own": Sweep(
        "a module of one's own of Linear, Tanh and LayerNorm, 2-16-16-3, Adam",
        (*SMALL, "optim=adam"),
        _plain(lambda: Residual(2, 3), F.cross_entropy, _accuracy),
        torch.optim.Adam,
        32,
        100,
        4,
        4,
        "bench_modules.Residual",
    ),
    "narrow": Sweep(
        "x_squared: 1-100-1, batches of 100 of 10,000 rows, SGD",
        ("experiment=x_squared", "data.batch_size=100"),
        WORKLOADS["W1"],
        torch.optim.SGD,
        64,
        20,
        4,
        4,
    ),
    "W1": Sweep("W1", ("experiment=x_squared",), WORKLOADS["W1"], torch.optim.SGD, 16, 800, 3, 1.4),
    "W2": Sweep("W2", ("experiment=blobs",), WORKLOADS["W2"], torch.optim.Adam, 8, 24, 2, 1.4),
    "W3": Sweep("W3", ("experiment=rings",), WORKLOADS["W3"], torch.optim.SGD, 16, 200, 3, 1.4),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument("--sweep", choices=[*SWEEPS, "all"], default="all", help="default: all")
    parser.add_argument("--members", type=report.positive(int), help="how many, in place of each sweep's own number")
    parser.add_argument("--rounds", type=report.positive(int), default=3, help="default: 3")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print.

    Args:
        arguments: what was typed.

    Returns:
        0, or 1 if nnlab's members learnt something else than the hand-written loop.
    """
    report.print_machine(torch.get_num_threads())
    names = list(SWEEPS) if arguments.sweep == "all" else [arguments.sweep]
    # Deleted at the very end: for minutes ext4 passes over the places of deleted files one by one when it looks for
    # room for new ones, and a file then takes 0.3 ms to make instead of 0.01.
    with TemporaryDirectory() as folder:
        same = [
            _measure(name, _of_size(SWEEPS[name], arguments.members), arguments.rounds, Path(folder)) for name in names
        ]
    return 0 if all(same) else 1


def _measure(name: str, sweep: Sweep, num_rounds: int, folder: Path) -> bool:
    config, options = composed([], [*sweep.base, "device=cpu", f"trainer.max_epochs={sweep.epochs}"])
    if sweep.own_model is not None:
        config |= {"model": {"_target_": sweep.own_model}, "plugins": ["bench_modules"]}
    configs = [_of_member(config, number, sweep.num_members) for number in range(sweep.num_members)]
    places = [round((number + 0.5) * sweep.num_members / sweep.sample - 0.5) for number in range(sweep.sample)]
    cases = {place: _case(sweep, configs[place], options, folder / f"{name}_{place}") for place in places}
    threads = torch.get_num_threads()
    ours: list[float] = []
    theirs: list[float] = []
    worst = 0.0
    for number in range(num_rounds):
        gc.collect()
        torch.set_num_threads(1)  # so that worker processes can be forked from here
        seconds, last = _train_sweep(configs, options, folder / f"{name}_round{number}")
        ours.append(seconds)
        torch.set_num_threads(max(1, min(threads, cases[places[0]].threads)))
        outcomes: Mapping[int, Outcome] = {place: train_by_hand(cases[place], sweep.epochs) for place in places}
        theirs.append(sum(one.seconds for one in outcomes.values()) / sweep.sample * sweep.num_members)
        for place, outcome in outcomes.items():
            worst = max(worst, abs(outcome.losses[-1][1] - last[place]) / abs(last[place]))
    ratios = [other / our for other, our in zip(theirs, ours, strict=True)]
    ratio = report.median(theirs) / report.median(ours)
    print(f"\n{name}  {sweep.about}; {sweep.num_members} members, {sweep.epochs} epochs")
    report.print_table(
        ["way", "seconds", "spread", "ms a member"],
        [
            ["nnlab", report.median(ours), report.spread(ours), 1e3 * report.median(ours) / sweep.num_members],
            ["by hand", report.median(theirs), report.spread(theirs), 1e3 * report.median(theirs) / sweep.num_members],
        ],
    )
    print(
        f"  by hand / nnlab  {ratio:.2f}  ({report.verdict(ratio, sweep.goal, True)}; rounds {report.spread(ratios)})"
    )
    print(f"  last validation losses: largest relative difference {worst:.1e}")
    return worst <= TOLERANCE


def _of_size(sweep: Sweep, num_members: int | None) -> Sweep:
    """A sweep of more or fewer members, which need only not be slower than one by one."""
    if num_members is None:
        return sweep
    return replace(sweep, num_members=num_members, sample=min(sweep.sample, num_members), goal=1)


def _of_member(config: Mapping[str, Any], number: int, num_members: int) -> dict[str, Any]:
    """A member's config: a rate of its own around the option's, and a seed."""
    optim = config["optim"]
    rate = optim["lr"] * 10 ** (number / num_members - 0.5)
    return {**config, "seed": number, "figures": [], "optim": {**optim, "lr": rate}}


def _case(sweep: Sweep, config: Mapping[str, Any], options: Mapping[str, Any], folder: Path) -> Case:
    keys = {key: value for key, value in config["optim"].items() if key not in ("_target_", "no_decay")}

    def optimizer(parameters: Any, fused: bool) -> torch.optim.Optimizer:
        extra = {"fused": True} if sweep.optimizer.__name__ in ("SGD", "Adam", "AdamW", "Adagrad") else {}
        return sweep.optimizer(parameters, **keys, **extra)

    folder.mkdir()
    member = experiment.prepare(config, options, [], folder, "bench")
    own = sweep.workload
    workload = Workload("", "", 0, 0, own.model, own.loss, optimizer, own.metrics, 0, 0)
    train, valid = (Rows(*member.splits[split]) for split in ("train", "valid"))
    weights = [parameter.detach().clone() for parameter in member.built.trainer.model.parameters()]
    return Case(workload, config, options, train, valid, weights, member.built.trainer.threads)


def _train_sweep(
    configs: Sequence[Mapping[str, Any]], options: Mapping[str, Any], folder: Path
) -> tuple[float, list[float]]:
    """The seconds of a whole sweep, and each member's last validation loss."""
    folder.mkdir()
    members = [
        PlannedMember(number, folder / str(number), "bench", (), config, options)
        for number, config in enumerate(configs)
    ]
    plan = Plan(folder, "bench", tuple(members))
    start = time.perf_counter()
    outcome = run_plan(plan, Terminal(file=io.StringIO()), configs[0]["plugins"])
    seconds = time.perf_counter() - start
    statuses = {result.status for result in outcome.results}
    if statuses != {"completed"}:
        raise RuntimeError(f"members ended otherwise: {statuses}")
    return seconds, [result.content["final"]["valid/loss"] for result in outcome.results]

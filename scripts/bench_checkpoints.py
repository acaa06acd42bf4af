"""What saving costs: the same run with saves at nnlab's default cadence, more often, and not at all.

The ways take turns in one process. Each run lasts at least ``--seconds``. "never" writes no checkpoint,
not even at the end, so the default pays for its last save as well. A machine's noise is often larger than this cost:
the seconds inside the saves are measured too, and their share of the run is the figure to go by.
"""

import argparse
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

import bench_report as report
from bench_workloads import WORKLOADS, Case, Workload, prepare_case
from nnlab import experiment
from nnlab.trainer.fitting import Fitting

#: the default's time as a part of that without any save, at most
GOAL = 1.03
#: way -> trainer.checkpoint_every, in the notation of the config; None for no save at all
WAYS: dict[str, str | None] = {"default": "30s", "every 2 s": "2s", "never": None}
CALIBRATION_EPOCHS = 10


class Outcome(NamedTuple):
    """A run's seconds, those of each save in it, its last training loss."""

    seconds: float
    saves: list[float]
    loss: float

    @property
    def share(self) -> float:
        """The part of the run that went into saves."""
        return sum(self.saves) / self.seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument("--workload", choices=[*WORKLOADS, "all"], default="all", help="default: all")
    parser.add_argument("--rounds", type=report.positive(int), default=5, help="default: 5")
    parser.add_argument("--seconds", type=report.positive(float), default=12.0, help="of a run, about; default: 12")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print.

    Args:
        arguments: what was typed.

    Returns:
        0, or 1 if saving changed what was learnt.
    """
    report.print_machine(torch.get_num_threads())
    names = list(WORKLOADS) if arguments.workload == "all" else [arguments.workload]
    same = [_measure(name, WORKLOADS[name], arguments.rounds, arguments.seconds) for name in names]
    return 0 if all(same) else 1


def _measure(name: str, workload: Workload, num_rounds: int, seconds: float) -> bool:
    case = prepare_case(workload)
    _train(case, CALIBRATION_EPOCHS, None)
    epochs = max(1, round(seconds / _train(case, CALIBRATION_EPOCHS, None).seconds * CALIBRATION_EPOCHS))
    outcomes: dict[str, list[Outcome]] = {way: [] for way in WAYS}
    for _ in range(num_rounds):
        for way, cadence in WAYS.items():
            gc.collect()
            outcomes[way].append(_train(case, epochs, cadence))
    times = {way: [outcome.seconds for outcome in outcomes[way]] for way in WAYS}
    print(f"\n{name}  {workload.about}; {epochs:,} epochs")
    report.print_table(
        ["way", "saves", "ms a save", "share of the run", "seconds", "spread", "train/loss"],
        [
            [
                way,
                len(outcomes[way][-1].saves),
                1e3 * report.median([save for one in outcomes[way] for save in one.saves] or [0.0]),
                f"{report.median([one.share for one in outcomes[way]]):.2%}",
                report.median(times[way]),
                report.spread(times[way]),
                outcomes[way][-1].loss,
            ]
            for way in WAYS
        ],
    )
    share = 1 + max(one.share for one in outcomes["default"])
    print(f"  default: 1 + largest share {share:.4f}; {report.verdict(share, GOAL, at_least=False)}")
    for way in list(WAYS)[:-1]:
        by_round = [a / b for a, b in zip(times[way], times["never"], strict=True)]
        print(f"  {way} / never: {report.median(by_round):.3f}, round by round {report.spread(by_round)}")
    losses = {outcome.loss for way in WAYS for outcome in outcomes[way]}
    print(f"  losses {'are the same bits' if len(losses) == 1 else 'DIFFER'}")
    return len(losses) == 1


def _train(case: Case, epochs: int, cadence: str | None) -> Outcome:
    with case.member(epochs) as member, _watched_saves(is_saving=cadence is not None) as saves:
        trainer = member.built.trainer
        trainer.cadence = type(trainer.cadence)(cadence or "30s")
        start = time.perf_counter()
        experiment.fit([member])
        seconds = time.perf_counter() - start
    if member.fitted is None or member.fitted.status != "completed":
        raise RuntimeError(f"the run did not complete: {member.error or member.fitted}")
    return Outcome(seconds, saves, member.fitted.history[-1]["train/loss"])


@contextmanager
def _watched_saves(is_saving: bool) -> Iterator[list[float]]:
    """While it lasts, the seconds of each save are noted, or none is made."""
    saves: list[float] = []
    write = Fitting.write

    def watched(fitting: Fitting) -> None:
        if is_saving:
            start = time.perf_counter()
            write(fitting)
            saves.append(time.perf_counter() - start)

    Fitting.write = watched  # type: ignore[method-assign]
    try:
        yield saves
    finally:
        Fitting.write = write  # type: ignore[method-assign]

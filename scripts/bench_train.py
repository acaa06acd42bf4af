"""A training run against a hand-written torch loop and the notebook's loop.

All run in one process, round by round in turn (A B C A B C …): they use the same library, so one process gives them the
same memory allocator, thread pool and clock rate, and a slow minute of the machine hits all of them. On a CUDA device
nnlab's whole steps in CUDA graphs are measured against the same hand-written loop and against nnlab's own steps one
operation at a time; the notebook's loop is left out.
"""

import argparse
import gc
from functools import partial
from typing import NamedTuple

import torch

import bench_report as report
from bench_ways import Outcome, Way, train_by_hand, train_like_the_notebook, train_with_nnlab
from bench_workloads import WORKLOADS, Case, Workload, prepare_case

#: losses of two ways agree if they differ by less than this share, or by less than the absolute figure
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-3, 1e-7
WARM_UP_EPOCHS = 2
#: a slowest round of more than this many times the fastest means that the machine had other work
CALM = 1.5
#: nnlab's time divided by that of a hand-written loop on a CUDA device, at most
CUDA_GOAL = 0.2


class Rival(NamedTuple):
    """A way to train with its name in the table and the epochs that it is given."""

    name: str
    way: Way
    epochs: int
    threads: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument("--workload", choices=[*WORKLOADS, "all"], default="all", help="default: all")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="default: cpu")
    parser.add_argument("--rounds", type=report.positive(int), default=7, help="default: 7")
    parser.add_argument(
        "--epochs-scale", type=report.positive(float), default=1.0, help="factor of all epochs, for quick looks"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure and print.

    Args:
        arguments: what was typed.

    Returns:
        0, or 1 if the losses of a workload disagree.
    """
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("bench.py train --device cuda: this torch finds no CUDA device")
        return 2
    report.print_machine(torch.get_num_threads())
    if arguments.device == "cuda":
        print(f"device    {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    print(f"protocol  {arguments.rounds} rounds in turn in one process; the same initial weights, rows and orders for")
    print("          all; nnlab with metrics, metrics.csv, TensorBoard, checkpoints and live line, without figures and")
    print("          start-up; the notebook's loop runs fewer epochs: times are per epoch, losses compared at its last")
    names = list(WORKLOADS) if arguments.workload == "all" else [arguments.workload]
    rounds, scale = arguments.rounds, arguments.epochs_scale
    agreements = [_measure(name, WORKLOADS[name], rounds, scale, arguments.device) for name in names]
    return 0 if all(agreements) else 1


def _measure(name: str, workload: Workload, num_rounds: int, scale: float, device: str) -> bool:
    case = prepare_case(workload, device)
    epochs, few = (max(1, round(scale * count)) for count in (workload.epochs, workload.notebook_epochs))
    threads = torch.get_num_threads()
    plain = Rival("plain torch", train_by_hand, epochs, threads)
    if device == "cuda":
        ways = {"nnlab": "step", "nnlab eager": "off"}
        own = [Rival(way, partial(train_with_nnlab, compile=ways[way]), epochs, case.threads) for way in ways]
        rivals = [own[0], plain, own[1]]
    else:
        notebook = Rival("notebook", train_like_the_notebook, few, threads)
        rivals = [Rival("nnlab", train_with_nnlab, epochs, case.threads), plain, notebook]
    for rival in rivals:
        rival.way(case, min(WARM_UP_EPOCHS, rival.epochs))
    outcomes: dict[str, list[Outcome]] = {rival.name: [] for rival in rivals}
    for _ in range(num_rounds):
        for rival in rivals:
            gc.collect()
            outcomes[rival.name].append(rival.way(case, rival.epochs))
    print(f"\n{name}  {workload.about}")
    _print_times(case, rivals, outcomes)
    return _print_agreement(rivals, outcomes)


def _print_times(case: Case, rivals: list[Rival], outcomes: dict[str, list[Outcome]]) -> None:
    steps = -(-len(case.train.inputs) // case.batch_size)
    ms = {rival.name: [1e3 * one.seconds / rival.epochs for one in outcomes[rival.name]] for rival in rivals}
    report.print_table(
        ["way", "threads", "epochs", "ms/epoch", "spread", "µs/step", "train/loss", "valid/loss"],
        [
            [
                rival.name,
                rival.threads,
                rival.epochs,
                report.median(ms[rival.name]),
                report.spread(ms[rival.name]),
                1e3 * report.median(ms[rival.name]) / steps,
                *outcomes[rival.name][-1].losses[-1],
            ]
            for rival in rivals
        ],
    )
    if any(max(values) > CALM * min(values) for values in ms.values()):
        print(f"  NOISY: the rounds of one way differ by more than {CALM:g} times; repeat on an idle machine")
    plain_goal = CUDA_GOAL if case.device.type == "cuda" else case.workload.plain_goal
    _print_ratio("nnlab / plain torch", ms["nnlab"], ms["plain torch"], plain_goal, at_least=False)
    if "notebook" in ms:
        _print_ratio("notebook / nnlab", ms["notebook"], ms["nnlab"], case.workload.notebook_goal, at_least=True)
    else:
        _print_ratio("nnlab / nnlab eager", ms["nnlab"], ms["nnlab eager"], CUDA_GOAL, at_least=False)


def _print_ratio(name: str, above: list[float], below: list[float], goal: float, at_least: bool) -> None:
    ratio = report.median(above) / report.median(below)
    by_round = [a / b for a, b in zip(above, below, strict=True)]
    goal_text = report.verdict(ratio, goal, at_least)
    fastest = report.cell_text(min(above) / min(below))
    print(
        f"  {name:<20} {ratio:6.3f}  ({goal_text}; round by round {report.spread(by_round)}; of the fastest {fastest})"
    )


def _print_agreement(rivals: list[Rival], outcomes: dict[str, list[Outcome]]) -> bool:
    """Compare every way with nnlab, in every round, at the last epoch that both have."""
    reference = outcomes["nnlab"]
    largest, agree = 0.0, True
    for rival in rivals[1:]:
        for ours, other in zip(reference, outcomes[rival.name], strict=True):
            for a, b in zip(ours.losses[rival.epochs - 1], other.losses[-1], strict=True):
                # written so that NaN disagrees
                agree &= abs(a - b) <= max(RELATIVE_TOLERANCE * abs(a), ABSOLUTE_TOLERANCE)
                largest = max(largest, abs(a - b) / max(abs(a), ABSOLUTE_TOLERANCE))
    limits = f"tolerance {RELATIVE_TOLERANCE:g}, or {ABSOLUTE_TOLERANCE:g} absolute"
    print(f"  losses {'agree' if agree else 'DISAGREE'}: largest relative difference {largest:.1e} ({limits})")
    return agree

"""One gradient by autograd, by hand-written backpropagation and in plain torch, and a whole step with each.

A gradient is the forward and the backward pass of a batch; a step is that and the optimizer's update. All ways run in
one process, round by round in turn, with the same weights and batches, torch's threads and the allocator's settings
included.
"""

import argparse
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import cycle, islice
from typing import NamedTuple

import torch
from torch import Tensor, nn

import bench_report as report
from bench_workloads import WORKLOADS, Case, Workload, prepare_case
from nnlab.device import keep_freed_memory
from nnlab.experiment import Member
from nnlab.gradient import Autograd, Gradient
from nnlab.gradient.backprop import Backprop
from nnlab.trainer.batches import Batch
from nnlab.trainer.step import StepParts, train_step

#: backprop's time for a gradient divided by autograd's, at most
GOAL = 1.0
#: of a gradient, max|a - b| / max|b| in each tensor, in single precision
TOLERANCE = 1e-5
#: an epoch of W1 and W3; in some batches of W2 the terms of the last bias's gradient nearly cancel, which leaves 6e-6
NUM_COMPARED_BATCHES = 10
WARM_UP_REPEATS = 20
#: a slowest round of more than this many times the fastest means that the machine had other work
CALM = 1.5
GRADIENT, STEP = "gradient", "step"


class Way(NamedTuple):
    """A way to compute a gradient.

    Args:
        name: in the table.
        model: whose parameters take the gradient.
        optimizer: over them.
        gradient: computes the gradient of a batch, forward pass included.
        step: likewise, and updates the parameters.
    """

    name: str
    model: nn.Module
    optimizer: torch.optim.Optimizer
    gradient: Callable[[Batch], object]
    step: Callable[[Batch], object]

    def restart(self, weights: Sequence[Tensor]) -> None:
        """Go back to the initial weights: long training could make numbers too small to be computed with at speed."""
        self.optimizer.state.clear()
        with torch.no_grad():
            for parameter, weight in zip(self.model.parameters(), weights, strict=True):
                parameter.copy_(weight)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument("--workload", choices=[*WORKLOADS, "all"], default="all", help="default: all")
    parser.add_argument("--rounds", type=report.positive(int), default=50, help="default: 50")
    parser.add_argument(
        "--repeats", type=report.positive(int), default=50, help="gradients, and steps, in a round; default: 50"
    )
    parser.add_argument("--threads", type=report.positive(int), help="default: as many as nnlab chooses")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print.

    Args:
        arguments: what was typed.

    Returns:
        0, or 1 if the gradients of a workload disagree.
    """
    report.print_machine(torch.get_num_threads())
    per_round = f"{arguments.repeats} gradients and {arguments.repeats} steps of each way"
    print(f"protocol  {arguments.rounds} rounds in one process, of {per_round}, in turn, every")
    print("          second round backwards; the same initial weights and batches for all; a gradient is forward and")
    print("          backward pass, a step that and the update; ratios are medians over the rounds")
    keep_freed_memory()  # as nnlab trains
    names = list(WORKLOADS) if arguments.workload == "all" else [arguments.workload]
    agreements = [_measure(name, WORKLOADS[name], arguments) for name in names]
    return 0 if all(agreements) else 1


def _measure(name: str, workload: Workload, arguments: argparse.Namespace) -> bool:
    case = prepare_case(workload)
    threads = arguments.threads or case.threads
    torch.set_num_threads(threads)
    batches = [Batch(*pair) for pair in zip(*(rows.split(case.batch_size) for rows in case.train), strict=True)]
    with ExitStack() as stack:
        ways = [
            _nnlab_way("autograd", Autograd(), case, stack.enter_context(case.member(1))),
            _nnlab_way("backprop", Backprop(), case, stack.enter_context(case.member(1))),
            _plain_way(case),
        ]
        differences = {way.name: _largest_difference(ways[0], way, batches[:NUM_COMPARED_BATCHES]) for way in ways[1:]}
        times = _time(ways, case, batches, arguments.rounds, arguments.repeats)
    print(f"\n{name}  {workload.about}; {threads} thread{'s' * (threads != 1)}")
    _print_times(times)
    return _print_agreement(differences)


def _nnlab_way(name: str, gradient: Gradient, case: Case, member: Member) -> Way:
    trainer = member.built.trainer
    model, objective, precision = trainer.model.train(), trainer.objective, trainer.precision
    gradient.check(model, objective, precision, case.batch_size)
    parts = StepParts(model, objective, trainer.optimizer, gradient, precision, grad_clip_norm=None)

    def compute(batch: Batch) -> None:
        for parameter in parts.parameters:
            parameter.grad = None
        gradient(model, objective, batch.inputs, batch.target, precision, 1)

    return Way(name, model, trainer.optimizer, compute, lambda batch: train_step(parts, [batch]))


def _plain_way(case: Case) -> Way:
    model, loss_function = case.plain_model().train(), case.workload.loss
    optimizer = case.workload.optimizer(model.parameters(), fused=True)

    def compute(batch: Batch) -> None:
        optimizer.zero_grad()
        loss_function(model(batch.inputs), batch.target).backward()

    def step(batch: Batch) -> None:
        compute(batch)
        optimizer.step()

    return Way("plain torch", model, optimizer, compute, step)


def _largest_difference(reference: Way, way: Way, batches: Sequence[Batch]) -> float:
    """The largest max|a - b| / max|b| of any tensor's gradient, over the batches; NaN if one is NaN or missing."""
    tiny = torch.finfo(torch.float32).tiny
    differences = [
        (other - ours).abs().max() / ours.abs().max().clamp(min=tiny)
        for batch in batches
        for ours, other in zip(_gradients(reference, batch), _gradients(way, batch), strict=True)
    ]
    return float(torch.stack(differences).max())


def _gradients(way: Way, batch: Batch) -> Iterator[Tensor]:
    way.gradient(batch)
    for parameter in way.model.parameters():
        yield torch.full_like(parameter, torch.nan) if parameter.grad is None else parameter.grad


Times = dict[str, dict[str, list[float]]]


def _time(ways: Sequence[Way], case: Case, batches: Sequence[Batch], num_rounds: int, num_repeats: int) -> Times:
    """Microseconds of a gradient and of a step by the name of the way, one figure for each round."""
    for way in ways:
        _microseconds(way.step, batches, min(WARM_UP_REPEATS, num_repeats))
    times: Times = {what: {way.name: [] for way in ways} for what in (GRADIENT, STEP)}
    for number in range(num_rounds):
        gc.collect()
        for what, by_name in times.items():
            for way in ways if number % 2 == 0 else reversed(ways):
                way.restart(case.weights)
                by_name[way.name].append(_microseconds(getattr(way, what), batches, num_repeats))
    return times


def _microseconds(compute: Callable[[Batch], object], batches: Sequence[Batch], num_repeats: int) -> float:
    start = time.perf_counter()
    for batch in islice(cycle(batches), num_repeats):
        compute(batch)
    return 1e6 * (time.perf_counter() - start) / num_repeats


def _print_times(times: Times) -> None:
    report.print_table(
        ["way", "gradient, µs", "spread", "step, µs", "spread"],
        [
            [name, *(cell for what in (GRADIENT, STEP) for cell in _middle_and_spread(times[what][name]))]
            for name in times[GRADIENT]
        ],
    )
    if any(max(values) > CALM * min(values) for by_name in times.values() for values in by_name.values()):
        print(f"  NOISY: the rounds of one way differ by more than {CALM:g} times; repeat on an idle machine")
    for what, by_name in times.items():
        for rival in ("autograd", "plain torch"):
            _print_ratio(what, rival, by_name["backprop"], by_name[rival])


def _middle_and_spread(values: Sequence[float]) -> tuple[float, str]:
    return report.median(values), report.spread(values)


def _print_ratio(what: str, rival: str, above: Sequence[float], below: Sequence[float]) -> None:
    # Round by round, because a slow minute of the machine hits both ways of a round.
    by_round = [a / b for a, b in zip(above, below, strict=True)]
    ratio = report.median(by_round)
    goal = f"{report.verdict(ratio, GOAL, at_least=False)}; " if (what, rival) == (GRADIENT, "autograd") else ""
    fastest = report.cell_text(min(above) / min(below))
    name = f"{what}: backprop / {rival}"
    print(f"  {name:<32} {ratio:6.3f}  ({goal}rounds {report.spread(by_round)}; of the fastest {fastest})")


def _print_agreement(differences: dict[str, float]) -> bool:
    agree = all(difference <= TOLERANCE for difference in differences.values())
    found = ", ".join(f"{name} {difference:.1e}" for name, difference in differences.items())
    print(f"  gradients {'agree' if agree else 'DISAGREE'}: largest relative difference from autograd's: {found}")
    print(f"  (max|a - b| / max|b| of a tensor; tolerance {TOLERANCE:g})")
    return agree

"""`nnlab lr-find` from command to table, figure and suggestion."""

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnlab import collector
from nnlab.arguments import Arguments
from nnlab.command import OUTPUTS, checked, composed
from nnlab.config import ConfigError
from nnlab.durable import write_atomic
from nnlab.folder import figures_problem, make_folder, write_json
from nnlab.lr_find.finding import Finding, found_by_range, found_by_sweep, table_lines
from nnlab.lr_find.options import LEAST_STEPS, MOST_STEPS, RANGE_STEPS, Options, read_options
from nnlab.lr_find.range_test import range_test, suggest
from nnlab.lr_find.rates import grid
from nnlab.lr_find.sweep import steps_of_epoch, try_rates
from nnlab.lr_find.trial import Trial, trial_of
from nnlab.rows import Rows
from nnlab.trainer.interrupt import Interrupt

FILE = "lr_find"
#: optimizers whose rate cannot be changed from step to step and mean something
NOT_BY_RANGE = {
    "LBFGS": "each of its steps is a line of steps, which remember the rates before",
    "Rprop": "it reads its rate once, before the first step",
}


@dataclass(frozen=True)
class _Ask:
    """What is asked for, checked; ``formats`` are those of figures."""

    trial: Trial
    options: Options
    low: float
    high: float
    formats: tuple[str, ...]
    name: str
    typed: Arguments


def lr_find(arguments: Arguments, say: Callable[[str], None]) -> int:
    """Find a learning rate for a run, and leave table, figure and numbers in a folder of their own.

    Args:
        arguments: what was typed after the verb.
        say: prints a line.

    Returns:
        The exit code: 1 if no rate can be suggested.

    Raises:
        ConfigError: with every mistake in the command.
        FolderError: if the folder cannot be made.
        OSError: if a file cannot be written.
        SystemExit: with the code of the signal that ended it.
    """
    ask = _read(arguments)
    for note in ask.trial.notes:
        say(f"note: {note}")
    with Interrupt() as interrupt:
        finding = _by_sweep(ask, interrupt, say) if ask.options.method == "sweep" else _by_range(ask, interrupt)
        if interrupt.received:
            print("nnlab lr-find: interrupted, nothing is written", file=sys.stderr)
    interrupt.obey()
    folder = _written(ask, finding)
    for line in _page(ask, finding, folder):
        say(line)
    return 0 if finding.lr is not None else 1


def _read(arguments: Arguments) -> _Ask:
    problems: list[str] = []
    options = Options()
    try:
        options = read_options(arguments.flags)
    except ConfigError as error:
        problems += error.problems
    try:
        command = checked(arguments, multirun=False)
    except ConfigError as error:
        raise ConfigError(*problems, *error.problems) from None
    if problems:
        raise ConfigError(*problems)
    config, choices = composed(arguments.config_dirs, arguments.overrides)
    if problem := figures_problem(config["figures"]):
        raise ConfigError(f"figures: {problem}")
    trial = trial_of(config, choices)
    if options.method == "range" and trial.optimizer in NOT_BY_RANGE:
        raise ConfigError(
            f"--method range: optim={choices['optim']}: {NOT_BY_RANGE[trial.optimizer]}; --method sweep trains it"
        )
    low, high = options.limits(trial.optimizer)
    name = str(config["name"] or command.name)
    return _Ask(trial, options, low, high, tuple(config["figures"]), name, arguments)


def _by_sweep(ask: _Ask, interrupt: Interrupt, say: Callable[[str], None]) -> Finding:
    rates = grid(ask.low, ask.high, ask.options.num_rates)
    first = int(ask.trial.config["seed"])
    seeds = range(first, first + ask.options.num_seeds)
    num_steps = ask.options.num_steps or _usual_steps(ask.trial)
    say(f"{len(rates)} learning rates from {rates[0]:g} to {rates[-1]:g}, {_seeds(seeds)}, {num_steps} steps each")
    tried = try_rates(ask.trial, rates, seeds, num_steps, interrupt, say)
    if interrupt.received or not tried:
        return Finding("sweep", "", None, "", [], np.empty((0, 0)), np.empty(0), (), ())
    return found_by_sweep(tried)


def _seeds(seeds: range) -> str:
    return f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"


def _usual_steps(trial: Trial) -> int:
    """An epoch, unless that is very short or very long."""
    return min(MOST_STEPS, max(LEAST_STEPS, steps_of_epoch(trial, Rows())))


def _by_range(ask: _Ask, interrupt: Interrupt) -> Finding:
    rates = [float(rate) for rate in np.geomspace(ask.low, ask.high, ask.options.num_steps or RANGE_STEPS)]
    losses = range_test(ask.trial, rates, interrupt)
    return found_by_range(rates, losses, suggest(rates, losses))


def _written(ask: _Ask, finding: Finding) -> Path:
    folder = make_folder(OUTPUTS / ask.name / FILE)
    write_atomic(folder / f"{FILE}.csv", finding.csv().encode())
    what = {"name": ask.name, "overrides": list(ask.typed.overrides), "flags": dict(ask.typed.flags)}
    config: dict[str, Any] = {"config": ask.trial.config}
    write_json(folder / f"{FILE}.json", what | finding.to_json() | config)
    if ask.formats:
        _draw(ask, finding, folder / "figures")
    return folder


def _draw(ask: _Ask, finding: Finding, folder: Path) -> None:
    with collector.resting():
        from nnlab.figure import png, svg
        from nnlab.figure.learning_rates import learning_rates

    what = "short trainings" if finding.method == "sweep" else "range test"
    figure = learning_rates(
        finding.rates, finding.losses, finding.curve, finding.metric,
        suggestion=finding.lr, own=ask.trial.lr, title=f"{ask.name}, {ask.trial.optimizer}: {what}",
    )  # fmt: skip
    folder.mkdir()
    if "png" in ask.formats:
        write_atomic(folder / f"{FILE}.png", png(figure)[0])
    if "svg" in ask.formats:
        write_atomic(folder / f"{FILE}.svg", svg(figure))


def _page(ask: _Ask, finding: Finding, folder: Path) -> list[str]:
    lines = ["", *table_lines(finding), ""]
    lines += [f"note: {note}" for note in finding.notes]
    if finding.lr is None:
        lines += [_why_none(ask, finding)]
    else:
        lines += [
            f"optim.lr={finding.lr:g}  ({finding.rule})",
            f"the config has optim.lr={ask.trial.lr:g}",
        ]
    files = shlex.quote(str(folder))
    lines += ["", f"files      {files}"]
    if ask.formats:
        lines += [f"figure     {files}/figures/{FILE}.{ask.formats[0]}"]
    if finding.lr is not None:
        lines += [f"go on      {_command(ask, finding.lr)}"]
    return lines


def _why_none(ask: _Ask, finding: Finding) -> str:
    if finding.method == "range":
        return "no suggestion: the loss falls nowhere by more than its noise; --method sweep, or more --steps"
    return (
        f"no suggestion: every training diverged, at rates from {finding.rates[0]:g} on; a smaller --min-lr, "
        "data.standardize=true or trainer.grad_clip_norm=1"
    )


def _command(ask: _Ask, lr: float) -> str:
    words = [word for word in ask.typed.overrides if word.lstrip("+").partition("=")[0] != "optim.lr"]
    folders = ["--config-dir", str(ask.typed.config_dirs[0])] if ask.typed.config_dirs else []
    return shlex.join(["nnlab", "train", *folders, *words, f"optim.lr={lr:g}"])

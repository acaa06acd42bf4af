"""What `nnlab train compare=…` does: the protocol's sweeps, then its table, figures and page."""

import shlex
from pathlib import Path

from nnlab.console import Terminal
from nnlab.durable import write_atomic
from nnlab.report.compare import write
from nnlab.report.conclusion import FIGURES, PAGE_FILE, TABLE_FILE
from nnlab.report.fairness import fairness_sketches, scores
from nnlab.report.layouts import layout, sentences
from nnlab.sweep.protocol import Outcome, Protocol, Sweep, run_protocol


def compare_fairly(protocol: Protocol, seed: int, folder: Path, sweep: Sweep, command: str) -> int:
    """Run a protocol and say what it came to.

    Args:
        protocol: what is compared.
        seed: the first of the tuning's seeds.
        folder: gets the sweeps, the page and the figures.
        sweep: runs a sweep of some overrides in a folder.
        command: what was typed, for the page.

    Returns:
        The exit code: 1 if a run failed.

    Raises:
        ConfigError: if no trial of an option came to its end.
    """
    console = Terminal()

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    say(f"{'; '.join(_budget(protocol))}; folder {folder}\n")
    outcome = run_protocol(protocol, folder, seed, sweep, say)
    final = outcome.final.comparison
    found = scores(final)
    width = max(map(len, found))
    lines = [f"  {name:<{width}}  {value:.3f}" for name, value in found.items()]
    say(f"\n{layout(final, 'table')}\n")
    say("\n".join(_on_test(outcome)))
    say(f"\nscore: 1 for the fastest to {outcome.target:.4g} on every seed, {_METHOD}")
    say("\n".join(lines))
    for note in _edges(outcome):
        say(f"note: {note}")
    write_atomic(folder / TABLE_FILE, f"{layout(final, 'csv')}\n".encode())
    sketches = list(fairness_sketches(outcome.tuned.comparison, final))
    shown = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
    scored = f"Scores (1 for the fastest on every seed, {_METHOD}): {shown}."
    lead = [*_budget(protocol), *_chosen(outcome), scored, *_on_test(outcome), *_edges(outcome)]
    written = write(outcome.final, folder / PAGE_FILE, folder / FIGURES, command, lead, sketches)
    for problem in [*outcome.final.problems, *written.problems]:
        say(f"note: {problem}")
    paths = {**written.paths, "tuning": folder / "tuning", "fresh runs": folder / "final"}
    say("\n" + "\n".join(f"  {what:<10} {shlex.quote(str(path))}" for what, path in paths.items()))
    return outcome.code


_METHOD = "the mean of max(0, (4 − r) / 3) over the seeds, r the steps over the fastest one's"


def _budget(protocol: Protocol) -> list[str]:
    count = len(protocol.options)
    tuning = count * protocol.num_trials * protocol.tuning_seeds
    return [
        f"{protocol.over}: {', '.join(protocol.options)} on equal terms",
        f"{protocol.num_trials} trials each are {tuning} tuning runs, chosen by trainer.monitor",
        f"the best of each on {protocol.num_seeds} fresh seeds: {count * protocol.num_seeds} runs",
    ]


def _chosen(outcome: Outcome) -> list[str]:
    best = (f"{option} {', '.join(f'{k}={v}' for k, v in values.items())}" for option, values in outcome.best.items())
    given = "given" if outcome.is_given else "the worst of the options' median results"
    return [f"Chosen by tuning: {'; '.join(best)}.", f"Target: {outcome.target:.6g}, {given}."]


def _on_test(outcome: Outcome) -> list[str]:
    """Who is better on rows that chose nothing."""
    if outcome.tested is None:
        return ["note: there is no test split: the rows that chose the epochs judge them too"]
    return [f"on test: {sentence}" for sentence in sentences(outcome.tested.comparison)]


def _edges(outcome: Outcome) -> list[str]:
    """Chosen settings that are the smallest or largest tried."""
    return [note for note in outcome.tuned.comparison.notes if "that was tried" in note]

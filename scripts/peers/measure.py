"""Measures peers: warm in interleaved rounds, cold as whole processes."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nnlab.machine import machine
from peers.job import Job
from peers.known import BEST, EPSILON_HAT, PEERS
from peers.process import PeerError, Server, train_once

#: of one training in two libraries: float32 rounds differently in each; the largest difference seen is 3e-6
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-4, 1e-6
#: epochs after which losses are compared: enough for 10 steps at least, few enough for the tolerance
CHECKED_EPOCHS = 3
CHECKED_STEPS = 250
#: of a round: trainer.compile=auto compiles the steps of runs that save 0.2 s by it, and shorter ones would not be warm
LEAST_STEPS = {"nnlab": round(0.25e6 / machine().saved_us)}
#: runs by which a round's epochs are found
MOST_TRIALS = 4
#: between rounds: threads that spin for more work have gone to sleep then
PAUSE_S = 0.05


@dataclass
class Variant:
    """A peer at a setting, and what was measured of it.

    Args:
        peer: its name.
        setting: ``best`` or ``defaults``.
        epochs: of a round.
        checked: the losses of the compared epochs, rows in order.
        step_us: microseconds of a step, round by round.
        losses: of the last epoch of each round.
        problem: why there are no numbers, or None.
    """

    peer: str
    setting: str
    epochs: int = 1
    checked: list[float] = field(default_factory=list)
    step_us: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    problem: str | None = None


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Args:
        rounds: in turn.
        seconds: of a round of one variant, about; at least an epoch.
        is_warm: whether a round has at least ``LEAST_STEPS``.
    """

    rounds: int
    seconds: float
    is_warm: bool = True


@dataclass(frozen=True)
class Agreement:
    """How the losses of peers compare.

    Args:
        epochs: that were compared, of rows in order.
        largest: relative difference of any loss from the one that it is compared with.
        problems: who differs by more than the tolerance, in words.
    """

    epochs: int
    largest: float
    problems: list[str]


def variants_of(peers: Sequence[str], settings: Sequence[str]) -> list[Variant]:
    """Every peer at each setting that it has."""
    return [Variant(peer, setting) for peer in peers for setting in settings if setting in PEERS[peer].settings]


def measure_warm(servers: Mapping[str, Server], path: Path, variants: Sequence[Variant], effort: Effort) -> Agreement:
    """Check, warm up and time, every variant in its turn, round by round; what is found is noted in them.

    A process keeps one training: variants of the same peer take turns as a whole, those of different peers by rounds.

    Args:
        servers: a process for each peer.
        path: of the job.
        variants: of those peers.
        effort: how much.

    Returns:
        Whether all reach the same losses.
    """
    job = Job.load(path)
    with_hat = _losses_with_hat(servers, path, job)
    for setting in dict.fromkeys(variant.setting for variant in variants):
        together = [variant for variant in variants if variant.setting == setting]
        for variant in together:
            with _noted(variant):
                _warm_up(servers[variant.peer], path, job, variant, effort)
        for _ in range(effort.rounds):
            for variant in together:
                if variant.problem is None:
                    with _noted(variant):
                        time.sleep(PAUSE_S)
                        seconds, losses = servers[variant.peer].train(variant.epochs, job.shuffle)
                        variant.step_us.append(1e6 * seconds / (variant.epochs * job.num_steps))
                        variant.losses.append(losses[-1])
    return compare(variants, with_hat)


def _losses_with_hat(servers: Mapping[str, Server], path: Path, job: Job) -> list[float]:
    is_needed = any(PEERS[peer].has_epsilon_hat for peer in servers)
    if job.optimizer != "adam" or not is_needed or "by_hand" not in servers:
        return []
    servers["by_hand"].prepare(path, EPSILON_HAT)
    return servers["by_hand"].train(_checked_epochs(job), shuffle=False)[1]


def _checked_epochs(job: Job) -> int:
    return max(1, min(CHECKED_EPOCHS, CHECKED_STEPS // job.num_steps))


def _warm_up(server: Server, path: Path, job: Job, variant: Variant, effort: Effort) -> None:
    server.prepare(path, variant.setting)
    _, variant.checked = server.train(_checked_epochs(job), shuffle=False)
    least = -(-LEAST_STEPS.get(variant.peer, 1) // job.num_steps) if effort.is_warm else 1
    variant.epochs = max(1, least // 10)
    for _ in range(MOST_TRIALS):  # the first may compile, and what is short is measured badly
        took, _ = server.train(variant.epochs, job.shuffle)
        if variant.epochs >= least and took > effort.seconds / 2:
            break
        variant.epochs = max(least, 1, round(effort.seconds / took * variant.epochs))


def measure_cold(
    pythons: Mapping[str, Path], path: Path, peers: Sequence[str], epochs: int, rounds: int, slow_s: float
) -> dict[str, list[tuple[float, float]] | str]:
    """Whole processes at their best setting, in turn: seconds and MB of each, or why there are none.

    Args:
        pythons: of each peer.
        path: of the job.
        peers: their names.
        epochs: of each process.
        rounds: in turn.
        slow_s: seconds from which a first process is taken as enough.
    """
    threads = Job.load(path).threads
    costs: dict[str, list[tuple[float, float]] | str] = {peer: [] for peer in peers}
    for turn in range(rounds):
        for peer in peers:
            found = costs[peer]
            if isinstance(found, str) or (turn > 0 and found[0][0] > slow_s):
                continue
            setting = BEST if BEST in PEERS[peer].settings else next(iter(PEERS[peer].settings))
            try:
                cost = train_once(peer, pythons[peer], setting, path, epochs, threads)
            except PeerError as error:
                costs[peer] = str(error)
                continue
            found.append((cost.seconds, cost.memory_mb))
    return costs


def compare(variants: Sequence[Variant], with_hat: Sequence[float]) -> Agreement:
    """Compare the checked losses with those of the hand-written loop, or of the first peer if that is not there.

    Args:
        variants: all that were measured on a job.
        with_hat: the losses for those whose Adam has its epsilon elsewhere; empty to compare them with each other.
    """
    known = [variant for variant in variants if variant.checked]
    largest, problems = 0.0, []
    for has_hat in (False, True):
        group = [variant for variant in known if PEERS[variant.peer].has_epsilon_hat == has_hat]
        group.sort(key=lambda variant: variant.peer != "by_hand")
        expected = list(with_hat) if has_hat and with_hat else group[0].checked if group else []
        for variant in group:
            for epoch, (a, b) in enumerate(zip(expected, variant.checked, strict=True), 1):
                largest = max(largest, abs(a - b) / max(abs(a), ABSOLUTE_TOLERANCE))
                # written so that NaN disagrees
                if not abs(a - b) <= max(RELATIVE_TOLERANCE * abs(a), ABSOLUTE_TOLERANCE):
                    title = f"{PEERS[variant.peer].title} ({variant.setting})"
                    problems.append(f"{title}: loss {b:.6g} after epoch {epoch}, expected {a:.6g}")
                    break
    return Agreement(len(known[0].checked) if known else 0, largest, problems)


@contextlib.contextmanager
def _noted(variant: Variant) -> Iterator[None]:
    """A peer that fails is said to, and ends nobody else's measurement."""
    try:
        yield
    except PeerError as error:
        variant.problem = str(error)

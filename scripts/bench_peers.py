"""nnlab beside other libraries: hand-written torch, torch.compile, JAX, Keras, scikit-learn, skorch, Lightning.

    bench.py peers --install     make the environment in which the other libraries are
    bench.py peers --write       measure everything, and write the section of docs/benchmarks.md and its figures

Each peer has a process of its own. Warm rounds interleave and no two processes compute at a time; all have the same
rows, initial weights, learning rates, batches, cores, number of threads and settings of the memory allocator. Only
training is timed: no peer has validation rows.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import bench_report as report
from nnlab.machine import processor
from peers import page as pages
from peers.environment import default_folder, install, is_installed, pinned, pythons
from peers.growth import SERIES, names_of
from peers.job import Job
from peers.known import BEST, DEFAULTS, PEERS
from peers.measure import RELATIVE_TOLERANCE, Agreement, Effort, Variant, measure_cold, measure_warm, variants_of
from peers.process import Server, environment, run_process, serving
from peers.whole import EPOCHS, RATIO_GOAL, WORKLOAD, measure_memory, measure_whole, train_by_command

WORKLOADS = ("W1", "W2", "W3")
PARTS = ("warm", "cold", "growth", "whole")
#: what the lines of growth are of, unless --peers says otherwise
GROWING = ("nnlab", "by_hand", "jax", "keras")
COLD_EPOCHS = 10
#: a first process that takes longer is not repeated
SLOW_S = 8.0


class Amount(NamedTuple):
    """How much is measured.

    Args:
        workloads: which.
        warm: rounds, and seconds of each.
        cold_rounds: processes of each peer.
        growth: rounds, and seconds of each.
        whole_epochs: of a run with all files.
        whole_rounds: such runs.
    """

    workloads: Sequence[str] = WORKLOADS
    warm: Effort = Effort(5, 0.3)
    cold_rounds: int = 3
    growth: Effort = Effort(3, 0.15)
    whole_epochs: int = EPOCHS
    whole_rounds: int = 3


QUICK = Amount(("W1",), Effort(1, 0.02, is_warm=False), 1, Effort(1, 0.01, is_warm=False), 20, 1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument("--install", action="store_true", help="make the peers' environment, and do nothing else")
    parser.add_argument("--env", type=Path, metavar="DIR", help=f"of the environment; default: {default_folder()}")
    parser.add_argument(
        "--only",
        choices=PARTS,
        action="append",
        help="rounds of trained steps, whole processes, how cost grows with sizes, nnlab's runs with all their files; "
        "may be repeated; default: all of them",
    )
    parser.add_argument("--peers", nargs="+", choices=PEERS, metavar="PEER", help=f"some of {', '.join(PEERS)}")
    parser.add_argument("--workload", choices=WORKLOADS, help="default: all")
    parser.add_argument("--rounds", type=report.positive(int), help="of every part; default: 5 warm, 3 of the others")
    parser.add_argument("--threads", type=report.positive(int), default=2, help="default: 2, or the cores there are")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    parser.add_argument("--quick", action="store_true", help="W1 and two sizes, shortly: to see that it works")
    parser.add_argument(
        "--write",
        type=Path,
        nargs="?",
        const=pages.PAGE,
        metavar="PAGE",
        help="write section and figures; default: docs/benchmarks.md",
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure and print.

    Args:
        arguments: what was typed.

    Returns:
        0; 1 if losses disagree or a peer failed; 2 if peers are missing that were asked for.
    """
    folder = (arguments.env or default_folder()).absolute()
    if arguments.install:
        install(folder)
        return 0
    peers, missing = _chosen(arguments, folder)
    if missing:
        titles = ", ".join(PEERS[peer].title for peer in missing)
        print(f"left out, because they are not in {folder}: {titles}; bench.py peers --install puts them there")
        if arguments.peers or arguments.write:
            return 2
    threads = _bind(arguments.threads)
    amount = _amount(arguments)
    _print_protocol(threads, arguments.device)
    with TemporaryDirectory() as jobs:
        bench = _Bench(Path(jobs), pythons(peers, folder), threads, arguments, amount)
        return bench.run()


def _chosen(arguments: argparse.Namespace, folder: Path) -> tuple[list[str], list[str]]:
    """The peers to measure, and those that are missing."""
    wanted = [peer for peer in arguments.peers or PEERS if arguments.device == "cpu" or PEERS[peer].on_cuda]
    there = is_installed(folder)
    missing = [peer for peer in wanted if PEERS[peer].is_installed and not there]
    return [peer for peer in wanted if peer not in missing], missing


def _bind(threads: int) -> int:
    """Bind this process and its children to as many cores as there are threads: libraries count cores themselves."""
    if not hasattr(os, "sched_setaffinity"):
        return min(threads, os.cpu_count() or 1)
    cores = sorted(os.sched_getaffinity(0))[:threads]
    os.sched_setaffinity(0, cores)
    return len(cores)


def _amount(arguments: argparse.Namespace) -> Amount:
    amount = QUICK if arguments.quick else Amount()
    if arguments.workload:
        amount = amount._replace(workloads=(arguments.workload,))
    if arguments.rounds:
        count = arguments.rounds
        efforts = {part: replace(getattr(amount, part), rounds=count) for part in ("warm", "growth")}
        amount = amount._replace(cold_rounds=count, whole_rounds=count, **efforts)
    return amount


def _print_protocol(threads: int, device: str) -> None:
    report.print_machine()
    cores = f"{threads} core{'s' * (threads > 1)}"
    print(f"peers     {pinned()}")
    print(f"protocol  a process for each peer, on {cores} and {device}, {threads} threads (nnlab: by its own rule);")
    print("          rounds in turn, training only; all with the same rows, weights, rates and batches")


class _Bench:
    """One session.

    Args:
        jobs: an empty folder.
        pythons: of each peer.
        threads: CPU threads.
        arguments: what was typed.
        amount: how much is measured.
    """

    def __init__(
        self, jobs: Path, pythons: dict[str, Path], threads: int, arguments: argparse.Namespace, amount: Amount
    ) -> None:
        self.jobs, self.pythons, self.threads = jobs, pythons, threads
        self.arguments, self.amount = arguments, amount
        self.parts = arguments.only or PARTS
        self.opened = ExitStack()
        self.servers: dict[str, Server] = {}
        self.blocks: dict[str, str] = {}
        self.warm_found: pages.Warm = {}
        self.growth_found: pages.Growth = {}
        self.is_good = True

    def run(self) -> int:
        """Measure each part."""
        measures = {"warm": self._warm, "cold": self._cold, "growth": self._growth, "whole": self._whole}
        if self.parts != ["growth"]:
            self._write_jobs(sorted({*self.amount.workloads, WORKLOAD}))
        with self.opened:
            for part, measure in measures.items():
                if part in self.parts:
                    start = time.perf_counter()
                    measure()
                    print(f"  ({part} took {time.perf_counter() - start:.0f} s)", flush=True)
        if self.arguments.write is not None:
            self._write(self.arguments.write)
        return 0 if self.is_good else 1

    def _warm(self) -> None:
        found: dict[str, tuple[Sequence[Variant], Agreement]] = {}
        servers = self._servers(list(self.pythons))
        for name in self.amount.workloads:
            variants = variants_of(list(self.pythons), (BEST, DEFAULTS))
            agreement = measure_warm(servers, self._path(name), variants, self.amount.warm)
            found[name] = (variants, agreement)
            print(f"\n{name}  warm, µs a training step")
            columns = ["peer", "µs/step", "spread", "/ by hand", "epochs", "loss"]
            report.print_table(columns, pages.warm_rows(variants))
            self._judge(variants, agreement)
        self.blocks["warm"] = pages.warm_block(found, self.amount.warm.rounds)
        self.warm_found = found

    def _cold(self) -> None:
        cold: dict[str, dict[str, list[tuple[float, float]] | str]] = {}
        for name in self.amount.workloads:
            path, rounds = self._path(name), self.amount.cold_rounds
            costs = measure_cold(self.pythons, path, list(self.pythons), COLD_EPOCHS, rounds, SLOW_S)
            cold[name] = {PEERS[peer].title: cost for peer, cost in costs.items()}
            if "nnlab" in costs:
                commands = [train_by_command(Job.load(path), COLD_EPOCHS) for _ in range(rounds)]
                whole: list[tuple[float, float]] = [(seconds, memory_mb) for seconds, _, memory_mb in commands]
                cold[name]["`nnlab train`, with files and figures"] = whole
            words = [sys.executable, "-c", "import torch"]
            alone = [run_process(words, environment(self.threads), self.jobs)[0] for _ in range(rounds)]
            cold[name]["`import torch`, nothing else"] = [(cost.seconds, cost.memory_mb) for cost in alone]
            print(f"\n{name}  cold: a whole process to the losses of {COLD_EPOCHS} epochs")
            report.print_table(["process", "seconds", "spread", "MB"], pages.cold_rows(cold[name]))
            for title, cost in cold[name].items():
                self._note(f"{title}: {cost}" if isinstance(cost, str) else None)
        self.blocks["cold"] = pages.cold_block(cold, COLD_EPOCHS)

    def _growth(self) -> None:
        wanted = self.arguments.peers or GROWING
        peers = [peer for peer in wanted if peer in self.pythons and BEST in PEERS[peer].settings]
        growth: dict[str, dict[str, list[float | None]]] = {}
        for series in SERIES:
            names = names_of(series, self.arguments.quick)
            self._write_jobs(names)
            growth[series] = self._steps(names, peers)
            print(f"\nµs a training step along {series}")
            rows = [[PEERS[peer].title, *[value or "failed" for value in growth[series][peer]]] for peer in peers]
            report.print_table(["peer", *[name.partition("=")[2] for name in names]], rows)
        self.blocks["growth"] = pages.growth_block(growth)
        self.growth_found = growth

    def _steps(self, names: Sequence[str], peers: Sequence[str]) -> dict[str, list[float | None]]:
        """Microseconds a step of each peer at each point."""
        steps: dict[str, list[float | None]] = {peer: [] for peer in peers}
        for name in names:
            variants = variants_of(peers, (BEST,))
            agreement = measure_warm(self._servers(peers), self._path(name), variants, self.amount.growth)
            for variant in variants:
                steps[variant.peer].append(report.median(variant.step_us) if variant.step_us else None)
            self._judge(variants, agreement, name)
            self._path(name).unlink()
        return steps

    def _whole(self) -> None:
        if "nnlab" not in self.pythons:
            return
        server = self._servers(["nnlab"])["nnlab"]
        epochs, rounds = self.amount.whole_epochs, self.amount.whole_rounds
        whole = measure_whole(server, self._path(WORKLOAD), epochs, rounds)
        print(f"\n{WORKLOAD}  {epochs:,} epochs with all files, and the loop alone")
        report.print_table(["what", "seconds", "spread"], pages.whole_rows(whole))
        ratio = pages.whole_ratio(whole)
        print(f"  training / loop {ratio:.3f}  ({report.verdict(ratio, RATIO_GOAL, at_least=False)})")
        memory = measure_memory({name: self._path(name) for name in self.amount.workloads}, COLD_EPOCHS)
        print("\nmemory; content: data, parameters, optimizer state")
        report.print_table(pages.MEMORY_COLUMNS, pages.memory_rows(memory))
        for one in memory:
            print(f"  {one.name} nnlab.Trainer: {report.verdict(one.trainer_mb, round(one.allowed_mb), False)}")
        self.blocks["whole"] = pages.whole_block(whole, memory)

    def _servers(self, peers: Sequence[str]) -> dict[str, Server]:
        """Processes of these peers, which are started when they are first needed and end with the session."""
        for peer in peers:
            if peer not in self.servers:
                server = serving(peer, self.pythons[peer], self.threads)
                self.servers[peer] = self.opened.enter_context(server)
        return {peer: self.servers[peer] for peer in peers}

    def _write_jobs(self, names: Sequence[str]) -> None:
        script = str(Path(__file__).with_name("peers") / "work.py")
        words = [sys.executable, script, str(self.jobs), str(self.threads), self.arguments.device, *names]
        run_process(words, environment(self.threads), self.jobs)

    def _path(self, name: str) -> Path:
        return self.jobs / f"{name}.npz"

    def _judge(self, variants: Sequence[Variant], agreement: Agreement, name: str = "") -> None:
        for variant in variants:
            self._note(f"{PEERS[variant.peer].title} FAILED: {variant.problem}" if variant.problem else None)
        for problem in agreement.problems:
            self._note(f"losses DISAGREE: {problem}" + f" ({name})" * bool(name))
        if not name and not agreement.problems:
            print(
                f"  losses agree after {agreement.epochs} epochs of rows in order: largest relative difference "
                f"{agreement.largest:.1e} (tolerance {RELATIVE_TOLERANCE:g})"
            )

    def _note(self, problem: str | None) -> None:
        if problem is not None:
            self.is_good = False
            print(f"  {problem}")

    def _write(self, page: Path) -> None:
        # Not before everything is measured: the memory that matplotlib takes would count as the processes' own.
        from peers.figures import draw_growth, draw_peers, save

        pages.put(page, {"intro": self._intro(), **self.blocks})
        if self.warm_found:
            save(draw_peers(self.warm_found), page.parent / "figures" / "benchmarks-peers.png")
        if self.growth_found:
            save(draw_growth(self.growth_found), page.parent / "figures" / "benchmarks-growth.png")
        print(f"\n{page} is written")

    def _intro(self) -> str:
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        return pages.paragraphs(
            "`python scripts/bench.py peers --install` makes an environment with the other libraries, and `python "
            "scripts/bench.py peers --write` measures and writes this section. Each library has a process of its own; "
            "rounds interleave, and no two compute at a time. All have the same rows, initial weights, learning rates, "
            "batches, cores and settings of the memory allocator, compute in float32 and reach the same losses. Only "
            "training is timed: nobody has validation rows.",
            f"Measured on {date.today():%-d %B %Y}, {self.arguments.device.upper()} ({processor()}), {threads} (nnlab: "
            f"by its own rule), with {pinned()}.",
        )

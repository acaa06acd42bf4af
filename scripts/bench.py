"""Measures nnlab against the goals it has set itself; `bench.py SUBCOMMAND --help` says more.

Each subcommand is a module beside this file, imported only when it is asked for, that offers ``add_arguments`` and
``run``.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple


class Subcommand(NamedTuple):
    """Where a subcommand is, and what it measures in a line."""

    module: str
    about: str


SUBCOMMANDS = {
    "train": Subcommand("bench_train", "a training run against a hand-written torch loop and the notebook's loop"),
    "sweep": Subcommand("bench_sweep", "a sweep with its folders against a hand-written loop over its members"),
    "gradient": Subcommand("bench_gradient", "one gradient by hand-written backpropagation against autograd"),
    "checkpoints": Subcommand("bench_checkpoints", "what saving costs, at the default cadence and more often"),
    "startup": Subcommand("bench_startup", "how long whole commands take, and each figure"),
    "sklearn": Subcommand("bench_sklearn", "nnlab.sklearn beside scikit-learn: accuracy, fits, grid searches"),
    "csv": Subcommand("bench_csv", "a CSV file to a float32 matrix, beside pandas"),
    "stream": Subcommand("bench_stream", "rows that stay on disk beside the same rows in memory: speed and memory"),
    "search": Subcommand("bench_search", "successive halving beside the same trials, all trained to their ends"),
    "shared": Subcommand("bench_shared", "one run on several processes beside a hand-written loop around torch's DDP"),
    "peers": Subcommand("bench_peers", "nnlab beside JAX, Keras, scikit-learn, skorch, Lightning, torch.compile"),
}


def main(words: Sequence[str]) -> int:
    """Run one subcommand.

    Args:
        words: what was typed after the script's name.

    Returns:
        The exit code: 0; 1 if what was compared did not compute the same; 2 for a wrong command.
    """
    parser = argparse.ArgumentParser(prog="bench.py", description="Measure nnlab, side by side with its rivals.")
    subparsers = parser.add_subparsers(dest="name", metavar="SUBCOMMAND")
    chosen = next((word for word in words if word in SUBCOMMANDS), None)
    for name, (module, about) in SUBCOMMANDS.items():
        subparser = subparsers.add_parser(name, help=about, description=about)
        if name == chosen:
            importlib.import_module(module).add_arguments(subparser)
    arguments = parser.parse_args(words)
    if arguments.name is None:
        parser.print_help()
        return 0
    code: int = importlib.import_module(SUBCOMMANDS[arguments.name].module).run(arguments)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

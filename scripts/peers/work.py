"""Writes the jobs of the peers: the three workloads, and the points at which growth is measured.

    peers/work.py FOLDER THREADS DEVICE NAME…

A process of its own, so that the one that measures stays free of torch: its memory would count as its children's.
"""

import sys
from pathlib import Path

import numpy as np

from peers.growth import Point, point_of
from peers.job import Job

#: of the growth jobs: inputs, classes
NUM_INPUTS, NUM_CLASSES = 16, 3


def main() -> None:
    """Write what was asked for."""
    folder, threads, device, *names = sys.argv[1:]
    for name in names:
        job = _growing(point_of(name), name) if "=" in name else _workload(name)
        job.threads, job.device = int(threads), device
        job.save(Path(folder) / f"{name}.npz")


def _workload(name: str) -> Job:
    """A workload with the rows and initial weights that nnlab has for its experiment."""
    from bench_workloads import WORKLOADS, prepare_case

    case = prepare_case(WORKLOADS[name])
    optimizer = WORKLOADS[name].optimizer
    arrays = [weight.numpy() for weight in case.weights]
    return Job(
        name=name,
        inputs=case.train.inputs.numpy(),
        target=case.train.target.numpy(),
        weights=arrays[::2],
        biases=arrays[1::2],
        loss={"x_squared": "mse", "blobs": "probability", "rings": "classes"}[case.workload.experiment],
        optimizer=optimizer.func.__name__.lower(),
        lr=optimizer.keywords["lr"],
        batch_size=case.batch_size,
        shuffle=case.shuffle,
        experiment=case.workload.experiment,
    )


def _growing(point: Point, name: str) -> Job:
    """Classes told apart by the largest of three random projections; weights as torch draws them."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((point.rows, NUM_INPUTS), dtype=np.float32)
    target = (inputs @ rng.standard_normal((NUM_INPUTS, NUM_CLASSES), dtype=np.float32)).argmax(1)
    widths = [NUM_INPUTS, *[point.width] * point.depth, NUM_CLASSES]
    bounds = [fan_in**-0.5 for fan_in in widths[:-1]]
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    return Job(
        name=name,
        inputs=inputs,
        target=target,
        weights=[rng.uniform(-b, b, shape).astype(np.float32) for b, shape in zip(bounds, shapes, strict=True)],
        biases=[rng.uniform(-b, b, shape[0]).astype(np.float32) for b, shape in zip(bounds, shapes, strict=True)],
        loss="classes",
        optimizer="adam",
        lr=0.001,
        batch_size=point.batch,
        shuffle=False,
    )


if __name__ == "__main__":
    main()

"""Run folders written by hand, as plain files: what a comparison reads, with figures that a test chooses."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

VERSIONS = {"python": "3.11.7", "nnlab": "0.1.0", "torch": "2.13.0+cpu"}
CHOICES = {"device": "cpu", "threads": 1}


def write_run(
    folder: Path,
    losses: Sequence[float] = (0.5, 0.2, 0.3),
    *,
    seed: int = 0,
    optim: str = "adam",
    lr: float = 0.001,
    config: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    status: str = "completed",
    columns: Mapping[str, Sequence[float | None]] | None = None,
    monitor: str = "valid/loss",
    test: Mapping[str, float] | None = None,
    data_seed: int = 0,
    fingerprint: str = "f" * 64,
    steps_per_epoch: int = 10,
    overrides: Sequence[str] = (),
) -> Path:
    """Write a run whose validation loss took the given values."""
    folder.mkdir(parents=True)
    steps = [steps_per_epoch * (epoch + 1) for epoch in range(len(losses))]
    table: dict[str, Sequence[Any]] = {
        "epoch": range(1, len(losses) + 1),
        "step": steps,
        "time_s": [step / 100 for step in steps],
        "train/loss": [loss / 2 for loss in losses],
        "valid/loss": losses,
        **(columns or {}),
    }
    with (folder / "metrics.csv").open("w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
    run = {
        "schema_version": 1,
        "name": "made",
        "created": "2026-01-31T12:00:00+0000",
        "config": {
            "seed": seed,
            "data": {"noise": 0.1, "seed": data_seed},
            "optim": {"_target_": f"torch.optim.{optim}", "lr": lr},
            "trainer": {"max_epochs": 50, "threads": seed + 1},
            **(config or {}),
        },
        "options": {"experiment": None, "data": "moons", "optim": optim, **(options or {})},
        "overrides": [f"optim={optim}", f"optim.lr={lr}", f"seed={seed}", *overrides],
        "seed": seed,
        "data_fingerprint": fingerprint,
        "plugins": [],
        "choices": CHOICES,
        "versions": VERSIONS,
        "git_commit": None,
        "history": [],
    }
    (folder / "run.json").write_text(json.dumps(run))
    best = min(range(len(losses)), key=lambda place: table[monitor][place], default=None)
    result = {
        "name": "made",
        "status": status,
        "reason": "because",
        "epochs": len(losses),
        "steps": steps[-1] if steps else 0,
        "seconds": steps[-1] / 100 if steps else 0.0,
        "final": {},
        "best": {} if best is None else {"metric": monitor, "value": table[monitor][best], "epoch": best + 1},
        "test": dict(test or {}),
        "greater_is_better": ["accuracy"],
        "notes": [],
        "error": None,
    }
    (folder / "result.json").write_text(json.dumps(result))
    return folder

"""A small sweep, and what its tests read of it."""

import csv
import json
import shutil
from pathlib import Path

QUICK = ["data=moons", "data.num_train=100", "trainer.max_epochs=2", "trainer.threads=1", "logger=[]", "figures=[]"]
SWEEP = ["train", "-m", *QUICK, "hydra.sweep.dir=sweep"]


def members(folder="sweep"):
    return sorted(path for path in Path(folder).iterdir() if (path / ".hydra").is_dir())


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


def run_of(folder):
    return json.loads((folder / "run.json").read_text())


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return [{key: cell for key, cell in row.items() if key != "time_s"} for row in csv.DictReader(file)]


def stamps(folder="sweep"):
    """What changes when a run is trained, or written, once more."""
    names = ("run.json", "result.json", "metrics.csv", "checkpoints/last.json")
    return {path / name: (path / name).stat().st_mtime_ns for path in members(folder) for name in names}


def unbegun(folder):
    """Make a member what it is before it begins."""
    for path in folder.iterdir():
        if path.name == ".hydra":
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

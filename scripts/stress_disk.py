"""Fills a disk under a training, at every size that matters, makes room, and goes on."""

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stress_driver import Driver
from stress_kills import rows, weights

SIZE = "2m"
WORDS = ["data=moons", "data.batch_size=64", "trainer.threads=1", "model.dropout=0.2", "callback=[histograms]"]
#: name -> what is trained: checkpoints that take more or less of the disk
CASES = {
    "small": [*WORDS, "model.width=16", "trainer.max_epochs=12", "trainer.checkpoint_every=2"],
    "large": [*WORDS, "model.width=100", "trainer.max_epochs=6", "trainer.checkpoint_every=1ep"],
}
#: bytes left when the training starts; a run of these takes about a megabyte
ROOM_KIB = (*range(0, 64, 4), *range(64, 1024, 32))


@contextmanager
def small_disk(folder: Path, size: str = SIZE) -> Iterator[None]:
    """A tmpfs at a folder, which is made.

    Raises:
        OSError: where none can be mounted.
    """
    folder.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0:
        raise OSError("mounting a tmpfs needs root and mount")
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise OSError(f"no tmpfs can be mounted here: {answer.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def leave_room(disk: Path, num_bytes: int) -> None:
    """Fill a disk but for some bytes, by a file ``ballast``."""
    with open(disk / "ballast", "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
        file.truncate(max(0, file.tell() - num_bytes))


def full_disk(folder: Path) -> bool:
    """Train with less and less room, resume with enough, compare with a run that always had enough.

    Args:
        folder: an empty folder to work in.

    Returns:
        Whether every run was good: see ``judge``.
    """
    outcomes: Counter[str] = Counter()
    disk = folder / "disk"
    with Driver(folder) as driver, small_disk(disk):
        for name, words in CASES.items():
            whole = folder / f"whole_{name}"
            ended = driver.run("train", *words, f"hydra.run.dir={whole}")
            assert ended.code == 0, ended.output
            for room in ROOM_KIB:
                outcome = judge(driver, words, whole, disk / f"{name}_{room}", room * 1024)
                outcomes[outcome] += 1
                if not outcome.startswith("good"):
                    print(f"  {name}, {room} KiB left: {outcome}")
                for path in disk.iterdir():
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
    print("full disk: " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())))
    return all(outcome.startswith("good") for outcome in outcomes)


def judge(driver: Driver, words: list[str], whole: Path, folder: Path, room: int) -> str:
    """One run on a disk with little room, and its resumption.

    Args:
        driver: runs nnlab.
        words: what is trained.
        whole: the folder of the same training on a disk with room.
        folder: the run's folder, on the small disk.
        room: bytes.

    Returns:
        ``good`` and how it ended, or what is wrong.
    """
    folder.mkdir()
    leave_room(folder.parent, room)
    ended = driver.run("train", *words, f"hydra.run.dir={folder}")
    problem = _problem_of_full(driver, folder, ended.code, ended.output)
    if problem:
        return f"{problem}\n{ended.output[-600:]}"
    (folder.parent / "ballast").unlink()
    if not (folder / "run.json").exists():
        again = driver.run("train", *words, f"hydra.run.dir={folder}")
    else:
        again = driver.run("resume", str(folder))
    if again.code != 0 or "Traceback" in again.output:
        return f"exit code {again.code} of the resumption\n{again.output[-600:]}"
    if not (folder / "checkpoints" / "best.json").exists():
        return f"nothing was resumed\n{ended.output[-900:]}\n{again.output[-600:]}"
    if rows(folder) != rows(whole):
        return "other rows"
    if weights(folder) != weights(whole):
        return "other weights"
    if driver.run("verify", str(folder)).code != 0 or list(folder.rglob("*.tmp")):
        return "the resumed folder is not whole"
    return f"good, {_name_of(ended.code, ended.output)}"


def _problem_of_full(driver: Driver, folder: Path, code: int, output: str) -> str | None:
    if "Traceback" in output:
        return "a traceback"
    if list(folder.rglob("*.tmp")):
        return "temporary files are left"
    has_begun = (folder / "run.json").exists()
    if code == 2:
        return None if "No space left on device" in output else "refused without a reason"
    if code not in (0, 1) or not has_begun:
        return f"exit code {code}"
    verified = driver.run("verify", str(folder))
    if verified.code != 0 and (folder / "manifest.json").exists():
        return f"a folder that is not whole: {verified.output}"
    status = "running"
    if (folder / "result.json").exists():
        result = json.loads((folder / "result.json").read_text())
        status = result["status"]
        twice = [note for note, count in Counter(result["notes"]).items() if count > 1]
        if twice:
            return f"said twice: {twice}"
    last = folder / "checkpoints" / "last.json"
    is_saved = last.exists() and status == "completed" and json.loads(last.read_text())["step"] == result["steps"]
    if (code == 0) != is_saved:
        return f"exit code {code}, status {status}, {'saved' if is_saved else 'not saved'}"
    return None


def _name_of(code: int, output: str) -> str:
    if code == 0:
        return "completed with losses" if "could not be" in output else "completed"
    return {1: "completed but not saved", 2: "refused at the start"}[code]

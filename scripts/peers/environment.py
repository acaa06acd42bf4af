"""The peers' own environment: a venv in the user's cache, made by pip from requirements.txt."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from nnlab.machine import cache_folder
from peers.known import PEERS

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
#: holds the requirements that were installed, once all of them are
STAMP = "requirements.txt"


def default_folder() -> Path:
    """Where the environment is unless another folder is named."""
    return cache_folder() / "peers"


def install(folder: Path) -> None:
    """Make the environment; what is there already stays.

    Args:
        folder: of the environment.

    Raises:
        subprocess.CalledProcessError: if venv or pip fails; they have said why.
    """
    print(f"installing the peers of {REQUIREMENTS.name} into {folder}; 1.7 GB where torch is the CPU build", flush=True)
    if not python_of(folder).exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [python_of(folder), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "install", "-c", CONSTRAINTS, "-r", REQUIREMENTS], check=True)
    (folder / STAMP).write_text(REQUIREMENTS.read_text())


def python_of(folder: Path) -> Path:
    """The environment's Python."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def is_installed(folder: Path) -> bool:
    """Whether all of today's requirements are there."""
    stamp = folder / STAMP
    return stamp.exists() and stamp.read_text() == REQUIREMENTS.read_text()


def pythons(peers: Iterable[str], folder: Path) -> dict[str, Path]:
    """Which Python runs each peer.

    Args:
        peers: their names.
        folder: of the environment.
    """
    return {name: python_of(folder) if PEERS[name].is_installed else Path(sys.executable) for name in peers}


def pinned() -> str:
    """What is installed, on a line."""
    lines = REQUIREMENTS.read_text().splitlines()
    return ", ".join(line.replace("==", " ") for line in lines if line and not line.startswith("#"))

import shutil

import pytest

from cluster_sweeps import grant
from nnlab.cli import main
from sweep_files import SWEEP


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """A finished sweep of two members."""
    folder = tmp_path_factory.mktemp("once") / "sweep"
    assert main([*SWEEP[:-1], "seed=0,1", f"hydra.sweep.dir={folder}"]) == 0
    return folder


@pytest.fixture
def done(once, work):
    """The same, as if its command had been typed here."""
    shutil.copytree(once, "sweep", symlinks=True)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder to work in, and what grants parts in it that wait and that kill."""
    return grant(tmp_path, monkeypatch)

"""Run folders as bytes: what is packed comes back, and nothing else."""

import io
import os
import tarfile

import pytest

from nnlab.folder import FolderError
from nnlab.sweep.carried import packed, unpack


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def ours(tmp_path):
    (tmp_path / "ours").mkdir()
    return tmp_path / "ours"


def test_packed_folders_come_back_as_they_were(tmp_path, ours):
    node = tmp_path / "node"
    (node / "0_a" / "checkpoints").mkdir(parents=True)
    (node / "0_a" / "checkpoints" / "8.json").write_text("8")
    (node / "0_a" / ".lock").write_text("1234")
    os.symlink("/etc/hostname", node / "0_a" / "link")
    (node / "1_b").mkdir()
    (ours / "0_a" / "checkpoints").mkdir(parents=True)
    (ours / "0_a" / "checkpoints" / "4.json").write_text("4")  # one that the node has replaced
    (ours / "0_a" / ".lock").write_text("5678")
    (ours / "2_c").mkdir()
    (ours / "2_c" / "run.json").write_text("{}")
    names = ["0_a", "2_c"]
    unpack(packed(node, names), ours, names)
    assert files(ours) == {"0_a/checkpoints/8.json": b"8", "0_a/.lock": b"5678", "2_c/run.json": b"{}"}


def hostile(name, kind=tarfile.REGTYPE, target=""):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, target, 4 if kind == tarfile.REGTYPE else 0
        archive.addfile(member, io.BytesIO(b"evil"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "payload",
    [
        hostile("../evil"),
        hostile("0_a/../../evil"),
        hostile("/evil"),
        hostile("1_b/evil"),
        hostile("0_abc/evil"),
        hostile("0_a/link", tarfile.SYMTYPE, "/etc"),
        hostile("0_a/link", tarfile.LNKTYPE, "../evil"),
        hostile("0_a/pipe", tarfile.FIFOTYPE),
    ],
    ids=["parent", "parent below", "absolute", "another member", "another name", "symbolic", "hard", "pipe"],
)
def test_files_that_are_none_of_the_jobs_are_refused_and_nothing_is_written(payload, tmp_path, ours):
    with pytest.raises(FolderError, match="a node has sent"):
        unpack(payload, ours, ["0_a"])
    assert files(tmp_path) == {}

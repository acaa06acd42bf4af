"""Run folders as bytes, for machines that share no file system."""

import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

from nnlab.folder import FolderError
from nnlab.lock import LOCK_FILE


def packed(folder: Path, names: Sequence[str]) -> bytes:
    """Files and folders of a folder, with all that is in them. Locks and links stay behind.

    Args:
        folder: any.
        names: of what is packed, with slashes; what is not there is left out.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            if os.path.lexists(folder / name):
                archive.add(folder / name, name, filter=_plain)
    return buffer.getvalue()


def unpack(payload: bytes, folder: Path, names: Sequence[str]) -> None:
    """Make folders what they were when they were packed.

    Args:
        payload: from ``packed``.
        folder: where to; it exists.
        names: what may be in it.

    Raises:
        FolderError: for anything else in it, such as a path that leads out of the folder.
        OSError: as from the file system.
    """
    with tarfile.open(fileobj=io.BytesIO(payload), mode="r:") as archive:
        members = [_checked(member, folder, names) for member in archive]
        for member in members:
            _write(archive, member, folder / member.name)
    there = {folder / member.name for member in members}
    for name in names:
        for path in (folder / name).rglob("*") if folder / name in there else ():
            # Checkpoints that a later one has replaced, and events of a process that was killed.
            if path not in there and path.is_file() and path.name != LOCK_FILE:
                path.unlink()


def _checked(member: tarfile.TarInfo, folder: Path, names: Sequence[str]) -> tarfile.TarInfo:
    is_named = any(member.name == name or member.name.startswith(f"{name}/") for name in names)
    if not is_named or not (member.isreg() or member.isdir()):
        raise FolderError(f"{folder}: a node has sent {member.name!r}, which is no file of its job")
    try:
        return tarfile.data_filter(member, str(folder))
    except tarfile.FilterError as error:
        raise FolderError(f"{folder}: a node has sent a file that leads elsewhere: {error}") from None


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    source = archive.extractfile(member)
    assert source is not None
    # Written beside it and renamed: whoever reads sees the old file or the new one, whole.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(source.read())
        os.utime(temporary, (member.mtime, member.mtime))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """What is packed of a file, or None: whose it is and where its links lead is nobody's business elsewhere."""
    if not (member.isreg() or member.isdir()) or Path(member.name).name == LOCK_FILE:
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member

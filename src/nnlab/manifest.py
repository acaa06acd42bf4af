"""The manifest of a run folder: size and SHA-256 of every file, written by who works on it, checked by anybody."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal

from nnlab.folder import RESULT_FILE, SCHEMA_VERSION, FolderError, open_plain, read_json, write_json
from nnlab.lock import LOCK_FILE
from nnlab.pointer import CHECKPOINTS, POINTERS, Pointer, is_count, is_digest, read_pointer
from nnlab.tree import Tree, read_tree

MANIFEST_FILE = "manifest.json"

#: bytes; no file of a run comes near this, and reading a sparse one of terabytes to its end would take hours
FILE_LIMIT = 2**36
#: bytes; a larger file is refused, or not read, by all who rely on one
_RELIED_LIMIT = 2**30

#: what only ever gets longer while a run works: tables beside run.json, the log, events
_GROWING = re.compile(r"[^/]+\.csv|train\.log|events\.out\.tfevents\.[^/]*")
#: what a working run replaces as a whole, between one manifest and the next
_REPLACED = re.compile(
    rf"{re.escape(RESULT_FILE)}|{CHECKPOINTS}/({'|'.join(POINTERS)})\.json|(figures|arrays|profile)/.*"
)
_NUMBERED = re.compile(rf"{CHECKPOINTS}/\d+\.(safetensors|json)")
_KEYS = ("schema_version", "final", "files", "sha256")
_CHUNK = 2**20


@dataclass(frozen=True)
class Finding:
    """Something in a run folder that is not as the manifest has it.

    Args:
        path: the file, relative to the run's folder.
        problem: what is wrong with it, in words.
        severity: ``damaged`` or ``missing``; ``extra`` for what the manifest does not know, which is no damage.
    """

    path: str
    problem: str
    severity: Literal["damaged", "missing", "extra"]


@dataclass(frozen=True)
class Entry:
    """What a manifest says of a file.

    Args:
        size: bytes.
        sha256: of these bytes, in hexadecimal.
        grows: whether the file may have become longer since.
    """

    size: int
    sha256: str
    grows: bool


@dataclass(frozen=True)
class Manifest:
    """What a manifest says.

    Args:
        final: False if it was written while the run went on, which may have replaced figures, ``result.json`` and
            pointers since, and deleted older checkpoints.
        files: its entries by name, relative to the run's folder.
    """

    final: bool
    files: Mapping[str, Entry]


def write_manifest(folder: Path, final: bool = True, leave_out: Collection[str] = ()) -> None:
    """Write ``manifest.json`` for what lies in a run folder now.

    Args:
        folder: the run's folder.
        final: False while the run goes on; True as its very last file.
        leave_out: names of files that are about to be replaced and that a process killed in between would leave
            unlike the manifest, such as ``run.json`` when a resume is entered into it.

    Raises:
        OSError: as from the file system; the old manifest remains.
    """
    files: dict[str, Mapping[str, Any]] = {}
    settled = _settled(folder)
    for name in read_tree(folder).files:
        if name in (MANIFEST_FILE, LOCK_FILE, *leave_out) or _flaw(name):
            continue
        if name in settled:
            files[name] = vars(settled[name])
            continue
        try:
            files[name] = _look_at(folder, name)
        except FileNotFoundError:
            continue
    _write(folder, final, files)


def add_to_manifest(folder: Path, names: Collection[str]) -> None:
    """Enter files that were added to a finished run; what the manifest says of the others stays as it is.

    Args:
        folder: the run's folder, which the caller has locked.
        names: of the files, relative to it.

    Raises:
        FolderError: if the manifest is missing or damaged.
        OSError: as from the file system; the old manifest remains.
    """
    manifest = read_manifest(folder)
    files = {name: vars(entry) for name, entry in manifest.files.items()}
    _write(folder, manifest.final, files | {name: _look_at(folder, name) for name in names})


def read_manifest(folder: Path) -> Manifest:
    """Read ``manifest.json``.

    Args:
        folder: the run's folder.

    Returns:
        Its entries; every name in it stays inside the folder.

    Raises:
        FolderError: if it is missing, damaged, of a newer nnlab, or names a file outside the folder.
    """
    return _read(folder / MANIFEST_FILE)


def _read(path: Path) -> Manifest:
    content = read_json(path)
    version, final, files, seal = (content.get(key) for key in _KEYS)
    if is_count(version) and version > SCHEMA_VERSION:
        raise FolderError(f"{path} was written by a newer nnlab (schema {version}, known: {SCHEMA_VERSION})")
    if set(content) != set(_KEYS) or not is_count(version) or not isinstance(final, bool):
        raise FolderError(f"{path}: expected {', '.join(_KEYS)}; it is damaged or not nnlab's")
    if not isinstance(files, dict):
        raise FolderError(f"{path}: files: expected an object, found {type(files).__name__}; it is damaged")
    entries = {name: _entry(path, name, entry) for name, entry in files.items()}
    del content["sha256"]
    if seal != _seal(content):
        raise FolderError(f"{path}: its content does not match its own SHA-256; it is damaged")
    return Manifest(final, entries)


def check_files(folder: Path) -> list[Finding]:
    """Compare a run folder with its manifest, and its checkpoints with the pointers that name them.

    Args:
        folder: the run's folder, of a run that is finished, was killed, or goes on at this moment.

    Returns:
        Everything that is not as it should be, by name; of severity ``extra`` only: the folder is whole.
    """
    findings = _Check(folder).findings()
    while any(map(_is_damage, findings)):
        # A run that goes on replaces and deletes files while they are compared; what is damaged is so twice.
        again = _Check(folder).findings()
        confirmed = [finding for finding in again if not _is_damage(finding) or finding in findings]
        is_settled = list(filter(_is_damage, confirmed)) == list(filter(_is_damage, findings))
        findings = confirmed
        if is_settled:
            break
    return findings


def check_some(folder: Path, wanted: Callable[[str], bool]) -> list[Finding]:
    """Compare some files of a run folder with its manifest, for who is about to rely on them.

    Args:
        folder: the run's folder.
        wanted: whether a file is looked at, by its name relative to the folder.

    Returns:
        As ``check_files``, for those of them that the manifest knows and that are not enormous; for ``manifest.json``
        where it is missing or cannot be read.
    """
    findings = _Check(folder).findings_of(wanted)
    # As above: what is replaced just now is looked at again.
    return [finding for finding in _Check(folder).findings_of(wanted) if finding in findings] if findings else []


def stale_files(folder: Path) -> list[str]:
    """The temporary files of a run folder: those of a killed process, if no process works on it.

    Args:
        folder: the run's folder.

    Returns:
        Their names, relative to it.
    """
    return sorted(read_tree(folder).temporary)


def sweep_stale(folder: Path) -> list[str]:
    """Delete what a killed process left half written. Only for who holds the run's lock.

    Args:
        folder: the run's folder.

    Returns:
        The names of the deleted files, relative to it.

    Raises:
        OSError: if one cannot be deleted.
    """
    names = stale_files(folder)
    for name in names:
        (folder / name).unlink(missing_ok=True)
    return names


class _Check:
    """One comparison of a folder with what its manifest and its pointers say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree: Tree = read_tree(folder)
        self.found: dict[str, Finding] = {}
        self.manifest = Manifest(False, {})
        self.pointers: dict[str, Pointer] = {}
        self._digests: dict[str, str] = {}

    def findings(self) -> list[Finding]:
        for name, what in self.tree.odd.items():
            self._find(name, what, "damaged")
        self._read()
        for name, entry in self.manifest.files.items():
            self._compare(name, entry)
        for name, pointer in self.pointers.items():
            if name not in self.found or self.found[name].severity == "extra":
                self._compare_checkpoint(name, pointer)
        for name in self.tree.temporary:
            self._find(name, "half written by a process that was killed; `nnlab resume` deletes it", "extra")
        if MANIFEST_FILE not in self.found:
            for name in self.tree.files.keys() - self.manifest.files.keys() - {MANIFEST_FILE, LOCK_FILE}:
                self._find(name, "not in the manifest", "extra")
        return sorted(self.found.values(), key=lambda finding: finding.path)

    def findings_of(self, wanted: Callable[[str], bool]) -> list[Finding]:
        self._read()
        for name in filter(wanted, self.manifest.files):
            if self.tree.files.get(name, 0) <= _RELIED_LIMIT:
                self._compare(name, self.manifest.files[name])
        return [finding for name, finding in self.found.items() if name == MANIFEST_FILE or wanted(name)]

    def _read(self) -> None:
        """Read the manifest and the pointers, as far as they can be read."""
        if MANIFEST_FILE not in self.tree.files:
            self._find(MANIFEST_FILE, "there is none: nothing says what the other files should be", "missing")
        else:
            try:
                self.manifest = read_manifest(self.folder)
            except FolderError as error:
                self._find(MANIFEST_FILE, _without_path(error, self.folder / MANIFEST_FILE), "damaged")
        for name in (f"{CHECKPOINTS}/{which}.json" for which in POINTERS):
            if name in self.tree.files:
                try:
                    self.pointers[name] = read_pointer(self.folder / name)
                except FolderError as error:
                    self._find(name, _without_path(error, self.folder / name), "damaged")

    def _find(self, name: str, problem: str, severity: Literal["damaged", "missing", "extra"]) -> None:
        """Note what was found first: later ones of the same file follow from it."""
        self.found.setdefault(name, Finding(name, problem, severity))

    def _compare(self, name: str, entry: Entry) -> None:
        size = self.tree.files.get(name)
        if size is None:
            if self.manifest.final or not _NUMBERED.fullmatch(name) or self._is_pointed(name):
                self._find(name, f"there is no such file; the manifest has {entry.size:,} bytes", "missing")
            return
        problem = self._difference(name, entry, size)
        if problem is None:
            return
        if self.manifest.final or not _REPLACED.fullmatch(name):
            self._find(name, problem, "damaged")
        elif name == RESULT_FILE and (unreadable := _unreadable(self.folder / name)):
            self._find(name, unreadable, "damaged")
        else:
            self._find(name, "newer than the manifest, as in a run that goes on or was killed", "extra")

    def _difference(self, name: str, entry: Entry, size: int) -> str | None:
        """What is wrong with a file in words, or None."""
        if size < entry.size or (size > entry.size and not entry.grows):
            return f"it has {size:,} bytes, and {entry.size:,} in the manifest"
        digest = self._digest(name, entry.size)
        if digest is None:
            return "it cannot be read"
        return None if digest == entry.sha256 else "its content is not that of the manifest (SHA-256 differs)"

    def _digest(self, name: str, size: int) -> str | None:
        """The SHA-256 of the first bytes of a file, or None if they cannot be read."""
        if name not in self._digests:
            try:
                with open_plain(self.folder / name) as file:
                    self._digests[name] = _sha256(file, size)
            except (OSError, FolderError):
                return None
        return self._digests[name]

    def _is_pointed(self, name: str) -> bool:
        return any(f"{CHECKPOINTS}/{file}" == name for pointer in self.pointers.values() for file in pointer.sha256)

    def _compare_checkpoint(self, pointer_name: str, pointer: Pointer) -> None:
        for file, expected in pointer.sha256.items():
            name = f"{CHECKPOINTS}/{file}"
            if name in self.found:
                continue
            if name not in self.tree.files:
                self._find(name, f"there is no such file, and {pointer_name} names it", "missing")
            elif self.tree.files[name] > FILE_LIMIT:
                self._find(name, f"it has {self.tree.files[name]:,} bytes, more than nnlab writes or reads", "damaged")
            elif self._digest(name, self.tree.files[name]) == expected:
                continue
            elif name in self.manifest.files:
                # File and manifest agree, so it is the pointer that is wrong.
                problem = f"its SHA-256 of {file} is not the file's"
                self.found[pointer_name] = Finding(pointer_name, problem, "damaged")
            else:
                self._find(name, f"its content is not that of {pointer_name} (SHA-256 differs)", "damaged")


def _settled(folder: Path) -> dict[str, Entry]:
    """Of a checkpoint's files that are in the manifest already, what it and a pointer agree on.

    They never change, so that there is nothing to be read again; and what is damaged since is not taken as it is.
    """
    pointed = set()
    for which in POINTERS:
        try:
            pointer = read_pointer(folder / CHECKPOINTS / f"{which}.json")
        except FolderError:
            continue
        pointed |= {(f"{CHECKPOINTS}/{file}", digest) for file, digest in pointer.sha256.items()}
    try:
        entries = _read(folder / MANIFEST_FILE).files if pointed else {}
    except FolderError:
        return {}
    return {name: entry for name, entry in entries.items() if (name, entry.sha256) in pointed}


def _look_at(folder: Path, name: str) -> dict[str, Any]:
    with open_plain(folder / name) as file:
        size = os.fstat(file.fileno()).st_size
        return {"size": size, "sha256": _sha256(file, size), "grows": _grows(name)}


def _write(folder: Path, final: bool, files: Mapping[str, Mapping[str, Any]]) -> None:
    content = {"schema_version": SCHEMA_VERSION, "final": final, "files": files}
    write_json(folder / MANIFEST_FILE, content | {"sha256": _seal(content)})


def _entry(path: Path, name: str, entry: Any) -> Entry:
    flaw = _flaw(name)
    if flaw:
        raise FolderError(f"{path} names {name[:100]!r}, {flaw}; it is damaged or somebody else's")
    if isinstance(entry, dict) and set(entry) == {"size", "sha256", "grows"}:
        size, sha256, grows = entry["size"], entry["sha256"], entry["grows"]
        if is_count(size) and size <= FILE_LIMIT and is_digest(sha256) and isinstance(grows, bool):
            return Entry(size, sha256, grows)
    raise FolderError(f"{path}: {name[:100]!r}: expected size, sha256 and grows; it is damaged or not nnlab's")


def _flaw(name: str) -> str | None:
    """Why a name cannot be that of a file in a run folder, in words, or None."""
    if "\\" in name or "\0" in name:
        return "which holds a backslash or a null"
    if name.startswith("/") or set(name.split("/")) & {"", ".", ".."} or PurePosixPath(name).is_absolute():
        return "which leads out of the folder"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "which is not text"
    return None


def _grows(name: str) -> bool:
    return _GROWING.fullmatch(name) is not None


def _sha256(file: BinaryIO, size: int) -> str:
    """The SHA-256 of the next bytes of a file, in hexadecimal."""
    digest, left = hashlib.sha256(), size
    while left and (chunk := file.read(min(_CHUNK, left))):
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest()


def _seal(content: Mapping[str, Any]) -> str:
    """The SHA-256 of a manifest's own content, so that damage to it is not taken for damage to the files it names."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _is_damage(finding: Finding) -> bool:
    return finding.severity != "extra"


def _unreadable(path: Path) -> str | None:
    try:
        read_json(path)
    except FolderError as error:
        return _without_path(error, path)
    return None


def _without_path(error: FolderError, path: Path) -> str:
    """What an error says of a file, for where its name stands already."""
    return str(error).removeprefix(str(path)).lstrip(": ")

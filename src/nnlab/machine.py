"""What is known of this machine: the numbers that nnlab's rules go by, measured by ``nnlab tune`` or assumed."""

import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from nnlab.durable import write_atomic

FILE = "machine.json"
SCHEMA = 1
#: what `nnlab tune` measures; the file may leave out what it does not
TUNED = ("multiply_adds_per_thread", "native_work_per_thread", "saved_us")


@dataclass(frozen=True)
class Machine:
    """Numbers that rules about threads and engines go by. The defaults were measured on two Zen 4 cores.

    Args:
        multiply_adds_per_thread: of a step's largest layer, that pay for one thread of torch's operations.
        native_work_per_thread: of a compiled step that pays for one thread: multiply-adds of all its products, and ten
            for each activation.
        saved_us: microseconds that a compiled step saves beside arithmetic.
        inductor_start_s: seconds that torch.compile takes once in a process: its import, C++ headers, the processor.
        inductor_compile_s: seconds that it takes for each of torch's operations, in each size of a batch.
        inductor_saved_us: microseconds that it saves for each of them.
        inductor_byte_ns: nanoseconds that it may lose for each byte that they write, matrix products apart.
    """

    # 2-100-100-3 gains 1.6 times from a second thread at batch 1,000 (10 million) and nothing at batch 100; 1-100-1 at
    # batch 1,000 gains 5 %, and loses a hundredfold when another program wants the core that the thread waits on.
    multiply_adds_per_thread: int = 2_000_000
    # A second thread makes 64-256-1024-1 at batch 16 (14 million) 1.5 times and 2-100-100-3 at batch 1,000 (34 million)
    # 1.8 times as fast. It would do the same for 1-100-1 at batch 1,000 (1.6 million), 56 microseconds instead of 90;
    # but where other programs want the cores, two threads take five times as long as one.
    native_work_per_thread: int = 5_000_000
    saved_us: float = 100.0
    # With an empty cache a program of 12 operations takes 3 seconds, one of 44 takes 6, one of 212 takes 38.
    inductor_start_s: float = 10.0
    inductor_compile_s: float = 0.2
    # The table of docs/speed.md: 20 operations saved 70 microseconds, 44 of them 129, 212 of them 1,043. Where much is
    # written, it is the arithmetic that counts, at which torch's own operations may be better: 52 that write 7 MB lost
    # 400 microseconds, and what 12 that write 0.8 MB saved, 180, is not relied on.
    inductor_saved_us: float = 2.2
    inductor_byte_ns: float = 0.02

    @property
    def digest(self) -> str:
        """What runs record of it: ``defaults``, or a hash of the measured numbers."""
        if self == Machine():
            return "defaults"
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


def cache_folder() -> Path:
    """Where nnlab keeps what it has found out about this machine: ``NNLAB_CACHE``, or nnlab in the user's cache."""
    own = os.environ.get("NNLAB_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "nnlab"


def private_folder(path: Path) -> Path:
    """A folder that nobody else can put a program into, made if it is not there.

    Raises:
        OSError: if it cannot be made, or belongs to somebody else.
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    about = path.stat()
    if about.st_uid != os.getuid() or about.st_mode & 0o022:
        raise PermissionError(f"{path} can be written by others")
    return path


@cache
def machine() -> Machine:
    """This machine, as ``nnlab tune`` has measured it; the defaults where it was not, or where the file is no use."""
    try:
        content = json.loads((cache_folder() / FILE).read_text())
    except (OSError, ValueError):
        return Machine()
    if not isinstance(content, dict) or content.get("schema") != SCHEMA or content.get("processor") != processor():
        return Machine()
    numbers = content.get("numbers")
    names = {field.name for field in fields(Machine)}
    if not isinstance(numbers, dict) or not names >= set(numbers) >= set(TUNED):
        return Machine()
    if not all(map(_is_size, numbers.values())):
        return Machine()
    return Machine(**numbers)


def remember(measured: Machine) -> Path:
    """Keep what was measured, for every later run of this user on this machine.

    Args:
        measured: the numbers.

    Returns:
        The file.
    """
    path = cache_folder() / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"schema": SCHEMA, "processor": processor(), "numbers": asdict(measured), "digest": measured.digest}
    write_atomic(path, (json.dumps(content, indent=2) + "\n").encode())
    machine.cache_clear()
    return path


def forget() -> bool:
    """Go by the defaults again; returns whether there was anything to forget."""
    path = cache_folder() / FILE
    existed = path.exists()
    path.unlink(missing_ok=True)
    machine.cache_clear()
    return existed


def processor() -> str:
    """The processor's name and how many there are: a home folder may be shared by several machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{name or platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def _is_size(number: Any) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and 0 < number < 1e15

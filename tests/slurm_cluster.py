"""A real SLURM on this machine alone: its controller, one node of two cores, and what they trust each other by."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
#: two partitions: what is in the second takes the place of what is in the first, which SLURM queues again
_CONFIG = """
ClusterName=nnlab
SlurmctldHost=localhost(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
SlurmctldPort={controller}
SlurmdPort={node}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1,requeue_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=localhost NodeAddr=127.0.0.1 CPUs=2 RealMemory=512 State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE State=UP
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF State=UP
"""


def why_not():
    """Why there can be none here; None if there can."""
    if os.geteuid() != 0:
        return "SLURM's daemons need root here"
    missing = [name for name in _PROGRAMS if _path(name) is None]
    return f"needs SLURM on this machine: no {', '.join(missing)}" if missing else None


def _path(name):
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@contextmanager
def slurm():
    """While it lasts, SLURM_CONF names a cluster of this machine, whose daemons listen to it alone."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    config = folder / "slurm.conf"
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir()
    os.chmod(folder, 0o755)
    os.chmod(folder / "munge", 0o711)
    (folder / "munge" / "key").write_bytes(os.urandom(1024))
    os.chmod(folder / "munge" / "key", 0o400)
    config.write_text(_CONFIG.format(folder=folder, controller=_free_port(), node=_free_port()))
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(config)
    daemons = []
    try:
        secret = [f"--{name}={folder}/munge/{file}" for name, file in _MUNGE]
        daemons.append(_daemon(folder, "munged", "-F", "--force", *secret))
        _wait(lambda: (folder / "munge" / "socket").exists(), folder)
        daemons.append(_daemon(folder, "slurmctld", "-D"))
        _wait(lambda: _says("sinfo", "--noheader"), folder)
        daemons.append(_daemon(folder, "slurmd", "-D", "-N", "localhost"))
        _wait(lambda: "idle" in _says("sinfo", "--noheader", "--format=%t"), folder)
        yield config
    finally:
        _says("scancel", "--me", "--signal=KILL", "--full")
        _says("scancel", "--me")
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        if before is None:
            del os.environ["SLURM_CONF"]
        else:
            os.environ["SLURM_CONF"] = before
        shutil.rmtree(folder, ignore_errors=True)


_MUNGE = (("key-file", "key"), ("socket", "socket"), ("pid-file", "pid"), ("log-file", "log"), ("seed-file", "seed"))


def _daemon(folder, name, *words):
    with (folder / f"{name}.out").open("wb") as out:
        return subprocess.Popen([_path(name), *words], stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def _says(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _wait(is_so, folder):
    deadline = time.monotonic() + 60
    while not is_so():
        logs = "".join(f"{path}:\n{path.read_text()[-2000:]}" for path in folder.glob("*.out"))
        assert time.monotonic() < deadline, logs
        time.sleep(0.1)


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]

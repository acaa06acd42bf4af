"""Sweeps on a real Ray cluster of this machine: a head and two nodes, one of which is lost."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nnlab.cli import main
from sweep_files import members, result_of, rows, run_of

pytest.importorskip("ray", reason="needs the extra nnlab[ray]")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ROOT = Path(__file__).resolve().parents[2]
#: 10 epochs of 4 steps
COMMON = ["data=moons", "data.num_train=60", "data.num_valid=20", "data.num_test=20", "data.batch_size=16"]
COMMON += ["model.dropout=0.1", "trainer.max_epochs=10", "trainer.checkpoint_every=4", "figures=[]", "device=cpu"]
#: parts of somebody's own: one that takes its time and counts, and one that ends its process
OWN = '''
import os
import signal
import time
from pathlib import Path

from nnlab.callback import Callback


class Slow(Callback):
    """Waits at every evaluation, and counts it."""

    def on_evaluation(self, view, epoch, step, metrics):
        time.sleep(0.03)
        with open(Path("counted") / str(os.getpid()), "a") as file:
            file.write("x")


class Deadly(Callback):
    """Ends its process in the middle: once for the first seed, always for the second."""

    def __init__(self, seed):
        self.seed = seed

    def on_evaluation(self, view, epoch, step, metrics):
        died = Path("counted") / f"died_{self.seed}"
        if epoch == 5 and (self.seed == 1 or not died.exists()) and self.seed < 2:
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder to work in, with parts of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "parts_for_ray.py").write_text(OWN)
    folder = tmp_path / "own" / "callback"
    folder.mkdir(parents=True)
    (folder / "slow.yaml").write_text("# Waits\nslow:\n  _target_: parts_for_ray.Slow\n")
    (folder / "deadly.yaml").write_text("# Dies\ndeadly:\n  _target_: parts_for_ray.Deadly\n  seed: ${seed}\n")
    (tmp_path / "counted").mkdir()
    return ["--config-dir", "own", "plugins=[parts_for_ray]"]


@pytest.fixture(scope="module")
def cluster():
    """A head without room for tasks, and two nodes of one CPU each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # A node's workers look for nnlab where this process has it.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        cluster.nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        cluster.wait_for_nodes()
        yield cluster
        cluster.shutdown()


def on_ray(cluster, *words):
    return main(["train", "-m", "hydra/launcher=ray", f"hydra.launcher.address={cluster.address}", *COMMON, *words])


def weights(path):
    last = json.loads((path / "checkpoints" / "last.json").read_text())
    return {
        name: one.tobytes() for name, one in load_file(path / "checkpoints" / f"{last['step']}.safetensors").items()
    }


def test_lost_worker_costs_what_was_not_saved_and_a_deadly_member_only_itself(cluster, own, capsys):
    words = ["trainer.precision=bf16", "seed=0,1,2", "callback=[slow,deadly]", "hydra.sweep.dir=sweep"]
    assert on_ray(cluster, *own, *words, "hydra.launcher.max_retries=1") == 1
    printed = capsys.readouterr().out
    assert "as Ray tasks, 2 at a time, on 3 nodes" in printed
    assert printed.count("a worker was lost") == 2
    results = {run_of(path)["config"]["seed"]: (path, result_of(path)) for path in members()}
    assert [results[seed][1]["status"] for seed in (0, 2)] == ["completed"] * 2
    history = run_of(results[0][0])["history"]
    assert len(history) == 1
    assert history[0]["step"] >= 16  # four whole epochs were saved before it died in the fifth
    assert [row["epoch"] for row in rows(results[0][0])] == [str(epoch) for epoch in range(1, 11)]
    assert main(["train", "-m", *COMMON, "trainer.precision=bf16", "seed=0,2", "hydra.sweep.dir=alone"]) == 0
    for path, number in ((results[0][0], 0), (results[2][0], 1)):
        assert weights(path) == weights(members("alone")[number])
    assert "its worker was lost" in printed
    assert not [path for path, result in results.values() if result["status"] not in ("completed", "running", "failed")]


def children(pid):
    words = ["ps", "-o", "pid=", "--ppid", str(pid)]
    return [int(text) for text in subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()]


def test_lost_node_costs_no_member_and_no_bit(cluster, own, capsys):
    """Sixty members in six stacks; a node goes without a warning while both are at work."""
    words = ["model.width=3,4,5", "seed=range(20)"]
    assert main(["train", "-m", *COMMON, *words, "hydra.launcher.num_workers=1", "hydra.sweep.dir=whole"]) == 0
    lost = []

    def lose_a_node():
        for _ in range(1200):
            if len(list(Path("sweep/stacks").glob("*/checkpoints/last.json"))) == 2:
                node = cluster.nodes[0]
                workers = children(node.all_processes["raylet"][0].process.pid)
                cluster.remove_node(node, allow_graceful=False)
                for worker in workers:  # which would go on for a while where a real node takes them with it
                    with suppress(ProcessLookupError):
                        os.kill(worker, signal.SIGKILL)
                lost.append(time.monotonic())
                return
            time.sleep(0.02)

    thread = threading.Thread(target=lose_a_node)
    thread.start()
    code = on_ray(cluster, *own, *words, "callback=[slow]", "hydra.sweep.dir=sweep")
    thread.join()
    assert code == 0
    assert lost
    assert len(members()) == 60
    for ours, theirs in zip(members(), members("whole"), strict=True):
        assert result_of(ours)["status"] == "completed"
        assert rows(ours) == rows(theirs)
        assert weights(ours) == weights(theirs)
        events = EventAccumulator(str(ours), size_guidance={"scalars": 0})
        events.Reload()
        steps = [event.step for event in events.Scalars("valid/loss")]
        assert steps == list(range(4, 41, 4))
    num_evaluations = sum(len(path.read_text()) for path in Path("counted").iterdir())
    whole, stack = 60 * 10, 10 * 10
    assert whole <= num_evaluations < whole + stack  # no stack was trained twice in full
    assert capsys.readouterr().out.count("a worker was lost") == 1


def test_interrupted_driver_saves_what_is_under_way_and_goes_on(own, tmp_path):
    words = [*COMMON, *own, "hydra/launcher=ray", "hydra.launcher.num_workers=1", "trainer.precision=bf16", "seed=0,1"]
    command = [sys.executable, "-m", "nnlab", "train", "-m", *words, "callback=[slow]", "hydra.sweep.dir=sweep"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(tmp_path)])}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    for _ in range(2400):
        if list(Path("sweep").glob("0_*/checkpoints/last.json")):
            break
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    first, second = members()
    assert result_of(first)["status"] in ("interrupted", "completed")
    assert not (second / "run.json").exists()


REFUSED = [
    (["hydra.launcher.num_cpus=0"], "hydra.launcher.num_cpus: expected a number above 0"),
    (["hydra.launcher.num_gpus=-1"], "hydra.launcher.num_gpus: expected 0 or more"),
    (["hydra.launcher.max_retries=-1"], "hydra.launcher.max_retries: expected 0 or more"),
    (["hydra.launcher.num_workers=0"], "hydra.launcher.num_workers: expected at least 1"),
    (["hydra.launcher.num_cpu=1"], "num_cpu"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_values_without_a_meaning_are_refused(words, message, own, capsys):
    assert main(["train", "-m", "hydra/launcher=ray", *COMMON, "seed=0,1", *words]) == 2
    assert message in capsys.readouterr().err


def test_task_that_finds_no_room_is_refused(cluster, own, capsys):
    assert on_ray(cluster, "seed=0,1", "hydra.launcher.num_gpus=1") == 2
    assert "no task finds what it needs in this cluster: GPU 1" in capsys.readouterr().err


def test_absent_ray_is_named_with_its_extra(own, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["train", "-m", "hydra/launcher=ray", *COMMON, "seed=0,1"]) == 2
    assert "needs Ray: pip install 'nnlab[ray]'" in capsys.readouterr().err

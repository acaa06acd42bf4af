"""Sweeps on a real cluster of Ray on this machine: a head and two nodes, one of which is lost."""

import os
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

import nnlab
from cluster_sweeps import ALONE, COMMON, LIMIT_S, by_seed, shown_steps, weights
from nnlab.cli import main
from sweep_files import members, result_of, rows, run_of

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra nnlab[ray]"),
    # Ray's own: pipes and processes that it leaves to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SOURCE = Path(nnlab.__file__).parents[1]


@pytest.fixture(scope="module")
def cluster():
    """A head without room for tasks, and two nodes of one CPU each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # listens to this machine alone; read at import
        from ray.cluster_utils import Cluster

        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        try:
            for _ in range(2):
                found.add_node(num_cpus=1, num_gpus=1)  # in name: Ray counts them, and looks for none
            found.wait_for_nodes()
            yield found
        finally:
            found.shutdown()


def on_ray(cluster, *words):
    return main(["train", "-m", "hydra/launcher=ray", f"hydra.launcher.address={cluster.address}", *COMMON, *words])


def test_lost_worker_costs_what_was_not_saved_and_a_deadly_member_only_itself(cluster, own, capsys):
    words = [ALONE, "seed=0,1,2", "hydra.launcher.max_retries=1", "hydra.sweep.dir=sweep"]
    assert on_ray(cluster, *own, "callback=[slow,deadly]", *words) == 1
    printed = capsys.readouterr().out
    assert "as tasks of Ray, 2 at a time, each with 1 CPU" in printed
    assert printed.count("the job goes on from what is saved") == 2
    assert "the last of 2 times (hydra.launcher.max_retries=1); the same command goes on with it" in printed
    found = by_seed()
    assert [result_of(found[seed])["status"] for seed in (0, 2)] == ["completed"] * 2
    (entry,) = run_of(found[0])["history"]
    assert entry["step"] >= 16  # it died in the fifth epoch of four steps, and was saved after each
    assert any("begun again, 1 of 1 times" in note for note in result_of(found[0])["notes"])
    assert "history" not in run_of(found[2]) or run_of(found[2])["history"] == []
    assert main(["train", "-m", *COMMON, ALONE, "seed=0,2", "hydra.sweep.dir=alone"]) == 0
    for seed, other in by_seed("alone").items():
        assert rows(found[seed]) == rows(other)
        assert weights(found[seed]) == weights(other)
        assert shown_steps(found[seed]) == list(range(4, 41, 4))


def test_folders_come_back_from_nodes_that_do_not_share_the_sweeps(cluster, own, capsys):
    words = ["seed=range(4)", "callback=[slow,deadly]", "model.width=3"]
    assert main(["train", "-m", *COMMON, *words[:1], words[2], "hydra.sweep.dir=whole"]) == 0
    capsys.readouterr()
    # A stack of seeds 0, 2 and 3 beside one alone: the process that dies takes the stack with it, once.
    words[0] = "seed=0,2,3"
    assert on_ray(cluster, *own, *words, "hydra.launcher.shared_folder=false", "hydra.sweep.dir=sweep") == 0
    assert "the job begins again from what this machine has" in capsys.readouterr().out
    whole = by_seed("whole")
    for seed, path in by_seed().items():
        assert result_of(path)["status"] == "completed"
        assert rows(path) == rows(whole[seed])
        assert weights(path) == weights(whole[seed])
        assert main(["verify", str(path)]) == 0
    assert not Path("sweep/stacks").exists()
    assert not list(Path("sweep").rglob("*.tmp"))


def test_interrupted_sweep_is_saved_and_the_same_command_goes_on(own, cluster):
    words = [*own, ALONE, "seed=0,1,2", "callback=[slow]", "hydra.sweep.dir=sweep", "trainer.max_epochs=60"]
    launcher = ["hydra/launcher=ray", "hydra.launcher.num_workers=1"]  # a cluster of its own
    command = [sys.executable, "-m", "nnlab", "train", "-m", *COMMON, *launcher, *words]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(SOURCE), str(Path.cwd())])}
    sweeps = set(Path("/tmp").glob("nnlab-ray-*"))
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        deadline = time.monotonic() + LIMIT_S
        while not list(Path("sweep").glob("0_*/checkpoints/last.json")):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    assert process.returncode == 143, output
    assert "on a cluster on this machine" in output
    assert set(Path("/tmp").glob("nnlab-ray-*")) <= sweeps
    first, second, third = members()
    assert result_of(first)["status"] == "interrupted"
    assert 0 < result_of(first)["steps"] < 240
    assert not (second / "run.json").exists()
    assert not (third / "run.json").exists()
    assert on_ray(cluster, *words, "hydra.launcher.num_workers=1") == 0
    assert [result_of(path)["status"] for path in members()] == ["completed"] * 3
    (entry,) = run_of(first)["history"]
    assert (entry["status"], entry["step"] > 0) == ("interrupted", True)
    assert shown_steps(first) == list(range(4, 241, 4))


def test_python_sweeps_on_ray_with_shares_of_gpus_as_the_command_does(cluster, own, capsys):
    words = ["hydra/launcher=ray", f"hydra.launcher.address={cluster.address}", *COMMON, "seed=0,1", ALONE]
    shares = ["hydra.launcher.num_cpus=0.5", "hydra.launcher.num_gpus=0.5"]
    found = nnlab.sweep([*words, *shares], folder="sweep")
    assert [result.status for result in found] == ["completed"] * 2
    capsys.readouterr()
    assert on_ray(cluster, "--plan", "seed=range(40)", *shares) == 0
    assert "as tasks of Ray, 4 at a time, each with 0.5 CPU, 0.5 GPU" in capsys.readouterr().out


#: what is typed -> what is said, with exit code 2
REFUSED = {
    "hydra.launcher.num_cpus=-1": "hydra.launcher.num_cpus: expected a number from 0 on, found -1",
    "hydra.launcher.num_gpus=1.5": "hydra.launcher.num_gpus: expected a share up to 1, or a whole number",
    "hydra.launcher.resources={fast:0}": "hydra.launcher.resources: fast: expected an amount above 0",
    "hydra.launcher.resources={GPU:1}": "hydra.launcher.resources: GPU is hydra.launcher.num_gpus",
    "hydra.launcher.max_retries=-1": "hydra.launcher.max_retries: expected at least 0, found -1",
    "hydra.launcher.num_workers=0": "hydra.launcher.num_workers: expected at least 1, found 0",
    "hydra.launcher.runtime_env=fast": "hydra.launcher.runtime_env: expected such as {env_vars: {NAME: value}}",
    "hydra.launcher.num_gpus=64": "hydra.launcher.num_gpus: expected at most",
    "hydra.launcher.address=127.0.0.1:1": "hydra.launcher.address: no cluster of Ray can be joined",
    "hydra.launcher.num_cpu=1": "num_cpu",
}


@pytest.mark.parametrize("word", [word for word in REFUSED if "address" not in word])
def test_values_that_mean_nothing_are_refused(word, own, capsys):
    assert main(["train", "-m", "hydra/launcher=ray", *COMMON, "seed=0,1", word]) == 2
    assert REFUSED[word] in capsys.readouterr().err
    assert not Path("outputs").exists() or not list(Path("outputs").glob("*/*"))


def test_task_that_no_node_has_room_for_is_refused(cluster, own, capsys):
    assert on_ray(cluster, "seed=0,1", "hydra.launcher.num_cpus=2", "hydra.launcher.resources={fast:1}") == 2
    assert "a task needs 2 CPU, 1 fast, and no node has that" in capsys.readouterr().err


def test_plan_of_a_cluster_is_shown_without_a_task(cluster, own, capsys):
    assert on_ray(cluster, "--plan", "seed=range(12)") == 0
    printed = capsys.readouterr().out
    assert "12 members in 2 stacks of 6" in printed
    assert f"as tasks of Ray, 2 at a time, each with 1 CPU, on Ray at {cluster.address}" in printed
    assert not Path("outputs").exists()


def test_absent_ray_is_named_with_its_extra(own, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["train", "-m", "hydra/launcher=ray", *COMMON, "seed=0,1"]) == 2
    assert "hydra/launcher=ray needs Ray: pip install 'nnlab[ray]'" in capsys.readouterr().err


def test_lost_node_costs_no_member_and_no_bit(cluster, own, capsys):
    """Sixty members in six stacks; a node goes without a warning while both are at work. The last test: it is gone."""
    words = ["model.width=3,4,5", "seed=range(20)"]
    assert main(["train", "-m", *COMMON, *words, "hydra.launcher.num_workers=2", "hydra.sweep.dir=whole"]) == 0
    lost = []

    def lose_a_node():
        deadline = time.monotonic() + LIMIT_S
        while len(list(Path("sweep/stacks").glob("*/checkpoints/last.json"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        node = next(iter(cluster.worker_nodes))
        cluster.remove_node(node, allow_graceful=False)
        lost.append(node)

    thread = threading.Thread(target=lose_a_node)
    thread.start()
    try:
        code = on_ray(cluster, *own, *words, "callback=[slow]", "hydra.sweep.dir=sweep")
    finally:
        thread.join()
    assert lost
    assert code == 0
    assert capsys.readouterr().out.count("the job goes on from what is saved") == 1
    assert len(members()) == 60
    for ours, theirs in zip(members(), members("whole"), strict=True):
        assert result_of(ours)["status"] == "completed"
        assert rows(ours) == rows(theirs)
        assert weights(ours) == weights(theirs)
        assert shown_steps(ours) == list(range(4, 41, 4))
    again = [path for path in members() if run_of(path).get("history")]
    assert len(again) == 10  # one stack, each of whose members went on once, from where it was saved
    num_evaluations = sum(len(path.read_text()) for path in Path("counted").glob("evaluations_*"))
    assert 600 <= num_evaluations < 600 + 10 * 5  # hardly any was done again, and no member trained twice in full

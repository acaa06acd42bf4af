"""Members are islands: whatever becomes of one, the others have the bits that they have without it."""

import json
import os
from pathlib import Path

import pytest

from nnlab import experiment
from nnlab.cli import main
from nnlab.lock import RunLock
from sweep_files import members, result_of, rows, run_of

QUICK = ["data=moons", "data.num_train=60", "data.num_valid=20", "data.num_test=20"]
QUICK += ["model.width=4", "model.dropout=0.1", "optim=sgd", "callback=early_stopping", "trainer.max_epochs=6"]
QUICK += ["callback.early_stopping.patience=2", "trainer.threads=1", "trainer.checkpoint_every=3", "logger=[]"]
QUICK += ["figures=[]"]
SWEEP = ["train", "-m", *QUICK]
BATCH = "data.batch_size=30"
RATES, SEEDS = ["0.1", "0.2", "0.0", "1e+30", "-1.0"], ["0", "1", "2"]
OTHERS = ["0.1", "0.2"]


def digest(folder):
    """Everything of a member that is the same bits every time."""
    last = json.loads((folder / "checkpoints" / "last.json").read_text())
    return rows(folder), last["step"], last["sha256"][f"{last['step']}.safetensors"], result_of(folder)["test"]


def by_values(folder):
    """Members by what they were told, such as ``("0.1", "2")``."""
    found = {}
    for path in Path(folder).glob("*_*=*/"):
        values = dict(part.split("=") for part in path.name.partition("_")[2].split(","))
        found[values["optim.lr"], values["seed"]] = path
    return found


def sweep(rates, folder, batch=BATCH):
    lists = [f"optim.lr={','.join(rates)}", f"seed={','.join(SEEDS)}"]
    return main([*SWEEP, *lists, batch, f"hydra.sweep.dir={folder}"])


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """The members that nothing happens to, by themselves."""
    folder = tmp_path_factory.mktemp("quiet")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert sweep(OTHERS, "sweep") == 0
    return by_values(folder / "sweep")


def test_whatever_becomes_of_one_the_others_have_the_same_bits(quiet, work, capsys):
    names = [f"{n}_optim.lr={r},seed={s}" for n, (r, s) in enumerate((r, s) for r in RATES for s in SEEDS)]
    for name in names[:6:3]:
        (Path("sweep") / name / ".hydra").mkdir(parents=True)
    Path("sweep", names[0], "checkpoints").write_text("in the way of checkpoints")
    Path("sweep", names[1]).write_text("in the way of the folder")
    Path("sweep", names[2]).mkdir()
    with RunLock(Path("sweep", names[2])):
        assert sweep(RATES, "sweep") == 1
    printed = "".join(capsys.readouterr())
    found = by_values("sweep")
    assert len(found) == 14
    # by the learning rate 0.0 nothing improves: the first evaluation is the best, and two more follow
    stopped, diverged, refused = ([result_of(found[rate, seed]) for seed in SEEDS] for rate in RATES[2:])
    assert [(one["status"], one["epochs"]) for one in stopped] == [("early_stopped", 3)] * 3
    assert [(one["status"], one["epochs"]) for one in diverged] == [("diverged", 0), ("diverged", 0), ("diverged", 1)]
    assert [one["status"] for one in refused] == ["failed"] * 3
    assert all("optim.lr" in one["error"] or "learning rate" in one["error"] for one in refused)
    assert not (found["-1.0", "0"] / "run.json").exists()
    assert "state at its end could not be saved" in result_of(found["0.1", "0"])["error"]
    assert f"{names[1]} cannot be written" in printed
    assert f"{names[2]} is in use" in printed
    table = {line.split()[0]: line.split()[1] for line in printed.splitlines() if line.split()[:1] and "  " in line}
    for number, name in enumerate(names):
        expected = ["failed"] * 3 + ["completed"] * 3 + ["early_stopped"] * 3 + ["diverged"] * 3 + ["failed"] * 3
        assert table[name] == expected[number]
    assert "15 members in 1 stack of 15" in printed
    for seed in SEEDS:
        assert digest(found["0.2", seed]) == digest(quiet["0.2", seed])
        assert main(["verify", str(found["0.2", seed])]) == 0
    assert rows(found["0.1", "0"]) == rows(quiet["0.1", "0"])
    # What was in the way is gone: the same command goes on, and those that are done stay as they are.
    before = digest(found["0.2", "1"]), (found["0.2", "1"] / "result.json").stat().st_mtime_ns
    Path("sweep", names[0], "checkpoints").unlink()
    Path("sweep", names[1]).unlink()
    assert sweep(RATES, "sweep") == 1
    again = by_values("sweep")
    assert "9 of 15 members are done already" in capsys.readouterr().out
    assert before == (digest(again["0.2", "1"]), (again["0.2", "1"] / "result.json").stat().st_mtime_ns)
    for seed in SEEDS:
        assert digest(again["0.1", seed]) == digest(quiet["0.1", seed])


def test_member_that_is_begun_alone_long_after_its_stack_has_the_bits_of_the_stack(quiet, work):
    name = "0_optim.lr=0.1,seed=0"
    Path("sweep").mkdir()
    Path("sweep", name).write_text("in the way")
    assert sweep(OTHERS, "sweep") == 1
    Path("sweep", name).unlink()
    assert sweep(OTHERS, "sweep") == 0
    assert run_of(Path("sweep", name))["choices"]["engine"] == "stack"
    assert digest(Path("sweep", name)) == digest(quiet["0.1", "0"])


def test_config_that_cannot_be_built_is_a_member_that_failed(quiet, work, capsys):
    assert sweep(OTHERS, "sweep", "data.batch_size=30,-1") == 1
    printed = capsys.readouterr().out
    assert "6 members in 1 stack of 6" in printed
    assert (
        "6 members alone (data.batch_size=-1): it cannot be built (data.batch_size: expected at least 1, found -1)"
        in printed
    )
    assert len(members()) == 12
    for path in members():
        values = dict(part.split("=") for part in path.name.partition("_")[2].split(","))
        if values["data.batch_size"] == "-1":
            result = result_of(path)
            assert (result["status"], result["error"]) == ("failed", "data.batch_size: expected at least 1, found -1")
            assert not (path / "run.json").exists()
        else:
            assert digest(path) == digest(quiet[values["optim.lr"], values["seed"]])


KILLER = '''
import os, signal
from pathlib import Path
from nnlab.callback.base import Callback

class Killer(Callback):
    """Ends its process where there is a file of that name."""
    def __init__(self, epoch, file):
        self.epoch, self.file = epoch, Path(file)
    def on_evaluation(self, view, epoch, step, metrics):
        if epoch == self.epoch and self.file.exists():
            os.kill(os.getpid(), signal.SIGKILL)
'''


@pytest.fixture
def own(work, monkeypatch):
    """A package of the user's own with a callback that kills its process."""
    (work / "killer_of_workers.py").write_text(KILLER)
    monkeypatch.syspath_prepend(str(work))
    option = work / "own" / "callback"
    option.mkdir(parents=True)
    (option / "killer.yaml").write_text(
        "# ends its process\nkiller:\n  _target_: killer_of_workers.Killer\n  epoch: 5\n  file: kill\n"
    )


def test_killed_worker_costs_its_members_only_and_the_same_command_brings_them_to_their_ends(own, work, capsys):
    words = ["callback=[early_stopping],[early_stopping,killer]", "--config-dir", "own", "plugins=[killer_of_workers]"]
    words += ["hydra.launcher.num_workers=2", "trainer.precision=fp64", "optim=adam", "optim.lr=0.01", "seed=range(4)"]
    words += ["callback.early_stopping.patience=9"]
    typed = [*SWEEP, BATCH, *words]
    assert main([*typed, "hydra.sweep.dir=whole"]) == 0
    Path("kill").touch()
    capsys.readouterr()
    assert main([*typed, "hydra.sweep.dir=sweep"]) == 1
    printed = capsys.readouterr().out
    assert "8 members in 2 stacks of 4" in printed
    assert "on 2 worker processes" in printed
    killed = [path for path in members() if result_of_if_any(path) != "completed"]
    assert len(killed) == 4
    assert all("killer" in str(run_of(path)["config"]["callback"]) for path in killed)
    for path in killed:
        text = "its process was killed by SIGKILL"
        assert f"ERROR: {path.name}: {text}" in printed
        assert f"ERROR {text}" in (path / "train.log").read_text()
    assert os.listdir("sweep/stacks")
    for path in members():
        if path not in killed:
            assert digest(path) == digest(Path("whole") / path.name)
    Path("kill").unlink()
    # With their times, which no second training would repeat.
    before = [(path / "metrics.csv").read_text().splitlines()[1:5] for path in killed]
    assert main([*typed, "hydra.sweep.dir=sweep"]) == 0
    for path in members():
        assert digest(path) == digest(Path("whole") / path.name)
        assert main(["verify", str(path)]) == 0
    assert [len(run_of(path)["history"]) for path in killed] == [1] * 4
    assert run_of(killed[0])["history"][0]["status"] == "running"
    assert before == [(path / "metrics.csv").read_text().splitlines()[1:5] for path in killed]
    assert not Path("sweep/stacks").exists()


def result_of_if_any(path):
    return result_of(path)["status"] if (path / "result.json").exists() else None


def test_error_of_one_member_is_in_its_own_log_and_in_no_other(quiet, work, monkeypatch, capsys):
    name, write = "1_optim.lr=0.1,seed=1", experiment._test_metrics

    def failing(member):
        if member.folder.name == name:
            raise RuntimeError("nobody has thought of this")
        return write(member)

    monkeypatch.setattr(experiment, "_test_metrics", failing)
    assert sweep(OTHERS, "sweep") == 1
    assert f"{name}: RuntimeError: nobody has thought of this" in capsys.readouterr().out
    for path in members():
        has_traceback = "Traceback" in (path / "train.log").read_text()
        assert has_traceback == (path.name == name)
    found = by_values("sweep")
    assert digest(found["0.1", "2"]) == digest(quiet["0.1", "2"])

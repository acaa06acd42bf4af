"""Sweeps that are killed or interrupted in any moment, and gone on with: real signals in real processes."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from sweep_files import members, result_of

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
WORDS = ["data=moons", "data.num_train=60", "data.num_valid=20", "data.num_test=20", "model.width=3"]
WORDS += ["model.dropout=0.1", "optim.lr=0.02", "trainer.max_epochs=50", "trainer.eval_every=10"]
WORDS += ["trainer.checkpoint_every=20", "trainer.threads=1", "data.batch_size=30", "logger=[]", "figures=[]"]
#: reached early and never surpassed by some, so that what is kept of the best matters
WORDS += ["trainer.monitor=valid/accuracy"]
#: three members in a stack of a hundred steps, and three alone
SWEEP = [*WORDS, "trainer.precision=fp32,bf16", "seed=0,1,2", "hydra.launcher.num_workers=1"]
SIGKILL, SIGTERM, SIGINT = signal.SIGKILL, signal.SIGTERM, signal.SIGINT


@pytest.fixture(scope="module")
def stress():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        import stress_sweep

        yield stress_sweep


@pytest.fixture(scope="module")
def driver(stress, tmp_path_factory):
    with stress.Driver(tmp_path_factory.mktemp("work")) as driver:
        yield driver


@pytest.fixture(scope="module")
def whole(stress, driver):
    folder = driver.folder / "whole"
    ended = driver.run(*stress.words_of(SWEEP, folder))
    assert ended.code == 0, ended.output
    return folder


def has(folder, *names):
    return [sorted(path.name for path in folder.glob("*/") if (path / name).exists()) for name in names]


def done(folder):
    return [
        path for path in members(folder) if (path / "result.json").exists() and result_of(path)["status"] == "completed"
    ]


def first_row(path):
    """With its time, which no second training would repeat."""
    return (path / "metrics.csv").read_text().splitlines()[1]


def no_plan(folder):
    """Killed before there was a plan."""
    assert not (folder / "plan.json").exists()
    assert not list(folder.glob("*/run.json"))


def halfway(folder):
    """Killed while a stack trained, whose state is in no member's folder."""
    begun, saved = has(folder, "run.json", "checkpoints/last.json")
    assert len(begun) == 3
    assert saved == []
    (stack,) = (folder / "stacks").iterdir()
    assert json.loads((stack / "checkpoints" / "last.json").read_text())["step"] == 60
    assert (stack / "checkpoints" / "80.safetensors").exists()


def finishing(folder):
    """Killed while the members of a stack were brought to their ends."""
    assert len(done(folder)) == 2
    assert not any((path / ".lock").exists() for path in done(folder))
    assert list((folder / "stacks").iterdir())


def alone(folder):
    """Killed while a member trained alone, after a stack."""
    assert len(done(folder)) == 4
    assert not list(folder.glob("stacks/*"))


def nearly(folder):
    """Killed once all members were done."""
    assert len(done(folder)) == 6
    assert not (folder / "comparison.html").exists()


#: what is there afterwards, the call before which the process is killed, whether `nnlab resume` goes on with it
MOMENTS = [
    (no_plan, ("nnlab.sweep.plan:write_atomic", 1), False),
    (halfway, ("nnlab.sweep.stack_store:sync_file_system", 4), False),
    (halfway, ("nnlab.sweep.stack_store:sync_file_system", 4), True),
    (finishing, ("nnlab.experiment:_test_metrics", 3), True),
    (alone, ("nnlab.experiment:_test_metrics", 5), False),
    (nearly, ("nnlab.sweep.ending:conclude", 1), True),
]


@pytest.mark.parametrize(("found", "place", "by_resume"), MOMENTS)
def test_killed_sweep_goes_on_to_the_bits_of_one_left_alone(found, place, by_resume, stress, driver, whole, tmp_path):
    folder = tmp_path / "sweep"
    before = {}

    def look(ended):
        assert ended.code == -SIGKILL, ended.output
        found(folder)
        before.update({path: first_row(path) for path in members(folder) if (path / "metrics.csv").exists()})

    strike = stress.Strike(SIGKILL, *place)
    assert stress.judge(driver, folder, SWEEP, [strike], whole, by_resume, look) == "good"
    assert {path: first_row(path) for path in before} == before


#: the signal, the call before which it comes, workers, the exit code
SIGNALS = [
    (SIGTERM, ("nnlab.sweep.stack_store:sync_file_system", 2), 1, 143),
    (SIGINT, ("nnlab.sweep.workers:wait", 3), 2, 130),
]


@pytest.mark.parametrize(("number", "place", "num_workers", "code"), SIGNALS)
def test_interrupted_sweep_leaves_each_member_its_own_checkpoint_and_goes_on(
    number, place, num_workers, code, stress, driver, whole, tmp_path
):
    folder = tmp_path / "sweep"

    def look(ended):
        assert ended.code == code, ended.output
        assert ended.output.count("what is under way is finished and saved") == 1
        begun = [path for path in members(folder) if (path / "run.json").exists() and path not in done(folder)]
        assert {result_of(path)["status"] for path in begun} == {"interrupted"}
        for path in begun:
            assert json.loads((path / "checkpoints" / "last.json").read_text())["step"] == result_of(path)["steps"]
        assert len(begun) == 3 or num_workers == 2
        assert not list(folder.glob("stacks/*"))
        assert "interrupted" in ended.output

    words = [*SWEEP[:-1], f"hydra.launcher.num_workers={num_workers}"]
    assert stress.judge(driver, folder, words, [stress.Strike(number, *place)], whole, True, look) == "good"


def test_edited_config_changes_nothing_of_a_sweep_that_was_killed(stress, driver, whole, tmp_path):
    (tmp_path / "own" / "optim").mkdir(parents=True)
    option = tmp_path / "own" / "optim" / "mine.yaml"
    shutil.copy(SCRIPTS.parent / "configs" / "optim" / "adam.yaml", option)
    folder = tmp_path / "sweep"

    def look(ended):
        assert ended.code == -SIGKILL, ended.output
        assert len(has(folder, "run.json")[0]) == 3
        assert "[0.9" in option.read_text()
        option.write_text(option.read_text().replace("[0.9", "[0.5"))

    words = [*SWEEP, "optim=mine", "--config-dir", str(tmp_path / "own")]
    strike = stress.Strike(SIGKILL, "nnlab.sweep.stack_store:sync_file_system", 3)
    assert stress.judge(driver, folder, words, [strike], whole, True, look) == "good"

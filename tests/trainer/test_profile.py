"""Where the time of a training goes: phases of a clock, a window of steps, and the files of a run."""

import gzip
import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from nnlab import Trainer
from nnlab.cli import main
from nnlab.manifest import check_files, read_manifest, write_manifest
from nnlab.native import library
from nnlab.trainer.phases import Phases
from nnlab.trainer.profile import Profile

CPU = torch.device("cpu")
needs_compiler = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler (cc, gcc or clang)")
COMPILES = ["off", pytest.param("step", marks=needs_compiler)]
SMALL = (
    "data=moons",
    "data.num_train=320",
    "data.num_valid=100",
    "data.batch_size=32",
    "trainer.threads=1",
    "logger=[]",
)


class Clock:
    """A clock that somebody sets."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_seconds_belong_to_the_innermost_phase():
    clock = Clock()
    phases = Phases(True, clock)
    with phases.during("training"):
        clock.now += 1
        for _ in range(2):
            with phases.during("steps"):
                clock.now += 4
        with phases.during("training"):  # inside itself
            clock.now += 0.5
    clock.now += 0.25
    found = {name: (phase.seconds, phase.calls) for name, phase in phases.so_far().items()}
    assert found == {"steps": (8, 2), "training": (1.5, 2), "other": (0.25, 0)}
    assert list(found) == ["steps", "training", "other"]


def test_phase_that_an_error_ends_is_over():
    clock = Clock()
    phases = Phases(True, clock)

    def fail():
        with phases.during("steps"):
            clock.now += 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    clock.now += 3
    assert {name: phase.seconds for name, phase in phases.so_far().items()} == {"steps": 2, "other": 3}


def test_clock_that_is_off_measures_nothing():
    clock = Clock()
    phases = Phases(False, clock)
    with phases.during("steps"):
        clock.now += 2
    assert {name: phase.seconds for name, phase in phases.so_far().items()} == {"other": 0}


def training(tmp_path, profile, num_steps, compile="off"):
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    x = torch.randn(64, 2)
    tmp_path.mkdir()
    trainer = Trainer(
        model, nn.MSELoss(), torch.optim.Adam(model.parameters(), lr=0.01), batch_size=8, max_steps=num_steps,
        max_epochs=1000, device="cpu", threads=1, compile=compile, folder=tmp_path, profile=profile,
    )  # fmt: skip
    result = trainer.fit((x, x.sum(1, keepdim=True)), (x[:20], x[:20].sum(1, keepdim=True)))
    return trainer, [{key: value for key, value in row.items() if key != "time_s"} for row in result.history]


@pytest.mark.parametrize("compile", COMPILES)
def test_profiled_training_has_the_bits_of_any_other(tmp_path, compile):
    plain, history = training(tmp_path / "plain", False, 100, compile)
    profiled, of_profiled = training(tmp_path / "profiled", True, 100, compile)
    assert of_profiled == history
    for own, other in zip(profiled.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(own, other)
    assert not (tmp_path / "plain" / "profile").exists()


def events_of(folder):
    trace = json.loads(gzip.decompress((folder / "profile" / "trace.json.gz").read_bytes()))
    return [event for event in trace["traceEvents"] if event.get("ph") == "X"]


def test_trace_of_eager_steps_has_fifty_of_them_and_what_is_between(tmp_path):
    trainer, _ = training(tmp_path / "run", True, 100)
    events = events_of(tmp_path / "run")
    steps = [event for event in events if event["name"] == "nnlab: steps" and event.get("cat") == "user_annotation"]
    assert len(steps) == 50
    names = {event["name"] for event in events}
    assert {"aten::addmm", "aten::threshold_backward", "nnlab: evaluation", "nnlab: data order"} <= names
    # two layers, 50 steps; epochs 1 to 6 end within steps 6 to 55 with an evaluation each
    assert sum(event["name"] == "aten::addmm" for event in events) == 2 * 50 + 2 * 6
    assert "trace.json.gz: steps 6 to 55 of this process" in trainer.profile.lines[-1]
    assert (tmp_path / "run" / "profile" / "trace.json.gz").stat().st_size < 1 << 20


@needs_compiler
def test_trace_of_compiled_steps_shows_the_calls(tmp_path):
    trainer, _ = training(tmp_path / "run", True, 100, "step")
    names = [event["name"] for event in events_of(tmp_path / "run")]
    assert "nnlab: steps" in names
    assert "aten::addmm" in names  # the evaluations
    assert "aten::threshold_backward" not in names
    assert "steps 6 to 55" in trainer.profile.lines[-1]


#: steps of a training -> what is recorded
WINDOWS = {1: "step 1 of", 5: "steps 1 to 5 of", 6: "step 6 of", 20: "steps 6 to 20 of", 56: "steps 6 to 55 of"}


@pytest.mark.parametrize(("num_steps", "window"), WINDOWS.items())
def test_window_ends_with_the_training(tmp_path, num_steps, window):
    trainer, _ = training(tmp_path / "run", True, num_steps)
    assert f"trace.json.gz: {window}" in trainer.profile.lines[-1]


def test_phases_of_a_training_add_up_to_its_seconds(tmp_path):
    trainer, _ = training(tmp_path / "run", True, 100)
    lines = (tmp_path / "run" / "profile" / "table.txt").read_text().splitlines()
    assert lines[: len(trainer.profile.lines)] == trainer.profile.lines
    rows = dict(re.findall(r"^(.+?)  +([\d.]+) ", "\n".join(f"{line} " for line in lines[1:]), re.M))
    phases = lines[1 : next(number for number, line in enumerate(lines) if line.startswith("all "))]
    names = [re.split("  +", line)[0] for line in phases]
    assert {"steps", "data order", "evaluation", "checkpoints", "start", "tables and results"} <= set(names)
    assert sum(float(rows[name]) for name in names) == pytest.approx(float(rows["all"]), abs=0.001 * len(names))
    calls = {re.split("  +", line)[0]: re.split("  +", line)[-1] for line in phases}
    assert calls["steps"] == "100"
    assert calls["data order"] == "13"  # epochs of eight steps, the last one cut short


def test_window_of_steps_ends_between_two_calls_and_then_lets_go():
    profile = Profile(None, Phases(True), CPU)
    asked = []
    for _ in range(4):
        asked.append(profile.most_steps(40, 1000))
        profile.did_steps(asked[-1], 1e-4)
    assert asked == [5, 40, 10, 40]
    assert profile.write() == []


def test_steps_that_take_seconds_are_not_recorded():
    profile = Profile(None, Phases(True), CPU)
    profile.did_steps(profile.most_steps(5, 100), 15.0)
    assert profile.most_steps(40, 95) == 40
    assert profile._window() == "no trace: a step takes 3.0 s, too long a trace"


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_profiled_run_prints_its_phases_and_keeps_its_files(work, capsys):
    words = (*SMALL, "trainer.max_epochs=8", "trainer.profile=true", "hydra.run.dir=run")
    assert main(["train", *words]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^  phase +seconds +share +calls$", shown, re.M)
    assert re.search(r"^  figures +[\d.]+ +[\d.]+ % +\d+$", shown, re.M)
    assert "trace.json.gz: steps 6 to 55" in shown
    assert {"profile/trace.json.gz", "profile/table.txt"} <= set(read_manifest(Path("run")).files)
    assert main(["verify", "run"]) == 0
    assert json.loads(Path("run/run.json").read_text())["config"]["trainer"]["profile"] is True
    assert main(["train", *SMALL, "trainer.max_epochs=8", "hydra.run.dir=plain"]) == 0
    for folder in ("run", "plain"):
        assert main(["resume", folder, "trainer.max_epochs=12"]) == 0
    # What it went on with was profiled anew, and is the same training.
    assert "steps 6 to 40 of this process" in Path("run/profile/table.txt").read_text()
    assert main(["verify", "run"]) == 0
    states = [load_file(Path(folder) / "checkpoints" / "120.safetensors") for folder in ("run", "plain")]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0] if name.startswith("model"))


def test_manifest_of_a_killed_run_knows_that_a_profile_is_replaced(work):
    assert (
        main(["train", *SMALL, "trainer.max_epochs=1", "trainer.profile=true", "hydra.run.dir=run", "figures=[]"]) == 0
    )
    write_manifest(Path("run"), final=False)
    Path("run/profile/table.txt").write_text("of the process that went on and was killed")
    assert {finding.severity for finding in check_files(Path("run"))} == {"extra"}


def test_members_of_a_profiled_sweep_are_trained_alone_each_with_its_own(work, capsys):
    words = (*SMALL, "trainer.max_epochs=1", "trainer.profile=true", "figures=[]", "hydra.sweep.dir=sweep")
    assert main(["train", "-m", *words, "seed=0,1"]) == 0
    assert "2 members alone: trainer.profile=true times its own steps" in capsys.readouterr().out
    assert len(list(Path("sweep").glob("*/profile/trace.json.gz"))) == 2
    assert len(list(Path("sweep").glob("*/profile/table.txt"))) == 2


def test_profile_that_cannot_be_written_is_a_note(work, capsys):
    Path("run").mkdir()
    Path("run/profile").write_text("in the way")
    words = (*SMALL, "trainer.max_epochs=1", "trainer.profile=true", "figures=[]", "hydra.run.dir=run")
    assert main(["train", *words]) == 0
    assert "note: profile/ could not be written (File exists)" in capsys.readouterr().out
    assert json.loads(Path("run/result.json").read_text())["status"] == "completed"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_trace_of_steps_on_cuda_has_kernels_and_their_times(work):
    words = (*SMALL, "trainer.max_epochs=8", "trainer.profile=true", "figures=[]", "device=cuda", "hydra.run.dir=run")
    assert main(["train", *words]) == 0
    assert any(event.get("cat") == "kernel" for event in events_of(Path("run")))
    assert "GPU ms" in Path("run/profile/table.txt").read_text()

"""Files of a run cut short, or with a bit flipped: found and named, or harmless; scripts/stress.py damage does more."""

import importlib.util
import json
import os
import random
import shutil
import sys
from pathlib import Path

import pytest
import torch

from nnlab.cli import main
from nnlab.trainer.checkpoint import Checkpoints


def _stress_damage():
    path = Path(__file__).parents[1] / "scripts" / "stress_damage.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


stress = _stress_damage()
#: files that `resume` reads, or that it could take for whole afterwards
RESUMED = ("run.json", "metrics.csv", "trace.csv", "pointers", "preprocessing.json", ".hydra")


def step_of(run, which):
    path = run / "checkpoints" / f"{which}.json"
    return json.loads(path.read_text())["step"] if path.exists() else None


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run, and what kills left of it at some moments; the third evaluation, of step 24, is the best."""
    parent = tmp_path_factory.mktemp("runs")
    moments = {
        "killed": lambda run, file: file == stress.CUT_AT,
        "best is newer": lambda run, file: file.endswith("/last.json") and step_of(run, "best") == 24,
        "best is newest": lambda run, file: file == "result.json" and step_of(run, "last") == 24,
    }
    finished = parent / "finished"
    copies = {parent / name: lambda file, is_now=is_now: is_now(finished, file) for name, is_now in moments.items()}
    with stress.copied(finished, copies):
        stress.train(finished, stress.EPOCHS)
    assert all(copy.exists() for copy in copies)
    return parent


@pytest.fixture(scope="module")
def benches(runs, tmp_path_factory):
    found = {}
    for name in ("finished", "killed"):
        found[name] = stress.Bench(runs / name, runs / "finished", tmp_path_factory.mktemp(name))
    return found


@pytest.fixture
def killed(runs, tmp_path):
    """A copy of what a kill left."""
    return lambda name="killed": Path(shutil.copytree(runs / name, tmp_path / "run"))


def damages(run, kind, num_flips):
    files = stress.files_of(run, kind)
    cuts = [one for file in files[:2] for one in stress.cut_short(run, file, 2)]
    return [*cuts, *stress.flipped(run, files, num_flips, random.Random(0))]


def wrong(verdicts):
    return {verb: verdict.problem for verb, verdict in verdicts.items() if verdict.outcome == "wrong"}


@pytest.mark.parametrize("kind", stress.KINDS)
@pytest.mark.parametrize("name", ["finished", "killed"])
def test_damage_is_named_or_harmless_to_who_reads(name, kind, runs, benches):
    found = damages(runs / name, kind, 4)
    assert found or (name, kind) in {("finished", ".lock"), ("killed", "arrays"), ("killed", "figures")}
    said = {(one.file, one.how): wrong(benches[name].verdicts(one)) for one in found}
    assert not {damage: problems for damage, problems in said.items() if problems}


@pytest.mark.parametrize("kind", RESUMED)
def test_damage_is_named_or_harmless_to_who_resumes(kind, runs, benches):
    found = damages(runs / "killed", kind, 1)
    said = {(one.file, one.how): benches["killed"].resume(one) for one in (found[0], found[-1])}
    assert {verdict.outcome for verdict in said.values()} <= {"found", "harmless"}, said
    assert said[found[0].file, found[0].how].outcome == "found", said  # a file that is empty


def test_run_is_whole_to_every_verb_that_is_asked_first(runs, benches):
    """A bit of .lock means nothing: what is asked with it must answer as without it."""
    (damage,) = stress.flipped(runs / "killed", [".lock"], 1, random.Random(0))
    verdicts = benches["killed"].verdicts(damage) | {"resume": benches["killed"].resume(damage)}
    assert {verdict.outcome for verdict in verdicts.values()} == {"harmless"}, verdicts


@pytest.mark.parametrize("name", ["best is newer", "best is newest"])
def test_newest_state_that_is_lost_with_the_best_is_reached_again(name, runs, killed):
    run = killed(name)
    step = step_of(run, "last")
    payload = run / "checkpoints" / f"{step}.safetensors"
    payload.write_bytes(payload.read_bytes()[:-1] if name == "best is newest" else payload.read_bytes())
    assert (step_of(run, "best"), step) == (24, 24 if name == "best is newest" else 21)
    answer = stress.ask("resume", run)
    assert answer.code == 0, answer.text
    assert (f"{step}.safetensors is damaged" in answer.text) == (name == "best is newest")
    assert stress.trained(run) == stress.trained(runs / "finished")
    assert stress.ask("verify", run).code == 0


@pytest.mark.parametrize("damaged", [None, "checkpoints/21.safetensors"])
def test_resume_that_is_killed_when_it_has_cut_the_tables_leaves_a_whole_run(
    damaged, runs, killed, tmp_path, monkeypatch
):
    run = killed()
    if damaged:
        (run / damaged).write_bytes(b"")
    truncate, again = os.truncate, tmp_path / "again"

    def copying(path, length):
        truncate(path, length)
        if Path(path).name == "metrics.csv":
            shutil.copytree(run, again)

    monkeypatch.setattr(os, "truncate", copying)
    assert main(["resume", str(run)]) == 0
    monkeypatch.undo()
    blamed = [line for line in stress.ask("verify", again).text.splitlines() if ": damaged: " in line]
    assert [line.split(":")[0] for line in blamed] == ([damaged] if damaged else [])
    assert stress.ask("resume", again).code == 0
    assert stress.trained(again) == stress.trained(runs / "finished")


@pytest.mark.parametrize("words", [["evaluate"], ["resume"], ["resume", "trainer.max_epochs=6"]])
def test_plausible_other_number_in_run_json_is_refused(words, killed):
    """0.2 and 0.3 are a bit apart: as good a run as the right one, but not the one that was trained."""
    run = killed()
    text = (run / "run.json").read_text()
    (run / "run.json").write_text(text.replace('"dropout": 0.2', '"dropout": 0.3'))
    assert (run / "run.json").read_text() != text
    answer = stress.ask(words[0], run, *words[1:])
    assert answer.code == 2
    assert "run.json: damaged: its content is not that of the manifest (SHA-256 differs)" in answer.text


def test_status_that_no_run_has_is_refused(killed):
    run = killed("finished")
    text = (run / "result.json").read_text()
    (run / "result.json").write_text(text.replace('"status": "completed"', '"status": "complete`"'))
    answer = stress.ask("resume", run)
    assert answer.code == 2
    assert "result.json: status: expected completed or " in answer.text


def test_run_without_a_manifest_is_used_and_the_lack_is_said(killed):
    run = killed()
    (run / "manifest.json").unlink()
    for verb in ("evaluate", "resume"):
        answer = stress.ask(verb, run)
        assert answer.code == 0
        assert "whether the run's files are whole could not be checked" in " ".join(answer.text.split())


def state(value):
    return {"model": {"weight": torch.full((3,), float(value))}}


def saved(folder, *steps):
    checkpoints = Checkpoints(folder)
    for step in steps:
        checkpoints.save(step, state(step), (2, state(2)))
    return checkpoints


def test_state_that_was_gone_back_to_stays_until_there_are_two_others(tmp_path):
    saved(tmp_path, 1, 2, 5)
    (tmp_path / "checkpoints" / "5.safetensors").write_bytes(b"")
    again = saved(tmp_path, 3)
    assert [again.load(which)[0] for which in ("last", "previous", "best")] == [3, 2, 2]
    again.save(4, state(4), (2, state(2)))
    assert [again.load(which)[0] for which in ("last", "previous", "best")] == [4, 3, 2]
    assert not (tmp_path / "checkpoints" / "5.safetensors").exists()


def test_best_state_that_is_damaged_is_written_again(tmp_path):
    saved(tmp_path, 1, 2, 5, 6)
    (tmp_path / "checkpoints" / "2.safetensors").write_bytes(b"")
    step, best = saved(tmp_path, 7).load("best")
    assert step == 2
    assert best["model"]["weight"].tolist() == [2.0, 2.0, 2.0]

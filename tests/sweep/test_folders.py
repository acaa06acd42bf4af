"""The folder of a member that was trained in a stack, against that of the same run made alone by `nnlab train`."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nnlab.cli import main
from sweep_files import members, result_of, rows, run_of

#: what a lone run and a member are both told
WORDS = ["data=moons", "data.num_train=100", "model.widths=[8,8]", "model.dropout=0.1", "trainer.max_epochs=6"]
WORDS += ["trainer.threads=1", "trainer.eval_every=2", "callback=[early_stopping,histograms]", "figures=[svg]"]
WORDS += ["callback.histograms.every=1", "optim.lr=0.01"]
VALUES = {"optim": ["sgd", "adam"], "seed": [0, 1]}
MEMBERS = [(f"optim={optim}", f"seed={seed}") for optim in VALUES["optim"] for seed in VALUES["seed"]]
#: float32, computed in another order
CLOSE = {"rel": 1e-5, "abs": 1e-7}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """``sweep``, and each of its members once more by itself in ``alone/<number>``."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        lists = [f"{key}={','.join(map(str, values))}" for key, values in VALUES.items()]
        assert main(["train", "-m", *WORDS, *lists, "hydra.sweep.dir=sweep"]) == 0
        for number, values in enumerate(MEMBERS):
            assert main(["train", *WORDS, *values, f"hydra.run.dir=alone/{number}"]) == 0
    return folder


def pairs(folder=Path()):
    """The folders of each member and of the same run alone."""
    return [(one, folder / "alone" / str(number)) for number, one in enumerate(members(folder / "sweep"))]


@pytest.fixture
def copied(trained, work):
    """A place to change what was trained."""
    for name in ("sweep", "alone"):
        shutil.copytree(trained / name, name)


def names_of(folder):
    """Every path in a folder, without what tells one process from another."""
    found = (str(path.relative_to(folder)) for path in folder.rglob("*"))
    return sorted(re.sub(r"(events\.out\.tfevents)\.\d+\..*", r"\1", name) for name in found)


def test_members_of_one_stack_have_the_files_of_lone_runs(trained):
    assert len(pairs(trained)) == len(MEMBERS)
    for one, alone in pairs(trained):
        assert names_of(one) == names_of(alone)
        assert {name.partition("/")[0] for name in names_of(one)} >= {".hydra", "arrays", "checkpoints", "figures"}
    beside = {path.name for path in (trained / "sweep").iterdir()} - {one.name for one, _ in pairs(trained)}
    assert beside == {"plan.json", "multirun.yaml", "comparison.csv", "comparison.html", "figures", "aggregate"}


def test_run_json_is_that_of_a_lone_run_but_for_the_stack(trained):
    for (one, alone), values in zip(pairs(trained), MEMBERS, strict=True):
        found, expected = run_of(one), run_of(alone)
        assert found.pop("overrides") == [*WORDS, *values]
        assert expected.pop("overrides") == [*WORDS, *values, f"hydra.run.dir=alone/{alone.name}"]
        assert found["choices"].pop("engine") == "stack"
        assert found["choices"].pop("engine_reason") == f"one of {len(MEMBERS)} that fit together"
        assert found["choices"].pop("stack_width") == len(MEMBERS)
        assert (expected["choices"].pop("engine"), expected["choices"].pop("stack_width")) == ("eager", 1)
        assert "less than" in expected["choices"].pop("engine_reason")
        del found["created"], expected["created"]
        assert found == expected
        assert list(found) == list(expected)
        assert [f"seed={found['seed']}", f"optim={found['options']['optim']}"] == list(reversed(values))


def close(found, expected):
    """Equal, as far as two orders of computing the same can be; seconds aside."""
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        return all(close(found[key], expected[key]) for key in expected if key not in ("seconds", "time_s"))
    return found == (pytest.approx(expected, **CLOSE) if isinstance(expected, float) else expected)


def test_result_and_metrics_are_those_of_a_lone_run(trained):
    for one, alone in pairs(trained):
        assert close(result_of(one), result_of(alone))
        assert result_of(one)["status"] == "completed"
        found, expected = rows(one), rows(alone)
        assert [int(row["epoch"]) for row in found] == [2, 4, 6]
        for row, other in zip(found, expected, strict=True):
            assert list(row) == list(other)
            assert close({k: float(x) for k, x in row.items()}, {k: float(x) for k, x in other.items()})
        times = [float(line.split(",")[2]) for line in (one / "metrics.csv").read_text().splitlines()[1:]]
        assert times == sorted(times)
        assert times[-1] <= result_of(one)["seconds"] + 1e-3


def test_arrays_and_weights_are_those_of_a_lone_run(trained):
    for one, alone in pairs(trained):
        for file in (alone / "arrays").glob("*.npz"):
            found, expected = np.load(one / "arrays" / file.name), np.load(file)
            assert set(found) == set(expected)
            for key in expected:
                assert (found[key].shape, found[key].dtype) == (expected[key].shape, expected[key].dtype)
        for which in ("last", "best"):
            pointers = [json.loads((f / "checkpoints" / f"{which}.json").read_text()) for f in (one, alone)]
            assert pointers[0]["step"] == pointers[1]["step"]
            files = [f / "checkpoints" / f"{pointers[0]['step']}.safetensors" for f in (one, alone)]
            found, expected = map(load_file, files)
            assert set(found) == set(expected)
            for key in expected:
                assert (found[key].shape, found[key].dtype) == (expected[key].shape, expected[key].dtype)
                np.testing.assert_allclose(found[key], expected[key], rtol=1e-4, atol=1e-6)


def test_log_and_hydras_files_are_those_of_a_lone_run(trained):
    for one, alone in pairs(trained):
        logs = [(folder / "train.log").read_text().splitlines() for folder in (one, alone)]
        kinds = [[re.sub(r"^[\d-]+ [\d:,]+ ", "", line).split()[:2] for line in log] for log in logs]
        assert kinds[0] == kinds[1]
        assert f"folder     {one.relative_to(trained)}" in "\n".join(logs[0])
        configs = [OmegaConf.load(folder / ".hydra" / "config.yaml") for folder in (one, alone)]
        assert configs[0] == configs[1]
        typed = OmegaConf.load(one / ".hydra" / "overrides.yaml")
        assert list(typed) == run_of(one)["overrides"]
        assert (one / "preprocessing.json").read_bytes() == (alone / "preprocessing.json").read_bytes()


def test_events_are_those_of_a_lone_run(trained):
    for one, alone in pairs(trained)[1:3]:
        found, expected = (EventAccumulator(str(folder)).Reload() for folder in (one, alone))
        assert found.Tags() == expected.Tags()
        assert any(tag.startswith("weights/") for tag in found.Tags()["tensors"]), found.Tags()["tensors"]
        assert found.Tags()["images"]
        for tag in expected.Tags()["scalars"]:
            if not tag.startswith("throughput/"):
                values = [[(event.step, event.value) for event in own.Scalars(tag)] for own in (found, expected)]
                assert [step for step, _ in values[0]] == [step for step, _ in values[1]]
                assert [x for _, x in values[0]] == pytest.approx([x for _, x in values[1]], **CLOSE)


def manifest_of(folder):
    return set(json.loads((folder / "manifest.json").read_text())["files"])


def test_member_is_verified_evaluated_used_inspected_and_compared_as_a_lone_run(trained, work, capsys):
    def said(*words):
        capsys.readouterr()
        assert main(list(words)) == 0
        return capsys.readouterr().out

    one, alone = pairs(trained)[1]
    for folder in (one, alone):
        assert "whole" in said("verify", str(folder))
    without_events = [{name for name in manifest_of(f) if "tfevents" not in name} for f in (one, alone)]
    assert without_events[0] == without_events[1]
    numbers = [
        [float(x) for x in re.findall(r"\d+\.\d+", said("evaluate", str(folder), "--split", split))]
        for split in ("valid", "test")
        for folder in (one, alone)
    ]
    assert all(numbers)
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-4)
    assert numbers[2] == pytest.approx(numbers[3], rel=1e-4)
    names = run_of(one)["data"]["input_names"]
    (work / "x.csv").write_text(f"{','.join(names)}\n0.5,0.25\n-1,0.5\n")
    tables = []
    for folder in (one, alone):
        said("predict", str(folder), "--input", "x.csv", "--output", f"{folder.name}.csv")
        tables.append((work / f"{folder.name}.csv").read_text().splitlines())
    assert tables[0][0] == tables[1][0]
    assert len(tables[0]) == 3
    for row, other in zip(tables[0][1:], tables[1][1:], strict=True):
        cells = [re.findall(r"-?\d+\.\d+", text) for text in (row, other)]
        assert list(map(float, cells[0])) == pytest.approx(list(map(float, cells[1])), rel=1e-4)
    kinds = [[line.split()[:1] for line in said("inspect", str(folder)).splitlines()] for folder in (one, alone)]
    assert kinds[0] == kinds[1]
    compared = [
        json.loads(said("compare", str(trained / name), "--format", "json"))["groups"] for name in ("sweep", "alone")
    ]
    values = [[value["value"] for group in groups for value in group["values"]] for groups in compared]
    assert len(values[0]) == len(MEMBERS)
    assert values[0] == pytest.approx(values[1], **CLOSE)


def test_extended_member_has_the_bits_of_a_stack_that_was_longer_from_the_start(copied, capsys):
    longer = [word.replace("max_epochs=6", "max_epochs=10") for word in WORDS]
    assert main(["train", "-m", *longer, "optim=sgd,adam", "seed=0,1", "logger=[]", "hydra.sweep.dir=longer"]) == 0
    one, alone = pairs()[2]
    assert main(["resume", str(one), "trainer.max_epochs=10"]) == 0
    assert main(["resume", str(alone), "trainer.max_epochs=10"]) == 0
    assert run_of(one)["choices"]["stack_width"] == len(MEMBERS)
    assert [entry["changed"] for entry in run_of(one)["history"]] == [{"trainer.max_epochs": [6, 10]}]
    wanted = Path("longer") / one.name
    assert rows(one) == rows(wanted)
    states = [load_file(next(f.glob("checkpoints/40.safetensors"))) for f in (one, wanted, alone)]
    for key in states[0]:
        np.testing.assert_array_equal(states[0][key], states[1][key])
    for row, other in zip(rows(one), rows(alone), strict=True):
        assert close({k: float(x) for k, x in row.items()}, {k: float(x) for k, x in other.items()})
    capsys.readouterr()
    assert main(["verify", str(one)]) == 0
    assert not any("alone" in note for note in result_of(one)["notes"])


def test_results_are_those_of_hydras_own_launcher(trained, work):
    lists = ["optim=sgd,adam", "seed=0,1", "logger=[]"]
    assert main(["train", "-m", *WORDS, *lists, "hydra.sweep.dir=basic", "hydra/launcher=basic"]) == 0
    for one, other in zip(members(trained / "sweep"), members("basic"), strict=True):
        assert one.name == other.name
        assert close(result_of(one), result_of(other))
        assert run_of(one)["config"] | {"logger": {}} == run_of(other)["config"]


#: most members that have figures of their own, what is typed, whether each of the two has
FIGURES = [(2, [], True), (1, [], False), (1, ["figures=[svg]"], True), (1, ["figures=[]"], False)]


@pytest.mark.parametrize(("most", "words", "has_figures"), FIGURES)
def test_large_sweeps_draw_no_figures_of_single_members_unless_told_to(
    most, words, has_figures, work, monkeypatch, capsys
):
    for module in ("launching", "jobs"):
        monkeypatch.setattr(f"nnlab.sweep.{module}.MOST_WITH_FIGURES", most)
    quick = ["data=celsius", "trainer.max_epochs=2", "trainer.threads=1", "logger=[]", "hydra.sweep.dir=sweep"]
    assert main(["train", "-m", *quick, "seed=0,1", *words]) == 0
    before_training = capsys.readouterr().out.partition("\n\n")[0]
    limited = "no figures of single members, as there are more than 1: 'figures=[png]' draws them"
    assert (limited in before_training) == (most == 1 and not words)
    for path in members():
        assert any(path.glob("figures/*.svg")) == has_figures
        assert list((path / "arrays").glob("*.npz"))
    assert list(Path("sweep/figures").iterdir())


def test_more_than_twenty_members_are_many(work, capsys):
    for num_members in (20, 21):
        assert main(["train", "-m", "--plan", "data=celsius", f"seed=range({num_members})"]) == 0
        assert ("no figures of single members" in capsys.readouterr().out) == (num_members > 20)

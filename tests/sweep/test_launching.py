"""Sweeps through the command line: from what is typed to a frozen plan and ordinary run folders."""

import json
import os
from pathlib import Path

import pytest
from hydra.errors import HydraException
from omegaconf import OmegaConf

from nnlab.cli import main
from nnlab.sweep.crew import Processes
from nnlab.sweep.launching import launcher
from sweep_files import QUICK, SWEEP, members, result_of, rows, run_of


def without_the_launcher(hydra):
    node = hydra["hydra"]
    for key in ("launcher", "overrides", "sweep"):
        del node[key]
    del node["runtime"]["choices"]["hydra/launcher"], node["runtime"]["output_dir"]
    return hydra


def test_members_are_those_of_the_basic_launcher(work):
    words = [*QUICK, "optim=sgd,adam", "model.width=3,4", "data.seed=${seed}", "seed=7"]
    assert main(["train", "-m", *words, "hydra.sweep.dir=sweep"]) == 0
    assert main(["train", "-m", *words, "hydra.sweep.dir=basic", "hydra/launcher=basic"]) == 0
    ours, basic = members(), members("basic")
    assert [path.name for path in ours] == [path.name for path in basic]
    assert len(ours) == 4
    for one, other in zip(ours, basic, strict=True):
        names = [{str(path.relative_to(folder)) for path in folder.rglob("*")} for folder in (one, other)]
        assert names[0] == names[1]
        # Trained together or not: equal within what test_together and its neighbours hold to.
        for row, alone in zip(rows(one), rows(other), strict=True):
            assert {key: float(cell) for key, cell in row.items()} == pytest.approx(
                {key: float(cell) for key, cell in alone.items()}, rel=1e-3, abs=1e-3
            )
        for key in ("name", "config", "options", "overrides", "seed", "data_fingerprint"):
            assert run_of(one)[key] == run_of(other)[key]
        loaded = [[OmegaConf.load(folder / ".hydra" / f"{name}.yaml") for name in ("config", "overrides", "hydra")]
                  for folder in (one, other)]  # fmt: skip
        plain = [[OmegaConf.to_container(node) for node in nodes] for nodes in loaded]
        assert plain[0][:2] == plain[1][:2]
        assert without_the_launcher(plain[0][2]) == without_the_launcher(plain[1][2])
    sweeps = [OmegaConf.to_container(OmegaConf.load(f"{name}/multirun.yaml")) for name in ("sweep", "basic")]
    assert without_the_launcher(sweeps[0]) == without_the_launcher(sweeps[1])


def test_plan_is_the_resolved_config_of_every_member(work):
    assert main([*SWEEP, "optim=sgd,adam", "data.seed=${seed}", "seed=3,4"]) == 0
    plan = json.loads(Path("sweep/plan.json").read_text())
    assert plan["command"].startswith("nnlab train --multirun data=moons")
    for member, folder in zip(plan["members"], members(), strict=True):
        assert member["folder"] == folder.name
        for key in ("config", "options", "overrides", "name"):
            assert member[key] == run_of(folder)[key]
        assert member["config"]["data"]["seed"] == member["config"]["seed"]


def test_plan_is_shown_and_nothing_is_written(work, capsys):
    assert main(["train", "-m", "--plan", "optim=sgd,adam", "seed=range(3)"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("6 members")
    assert [line.split()[:3] for line in printed[1:3]] == [
        ["3", "members", "optim=sgd"],
        ["3", "members", "optim=adam"],
    ]
    assert os.listdir(work) == []


ONLY = "--plan: only hydra/launcher=vectorized or ray or submitit_local or submitit_slurm with hydra/sweeper=grid makes"
#: what is typed -> what is said, with exit code 2 and nothing left behind
REFUSED = {
    "--plan optim=sgd": "--plan: it shows what a sweep would train; add -m",
    "-m --plan seed=0,1 hydra/launcher=basic": ONLY,
    "-m --plan seed=0,1 hydra/sweeper=basic": ONLY,
    "-m --plan seed=0,1 hydra.job.chdir=true": "hydra.job.chdir",
    "-m seed=0,1 hydra.sweep.subdir=same": "members 0 and 1 would share 'same'",
    "-m seed=0,1 hydra.sweep.subdir=a/${seed}": "expected a plain name",
    "-m optim=adam,sgd +optim.fused=true +optim.momentum=1": "momentum",
    "-m seed=0,1 hydra/launcher=vectorised": "hydra/launcher",
    "-m seed=0,1 name=${nothing}": "nothing",
}


@pytest.mark.parametrize("line", REFUSED)
def test_sweep_that_cannot_be_planned_is_refused_and_leaves_nothing(line, work, capsys):
    assert main(["train", *line.split()]) == 2
    assert REFUSED[line] in capsys.readouterr().err
    assert [path for path in work.rglob("*") if path.is_file()] == []
    assert not list(work.glob("outputs/*/*"))


FILES = {
    "defaults:\n  - override /hydra/launcher: basic\n": "hydra/launcher=basic",
    "defaults:\n  - override hydra/sweeper: basic\n": "hydra/sweeper=basic",
    "hydra:\n  launcher:\n    _target_: x\n": "hydra/launcher=…",
}


@pytest.mark.parametrize("content", FILES)
@pytest.mark.parametrize("experiment", ["mine", "mine,blobs"])
def test_launcher_in_an_experiments_file_is_refused_with_the_right_command(content, experiment, work, capsys):
    (work / "own" / "experiment").mkdir(parents=True)
    (work / "own" / "experiment" / "mine.yaml").write_text(f"# @package _global_\n# mine\n{content}")
    assert main(["train", "-m", f"experiment={experiment}", "seed=0,1", "--config-dir", "own"]) == 2
    printed = capsys.readouterr().err
    command = f"nnlab train -m --config-dir own experiment={experiment} seed=0,1 {FILES[content]}"
    assert "experiment=mine" in printed
    assert command.replace(FILES[content], "") in printed
    assert FILES[content] in printed
    assert not Path("outputs").exists()


#: what is typed -> why each member is then a job of Hydra's own
ONE_BY_ONE = {
    "hydra.job.chdir=true": "hydra.job.chdir",
    "hydra/job_logging=default": "hydra.job_logging",
    "hydra.verbose=[other]": "hydra.verbose",
    "hydra.sweeper.max_batch_size=1": "hands over some at a time",
    "+hydra.job.env_set.X=${hydra.job.num}": "hydra.job.env_set",
}


@pytest.mark.parametrize("word", ONE_BY_ONE)
def test_what_hydra_has_to_do_for_each_job_is_done_by_its_basic_launcher(word, work, capsys):
    assert main(["train", "-m", *QUICK, "seed=0,1", f"hydra.sweep.dir={work}/sweep", word]) == 0
    printed = capsys.readouterr().out
    assert "members run one after another, as with hydra/launcher=basic" in printed
    assert ONE_BY_ONE[word] in printed
    assert not Path("sweep/plan.json").exists()
    assert [result_of(path)["status"] for path in members()] == ["completed"] * 2
    assert main(["train", "-m", *QUICK, "seed=0,1", f"hydra.sweep.dir={work}/sweep", word]) == 2
    assert "already holds a sweep" in capsys.readouterr().err


def test_environment_for_the_jobs_is_set_for_all_members(work):
    words = ["+hydra.job.env_set.NNLAB_TEST=7", 'model.width="${oc.decode:${oc.env:NNLAB_TEST,4}}"']
    assert main([*SWEEP, "seed=0,1", *words]) == 0
    assert [run_of(path)["config"]["model"]["width"] for path in members()] == [7] * 2
    assert Path("sweep/plan.json").exists()
    assert "NNLAB_TEST" not in os.environ


def test_launcher_is_refused_to_other_programs_of_hydra():
    with pytest.raises(HydraException, match="trains the runs of `nnlab train -m`, and nothing else"):
        launcher(None, print, None, Processes())


def test_too_many_members_for_a_plan_are_refused_before_any_has_a_folder(work, capsys, monkeypatch):
    monkeypatch.setattr("nnlab.sweep.plan.JSON_LIMIT", 3000)
    assert main([*SWEEP, "seed=range(3)"]) == 2
    assert "3 members are more than a plan can hold (3,000 bytes)" in capsys.readouterr().err
    assert not Path("sweep").exists() or not [path for path in Path("sweep").iterdir() if path.is_dir()]

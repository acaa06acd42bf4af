"""Every option of every group trains two steps as its YAML stands, alone but for its companions."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from nnlab import experiment
from nnlab.arguments import split_arguments
from nnlab.cli import main
from nnlab.command import resolved_config
from nnlab.config import LIST_GROUPS, config_folder

#: how many options each group has: one that is added or lost is noticed here
COUNTS = {
    "data": 23,
    "model": 2,
    "init": 13,
    "loss": 11,
    "metric": 9,
    "optim": 11,
    "schedule": 6,
    "gradient": 3,
    "trainer": 1,
    "callback": 8,
    "logger": 2,
    "compare": 1,
    "experiment": 24,
}
COMPANIONS = yaml.safe_load((Path(__file__).parent / "companions.yaml").read_text())
FOUND = {
    folder.name: sorted(path.stem for path in folder.glob("*.yaml"))
    for folder in config_folder().iterdir()
    if folder.is_dir() and folder.name != "hydra"
}
#: options that need a package which only an extra installs
EXTRAS = {("logger", "mlflow"): "mlflow", ("data", "parquet"): "pyarrow", ("data", "arrow"): "pyarrow"}
#: data sets that say how they took a table
TABLES = ("arrow", "csv", "npz", "parquet", "sklearn")
#: these two decide what is drawn, so they run whole, figures and all
WHOLE = ("data", "experiment")
#: no single runs; tests/sweep runs them whole
PROTOCOLS = ("compare", "optimizer_comparison")
SHORT = ["trainer.dry_run=true", "trainer.threads=1"]
QUICK = [(group, name) for group in FOUND for name in FOUND[group] if group not in (*WHOLE, *PROTOCOLS)]
SINGLE = [(group, name) for group in WHOLE for name in FOUND[group] if name not in PROTOCOLS]


def test_every_group_has_the_options_that_are_counted_here():
    assert {group: len(names) for group, names in FOUND.items()} == COUNTS


def test_every_companion_is_of_an_option_that_exists():
    assert all(name in FOUND[group] for group, names in COMPANIONS.items() for name in names)


def skip_without_extra(group, name):
    if package := EXTRAS.get((group, name)):
        extra = "table" if package == "pyarrow" else package
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'nnlab[{extra}]'")


def write_rows(name):
    """A small table in the format of an option, in the current folder."""
    x = np.random.default_rng(0).normal(size=(60, 2))
    columns = {"a": x[:, 0], "b": x[:, 1], "kind": np.where(x.sum(axis=1) > 0, 1, 0)}
    if name == "csv":
        lines = [",".join(columns), *(f"{a},{b},{kind}" for a, b, kind in zip(*columns.values(), strict=True))]
        Path("rows.csv").write_text("\n".join(lines) + "\n")
    elif name == "npz":
        np.savez("rows.npz", X=x, y=columns["kind"])
    elif name == "parquet":
        from pyarrow import parquet, table

        parquet.write_table(table(columns), "rows.parquet")
    elif name == "arrow":
        from pyarrow import feather, table

        feather.write_feather(table(columns), "rows.arrow")


def words_for(group, name):
    companions = COMPANIONS.get(group, {}).get(name, [])
    data = [] if any(word.startswith("data=") for word in companions) else ["data=iris"]
    return [f"{group}={name}", *data, *companions, *SHORT]


@pytest.mark.parametrize(("group", "name"), QUICK, ids=lambda part: part)
def test_option_trains_two_steps_as_its_yaml_stands(group, name, tmp_path, monkeypatch):
    skip_without_extra(group, name)
    monkeypatch.chdir(tmp_path)
    words = words_for(group, name)
    logger = [] if group == "logger" else ["logger=[]"]
    config, choices = resolved_config(split_arguments([*words, *logger]))
    content = yaml.safe_load((config_folder() / group / f"{name}.yaml").read_text())
    set_here = {word.partition("=")[0].removeprefix(f"{group}.") for word in words if word.startswith(f"{group}.")}
    node = config[group][name] if group in LIST_GROUPS else config[group]
    expected = content[name] if group in LIST_GROUPS else content
    # YAML 1.1 takes 1e-3 for a word; Hydra's YAML and everybody else take it for a number.
    assert {key: str(value) for key, value in node.items() if key not in set_here} == {
        key: str(value) for key, value in expected.items() if key not in set_here
    }
    member = experiment.prepare(config, choices, words, tmp_path, name)
    experiment.fit([member])
    assert member.error is None
    assert (member.fitted.status, member.fitted.steps) == ("completed", 2)
    last = member.fitted.history[-1]
    assert math.isfinite(last["train/loss"])
    if group == "metric" and name != "auto":
        assert math.isfinite(last[f"train/{name}"])
    member.built.trainer.close()


@pytest.mark.parametrize(("group", "name"), SINGLE)
def test_data_and_experiments_run_whole_with_two_steps(group, name, tmp_path, monkeypatch, capsys):
    skip_without_extra(group, name)
    monkeypatch.chdir(tmp_path)
    if group == "data":
        write_rows(name)
    companions = COMPANIONS.get(group, {}).get(name, [])
    assert main(["train", f"{group}={name}", *companions, *SHORT, "logger=[]"]) == 0
    (folder,) = Path("outputs", name).iterdir()
    result = json.loads((folder / "result.json").read_text())
    content = yaml.safe_load((config_folder() / group / f"{name}.yaml").read_text())
    # Some experiments evaluate only, and one has a single step.
    limits = content.get("trainer", {}) if group == "experiment" else {}
    steps = min(2, limits.get("max_epochs", 2), limits.get("max_steps", 2))
    assert (result["status"], result["steps"]) == ("completed", steps)
    said = " ".join(result["notes"])
    if name in TABLES:
        assert "inputs: " in said
        assert "target " in said
    else:
        assert result["notes"] == [] or "no validation split" in said or name in ("matmul", "activation_matters")
    assert (folder / "figures" / "learning_curves.png").stat().st_size > 1000
    record = json.loads((folder / "run.json").read_text())
    assert record["options"][group] == name
    assert f"completed: {result['reason']}" in capsys.readouterr().out

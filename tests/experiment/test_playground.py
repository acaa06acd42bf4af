"""TensorFlow Playground's six sets reach, with its own settings, what their pages promise."""

import json
from pathlib import Path

import pytest

from nnlab.cli import main

#: experiment -> further words, split and metric, smallest and largest value of seed 0
PROMISED = {
    "circle": ([], "valid/accuracy", 1.0, 1.0),
    "xor": ([], "valid/accuracy", 1.0, 1.0),
    "gauss": ([], "valid/accuracy", 1.0, 1.0),
    "spiral": ([], "valid/accuracy", 0.55, 0.65),
    "plane": ([], "valid/loss", 0.0, 0.0006),
    "bumps": ([], "valid/loss", 0.017, 0.024),
}


def best(name, words):
    assert main(["train", f"experiment=playground_{name}", "logger=[]", "trainer.threads=1", *words]) == 0
    (folder,) = Path("outputs", f"playground_{name}").iterdir()
    config = json.loads((folder / "run.json").read_text())["config"]
    return config, json.loads((folder / "result.json").read_text())["best"]


@pytest.mark.parametrize("name", PROMISED)
def test_playground_set_reaches_what_its_page_promises(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words, metric, least, most = PROMISED[name]
    config, found = best(name, words)
    assert least <= found[metric] <= most
    # Playground's own settings, as far as they are told apart by name.
    is_classes = metric == "valid/accuracy"
    assert (config["optim"]["lr"], config["data"]["batch_size"], config["init"]["bias"]) == (0.03, 10, 0.1)
    assert (config["init"]["a"], config["init"]["b"], config["model"]["widths"]) == (-0.5, 0.5, [4, 2])
    assert (config["model"]["activation"], config["model"]["output_activation"]) == (
        "tanh", "tanh" if is_classes else "identity",
    )  # fmt: skip
    assert config["loss"]["_target_"] == "nnlab.loss.HalfMSE"


def test_spirals_are_parted_by_sines_and_a_larger_network(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _, found = best("spiral", ["data.expand=[sin_x,sin_y]", "model.widths=[8,8,8]"])
    assert found["valid/accuracy"] > 0.98

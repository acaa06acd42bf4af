"""Tab completion: the words, and the script in a real bash."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nnlab
from nnlab.completion import candidates
from nnlab.config import Library
from nnlab.help import VERBS

#: what has been typed -> words that are offered, words that are not
OFFERED = [
    ("nnlab tr", ["train"], ["list"]),
    ("nnlab ", [*VERBS, "--help", "--version"], ["optim="]),
    ("nnlab --", ["--help", "--version", "--completion"], ["train"]),
    ("nnlab list op", ["optim"], ["data"]),
    ("nnlab list optim ", [], ["data"]),
    ("nnlab train ", ["optim=", "data=", "seed=", "name="], ["optim.", "hydra="]),
    ("nnlab  train   op", ["optim=", "optim."], ["data="]),
    ("nnlab train optim=ada", ["optim=adam", "optim=adagrad"], ["optim=sgd"]),
    ("nnlab train -m optim=sgd,ada", ["optim=sgd,adam"], ["optim=adam"]),
    ("nnlab train callback=[early_stopping,h", ["callback=[early_stopping,histograms"], []),
    ("nnlab train optim.", ["optim.lr=", "optim.betas="], ["optim.momentum=", "optim._target_="]),
    ("nnlab train optim=sgd optim.mo", ["optim.momentum="], ["optim.lr="]),
    ("nnlab train experiment=blobs loss.", ["loss.l1="], ["loss.class_weight="]),
    ("nnlab train experiment=rings loss.", ["loss.label_smoothing="], []),
    ("nnlab train callback=early_stopping callback.", ["callback.early_stopping."], ["callback.histograms."]),
    ("nnlab train callback=early_stopping callback.early_stopping.p", ["callback.early_stopping.patience="], []),
    ("nnlab train callback.", [], ["callback.early_stopping."]),
    ("nnlab train trainer.max_", ["trainer.max_epochs=", "trainer.max_steps="], ["trainer.monitor="]),
    ("nnlab train se", ["seed="], ["name="]),
    ("nnlab train device=", ["device=cpu", "device=auto"], []),
    ("nnlab train fi", ["figures="], ["seed="]),
    ("nnlab train figures=", ["figures=[png]", "figures=[png,svg]", "figures=[]"], []),
    ("nnlab train data.shuffle=", ["data.shuffle=true", "data.shuffle=false"], []),
    ("nnlab train model.activation=ta", ["model.activation=tanh", "model.activation=tanhshrink"], []),
    ("nnlab train +op", ["+optim="], ["optim="]),
    ("nnlab train ++op", ["++optim="], []),
    ("nnlab train --c", ["--cfg", "--config-dir"], ["--help"]),
    ("nnlab train --cfg ", ["job", "hydra", "all"], ["optim="]),
    ("nnlab data data=ir", ["data=iris"], []),
    ("nnlab model --", ["--config-dir", "--help"], ["--cfg", "--figure"]),
    ("nnlab data --", ["--config-dir", "--help", "--figure"], ["--cfg"]),
    ("nnlab nonsense op", [], ["optim="]),
    ("nnlab inspect --", ["--json", "--help"], ["--config-dir"]),
    ("nnlab verify --", ["--help"], ["--json"]),
    ("nnlab dashboard ou", [], []),
    ("nnlab evaluate ou", [], []),  # the shell itself completes the folder
    ("nnlab evaluate run --", ["--split", "--checkpoint", "--json"], ["--mean", "--input"]),
    ("nnlab evaluate run --split ", ["train", "valid", "test"], ["best"]),
    ("nnlab predict run --checkpoint b", ["best"], ["last"]),
    ("nnlab predict run --input x", [], []),
    ("nnlab export run --format ", ["onnx", "torch_export"], []),
    ("nnlab train nonsense.x.", [], []),
    ("nnlab train optim=sdg optim.", [], ["optim.lr="]),
]


@pytest.mark.parametrize(("line", "offered", "others"), OFFERED)
def test_completion_offers_what_could_stand_there(line, offered, others):
    found = candidates(line)
    assert set(offered) <= set(found)
    assert not set(others) & set(found)
    if not offered:
        assert found == []
    word = "" if line.endswith(" ") else line.split()[-1]
    assert all(name.startswith(word) for name in found)


def test_completion_knows_every_option_of_every_group():
    library = Library()
    for group in library.groups:
        assert candidates(f"nnlab train {group}=") == [f"{group}={name}" for name in library.options(group)]


def test_completion_knows_options_of_the_users_own(tmp_path):
    (tmp_path / "optim").mkdir()
    (tmp_path / "optim" / "mine.yaml").write_text("# Mine\n_target_: torch.optim.Adam\nspeed: 0.5\n")
    assert candidates(f"nnlab train --config-dir {tmp_path} optim=mi") == ["optim=mine"]
    assert candidates(f"nnlab train --config-dir={tmp_path} optim=mine optim.s") == ["optim.speed="]


def test_completion_offers_the_folders_of_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs" / "rings" / "2026-11-22_13-05-09" / "0_optim=sgd,seed=1").mkdir(parents=True)
    (tmp_path / "outputs.txt").touch()
    (tmp_path / ".hidden").mkdir()
    assert candidates("nnlab inspect ") == ["outputs/"]
    assert candidates("nnlab verify out") == ["outputs/"]
    assert candidates("nnlab inspect --json outputs/rings/") == ["outputs/rings/2026-11-22_13-05-09/"]
    assert candidates("nnlab verify outputs/rings/2026-11-22_13-05-09/0") == [
        "outputs/rings/2026-11-22_13-05-09/0_optim=sgd,seed=1/"
    ]
    assert candidates(f"nnlab verify {tmp_path}/ou") == [f"{tmp_path}/outputs/"]
    (tmp_path / "my outputs").mkdir()
    assert candidates("nnlab inspect ") == []  # the shell quotes better
    assert candidates("nnlab inspect nothing/x") == []


@pytest.fixture
def bash(tmp_path):
    """Completes lines in a real bash that has read nnlab's script."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    program = tmp_path / "bin" / "nnlab"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nnlab "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(Path(nnlab.__file__).parents[1])}

    def complete(lines, wordbreaks):
        script = f'eval "$(nnlab --completion bash)"\nCOMP_WORDBREAKS={wordbreaks}\ncomplete -p nnlab\n'
        for line in lines:
            script += f'COMP_LINE="{line}" COMP_POINT={len(line)}; _nnlab_complete; echo "${{COMPREPLY[*]}}"\n'
        answer = subprocess.run(
            ["bash", "--norc", "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert answer.stderr == ""
        first, *replies = answer.stdout.splitlines()
        assert first == "complete -o default -F _nnlab_complete nnlab"
        return replies

    return complete


def test_bash_replaces_what_it_takes_for_the_word(bash):
    lines = ["nnlab tr", "nnlab train optim=adag", "nnlab train -m optim=sgd,adag", "nnlab train seed", "nnlab x y"]
    # By default bash ends a word at =, so only what follows is replaced; some users take = out of the list.
    assert bash(lines, r"$' \t\n=:'") == ["train", "adagrad", "sgd,adagrad", "seed=", ""]
    assert bash(lines, r"$' \t\n'") == ["train", "optim=adagrad", "optim=sgd,adagrad", "seed=", ""]

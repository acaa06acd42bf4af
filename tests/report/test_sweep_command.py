"""The command that made a sweep: read from what Hydra leaves, which may come from a stranger."""

import os
from pathlib import Path

import pytest
import yaml

from nnlab.cli import main
from nnlab.report.sweep_command import sweep_command
from run_files import write_run


def write(folder, task, hydras=()):
    folder.mkdir(parents=True, exist_ok=True)
    content = {"hydra": {"overrides": {"hydra": list(hydras), "task": list(task)}, "help": {"app_name": "${x}"}}}
    (folder / "multirun.yaml").write_text(yaml.safe_dump(content))


def test_command_of_a_sweep_is_ready_for_a_shell(tmp_path):
    hydras = ["hydra.sweep.dir='a'", "hydra/launcher=basic", "hydra.mode=MULTIRUN", "hydra.sweeper.max_batch_size=3"]
    write(tmp_path, ["data=moons", "seed=range(5)", "name=a b"], hydras)
    assert sweep_command(tmp_path) == (
        "nnlab train -m data=moons 'seed=range(5)' 'name=a b' hydra/launcher=basic hydra.sweeper.max_batch_size=3"
    )


OVERRIDES = "hydra:\n  overrides:\n    "
NONE = {
    "nothing": lambda path: None,
    "no YAML": lambda path: path.write_text(OVERRIDES + "a: [b\n"),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "another program's": lambda path: path.write_text("hydra: {}"),
    "a list": lambda path: path.write_text(OVERRIDES + "- hydra\n"),
    "half of it": lambda path: path.write_text(OVERRIDES + "task: []\n"),
    "numbers": lambda path: path.write_text(OVERRIDES + "{hydra: [], task: [1]}\n"),
    "an object": lambda path: path.write_text(f"{OVERRIDES}!!python/object/apply:os.mkdir [{path.parent / 'made'}]\n"),
    "too large": lambda path: path.write_text(OVERRIDES + "{hydra: [], task: [" + "a, " * 2**19 + "]}\n"),
    "too deep": lambda path: path.write_text(OVERRIDES + "[" * 100_000 + "\n"),
    "a link": lambda path: path.symlink_to("/etc/hostname"),
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("make", NONE.values(), ids=NONE)
def test_folder_without_a_readable_command_has_none(make, tmp_path):
    make(tmp_path / "multirun.yaml")
    assert sweep_command(tmp_path) is None
    assert not (tmp_path / "made").exists()


def test_page_begins_with_the_commands_of_the_sweeps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for sweep in ("first", "second"):
        write_run(Path(sweep) / "0", [0.5], seed=0, optim=sweep)
        write_run(Path(sweep) / "1", [0.4], seed=1, optim=sweep)
    write(Path("first"), ["optim=first", "seed=0,1"])
    assert main(["compare", "first", "second", "--html", "one.html"]) == 0
    commands = Path("one.html").read_text().partition("How to do it again")[2]
    assert "The whole sweep, the first run of each group, and this page:" in commands
    assert commands.partition("<pre>")[2].splitlines()[:2] == [
        "nnlab train -m optim=first seed=0,1",
        "nnlab train optim=first optim.lr=0.001 seed=0",
    ]
    write(Path("second"), ["optim=<b>", "seed=0,1"])
    assert main(["compare", "first", "second", "--html", "two.html"]) == 0
    commands = Path("two.html").read_text().partition("How to do it again")[2]
    assert "The 2 sweeps, the first run of each group, and this page:" in commands
    assert "nnlab train -m &#x27;optim=&lt;b&gt;&#x27; seed=0,1" in commands

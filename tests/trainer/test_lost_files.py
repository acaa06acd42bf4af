"""What cannot be written costs what relies on it, is said once, and leaves nothing behind."""

import json

import pytest
import torch

from nnlab import Trainer
from nnlab.loss import MSE
from nnlab.trainer.checkpoint import Checkpoints
from nnlab.trainer.sinks import CHECKPOINT, Sinks


def names(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_checkpoint_is_not_put_in_force_without_the_rows_that_it_counts(tmp_path):
    (tmp_path / "metrics.csv").mkdir()
    x = torch.linspace(-1, 1, 32)[:, None]
    model = torch.nn.Linear(1, 1)
    trainer = Trainer(
        model, MSE(), torch.optim.SGD(model.parameters(), lr=0.1), max_epochs=2, checkpoint_every="1ep", folder=tmp_path
    )
    result = trainer.fit((x, 2 * x))
    assert result.status == "completed"
    lost = [note for note in result.notes if "could not be written (Is a directory)" in note]
    assert [note.split(" could")[0] for note in lost] == ["metrics.csv", "the checkpoint"]
    assert trainer.sinks.has_lost(CHECKPOINT)
    assert names(tmp_path) == []


def test_checkpoint_that_fails_half_way_leaves_the_one_before_and_takes_no_room(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    state = {"model": {"w": torch.ones(3)}}
    checkpoints.save(1, state, None)
    before = names(tmp_path)
    (tmp_path / "checkpoints" / "2.json").mkdir()
    with pytest.raises(OSError, match=r"2\.json"):
        checkpoints.save(2, state, (3, state))
    (tmp_path / "checkpoints" / "2.json").rmdir()
    assert names(tmp_path) == before
    assert checkpoints.load("last")[0] == 1
    checkpoints.save(4, state, None)
    assert json.loads((tmp_path / "checkpoints" / "last.json").read_text())["step"] == 4


def test_file_that_is_lost_and_found_again_and_again_is_said_once(tmp_path):
    notes = []
    sinks = Sinks(tmp_path, [], notes, "name")
    for _ in range(3):
        (tmp_path / "result.json").mkdir()
        sinks.result({"status": "running"})
        assert sinks.has_lost("result.json")
        (tmp_path / "result.json").rmdir()
        sinks.result({"status": "running"})
        assert not sinks.has_lost("result.json")
        (tmp_path / "result.json").unlink()
    assert notes == [
        "result.json could not be written (Is a directory); training goes on without it",
        "result.json could be written again",
    ]

"""What a run keeps of its weights: counts before and after training, over the same bins."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from nnlab import run_arrays
from nnlab.cli import main


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    """Train with some overrides; gives the run's folder."""
    monkeypatch.chdir(tmp_path)

    def train(*words):
        before = set(Path("outputs").glob("*/*"))
        assert main(["train", *words, "trainer.threads=1", "logger=[]"]) == 0
        capsys.readouterr()
        (folder,) = set(Path("outputs").glob("*/*")) - before
        return folder

    return train


def weights_of(folder):
    return dict(np.load(folder / "arrays" / "weights.npz"))


def saved(folder, which):
    """Parameters of a checkpoint by name, float64, in one row each."""
    step = json.loads((folder / "checkpoints" / f"{which}.json").read_text())["step"]
    tensors = load_file(folder / "checkpoints" / f"{step}.safetensors")
    return {
        name.removeprefix("model."): t.double().numpy().ravel()
        for name, t in tensors.items()
        if name.startswith("model.")
    }


def brute_counts(numbers, edges):
    """How many numbers lie in each bin, the last one closed on both sides."""
    inside = (numbers[:, None] >= edges[:-1]) & (numbers[:, None] < edges[1:])
    inside[:, -1] |= numbers == edges[-1]
    return inside.sum(axis=0)


SMALL = ["data=moons", "data.num_train=100", "model.widths=[6,3]", "init=normal", "optim=adam", "optim.lr=0.05"]


def test_weights_are_counted_before_training_and_with_the_best_parameters(train):
    initial = saved(train(*SMALL, "trainer.max_epochs=0"), "last")
    folder = train(*SMALL, "trainer.max_epochs=12", "optim.lr=1")
    arrays, best, last = weights_of(folder), saved(folder, "best"), saved(folder, "last")
    assert not np.array_equal(best["linear2.weight"], last["linear2.weight"])
    names = [f"{layer}.{kind}" for layer in ("linear1", "linear2", "output") for kind in ("weight", "bias")]
    assert arrays["names"].tolist() == names
    assert set(names) == set(initial)
    assert arrays["edges"].shape == (6, run_arrays.BINS + 1)
    for index, name in enumerate(names):
        edges = arrays["edges"][index]
        for moment, numbers in (("before", initial[name]), ("after", best[name])):
            np.testing.assert_array_equal(arrays[f"counts_{moment}"][index], brute_counts(numbers, edges))
            assert arrays[f"mean_{moment}"][index] == pytest.approx(numbers.mean(), rel=1e-6)
            assert arrays[f"std_{moment}"][index] == pytest.approx(numbers.std(), rel=1e-6)
            assert arrays[f"counts_{moment}"][index].sum() == len(numbers)
    assert not np.array_equal(arrays["counts_before"], arrays["counts_after"])


def test_training_of_no_steps_has_the_initial_weights_alone(train):
    folder = train(*SMALL, "trainer.max_epochs=0")
    assert weights_of(folder).keys() == {"names", "edges", "counts_before", "mean_before", "std_before"}
    assert (folder / "figures" / "weights.png").stat().st_size > 1000


def test_equal_numbers_lie_in_the_middle_bin_and_extremes_in_the_middle_of_theirs(train):
    arrays = weights_of(train("data=celsius", "model=linear", "init=constant", "init.val=-2", "trainer.max_epochs=0"))
    middle = run_arrays.BINS // 2
    assert arrays["names"].tolist() == ["output.weight", "output.bias"]
    for edges, counts, value in zip(arrays["edges"], arrays["counts_before"], [-2, 0], strict=True):
        assert counts.sum() == counts[middle] == 1
        assert (edges[middle] + edges[middle + 1]) / 2 == pytest.approx(value)
    arrays = weights_of(train("data=moons", "model.widths=[50]", "init=bernoulli", "trainer.max_epochs=0"))
    edges = arrays["edges"][0]
    assert ((edges[0] + edges[1]) / 2, (edges[-2] + edges[-1]) / 2) == pytest.approx((0, 1))
    assert arrays["counts_before"][0][[0, -1]].sum() == 100


def test_numbers_beyond_float32_count_as_its_largest(train):
    words = ["data=celsius", "model=linear", "init=zeros", "optim=sgd", "optim.lr=1e60", "trainer.precision=fp64"]
    folder = train(*words, "trainer.max_steps=1")
    arrays, largest = weights_of(folder), np.finfo(np.float32).max
    assert all(abs(numbers[0]) > 1e50 for numbers in saved(folder, "best").values())
    np.testing.assert_allclose(abs(arrays["mean_after"]), largest)
    assert (arrays["counts_after"].sum(axis=1) == 1).all()
    assert (folder / "figures" / "weights.png").stat().st_size > 1000


@pytest.mark.parametrize("most", [42, 43])
def test_weights_too_many_to_keep_are_left_out_and_the_notes_say_so(most, train, monkeypatch):
    monkeypatch.setattr(run_arrays, "MOST_WEIGHTS", most)  # 2-6-3-1 has (2 + 1) 6 + (6 + 1) 3 + (3 + 1) 1 = 43
    folder = train(*SMALL, "trainer.max_epochs=1")
    assert (folder / "arrays" / "weights.npz").exists() == (most == 43)
    assert (folder / "figures" / "weights.png").exists() == (most == 43)
    notes = [note for note in json.loads((folder / "result.json").read_text())["notes"] if "weights" in note]
    assert notes == ["no figure of the weights: linear layers with 43 numbers, more than 42"][: 43 - most]

"""Windows of an epoch: every row once, whole steps, an order of each epoch's own."""

import numpy as np
import pytest
import torch

from nnlab.data.stream.stored import StoredRows
from nnlab.data.stream.streamed import BLOCKS_OF_WINDOW, Streamed
from nnlab.seeding import epoch_order


def stored(folder, num_rows, num_inputs=2, seed=0):
    """Row n holds n in its first input, and n in its target."""
    inputs = np.random.default_rng(0).normal(size=(num_rows, num_inputs)).astype(np.float32)
    inputs[:, 0] = np.arange(num_rows)
    inputs.tofile(folder / "train.inputs")
    np.arange(num_rows, dtype=np.int64).tofile(folder / "train.target")
    return StoredRows(folder / "train.inputs", folder / "train.target", num_rows, num_inputs, (), "int64", seed)


def as_they_are(inputs, target):
    return inputs, target


def numbers(spans):
    return np.concatenate([np.arange(*part) for one in spans for part in one.parts])


SHAPES = [(1000, 640, 10), (1003, 640, 10), (1003, 200, 7), (999, 64, 1), (1000, 10, 64), (130, 64, 1), (129, 128, 4)]


@pytest.mark.parametrize(("num_rows", "window_rows", "step_rows"), SHAPES)
@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_windows_hold_every_row_once_and_whole_steps(num_rows, window_rows, step_rows, epoch, tmp_path):
    rows = Streamed(stored(tmp_path, num_rows), as_they_are, 0, window_rows)
    spans = rows.windows(epoch, step_rows, shuffle=True)
    assert sorted(numbers(spans)) == list(range(num_rows))
    assert [one.first for one in spans] == [sum(one.num_rows for one in spans[:place]) for place in range(len(spans))]
    assert all(one.num_rows % step_rows == 0 for one in spans[:-1])
    assert all(one.num_rows <= max(window_rows, step_rows) for one in spans[:-1])


def test_order_is_a_function_of_data_seed_seed_and_epoch(tmp_path):
    def order(data_seed, seed, epoch):
        spans = Streamed(stored(tmp_path, 1000), as_they_are, data_seed, 128).windows(epoch, 2, shuffle=True)
        return [numbers([one])[one.order(seed, epoch).numpy()].tolist() for one in spans]

    first = order(0, 0, 0)
    assert order(0, 0, 0) == first
    assert len({str(order(*key)) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]}) == 4
    # Another seed goes through the same windows: reading is shared.
    assert [sorted(rows) for rows in order(0, 1, 0)] == [sorted(rows) for rows in first]
    assert [sorted(rows) for rows in order(1, 0, 0)] != [sorted(rows) for rows in first]


def test_all_rows_in_one_window_are_trained_on_as_rows_in_memory(tmp_path):
    (spans,) = Streamed(stored(tmp_path, 100), as_they_are, 3, 128).windows(4, 8, shuffle=True)
    assert spans.parts == ((0, 100),)
    assert torch.equal(spans.order(7, 4), epoch_order(7, 4, 100))


def test_without_shuffling_the_order_is_that_of_the_disk(tmp_path):
    spans = Streamed(stored(tmp_path, 1000), as_they_are, 0, 128).windows(2, 8, shuffle=False)
    assert numbers(spans).tolist() == list(range(1000))


def test_blocks_begin_at_other_rows_in_every_epoch(tmp_path):
    rows = Streamed(stored(tmp_path, 1000), as_they_are, 0, 640)
    begins = [
        {start % 10 for one in rows.windows(epoch, 10, True) for start, _ in one.parts[:-1]} for epoch in range(9)
    ]
    assert len({frozenset(begin - {0}) for begin in begins}) > 4


def test_rows_come_far_from_their_place_and_neighbours_part(tmp_path):
    """Over a few epochs a row stands anywhere in the epoch, and neighbours on the disk seldom stay together."""
    rows = Streamed(stored(tmp_path, 64_000), as_they_are, 0, 6400)
    places = np.empty((40, 64_000), np.int64)
    for epoch in range(40):
        spans = rows.windows(epoch, 10, shuffle=True)
        order = np.concatenate([numbers([one])[one.order(0, epoch).numpy()] for one in spans])
        places[epoch, order] = np.arange(64_000)
    # Uniform places have the mean (N - 1) / 2 and the standard deviation N / sqrt(12).
    assert abs(places.mean(axis=0) / 31_999.5 - 1).mean() < 0.1
    assert 0.8 < places.std(axis=0).mean() / (64_000 / 12**0.5) < 1.05
    together = np.abs(np.diff(places, axis=1)) < 6400 // BLOCKS_OF_WINDOW
    assert together.mean() < 0.05


def test_blocks_are_read_in_order_whatever_their_size(tmp_path):
    rows = Streamed(stored(tmp_path, 1000), as_they_are, 0, 128)
    blocks = [(inputs.clone(), target.clone()) for inputs, target in rows.blocks(300)]
    assert [len(inputs) for inputs, _ in blocks] == [300, 300, 300, 100]
    assert torch.cat([target for _, target in blocks]).tolist() == list(range(1000))


def test_file_that_became_shorter_is_an_error_not_other_rows(tmp_path):
    rows = Streamed(stored(tmp_path, 1000), as_they_are, 0, 128)
    with open(tmp_path / "train.inputs", "r+b") as file:
        file.truncate(4000)
    with pytest.raises(OSError, match="has become shorter"):
        list(rows.blocks(300))

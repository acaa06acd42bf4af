"""Maps of groups side by side, from arrays that a run left or that somebody has changed."""

import numpy as np
import pytest

from nnlab.folder import FolderError
from nnlab.report.maps import maps_of
from nnlab.report.runs import read_runs
from run_files import write_run

X, Y = np.arange(4.0), np.arange(5.0)
PLANE = np.add.outer(Y, X)[..., None] - 3
ROWS = {"inputs": np.array([[0.0, 0], [3, 4]]), "target": np.array([[-2.0], [1.5]])}
CODES = np.indices((5, 4)).sum(axis=0) % 2


def write_arrays(folder, **groups):
    (folder / "arrays").mkdir(exist_ok=True)
    for name, arrays in groups.items():
        np.savez(folder / "arrays" / f"{name}.npz", **arrays)


def about(inputs=("x1", "x2"), targets=("z",), classes=()):
    names = {"input_names": inputs, "target_names": targets, "class_names": classes}
    return {key: np.array(values, dtype=str) for key, values in names.items()}


def group(folder, num=1, **groups):
    """A group of runs of which the last one has arrays."""
    folders = [write_run(folder / str(number)) for number in range(num)]
    if groups:
        write_arrays(folders[-1], **groups)
    return folder.name, read_runs(folders)[0]


def values_group(folder, factor=1.0, num=1, **changes):
    grid = {"x": X, "y": Y, "values": factor * PLANE}
    return group(folder, num, **({"about": about(), "grid": grid, "rows_test": ROWS} | changes))


def texts(figure):
    return [text.get_text() for text in figure.texts]


def test_maps_values_of_all_groups_have_the_colours_of_their_targets(tmp_path):
    figure = maps_of([values_group(tmp_path / "near"), values_group(tmp_path / "far", 100.0, num=2)])
    near, far, bar = figure.axes
    assert [axes.get_title(loc="left") for axes in (near, far)] == ["near", "far"]
    assert near.images[0].get_clim() == far.images[0].get_clim() == (-2.0, 2.0)
    np.testing.assert_array_equal(far.images[0].get_array(), 100 * PLANE[:, :, 0])
    np.testing.assert_array_equal(near.collections[0].get_offsets(), ROWS["inputs"])
    assert (near.get_xlabel(), near.get_ylabel(), bar.get_ylabel()) == ("x1", "x2", "z")
    assert figure.legends[0].get_texts()[0].get_text() == "test"
    assert "predictions" in texts(figure)


def test_maps_values_without_rows_share_the_range_of_all_predictions(tmp_path):
    arrays = [{"about": about(), "grid": {"x": X, "y": Y, "values": factor * PLANE}} for factor in (1, -10)]
    *maps, _ = maps_of([group(tmp_path / str(k), **one) for k, one in enumerate(arrays)]).axes
    assert [axes.images[0].get_clim() for axes in maps] == [(-40.0, 40.0)] * 2


def test_maps_of_several_targets_are_those_of_the_first_and_say_so(tmp_path):
    both = {
        "about": about(targets=("u", "v")),
        "grid": {"x": X, "y": Y, "values": np.concatenate([PLANE, 7 * PLANE], axis=-1)},
        "rows_test": {"inputs": ROWS["inputs"], "target": np.array([[-3.0, 70], [1, 80]])},
    }
    figure = maps_of([group(tmp_path / name, **both) for name in "ab"])
    assert "predictions of u, the first of 2 targets" in texts(figure)
    assert figure.axes[0].images[0].get_clim() == (-3.0, 3.0)


@pytest.mark.parametrize("split", ["valid", "train"])
def test_maps_show_the_rows_that_say_most_about_new_ones(split, tmp_path):
    rows = {"rows_train": {key: 5 * values for key, values in ROWS.items()}} | {f"rows_{split}": ROWS}
    arrays = {"about": about(), "grid": {"x": X, "y": Y, "values": PLANE}} | rows
    figure = maps_of([group(tmp_path / name, **arrays) for name in "ab"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [split]
    assert figure.axes[0].images[0].get_clim() == (-2.0, 2.0)


def decisions_group(folder, classes=("a", "b")):
    grid = {"x": X, "y": Y, "codes": CODES, "confidence": 0.5 + CODES / 2}
    return group(folder, about=about(classes=classes), grid=grid)


def test_maps_of_classifiers_are_decisions(tmp_path):
    figure = maps_of([decisions_group(tmp_path / name) for name in "ab"])
    assert len(figure.axes) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


#: what there is -> no figure of it
NOTHING = {
    "no groups": lambda path: [],
    "one group": lambda path: [values_group(path / "a")],
    "one with a map": lambda path: [values_group(path / "a"), group(path / "b")],
    "other inputs": lambda path: [values_group(path / "a"), values_group(path / "b", about=about(("x1", "t")))],
    "other targets": lambda path: [values_group(path / "a"), values_group(path / "b", about=about(targets=("w",)))],
    "other classes": lambda path: [decisions_group(path / "a"), decisions_group(path / "b", ("a", "c"))],
    "other tasks": lambda path: [values_group(path / "a"), decisions_group(path / "b")],
    "one input": lambda path: [values_group(path / name, grid={"x": X, "values": PLANE}) for name in "ab"],
}


@pytest.mark.parametrize("build", NOTHING.values(), ids=NOTHING)
def test_maps_that_cannot_be_compared_are_none(build, tmp_path):
    assert maps_of(build(tmp_path)) is None


#: arrays in place of those that a run has
DAMAGED = {
    "values of another shape": {"grid": {"x": X, "y": Y, "values": PLANE[:3]}},
    "more targets than names": {"grid": {"x": X, "y": Y, "values": np.concatenate([PLANE, PLANE], axis=-1)}},
    "whole numbers": {"grid": {"x": X, "y": Y, "values": PLANE.astype(int)}},
    "axes of two dimensions": {"grid": {"x": X[:, None], "y": Y, "values": PLANE}},
    "codes of another shape": {"grid": {"x": X, "y": Y, "codes": CODES.T}, "about": about(classes=("a", "b"))},
    "codes with fractions": {"grid": {"x": X, "y": Y, "codes": CODES / 2}, "about": about(classes=("a", "b"))},
    "rows without targets": {"rows_test": {"inputs": ROWS["inputs"]}},
    "rows of two targets": {"rows_test": {"inputs": ROWS["inputs"], "target": np.zeros((2, 2))}},
    "rows of three inputs": {"rows_test": {"inputs": np.zeros((2, 3)), "target": ROWS["target"]}},
}


@pytest.mark.parametrize("changes", DAMAGED.values(), ids=DAMAGED)
def test_maps_from_damaged_arrays_are_refused_naming_the_file(changes, tmp_path):
    name = "rows_test" if "rows_test" in changes else "grid"
    with pytest.raises(FolderError, match=rf"b/0/arrays/{name}\.npz: expected"):
        maps_of([values_group(tmp_path / "a"), values_group(tmp_path / "b", **changes)])

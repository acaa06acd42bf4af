"""Every option of the data group, as its YAML stands."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import yaml

import nnlab.data
from nnlab.data import Dataset, Split

CONFIGS = Path(__file__).parents[2] / "configs" / "data"
COMMON = {"batch_size", "shuffle", "standardize", "standardize_target", "input_scale", "folds", "fold"}


class Facts(NamedTuple):
    task: str
    num_inputs: int
    sizes: tuple[int, int, int]
    shares: tuple[float, ...] = ()  # of each class, over all rows
    tolerance: float = 0.02


PI = torch.pi
OPTIONS = {
    "x_squared": Facts("regression", 1, (10_000, 4_000, 4_000)),
    "rings": Facts("multiclass", 2, (10_000, 5_000, 5_000), (3 * PI / 16, 1 - PI / 4, PI / 16)),
    "blobs": Facts("binary", 64, (4_000, 500, 500), (0.5, 0.5)),
    "moons": Facts("binary", 2, (1_000, 500, 500), (0.5, 0.5)),
    "height_weight": Facts("regression", 1, (15, 0, 0)),
    "celsius": Facts("regression", 1, (11, 0, 0)),
    "inline": Facts("binary", 2, (4, 0, 0), (0.5, 0.5)),
    "gauss": Facts("binary", 2, (250, 250, 250), (0.5, 0.5)),
    "circle": Facts("binary", 2, (250, 250, 250), (0.5, 0.5)),
    "xor": Facts("binary", 2, (250, 250, 250), (0.5, 0.5), 0.06),
    "spirals": Facts("binary", 2, (250, 250, 250), (0.5, 0.5)),
    "plane": Facts("regression", 2, (600, 600, 600)),
    "bumps": Facts("regression", 2, (600, 600, 600)),
    "digits": Facts("multiclass", 64, (1_079, 359, 359), (0.1,) * 10),
    "iris": Facts("multiclass", 4, (90, 30, 30), (1 / 3,) * 3),
    "wine": Facts("multiclass", 13, (106, 36, 36), (59 / 178, 71 / 178, 48 / 178)),
    "breast_cancer": Facts("binary", 30, (341, 114, 114), (212 / 569, 357 / 569)),
    "diabetes": Facts("regression", 10, (266, 88, 88)),
    "sklearn": Facts("multiclass", 4, (90, 30, 30), (1 / 3,) * 3),
}
#: options that need a file of the user's: their rows are tested in tests/data/table
FILES = ("csv", "parquet", "arrow", "npz")
TABLES = (*FILES, "sklearn")
#: parameters that nnlab sets, not a config's group
SET_BY_NNLAB = {"fitted"}
SEEDLESS = {"height_weight", "celsius", "inline"}
SEEDED = sorted(set(OPTIONS) - SEEDLESS)
WITH_TEST_ROWS = ["x_squared", "rings", "moons", "gauss", "circle", "xor", "spirals", "plane", "bumps"]
USES_SKLEARN = ["digits", "iris", "wine", "breast_cancer", "diabetes", "sklearn"]
every_option = pytest.mark.parametrize("name", OPTIONS)
every_option_and_file = pytest.mark.parametrize("name", [*OPTIONS, *FILES])


def keys(name: str) -> dict:
    return yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))


def make(name: str, **changes) -> Dataset:
    config = keys(name)
    module, _, function = config["_target_"].rpartition(".")
    target = getattr(importlib.import_module(module), function)
    parameters = set(inspect.signature(target).parameters) - SET_BY_NNLAB
    return target(**{key: config[key] for key in parameters} | changes)


def equal(one: Split | None, other: Split | None) -> bool:
    if one is None or other is None:
        return one is other
    return torch.equal(one.inputs, other.inputs) and torch.equal(one.target, other.target)


def test_configs_on_disk_are_the_options_of_this_table():
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == {*OPTIONS, *FILES}
    assert set(nnlab.data.__all__) >= {*OPTIONS, *FILES}


@every_option_and_file
def test_option_keys_are_the_functions_and_the_common_ones(name):
    parameters = inspect.signature(getattr(nnlab.data, name)).parameters
    optional = {"expand"} if name in OPTIONS and OPTIONS[name].num_inputs == 2 else set()
    assert set(keys(name)) == {"_target_"} | (set(parameters) - SET_BY_NNLAB) | COMMON | optional
    assert keys(name)["_target_"] == f"nnlab.data.{name}"
    assert ("seed" in parameters) == (name not in SEEDLESS)


@every_option_and_file
def test_option_first_line_is_a_short_comment(name):
    first = (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert len(first) <= 90


@every_option_and_file
def test_defaults_are_in_yaml_only(name):
    parameters = inspect.signature(getattr(nnlab.data, name)).parameters.values()
    expected = ["task"] if name == "inline" else ["folds", "fold", "fitted"] if name in TABLES else []
    assert [p.name for p in parameters if p.default is not p.empty] == expected


@every_option
def test_option_task_shapes_and_dtypes_are_as_stated(name):
    facts, data = OPTIONS[name], make(name)
    assert data.task == facts.task
    assert tuple(len(split) if split else 0 for split in (data.train, data.valid, data.test)) == facts.sizes
    for split in data.splits.values():
        assert split.inputs.dtype == torch.float32
        assert split.inputs.shape == (len(split), facts.num_inputs)
        assert split.target.dtype == (torch.int64 if facts.task == "multiclass" else torch.float32)
        assert split.target.shape == ((len(split),) if facts.task == "multiclass" else (len(split), 1))
        assert split.inputs.isfinite().all()
        assert split.target.isfinite().all()


@every_option
def test_option_names_fit_the_columns_and_classes(name):
    facts, data = OPTIONS[name], make(name)
    assert len(set(data.input_names)) == len(data.input_names) == facts.num_inputs
    assert len(data.target_names) == 1
    assert len(set(data.class_names)) == len(data.class_names) == len(facts.shares)
    assert data.num_outputs == (len(facts.shares) if facts.task == "multiclass" else 1)
    assert all(type(text) is str for text in (*data.input_names, *data.target_names, *data.class_names))


@pytest.mark.parametrize("name", [name for name, facts in OPTIONS.items() if facts.shares])
def test_option_class_shares_are_near_what_the_recipe_says(name):
    facts, data = OPTIONS[name], make(name)
    codes = torch.cat([split.target.flatten().long() for split in data.splits.values()])
    shares = torch.bincount(codes) / len(codes)
    torch.testing.assert_close(shares, torch.tensor(facts.shares), atol=facts.tolerance, rtol=0)
    for split in data.splits.values():
        assert len(split.target.unique()) == len(facts.shares)


@every_option
def test_option_made_twice_is_bit_equal(name):
    state = torch.get_rng_state()
    one, other = make(name), make(name)
    assert equal(one.train, other.train)
    assert equal(one.valid, other.valid)
    assert equal(one.test, other.test)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("name", SEEDED)
def test_option_with_another_seed_has_other_rows(name):
    one, other = make(name), make(name, seed=7)
    assert not torch.equal(one.train.inputs, other.train.inputs)
    assert not torch.equal(one.valid.inputs, other.valid.inputs)
    assert not torch.equal(one.test.inputs, other.test.inputs)


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("name", WITH_TEST_ROWS)
def test_option_with_fewer_test_rows_keeps_train_and_valid(name, noise):
    full = make(name, noise=noise)
    for num_test in (0, 7):
        fewer = make(name, noise=noise, num_test=num_test)
        assert equal(full.train, fewer.train)
        assert equal(full.valid, fewer.valid)
        assert (fewer.test is None) if num_test == 0 else (len(fewer.test) == 7)


@pytest.mark.parametrize("name", [*WITH_TEST_ROWS[1:], "blobs"])  # x_squared: 2^24 values, some twice
def test_option_splits_share_no_row(name):
    data = make(name, noise=0.0)
    rows = torch.cat([split.inputs for split in data.splits.values()])
    # moons and spirals have points that their two arms or both of their draws share: the ends of the curves
    assert len(rows) - len(rows.unique(dim=0)) <= (6 if name in ("moons", "spirals") else 0)


COUNTS = [(name, "num_test", -1) for name in WITH_TEST_ROWS]
COUNTS += [
    (name, key, bad)
    for name in ("x_squared", "rings", "moons")
    for key, bad in (("num_train", 0), ("num_valid", -1), ("num_train", 1.5), ("num_test", True))
]
COUNTS += [(name, "num_samples", 1) for name in ("gauss", "circle", "xor", "spirals", "plane", "bumps")]
COUNTS += [("blobs", key, bad) for key, bad in {"num_samples": 0, "num_train": 0, "num_test": -1}.items()]
COUNTS += [("blobs", "centers", 1), ("blobs", "num_features", 0)]
RANGES = [(name, "noise", bad) for name in WITH_TEST_ROWS for bad in (-0.1, float("nan"), float("inf"))]
RANGES += [(name, "noise", 0.51) for name in ("gauss", "circle", "xor", "spirals", "plane", "bumps")]
RANGES += [("blobs", "noise", -1.0), ("blobs", "cluster_std", -1.0)]
RANGES += [(name, "seed", bad) for name in SEEDED for bad in (-1, 2**32, 0.5)]
RANGES += [
    (name, key, bad)
    for name in ("digits", "iris", "wine", "breast_cancer", "diabetes")
    for key in ("valid_fraction", "test_fraction")
    for bad in (-0.1, 1.5, 1e-4, float("nan"))
]


@pytest.mark.parametrize(("name", "key", "bad"), COUNTS + RANGES)
def test_option_with_a_bad_value_names_key_and_value(name, key, bad):
    with pytest.raises(ValueError, match=rf"^data\.{key}: expected .*, found {bad!r}$"):
        make(name, **{key: bad})


def test_sets_of_torch_alone_do_not_import_sklearn():
    calls = [
        f"nnlab.data.{name}(**{{k: v for k, v in {keys(name)!r}.items() if k in "
        f"inspect.signature(nnlab.data.{name}).parameters}})"
        for name in OPTIONS
        if name not in USES_SKLEARN
    ]
    script = "\n".join(["import inspect, sys", "import nnlab.data", *calls, "assert 'sklearn' not in sys.modules"])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

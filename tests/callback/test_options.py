"""The YAML of each callback fits its class."""

import inspect
from pathlib import Path

import pytest
import yaml

import nnlab.callback

CONFIGS = Path(__file__).parents[2] / "configs/callback"


@pytest.mark.parametrize(
    ("option", "arguments"),
    [
        ("activation_matters", {"num_networks": 6, "seed": 0}),
        ("early_stopping", {"patience": 10, "min_delta": 0.0, "monitor": None}),
        ("film", {"every": 1, "most_frames": 60}),
        ("histograms", {"every": 1}),
        ("matmul", {"num_rows": 10_000, "seed": 0}),
        ("norms", {"every": 1}),
        ("trace", {"most_parameters": 100}),
    ],
)
def test_yaml_option_has_every_argument_and_builds(option: str, arguments: dict[str, object]) -> None:
    content = yaml.safe_load((CONFIGS / f"{option}.yaml").read_text())
    target = content[option].pop("_target_")
    assert content == {option: arguments}
    module, _, name = target.rpartition(".")
    assert module == "nnlab.callback"
    kind = getattr(nnlab.callback, name)
    assert list(inspect.signature(kind).parameters) == list(arguments)
    kind(**arguments)

"""The optimizers' YAML files against the constructors of torch.optim."""

import inspect
from pathlib import Path

import pytest
import torch
import yaml

CONFIGS = Path(__file__).parents[2] / "configs" / "optim"
FILES = sorted(CONFIGS.glob("*.yaml"))
#: how an update is computed, not which one; the trainer chooses
IMPLEMENTATION = {"foreach", "capturable", "differentiable", "fused"}


def plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def test_option_files_are_all_found() -> None:
    assert len(FILES) == 11


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_option_file_holds_every_hyper_parameter_with_torchs_default(path: Path) -> None:
    keys = yaml.safe_load(path.read_text())
    module, name = keys.pop("_target_").rsplit(".", 1)
    assert (module, name.lower()) == ("torch.optim", path.stem)
    parameters = inspect.signature(getattr(torch.optim, name)).parameters
    expected = {key: plain(parameters[key].default) for key in parameters if key not in {"params", *IMPLEMENTATION}}
    if "weight_decay" in expected:
        assert keys.pop("no_decay") == []
    assert keys == expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_option_file_makes_an_optimizer_that_descends(path: Path) -> None:
    keys = yaml.safe_load(path.read_text())
    target = getattr(torch.optim, keys.pop("_target_").rsplit(".", 1)[1])
    keys.pop("no_decay", None)
    weight = torch.ones(3, requires_grad=True)
    optimizer = target([weight], **keys)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert closure().item() < 3

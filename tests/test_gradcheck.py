"""`nnlab gradcheck`: what it prints, and that it finds what is wrong."""

import re
import sys

import pytest

from nnlab.cli import main

PACKAGE = """
import torch
from torch import nn
from nnlab.loss import Loss

class Doubled(Loss):
    tasks = frozenset({"regression"})
    reads = "value"

    def per_sample(self, prediction, target):
        return (prediction - target).square().mean(dim=-1)

    def gradient(self, prediction, target):
        return 4 * (prediction - target) / prediction.numel()

class _Wrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0].cos() * 1.001

class Sine(nn.Module):
    def forward(self, x):
        return _Wrong.apply(x)

    def slope(self, z, a):
        return z.cos()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "wrong_lab.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "wrong_lab", raising=False)
    return tmp_path


def checked(capsys, *words):
    code = main(["gradcheck", *words])
    return code, capsys.readouterr().out


def cells(text, parameter):
    (line,) = [line for line in text.splitlines() if line.startswith(parameter)]
    return re.split(r"\s{2,}", line.strip())


SOFTMAX = "model.output_activation={_target_: torch.nn.Softmax, dim: 0}"
SMOOTH = ["data=bumps", "model.depth=2", "model.width=6", "model.activation=tanh"]


def test_smooth_model_agrees_and_the_error_falls_to_a_quarter(capsys, folder):
    code, text = checked(capsys, *SMOOTH)
    assert code == 0
    assert "backprop agrees with autograd to rounding" in text
    assert "finite_difference agrees with autograd to the order of delta squared" in text
    name, shape, _, by_hand, whole, half, ratio, compared = cells(text, "linear2.weight")
    assert (name, shape, compared) == ("linear2.weight", "6 x 6", "36 of 36")
    assert float(by_hand) <= 1e-10
    assert float(half) < float(whole) < 1e-2
    assert 3.5 <= float(ratio) <= 4.5
    assert not list(folder.glob("outputs"))


def test_kinks_are_not_compared_but_counted(capsys, folder):
    code, text = checked(
        capsys, "data=bumps", "model.width=40", "gradient=finite_difference", "gradient.delta=0.05", "loss=l1"
    )
    assert code == 0
    compared, of_all = re.fullmatch(r"([\d,]+) of ([\d,]+)", cells(text, "linear2.weight")[-1]).groups()
    assert of_all == "1,600"
    assert 0 <= int(compared.replace(",", "")) < 1600
    assert re.search(r"not compared: [\d,]+ numbers whose moving by delta carries something over a kink", text)
    assert "delta 0.05" in text


@pytest.mark.parametrize(
    "words",
    [
        ["data=rings", "model.width=8", "model.norm=batch", "model.dropout=0.3", "model.activation=gelu"],
        ["data=iris", "loss=cross_entropy", "model.norm=layer", "loss.l2=0.1", "loss.label_smoothing=0.1"],
        ["data=moons", "model.width=5", "loss=bce_probability", "model.output_activation=sigmoid"],
        ["data=celsius", "model=linear"],
        ["data=moons", "model.width=4", "trainer.precision=bf16"],
    ],
)  # fmt: skip
def test_ways_agree_on_whatever_can_be_chosen(capsys, folder, words):
    code, text = checked(capsys, *words)
    assert code == 0, text
    assert text.count("agrees with autograd") == 2


def test_wrong_gradient_by_hand_is_found(capsys, folder):
    code, text = checked(capsys, *SMOOTH, "loss=mse", "loss._target_=wrong_lab.Doubled", "plugins=[wrong_lab]")
    assert code == 1
    assert "backprop DISAGREES with autograd on linear1.weight, linear1.bias" in text
    assert "finite_difference agrees" in text


def test_wrong_gradient_in_autograd_is_found_by_both_others(capsys, folder):
    words = ["data=bumps", "model.depth=1", "model.width=6", "model.activation={_target_: wrong_lab.Sine}"]
    code, text = checked(capsys, *words, "plugins=[wrong_lab]")
    assert code == 1
    assert "backprop DISAGREES with autograd on linear1.weight, linear1.bias\n" in text
    assert "finite_difference DISAGREES with autograd on linear1.weight, linear1.bias\n" in text


def test_what_a_way_cannot_do_is_said_and_is_no_disagreement(capsys, folder):
    code, text = checked(capsys, "data=blobs", "model.widths=[256,1024]", SOFTMAX)
    assert code == 0
    assert "not compared: gradient=backprop: knows no derivative of Softmax (output_activation)" in text
    assert re.search(r"not compared: gradient=finite_difference: 280,833 parameters .* 100,000: .* about \d", text)


def test_few_parameters_are_shown_number_by_number(capsys, folder):
    """Half the squared error of w x + b at w = 0.5, b = 1 on x = 1, 3 and t = 0, 0: means of (p - t) x and p - t."""
    code, text = checked(
        capsys, "data=inline", "data.inputs=[1.0,3.0]", "data.targets=[0.0,0.0]", "data.task=regression",
        "model=linear", "loss=half_mse", "init=constant", "init.val=0.5", "init.bias=1.0",
    )  # fmt: skip
    assert code == 0
    assert cells(text, "output.weight[0, 0]")[1:] == ["4.5", "4.5", "4.5"]
    assert cells(text, "output.bias[0]")[1:] == ["2", "2", "2"]


def test_mistakes_are_refused_before_anything_is_computed(capsys, folder):
    assert main(["gradcheck", "gradient=backpropp", "optim.lrr=1"]) == 2
    printed = capsys.readouterr().err
    assert "backprop" in printed
    assert "optim.lrr" in printed

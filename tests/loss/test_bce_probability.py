"""Binary cross-entropy on probabilities where naive formulas break."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nnlab.loss import BCEProbability

#: from the smallest number of the type to 1, both ends and both saturated neighbourhoods
HARD = [0.0, 1e-38, 1e-30, 1e-13, 1e-12, 1e-7, 0.3, 0.5, 1 - 6e-8, 1.0]


#: a lone batch and a stack of one: ways that differ inside
SHAPES = pytest.mark.parametrize("shape", [(-1, 1), (1, -1, 1)], ids=["alone", "stacked"])


def both(loss: Callable[[Tensor, Tensor], Tensor], p: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The loss, a scalar, and its gradient."""
    p = p.detach().requires_grad_()
    value = loss(p, t).squeeze()
    return value.detach(), torch.autograd.grad(value, p)[0].flatten()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("target", [0.0, 1.0, 0.25])
@pytest.mark.parametrize("probability", HARD)
@SHAPES
def test_value_and_gradient_anywhere_equal_torch(
    probability: float, target: float, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    # The second row's loss is 0: it must not cover the first one's small numbers.
    p, t = torch.tensor([probability, 1.0], dtype=dtype), torch.tensor([target, 1.0], dtype=dtype)
    value, gradient = both(BCEProbability(), p.view(shape), t.view(shape))
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
    torch.testing.assert_close((value, gradient), both(torch.nn.BCELoss(), p, t), rtol=1e-6, atol=0)


@SHAPES
def test_saturated_sigmoid_keeps_every_gradient_finite(shape: tuple[int, ...]) -> None:
    logit = torch.tensor([200.0, -200.0, 0.0]).view(shape)
    target = torch.tensor([0.0, 1.0, 1.0]).view(shape)
    value, gradient = both(lambda z, t: BCEProbability()(z.sigmoid(), t), logit, target)
    # log(1 - 1) and log(0) are cut at -100, log(1/2) is not; a saturated sigmoid passes no gradient.
    assert value.item() == pytest.approx((100 + 100 + 0.6931471805599453) / 3, rel=1e-6)
    torch.testing.assert_close(gradient, torch.tensor([0.0, 0.0, -0.5 / 3]))


@SHAPES
@pytest.mark.parametrize("wrong", [torch.nan, 1.5, -0.5])
def test_output_that_is_no_probability_gives_nan_without_raising(shape: tuple[int, ...], wrong: float) -> None:
    p, t = torch.tensor([wrong, 0.5]).view(shape), torch.tensor([0.75, 0.0]).view(shape)
    value, gradient = both(BCEProbability(), p, t)
    assert value.isnan()
    assert gradient[1].item() == 1.0  # (p - t) / (p (1 - p)) / 2 rows


@SHAPES
def test_half_precision_output_is_read_in_the_targets_precision(shape: tuple[int, ...]) -> None:
    p, t = torch.tensor([0.0, 1.0], dtype=torch.float16).view(shape), torch.tensor([0.0, 1.0]).view(shape)
    value, gradient = both(BCEProbability(), p, t)
    assert value.dtype == torch.float32
    assert gradient.tolist() == [0.0, 0.0]


@SHAPES
def test_second_derivative_equals_closed_form(shape: tuple[int, ...]) -> None:
    p = torch.tensor([0.2], dtype=torch.float64).view(shape).requires_grad_()
    loss = BCEProbability()(p, torch.ones_like(p)).squeeze()
    (first,) = torch.autograd.grad(loss, p, create_graph=True)
    (second,) = torch.autograd.grad(first, p)
    assert second.item() == pytest.approx(1 / 0.2**2, rel=1e-9)  # torch adds 1e-12 to p (1 - p)

"""The memory of a stack: whose is whose, what is padding, what is nobody's."""

import pytest
import torch
from torch import nn

from nnlab.gradient.base import Precision
from nnlab.loss import MSE, Penalty
from nnlab.loss.objective import Objective
from nnlab.trainer.stacked_model import PADDING, StackedModel
from own_models import Own
from together_runs import mlp, rows

K = 3
FP64 = Precision(torch.float64, None, "cpu")


def made(num=K, least_rows=32, penalty=None, make=mlp):
    models = [make(seed).double() for seed in range(num)]
    weights = [layer.weight for layer in models[0].modules() if isinstance(layer, nn.Linear)]
    return models, StackedModel(models, Objective(MSE(), penalty or Penalty(), weights), least_rows)


@pytest.mark.parametrize(("least_rows", "behind"), [(100, 1), (32, 1), (31, 2), (8, 4), (1, 32)])
def test_rows_behind_the_runs_take_the_end_of_every_tensor(least_rows, behind):
    _, stack = made(least_rows=least_rows)
    assert stack.num_rows == K + behind
    assert behind * least_rows >= 32


def test_models_see_what_happens_to_their_rows_and_the_stack_what_happens_to_them():
    models, stack = made()
    stack.weights[1] += 1
    assert torch.equal(models[1].linear1.weight.flatten(), stack.weights[1, :10])
    with torch.no_grad():
        models[2].linear1.weight.zero_()
    assert not stack.weights[2, :10].any()
    stack.release(2)
    stack.weights[2] += 5
    assert not models[2].linear1.weight.any()


@pytest.mark.parametrize("penalty", [None, Penalty(l1=0.1, l2=0.3)])
@pytest.mark.parametrize("make", [mlp, Own])
def test_gradients_of_batches_and_shares_are_those_of_autograd(penalty, make):
    models, stack = made(penalty=penalty, make=make)
    x, y = rows(num=9)
    stack.start_step()
    for part, share in ((slice(0, 6), 6 / 9), (slice(6, 9), 3 / 9)):
        values, predictions = stack.add_gradient(*(t[part].expand(4, *t[part].shape) for t in (x, y)), FP64, share)
    grad = stack.collect()
    assert grad.shape[1] % PADDING == 0
    for row, model in enumerate(models):
        twin = make(row).double()
        weights = [layer.weight for layer in twin.modules() if isinstance(layer, nn.Linear)]
        value = nn.functional.mse_loss(twin(x[6:]), y[6:])
        whole = nn.functional.mse_loss(twin(x), y)
        if penalty is not None:
            added = sum(penalty.l1 * w.abs().sum() + penalty.l2 / 2 * w.square().sum() for w in weights)
            value, whole = value + added, whole + added
        whole.backward()
        flat = torch.cat([parameter.grad.flatten() for parameter in twin.parameters()])
        torch.testing.assert_close(grad[row, : len(flat)], flat, rtol=1e-11, atol=1e-14)
        assert not grad[row, len(flat) :].any()
        torch.testing.assert_close(values[row], value.detach(), rtol=1e-12, atol=0)
        torch.testing.assert_close(predictions[row], twin(x[6:]).detach(), rtol=1e-12, atol=1e-14)
        assert torch.equal(torch.cat([p.grad.flatten() for p in model.parameters()]), grad[row, : len(flat)])


def test_run_that_is_not_finite_is_found_and_no_other():
    models, stack = made()
    with torch.no_grad():
        models[1].output.bias.fill_(torch.inf)
    assert stack.is_finite() == [True, False, True]


def test_trying_models_out_changes_nothing_in_them():
    models, stack = made(make=lambda seed: Own(seed, "in place"))
    before = [{name: tensor.clone() for name, tensor in model.state_dict().items()} for model in models]
    random = torch.get_rng_state()
    stack.check(rows()[0])
    for model, kept in zip(models, before, strict=True):
        assert all(torch.equal(tensor, kept[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert stack.module.training


def test_models_that_were_refused_have_memory_of_their_own():
    models, stack = made(make=lambda seed: Own(seed, "branch"))
    with pytest.raises(ValueError, match="data-dependent control flow"):
        stack.check(rows()[0])
    before = models[0].first.weight.clone()
    stack.weights.zero_()
    assert torch.equal(models[0].first.weight, before)


def test_models_of_two_types_of_numbers_are_refused():
    model = mlp(0)
    model.linear1.double()
    with pytest.raises(ValueError, match="its parameters are not all of one dtype"):
        StackedModel([model], Objective(MSE(), Penalty(), []))

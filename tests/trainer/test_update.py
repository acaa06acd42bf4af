import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from nnlab.trainer.update import Update

NAMES = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "ASGD"]


def trained(name, update_of, steps=5, **keys):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.01, **keys)
    update = update_of(optimizer)
    x, y = torch.randn(8, 3), torch.randn(8, 1)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        update()
    return torch.cat([p.detach().flatten() for p in model.parameters()]), optimizer


@pytest.mark.parametrize("keys", [{}, {"fused": True}], ids=["plain", "fused"])
@pytest.mark.parametrize("name", NAMES)
def test_update_gives_the_bits_of_step(name, keys):
    if keys and name not in ("SGD", "Adam", "AdamW", "Adagrad"):
        pytest.skip("torch has no fused form of it")
    ours, _ = trained(name, Update, **keys)
    torchs, _ = trained(name, lambda optimizer: optimizer.step, **keys)
    assert torch.equal(ours, torchs)


def test_update_calls_hooks_even_those_registered_later():
    called = []
    _, optimizer = trained("Adam", Update)
    update = Update(optimizer)
    optimizer.register_step_post_hook(lambda *_: called.append("own"))
    update()
    handle = register_optimizer_step_pre_hook(lambda *_: called.append("global"))
    update()
    handle.remove()
    assert called == ["own", "global", "own"]


def test_update_of_a_users_optimizer_calls_its_own_step():
    class Mine(torch.optim.SGD):
        steps = 0

        def step(self, closure=None):
            self.steps += 1
            return super().step(closure)

    model = nn.Linear(1, 1)
    model(torch.ones(1, 1)).sum().backward()
    optimizer = Mine(model.parameters(), lr=0.1)
    Update(optimizer)()
    assert optimizer.steps == 1


def test_update_of_a_patched_step_calls_the_patch():
    called = []
    _, optimizer = trained("SGD", Update)
    optimizer.step = lambda: called.append(1)
    Update(optimizer)()
    assert called == [1]

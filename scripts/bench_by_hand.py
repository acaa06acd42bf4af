"""Whole scripts in plain torch, as one would write them by hand: what `nnlab train` is timed against as a process.

They train what nnlab trains, with torch.optim, and print the losses; they keep no files and draw nothing.
"""

import sys

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPOCHS_OF_RINGS = 10
EPOCHS_OF_CELSIUS = 100
BATCH_SIZE = 100


def train_rings() -> None:
    """`nnlab train trainer.max_epochs=10`: 2-100-100-3, Adam, batches of 100 of 10,000 rows, shuffled."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    inputs = 2 * torch.rand(20_000, 2) - 1
    target = _ring_of(inputs)
    train, valid, test = (slice(0, 10_000), slice(10_000, 15_000), slice(15_000, 20_000))
    model = nn.Sequential(nn.Linear(2, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, fused=True)
    for epoch in range(1, EPOCHS_OF_RINGS + 1):
        order = torch.randperm(10_000)
        x, y = inputs[train][order], target[train][order]
        model.train()
        total = torch.zeros(())
        for first in range(0, len(x), BATCH_SIZE):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x[first : first + BATCH_SIZE]), y[first : first + BATCH_SIZE])
            loss.backward()
            optimizer.step()
            total += loss.detach() * BATCH_SIZE
        loss, accuracy = _measure(model, inputs[valid], target[valid])
        print(f"epoch {epoch}: train loss {total.item() / len(x):.4f}, valid loss {loss:.4f}, accuracy {accuracy:.4f}")
    print("test loss {:.4f}, accuracy {:.4f}".format(*_measure(model, inputs[test], target[test])))


def train_celsius() -> None:
    """`nnlab train experiment=celsius`: one weight and one bias in double precision, until the loss is no number."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    inputs = torch.tensor([35.7, 55.9, 58.2, 81.9, 56.3, 48.9, 33.9, 21.8, 48.4, 60.4, 68.4])[:, None]
    target = torch.tensor([0.5, 14.0, 15.0, 28.0, 11.0, 8.0, 3.0, -4.0, 6.0, 13.0, 21.0])[:, None]
    model = nn.Linear(1, 1)
    nn.init.constant_(model.weight, 1.0)
    nn.init.constant_(model.bias, 0.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for epoch in range(1, EPOCHS_OF_CELSIUS + 1):
        optimizer.zero_grad()
        loss = F.mse_loss(model(inputs), target)
        loss.backward()
        optimizer.step()
        print(f"epoch {epoch}: train loss {loss.item():.6g}")
        if not loss.isfinite():
            break


def _ring_of(points: Tensor) -> Tensor:
    """Class 1 outside the unit circle, class 2 within half of it, class 0 between."""
    squared_radius = points.pow(2).sum(1)
    return torch.where(squared_radius >= 1, 1, torch.where(squared_radius < 0.25, 2, 0))


def _measure(model: nn.Module, inputs: Tensor, target: Tensor) -> tuple[float, float]:
    """Loss and accuracy."""
    model.eval()
    with torch.no_grad():
        prediction = model(inputs)
        accuracy = (prediction.argmax(1) == target).double().mean()
        return F.cross_entropy(prediction, target).item(), accuracy.item()


SCRIPTS = {"rings": train_rings, "celsius": train_celsius}

if __name__ == "__main__":
    SCRIPTS[sys.argv[1]]()

"""Trainings for one process or for several: `torchrun --nproc-per-node 2 tests/shared_cases.py FOLDER` does all."""

import hashlib
import json
import sys
from pathlib import Path

import torch
from torch import nn

from nnlab import Trainer
from nnlab.callback.early_stopping import EarlyStopping
from nnlab.gradient.backprop import Backprop
from nnlab.loss import BCE, MSE, CrossEntropy
from nnlab.metric import AUROC, MAE, R2, Accuracy
from nnlab.model.dropout import Dropout
from nnlab.trainer.batches import Weighted


def rows(number, seed, is_binary):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(number, 3, generator=generator, dtype=torch.float64)
    y = x.sum(1, keepdim=True) + 0.3 * torch.randn(number, 1, generator=generator, dtype=torch.float64)
    return (x, (y > 0).double()) if is_binary else (x, y)


def weighted(data, zeros=0):
    weight = torch.linspace(0.1, 2, len(data[0]), dtype=torch.float64)
    weight[:zeros] = 0
    return Weighted(*data, weight)


def model(dropout=0.0):
    torch.manual_seed(1)
    layers = [nn.Linear(3, 8), nn.ReLU(), *([Dropout(dropout)] if dropout else []), nn.Linear(8, 1)]
    return nn.Sequential(*layers)


def frozen():
    net = model()
    net[0].weight.requires_grad_(False)
    return net


def three(number, seed):
    x, y = rows(number, seed, False)
    return x, (y > -0.5).long().squeeze(1) + (y > 0.5).long().squeeze(1)


def three_model():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 3))


def decaying(parameters, lr):
    """Shrinks whatever has a gradient, be it zero."""
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=0.5)


def bold(parameters, lr):
    return torch.optim.SGD(parameters, lr=1e3 * lr)


BINARY = (rows(101, 0, True), rows(33, 1, True))  # neither is a multiple of anything
VALUES = (rows(90, 2, False), rows(31, 3, False))
THREE = (three(53, 6), three(20, 7))
#: the first half of each batch of 8 is of class 0
HALVES = (THREE[0][0][:48], torch.tensor([0, 0, 0, 0, 1, 2, 1, 2] * 6))
WEIGHTED = nn.CrossEntropyLoss(torch.tensor([0.0, 2.0, 1.0], dtype=torch.float64))
FEW = (rows(5, 4, True), rows(1, 5, True))
CLASSES = {"loss": BCE(), "metrics": [Accuracy(), AUROC()], "batch_size": 16}
THIRDS = {"metrics": [Accuracy()], "batch_size": 16}
NUMBERS = {"loss": MSE(), "metrics": [MAE(), R2()], "batch_size": 16}
#: name -> data, model, arguments of the Trainer
CASES = {
    "classes": (BINARY, model, CLASSES),
    "numbers, accumulated and clipped": (VALUES, model, NUMBERS | {"accumulate_steps": 3, "grad_clip_norm": 0.5}),
    "weights": ((weighted(VALUES[0], 20), weighted(VALUES[1])), model, NUMBERS),
    "by hand": (BINARY, model, CLASSES | {"gradient": Backprop()}),
    "dropout": (BINARY, lambda: model(0.4), CLASSES),
    "one row a batch": (FEW, model, CLASSES | {"metrics": [Accuracy()], "batch_size": 1}),
    "classes that count differently": (THREE, three_model, THIRDS | {"loss": CrossEntropy(0.1, [1, 5, 0.2])}),
    "a class that counts nothing, torch's loss": (
        (HALVES, THREE[1]),
        three_model,
        THIRDS | {"loss": WEIGHTED, "batch_size": 8, "shuffle": False, "accumulate_steps": 3},
    ),
    "frozen": (BINARY, frozen, CLASSES | {"optimizer": decaying}),
    "diverging": (VALUES, model, NUMBERS | {"optimizer": bold}),
    "stopped early": (VALUES, model, NUMBERS | {"callbacks": [EarlyStopping(1, 10.0, None)]}),
    "L-BFGS": (VALUES, model, NUMBERS | {"optimizer": torch.optim.LBFGS, "batch_size": 90}),
}
#: those that do not go through all of their epochs
ENDS = {"diverging": "diverged", "stopped early": "early_stopped"}


def train(name):
    (train_rows, valid_rows), make, options = CASES[name]
    options = dict(options)
    net = make()
    kind = options.pop("optimizer", torch.optim.Adam)
    trainer = Trainer(
        net, options.pop("loss"), kind(net.parameters(), lr=0.05), max_epochs=5, precision="fp64", device="cpu",
        seed=3, **options,
    )  # fmt: skip
    seen = []
    net[0].register_forward_pre_hook(lambda layer, inputs: seen.append(len(inputs[0])))
    result = trainer.fit(train_rows, valid_rows)
    history = [{key: value for key, value in row.items() if key != "time_s"} for row in result.history]
    flat = torch.cat([parameter.detach().reshape(-1) for parameter in net.parameters()])
    digest = hashlib.sha256(flat.numpy().tobytes()).hexdigest()
    return {"status": result.status, "history": history, "weights": flat.tolist(), "digest": digest, "rows": sum(seen)}


def main(folder):
    from nnlab.world import joined

    with joined("cpu") as world:
        found = {name: train(name) for name in CASES}
        Path(folder, f"{world.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])

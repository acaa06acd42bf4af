"""The Trainer against plain torch loops written out here."""

import math
import os
import signal

import pytest
import torch
from sklearn.metrics import accuracy_score, r2_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nnlab import Trainer
from nnlab.callback import Callback, EarlyStopping
from nnlab.logger import TensorBoard
from nnlab.loss import MSE, CrossEntropy, Penalty
from nnlab.metric import MAE, R2, RMSE, Accuracy
from nnlab.model import MLP
from nnlab.optim import parameter_groups
from nnlab.schedule import Cosine, Exponential
from nnlab.seeding import epoch_order


def mlp(seed=0, inputs=2, outputs=1, dropout=0.0, norm="none", activation="tanh"):
    torch.manual_seed(seed)
    return MLP(
        inputs,
        outputs,
        depth=2,
        width=8,
        widths=None,
        activation=activation,
        output_activation="identity",
        dropout=dropout,
        norm=norm,
        bias=True,
    )


def rows(num=50, seed=1, inputs=2):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num, inputs, generator=generator)
    return x, (x.sin().sum(dim=1, keepdim=True) + 0.1 * torch.randn(num, 1, generator=generator))


def sgd(model, lr=0.05, **keys):
    return torch.optim.SGD(model.parameters(), lr=lr, **keys)


def parameters(model):
    return torch.cat([p.detach().flatten().double() for p in model.parameters()])


def plain_loop(
    model, optimizer, x, y, *, epochs, batch_size, order, clip=None, schedule=None, loss=nn.functional.mse_loss
):
    """Trains as a textbook does; returns each step's loss."""
    losses = []
    for epoch in range(epochs):
        index = order(epoch)
        for start in range(0, len(x), batch_size):
            if schedule is not None:
                for group in optimizer.param_groups:
                    group["lr"] = schedule(len(losses))
            batch = index[start : start + batch_size]

            def closure(batch=batch):
                optimizer.zero_grad()
                value = loss(model(x[batch]), y[batch])
                value.backward()
                if clip is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                return value

            if isinstance(optimizer, torch.optim.LBFGS):
                value = optimizer.step(closure)
            else:
                value = closure()
                optimizer.step()
            losses.append(float(value.detach()))
    return losses


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "sgd_fused": lambda p: torch.optim.SGD(p, lr=0.05, fused=True),
    "adam_fused": lambda p: torch.optim.Adam(p, lr=0.01, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, centered=True, momentum=0.1),
    "rprop": lambda p: torch.optim.Rprop(p),
    "lbfgs": lambda p: torch.optim.LBFGS(p, lr=0.5, max_iter=5),
}


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fit_of_tensors_equals_a_plain_loop_bit_for_bit(name, shuffle):
    x, y = rows()
    model, twin = mlp(), mlp()
    losses = plain_loop(
        twin,
        OPTIMIZERS[name](twin.parameters()),
        x,
        y,
        epochs=4,
        batch_size=16,
        order=lambda epoch: epoch_order(7, epoch, 50) if shuffle else torch.arange(50),
    )
    trainer = Trainer(
        model, MSE(), OPTIMIZERS[name](model.parameters()), batch_size=16, shuffle=shuffle, seed=7, max_epochs=4,
        device="cpu", metrics=[RMSE()],
    )  # fmt: skip
    result = trainer.fit((x, y), rows(seed=2))
    assert torch.equal(parameters(model), parameters(twin))
    sizes = [16, 16, 16, 2]
    expected = [sum(a * b for a, b in zip(losses[4 * e : 4 * e + 4], sizes, strict=True)) / 50 for e in range(4)]
    assert [row["train/loss"] for row in result.history] == pytest.approx(expected, rel=1e-6)
    assert result.status == "completed"
    assert (result.epochs, result.steps) == (4, 16)


def test_fit_of_every_kind_of_data_gives_the_same_bits():
    x, y = rows()
    trained = []
    for data in ((x, y), TensorDataset(x, y), DataLoader(TensorDataset(x, y), batch_size=16)):
        model = mlp()
        trainer = Trainer(model, MSE(), sgd(model), batch_size=16, shuffle=False, max_epochs=3, device="cpu")
        result = trainer.fit(data, data)
        trained.append((parameters(model), result.history[-1]["valid/loss"], result.history[-1]["train/loss"]))
    for other in trained[1:]:
        assert torch.equal(other[0], trained[0][0])
        assert other[1:] == trained[0][1:]


def test_accumulated_batches_equal_one_large_batch():
    x, y = rows(num=47)
    one, many = mlp().double(), mlp().double()
    Trainer(one, MSE(), sgd(one), batch_size=20, shuffle=False, max_epochs=3, precision="fp64").fit((x, y))
    trainer = Trainer(
        many, MSE(), sgd(many), batch_size=5, shuffle=False, max_epochs=3, accumulate_steps=4, precision="fp64"
    )
    result = trainer.fit((x, y))
    assert torch.allclose(parameters(one), parameters(many), rtol=1e-12, atol=0)
    assert result.steps == 9


def test_clipping_and_schedule_equal_torchs():
    x, y = rows()
    model, twin = mlp(), mlp()
    reference = sgd(twin)
    steps = 12
    cosine = [0.05 * (1 + math.cos(math.pi * t / steps)) / 2 for t in range(steps)]
    plain_loop(
        twin, reference, x, y, epochs=3, batch_size=16, order=lambda e: torch.arange(50), clip=0.05,
        schedule=lambda step: cosine[step],
    )  # fmt: skip
    trainer = Trainer(
        model, MSE(), sgd(model), schedule=Cosine(unit="step", warmup_steps=0, total_steps=None, eta_min=0.0),
        batch_size=16, shuffle=False, max_epochs=3, grad_clip_norm=0.05, device="cpu",
    )  # fmt: skip
    result = trainer.fit((x, y))
    assert torch.allclose(parameters(model), parameters(twin), rtol=1e-6)
    assert [row["optim/lr"] for row in result.history] == pytest.approx([cosine[3], cosine[7], cosine[11]])


def test_penalty_adds_its_gradient_and_its_value():
    x, y = rows()
    model, twin = mlp(), mlp()

    def penalized(prediction, target):
        weights = [m.weight for m in twin.modules() if isinstance(m, nn.Linear)]
        return nn.functional.mse_loss(prediction, target) + sum(
            0.01 * w.abs().sum() + 0.02 / 2 * (w * w).sum() for w in weights
        )

    losses = plain_loop(
        twin, sgd(twin), x, y, epochs=1, batch_size=50, order=lambda e: torch.arange(50), loss=penalized
    )
    trainer = Trainer(
        model, MSE(), sgd(model), penalty=Penalty(l1=0.01, l2=0.02), batch_size=50, shuffle=False, max_epochs=1
    )
    result = trainer.fit((x, y))
    assert torch.allclose(parameters(model), parameters(twin), atol=1e-7)
    assert result.history[0]["train/loss"] == pytest.approx(losses[0], rel=1e-6)


def test_train_metrics_are_of_the_outputs_that_were_trained_on():
    x, y = rows()
    model, twin = mlp(), mlp()
    outputs = []
    optimizer = sgd(twin)
    for start in (0, 25):
        prediction = twin(x[start : start + 25])
        outputs.append(prediction.detach())
        optimizer.zero_grad()
        nn.functional.mse_loss(prediction, y[start : start + 25]).backward()
        optimizer.step()
    trainer = Trainer(
        model, MSE(), sgd(model), metrics=[R2(), MAE()], batch_size=25, shuffle=False, max_epochs=1, device="cpu"
    )
    row = trainer.fit((x, y), (x, y)).history[0]
    assert row["train/r2"] == pytest.approx(r2_score(y, torch.cat(outputs)), rel=1e-5)
    assert row["train/mae"] == pytest.approx(float((torch.cat(outputs) - y).abs().mean()), rel=1e-5)
    with torch.no_grad():
        assert row["valid/r2"] == pytest.approx(r2_score(y, twin(x)), rel=1e-5)


def test_validation_loss_with_class_weights_is_exact_over_the_whole_split():
    torch.manual_seed(3)
    x, y = torch.randn(30, 2), torch.randint(3, (30,))
    model = mlp(outputs=3)
    loss = CrossEntropy(label_smoothing=0.1, class_weight=[1.0, 2.0, 5.0])
    trainer = Trainer(model, loss, sgd(model), metrics=[Accuracy()], batch_size=7, max_epochs=1, device="cpu")
    row = trainer.fit((x, y), (x, y)).history[0]
    with torch.no_grad():
        output = model(x)
        weight = torch.tensor([1.0, 2.0, 5.0])
        expected = nn.functional.cross_entropy(output, y, weight, label_smoothing=0.1)
    assert row["valid/loss"] == pytest.approx(float(expected), rel=1e-6)
    assert row["valid/accuracy"] == accuracy_score(y, output.argmax(1))


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("fp64", torch.float64), ("bf16", torch.float32)]
)
def test_precision_decides_the_parameters_dtype_and_still_learns(precision, dtype):
    x, y = rows()
    model = mlp()
    trainer = Trainer(model, MSE(), sgd(model, lr=0.2), precision=precision, max_epochs=30, device="cpu")
    result = trainer.fit((x, y), (x, y))
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert result.history[-1]["valid/loss"] < 0.5 * result.history[0]["train/loss"]


def test_bf16_computes_in_bf16():
    seen = []

    class Spy(nn.Linear):
        def forward(self, x):
            y = super().forward(x)
            seen.append(y.dtype)
            return y

    model = Spy(2, 1)
    Trainer(model, MSE(), sgd(model), precision="bf16", max_epochs=1, device="cpu").fit(rows(), rows())
    assert set(seen) == {torch.bfloat16}


def test_best_parameters_give_the_best_row_again_and_last_ones_stay():
    x, y = rows()
    valid = rows(seed=5)
    model = mlp()
    trainer = Trainer(model, MSE(), sgd(model, lr=0.3), batch_size=5, max_epochs=12, device="cpu", metrics=[RMSE()])
    result = trainer.fit((x, y), valid)
    last = parameters(model)
    assert result.best["epoch"] == min(result.history, key=lambda row: row["valid/loss"])["epoch"] != 12
    assert trainer.evaluate(valid, checkpoint="best")["loss"] == result.best["valid/loss"]
    assert trainer.evaluate(valid)["loss"] == result.final["valid/loss"]
    assert torch.equal(parameters(model), last)


def test_monitor_of_a_metric_that_grows_chooses_the_largest():
    x, y = rows()
    model = mlp()
    trainer = Trainer(
        model, MSE(), sgd(model, lr=0.3), batch_size=5, max_epochs=12, metrics=[R2()], monitor="valid/r2", device="cpu"
    )
    result = trainer.fit((x, y), rows(seed=5))
    assert result.best["valid/r2"] == max(row["valid/r2"] for row in result.history)


def test_early_stopping_ends_the_training_and_says_why():
    x, y = rows()
    model = mlp()
    trainer = Trainer(
        model,
        MSE(),
        sgd(model, lr=0.0),
        max_epochs=50,
        callbacks=[EarlyStopping(patience=3, min_delta=0.0, monitor=None)],
    )
    result = trainer.fit((x, y), (x, y))
    assert (result.status, result.epochs) == ("early_stopped", 4)
    assert "valid/loss" in result.reason


@pytest.mark.parametrize(
    ("keys", "epochs", "steps", "evaluated"),
    [
        ({"max_epochs": 5}, 5, 20, [4, 8, 12, 16, 20]),
        ({"max_epochs": 5, "eval_every": 2}, 5, 20, [8, 16, 20]),
        ({"max_epochs": 5, "max_steps": 6}, 1, 6, [4, 6]),
        ({"max_epochs": 5, "max_steps": 6, "eval_every": 4}, 1, 6, [6]),
        ({"max_epochs": 5, "max_steps": 8}, 2, 8, [4, 8]),
        ({"max_epochs": 5, "dry_run": True}, 0, 2, [2]),
        ({"max_epochs": 2, "accumulate_steps": 3}, 2, 4, [2, 4]),
        ({"max_epochs": 2, "overfit_batches": 2}, 2, 4, [2, 4]),
        ({"max_epochs": 0}, 0, 0, [0]),
    ],
)
def test_length_of_a_training_follows_its_limits(keys, epochs, steps, evaluated):
    x, y = rows()
    model = mlp()
    result = Trainer(model, MSE(), sgd(model), batch_size=16, device="cpu", **keys).fit((x, y), (x, y))
    assert (result.epochs, result.steps) == (epochs, steps)
    assert [row["step"] for row in result.history] == evaluated


def test_no_epochs_evaluates_the_untrained_model_only():
    x, y = rows()
    model, twin = mlp(), mlp()
    result = Trainer(model, MSE(), sgd(model), max_epochs=0, metrics=[MAE()], device="cpu").fit((x, y), (x, y))
    with torch.no_grad():
        expected = float(nn.functional.mse_loss(twin(x), y))
    assert torch.equal(parameters(model), parameters(twin))
    assert result.history[0]["train/loss"] == pytest.approx(expected, rel=1e-6)
    assert result.history[0]["train/mae"] == result.history[0]["valid/mae"]


DIVERGING = {
    "sgd 0.6": lambda p: torch.optim.SGD(p, lr=0.6),
    "sgd 3": lambda p: torch.optim.SGD(p, lr=3.0),
    "sgd 1e6": lambda p: torch.optim.SGD(p, lr=1e6),
    "sgd 1e30": lambda p: torch.optim.SGD(p, lr=1e30),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=1.5, fused=True),
    "adam": lambda p: torch.optim.Adam(p, lr=3e5),
    "rprop": lambda p: torch.optim.Rprop(p, lr=1.0, etas=(0.5, 40.0), step_sizes=(1e-6, 1e30)),
    "lbfgs": lambda p: torch.optim.LBFGS(p, lr=1e12, max_iter=2),
}


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("name", DIVERGING)
def test_divergence_finds_the_step_and_keeps_the_last_finite_parameters(name, dropout):
    make = DIVERGING[name]
    x, y = rows()
    x, y = x * 30, y * 30
    model, twin = mlp(dropout=dropout, activation="relu"), mlp(dropout=dropout, activation="relu")
    keys = {"batch_size": 5, "shuffle": True, "seed": 3, "max_epochs": 20, "device": "cpu"}
    trainer = Trainer(model, MSE(), make(model.parameters()), **keys)
    result = trainer.fit((x, y), (x, y))

    states, losses = [], []

    class Spy(Callback):
        def on_step_end(self, view, step, loss):
            states.append(parameters(view.model))

    class Remember(MSE.__mro__[1]):
        tasks, reads = MSE.tasks, MSE.reads

        def per_sample(self, prediction, target):
            value = MSE().per_sample(prediction, target)
            if torch.is_grad_enabled():
                losses.append(float(value.detach().mean()))
            return value

    start = parameters(twin)
    Trainer(twin, Remember(), make(twin.parameters()), callbacks=[Spy()], **keys).fit((x, y), (x, y))
    bad = [i for i, value in enumerate(losses) if not math.isfinite(value)]
    assert result.status == "diverged"
    # Without a bad training loss it was the update or the validation loss after the last step that overflowed.
    first_bad = bad[0] if bad else len(losses)
    assert result.diverged_at == (first_bad + 1 if bad else len(losses))
    finite = [state for state in [start, *states[:first_bad]] if torch.isfinite(state).all()]
    assert torch.equal(parameters(model), finite[-1])
    assert "optim.lr" in result.reason
    assert all(math.isfinite(row[f"{split}/loss"]) for row in result.history for split in ("train", "valid"))


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_update_that_overflows_is_divergence_at_its_step_and_is_never_kept(epochs, tmp_path):
    x, y = rows(num=64)
    model = nn.Linear(2, 1)
    start = parameters(model)
    trainer = Trainer(
        model, MSE(), sgd(model, lr=3e38), batch_size=64, max_epochs=epochs, device="cpu", folder=tmp_path,
        checkpoint_every=1,
    )  # fmt: skip
    result = trainer.fit((x, y), (x, y))
    assert (result.status, result.diverged_at, result.steps) == ("diverged", 1, 0)
    assert torch.equal(parameters(model), start)
    assert result.best is None
    assert [path.name for path in (tmp_path / "checkpoints").glob("*.safetensors")] == ["0.safetensors"]


def test_large_finite_parameters_are_no_divergence():
    model = nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.fill_(3e38)
        model.bias.fill_(0.0)
    zeros = torch.zeros(4, 2)
    result = Trainer(model, nn.L1Loss(), sgd(model, lr=0.0), max_epochs=2).fit((zeros, zeros[:, :1]))
    assert result.status == "completed"


def test_every_parameter_group_follows_the_schedule():
    x, y = rows()
    model = mlp()
    first, *others = model.parameters()
    optimizer = torch.optim.SGD([{"params": [first], "lr": 0.0}, {"params": others, "lr": 0.1}])
    schedule = Exponential(unit="epoch", warmup_steps=0, gamma=0.5)
    Trainer(model, MSE(), optimizer, schedule=schedule, max_epochs=4).fit((x, y))
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 0.0125]


def test_second_fit_is_refused_with_what_to_do():
    model = mlp()
    trainer = Trainer(model, MSE(), sgd(model), max_epochs=1)
    trainer.fit(rows())
    with pytest.raises(ValueError, match="make a new Trainer"):
        trainer.fit(rows())


def test_overfit_batches_of_a_loader_are_always_its_first_ones():
    x, y = rows()
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True, generator=torch.Generator().manual_seed(3))
    seen = []

    class Spy(nn.Linear):
        def forward(self, inputs):
            if self.training:
                seen.append(inputs.clone())
            return super().forward(inputs)

    model = Spy(2, 1)
    result = Trainer(model, MSE(), sgd(model), overfit_batches=2, max_epochs=3, device="cpu").fit(loader)
    assert result.steps == 6
    assert torch.equal(torch.cat(seen[:2]), torch.cat(seen[2:4]))
    assert torch.equal(torch.cat(seen[:2]), torch.cat(seen[4:]))
    assert any("32 rows" in note for note in result.notes)


def test_divergence_in_a_loader_goes_back_to_the_start_of_the_epoch():
    x, y = rows()
    model = mlp(activation="relu")
    before = parameters(model)
    loader = DataLoader(TensorDataset(x * 1e20, y), batch_size=10)
    result = Trainer(model, MSE(), sgd(model, lr=1.0), max_epochs=3, device="cpu").fit(loader)
    assert result.status == "diverged"
    assert torch.equal(parameters(model), before)


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGINT, "interrupted"),
        (signal.SIGTERM, "interrupted"),
        (signal.SIGUSR1, "preempted"),
        (signal.SIGUSR2, "preempted"),
    ],
)
def test_signal_ends_after_the_step_and_saves(number, status, tmp_path):
    class Send(Callback):
        def on_step_end(self, view, step, loss):
            if step == 6:
                os.kill(os.getpid(), number)

    x, y = rows()
    model = mlp()
    before = signal.getsignal(number)
    trainer = Trainer(model, MSE(), sgd(model), batch_size=16, max_epochs=9, callbacks=[Send()], folder=tmp_path)
    result = trainer.fit((x, y), (x, y))
    assert (result.status, result.steps, result.epochs, result.signal) == (status, 6, 1, number)
    assert (tmp_path / "checkpoints" / "6.safetensors").exists()
    assert signal.getsignal(number) == before


def test_fit_leaves_torchs_global_state_as_it_was():
    x, y = rows()
    model = mlp(dropout=0.5)
    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    threads = torch.get_num_threads()
    Trainer(model, MSE(), sgd(model), threads=threads + 1, deterministic=True, max_epochs=2).fit((x, y), (x, y))
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.rand(3), expected)


def test_training_is_the_same_whatever_watches_it(tmp_path):
    class Draw(Callback):
        def on_evaluation(self, view, epoch, step, metrics):
            torch.rand(5)

    x, y = rows()
    trained = []
    for keys in ({}, {"metrics": [MAE(), R2()]}, {"callbacks": [Draw()]}, {"eval_every": 3}, {"folder": tmp_path}):
        model = mlp(dropout=0.3)
        Trainer(model, MSE(), sgd(model), max_epochs=6, batch_size=8, **keys).fit((x, y), (x, y))
        trained.append(parameters(model))
    for other in trained[1:]:
        assert torch.equal(other, trained[0])


def test_dropout_of_torch_and_of_nnlab_depends_on_the_seed_alone():
    x, y = rows()
    for make in (lambda: mlp(dropout=0.3), lambda: _with_torch_dropout()):
        trained = []
        for seed in (0, 0, 1):
            torch.manual_seed(99 + len(trained))
            model = make()
            model.load_state_dict(make_like(model))
            Trainer(model, MSE(), sgd(model), shuffle=False, max_epochs=3, seed=seed).fit((x, y))
            trained.append(parameters(model))
        assert torch.equal(trained[0], trained[1])
        assert not torch.equal(trained[0], trained[2])


def _with_torch_dropout():
    return nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 1))


def make_like(model):
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(tensor.shape, generator=generator) for name, tensor in model.state_dict().items()}


def test_no_decay_leaves_biases_and_norms_alone():
    model = mlp(norm="layer")
    groups = parameter_groups(model, ["bias", "norm"])
    bare = {id(p) for p in groups[1]["params"]}
    expected = {id(p) for n, p in model.named_parameters() if n.endswith("bias") or "norm" in n}
    assert bare == expected
    assert groups[1]["weight_decay"] == 0
    assert len(groups[0]["params"]) + len(bare) == len(list(model.parameters()))


BAD = [
    ({"batch_size": 0}, "data.batch_size"),
    ({"max_epochs": -1}, "trainer.max_epochs"),
    ({"max_steps": -1}, "trainer.max_steps"),
    ({"eval_every": 0}, "trainer.eval_every"),
    ({"accumulate_steps": 0}, "trainer.accumulate_steps"),
    ({"grad_clip_norm": 0.0}, "trainer.grad_clip_norm"),
    ({"threads": 0}, "trainer.threads"),
    ({"precision": "fp8"}, "trainer.precision"),
    ({"precision": "fp16", "device": "cpu"}, "needs a CUDA device"),
    ({"checkpoint_every": "often"}, "trainer.checkpoint_every"),
    ({"device": "tpu"}, "device: expected"),
    ({"device": "cuda:99"}, "device: 'cuda:99'"),
]


@pytest.mark.parametrize(("keys", "words"), BAD)
def test_bad_value_is_refused_naming_it(keys, words):
    model = mlp()
    with pytest.raises(ValueError, match=words):
        Trainer(model, MSE(), sgd(model), **keys)


def test_unknown_monitor_is_refused_naming_the_metrics():
    model = mlp()
    with pytest.raises(ValueError, match="valid/rmse"):
        Trainer(model, MSE(), sgd(model), metrics=[RMSE()], monitor="valid/accuracy").fit(rows(), rows())


def test_monitor_without_a_validation_split_falls_back_and_says_so():
    model = mlp()
    result = Trainer(model, MSE(), sgd(model), max_epochs=2).fit(rows())
    assert result.monitor == "train/loss"
    assert any("falls back" in note for note in result.notes)


def test_batch_larger_than_the_data_is_noted_and_used():
    model = mlp()
    result = Trainer(model, MSE(), sgd(model), batch_size=1000, max_epochs=2).fit(rows())
    assert result.steps == 2
    assert any("1000" in note and "50" in note for note in result.notes)


def test_batch_norm_with_a_batch_of_one_row_is_refused_before_training():
    model = mlp(norm="batch")
    with pytest.raises(ValueError, match="batch norm cannot normalize"):
        Trainer(model, MSE(), sgd(model), batch_size=7).fit(rows(num=50))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((torch.zeros(3, 2), torch.zeros(4, 1)), "3 rows of inputs but 4 targets"),
        ((torch.zeros(0, 2), torch.zeros(0, 1)), "at least one row"),
        ([1, 2, 3], "expected"),
    ],
)
def test_unfit_data_are_refused(data, words):
    model = mlp()
    with pytest.raises(ValueError, match=words):
        Trainer(model, MSE(), sgd(model)).fit(data)


def shuffled(x, y):
    return DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)


def test_logger_draws_nothing_from_a_shuffling_dataloader(tmp_path):
    losses = []
    for loggers in ([], [TensorBoard()]):
        model = mlp()
        torch.manual_seed(3)
        trainer = Trainer(model, MSE(), sgd(model), loggers=loggers, folder=tmp_path, max_epochs=2, device="cpu")
        losses.append([row["train/loss"] for row in trainer.fit(shuffled(*rows())).history])
    assert losses[0] == losses[1]


def test_untrained_evaluation_of_a_shuffling_dataloader_keeps_rows_and_targets_together():
    x = torch.arange(40.0).unsqueeze(1)
    model = nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(1.0)
        model.bias.zero_()
    result = Trainer(model, MSE(), sgd(model), max_epochs=0, device="cpu").fit(shuffled(x, x + 2))
    assert result.history[0]["train/loss"] == pytest.approx(4.0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_cuda_training_learns_as_on_the_cpu(precision):
    x, y = rows(num=500)
    model = mlp()
    trainer = Trainer(model, MSE(), sgd(model, lr=0.2), device="cuda", precision=precision, max_epochs=30)
    result = trainer.fit((x, y), (x, y))
    assert result.history[-1]["valid/loss"] < 0.2 * result.history[0]["train/loss"]


def test_what_an_optimizer_remembers_from_the_start_goes_where_the_parameters_go():
    """Adagrad makes its sums when it is made; a sum in single precision would round every update."""
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.1, initial_accumulator_value=0.5)
    Trainer(model, MSE(), optimizer, precision="fp64", device="cpu")
    assert {state["sum"].dtype for state in optimizer.state.values()} == {torch.float64}
    assert all(torch.equal(state["sum"], torch.full_like(p, 0.5)) for p, state in optimizer.state.items())

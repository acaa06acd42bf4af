"""The third notebook of the tutorials, replayed: its random numbers, and every loss that it printed.

The data and the initial weights are drawn as the notebook draws them, from ``torch.manual_seed(42)``, and handed to
``nnlab.Trainer``. The notebook ran on a torch whose ``DataLoader`` drew one int64 from the global generator whenever
an iteration began, and then, where it shuffled, ``torch.randperm`` from the same generator. Today's ``RandomSampler``
makes a generator of its own, so the orders are drawn here and given to the loader by a sampler.

Training itself draws nothing, so all draws are made once, without training, and each run is a test of its own.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import repeat

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

from nnlab import Trainer
from nnlab.callback import Callback
from nnlab.loss import MSE
from nnlab.metric import Accuracy
from nnlab.model import MLP

EPOCHS = 1000
#: the notebook counts epochs from 0, and prints every hundredth and the last
PRINTED_EPOCHS = (*range(0, EPOCHS, 100), EPOCHS - 1)
BATCH_SIZE = 1000
#: of the printed losses; the notebook's torch added in another order
TOLERANCE = 1e-5
#: of numbers printed as tensors, with four digits after the point
HALF_A_DIGIT = 5e-5

#: the loss of the last batch of an epoch, before its update
# fmt: off
TRAIN_LOSSES = {
    "scratch": [
        1.3800901174545288, 0.22866958379745483, 0.1459691822528839, 0.09707656502723694, 0.06567448377609253,
        0.0454106368124485, 0.03228699788451195, 0.02371649444103241, 0.018053771927952766, 0.014254206791520119,
        0.011682878248393536,
    ],
    "without activation": [
        1.5926787853240967, 0.08801382035017014, 0.08771540224552155, 0.08771520107984543, 0.08771520107984543,
        0.08771520107984543, 0.08771520107984543, 0.08771519362926483, 0.08771519362926483, 0.08771519362926483,
        0.08771519362926483,
    ],
    "Sequential": [
        0.09116117656230927, 0.07772304862737656, 0.07228375226259232, 0.06723042577505112, 0.06253289431333542,
        0.05816524475812912, 0.054103784263134, 0.05032665655016899, 0.046813737601041794, 0.04354659467935562,
        0.040537431836128235,
    ],
    "Net": [
        0.5430305004119873, 0.0666835829615593, 0.05978963151574135, 0.05438756197690964, 0.049601368606090546,
        0.04527349770069122, 0.04134185612201691, 0.03776630014181137, 0.034514039754867554, 0.031555745750665665,
        0.028890695422887802,
    ],
    "optim": [
        0.15619592368602753, 0.05511590093374252, 0.04935644194483757, 0.045497287064790726, 0.04216627776622772,
        0.03911922872066498, 0.03629707172513008, 0.03367684409022331, 0.031243260949850082, 0.028983399271965027,
        0.02690545655786991,
    ],
    "slices": [
        0.3917778730392456, 0.047100380063056946, 0.027526233345270157, 0.01595677062869072, 0.009315085597336292,
        0.005606395658105612, 0.0035743031185120344, 0.0024663754738867283, 0.0018539407756179571,
        0.0015028283232823014, 0.0012905359035357833,
    ],
    "TensorDataset": [
        0.10118892788887024, 0.021638544276356697, 0.008815986104309559, 0.0038014284800738096, 0.0018760001985356212,
        0.00113735964987427, 0.0008451624307781458, 0.0007190657779574394, 0.0006547732627950609,
        0.0006139452452771366, 0.000582836742978543,
    ],
    "DataLoader": [
        0.10962165892124176, 0.026488548144698143, 0.010075720958411694, 0.004697981756180525, 0.002938089892268181,
        0.0023369460832327604, 0.002102144295349717, 0.001983444672077894, 0.0019027324160560966,
        0.0018357851076871157, 0.0017756690504029393,
    ],
    "validation": [
        0.13967250287532806, 0.041266076266765594, 0.01690182462334633, 0.006995978765189648, 0.0030869573820382357,
        0.0015749171143397689, 0.0009913836838677526, 0.0007597575895488262, 0.0006598331383429468,
        0.0006090560927987099, 0.0005771310534328222,
    ],
    "rings": [
        1.0692033767700195, 0.7870098948478699, 0.5144855380058289, 0.3202561140060425, 0.22362343966960907,
        0.18477129936218262, 0.15685611963272095, 0.14225637912750244, 0.13021738827228546, 0.10743986815214157,
        0.1008223295211792,
    ],
}
#: after an epoch's last update
VALIDATION_LOSSES = {
    "validation": [
        0.14241859316825867, 0.0435674786567688, 0.017931733280420303, 0.00747634656727314, 0.003329621162265539,
        0.0017123932484537363, 0.0010800831951200962, 0.0008243080810643733, 0.0007114642066881061,
        0.0006531901890411973, 0.0006165735539980233,
    ],
    "rings": [
        1.6002000570297241, 1.2232086658477783, 0.7721951007843018, 0.47720080614089966, 0.3464054465293884,
        0.2803383469581604, 0.24029332399368286, 0.21260468661785126, 0.19212421774864197, 0.17630931735038757,
        0.10922089964151382,
    ],
}
#: What the notebook divides the sum of the validation batches' mean losses by. Both sets make batches of 2,000: 4,000
#: rows 2, the rings' 5,000 rows 3. For the rings it divides by the former set's 2 (``len(Validation_Data)``) inside the
#: loop, a slip, and by 3 (``len(Validation_DataLoader)``) after it.
VALIDATION_DIVISORS = {"validation": [2] * 11, "rings": [2] * 10 + [3]}
# fmt: on


@dataclass(frozen=True)
class Run:
    """A training of the notebook's at its start."""

    model: nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]
    lr: float
    batch_size: int
    train: TensorDataset
    valid: TensorDataset | None = None


@dataclass(frozen=True)
class Notebook:
    """What the notebook draws, cell by cell; ``orders_state`` is the generator's when the rings' training begins."""

    line_inputs: Tensor
    line: MLP
    wide_inputs: Tensor
    wide: MLP
    one_update: Run
    runs: dict[str, Run]
    orders_state: Tensor


@pytest.fixture(scope="module")
def notebook() -> Notebook:
    """All random calls in their order."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(42)
        line_inputs = torch.rand(10000, 1)
        line = layers((2 * torch.rand(1, 1) - 1, 2 * torch.rand(1) - 1))
        wide_inputs = 2 * torch.rand(10000, 1) - 1
        wide = layers((2 * torch.rand(1, 100) - 1, 2 * torch.rand(100) - 1), output_activation="relu")
        torch.randn(100, 1), torch.randn(1)  # of the layer after it, whose outputs are only plotted

        parabola = parabola_rows(10000)
        one_update = Run(layers(*uniform_weights()), MSE(), 0.001, 10000, parabola)

        parabola = parabola_rows(10000)  # the same rows for all runs up to the rings
        runs = {
            "scratch": Run(layers(*uniform_weights()), MSE(), 0.001, 10000, parabola),
            "without activation": Run(layers(*uniform_weights(), activation="identity"), MSE(), 0.001, 10000, parabola),
        }
        for name in ("Sequential", "Net", "optim"):
            runs[name] = Run(parabola_net(), nn.MSELoss(), 0.001, 10000, parabola)
        for name in ("slices", "TensorDataset", "DataLoader"):
            runs[name] = Run(parabola_net(), nn.MSELoss(), 0.001, BATCH_SIZE, parabola)
        for _ in range(EPOCHS):
            draw_of_a_loader()
        valid = parabola_rows(4000)
        runs["validation"] = Run(parabola_net(), nn.MSELoss(), 0.001, BATCH_SIZE, parabola, valid)
        for _ in range(EPOCHS + len(PRINTED_EPOCHS)):
            draw_of_a_loader()

        train, valid = rings_rows()
        runs["rings"] = Run(rings_net(), nn.CrossEntropyLoss(), 0.01, BATCH_SIZE, train, valid)
        return Notebook(
            line_inputs, line, wide_inputs, wide, one_update, runs, orders_state=torch.random.get_rng_state()
        )


def uniform_weights() -> list[tuple[Tensor, Tensor]]:
    """Weights and biases of 1-100-1 as the notebook makes them from scratch, all from U(-1, 1)."""
    shapes = [((1, 100), (100,)), ((100, 1), (1,))]
    return [(torch.empty(*w).uniform_(-1, 1), torch.empty(*b).uniform_(-1, 1)) for w, b in shapes]


def layers(*weights: tuple[Tensor, Tensor], activation: str = "relu", output_activation: str = "identity") -> MLP:
    """An MLP of given weights; the notebook computes ``Input @ W + B``, so W is the transpose of a linear layer's."""
    # The MLP's own weights are drawn and overwritten, which must not move the notebook's draws.
    with torch.random.fork_rng(devices=[]):
        model = MLP(
            weights[0][0].shape[0],
            weights[-1][0].shape[1],
            depth=len(weights) - 1,
            width=100,
            widths=None,
            activation=activation,
            output_activation=output_activation,
            dropout=0.0,
            norm="none",
            bias=True,
        )
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for layer, (weight, bias) in zip(linear, weights, strict=True):
            layer.weight.copy_(weight.T)
            layer.bias.copy_(bias)
    return model


def parabola_net() -> nn.Module:
    return nn.Sequential(nn.Linear(1, 100), nn.ReLU(), nn.Linear(100, 1))


def rings_net() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 3))


def parabola_rows(num_rows: int) -> TensorDataset:
    inputs = 2 * torch.rand(num_rows, 1) - 1
    return TensorDataset(inputs, inputs.pow(2))


def rings_rows() -> tuple[TensorDataset, TensorDataset]:
    inputs = 2 * torch.rand(15000, 2, dtype=torch.float) - 1
    target = torch.zeros(15000, dtype=torch.long)
    target[inputs[:, 0].pow(2) + inputs[:, 1].pow(2) >= 1] = 1
    target[inputs[:, 0].pow(2) + inputs[:, 1].pow(2) < 0.25] = 2
    return TensorDataset(inputs[:10000], target[:10000]), TensorDataset(inputs[10000:], target[10000:])


def draw_of_a_loader(generator: torch.Generator | None = None) -> None:
    """What beginning an iteration over a DataLoader takes from the generator."""
    torch.empty((), dtype=torch.int64).random_(generator=generator)


def rings_orders(state: Tensor) -> Iterator[Tensor]:
    """The order of the rings' training rows in each epoch, shape [10000]."""
    generator = torch.Generator()
    generator.set_state(state)
    for epoch in range(EPOCHS):
        draw_of_a_loader(generator)
        yield torch.randperm(10000, generator=generator)
        if epoch in PRINTED_EPOCHS:  # the loader of the validation rows begins as well
            draw_of_a_loader(generator)


class BatchIndices(Sampler[Tensor]):
    """The rows of each batch of an epoch, in the next of the given orders whenever an iteration begins."""

    def __init__(self, orders: Iterator[Tensor], num_rows: int) -> None:
        self.orders = orders
        self.num_rows = num_rows

    def __len__(self) -> int:
        return -(-self.num_rows // BATCH_SIZE)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(next(self.orders).split(BATCH_SIZE))


def loader_of_whole_batches(rows: TensorDataset, orders: Iterator[Tensor]) -> DataLoader:
    """A DataLoader that takes a batch's rows at once; row by row, most of the test's time would go into collation."""
    return DataLoader(rows, batch_size=None, sampler=BatchIndices(orders, len(rows)))


class Printout(Callback):
    """Notes what the notebook prints: the last batch's loss, and the validation loss of each batch of 2,000 rows."""

    def __init__(self, trainer: Trainer, steps_per_epoch: int, valid: TensorDataset | None) -> None:
        self.trainer = trainer
        self.steps_per_epoch = steps_per_epoch
        parts = [] if valid is None else [side.split(2 * BATCH_SIZE) for side in valid.tensors]
        self.valid_batches = list(zip(*parts, strict=True))
        self.train_losses: list[float] = []
        self.valid_losses: list[list[float]] = []

    def on_step_end(self, view, step, loss):
        epoch, rest = divmod(step, self.steps_per_epoch)
        if rest == 0 and epoch - 1 in PRINTED_EPOCHS:
            self.train_losses.append(loss.item())
            self.valid_losses.append([self.trainer.evaluate(batch)["loss"] for batch in self.valid_batches])


def trainer_of(run: Run, epochs: int = EPOCHS) -> Trainer:
    """A Trainer of a copy of the run's model."""
    model = deepcopy(run.model)
    return Trainer(
        model,
        run.loss,
        torch.optim.SGD(model.parameters(), lr=run.lr),
        metrics=[Accuracy()] if isinstance(run.loss, nn.CrossEntropyLoss) else [],
        batch_size=run.batch_size,
        shuffle=False,
        max_epochs=epochs,
        eval_every=EPOCHS,
        device="cpu",
        threads=1,
    )


def fit(trainer: Trainer, run: Run, train) -> Printout:
    """Train on the run's rows, in the form in which ``train`` has them."""
    printout = Printout(trainer, len(run.train) // run.batch_size, run.valid)
    trainer.watch(printout)
    result = trainer.fit(train)
    assert result.status == "completed", result
    return printout


def check_losses(printout: Printout, name: str, num_lines: int = len(PRINTED_EPOCHS)) -> None:
    """Compare with the lines that the notebook printed."""
    assert printout.train_losses == pytest.approx(TRAIN_LOSSES[name][:num_lines], rel=TOLERANCE)
    if name in VALIDATION_LOSSES:
        lines = zip(printout.valid_losses, VALIDATION_DIVISORS[name], strict=False)
        losses = [sum(batches) / divisor for batches, divisor in lines]
        assert losses == pytest.approx(VALIDATION_LOSSES[name][:num_lines], rel=TOLERANCE)


def shown(rows: Tensor) -> Tensor:
    """The first and the last three, which are those that torch prints of many."""
    return torch.cat([rows[:3], rows[-3:]])


def test_replay_of_a_single_neuron_gives_the_printed_outputs(notebook):
    trainer = trainer_of(Run(notebook.line, MSE(), 0.001, 10000, TensorDataset()))
    assert notebook.line.output.weight.item() == pytest.approx(0.5414, abs=HALF_A_DIGIT)
    assert notebook.line.output.bias.item() == pytest.approx(-0.8311, abs=HALF_A_DIGIT)
    inputs = [0.8823, 0.9150, 0.3829, 0.2181, 0.9120, 0.4111]
    assert shown(notebook.line_inputs).flatten().tolist() == pytest.approx(inputs, abs=HALF_A_DIGIT)
    outputs = [-0.3534, -0.3357, -0.6238, -0.7130, -0.3373, -0.6085]
    prediction = trainer.predict(notebook.line_inputs)
    assert shown(prediction).flatten().tolist() == pytest.approx(outputs, abs=HALF_A_DIGIT)


def test_replay_of_a_hundred_hidden_units_gives_the_printed_activations(notebook):
    trainer = trainer_of(Run(notebook.wide, MSE(), 0.001, 10000, TensorDataset()))
    inputs = [-0.6009, -0.5854, 0.5283, 0.7124, 0.3041, -0.7577]
    assert shown(notebook.wide_inputs).flatten().tolist() == pytest.approx(inputs, abs=HALF_A_DIGIT)
    printed = torch.tensor(
        [
            [0.9557, 0, 0.2151, 0, 0.9081, 0],
            [0.9472, 0, 0.2025, 0, 0.9031, 0],
            [0.3358, 0, 0, 0, 0.5417, 0],
            [0.2347, 0, 0, 0, 0.4820, 0],
            [0.4588, 0, 0, 0, 0.6145, 0],
            [1.0418, 0, 0.3420, 0, 0.9590, 0],
        ]
    )
    activations = shown(trainer.predict(notebook.wide_inputs))
    torch.testing.assert_close(shown(activations.T).T, printed, rtol=0, atol=HALF_A_DIGIT)


def test_replay_of_a_single_update_gives_the_loss_before_and_after(notebook):
    run = notebook.one_update
    trainer = trainer_of(run, epochs=1)
    before = trainer.evaluate(run.train)["loss"]
    trainer.fit(run.train)
    after = trainer.evaluate(run.train)["loss"]
    assert [before, after] == pytest.approx([2.9038, 2.7102], abs=HALF_A_DIGIT)


@pytest.mark.parametrize("name", ["scratch", "without activation", "Sequential", "Net", "optim", "slices"])
def test_replay_with_tensors_gives_every_printed_loss(notebook, name):
    run = notebook.runs[name]
    check_losses(fit(trainer_of(run), run, run.train.tensors), name)


@pytest.mark.parametrize("name", ["TensorDataset", "validation"])
def test_replay_with_a_tensor_dataset_gives_every_printed_loss(notebook, name):
    run = notebook.runs[name]
    check_losses(fit(trainer_of(run), run, run.train), name)


def test_replay_with_a_loader_in_order_gives_every_printed_loss(notebook):
    run = notebook.runs["DataLoader"]
    loader = loader_of_whole_batches(run.train, repeat(torch.arange(10000)))
    check_losses(fit(trainer_of(run), run, loader), "DataLoader")


def test_replay_of_the_rings_gives_every_printed_loss_and_both_accuracies(notebook):
    run = notebook.runs["rings"]
    trainer = trainer_of(run)
    check_losses(fit(trainer, run, loader_of_whole_batches(run.train, rings_orders(notebook.orders_state))), "rings")
    accuracies = [trainer.evaluate(rows)["accuracy"] for rows in (run.train, run.valid)]
    assert accuracies == pytest.approx([0.9823, 0.9818], abs=1e-6)


@pytest.mark.parametrize("name", ["DataLoader", "rings"])
def test_replay_with_a_loader_of_single_rows_gives_the_first_printed_line(notebook, name):
    run = notebook.runs[name]
    order = next(rings_orders(notebook.orders_state)).tolist() if name == "rings" else None
    loader = DataLoader(run.train, batch_size=BATCH_SIZE, sampler=order)
    check_losses(fit(trainer_of(run, epochs=1), run, loader), name, num_lines=1)

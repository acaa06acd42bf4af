"""Copies of the parameters over a training, the maps that are made of them, and the film in a run's folder."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from nnlab import Trainer
from nnlab.callback import Callback, Film, FitView
from nnlab.callback.film import stride_of
from nnlab.cli import main
from nnlab.gradient import Autograd, Gradient
from nnlab.loss import MSE
from nnlab.model import MLP
from nnlab.trainer.sinks import Sinks
from together_runs import alone, rows, together


def view_of(model: nn.Module, notes: list[str] | None = None) -> FitView:
    return FitView(model, Sinks(None, [], notes if notes is not None else [], ""), "valid/loss", 9, 9, (), frozenset())


def filmed(every: int, most_frames: int, num_evaluations: int) -> Film:
    """A film of a model whose one weight counts the evaluations."""
    film, model = Film(every, most_frames), nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    film.on_fit_start(view_of(model))
    for number in range(1, num_evaluations + 1):
        nn.init.constant_(model.weight, number)
        film.on_evaluation(view_of(model), number, 10 * number, {})
    return film


#: every, most_frames, evaluations -> the numbers of those that are kept
KEPT = {
    (1, 5, 0): [0],
    (1, 5, 1): [0, 1],
    (1, 5, 4): [0, 1, 2, 3, 4],
    (1, 5, 5): [0, 2, 4, 5],
    (1, 5, 8): [0, 2, 4, 6, 8],
    (1, 5, 9): [0, 4, 8, 9],
    (3, 60, 7): [0, 3, 6, 7],
    (3, 60, 9): [0, 3, 6, 9],
    (3, 3, 20): [0, 12, 20],
    (100, 60, 7): [0, 7],
    (1, 2, 1000): [0, 1000],
    (1, 60, 1000): [*range(0, 1000, 32), 1000],
}


@pytest.mark.parametrize(("case", "expected"), KEPT.items(), ids=map(str, KEPT))
def test_film_keeps_the_start_the_last_and_what_fits_evenly_between(
    case: tuple[int, int, int], expected: list[int]
) -> None:
    film = filmed(*case)
    assert [frame.number for frame in film.frames] == expected
    assert [(frame.epoch, frame.step) for frame in film.frames] == [(number, 10 * number) for number in expected]
    assert [frame.numbers.tolist() for frame in film.frames] == [[number] for number in expected]


def test_film_never_keeps_too_many_and_halves_them_no_earlier_than_it_must() -> None:
    for every in (1, 2, 7):
        for most_frames in (2, 3, 10, 60):
            for num in range(1, 400):
                stride = stride_of(num, every, most_frames)
                assert len({*range(0, num, stride), num}) <= most_frames
                if stride > every:
                    assert len({*range(0, num, stride // 2), num}) > most_frames


class Copies(Callback):
    """Keeps every evaluation's state."""

    def __init__(self) -> None:
        self.states: list[dict[str, Any]] = []

    def on_fit_start(self, view: FitView) -> None:
        self.keep(view)

    def on_evaluation(self, view: FitView, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        self.keep(view)

    def keep(self, view: FitView) -> None:
        self.states.append({name: tensor.clone() for name, tensor in view.model.state_dict().items()})


class KilledError(RuntimeError):
    """What ends a training in the middle."""


class Killer(Gradient):
    """Computes by autograd until it is called once too often."""

    def __init__(self, calls: int) -> None:
        self.calls_left = calls

    def __call__(self, *parts: Any) -> Any:
        if self.calls_left == 0:
            raise KilledError
        self.calls_left -= 1
        return Autograd()(*parts)


def network(
    folder: Path, film: Film, calls: int = 1000, epochs: int = 6, callbacks: tuple[Callback, ...] = ()
) -> Trainer:
    torch.manual_seed(0)
    model = MLP(
        2, 1, depth=1, width=4, widths=None, activation="tanh", output_activation="identity", dropout=0.3, norm="batch",
        bias=True,
    )  # fmt: skip
    folder.mkdir(exist_ok=True)
    return Trainer(
        model, MSE(), torch.optim.Adam(model.parameters(), lr=0.01), gradient=Killer(calls),
        callbacks=[film, *callbacks], batch_size=8, max_epochs=epochs, folder=folder, device="cpu", threads=1,
        checkpoint_every=2,
    )  # fmt: skip


def content_of(film: Film) -> list[tuple[int, int, int, list[float]]]:
    return [(frame.number, frame.epoch, frame.step, frame.numbers.tolist()) for frame in film.frames]


def test_film_copies_are_the_models_parameters_and_running_averages(tmp_path: Path) -> None:
    film, copies = Film(1, 60), Copies()
    data = rows(dtype=torch.float32)
    network(tmp_path, film, callbacks=(copies,)).fit(data, data)
    assert [(frame.epoch, frame.step) for frame in film.frames] == [(epoch, 3 * epoch) for epoch in range(7)]
    for frame, state in zip(film.frames, copies.states, strict=True):
        floating = [tensor for tensor in state.values() if tensor.is_floating_point()]
        assert frame.numbers.tolist() == [number for tensor in floating for number in tensor.ravel().tolist()]
    assert "norm1.running_mean" in copies.states[0]


def test_film_of_a_training_of_no_steps_is_the_start_alone(tmp_path: Path) -> None:
    film = Film(1, 60)
    data = rows(dtype=torch.float32)
    network(tmp_path, film, epochs=0).fit(data, data)
    assert [frame.step for frame in film.frames] == [0]


#: 24 rows are 3 steps an epoch
@pytest.mark.parametrize(("calls", "most_frames"), [(1, 60), (7, 60), (9, 4), (16, 4)])
def test_film_resumed_is_the_one_of_an_uninterrupted_training(tmp_path: Path, calls: int, most_frames: int) -> None:
    whole, resumed = Film(1, most_frames), Film(1, most_frames)
    data = rows(dtype=torch.float32)
    network(tmp_path / "whole", whole).fit(data, data)
    with pytest.raises(KilledError):
        network(tmp_path / "killed", Film(1, most_frames), calls).fit(data, data)
    network(tmp_path / "killed", resumed).fit(data, data, resume=True)
    assert content_of(resumed) == content_of(whole)
    assert [frame.number for frame in whole.frames] == ([0, 2, 4, 6] if most_frames == 4 else list(range(7)))


def test_film_extended_is_the_one_of_a_training_that_was_longer_from_the_start(tmp_path: Path) -> None:
    whole, extended = Film(2, 60), Film(2, 60)
    data = rows(dtype=torch.float32)
    network(tmp_path / "whole", whole, epochs=5).fit(data, data)
    network(tmp_path / "short", Film(2, 60), epochs=3).fit(data, data)
    network(tmp_path / "short", extended, epochs=5).fit(data, data, resume=True)
    assert [frame.number for frame in whole.frames] == [0, 2, 4, 5]
    assert content_of(extended) == content_of(whole)


def test_film_of_members_of_a_stack_are_those_that_each_has_alone() -> None:
    specs = [{"seed": seed, "model": {"norm": "batch"}, "make_callbacks": lambda: [Film(1, 60)]} for seed in (0, 1)]
    data = rows()
    expected, found = alone(specs, data, data), together(specs, data, data)
    for ours, theirs in zip(found, expected, strict=True):
        own, other = (outcome.trainer.callbacks[0].state_dict() for outcome in (ours, theirs))
        assert own["moments"] == other["moments"] == [[0, 0, 0], [1, 1, 2], [2, 2, 4], [3, 3, 6]]
        np.testing.assert_allclose(own["numbers"].numpy(), other["numbers"].numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("every", "most_frames", "said"),
    [
        (0, 60, "callback.film.every: expected at least 1 evaluation, found 0"),
        (1, 1, "callback.film.most_frames: expected from 2 to 300, found 1"),
        (1, 301, "callback.film.most_frames: expected from 2 to 300, found 301"),
    ],
)
def test_film_numbers_out_of_range_are_refused_by_their_key(every: int, most_frames: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Film(every, most_frames)


@pytest.mark.parametrize(
    ("width", "most_frames", "way"),
    [
        (400_001, 50, "choose callback.film.most_frames=49, or leave the film out"),
        (100_001, 200, "choose callback.film.most_frames=199, or leave the film out"),
        (10_000_001, 2, "20,000,000; leave the film out"),
    ],
)
def test_film_too_large_is_refused_with_what_would_fit(width: int, most_frames: int, way: str) -> None:
    model = nn.Linear(width, 1, bias=False, device="meta")
    with pytest.raises(ValueError, match=r"callback.film: .* a film may have 20,000,000") as caught:
        Film(1, most_frames).on_fit_start(view_of(model))
    assert way in str(caught.value)


@pytest.mark.parametrize(
    "state",
    [
        {"num_evaluations": 1, "moments": [[0, 0, 0]], "numbers": torch.zeros(1, 5)},
        {"num_evaluations": 1, "moments": [[0, 0, 0]], "numbers": torch.zeros(2, 1)},
        {"num_evaluations": 1, "moments": [[0, 0, "x"]], "numbers": torch.zeros(1, 1)},
    ],
)
def test_film_state_of_another_model_is_not_taken_over(state: dict[str, Any]) -> None:
    film = Film(1, 60)
    film.on_fit_start(view_of(nn.Linear(1, 1, bias=False)))
    with pytest.raises(ValueError, match=r"expected copies of shape|invalid literal"):
        film.load_state_dict(state)
    assert [frame.number for frame in film.frames] == [0]


# in a run's folder


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


WORDS = ["model.widths=[6]", "optim.lr=0.1", "trainer.threads=1", "logger=[]"]
#: else the best parameters are the last ones, and nobody could tell which are drawn
EARLY_BEST = ["data.num_train=60", "trainer.max_epochs=12", "trainer.monitor=valid/accuracy"]


def train(folder: str, *words: str) -> Path:
    assert main(["train", *WORDS, *words, f"hydra.run.dir={folder}"]) == 0
    return Path(folder)


def arrays(folder: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(folder / "arrays" / f"{name}.npz") as file:
        return dict(file)


def logits(folder: Path, which: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What a checkpoint's network gives on the grid, in float64."""
    step = json.loads((folder / "checkpoints" / f"{which}.json").read_text())["step"]
    model = {name: t.double().numpy() for name, t in load_file(folder / "checkpoints" / f"{step}.safetensors").items()}
    first, second = np.meshgrid(x.astype(float), y.astype(float))
    points = np.stack([first, second], axis=-1)
    hidden = np.maximum(points @ model["model.linear1.weight"].T + model["model.linear1.bias"], 0)
    return np.asarray(hidden @ model["model.output.weight"].T + model["model.output.bias"])


def test_film_maps_are_those_of_the_parameters_at_each_moment(work: Path) -> None:
    words = ["data=moons", "data.standardize=false", "figures=[]"]
    folder = train("run", *words, *EARLY_BEST, "callback=[film]")
    film, grid = arrays(folder, "film"), arrays(folder, "grid")
    assert film["epoch"].tolist() == list(range(13))
    best = json.loads((folder / "result.json").read_text())["best"]["epoch"]
    assert 0 < best < 12
    before = train("before", *words, "trainer.max_epochs=0")
    for index, of, which in ((12, folder, "last"), (best, folder, "best"), (0, before, "last")):
        positive = 1 / (1 + np.exp(-logits(of, which, film["x"], film["y"])[..., 0]))
        np.testing.assert_allclose(film["confidence"][index], np.maximum(positive, 1 - positive), atol=1e-5)
        sure = abs(positive - 0.5) > 1e-5
        np.testing.assert_array_equal(film["codes"][index][sure], (positive > 0.5)[sure])
    np.testing.assert_array_equal(film["codes"][best], grid["codes"])
    np.testing.assert_array_equal(film["confidence"][best], grid["confidence"])
    assert not np.array_equal(film["confidence"][best], film["confidence"][0])


def test_film_changes_nothing_else_of_a_run(work: Path) -> None:
    words = ["data=moons", *EARLY_BEST, "name=same", "figures=[]"]
    plain, filmed_run = train("plain", *words), train("filmed", *words, "callback=[film]")
    results = [json.loads((folder / "result.json").read_text()) for folder in (plain, filmed_run)]
    assert results[0]["best"]["epoch"] < 12
    for result in results:
        del result["final"]["time_s"]
    for key in ("final", "test", "steps"):
        assert results[0][key] == results[1][key]
    for name in ("grid", "confusion", "weights", "rows_test"):
        ours, theirs = arrays(filmed_run, name), arrays(plain, name)
        assert all(np.array_equal(ours[key], theirs[key]) for key in theirs)
    assert main(["verify", "filmed"]) == 0


CASES = {"moons": ("decision_film.gif", 10), "plane": ("value_film.gif", 6)}


@pytest.mark.parametrize("data", CASES)
def test_film_is_drawn_in_the_folder_with_a_picture_for_each_moment(data: str, work: Path) -> None:
    name, num = CASES[data]
    words = [f"data={data}", "callback=[film]", f"callback.film.most_frames={num}", "name=same"]
    first, second = (train(folder, *words, "trainer.max_epochs=9", "figures=[png]") for folder in ("one", "two"))
    content = (first / "figures" / name).read_bytes()
    assert (second / "figures" / name).read_bytes() == content
    assert f"figures/{name}" in json.loads((first / "manifest.json").read_text())["files"]
    with Image.open(io.BytesIO(content)) as film:
        assert (film.format, film.n_frames) == ("GIF", num)
    assert main(["verify", "one"]) == 0


def test_film_of_a_run_without_figures_has_its_arrays_alone(work: Path) -> None:
    folder = train("run", "data=moons", "callback=[film]", "trainer.max_epochs=2", "figures=[]")
    assert (folder / "arrays" / "film.npz").exists()
    assert not (folder / "figures").exists()


def test_film_of_a_training_that_diverged_ends_with_its_last_evaluation(work: Path) -> None:
    words = ["data=plane", "model=linear", "optim=sgd", "optim.lr=0.1", "trainer.max_epochs=200", "callback=[film]"]
    assert main(["train", *words, "trainer.threads=1", "logger=[]", "figures=[png]", "hydra.run.dir=run"]) == 0
    result = json.loads(Path("run/result.json").read_text())
    assert result["status"] == "diverged"
    assert not any("could not" in note for note in result["notes"])
    film = arrays(Path("run"), "film")
    last = Path("run/metrics.csv").read_text().splitlines()[-1].split(",")
    assert (film["epoch"][-1], film["step"][-1]) == (int(last[0]), int(last[1]))
    with Image.open("run/figures/value_film.gif") as gif:
        assert 2 <= gif.n_frames == len(film["epoch"]) <= 60


@pytest.mark.parametrize(("data", "num"), [("iris", 4), ("celsius", 1)])
def test_film_of_data_without_a_plane_is_refused_before_training(
    data: str, num: int, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", f"data={data}", "callback=[film]"]) == 2
    said = capsys.readouterr().err
    assert f"callback.film: expected data with 2 inputs, whose map can be drawn, found {num}; leave the film" in said
    assert not list(work.rglob("metrics.csv"))

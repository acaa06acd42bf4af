"""The figures of a run: which formats they are written in, and what that costs."""

import json
import re
import sys

import matplotlib.image
import pytest
import torch

from nnlab import Trainer
from nnlab.callback import Callback
from nnlab.cli import main
from nnlab.logger.base import Logger

WORDS = ["data=x_squared", "data.num_train=500", "trainer.max_epochs=2", "trainer.threads=1", "logger=[]"]
DRAWN = {"learning_curves", "fitted_curve", "predicted_vs_true", "weights"}
NONE = "no figures are drawn: figures=[]"


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(folder, *words):
    assert main(["train", *WORDS, *words, f"hydra.run.dir={folder}"]) == 0
    return folder


def files(folder):
    return {path.name for path in (folder / "figures").glob("*")}


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


def named(*endings, stems=DRAWN):
    return {f"{stem}.{ending}" for stem in stems for ending in endings}


@pytest.mark.parametrize("formats", [[], ["svg"], ["svg", "png"]])
def test_figures_are_written_in_the_formats_that_are_asked_for_and_no_other(formats, work, capsys):
    folder = train(work / "run", f"figures=[{','.join(formats)}]")
    assert files(folder) == named(*formats)
    assert (NONE in result_of(folder)["notes"]) == (not formats)
    assert (folder / "train.log").read_text().count(NONE) == (not formats)
    assert ("  figures    " in capsys.readouterr().out) == bool(formats)
    listed = {name for name in json.loads((folder / "manifest.json").read_text())["files"] if "figures/" in name}
    assert listed == {f"figures/{name}" for name in files(folder)}
    assert (folder / "arrays" / "curve.npz").exists()
    assert main(["verify", str(folder)]) == 0


def test_figures_equal_runs_give_equal_bytes(work):
    first, second = (train(work / name, "name=same") for name in ("first", "second"))
    assert files(first) == named("png", "svg")
    for name in files(first):
        assert (first / "figures" / name).read_bytes() == (second / "figures" / name).read_bytes(), name


def test_figures_of_callbacks_have_the_formats_too(work):
    folder = train(work / "run", "callback=[activation_matters]", "figures=[svg]")
    assert files(folder) == named("svg", stems=DRAWN | {"activation_matters"})


class Kept(Logger):
    """Keeps the tags and the pictures."""

    def __init__(self):
        self.pictures = []

    def start(self, run):
        pass

    def scalars(self, step, values, time_s):
        pass

    def media(self, step, tag, item):
        self.pictures.append((tag, item.png[:8]))

    def close(self):
        pass


class Draws(Callback):
    def on_fit_end(self, view, step):
        from matplotlib.figure import Figure

        view.out.figure(step, "mine", Figure())


def fitted(folder, figures):
    logger = Kept()
    x = torch.linspace(-1, 1, 8).unsqueeze(1)
    model = torch.nn.Linear(1, 1)
    trainer = Trainer(
        model, torch.nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.1), max_epochs=1, device="cpu",
        callbacks=[Draws()], loggers=[logger], folder=folder, figures=figures,
    )  # fmt: skip
    return trainer.fit((x, x)), logger


@pytest.mark.parametrize("figures", [(), ("png",), ("svg",), ("png", "svg")])
def test_trainer_loggers_get_pixels_whatever_the_files_are(figures, tmp_path):
    result, logger = fitted(tmp_path, figures)
    assert files(tmp_path) == named(*figures, stems={"mine"})
    assert logger.pictures == ([("figures/mine", b"\x89PNG\r\n\x1a\n")] if figures else [])
    assert (NONE in result.notes) == (not figures)


@pytest.mark.parametrize("figures", ["png", ["gif"], ("png", "png"), None, 5])
def test_trainer_refuses_other_formats_naming_those_there_are(figures, tmp_path):
    with pytest.raises(ValueError, match=re.escape("figures: expected a list of png and svg")):
        fitted(tmp_path, figures)


def test_no_figures_import_no_matplotlib(work, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib" or "nnlab.run_fig" in name]:
        monkeypatch.delitem(sys.modules, name)
    train(work / "run", "figures=[]")
    assert "matplotlib" not in sys.modules


def test_resume_of_a_finished_run_draws_it_in_the_formats_that_are_asked_for_now(work):
    folder = train(work / "run", "figures=[png]", "schedule=one_cycle", "data=moons", "data.num_train=200")
    before = result_of(folder)
    pixels = {path.name: path.read_bytes() for path in (folder / "figures").iterdir()}
    assert main(["resume", str(folder), "figures=[png,svg]"]) == 0
    assert {name.partition(".")[2] for name in files(folder)} == {"png", "svg"}
    assert {path.name: path.read_bytes() for path in (folder / "figures").glob("*.png")} == pixels
    after = result_of(folder)
    assert [after[key] for key in ("status", "steps", "final", "test")] == [
        before[key] for key in ("status", "steps", "final", "test")
    ]
    record = json.loads((folder / "run.json").read_text())
    assert record["config"]["figures"] == ["png", "svg"]
    assert record["history"][-1]["changed"] == {"figures": [["png"], ["png", "svg"]]}
    assert main(["verify", str(folder)]) == 0


def test_resume_in_other_formats_leaves_no_figure_that_is_out_of_date(work):
    folder = train(work / "run")
    assert main(["resume", str(folder), "trainer.max_epochs=4", "figures=[png]"]) == 0
    assert files(folder) == named("png")


def test_resume_refuses_other_formats_and_touches_nothing(work, capsys):
    folder = train(work / "run", "figures=[]")
    before = (folder / "run.json").read_bytes()
    for value in ("png", "[jpg]", "null"):
        assert main(["resume", str(folder), f"figures={value}"]) == 2
        assert f"figures={value}: expected a list of png and svg" in capsys.readouterr().err
    assert (folder / "run.json").read_bytes() == before


def test_resume_of_a_run_from_before_there_was_the_key_draws_both(work):
    folder = train(work / "run", "figures=[]")
    (folder / "manifest.json").unlink()
    record = json.loads((folder / "run.json").read_text())
    del record["config"]["figures"]
    (folder / "run.json").write_text(json.dumps(record))
    assert main(["resume", str(folder), "trainer.max_epochs=3"]) == 0
    assert files(folder) == named("png", "svg")


def test_damaged_formats_in_a_run_folder_are_refused_by_name(work, capsys):
    folder = train(work / "run", "figures=[]")
    (folder / "manifest.json").unlink()
    record = json.loads((folder / "run.json").read_text())
    record["config"]["figures"] = "png"
    (folder / "run.json").write_text(json.dumps(record))
    assert main(["resume", str(folder), "trainer.max_epochs=3"]) == 2
    assert "run.json: config.figures: expected a list of png and svg" in capsys.readouterr().err


#: figures with as many points as there ever are, and maps
LARGE = {"rings": "decision_map", "bumps": "value_map"}


@pytest.mark.parametrize("data", LARGE)
def test_svg_of_many_points_stays_small(data, work):
    words = ["trainer.max_epochs=1", "trainer.threads=1", "logger=[]"]
    assert main(["train", f"data={data}", *words, "hydra.run.dir=run"]) == 0
    sizes = {path.name: path.stat().st_size for path in (work / "run" / "figures").glob("*.svg")}
    assert f"{LARGE[data]}.svg" in sizes
    assert max(sizes.values()) < 500_000
    assert matplotlib.image.imread(work / "run" / "figures" / f"{LARGE[data]}.png").shape[0] > 200

"""`nnlab graph` from command to page, picture and event file."""

import json
import re
import struct
import time
from pathlib import Path

import matplotlib.image
import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.graph_pb2 import GraphDef
from torch import nn
from torch.nn import functional as F

from nnlab.cli import main
from nnlab.config import Library


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def page_of(capsys, *words):
    code = main(["graph", *words])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    return shown.out


def nodes(page):
    """Number, name, output and what it was computed from, of each line of the first table."""
    return [
        (*line[:3], line[3].strip())
        for line in re.findall(r"^ *(\d+)  (\w+) +(scalar|\[[\d, ]+\])  +(.*?)(?:  |$)", page, re.M)
    ]


def folder_of(page):
    return Path(re.search(r"^look +nnlab dashboard (\S+)$", page, re.M)[1])


def test_graph_page_of_a_small_network_has_nodes_leaves_and_the_loss_itself(capsys):
    data = ["data=inline", "data.inputs=[[1.0,2.0],[3.0,4.0],[5.0,7.0]]", "data.targets=[1.0,2.0,4.0]"]
    page = page_of(capsys, *data, "data.batch_size=2", "data.shuffle=false", "model.depth=1", "model.width=5", "seed=3")
    assert nodes(page) == [
        ("1", "MseLossBackward0", "scalar", "2, target"),
        ("2", "AddmmBackward0", "[2, 1]", "output.bias, 3, output.weight.T"),
        ("3", "ReluBackward0", "[2, 5]", "4"),
        ("4", "AddmmBackward0", "[2, 5]", "linear1.bias, inputs, linear1.weight.T"),
    ]
    for line in ("inputs          [2, 2]  constant   4", "linear1.weight  [5, 2]  parameter  4"):
        assert line in page.splitlines()
    assert "not reached by the loss: none" in page
    torch.manual_seed(3)  # a plain script
    model = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 1))
    loss = F.mse_loss(model(torch.tensor([[1.0, 2.0], [3.0, 4.0]])), torch.tensor([[1.0], [2.0]]))
    found = re.search(r"MSE of the first training batch, 2 rows, at the initial weights.*: ([\d.]+)$", page, re.M)
    assert float(found[1]) == pytest.approx(loss.item(), rel=1e-5)


def test_graph_loss_is_the_one_that_the_first_step_of_a_training_has(capsys):
    words = ["data=blobs", "model.dropout=0.5", "model.norm=batch", "loss.l2=0.01", "trainer.threads=1"]
    page = page_of(capsys, *words)
    rows = int(re.search(r"first training batch, (\d+) rows", page)[1])
    # One epoch of one step: its train/loss is that step's, before the update.
    assert main(["train", *words, "trainer.max_epochs=1", "trainer.max_steps=1", "logger=[]"]) == 0
    (run,) = [path.parent for path in Path("outputs").rglob("metrics.csv")]
    header, first = ((run / "metrics.csv").read_text().splitlines())[:2]
    loss = float(dict(zip(header.split(","), first.split(","), strict=True))["train/loss"])
    shown = float(re.search(r"BCE and penalties of the first .*: ([\d.]+)$", page, re.M)[1])
    assert rows == json.loads((run / "run.json").read_text())["config"]["data"]["batch_size"]
    assert shown == pytest.approx(loss, rel=1e-5)


def test_graph_writes_a_picture_and_an_event_file_and_nothing_else(capsys, tmp_path):
    before = time.strftime("%Y-%m-%d")
    page = page_of(capsys, "data=iris", "name=mine")
    folder = folder_of(page)
    assert folder.parent == Path("outputs/mine/graph")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", folder.name)
    assert folder.name >= before
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert re.fullmatch(r"events\.out\.tfevents\.\S+ figures/graph\.png", " ".join(files))
    assert [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(tmp_path / folder)] == []
    assert f"picture    {folder}/figures/graph.png" in page.splitlines()
    picture = matplotlib.image.imread(folder / "figures/graph.png")
    assert picture.shape[0] > 500
    assert picture.std() > 0.05
    (content,) = [event.graph_def for event in EventFileLoader(str(folder / files[0])).Load() if event.graph_def]
    graph = {node.name: node for node in GraphDef.FromString(content).node}
    assert len([name for name in graph if name.endswith("Backward0")]) == len(nodes(page)) > 3
    assert graph["linear1.weight"].op == "Parameter"


def test_graph_parts_that_the_loss_does_not_reach_are_named(capsys, tmp_path, monkeypatch):
    (tmp_path / "halfnet.py").write_text(
        "from torch import nn\n"
        "class Half(nn.Module):\n"
        "    def __init__(self, num_inputs, num_outputs):\n"
        "        super().__init__()\n"
        "        self.used, self.spare = nn.Linear(num_inputs, num_outputs), nn.Linear(3, 4)\n"
        "    def forward(self, x):\n"
        "        return self.used(x)\n"
    )
    (tmp_path / "own/model").mkdir(parents=True)
    (tmp_path / "own/model/half.yaml").write_text("# half of it unused\n_target_: halfnet.Half\n")
    monkeypatch.syspath_prepend(tmp_path)
    page = page_of(capsys, "data=iris", "model=half", "plugins=[halfnet]", "--config-dir", "own")
    assert "not reached by the loss: spare.weight [4, 3], spare.bias [4]" in page
    assert "gets no gradient" in page
    assert [node[1] for node in nodes(page)] == ["NllLossBackward0", "LogSoftmaxBackward0", "AddmmBackward0"]


@pytest.mark.parametrize("gradient", Library().options("gradient"))
def test_graph_any_way_to_compute_gradients_shows_autograds_graph(gradient, capsys):
    # Too wide for finite differences, which refuses more than 100,000 parameters.
    shown = [
        nodes(page_of(capsys, "data=digits", "model.width=400", f"gradient={name}")) for name in ("autograd", gradient)
    ]
    assert shown[0] == shown[1]
    assert len(shown[0]) == 7


def test_graph_with_very_many_nodes_is_shortened_and_says_so(capsys):
    page = page_of(capsys, "data=iris", "model.depth=110", "model.width=2")
    assert len(nodes(page)) == 200
    assert "… and 23 more nodes, further from the loss" in page  # 2 * 110 + 1 layers, log-softmax, the loss
    assert "Drawn are the 100 nodes nearest to the loss, of 223." in page
    # 100 layers feed the first 200 nodes: weight and bias each, and the target; 2 * 11 and the inputs remain.
    leaves = re.findall(r"^\S+ +\[.*\]  +(?:parameter|constant) ", page, re.M)
    more = int(re.search(r"… and (\d+) more leaves", page)[1])
    assert len(leaves) + more == 2 * 111 + 2
    height = struct.unpack(">I", (folder_of(page) / "figures/graph.png").read_bytes()[20:24])[0]
    assert height < 10_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data=ring", "model.dept=2"], r"2 problems\n.*did you mean rings\?\n.*did you mean depth\?"),
        (["model.width=0"], r"model\.width"),
        (["data=circle", "loss=cross_entropy"], r"cross_entropy"),
        (["gradient=autograph"], r"gradient has no option 'autograph'"),
        (
            ["model.norm=batch", "data.batch_size=1"],
            r"first training batch, inputs \[1, 2\] and target \[1\], has no loss",
        ),
        (["--multirun"], r"--multirun"),
    ],
    ids=["several", "value", "unfit pair", "gradient", "one row", "flag"],
)
def test_graph_of_a_wrong_command_is_refused_and_writes_nothing(words, message, capsys, tmp_path):
    assert main(["graph", *words]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_graph_leaves_torchs_random_numbers_and_settings_alone(capsys):
    torch.manual_seed(5)
    before = torch.get_rng_state(), torch.get_num_threads()
    page_of(capsys, "data=iris", "model.dropout=0.5")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]

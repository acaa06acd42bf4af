"""Commands that are right, in Hydra's whole grammar: each composes to what it says, and can be built."""

import json
from pathlib import Path

import pytest

from nnlab.arguments import split_arguments
from nnlab.build import build
from nnlab.cli import main
from nnlab.command import resolved_config

LEAKY = {"_target_": "torch.nn.LeakyReLU", "negative_slope": 0.2}
#: what is typed -> (key, what the config holds there)
ACCEPTED = [
    ("", "optim._target_", "torch.optim.Adam"),
    ("optim.lr=1", "optim.lr", 1),
    ("++optim.lr=0.5", "optim.lr", 0.5),
    ("+optim.fused=false", "optim.fused", False),
    ("++optim.fused=null", "optim.fused", None),
    ("optim={lr:0.5,eps:1e-5}", "optim.eps", 1e-5),
    ("optim.betas=[0.0,0.5]", "optim.betas", [0.0, 0.5]),
    ("optim.lr=float(1)", "optim.lr", 1.0),
    ("optim.lr=0.1 optim.lr=0.2", "optim.lr", 0.2),
    ("optim=adam optim=sgd", "optim._target_", "torch.optim.SGD"),
    ("optim.lr=${trainer.eval_every}", "optim.lr", 1),
    ("data.seed=${seed} seed=7", "data.seed", 7),
    ("model.width=${model.depth}", "model.width", 2),
    ("name=run_${seed}", "name", "run_0"),
    ("name=a b", "name", "a b"),
    ('name="ünïcode, with signs"', "name", "ünïcode, with signs"),
    ("name=null", "name", None),
    ("figures=[svg]", "figures", ["svg"]),
    ("figures=[]", "figures", []),
    ("trainer.checkpoint_every=50", "trainer.checkpoint_every", 50),
    ("trainer.checkpoint_every=2ep", "trainer.checkpoint_every", "2ep"),
    ("trainer.max_steps=5", "trainer.max_steps", 5),
    ("loss.class_weight=[1,2,3]", "loss.class_weight", [1, 2, 3]),
    ("init.bias=0.5", "init.bias", 0.5),
    ("init.bias=same", "init.bias", "same"),
    ("data=inline model.widths=[2] init.bias=[[1,2],[3]]", "init.bias", [[1, 2], [3]]),
    ("data=inline data.inputs=[1.0,2.0] data.targets=[2.5,3]", "data.inputs", [1.0, 2.0]),
    ("model.widths=[]", "model.widths", []),
    ("model={depth:3}", "model.depth", 3),
    ("experiment=blobs model.widths=null model.depth=1", "model.depth", 1),
    ("model.activation={_target_:torch.nn.LeakyReLU,negative_slope:0.2}", "model.activation", LEAKY),
    (
        "model.activation={_target_:torch.nn.LeakyReLU} +model.activation.negative_slope=0.2",
        "model.activation",
        LEAKY,
    ),
    ("callback=early_stopping callback.early_stopping.patience=3", "callback.early_stopping.patience", 3),
    ("callback=early_stopping callback.early_stopping={patience:3}", "callback.early_stopping.patience", 3),
    ("callback=[early_stopping,histograms] callback.histograms.every=2", "callback.histograms.every", 2),
    ("logger=[] metric=[]", "logger", {}),
    ("metric=[accuracy,f1]", "metric.f1._target_", "nnlab.metric.F1"),
    ("experiment=blobs optim=sgd optim.momentum=0.9", "optim.momentum", 0.9),
    ("experiment=blobs model.widths=[4]", "model.widths", [4]),
    ("~experiment", "data._target_", "nnlab.data.rings"),
    ("hydra.job.name=x hydra/job_logging=none", "seed", 0),
]


@pytest.mark.parametrize(("line", "key", "value"), ACCEPTED)
def test_command_that_is_right_composes_to_what_it_says(line, key, value):
    words = [line] if line.startswith("name=") else line.split()
    config, choices = resolved_config(split_arguments(words))
    build(config, choices, None, "")
    found = config
    for part in key.split("."):
        found = found[part]
    assert found == value
    assert type(found) is type(value)


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dry_run(*words):
    assert main(["train", "trainer.dry_run=true", "data.num_train=200", "logger=[]", *words]) == 0


def test_chosen_folder_with_spaces_and_quotes_is_used(work):
    dry_run("""hydra.run.dir="with space/and 'quotes'/ünï" """.strip())
    assert (work / "with space" / "and 'quotes'" / "ünï" / "result.json").is_file()
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        (["name=run_${seed}", "seed=3"], "run_3"),
        (['name="with, comma"'], "with, comma"),
        (["experiment=x_squared"], "x_squared"),
        (["experiment=x_squared", "name=other"], "other"),
        (["data=moons"], "moons"),
    ],
)
def test_folder_is_called_after_the_name_the_experiment_or_the_data(words, folder, work):
    dry_run(*words)
    (run,) = Path("outputs").glob("*/*")
    assert run.parent.name == folder
    assert json.loads((run / "result.json").read_text())["name"] == folder


def test_sweep_over_groups_and_values_has_every_member(work):
    dry_run("-m", "callback=[],early_stopping", "optim=glob(ada*,exclude=[adade*,*x,*w])", "seed=choice(1,2)")
    results = [json.loads(path.read_text()) for path in Path("outputs").glob("rings/*/*/result.json")]
    assert [result["status"] for result in results] == ["completed"] * 8


def test_sweep_is_called_after_its_first_member(work):
    dry_run("-m", "name=a,b")
    assert [path.name for path in Path("outputs").iterdir()] == ["a"]

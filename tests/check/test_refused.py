"""Commands that are wrong: one message with every problem, exit code 2, nothing on disk."""

from pathlib import Path

import pytest

from nnlab.cli import main

#: what is typed -> for each line of the message, words that it has to hold
REFUSED = {
    # groups, options, keys
    "optm=adam": ["optm=adam: there is no group or key 'optm'; did you mean optim?"],
    "optm=adam dat=rings": ["did you mean optim?", "did you mean data?"],
    "optim=adm": ["optim=adm: optim has no option 'adm'; did you mean adam"],
    "init=xyz": ["there are bernoulli, constant, default, kaiming_normal"],
    "optim.lrr=1": ["optim.lrr=1: optim=adam has no key 'lrr'; did you mean lr?"],
    "optim.momentum=0.9": ["optim=adam has no key 'momentum'; it has lr, betas"],
    "optim=sdg optim.momentum=0.9": ["did you mean sgd?"],
    "data=RINGS": ["did you mean rings"],
    "OPTIM=adam": ["did you mean optim?"],
    "sed=1": ["there is no group or key 'sed'; did you mean seed?"],
    "lr=0.1": ["did you mean optim.lr?"],
    "epochs=5 batch_size=3": ["did you mean trainer.max_epochs", "did you mean data.batch_size?"],
    "optimizer.lr=0.1": ["there is no key 'optimizer.lr'; did you mean optim.lr"],
    "foo.bar=1": ["there is no key 'foo.bar'"],
    "foo/bar=1": ["foo/bar"],
    "optim.lr.x=1": ["optim.lr holds one value, not keys"],
    "defaults=[]": ["there is no key 'defaults'"],
    "rings": ["rings: expected key=value; did you mean data=rings or experiment=rings?"],
    "optim = sgd": ["optim: expected key=value, without spaces", "=: expected", "did you mean optim=sgd?"],
    # types
    "optim.lr=abc": ["optim.lr=abc: expected a number, found 'abc'"],
    "optim.lr=": ["expected a number, found ''"],
    'optim.lr="0.1"': ["expected a number, found '0.1'"],
    "optim.lr=null": ["expected a number, found null"],
    "optim.lr=[1]": ["expected a number, found [1]"],
    "optim.lr=true": ["expected a number, found true"],
    "optim={lr:abc}": ["expected a number, found 'abc'"],
    "optim={lrr:1}": ["optim=adam has no key 'lrr'"],
    "optim.betas=0.9": ["expected a list of 2 numbers, found 0.9"],
    "optim.betas=[0.9]": ["expected a list of 2 numbers, found [0.9]"],
    "optim.betas=[a,b]": ["expected a list of 2 numbers, found ['a', 'b']"],
    "model.depth=1.5": ["expected a whole number, found 1.5"],
    "model.depth=null": ["expected a whole number, found null"],
    "model.depth=true": ["expected a whole number, found true"],
    "model.depth={a:1}": ["expected a whole number"],
    "model.bias=null": ["expected true or false, found null"],
    "model.bias=1": ["expected true or false, found 1"],
    "model.widths=5": ["expected a list of whole numbers or null, found 5"],
    "model.widths=[5,a]": ["expected a list of whole numbers or null, found [5, 'a']"],
    "model.activation=5": ["expected a word or a component {_target_: …}, found 5"],
    "model.activation={negative_slope:0.2}": ["expected a word or a component {_target_: …}"],
    "init.bias=null": ["expected a word or a number or a list"],
    "loss.class_weight=1": ["expected a list of numbers or balanced or null, found 1"],
    "data=inline data.task=regresion": ["expected regression or binary or multiclass or null, found 'regresion'"],
    "data=inline data.inputs=abc": ["expected a list of numbers, found 'abc'"],
    "data=inline data.targets=[0,1,null,true]": ["found [0, 1, null, true]"],
    "trainer.dry_run=yes": ["expected true or false, found 'yes'"],
    "trainer.max_epochs=5.5": ["expected a whole number, found 5.5"],
    "trainer.checkpoint_every=1.5": ["expected a word or a whole number, found 1.5"],
    "seed=1.5 device=5 name=7": ["expected a whole number, found 1.5", "expected a word, found 5", "found 7"],
    "plugins=5": ["expected a list of words, found 5"],
    "figures=png": ["figures=png: expected a list of png and svg", "as in 'figures=[png]'", "found 'png'"],
    "figures=[png,jpg]": ["or [] for no figures, found ['png', 'jpg']"],
    "figures=[svg,svg]": ["each at most once", "found ['svg', 'svg']"],
    "figures=null": ["expected a list of png and svg", "found null"],
    "figures=[[png]]": ["found [['png']]"],
    "figures=${name} name=svg": ["figures: expected a list of png and svg", "found 'svg'"],
    # values that only the parts know
    "model.depth=-1": ["model.depth: expected", "found -1"],
    "model.width=0": ["model.width: expected at least 1, found 0"],
    "model.widths=[3,0]": ["model.widths", "0"],
    "model.dropout=1.5": ["model.dropout: expected a probability in [0, 1), found 1.5"],
    "model.norm=btch": ["model.norm: expected one of none, batch, layer, found 'btch'"],
    "model.activation=rlu": ["unknown activation 'rlu'; expected relu"],
    "model.output_activation=softmax": ["unknown activation 'softmax'"],
    "data.batch_size=0": ["data.batch_size: expected at least 1, found 0"],
    "data.batch_size=-5": ["data.batch_size: expected at least 1, found -5"],
    "data.noise=-1": ["data.noise: expected a number >= 0, found -1"],
    "data.num_train=0": ["data.num_train: expected an integer >= 1, found 0"],
    "data.num_train=99999999999999": ["data: ", "memory"],
    "optim.lr=-1": ["Invalid learning rate: -1"],
    "optim.betas=[0.9,1.5]": ["Invalid beta parameter at index 1: 1.5"],
    "+optim.fused=true +optim.foreach=true": ["`fused` and `foreach` cannot be `True` together."],
    "trainer.max_epochs=-1": ["trainer.max_epochs: expected at least 0, found -1"],
    "trainer.eval_every=0": ["trainer.eval_every: expected at least 1, found 0"],
    "trainer.threads=0": ["trainer.threads: expected at least 1, found 0"],
    "trainer.grad_clip_norm=0": ["trainer.grad_clip_norm: expected a number > 0"],
    "trainer.precision=fp31": ["trainer.precision: expected one of fp32, fp64, bf16, fp16, found 'fp31'"],
    "trainer.checkpoint_every=50x": ["trainer.checkpoint_every: expected steps (50), seconds (30s) or epochs (2ep)"],
    "trainer.on_divergence=explode": ["trainer.on_divergence: expected stop or fail, found 'explode'"],
    "init=values": ["init.weights: expected 3 matrices"],
    "init.bias=[[1,2]]": ["init.bias: expected 3 lists, one for each linear layer, found 1"],
    "device=gpu": ["device: expected auto, cpu, cuda or cuda:N, found 'gpu'"],
    "device=cuda:99": ["device: 'cuda:99' was asked for"],
    "seed=-1": ["expected a whole number from 0 to 2^63 - 1, found -1"],
    "seed=99999999999999999999999": ["from 0 to 2^63 - 1"],
    "model.width=-1 trainer.max_epochs=-1 data.noise=-1 optim.lr=-1": [
        "data.noise",
        "model.width",
        "Invalid learning rate: -1",
        "trainer.max_epochs",
    ],
    "optim.lrr=1 model.width=-1": ["did you mean lr?", "model.width"],
    # names are folders
    "name=a/b": ["expected the name of a folder", "'a/b'"],
    "name=../../x": ["expected the name of a folder"],
    "name=": ["expected the name of a folder"],
    "name=.hidden": ["expected the name of a folder"],
    f"name={'x' * 101}": ["expected the name of a folder"],
    # pairs
    "model.widths=[3] model.depth=2": ["model.widths beside model.depth"],
    "model.widths=[3] model.depth=2 model.width=3": ["model.widths beside model.depth and model.width"],
    "experiment=blobs model.depth=1": ["model.depth would change nothing", "[256, 1024]", "add model.widths=null"],
    "loss=mse": ["loss=mse does not fit data=rings: it is for binary and regression, the data are multiclass"],
    "loss=bce data=x_squared": ["loss=bce does not fit data=x_squared", "mse"],
    "loss=huber metric=[r2]": ["metric=r2 does not fit data=rings", "loss=huber does not fit data=rings"],
    "data=blobs loss=bce_probability": ["loss=bce_probability does not fit model.output_activation=identity"],
    "data=blobs model.output_activation=sigmoid": ["does not fit model.output_activation=sigmoid"],
    "data=blobs loss=hinge model.output_activation=relu": ["loss=hinge does not fit model.output_activation=relu"],
    "data=blobs loss=mse model.output_activation=relu": ["loss=mse does not fit model.output_activation=relu and"],
    # forms: +, ++, ~, null, lists, sweeps without -m
    "+optim.lrr=1": ["+optim.lrr=1: torch.optim.Adam takes no 'lrr'; did you mean lr?"],
    "++optim.lrr=1": ["torch.optim.Adam takes no 'lrr'"],
    "+optim.fused=abc": ["expected true or false or null, found 'abc'"],
    "+model.foo=1": ["nnlab.model.MLP takes no 'foo'"],
    "+loss.foo=1": ["nnlab.loss.auto takes no 'foo'"],
    "+callback.foo=1": ["no callback is chosen"],
    "+logger.foo=1": ["logger has no place for 'foo'"],
    "+foo=1": ["there is no group or key 'foo'"],
    "+foo.bar=1": ["there is no key 'foo.bar'"],
    "+model.num_inputs=3": ["model.num_inputs: cannot be set in a config, nnlab sets it"],
    "+optim=adam": ["optim has its place already; write it without the +"],
    "++optim=adam": ["write it without the +"],
    "+experiment=rings": ["write it without the +"],
    "~optim": ["optim cannot be removed; choose another with optim=…"],
    "~loss": ["loss cannot be removed"],
    "~logger": ["logger cannot be removed; logger=[] chooses none"],
    "~optim.lr": ["optim.lr cannot be removed; set a value"],
    "~seed": ["seed cannot be removed"],
    "optim=null": ["expected an option, found null; `nnlab list optim` shows them"],
    "callback=null": ["callback=[] chooses none"],
    "optim=[adam,sgd]": ["optim takes one option, not a list"],
    "data=[rings]": ["data takes one option, not a list"],
    "experiment=[rings,blobs]": ["experiment takes one option"],
    "optim=sgd,adam": ["several values make a sweep; add -m"],
    "seed=1,2": ["several values make a sweep; add -m"],
    "seed=range(3)": ["several values make a sweep; add -m"],
    "optim=glob(ad*)": ["several values make a sweep; add -m"],
    "+data@foo=rings": ["foo: there is no such key"],
    # list groups
    "callback.early_stopping.patience=3": ["no callback is chosen", "add callback=early_stopping"],
    "callback=early_stoping": ["did you mean early_stopping?"],
    "callback=[early_stopping,histogrms]": ["callback has no option 'histogrms'; did you mean histograms?"],
    "callback=early_stopping callback.early_stoping.patience=3": ["did you mean early_stopping?"],
    "callback=early_stopping callback.early_stopping.patienc=3": ["did you mean patience?"],
    "callback=early_stopping callback.early_stopping={patienc:3}": ["did you mean patience?"],
    "callback=early_stopping callback.histograms.every=3": ["callback=early_stopping has no key 'histograms'"],
    # experiments
    "experiment=blob": ["did you mean blobs?"],
    "experiment.lr=1": ["an experiment has no keys of its own"],
    "experiment=blobs optim.momentum=0.9": ["optim=adam has no key 'momentum'"],
    "experiment=blobs loss.class_weight=[1,2]": ["loss=bce_probability has no key 'class_weight'; it has l1, l2"],
    # interpolations
    "optim.lr=${sed}": ["optim.lr: Interpolation key 'sed' not found"],
    "optim.lr=${oc.env:NO_SUCH_NAME_HERE}": ["'NO_SUCH_NAME_HERE' not found"],
    "optim.lr=${device}": ["optim.lr=${device}: expected a number, found 'auto'"],
    "model.width=${optim.lr}": ["expected a whole number, found 0.001"],
    # what cannot be read
    "optim.lr==": ["optim.lr==: cannot be read"],
    "optim.lr=[1,2": ["cannot be read"],
    "optim.lr=${": ["cannot be read"],
    "name=ünïcode": ["cannot be read", "'name=\"ünïcode\"'"],
    "=3": ["=3: expected key=value"],
    # Hydra's own
    "hydra.run.dr=x": ["hydra.run.dr: Key 'dr' not in"],
    "hydra=x": ["Could not override 'hydra'"],
    "hydra/launcher=nope": ["Could not find 'hydra/launcher/nope'"],
    "hydra.mode=MULTIRUN": ["a sweep is asked for with -m"],
    "hydra.searchpath=[file:///tmp]": ["--config-dir DIR"],
}

#: sweeps
REFUSED_SWEEPS = {
    "optim.lr=abc,0.1": ["expected a number, found 'abc'"],
    "optim=sgd,adm": ["optim has no option 'adm'"],
    "optim=sgd,adam optim.momentum=0.9": ["optim=adam has no key 'momentum'"],
    "callback=early_stopping,histograms callback.early_stopping.patience=1,2": ["callback=histograms has no key"],
    "seed=1,x": ["expected a whole number, found 'x'"],
    "seed=range(1,a)": ["cannot be read"],
    "optim.lr=interval(0,1)": ["an interval is for a search"],
    "plugins=[math],[json]": ["packages are granted to the whole sweep"],
    "model.widths=[3],[4] model.depth=1": ["model.widths beside model.depth"],
    "hydra.sweep.dr=x": ["hydra.sweep.dr: Key 'dr' not in"],
}

#: what only the first look at data, loss and model together tells
REFUSED_AT_START = {
    "trainer.monitor=valid/los": "trainer.monitor: expected one of train/loss, train/accuracy, valid/loss",
    "model.norm=batch data.batch_size=1": "data.batch_size: 1 leaves a batch of a single one",
}


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words_of(line):
    return line.split(" ") if " = " not in line else line.split()


def assert_refused(words, expected, capsys):
    assert main(["train", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.strip().splitlines()
    assert lines[0].startswith("nnlab train: ")
    if len(lines) > 1:
        assert lines.pop(0) == f"nnlab train: {len(lines)} problems"
    for words in expected:
        assert any(words in line for line in lines), printed.err
    assert not [line for line in lines if not any(words in line for words in expected)], printed.err
    assert [path for path in Path().rglob("*") if path != Path("outputs")] == []


@pytest.mark.parametrize("line", REFUSED)
def test_command_that_is_wrong_is_refused_with_every_problem_and_leaves_nothing(line, work, capsys):
    assert_refused(words_of(line), REFUSED[line], capsys)


@pytest.mark.parametrize("line", REFUSED_SWEEPS)
def test_sweep_that_is_wrong_is_refused_before_any_member_and_leaves_nothing(line, work, capsys):
    assert_refused(["-m", *line.split(" ")], REFUSED_SWEEPS[line], capsys)


@pytest.mark.parametrize("line", REFUSED_AT_START)
def test_parts_that_do_not_go_together_are_refused_and_leave_nothing(line, work, capsys):
    assert main(["train", *line.split(" ")]) == 2
    assert REFUSED_AT_START[line] in capsys.readouterr().err.splitlines()[-1]
    assert [path for path in Path().rglob("*") if path != Path("outputs")] == []

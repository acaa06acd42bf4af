"""Targets: what a dotted path may name, checked on the object and not on the path."""

import inspect
import sys
import types

import pytest
import torch

from nnlab.allowed import ACTIVATION, ALLOWED, TORCH_LOSS
from nnlab.config import ConfigError, Library
from nnlab.target import Allowed, call, check_target, parameters_of

ALLOWED_TARGETS = [
    ("optim", "torch.optim.Adam"),
    ("optim", "torch.optim.adam.Adam"),
    ("optim", "torch.optim.LBFGS"),
    ("model", "nnlab.model.MLP"),
    ("model", "nnlab.model.linear"),
    ("model", "torch.nn.Linear"),
    ("data", "nnlab.data.rings"),
    ("data", "nnlab.data.synthetic.rings"),
    ("loss", "nnlab.loss.Huber"),
    ("loss", "nnlab.loss.auto"),
    ("metric", "nnlab.metric.F1"),
    ("metric", "nnlab.metric.auto"),
    ("init", "nnlab.init.normal"),
    ("schedule", "nnlab.schedule.Cosine"),
    ("gradient", "nnlab.gradient.Autograd"),
    ("trainer", "nnlab.trainer.Trainer"),
    ("callback", "nnlab.callback.EarlyStopping"),
    ("logger", "nnlab.logger.TensorBoard"),
]


@pytest.mark.parametrize(("group", "path"), ALLOWED_TARGETS)
def test_target_that_its_group_allows_is_found(group, path):
    target = check_target(path, ALLOWED[group], group, [])
    assert target.__name__ == path.rpartition(".")[2]


OUTSIDE = "expected a target in"
#: each is refused in every group
NOWHERE = {
    "os.system": OUTSIDE,
    "posix.system": OUTSIDE,
    "builtins.open": OUTSIDE,
    "builtins.eval": OUTSIDE,
    "subprocess.Popen": OUTSIDE,
    "logging.os.system": OUTSIDE,
    "shutil.rmtree": OUTSIDE,
    "setuptools._distutils.spawn.spawn": OUTSIDE,
    "torch.load": OUTSIDE,
    "torch.hub.load": OUTSIDE,
    "torch.hub.load_state_dict_from_url": OUTSIDE,
    "torch.utils.cpp_extension.load": OUTSIDE,
    "nnlab.folder.write_atomic": OUTSIDE,
    "nnlab.cli.main": OUTSIDE,
    "nnlab.cli.os.system": OUTSIDE,
    "nnlab": OUTSIDE,
    "torch": OUTSIDE,
    "rings": OUTSIDE,
    "": OUTSIDE,
    None: OUTSIDE,
    5: OUTSIDE,
}


@pytest.mark.parametrize("group", ALLOWED)
def test_target_outside_the_table_is_refused_in_every_group(group):
    for path, words in NOWHERE.items():
        with pytest.raises(ConfigError, match=f"{group}._target_: {words}.*plugins="):
            check_target(path, ALLOWED[group], group, [])


#: inside an allowed module, but not what it seems, or not what the group wants
INSIDE = [
    ("model", "torch.nn.modules.module.torch.load", "is really torch.serialization.load"),
    ("model", "torch.nn.modules.module.torch.hub.load", "is really torch.hub.load"),
    ("model", "torch.nn.parallel.distributed.logging.os.system", "which is a builtin_function_or_method"),
    ("model", "torch.nn.modules.linear.torch", "which is a module"),
    ("model", "torch.nn.functional.relu", "expected a subclass of torch.nn.Module"),
    ("model", "torch.nn.init.normal_", "expected a subclass of torch.nn.Module"),
    ("model", "torch.nn.Module", "expected a subclass of torch.nn.Module"),
    ("model", "torch.nn.Parameter", "expected a subclass of torch.nn.Module"),
    ("model", "nnlab.model.activation.ACTIVATIONS", "which is a dict"),
    ("model", "nnlab.model.mlp.Path", "has no 'Path'"),
    ("optim", "torch.optim.Optimizer", "expected a subclass of torch.optim.Optimizer"),
    ("optim", "torch.optim.sgd.sgd", "expected a subclass of torch.optim.Optimizer"),
    ("optim", "torch.optim.lr_scheduler.StepLR", "expected a subclass"),
    ("optim", "torch.optim.swa_utils.AveragedModel", "expected a subclass"),
    ("optim", "torch.optim.Adm", "torch.optim has no 'Adm'; did you mean Adam"),
    ("optim", "torch.optim.nonsense.Adam", "torch.optim has no 'nonsense'"),
    ("optim", "nnlab.optim.groups.parameter_groups", "expected a subclass"),
    ("optim", "torch.optim", "expected a target in"),
    ("data", "nnlab.data.Dataset", "expected a subclass of nnlab.data.dataset.Dataset or a public function"),
    ("data", "nnlab.data.preprocessing.Preprocessing", "expected a subclass"),
    ("data", "nnlab.data._hidden", "public names"),
    ("data", "nnlab.data.__init__.rings", "public names"),
    ("data", "nnlab.data.rings.__globals__", "public names"),
    ("data", "nnlab.data.rings.__call__", "public names"),
    ("data", "nnlab.data..rings", "public names"),
    ("data", "nnlab.data.rings()", "public names"),
    ("data", "nnlab.data.import os", "public names"),
    ("init", "nnlab.init.layers.apply", "expected a public function of nnlab.init"),
    ("init", "nnlab.init.layers.functools.partial", "is really functools.partial"),
    ("init", "torch.nn.init.normal_", "expected a target in nnlab.init"),
    ("loss", "nnlab.loss.Loss", "is abstract: it leaves per_sample undefined"),
    ("loss", "nnlab.loss.Penalty", "expected a subclass of nnlab.loss.base.Loss"),
    ("loss", "nnlab.metric.F1", "expected a target in nnlab.loss"),
    ("loss", "torch.nn.MSELoss", "expected a target in nnlab.loss"),  # build has a table of its own for these
    ("metric", "nnlab.metric.Metric", "is abstract"),
    ("schedule", "nnlab.schedule.Schedule", "is abstract"),
    ("callback", "nnlab.callback.Callback", "expected a subclass"),
    ("callback", "nnlab.callback.FitView", "expected a subclass"),
    ("logger", "nnlab.logger.Logger", "is abstract"),
    ("trainer", "nnlab.trainer.checkpoint.json", "which is a module"),
]


@pytest.mark.parametrize(("group", "path", "words"), INSIDE)
def test_target_inside_an_allowed_module_is_judged_by_what_it_is(group, path, words):
    with pytest.raises(ConfigError) as error:
        check_target(path, ALLOWED[group], group, [])
    assert str(error.value).startswith(f"{group}._target_: ")
    assert words in str(error.value)


def test_torch_losses_have_a_table_of_their_own():
    assert check_target("torch.nn.MSELoss", TORCH_LOSS, "loss", []) is torch.nn.MSELoss
    for path in ("torch.nn.Linear", "torch.nn.functional.mse_loss", "torch.nn.modules.loss._Loss"):
        with pytest.raises(ConfigError):
            check_target(path, TORCH_LOSS, "loss", [])


def test_functions_that_a_granted_module_only_borrows_are_refused(monkeypatch):
    module = types.ModuleType("borrower")
    exec("import os\nfrom shutil import rmtree\ndef mine(): ...\ndef _hidden(): ...\n", module.__dict__)
    monkeypatch.setitem(sys.modules, "borrower", module)
    assert check_target("borrower.mine", ALLOWED["data"], "data", ["borrower"]) is module.mine
    for name in ("rmtree", "os.system", "_hidden", "os.path.join"):
        with pytest.raises(ConfigError):
            check_target(f"borrower.{name}", ALLOWED["data"], "data", ["borrower"])
    with pytest.raises(ConfigError):
        check_target("borrower.mine", ALLOWED["data"], "data", [])
    # A name that begins like a granted package is another package.
    with pytest.raises(ConfigError, match="expected a target in"):
        check_target("borrower.mine", ALLOWED["data"], "data", ["borrow"])


def build(node, group="model", **given):
    return call(node, ALLOWED[group], group, [], **given)


MLP = Library().options("model")["mlp"].content | {"depth": 1, "width": 3}
REFUSED_NODES = [
    (MLP | {"_args_": [1]}, "model._args_: cannot be set in a config"),
    (MLP | {"_partial_": True}, "model._partial_: cannot be set in a config"),
    (MLP | {"_convert_": "all"}, "model._convert_: cannot be set in a config"),
    (MLP | {"_recursive_": False}, "model._recursive_: cannot be set in a config"),
    (MLP | {"num_inputs": 3}, "model.num_inputs: cannot be set in a config, nnlab sets it"),
    (MLP | {"wdth": 3}, "model.wdth: nnlab.model.MLP takes no such key; did you mean width"),
    (MLP | {"width": {"_target_": "os.system"}}, "model.width: a _target_ cannot stand here"),
    (MLP | {"widths": [{"_target_": "os.system"}]}, "model.widths.0: a _target_ cannot stand here"),
    (MLP | {"norm": {"deep": [{"_target_": "os.system"}]}}, "model.norm.deep.0: a _target_ cannot stand here"),
    (MLP | {"activation": {"_target_": "os.system", "command": "ls"}}, "model.activation._target_: expected a target"),
    (MLP | {"activation": {"_target_": "torch.nn.LeakyReLU", "slope": 1}}, "model.activation.slope: torch.nn.Leaky"),
    (MLP | {"activation": {"_target_": "torch.nn.ReLU", "_partial_": True}}, "model.activation._partial_: cannot"),
    ({"_target_": "torch.nn.Bilinear", "in1_features": 1}, "model.in2_features: missing; torch.nn.Bilinear needs it"),
    ({"_target_": "nnlab.model.seed_dropout"}, "model.model: missing"),
    ({}, "model._target_: expected a target in"),
]


@pytest.mark.parametrize(("node", "words"), REFUSED_NODES)
def test_node_with_a_key_that_may_not_be_there_is_refused(node, words):
    with pytest.raises(ConfigError) as error:
        build(node, num_inputs=2, num_outputs=1)
    assert any(problem.startswith(words) for problem in error.value.problems)


def test_nested_target_is_built_where_the_table_allows_it():
    node = MLP | {"activation": {"_target_": "torch.nn.LeakyReLU", "negative_slope": 0.3}}
    model = build(node, num_inputs=2, num_outputs=1)
    assert [m.negative_slope for m in model.modules() if isinstance(m, torch.nn.LeakyReLU)] == [0.3]


def test_values_that_only_the_run_knows_are_left_out_where_they_are_not_taken():
    assert build({"_target_": "nnlab.loss.MSE"}, "loss", task="regression") is not None


@pytest.mark.parametrize(
    ("node", "given", "words"),
    [
        ({"_target_": "torch.optim.SGD", "lr": -1}, {"params": [torch.zeros(1)]}, "optim: Invalid learning rate: -1"),
        ({"_target_": "torch.optim.Adam", "betas": [0.9]}, {"params": [torch.zeros(1)]}, "optim: "),
        ({"_target_": "torch.optim.Adam", "fused": True, "foreach": True}, {"params": [torch.zeros(1)]}, "optim: "),
    ],
)
def test_what_a_target_refuses_is_a_config_error(node, given, words):
    with pytest.raises(ConfigError) as error:
        build(node, "optim", **given)
    assert str(error.value).startswith(words)


def test_function_that_gives_something_else_is_refused():
    only_metrics = Allowed("nnlab.metric.base:Metric", (), "nnlab.loss")
    with pytest.raises(ConfigError, match=r"^metric: nnlab\.loss\.auto gave no Metric but CrossEntropy$"):
        call({"_target_": "nnlab.loss.auto"}, only_metrics, "metric", [], task="multiclass")


def test_parameters_of_a_target_have_their_annotations():
    parameters = parameters_of(torch.optim.SGD)
    assert list(parameters) == list(inspect.signature(torch.optim.SGD).parameters)
    assert parameters["nesterov"] is bool
    assert check_target("torch.nn.LeakyReLU", ACTIVATION, "model.activation", []) is torch.nn.LeakyReLU

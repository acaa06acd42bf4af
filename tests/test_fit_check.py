"""Task, loss, output activation and metrics: which go together."""

import itertools

import pytest
import torch

from nnlab.config import ConfigError
from nnlab.fit_check import check_fit, output_code
from nnlab.loss import BCE, L1, MSE, BCEProbability, CrossEntropy, HalfMSE, Hinge, Huber, SmoothL1
from nnlab.metric import MAE, R2, RMSE, Accuracy, LogLoss
from nnlab.model import ACTIVATIONS

CHOICES = {"data": "set", "loss": "it"}
DISTANCES = [MSE(), HalfMSE(), L1(), Huber(delta=1.0), SmoothL1(beta=1.0)]
CROSS_ENTROPY = CrossEntropy(label_smoothing=0.0)
TASKS = ("regression", "binary", "multiclass")
#: for a binary task: which outputs a loss can read
BOUNDED = {"sigmoid", "hardsigmoid"}
TWO_SIDED = {"identity", "tanh", "hardtanh", "softsign"}
READS = {BCE: {"identity"}, BCEProbability: BOUNDED, Hinge: TWO_SIDED}


def fits(task, loss, activation="identity", metrics=()):
    try:
        check_fit(task, loss, metrics, {"output_activation": activation}, CHOICES)
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize("loss", DISTANCES, ids=lambda loss: type(loss).__name__)
def test_distances_fit_regression_with_any_output_and_binary_with_a_bounded_or_two_sided_one(loss):
    for activation in ACTIVATIONS:
        assert fits("regression", loss, activation)
        assert fits("binary", loss, activation) == (activation in BOUNDED | TWO_SIDED)
        assert not fits("multiclass", loss, activation)


@pytest.mark.parametrize("kind", READS)
def test_binary_losses_fit_only_the_outputs_that_they_read(kind):
    for task, activation in itertools.product(TASKS, ACTIVATIONS):
        assert fits(task, kind(), activation) == (task == "binary" and activation in READS[kind])


def test_cross_entropy_fits_several_classes_with_raw_logits():
    for task, activation in itertools.product(TASKS, ACTIVATIONS):
        assert fits(task, CROSS_ENTROPY, activation) == (task == "multiclass" and activation == "identity")


def test_unfit_pair_is_refused_with_both_names_and_what_fits():
    with pytest.raises(ConfigError) as error:
        check_fit("multiclass", MSE(), [R2(), MAE(), Accuracy()], {"output_activation": "relu"}, CHOICES)
    assert error.value.problems == (
        "metric=r2 does not fit data=set: it is for regression, the data are multiclass",
        "metric=mae does not fit data=set: it is for regression, the data are multiclass",
        "loss=it does not fit data=set: it is for binary and regression, the data are multiclass; cross_entropy fits",
    )


def test_sigmoid_beside_a_loss_on_logits_is_told_the_loss_on_probabilities():
    with pytest.raises(ConfigError, match=r"set model.output_activation=identity or choose loss=bce_probability"):
        check_fit("binary", BCE(), [], {"output_activation": "sigmoid"}, CHOICES)


@pytest.mark.parametrize(
    ("metric", "tasks"),
    [(RMSE(), {"regression"}), (R2(), {"regression"}), (Accuracy(), {"binary", "multiclass"}), (LogLoss(), None)],
)
def test_metrics_fit_their_tasks_only(metric, tasks):
    tasks = tasks or {"binary", "multiclass"}
    losses = {"regression": MSE(), "binary": BCE(), "multiclass": CROSS_ENTROPY}
    assert {task for task in TASKS if fits(task, losses[task], metrics=[metric])} == tasks


def test_modules_and_losses_of_torch_are_taken_as_the_user_wants_them():
    assert fits("binary", BCE(), activation={"_target_": "torch.nn.Softplus"})
    assert fits("multiclass", torch.nn.MSELoss())


def test_activation_that_does_not_exist_is_left_to_the_model_to_refuse():
    assert fits("multiclass", CROSS_ENTROPY, activation="softmax")


@pytest.mark.parametrize(
    ("task", "loss", "activation", "code"),
    [
        ("binary", Hinge(), "identity", -1.0),
        ("binary", MSE(), "tanh", -1.0),
        ("binary", MSE(), "identity", -1.0),
        ("binary", MSE(), "sigmoid", 0.0),
        ("binary", BCE(), "identity", 0.0),
        ("binary", BCEProbability(), "sigmoid", 0.0),
        ("regression", MSE(), "tanh", 0.0),
    ],
)
def test_class_0_is_coded_as_the_loss_reads_it(task, loss, activation, code):
    assert output_code(task, loss, {"output_activation": activation}) == code

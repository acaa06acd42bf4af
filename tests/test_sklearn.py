"""nnlab.sklearn: scikit-learn's own checks, and scikit-learn's own MLP as the reference for numbers."""

import copy
import logging
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from sklearn import neural_network
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, make_regression
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import nnlab
from nnlab.model.activation import ACTIVATIONS
from nnlab.sklearn import MLPClassifier, MLPRegressor, StackedGridSearchCV, grid_search
from nnlab.sklearn.row_loss import RowLoss
from nnlab.sklearn.solver import SOLVERS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"hidden_layer_sizes": (8,), "max_iter": 100, "learning_rate_init": 0.02}


@pytest.mark.filterwarnings("ignore")  # the checks warn, and are checked to warn, themselves
@parametrize_with_checks(
    [
        MLPClassifier(**SMALL),
        MLPRegressor(**SMALL),
        MLPRegressor(**SMALL, solver="lbfgs", activation="tanh"),
    ],
)
def test_estimators_pass_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def table(task="multiclass", num_rows=400):
    """Rows of the digits that are no multiple of anything special, standardized."""
    inputs, target = load_digits(return_X_y=True)
    inputs = StandardScaler().fit_transform(inputs)[:num_rows]
    target = target[:num_rows]
    if task == "binary":
        return inputs, target > 4
    if task == "multilabel":
        return inputs, (target[:, None] >> np.arange(3)) & 1
    if task == "regression":
        return inputs, target / 3.0
    return (inputs, np.c_[target / 3.0, target % 3]) if task == "regression of two" else (inputs, target)


def both(task, **parameters):
    """nnlab's estimator and scikit-learn's, with the same parameters, not fitted."""
    common = {"shuffle": False, "random_state": 3, "max_iter": 12, "hidden_layer_sizes": (20,), **parameters}
    if task.startswith("regression"):
        return MLPRegressor(**common), neural_network.MLPRegressor(**common)
    return MLPClassifier(**common), neural_network.MLPClassifier(**common)


#: parameters -> whether weights are equal to rounding, which Adam's are not: torch's epsilon stands elsewhere
SAME = [
    ("multiclass", {}),
    ("multiclass", {"alpha": 2.0}),
    ("multiclass", {"activation": "tanh", "hidden_layer_sizes": (20, 10)}),
    ("multiclass", {"activation": "identity", "hidden_layer_sizes": ()}),
    ("multiclass", {"momentum": 0.0}),
    ("multiclass", {"nesterovs_momentum": False}),
    ("multiclass", {"learning_rate": "invscaling", "learning_rate_init": 0.5, "power_t": 0.3}),
    ("multiclass", {"learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 1, "learning_rate_init": 0.5}),
    ("multiclass", {"batch_size": 40}),
    ("binary", {"activation": "logistic"}),
    ("multilabel", {"batch_size": 40, "alpha": 0.3}),
    ("regression", {}),
    ("regression", {"loss": "poisson"}),
]


@pytest.mark.parametrize(("task", "parameters"), SAME)
@pytest.mark.parametrize("compile", ["auto", "off"])
def test_sgd_has_the_weights_and_losses_of_scikit_learn(task, parameters, compile):
    ours, theirs = both(task, solver="sgd", **parameters)
    inputs, target = table(task)
    ours.set_params(compile=compile).fit(inputs, target)
    theirs.fit(inputs, target)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=0, atol=1e-10)
    for name in ("coefs_", "intercepts_"):
        for our, their in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            np.testing.assert_allclose(our, their, rtol=0, atol=1e-10)
    assert (ours.n_iter_, ours.t_, ours.out_activation_, ours.n_layers_, ours.n_outputs_) == (
        theirs.n_iter_, theirs.t_, theirs.out_activation_, theirs.n_layers_, theirs.n_outputs_,
    )  # fmt: skip
    assert ours.best_loss_ == pytest.approx(theirs.best_loss_, abs=1e-10)
    np.testing.assert_array_equal(ours.predict(inputs), theirs.predict(inputs)) if "regression" not in task else None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("task", ["multiclass", "binary", "multilabel", "regression"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_first_epochs_loss_is_that_of_scikit_learn(task, dtype, solver):
    ours, theirs = both(task, solver=solver, max_iter=1)
    inputs, target = table(task, 1000)
    inputs = inputs.astype(dtype) / 4  # so that scikit-learn's clipping of probabilities to float32 has no part in it
    assert ours.fit(inputs, target).loss_ == pytest.approx(theirs.fit(inputs, target).loss_, abs=1e-5)
    assert ours.coefs_[0].dtype == dtype


def test_adam_stays_close_to_scikit_learn_over_many_epochs():
    ours, theirs = both("binary", solver="adam", max_iter=60)
    inputs, target = table("binary")
    np.testing.assert_allclose(
        ours.fit(inputs, target).loss_curve_, theirs.fit(inputs, target).loss_curve_, rtol=0, atol=1e-4
    )


def test_two_targets_have_the_weights_of_scikit_learn():
    """Its loss is a mean over the targets, its gradient that of a sum; only the penalty's share of the loss differs."""
    ours, theirs = both("regression of two", solver="sgd", learning_rate_init=1e-4, alpha=0.5)
    inputs, target = table("regression of two")
    ours.fit(inputs, target)
    theirs.fit(inputs, target)
    for our, their in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(our, their, rtol=0, atol=1e-12)
    assert ours.predict(inputs).shape == (400, 2)


def test_smaller_last_batch_has_the_penalty_of_a_whole_one():
    """The stated difference: scikit-learn's would be 0.5 alpha |w|² / 50 there."""
    ours, theirs = both("multiclass", solver="sgd", max_iter=1, alpha=1.0, learning_rate_init=1e-12)
    inputs, target = table(num_rows=250)
    ours.fit(inputs, target)
    theirs.fit(inputs, target)
    squares = sum(float((weight**2).sum()) for weight in theirs.coefs_)
    excess = 0.5 * squares * (1 / 50 - 1 / 200) * 50 / 250
    assert theirs.loss_ - ours.loss_ == pytest.approx(excess, rel=1e-6)


@pytest.mark.parametrize("task", ["multiclass", "binary", "regression"])
def test_sample_weight_means_what_it_means_in_scikit_learn(task):
    ours, theirs = both(task, solver="sgd", batch_size=400, alpha=0.7)
    inputs, target = table(task)
    weight = np.arange(400) % 4 + 0.5
    ours.fit(inputs, target, sample_weight=weight)
    theirs.fit(inputs, target, sample_weight=weight)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=0, atol=1e-10)


def test_rows_of_weight_zero_are_left_out():
    inputs, target = table(num_rows=300)
    weight = (np.arange(300) % 3 > 0).astype(float)
    weighted = MLPClassifier(max_iter=3, random_state=0).fit(inputs, target, sample_weight=weight)
    without = MLPClassifier(max_iter=3, random_state=0).fit(inputs[weight > 0], target[weight > 0])
    np.testing.assert_allclose(weighted.loss_curve_, without.loss_curve_, rtol=0, atol=1e-10)


def test_class_weight_is_a_sample_weight():
    inputs, target = table("binary")
    weight = np.where(target, 5.0, 1.0)
    by_class = MLPClassifier(max_iter=3, random_state=0, class_weight={False: 1, True: 5}).fit(inputs, target)
    by_row = MLPClassifier(max_iter=3, random_state=0).fit(inputs, target, sample_weight=weight)
    assert by_class.loss_curve_ == by_row.loss_curve_


@pytest.mark.parametrize("task", ["multiclass", "binary", "regression"])
def test_early_stopping_has_the_scores_and_weights_of_scikit_learn(task):
    settings = {"early_stopping": True, "tol": 1e-2, "n_iter_no_change": 2, "max_iter": 200, "learning_rate_init": 0.05}
    if task == "regression":
        settings["learning_rate_init"] = 0.005
    ours, theirs = both(task, solver="sgd", batch_size=36, **settings)
    inputs, target = table(task)  # 360 rows to train on
    ours.fit(inputs, target)
    theirs.fit(inputs, target)
    assert ours.n_iter_ == theirs.n_iter_ < 200
    np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_, rtol=0, atol=1e-8)
    assert ours.best_validation_score_ == pytest.approx(theirs.best_validation_score_)
    assert ours.best_loss_ is None
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=0, atol=1e-8)


def test_training_that_stands_still_stops_where_scikit_learn_stops():
    ours, theirs = both("multiclass", solver="sgd", tol=1e-2, n_iter_no_change=3, max_iter=300, learning_rate_init=0.1)
    inputs, target = table()
    assert ours.fit(inputs, target).n_iter_ == theirs.fit(inputs, target).n_iter_ < 300


def test_training_that_is_cut_short_warns():
    with pytest.warns(ConvergenceWarning, match="max_iter: 2 epochs"):
        MLPClassifier(max_iter=2).fit(*table())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MLPClassifier(max_iter=50, tol=10.0, n_iter_no_change=2).fit(*table())


def test_lbfgs_finds_a_minimum_as_low_as_scikit_learns():
    ours, theirs = both("binary", solver="lbfgs", max_iter=1000, alpha=1.0, activation="tanh", tol=1e-7)
    inputs, target = table("binary")
    ours.fit(inputs, target)
    theirs.fit(inputs, target)
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=0.05)
    assert 1 < ours.n_iter_ < 1000
    linear = {"hidden_layer_sizes": (), "alpha": 1.0, "solver": "lbfgs", "tol": 1e-8, "max_iter": 500}
    convex = MLPClassifier(**linear).fit(inputs, target)
    assert convex.loss_ == pytest.approx(neural_network.MLPClassifier(**linear).fit(inputs, target).loss_, abs=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_lowers_the_loss(solver):
    inputs, target = table()
    rates = {"sgd": 0.1, "adadelta": 1.0, "adagrad": 0.05, "radam": 0.05}
    settings = {"solver": solver, "learning_rate_init": rates.get(solver, 0.003), "random_state": 0}
    fitted = MLPClassifier(max_iter=10, **settings).fit(inputs, target)
    assert fitted.loss_ < 0.9 * np.log(10)


@pytest.mark.parametrize("activation", [*ACTIVATIONS, "logistic"])
def test_every_activation_trains(activation):
    fitted = MLPClassifier((8,), activation, max_iter=3, random_state=0).fit(*table())
    assert np.isfinite(fitted.loss_curve_).all()
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0]


@pytest.mark.parametrize(("loss", "statistic"), [("squared_error", np.mean), ("absolute_error", np.median)])
@pytest.mark.parametrize("weighted", [False, True])
def test_regression_losses_have_their_own_best_constant(loss, statistic, weighted):
    target = np.array([0.0, 0.0, 1.0, 2.0, 10.0])
    weight = np.ones(5) if weighted else None
    settings = {"loss": loss, "alpha": 0.0, "learning_rate_init": 0.03, "max_iter": 600, "n_iter_no_change": 600}
    fitted = MLPRegressor(hidden_layer_sizes=(), **settings, random_state=0)
    fitted.fit(np.zeros((5, 1)), target, sample_weight=weight)
    assert fitted.predict([[0.0]])[0] == pytest.approx(statistic(target), abs=0.05)


@pytest.mark.parametrize("kind", ["softmax", "logistic", "huber"])
def test_row_loss_of_several_runs_is_each_runs_own(kind):
    torch.manual_seed(0)
    prediction = torch.randn(3, 7, 4)
    target = torch.rand(7, 5)
    if kind == "softmax":
        target = torch.stack([torch.arange(7) % 4, torch.rand(7) + 0.5], dim=1)
    loss = RowLoss(kind)
    torch.testing.assert_close(loss(prediction, target), torch.stack([loss(run, target) for run in prediction]))


def test_warm_start_goes_on_and_a_fresh_fit_begins_anew():
    ours, theirs = both("multiclass", solver="sgd", max_iter=4, warm_start=True)
    inputs, target = table()
    for _ in range(3):
        ours.fit(inputs, target)
        theirs.fit(inputs, target)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=0, atol=1e-10)
    assert (ours.n_iter_, ours.t_, len(ours.loss_curve_)) == (4, theirs.t_, 12)
    assert len(ours.set_params(warm_start=False).fit(inputs, target).loss_curve_) == 4


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_keeps_the_optimizers_memory(solver):
    ours, theirs = both("multiclass", solver=solver)
    inputs, target = table()
    for number in range(6):
        part = slice(200 * (number % 2), 200 * (number % 2) + 200)
        classes = np.unique(target) if number == 0 else None
        ours.partial_fit(inputs[part], target[part], classes=classes)
        theirs.partial_fit(inputs[part], target[part], classes=classes)
        ours = pickle.loads(pickle.dumps(ours))
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=0, atol=1e-5)
    once = neural_network.MLPClassifier(**(theirs.get_params() | {"max_iter": 6})).fit(inputs[:200], target[:200])
    whole, _ = both("multiclass", solver=solver, max_iter=6)
    np.testing.assert_allclose(whole.fit(inputs[:200], target[:200]).loss_curve_, once.loss_curve_, atol=1e-5)


def test_partial_fit_is_refused_where_it_means_nothing():
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    with pytest.raises(ValueError, match="classes: expected all classes"):
        MLPClassifier().partial_fit(*table())
    with pytest.raises(ValueError, match="early_stopping"):
        MLPRegressor(early_stopping=True).partial_fit(*table("regression"))
    fitted = MLPClassifier(max_iter=1).fit(*table("binary"))
    with pytest.raises(ValueError, match="not among those of the first fit"):
        fitted.partial_fit(*table())


def test_class_names_are_kept_and_probabilities_are_in_their_order():
    inputs, target = load_iris(return_X_y=True, as_frame=True)
    names = np.array(["c", "b", "a"])[target]
    fitted = MLPClassifier(solver="lbfgs", random_state=0).fit(inputs, names)
    assert fitted.classes_.tolist() == ["a", "b", "c"]
    assert fitted.feature_names_in_.tolist() == inputs.columns.tolist()
    probability = fitted.predict_proba(inputs)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    np.testing.assert_array_equal(fitted.classes_[probability.argmax(axis=1)], fitted.predict(inputs))
    np.testing.assert_allclose(np.exp(fitted.predict_log_proba(inputs)), probability)
    assert fitted.score(inputs, names) > 0.95


def test_prediction_from_coefs_by_hand_is_the_models():
    inputs, target = table("binary")
    fitted = MLPClassifier((6, 5), "tanh", max_iter=3, random_state=0).fit(inputs, target)
    rows = inputs
    for number, (weight, bias) in enumerate(zip(fitted.coefs_, fitted.intercepts_, strict=True)):
        rows = rows @ weight + bias
        rows = np.tanh(rows) if number < 2 else rows
    np.testing.assert_allclose(fitted.predict_proba(inputs)[:, 1], 1 / (1 + np.exp(-rows[:, 0])), atol=1e-12)
    fitted.intercepts_[-1][:] = 100
    assert fitted.predict(inputs).all()


def test_network_with_norm_and_dropout_trains_and_predicts_the_same_twice():
    inputs, target = table()
    settings = {"norm": "batch", "dropout": 0.3, "max_iter": 30, "random_state": 0, "early_stopping": True}
    settings["learning_rate_init"] = 0.02
    fitted = MLPClassifier((32,), **settings).fit(inputs, target)
    again = MLPClassifier((32,), **settings).fit(inputs, target)
    assert fitted.intercepts_[0] is None
    np.testing.assert_array_equal(fitted.predict_proba(inputs), again.predict_proba(inputs))
    assert fitted.score(inputs, target) > 0.9


def test_estimator_works_in_scikit_learns_tools():
    inputs, target = load_breast_cancer(return_X_y=True, as_frame=True)
    scaler = StandardScaler().set_output(transform="pandas")
    pipeline = make_pipeline(scaler, MLPClassifier((16,), max_iter=30, random_state=0, learning_rate_init=0.01))
    assert cross_val_score(pipeline, inputs, target, cv=3).mean() > 0.9
    search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [1e-4, 1.0]}, cv=2).fit(inputs, target)
    fitted = search.best_estimator_
    assert fitted[-1].feature_names_in_.tolist() == inputs.columns.tolist()
    for other in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        np.testing.assert_array_equal(other.predict_proba(inputs), fitted.predict_proba(inputs))
    fresh = clone(fitted[-1])
    assert fresh.get_params() == fitted[-1].get_params()
    with pytest.raises(NotFittedError):
        fresh.predict(inputs)
    assert not hasattr(fresh, "coefs_")


def test_pickle_is_as_small_as_what_it_holds():
    inputs, target = table()
    fitted = MLPClassifier(max_iter=2).fit(inputs, target)
    numbers = sum(weight.size for weight in fitted.coefs_) * 8
    assert len(pickle.dumps(fitted)) < 3 * numbers + 20_000  # the weights and Adam's two means of their gradients


def test_fit_leaves_nothing_behind(capfd, caplog):
    threads = torch.get_num_threads()
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state().clone(), np.random.get_state()[1].copy(), torch.get_default_dtype()
    with caplog.at_level(logging.WARNING):
        for settings in ({}, {"early_stopping": True}, {"solver": "lbfgs"}, {"dropout": 0.2}):
            MLPClassifier(max_iter=2, random_state=0, **settings).fit(*table())
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()
    assert (torch.get_num_threads(), torch.get_default_dtype()) == (threads, before[2])
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_verbose_prints_a_line_for_each_epoch(capsys):
    MLPClassifier(max_iter=2, verbose=True, early_stopping=True, random_state=0).fit(*table())
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "Iteration 1", lines[1], "Iteration 2", lines[3],
    ]  # fmt: skip
    assert lines[1].startswith("Validation score: ")


@pytest.mark.parametrize("seed", [0, np.random.RandomState(0)])
def test_seed_decides_everything(seed):
    inputs, target = table()
    fits = [MLPClassifier(max_iter=3, random_state=copy.deepcopy(seed)).fit(inputs, target) for _ in range(2)]
    np.testing.assert_array_equal(fits[0].coefs_[0], fits[1].coefs_[0])
    other = MLPClassifier(max_iter=3, random_state=1).fit(inputs, target)
    assert not np.array_equal(other.coefs_[0], fits[0].coefs_[0])


WRONG = [
    ({"hidden_layer_sizes": (5, 0)}, "hidden_layer_sizes: expected whole numbers >= 1"),
    ({"hidden_layer_sizes": 2.5}, "hidden_layer_sizes"),
    ({"activation": "rleu"}, "activation: expected one of .*relu"),
    ({"solver": "adamm"}, "solver: expected one of adam"),
    ({"alpha": -1}, "alpha: expected a number >= 0, found -1"),
    ({"alpha": float("nan")}, "alpha"),
    ({"batch_size": 0}, "batch_size: expected 'auto' or a whole number >= 1, found 0"),
    ({"batch_size": True}, "batch_size"),
    ({"learning_rate_init": 0}, "learning_rate_init: expected a number > 0"),
    ({"validation_fraction": 1.0}, "validation_fraction: expected a number > 0 and < 1"),
    ({"momentum": 1.5}, "momentum: expected a number >= 0 and <= 1"),
    ({"max_iter": 1.5}, "max_iter: expected a whole number >= 1"),
    ({"norm": "instance"}, "norm: expected one of none, batch, layer"),
    ({"device": "tpu"}, "device"),
    ({"class_weight": "fair"}, "class_weight"),
]


@pytest.mark.parametrize(("parameters", "message"), WRONG)
def test_wrong_parameter_is_refused_with_its_name(parameters, message):
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**parameters).fit(*table())


def test_wrong_data_are_refused():
    inputs, target = table("regression")
    with pytest.raises(ValueError, match="loss: expected one of squared_error"):
        MLPRegressor(loss="mse").fit(inputs, target)
    with pytest.raises(ValueError, match="y: expected values >= 0"):
        MLPRegressor(loss="poisson").fit(inputs, target - 1)
    with pytest.raises(ValueError, match="at least one non-zero"):
        MLPRegressor().fit(inputs, target, sample_weight=np.zeros(400))
    with pytest.raises(ValueError, match="no row that counts"):
        MLPClassifier(class_weight={0: 0, 1: 0}).fit(*table("binary"))
    with pytest.raises(ValueError, match="'balanced' needs all rows"):
        MLPClassifier(class_weight="balanced").partial_fit(*table(), classes=range(10))
    with pytest.raises(ValueError, match="class_weight: expected None"):
        MLPClassifier(class_weight="balanced").fit(*table("multilabel"))
    with pytest.warns(UserWarning, match="batch_size: 500 is more than the 400 rows"):
        MLPRegressor(batch_size=500, max_iter=1).fit(inputs, target)
    with pytest.raises(ValueError, match="lower learning_rate_init"):
        MLPRegressor(solver="sgd", learning_rate_init=1e6).fit(inputs, target)


def grid_table():
    inputs, target = load_iris(return_X_y=True)
    return inputs, target


GRIDS = [
    ({"mlp__learning_rate_init": [0.003, 0.01, 0.03], "mlp__alpha": [1e-4, 1.0]}, {}, True),
    ({"mlp__learning_rate_init": [0.01, 0.03]}, {"early_stopping": True}, True),
    ({"mlp__activation": ["relu", "tanh"], "mlp__hidden_layer_sizes": [(8,), (4, 4)]}, {"dropout": 0.2}, True),
    ({"mlp__solver": ["adam", "sgd", "lbfgs"]}, {"class_weight": "balanced"}, True),
    ({"mlp__learning_rate": ["invscaling", "adaptive"]}, {"solver": "sgd"}, False),
]


@pytest.mark.parametrize(("grid", "parameters", "has_stacks"), GRIDS)
def test_stacked_search_equals_grid_search(grid, parameters, has_stacks, monkeypatch):
    sizes = []
    train_together = grid_search._train_together
    monkeypatch.setattr(grid_search, "_train_together", lambda group: (sizes.append(len(group)), train_together(group)))
    inputs, target = grid_table()
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**{"max_iter": 30, "random_state": 0, **parameters}))
    pipeline.steps[-1] = ("mlp", pipeline[-1])
    settings = {"cv": 5, "scoring": "neg_log_loss", "return_train_score": True}
    stacked = StackedGridSearchCV(pipeline, grid, **settings).fit(inputs, target)
    single = GridSearchCV(pipeline, grid, **settings).fit(inputs, target)
    assert bool(sizes) == has_stacks
    assert set(stacked.cv_results_) == set(single.cv_results_)
    assert stacked.cv_results_["params"] == single.cv_results_["params"]
    for name in single.cv_results_:
        if name.endswith("_score") and not name.startswith("rank"):
            np.testing.assert_allclose(stacked.cv_results_[name], single.cv_results_[name], rtol=0, atol=1e-5)
    assert stacked.best_params_ == single.best_params_
    assert stacked.best_score_ == pytest.approx(single.best_score_, abs=1e-5)
    np.testing.assert_array_equal(stacked.predict(inputs), single.predict(inputs))
    assert stacked.score(inputs, target) == pytest.approx(single.score(inputs, target), abs=1e-5)
    assert (stacked.cv_results_["mean_fit_time"] > 0).all()


def test_stacked_search_of_a_regressor_with_weights_equals_grid_search():
    inputs, target = make_regression(90, 4, noise=1.0, random_state=0)
    weight = np.arange(90) % 3 + 1.0
    regressor = MLPRegressor(hidden_layer_sizes=(8,), max_iter=30, random_state=0, learning_rate_init=0.05)
    grid = {"learning_rate_init": [0.01, 0.05], "hidden_layer_sizes": [(8,), (16,)]}
    searches = [
        kind(regressor, grid, cv=3).fit(inputs, target, sample_weight=weight)
        for kind in (StackedGridSearchCV, GridSearchCV)
    ]
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    np.testing.assert_allclose(scores[0], scores[1], rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:One or more of the test scores")
def test_stacked_search_scores_a_fit_that_fails_as_grid_search_does():
    inputs, target = grid_table()
    classifier = MLPClassifier((8,), max_iter=3, random_state=0)
    search = StackedGridSearchCV(classifier, {"alpha": [1e-4, -1.0]}, cv=2)
    with pytest.warns(FitFailedWarning, match="2 fits failed"):
        search.fit(inputs, target)
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True]
    assert "_search" not in vars(search)


def test_stacked_search_leaves_other_estimators_to_grid_search():
    inputs, target = grid_table()
    theirs = neural_network.MLPClassifier((8,), max_iter=3, random_state=0)
    searches = [
        kind(theirs, {"alpha": [1e-4, 1.0]}, cv=2).fit(inputs, target) for kind in (StackedGridSearchCV, GridSearchCV)
    ]
    np.testing.assert_array_equal(*(search.cv_results_["mean_test_score"] for search in searches))


def test_stacked_search_is_cloned_and_has_parameters():
    search = StackedGridSearchCV(MLPClassifier(), {"alpha": [1.0]}, cv=3, refit=False)
    assert clone(search).get_params()["cv"] == 3
    assert "n_jobs" not in search.get_params()


def test_import_loads_neither_hydra_nor_matplotlib():
    code = (
        "import sys, nnlab.sklearn\n"
        "print(sorted({name.split('.')[0] for name in sys.modules}"
        " & {'hydra', 'omegaconf', 'matplotlib', 'tensorboard', 'pandas', 'pyarrow', 'rich', 'yaml', 'IPython'}))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    alone = subprocess.run(
        [sys.executable, "-c", code.replace("nnlab.sklearn", "torch, sklearn.model_selection, sklearn.neural_network")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout == alone.stdout
    assert nnlab.__version__

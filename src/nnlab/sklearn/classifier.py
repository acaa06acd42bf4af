"""The multilayer perceptron as a classifier."""

from typing import Any, cast, final

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d, compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from torch import Tensor
from torch.nn import functional as F

from nnlab.loss import BCE, CrossEntropy
from nnlab.sklearn.base import BaseMLP
from nnlab.sklearn.row_loss import Kind
from nnlab.sklearn.rows import Rows
from nnlab.sklearn.solver import is_stochastic


@final
class MLPClassifier(ClassifierMixin, BaseMLP):  # type: ignore[misc]
    """A multilayer perceptron that minimizes the log loss, in place of ``sklearn.neural_network.MLPClassifier``.

    Args:
        hidden_layer_sizes: widths of the hidden layers; one number for a single layer, ``()`` for none.
        activation: ``relu``, ``tanh``, ``logistic``, ``identity``, or any other of ``nnlab list model``'s activations.
        solver: ``adam``, ``sgd``, ``lbfgs``, ``adamw``, ``nadam``, ``radam``, ``adamax``, ``rmsprop``, ``adagrad``,
            ``adadelta`` or ``rprop``.
        alpha: factor of the L2 penalty, ``alpha / (2 batch_size)`` times the sum of squared weights.
        batch_size: rows in a batch; ``auto`` for 200, or all if there are fewer. ``lbfgs`` takes all.
        learning_rate: ``constant``, ``invscaling`` or ``adaptive``; of ``sgd`` only.
        learning_rate_init: the first learning rate.
        power_t: exponent of ``invscaling``.
        max_iter: epochs at most; iterations of ``lbfgs``.
        shuffle: whether each epoch has an order of its own.
        random_state: of the initial weights, which are scikit-learn's, the rows held out, the orders and dropout.
        tol: how much better than the best so far an epoch must be to count as an improvement.
        verbose: whether to print a line for each epoch.
        warm_start: whether ``fit`` goes on from the weights of the last ``fit``.
        momentum: of ``sgd``.
        nesterovs_momentum: whether it looks ahead.
        early_stopping: whether to hold rows out, watch the score on them and keep the weights with the highest.
        validation_fraction: the share held out.
        beta_1: decay of the running mean of the gradient, for the Adam family.
        beta_2: decay of that of its square.
        epsilon: added to their denominator.
        n_iter_no_change: epochs in a row without an improvement that are put up with.
        max_fun: evaluations of ``lbfgs`` at most.
        dropout: probability of zeroing a hidden unit while training, in [0, 1).
        norm: ``none``, ``batch`` or ``layer``, after each hidden layer's weights.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``auto``. The fitted model is on the CPU in any case.
        compile: ``auto`` for steps in C wherever there is a form for them; ``off`` for torch's own operations.
        class_weight: ``balanced``, a weight for each class as a dict, or None; times ``sample_weight``.

    Attributes:
        classes_: the classes in the order of the columns of ``predict_proba``.
        n_iter_: epochs of the last fit.
        loss_: the last loss; ``loss_curve_``: of each epoch; ``best_loss_``: the lowest, None with early stopping.
        validation_scores_: of each epoch with early stopping, else None; ``best_validation_score_``: the highest.
        model_: the network, a ``torch.nn.Module`` on the CPU that puts out logits or values.
        coefs_, intercepts_: its weights and biases as NumPy arrays, layer by layer.
        engine_: what did the steps: ``native`` (C), ``eager`` (torch) or ``stack``.
        n_features_in_, feature_names_in_, n_outputs_, n_layers_, out_activation_, t_: as in scikit-learn.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> classifier = MLPClassifier(solver="lbfgs", random_state=0).fit(X, y)
        >>> classifier.score(X, y) > 0.95
        True
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: float = 0.0,
        norm: str = "none",
        device: str = "cpu",
        compile: str = "auto",
        class_weight: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.norm = norm
        self.device = device
        self.compile = compile
        self.class_weight = class_weight

    def _read_target(self, y: Any, first: bool) -> np.ndarray:
        check_classification_targets(y)
        kind = type_of_target(y)
        if kind == "multiclass-multioutput":
            raise ValueError(
                "y: expected one column of classes, or columns of 0 and 1; found several columns of classes"
            )
        if kind == "multilabel-indicator":
            if first:
                self.classes_, self._is_multilabel = np.arange(y.shape[1]), True
                self.n_outputs_, self.out_activation_ = y.shape[1], "logistic"
            return np.asarray(y, dtype=np.float64)
        y = column_or_1d(y, warn=True)
        if first:
            self._know(np.unique(self.__dict__.get("_all_classes", y)))
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"y: classes {unknown.tolist()} are not among those of the first fit, {self.classes_}")
        codes: np.ndarray = np.searchsorted(self.classes_, y)
        return codes.astype(np.int64) if self.n_outputs_ > 1 else codes.astype(np.float64)[:, None]

    def _know(self, classes: np.ndarray) -> None:
        self.classes_, self._is_multilabel = classes, False
        self.n_outputs_ = len(classes) if len(classes) > 2 else 1
        self.out_activation_ = "softmax" if len(classes) > 2 else "logistic"

    def _loss(self) -> tuple[Kind, Any]:
        if self._is_multilabel:
            return "logistic", torch.nn.BCEWithLogitsLoss()
        return ("softmax", CrossEntropy(label_smoothing=0.0)) if self.n_outputs_ > 1 else ("logistic", BCE())

    def _row_weight(self, y: Any, sample_weight: np.ndarray | None) -> np.ndarray | None:
        if self.class_weight is None:
            return sample_weight
        if self._is_multilabel:
            raise ValueError("class_weight: expected None, as a row may have several labels; use sample_weight")
        weight: np.ndarray = compute_sample_weight(self.class_weight, column_or_1d(y))
        return weight if sample_weight is None else weight * sample_weight

    def _stratify(self, rows: Rows) -> np.ndarray | None:
        # As scikit-learn does: where there are two classes.
        return rows.target if self.n_outputs_ == 1 else None

    def _score_of(self, output: np.ndarray, rows: Rows) -> float:
        if not np.isfinite(output).all():
            return float("nan")
        # accuracy_score checks what it is given, which takes longer than a small network.
        if rows.target.ndim == 2:
            is_right = ((output > 0) == (rows.target > 0)).all(axis=1)
        else:
            is_right = output.argmax(axis=1) == rows.target
        return float(np.average(is_right, weights=rows.weight))

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803 - scikit-learn's name
        """The most probable class of each row.

        Args:
            X: shape [N, F].

        Returns:
            Shape [N]; for several labels 0 and 1, [N, O].
        """
        output = self._outputs(X)
        if self._is_multilabel:
            return (output > 0).astype(np.int64)
        codes = output.argmax(axis=1) if self.n_outputs_ > 1 else (output[:, 0] > 0).astype(np.int64)
        return cast(np.ndarray, self.classes_[codes.clip(max=len(self.classes_) - 1)])

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """The probability of each class.

        Args:
            X: shape [N, F].

        Returns:
            Shape [N, C], in the order of ``classes_``; for several labels that of each, [N, O].
        """
        return self._log_probability(torch.from_numpy(self._outputs(X))).exp().numpy()

    def predict_log_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """The logarithm of each probability, finite where the probability itself is too small for a number.

        Args:
            X: shape [N, F].

        Returns:
            As ``predict_proba``.
        """
        return self._log_probability(torch.from_numpy(self._outputs(X))).numpy()

    def _log_probability(self, logits: Tensor) -> Tensor:
        if self.n_outputs_ > 1 and not self._is_multilabel:
            return logits.log_softmax(dim=1)
        if self._is_multilabel:
            return F.logsigmoid(logits)
        if len(self.classes_) == 1:
            return torch.zeros_like(logits)
        return torch.cat([F.logsigmoid(-logits), F.logsigmoid(logits)], dim=1)

    @available_if(lambda self: is_stochastic(self.solver))  # type: ignore[untyped-decorator]
    def partial_fit(
        self,
        X: Any,  # noqa: N803
        y: Any,
        sample_weight: Any = None,
        classes: Any = None,
    ) -> "MLPClassifier":
        """Train one epoch on these rows, with the weights and the optimizer's memory of before.

        Args:
            X: shape [N, F].
            y: shape [N].
            sample_weight: what each row counts, [N]; None for 1 each.
            classes: all that will ever come; needed in the first call.

        Returns:
            The estimator itself.

        Raises:
            ValueError: as ``fit``, and for a class that is not among them.
        """
        if self.class_weight == "balanced":
            raise ValueError("class_weight: 'balanced' needs all rows at once; give partial_fit a dict of weights")
        if not hasattr(self, "model_"):
            if classes is None:
                raise ValueError("classes: expected all classes in the first call of partial_fit, found None")
            self._all_classes = np.unique(classes)
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes: expected those of the first call, {self.classes_}, found {classes}")
        try:
            return cast(MLPClassifier, self._fit(X, y, sample_weight, incremental=True))
        finally:
            self.__dict__.pop("_all_classes", None)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

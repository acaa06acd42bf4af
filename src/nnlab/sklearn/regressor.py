"""The multilayer perceptron as a regressor."""

from collections.abc import Callable
from typing import Any, cast, final

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if

from nnlab.loss import L1, HalfMSE, Huber
from nnlab.loss.base import Loss
from nnlab.sklearn.base import BaseMLP
from nnlab.sklearn.row_loss import Kind
from nnlab.sklearn.rows import Rows
from nnlab.sklearn.solver import is_stochastic

#: the losses by name, and what they are where all rows count the same
_LOSSES: dict[str, Callable[[], Loss | None]] = {
    "squared_error": HalfMSE,
    "absolute_error": L1,
    "huber": lambda: Huber(delta=1.0),
    "poisson": lambda: None,
}


@final
class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]
    """A multilayer perceptron that minimizes half the squared error, as ``sklearn.neural_network.MLPRegressor`` does.

    Args:
        loss: ``squared_error`` or ``poisson`` (halved, as in scikit-learn), ``absolute_error``, or ``huber`` (delta 1).
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

    Attributes:
        n_iter_: epochs of the last fit.
        loss_: the last loss; ``loss_curve_``: of each epoch; ``best_loss_``: the lowest, None with early stopping.
        validation_scores_: of each epoch with early stopping, else None; ``best_validation_score_``: the highest.
        model_: the network, a ``torch.nn.Module`` on the CPU that puts out logits or values.
        coefs_, intercepts_: its weights and biases as NumPy arrays, layer by layer.
        engine_: what did the steps: ``native`` (C), ``eager`` (torch) or ``stack``.
        n_features_in_, feature_names_in_, n_outputs_, n_layers_, out_activation_, t_: as in scikit-learn.

    Example:
        >>> X = np.linspace(-1, 1, 50)[:, None]
        >>> regressor = MLPRegressor(solver="lbfgs", random_state=0).fit(X, np.sin(3 * X[:, 0]))
        >>> regressor.score(X, np.sin(3 * X[:, 0])) > 0.99
        True
    """

    def __init__(
        self,
        loss: str = "squared_error",
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
    ) -> None:
        self.loss = loss
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

    def _read_target(self, y: Any, first: bool) -> np.ndarray:
        if self.loss not in _LOSSES:
            raise ValueError(f"loss: expected one of {', '.join(_LOSSES)}, found {self.loss!r}")
        if np.ndim(y) == 2 and np.shape(y)[1] == 1:
            y = column_or_1d(y, warn=True)
        target = np.asarray(y, dtype=np.float64)
        if self.loss == "poisson" and (target < 0).any():
            raise ValueError(f"y: expected values >= 0 for loss='poisson', found {target.min():g}")
        target = target.reshape(len(target), -1)
        if first:
            self.n_outputs_, self._is_flat = target.shape[1], target.shape[1] == 1
            self.out_activation_ = "exp" if self.loss == "poisson" else "identity"
        if target.shape[1] != self.n_outputs_:
            raise ValueError(f"y: expected {self.n_outputs_} columns as in the first fit, found {target.shape[1]}")
        return target

    def _loss(self) -> tuple[Kind, Any]:
        return cast(Kind, self.loss), _LOSSES[self.loss]()

    def _score_of(self, output: np.ndarray, rows: Rows) -> float:
        values = self._values(output)
        if not np.isfinite(values).all():
            return float("nan")
        return float(r2_score(rows.target, values, sample_weight=rows.weight))

    def _values(self, output: np.ndarray) -> np.ndarray:
        return np.exp(output) if self.out_activation_ == "exp" else output

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803 - scikit-learn's name
        """The predicted value of each row.

        Args:
            X: shape [N, F].

        Returns:
            Shape [N]; for several targets [N, O].
        """
        values = self._values(self._outputs(X))
        return values[:, 0] if self._is_flat else values

    @available_if(lambda self: is_stochastic(self.solver))  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPRegressor":  # noqa: N803
        """Train one epoch on these rows, with the weights and the optimizer's memory of before.

        Args:
            X: shape [N, F].
            y: shape [N], or [N, O].
            sample_weight: what each row counts, [N]; None for 1 each.

        Returns:
            The estimator itself.

        Raises:
            ValueError: as ``fit``.
        """
        return cast(MLPRegressor, self._fit(X, y, sample_weight, incremental=True))

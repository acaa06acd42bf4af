"""What the classifier and the regressor have in common."""

import copy
import math
import pickle
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from torch import nn

from nnlab.loss.base import Penalty
from nnlab.sklearn.convergence import Convergence, Rate, Record, Rules
from nnlab.sklearn.network import linear_layers, new_network
from nnlab.sklearn.parameters import ACTIVATION_NAMES, check_parameters, hidden_widths
from nnlab.sklearn.row_loss import Kind, RowLoss
from nnlab.sklearn.rows import Rows, digest_of, output_of, tensors_of
from nnlab.sklearn.solver import SOLVERS, Settings, is_stochastic
from nnlab.sklearn.training import Training, current_shelf
from nnlab.trainer import Trainer
from nnlab.trainer.precision import PrecisionName

#: the most rows that make a batch with ``batch_size="auto"``
AUTO_BATCH = 200


class BaseMLP(BaseEstimator, ABC):  # type: ignore[misc]
    """Fits, and reads the fitted model; what a target is, the classifier and the regressor say."""

    model_: nn.Module

    @abstractmethod
    def _read_target(self, y: Any, first: bool) -> np.ndarray:
        """The target as the loss wants it; sets what is known of it as attributes if this is the first time."""

    @abstractmethod
    def _loss(self) -> tuple[Kind, Any]:
        """The loss's name, and the loss itself where all rows count the same."""

    @abstractmethod
    def _score_of(self, output: np.ndarray, rows: Rows) -> float:
        """What early stopping wants to be high: the accuracy or R²."""

    def _row_weight(self, y: Any, sample_weight: np.ndarray | None) -> np.ndarray | None:
        """What each row counts, all considered."""
        return sample_weight

    def _stratify(self, rows: Rows) -> np.ndarray | None:
        """The classes whose shares the rows held out keep."""
        return None

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "BaseMLP":  # noqa: N803 - scikit-learn's name
        """Fit the network.

        Args:
            X: shape [N, F]; float32 is computed in single, everything else in double precision.
            y: shape [N], or [N, O] for several targets or labels.
            sample_weight: what each row counts, [N]; a row of weight 0 is left out. None for 1 each.

        Returns:
            The estimator itself.

        Raises:
            ValueError: for parameters or data that cannot be used, and if the training diverges.
        """
        return self._fit(X, y, sample_weight, incremental=False)

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool) -> "BaseMLP":  # noqa: N803
        check_parameters(self.get_params(deep=False))
        if incremental and self.early_stopping:
            raise ValueError("early_stopping: partial_fit does one epoch and cannot stop early; set it to False")
        parameters = {name: value for name, value in self.get_params(deep=False).items() if name != "verbose"}
        settings = pickle.dumps((type(self).__qualname__, sorted(parameters.items())))  # before anything is drawn
        first = not hasattr(self, "model_") or not (self.warm_start or incremental)
        rows = self._read(X, y, sample_weight, first)
        training = self._training(rows, first, incremental)
        shelf = current_shelf()
        if shelf is not None and first and not incremental:
            given = shelf.exchange(digest_of(settings, rows), training)
            if given is None:
                return self
            training = given
        training.run()
        self._adopt(training, incremental)
        return self

    def _read(self, X: Any, y: Any, sample_weight: Any, first: bool) -> Rows:  # noqa: N803
        inputs, y = validate_data(
            self,
            X,
            y,
            multi_output=True,
            y_numeric=is_regressor(self),
            dtype=(np.float64, np.float32),
            order="C",
            reset=first,
        )
        target = self._read_target(y, first)
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, inputs, dtype=np.float64, ensure_non_negative=True)
        weight = self._row_weight(y, weight)
        if weight is not None and not weight.any():
            raise ValueError("class_weight: with sample_weight it leaves no row that counts")
        if target.dtype != np.int64:
            target = target.astype(inputs.dtype)
        return Rows(inputs, target, weight).without_zeros()

    def _training(self, rows: Rows, first: bool, incremental: bool) -> Training:
        random_state = check_random_state(self.random_state)
        model = self._model(rows, first, random_state)
        score = None
        if self.early_stopping and is_stochastic(self.solver):
            rows, held_out = self._hold_out(rows, random_state)
            score = self._scorer(held_out)
        seed = int(random_state.randint(2**31 - 1))
        num_rows, is_stochastic_ = len(rows.inputs), is_stochastic(self.solver)
        batch_size = self._batch_size(num_rows)
        kind, plain = self._loss()
        scale = 1 if rows.target.ndim == 1 else rows.target.shape[1]
        # scikit-learn's gradient is that of the sum over the outputs, nnlab's losses are means over them.
        optimizer = SOLVERS[self.solver](list(model.parameters()), self._settings(scale))
        if incremental and not first and self._optimizer_state[0] == self.solver:
            optimizer.load_state_dict(copy.deepcopy(self._optimizer_state[1]))
        record = self._record(first, score is not None)
        rate = Rate(float(optimizer.param_groups[0]["lr"]))
        loss_scale = scale if kind == "logistic" else 1
        convergence = Convergence(self._rules(scale), record, rate, optimizer, num_rows, loss_scale, score)
        mean_weight = 1.0 if rows.weight is None else float(rows.weight.mean())
        trainer = Trainer(
            model,
            plain if rows.weight is None and plain is not None else RowLoss(kind),
            optimizer,
            schedule=rate if is_stochastic_ else None,
            penalty=Penalty(0.0, self.alpha / (batch_size * mean_weight * scale)),
            callbacks=[convergence],
            batch_size=batch_size,
            shuffle=self.shuffle and is_stochastic_,
            seed=seed,
            device=self.device,
            max_epochs=self.max_iter if is_stochastic_ and not incremental else 1,
            monitor="train/loss",
            precision=self._precision(rows),
        )
        return Training(trainer, tensors_of(rows, plain is None), convergence, compiles=self.compile == "auto")

    def _precision(self, rows: Rows) -> PrecisionName:
        # A line search in single precision ends in rounding noise.
        return "fp32" if rows.inputs.dtype == np.float32 and is_stochastic(self.solver) else "fp64"

    def _model(self, rows: Rows, first: bool, random_state: np.random.RandomState) -> nn.Module:
        if not first:
            return copy.deepcopy(self.model_).train()
        widths = hidden_widths(self.hidden_layer_sizes)
        assert widths is not None
        activation = str(ACTIVATION_NAMES.get(self.activation, self.activation))
        num_inputs = rows.inputs.shape[1]
        return new_network(num_inputs, self.n_outputs_, widths, activation, self.dropout, self.norm, random_state)

    def _hold_out(self, rows: Rows, random_state: np.random.RandomState) -> tuple[Rows, Rows]:
        arrays = [rows.inputs, rows.target] + ([rows.weight] if rows.weight is not None else [])
        parts = train_test_split(
            *arrays,
            random_state=random_state,
            test_size=self.validation_fraction,
            stratify=self._stratify(rows),
        )
        weights = parts[4:] or (None, None)
        train, held_out = Rows(parts[0], parts[2], weights[0]), Rows(parts[1], parts[3], weights[1])
        if len(held_out.inputs) < 2:
            raise ValueError(
                "validation_fraction: it leaves fewer than two rows to stop early by; raise it, or give more rows"
            )
        return train, held_out

    def _scorer(self, held_out: Rows) -> Callable[[nn.Module], float]:
        def score(model: nn.Module) -> float:
            was_training = model.training
            try:
                return self._score_of(output_of(model.eval(), held_out.inputs), held_out)
            finally:
                model.train(was_training)

        return score

    def _batch_size(self, num_rows: int) -> int:
        if not is_stochastic(self.solver):
            return num_rows
        if self.batch_size == "auto":
            return min(AUTO_BATCH, num_rows)
        if self.batch_size > num_rows:
            warnings.warn(
                f"batch_size: {self.batch_size} is more than the {num_rows} rows, which form one batch", stacklevel=4
            )
        return min(int(self.batch_size), num_rows)

    def _settings(self, scale: int) -> Settings:
        return Settings(
            learning_rate_init=self.learning_rate_init * (scale if self.solver == "sgd" else 1),
            momentum=self.momentum,
            nesterovs_momentum=self.nesterovs_momentum,
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon / scale,
            max_iter=self.max_iter,
            max_fun=self.max_fun,
            tol=self.tol / scale,
        )

    def _rules(self, scale: int) -> Rules:
        is_sgd = self.solver == "sgd"
        return Rules(
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            learning_rate=self.learning_rate if is_sgd else "constant",
            learning_rate_init=self.learning_rate_init * (scale if is_sgd else 1),
            power_t=self.power_t,
            verbose=bool(self.verbose),
        )

    def _record(self, first: bool, has_scores: bool) -> Record:
        if has_scores:
            before = [] if first else list(self.validation_scores_ or [])
            record = Record(scores=before, best=-math.inf)
        else:
            record = Record()
            best = None if first else getattr(self, "best_loss_", None)
            if best is not None:
                record.best, record.waited = float(best), int(self._no_improvement_count)
        if not first:
            record.samples, record.losses = self.t_, list(self.loss_curve_)
        return record

    def _adopt(self, training: Training, incremental: bool) -> None:
        convergence, record = training.convergence, training.convergence.record
        result = training.result
        assert result is not None
        self.n_iter_ = convergence.epochs
        if not is_stochastic(self.solver):
            self._adopt_lbfgs(training)
        elif result.status == "completed" and not incremental:
            warnings.warn(
                f"max_iter: {self.max_iter} epochs are done and the training has not converged yet; raise it, or tol",
                ConvergenceWarning,
                stacklevel=4,
            )
        self.model_ = training.final_model()
        self._optimizer_state = (self.solver, training.optimizer_state() if is_stochastic(self.solver) else {})
        engine = training.trainer.engine
        self.engine_ = "stack" if engine is None else engine.engine.name
        self.n_layers_ = len(linear_layers(self.model_)) + 1
        self.t_ = record.samples
        self.loss_curve_ = record.losses
        if is_stochastic(self.solver):
            self.loss_ = record.losses[-1]
        self._no_improvement_count = record.waited
        self.validation_scores_ = record.scores
        self.best_loss_ = record.best if record.scores is None else None
        self.best_validation_score_ = None if record.scores is None else record.best

    def _adopt_lbfgs(self, training: Training) -> None:
        (state,) = [state for state in training.trainer.optimizer.state.values() if state]
        self.n_iter_ = int(state["n_iter"])
        assert training.final_loss is not None
        self.loss_ = training.final_loss
        record = training.convergence.record
        record.losses[-1] = record.best = self.loss_
        if self.n_iter_ >= self.max_iter:
            warnings.warn(
                f"max_iter: lbfgs has not converged after {self.n_iter_} iterations; raise it, or scale the inputs",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _outputs(self, X: Any) -> np.ndarray:  # noqa: N803
        """The network's outputs for rows, [N, O], in the dtype of its weights."""
        check_is_fitted(self, "model_")
        inputs = validate_data(self, X, dtype=(np.float64, np.float32), order="C", reset=False)
        return output_of(self.model_, inputs)

    @property
    def coefs_(self) -> list[np.ndarray]:
        """The weight matrix of each layer, [inputs, outputs]; writing to it changes the model."""
        return [layer.weight.detach().numpy().T for layer in self._layers()]

    @property
    def intercepts_(self) -> list[np.ndarray | None]:
        """The bias of each layer, [outputs]; None where a norm takes its place."""
        return [None if layer.bias is None else layer.bias.detach().numpy() for layer in self._layers()]

    def _layers(self) -> list[nn.Linear]:
        if "model_" not in vars(self):
            raise AttributeError(f"this {type(self).__name__} is not fitted yet")
        return linear_layers(self.model_)

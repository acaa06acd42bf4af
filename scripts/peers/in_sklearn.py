"""scikit-learn's MLPRegressor and MLPClassifier, without what they add to the loss or stop by."""

import warnings
from typing import final

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from peers.job import Job

#: its loss for regression is half the mean square, and so is its gradient
HALF = 2.0
_NEVER = 10**9


@final
class WithSklearn:
    """One of both estimators; its batches are slices in the order of the epoch, as everybody's.

    Args:
        job: what is trained.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.is_regression = job.loss == "mse"
        self.target = job.target.ravel() if job.loss == "mse" else job.target.ravel().astype(int)

    def start(self, epochs: int, shuffle: bool) -> None:
        """See ``Training``."""
        kind = MLPRegressor if self.is_regression else MLPClassifier
        self.net = kind(
            hidden_layer_sizes=self.job.widths[1:-1],
            solver=self.job.optimizer,
            alpha=0.0,
            batch_size=self.job.batch_size,
            learning_rate_init=self.job.lr * (HALF if self.is_regression and self.job.optimizer == "sgd" else 1.0),
            max_iter=epochs,
            shuffle=shuffle,
            random_state=0,
            tol=0.0,
            n_iter_no_change=_NEVER,
            momentum=0.0,
            nesterovs_momentum=False,
            warm_start=True,
        )
        # One step makes everything; then the weights are put in place, which a warm start keeps.
        size = self.job.batch_size
        first = (self.job.inputs[:size], self.target[:size])
        self.net.partial_fit(*first, **({} if self.is_regression else {"classes": sorted(set(self.target))}))
        self.net.coefs_ = [weight.T.copy() for weight in self.job.weights]
        self.net.intercepts_ = [bias.copy() for bias in self.job.biases]
        self.net.loss_curve_ = []

    def run(self) -> list[float]:
        """See ``Training``."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.net.fit(self.job.inputs, self.target)
        factor = HALF if self.is_regression else 1.0
        return [factor * float(loss) for loss in self.net.loss_curve_]


def make(job: Job, setting: str) -> WithSklearn:
    """A training; there is one setting."""
    del setting
    return WithSklearn(job)

"""Optimizers by the names that ``solver`` takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

Parameters = Sequence[nn.Parameter]


@dataclass(frozen=True)
class Settings:
    """The hyper-parameters that scikit-learn's MLP has.

    Args:
        learning_rate_init: the learning rate.
        momentum: of ``sgd``.
        nesterovs_momentum: whether it looks ahead.
        beta_1: decay of the running mean of the gradient, for the Adam family.
        beta_2: decay of that of its square.
        epsilon: added to their denominator.
        max_iter: iterations of ``lbfgs``.
        max_fun: evaluations of ``lbfgs``.
        tol: largest gradient at which ``lbfgs`` ends.
    """

    learning_rate_init: float
    momentum: float
    nesterovs_momentum: bool
    beta_1: float
    beta_2: float
    epsilon: float
    max_iter: int
    max_fun: int
    tol: float

    @property
    def betas(self) -> tuple[float, float]:
        """Both decays."""
        return self.beta_1, self.beta_2


def _sgd(parameters: Parameters, s: Settings) -> torch.optim.Optimizer:
    nesterov = s.nesterovs_momentum and s.momentum > 0
    return torch.optim.SGD(parameters, lr=s.learning_rate_init, momentum=s.momentum, nesterov=nesterov, fused=True)


def _lbfgs(parameters: Parameters, s: Settings) -> torch.optim.Optimizer:
    return torch.optim.LBFGS(
        parameters,
        max_iter=s.max_iter,
        max_eval=s.max_fun,
        tolerance_grad=s.tol,
        tolerance_change=1e-12,
        history_size=10,
        line_search_fn="strong_wolfe",
    )


#: what is not scikit-learn's is torch's own default
SOLVERS: dict[str, Callable[[Parameters, Settings], torch.optim.Optimizer]] = {
    "adam": lambda p, s: torch.optim.Adam(p, lr=s.learning_rate_init, betas=s.betas, eps=s.epsilon, fused=True),
    "sgd": _sgd,
    "lbfgs": _lbfgs,
    "adamw": lambda p, s: torch.optim.AdamW(p, lr=s.learning_rate_init, betas=s.betas, eps=s.epsilon, fused=True),
    "nadam": lambda p, s: torch.optim.NAdam(p, lr=s.learning_rate_init, betas=s.betas, eps=s.epsilon),
    "radam": lambda p, s: torch.optim.RAdam(p, lr=s.learning_rate_init, betas=s.betas, eps=s.epsilon),
    "adamax": lambda p, s: torch.optim.Adamax(p, lr=s.learning_rate_init, betas=s.betas, eps=s.epsilon),
    "rmsprop": lambda p, s: torch.optim.RMSprop(p, lr=s.learning_rate_init),
    "adagrad": lambda p, s: torch.optim.Adagrad(p, lr=s.learning_rate_init),
    "adadelta": lambda p, s: torch.optim.Adadelta(p, lr=s.learning_rate_init),
    "rprop": lambda p, s: torch.optim.Rprop(p, lr=s.learning_rate_init),
}


def is_stochastic(solver: str) -> bool:
    """Whether a solver goes through the rows in batches."""
    return solver != "lbfgs"

"""Which optimizers can update many runs in one go, and how."""

from collections.abc import Hashable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import optimizer as torch_optimizer

from nnlab.optim.stacked_adadelta import StackedAdadelta
from nnlab.optim.stacked_adagrad import StackedAdagrad
from nnlab.optim.stacked_adam import StackedAdam
from nnlab.optim.stacked_adamax import StackedAdamax
from nnlab.optim.stacked_base import StackedUpdate
from nnlab.optim.stacked_nadam import StackedNAdam
from nnlab.optim.stacked_radam import StackedRAdam
from nnlab.optim.stacked_rmsprop import StackedRMSprop
from nnlab.optim.stacked_rprop import StackedRprop
from nnlab.optim.stacked_sgd import StackedSGD

__all__ = ["FORMS", "StackedUpdate", "stacked_update", "stacking_key", "stacking_problem"]

#: torch's class -> its stacked form
FORMS: Mapping[type[torch.optim.Optimizer], type[StackedUpdate]] = {
    torch.optim.SGD: StackedSGD,
    torch.optim.Adam: StackedAdam,
    torch.optim.AdamW: StackedAdam,
    torch.optim.RMSprop: StackedRMSprop,
    torch.optim.Adagrad: StackedAdagrad,
    torch.optim.NAdam: StackedNAdam,
    torch.optim.RAdam: StackedRAdam,
    torch.optim.Adamax: StackedAdamax,
    torch.optim.Adadelta: StackedAdadelta,
    torch.optim.Rprop: StackedRprop,
}


def stacking_key(optimizer: torch.optim.Optimizer) -> tuple[Hashable, ...] | None:
    """What must be equal for optimizers to be rows of one update.

    Args:
        optimizer: over all the parameters of a model.

    Returns:
        The class and the settings that decide which operations an update consists of; None for an optimizer that has
        a ``stacking_problem``.
    """
    if stacking_problem(optimizer) is not None:
        return None
    group = optimizer.param_groups[0]
    return (
        type(optimizer),
        bool(group.get("fused")),
        *(bool(group[flag]) for flag in FORMS[type(optimizer)].flags),
    )


def stacking_problem(optimizer: torch.optim.Optimizer) -> str | None:
    """Why an optimizer has no stacked form, in words; None if it has one.

    Args:
        optimizer: over all the parameters of a model.
    """
    kind = type(optimizer)
    form = FORMS.get(kind)
    if form is None:
        return f"{kind.__name__} is none of {', '.join(sorted(known.__name__ for known in FORMS))}"
    if _is_altered(optimizer):
        return f"{kind.__name__} has hooks or a step of its own"
    if not _has_plain_groups(optimizer):
        return f"{kind.__name__} has tensors among its settings, or groups that differ in more than decay or none"
    if not _is_even(optimizer, form):
        return f"{kind.__name__} does not update all parameters alike (frozen, sparse, of two types, at other steps)"
    return None


def stacked_update(
    optimizers: Sequence[torch.optim.Optimizer], parameters: Sequence[Sequence[nn.Parameter]], weights: Tensor
) -> StackedUpdate:
    """The stacked form of R optimizers.

    Args:
        optimizers: R, with one ``stacking_key``.
        parameters: of each run, of equal shapes, in the order in which they lie one after another in a row.
        weights: shape [R, P], or wider: what is behind the parameters is never touched. Tells data type and device.

    Returns:
        The update, which has taken over what the optimizers remember.

    Example:
        >>> import numpy as np
        >>> weights = torch.ones(2, 3)
        >>> parameters = [[nn.Parameter(row)] for row in weights]
        >>> optimizers = [torch.optim.SGD(parameters[row], momentum=(0.5, 0.9)[row]) for row in range(2)]
        >>> update = stacked_update(optimizers, parameters, weights)
        >>> update.plan_rates(np.array([[0.1, 0.1], [0.1, 0.2]]))
        >>> for _ in range(2):
        ...     update.step(weights, torch.ones(2, 3))
        >>> weights[:, 0]
        tensor([0.7500, 0.5200])
    """
    keys = {stacking_key(optimizer) for optimizer in optimizers}
    assert len(keys) == 1, keys
    assert None not in keys, optimizers
    for optimizer, own in zip(optimizers, parameters, strict=True):
        assert {id(p) for group in optimizer.param_groups for p in group["params"]} == {id(p) for p in own}
    return FORMS[type(optimizers[0])](optimizers, parameters, weights)


def _is_altered(optimizer: torch.optim.Optimizer) -> bool:
    # A scheduler of torch's or a user may have put a step of its own on the object.
    return "step" in vars(optimizer) or bool(
        optimizer._optimizer_step_pre_hooks
        or optimizer._optimizer_step_post_hooks
        or torch_optimizer._global_optimizer_pre_hooks
        or torch_optimizer._global_optimizer_post_hooks
    )


def _has_plain_groups(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the groups hold plain numbers and differ, if at all, in that some are not decayed."""
    own = {"params", "param_names", "weight_decay"}
    settings = [{name: value for name, value in group.items() if name not in own} for group in optimizer.param_groups]
    decays = [group.get("weight_decay", 0) for group in optimizer.param_groups]
    values = [value for group in settings for value in group.values()]
    numbers = [side for value in values for side in (value if isinstance(value, tuple | list) else [value])]
    return (
        not any(isinstance(number, Tensor) for number in [*numbers, *decays])
        and not any(settings[0].get(flag) for flag in ("differentiable", "capturable"))
        and all(other == settings[0] for other in settings)
        and len({*decays} - {0}) <= 1
    )


def _is_even(optimizer: torch.optim.Optimizer, form: type[StackedUpdate]) -> bool:
    """Whether all parameters are of one kind and have seen the same steps."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    names = [*form.buffers(optimizer.param_groups[0])]
    names = [*form.counts, *names] if names else []
    states = [optimizer.state.get(parameter, {}) for parameter in parameters]
    has_begun = bool(names) and any(states)
    return (
        len({(parameter.dtype, parameter.device) for parameter in parameters}) == 1
        and parameters[0].is_floating_point()
        and all(parameter.requires_grad for parameter in parameters)
        and not any(parameter.grad is not None and parameter.grad.is_sparse for parameter in parameters)
        and (not has_begun or all({*state} == {*names} for state in states))
        and (not has_begun or len({float(state.get("step", 0)) for state in states}) == 1)
    )

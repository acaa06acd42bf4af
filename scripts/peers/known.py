"""The peers: what each is called, where it is, how it is set."""

from typing import NamedTuple

BEST, DEFAULTS = "best", "defaults"
#: nnlab's only: its loop with all evaluations, and nothing around it
LOOP = "loop"
#: the hand-written loop's only: Adam with its epsilon where some libraries have it, for comparing their losses
EPSILON_HAT = "epsilon_hat"


class Known(NamedTuple):
    """A peer.

    Args:
        title: in tables and figures.
        module: beside this file.
        is_installed: whether it lives in the peers' own environment, else in nnlab's.
        settings: how each of its settings is set, in words.
        on_cuda: whether it is measured there.
        has_epsilon_hat: whether its Adam adds epsilon before it corrects the bias of the second moment: Kingma and Ba
            (2015), section 2, last paragraph. On W2 that makes 1.2 % of the first epoch's loss.
    """

    title: str
    module: str
    is_installed: bool
    settings: dict[str, str]
    on_cuda: bool = True
    has_epsilon_hat: bool = False


PEERS = {
    "nnlab": Known(
        "nnlab",
        "peers.in_nnlab",
        False,
        {
            BEST: "`nnlab.Trainer` in Python, without a folder",
            DEFAULTS: "as `nnlab train` has it: folder, `metrics.csv`, TensorBoard, checkpoints, callbacks",
        },
    ),
    "by_hand": Known(
        "hand-written torch",
        "peers.in_torch",
        False,
        {BEST: "permutes once an epoch, slices, fused optimizer, reads the loss once an epoch"},
    ),
    "compiled": Known(
        "torch.compile",
        "peers.in_compile",
        False,
        {
            BEST: "forward, backward and update in one graph, through `torch.func.grad_and_value`",
            DEFAULTS: "`torch.compile(model)` in the hand-written loop",
        },
    ),
    "notebook": Known(
        "notebook loop",
        "peers.in_notebook",
        False,
        {DEFAULTS: "`DataLoader` of a `TensorDataset`, `loss.item()` in every step"},
    ),
    "jax": Known(
        "JAX with optax",
        "peers.in_jax",
        True,
        {BEST: "`lax.scan` over an epoch, jitted, buffers donated", DEFAULTS: "a jitted step, called in a loop"},
        on_cuda=False,
    ),
    "keras": Known(
        "Keras on JAX",
        "peers.in_keras",
        True,
        {
            BEST: "`jit_compile=True`, `steps_per_execution` = an epoch, no bar",
            DEFAULTS: "`compile` and `fit` with what they have by default",
        },
        on_cuda=False,
        has_epsilon_hat=True,
    ),
    "sklearn": Known(
        "scikit-learn",
        "peers.in_sklearn",
        True,
        {BEST: "`MLPRegressor`, `MLPClassifier` with `alpha=0`, no early stopping"},
        on_cuda=False,
        has_epsilon_hat=True,
    ),
    "skorch": Known(
        "skorch",
        "peers.in_skorch",
        True,
        {
            BEST: "callbacks disabled, a data set that gives whole batches (`__getitems__`), fused optimizer",
            DEFAULTS: "`NeuralNet` with what it has by default, without its own split",
        },
    ),
    "lightning": Known(
        "Lightning",
        "peers.in_lightning",
        True,
        {
            BEST: "`barebones=True`, a loader that gives whole batches, fused optimizer",
            DEFAULTS: "logger, checkpoints and bar, `DataLoader` of a `TensorDataset`",
        },
    ),
}

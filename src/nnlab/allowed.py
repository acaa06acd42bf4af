"""What each group's targets may be, in one table, and the keys that nnlab itself reads."""

from typing import Any

from nnlab.target import Allowed, Node

ACTIVATION = Allowed("torch.nn:Module", ("torch.nn", "nnlab.model"))
ALLOWED = {
    "data": Allowed("nnlab.data.dataset:Dataset", (), "nnlab.data"),
    "model": Allowed(
        "torch.nn:Module",
        ("torch.nn", "nnlab.model"),
        "nnlab.model",
        {"activation": ACTIVATION, "output_activation": ACTIVATION},
    ),
    "init": Allowed("builtins:object", (), "nnlab.init"),
    "loss": Allowed("nnlab.loss.base:Loss", ("nnlab.loss",), "nnlab.loss"),
    "metric": Allowed("nnlab.metric.base:Metric", ("nnlab.metric",), "nnlab.metric"),
    "optim": Allowed("torch.optim:Optimizer", ("torch.optim", "nnlab.optim")),
    "schedule": Allowed("nnlab.schedule.base:Schedule", ("nnlab.schedule",)),
    "gradient": Allowed("nnlab.gradient.base:Gradient", ("nnlab.gradient",)),
    "trainer": Allowed("nnlab.trainer.trainer:Trainer", ("nnlab.trainer",)),
    "callback": Allowed("nnlab.callback.base:Callback", ("nnlab.callback",)),
    "logger": Allowed("nnlab.logger.base:Logger", ("nnlab.logger",)),
}
#: torch's own losses derive from a class of their own
TORCH_LOSS = Allowed("torch.nn.modules.loss:_Loss", ("torch.nn",))
#: keys of a group that nnlab itself reads, whatever the target takes
OWN_KEYS = {
    "data": ("batch_size", "shuffle", "expand", "input_scale", "standardize", "standardize_target", "folds", "fold"),
    "init": ("bias",),
    "loss": ("l1", "l2"),
    "optim": ("no_decay",),
    "trainer": ("on_divergence",),
}


def split_node(group: str, config: Node) -> tuple[dict[str, Any], dict[str, Any]]:
    """A group's node without nnlab's own keys, and those keys."""
    own = OWN_KEYS[group]
    node = config[group]
    return {k: v for k, v in node.items() if k not in own}, {k: v for k, v in node.items() if k in own}

"""Whether a planned member may be begun whose plan was read from a file, which may come from a stranger."""

from collections.abc import Mapping
from typing import Any

from nnlab.config import ConfigError
from nnlab.trust import MOST_ROWS, check_config, check_data_size, check_model_size, check_sizes

#: what the largest layer may be wide; there is no checkpoint yet that would say how large the model is
MOST_WIDTH = 1 << 20
MOST_THREADS = 1024


def check_foreign(config: Mapping[str, Any]) -> None:
    """Refuse a config that would run something else than nnlab's training, or take memory out of all proportion.

    Args:
        config: a member's, its ``plugins`` those that are granted by whoever runs it.

    Raises:
        ConfigError: naming the key.
    """
    check_config(config, config["plugins"])
    check_data_size(config["data"])
    check_model_size(config["model"], MOST_WIDTH)
    for name, node in config["callback"].items():
        sizes = {key: value for key, value in node.items() if key.startswith("num_")}
        check_sizes(f"callback.{name}", sizes, MOST_ROWS)
    threads = config["trainer"].get("threads")
    if isinstance(threads, int) and threads > MOST_THREADS:
        raise ConfigError(f"trainer.threads: expected at most {MOST_THREADS:,}, found {threads:,}")

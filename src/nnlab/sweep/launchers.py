"""The launchers that plan a whole sweep before its first member begins, and what they need."""

from importlib.util import find_spec

from nnlab.config import ConfigError

PLANNING = ("vectorized", "ray")


def need_ray() -> None:
    """Refuse to go on without Ray.

    Raises:
        ConfigError: where it is not installed.
    """
    if find_spec("ray") is None:
        raise ConfigError("hydra/launcher=ray needs Ray: pip install 'nnlab[ray]'")

"""One value as Hydra's parser reads it."""

from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser


def as_typed(text: str) -> Any:
    """The plain value that a text stands for in an override.

    Args:
        text: what stands behind the ``=``.
    """
    return OverridesParser.create().parse_override(f"key={text}").value()

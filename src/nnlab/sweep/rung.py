"""How far members train before they are compared: a rung of successive halving."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final


@final
@dataclass(frozen=True)
class Rung:
    """What is different for members of a sweep that wait for one another.

    Args:
        pauses: the step from which on a member pauses at its next evaluation, by the member's number.
        leaves: why a member trains no further, by its number.
    """

    pauses: Mapping[int, int] = field(default_factory=dict)
    leaves: Mapping[int, str] = field(default_factory=dict)


#: to the end
WHOLE = Rung()

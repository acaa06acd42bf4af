"""The steps of an epoch that are still to be done."""

from collections.abc import Iterator
from itertools import islice
from typing import final

from nnlab.trainer.batches import Batch


@final
class StepsAhead:
    """Groups of batches, one group a step, handed out once each; how many there are is known before they are.

    Args:
        groups: in their order.
        number: how many.
    """

    def __init__(self, groups: Iterator[list[Batch]], number: int) -> None:
        self._groups = groups
        self._number = number

    def __len__(self) -> int:
        return self._number

    def take(self, number: int) -> list[list[Batch]]:
        """The next groups.

        Args:
            number: how many, no more than there are.
        """
        self._number -= number
        return list(islice(self._groups, number))

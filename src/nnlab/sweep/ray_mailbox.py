"""Where tasks leave what they have to say, and find whether they shall end: a process of its own."""

from collections.abc import Sequence
from typing import final


@final
class Mailbox:
    """An actor beside the sweep's own process.

    Messages are bytes to it, so that it need not import what they are made of.
    """

    def __init__(self) -> None:
        self._letters: list[tuple[int, bytes]] = []
        self._signal: int | None = None

    def put(self, attempt: int, letter: bytes) -> None:
        """Leave a message; those of one task stay in order.

        Args:
            attempt: the number of the task, no two of which are alike.
            letter: the message.
        """
        self._letters.append((attempt, letter))

    def take(self) -> Sequence[tuple[int, bytes]]:
        """All messages that were left since the last time."""
        letters, self._letters = self._letters, []
        return letters

    def tell(self, number: int) -> None:
        """Ask all tasks for the end.

        Args:
            number: the signal that the sweep's own process received.
        """
        self._signal = number

    def told(self) -> int | None:
        """The signal that asks for the end, if there is one."""
        return self._signal

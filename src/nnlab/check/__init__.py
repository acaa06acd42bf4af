"""Finds the mistakes in a command before anything is made or run, all of them at once."""

from nnlab.check.command import Command, check

__all__ = ["Command", "check"]

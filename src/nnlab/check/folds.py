"""Overrides of ``data.fold``, which mean something only beside ``data.folds``."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnlab.check.override import Typed

FOLDS, FOLD = "data.folds", "data.fold"


def fold_problems(typed: Sequence[Typed], configs: Sequence[Mapping[str, Any]]) -> list[tuple[Typed, str]]:
    """What is wrong with the folds that a command asks for, all members of a sweep included.

    Args:
        typed: the command's overrides of values.
        configs: what each choice of groups composes to.

    Returns:
        The override that is wrong and why; nothing if there is none.
    """
    by_key = {one.key: one for one in typed}
    if FOLD not in by_key:
        return []
    one = by_key[FOLD]
    if FOLDS in by_key:
        numbers = by_key[FOLDS].values()
    else:
        numbers = [(config.get("data") or {}).get("folds") for config in configs]
    if None in numbers:
        return [(one, "data.folds is null: say how many folds there are, as in data.folds=5")]
    # Anything else than whole numbers has been refused by its type, or is an interpolation.
    least = min((number for number in numbers if type(number) is int), default=None)
    beyond = [fold for fold in one.values() if type(fold) is int and least is not None and not 0 <= fold < least]
    if least is None or not beyond:
        return []
    return [(one, f"expected 0 to {least - 1} for data.folds={least}, found {beyond[0]}")]

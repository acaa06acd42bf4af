"""Overrides that choose options: which there are, and what they compose to."""

import itertools
from collections.abc import Sequence

from nnlab.check.override import Typed
from nnlab.config import LIST_GROUPS, Library, nearest

NEEDS_MULTIRUN = "several values make a sweep; add -m"


def is_group(one: Typed, library: Library) -> bool:
    """Whether an override chooses an option; ``optim={lr:0.1}`` sets keys, for Hydra too."""
    return one.key in library.groups and not isinstance(one.value, dict)


def group_problem(one: Typed, library: Library, multirun: bool) -> str | None:
    """What is wrong with an override that chooses an option, if anything.

    Args:
        one: the override.
        library: the configs to choose from.
        multirun: whether several values are a sweep.

    Returns:
        One sentence, or None.
    """
    group, known = one.key, list(library.options(one.key))
    is_ours = group in library.default_choices()
    if is_ours and one.is_addition and not one.is_repackaged:
        return f"{group} has its place already; write it without the +"
    if is_ours and one.is_delete and group != "experiment":
        instead = f"{group}=[] chooses none" if group in LIST_GROUPS else f"choose another with {group}=…"
        return f"{group} cannot be removed; {instead}"
    if one.is_delete:
        return None
    if one.is_sweep and not multirun:
        return NEEDS_MULTIRUN
    if not one.is_sweep and one.value is None:
        return f"expected an option, found null; {_none_of(group)}"
    takes_one = is_ours and group not in LIST_GROUPS
    if takes_one and any(isinstance(value, list) for value in one.values(known)):
        return f"{group} takes one option, not a list; there are {', '.join(known)}"
    unknown = [name for name in wanted(one, library) if name not in known]
    problems = [f"{group} has no option {name!r}{nearest(name, known) or _all_of(known)}" for name in unknown]
    return "; ".join(problems) or None


def wanted(one: Typed, library: Library) -> list[str]:
    """The options that an override names, all of a sweep's together."""
    values = one.values(list(library.options(one.key)))
    names = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return [str(name) for name in names if name is not None]


def group_choices(swept: Sequence[Typed], library: Library) -> list[list[str]]:
    """The choices that a sweep over groups has to be checked with.

    Args:
        swept: overrides that sweep over options.
        library: the configs to choose from.

    Returns:
        Lists of overrides. Each option is in one of them; with files of the user's own, which may set anything, there
        is a list for each combination.
    """
    each = [one.one_each(list(library.options(one.key))) for one in swept]
    if len(library.folders) > 1:
        return [list(choice) for choice in itertools.product(*each)]
    first = [choices[0] for choices in each]
    others = [
        [*first[:place], choice, *first[place + 1 :]] for place, choices in enumerate(each) for choice in choices[1:]
    ]
    return [first, *others]


def _none_of(group: str) -> str:
    if group in LIST_GROUPS:
        return f"{group}=[] chooses none"
    return "leave it out" if group == "experiment" else f"`nnlab list {group}` shows them"


def _all_of(names: Sequence[str]) -> str:
    return f"; there are {', '.join(names)}" if names else ""

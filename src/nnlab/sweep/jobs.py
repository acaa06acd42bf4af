"""Which members of a plan are trained together, and which alone, and why."""

import copy
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, final

import torch

from nnlab.data.folds import num_held_out
from nnlab.device import own_cores
from nnlab.rows import Rows
from nnlab.sweep.plan import MOST_WITH_FIGURES, PlannedMember
from nnlab.sweep.probe import Probe, build_probe, fitting_key
from nnlab.sweep.widths import num_stacks
from nnlab.words import counted

#: seconds of work below which no process is started for it
LEAST_WORK_S = 2.0
#: seconds that a member takes beside its training, with figures and without
FINISHING_S = (0.05, 0.8)
#: sentences on the data that a sweep prints; members with data of their own may have many
MOST_NOTES = 8
#: of what tells members apart, in a line on where they go
MOST_CHARACTERS = 60


@final
@dataclass(frozen=True)
class Job:
    """What one worker does at a time.

    Args:
        places: of its members among those to be trained.
        is_stack: whether they are trained as one.
    """

    places: tuple[int, ...]
    is_stack: bool


@final
@dataclass
class Jobs:
    """Everything that is to be done, in order.

    Args:
        jobs: the longest first.
        num_workers: processes that do them; 1 for this one.
        lines: what goes where and why.
        notes: what has to be said of the data.
    """

    jobs: list[Job] = field(default_factory=list)
    num_workers: int = 1
    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plan_jobs(
    members: Sequence[PlannedMember],
    plugins: Sequence[str],
    begun: Mapping[int, int],
    num_workers: int | None = None,
    check: Callable[[Mapping[str, Any]], None] | None = None,
    done: Sequence[PlannedMember] = (),
) -> Jobs:
    """Divide members among stacks and workers.

    Args:
        members: those to be trained.
        plugins: packages that are granted.
        begun: the stack width that a member was begun with, by its place; such members stay with what they began as.
        num_workers: processes at a time; None for one a core, or one where there is little to do.
        check: raises ConfigError for a config that may not be begun, and so not be built to look at; None for none.
        done: those that were trained in stacks; what would have been with them has their bits, as a stack of one.

    Returns:
        The jobs. Each member is in one.
    """
    shared, probes = Rows(), dict[str, Probe]()
    own = [_probe(member, plugins, shared, probes, check) for member in members]
    work_us = sum(
        probe.steps * probe.lone_us + 1e6 * FINISHING_S[bool(member.config.get("figures"))]
        for member, probe in zip(members, own, strict=True)
    )
    workers = num_workers or (1 if work_us < 1e6 * LEAST_WORK_S or not _on_cpu(members) else own_cores())
    found = _sorted(members, own, begun, done)
    jobs = Jobs()
    for group in found.groups.values():
        parts = _divided(group.places, num_stacks(len(group.places), group.width, workers))
        if not group.has_begun and _gain_compiled(own[group.places[0]], len(group.places) / len(parts)):
            found.reasons.setdefault(_COMPILED, []).extend(group.places)
            continue
        jobs.jobs += [Job(tuple(part), True) for part in parts]
        sizes = sorted({len(part) for part in parts}, reverse=True)
        line = f"{counted(len(group.places), 'member')} in {counted(len(parts), 'stack')} of"
        jobs.lines.append(f"{line} {' and '.join(map(str, sizes))}{_which(group.places, members)}")
    jobs.lines += _lines_of_folds(found)
    for text, places in found.reasons.items():
        jobs.jobs += [Job((place,), False) for place in places]
        jobs.lines.append(f"{counted(len(places), 'member')} alone{_which(places, members)}: {text}")
    if len(members) > MOST_WITH_FIGURES and not members[0].config.get("figures") and not _chooses_figures(members[0]):
        text = f"no figures of single members, as there are more than {MOST_WITH_FIGURES}: 'figures=[png]' draws them"
        jobs.lines.append(text)
    jobs.num_workers = min(workers, max(1, len(jobs.jobs)))
    notes = list(dict.fromkeys(note for probe in probes.values() for note in probe.notes))
    more = len(notes) - MOST_NOTES
    jobs.notes = [*notes[:MOST_NOTES], *([f"{more:,} more on the data, in the logs of the runs"] if more > 0 else [])]
    return jobs


@dataclass
class _Group:
    """Members that fit together.

    Args:
        places: theirs.
        width: the most that one stack takes.
        has_begun: whether some of it were trained in a stack already.
    """

    places: list[int] = field(default_factory=list)
    width: int = sys.maxsize
    has_begun: bool = False


@dataclass
class _Sorted:
    """Members by how they are trained.

    Args:
        groups: those that go into stacks, by what they share.
        reasons: the places of the others, by why.
        held_out: the rows that folds hold out, by what members share but for them.
    """

    groups: dict[str, _Group] = field(default_factory=dict)
    reasons: dict[str, list[int]] = field(default_factory=dict)
    held_out: dict[str, set[int]] = field(default_factory=dict)


def _sorted(
    members: Sequence[PlannedMember],
    probes: Sequence[Probe],
    begun: Mapping[int, int],
    done: Sequence[PlannedMember],
) -> _Sorted:
    """Which members fit together, and which go alone."""
    found, num_dealt = _Sorted(), dict[str, int]()
    for place, (member, probe) in enumerate(zip(members, probes, strict=True)):
        key = fitting_key(member.config)
        num_dealt[key] = probe.num_dealt
        held_out = _held_out(member.config, probe.num_dealt)
        found.held_out.setdefault(key, set()).add(held_out)
        began_alone = begun.get(place) == 1
        if began_alone:
            found.reasons.setdefault("they were begun alone", []).append(place)
        elif probe.reason is not None or (probe.width == 1 and place not in begun):
            text = probe.reason or f"a step of {probe.lone_us / 1000:.1f} ms gains nothing from a stack"
            found.reasons.setdefault(text, []).append(place)
        else:
            group = found.groups.setdefault(f"{key} {held_out}", _Group())
            group.places.append(place)
            # One that was begun in a stack stays in one, be it of itself alone.
            group.width = min(group.width, max(2, probe.width))
            group.has_begun |= place in begun
    keys = [(member, fitting_key(member.config)) for member in done]
    of_done = {f"{key} {_held_out(member.config, num_dealt.get(key, 0))}" for member, key in keys}
    for key, group in list(found.groups.items()):
        group.has_begun |= key in of_done
        if len(group.places) == 1 and group.places[0] not in begun and key not in of_done:
            del found.groups[key]
            found.reasons.setdefault("no other one fits together with it", []).extend(group.places)
    return found


#: why members go alone that would fit together
_COMPILED = "one by one, by compiled steps, they are done sooner than in a stack"


def _gain_compiled(probe: Probe, num_members: float) -> bool:
    return probe.compiled is not None and probe.compiled.gains_compiled(int(num_members), probe.steps_per_epoch)


def _which(places: Sequence[int], members: Sequence[PlannedMember]) -> str:
    """What some members were all told and not every member was, in parentheses; nothing if there is no such thing."""
    shared = [text for text in members[places[0]].overrides if all(text in members[p].overrides for p in places)]
    own = ", ".join(text for text in shared if any(text not in member.overrides for member in members))
    return f" ({own if len(own) <= MOST_CHARACTERS else f'{own[:MOST_CHARACTERS]}…'})" if own else ""


def _lines_of_folds(found: _Sorted) -> list[str]:
    """Why members of a cross-validation share no stack."""
    lines = []
    for sizes in found.held_out.values():
        if len(sizes) > 1 and found.groups:
            text = " and ".join(f"{size:,}" for size in sorted(sizes))
            lines.append(f"folds of {text} rows share no stack, as their last batches differ in size")
    return lines


def _probe(
    member: PlannedMember,
    plugins: Sequence[str],
    shared: Rows,
    probes: dict[str, Probe],
    check: Callable[[Mapping[str, Any]], None] | None,
) -> Probe:
    """What is known of a member, once for all that are like it."""
    config = member.config
    kind = [config["optim"].get("_target_"), sorted(config["callback"]), config["trainer"].get("max_epochs")]
    key = fitting_key(config) + json.dumps([*kind, config["trainer"].get("max_steps")], default=str)
    if key not in probes:
        try:
            own = {**copy.deepcopy(dict(config)), "plugins": list(plugins)}
            if check is not None:
                check(own)
            probes[key] = build_probe(own, member, shared)
        except Exception as error:  # whatever it is, it is said when it is the member's turn
            probes[key] = Probe(
                f"it cannot be built ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
            )
    return probes[key]


def _held_out(config: Mapping[str, Any], num_rows: int) -> int:
    """The validation rows of a member of a cross-validation; 0 for any other."""
    folds, fold = config["data"].get("folds"), config["data"].get("fold", 0)
    return num_held_out(num_rows, folds, fold) if isinstance(folds, int) and isinstance(fold, int) else 0


def _chooses_figures(member: PlannedMember) -> bool:
    return any(text.lstrip("+").startswith("figures=") for text in member.overrides)


def _divided(places: Sequence[int], num_parts: int) -> list[list[int]]:
    """Neighbours together, in parts as equal as they can be."""
    edges = [round(part * len(places) / num_parts) for part in range(num_parts + 1)]
    return [list(places[start:end]) for start, end in pairwise(edges) if end > start]


def _on_cpu(members: Sequence[PlannedMember]) -> bool:
    devices = {str(member.config.get("device")) for member in members}
    return devices <= {"cpu"} or (devices <= {"cpu", "auto"} and not torch.cuda.is_available())

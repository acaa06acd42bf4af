"""The plan of a sweep: every member with its whole config, frozen in ``plan.json`` before the first one begins."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from nnlab.check.value_type import shown
from nnlab.config import ConfigError
from nnlab.durable import write_atomic
from nnlab.folder import JSON_LIMIT, SCHEMA_VERSION, FolderError, read_json
from nnlab.run_record import MOST_CHARACTERS
from nnlab.run_record import shown as shown_foreign
from nnlab.sweep.plan_check import checked_members
from nnlab.words import counted

PLAN_FILE = "plan.json"
#: options of hydra/launcher that make one
PLANNING_LAUNCHERS = ("vectorized", "ray", "submitit_local", "submitit_slurm")
#: a sweep of more members draws no figures of single ones unless it is told to; the comparison has its own
MOST_WITH_FIGURES = 20


@final
@dataclass(frozen=True)
class PlannedMember:
    """One member of a sweep before it begins.

    Args:
        number: its place in the sweep, from 0.
        folder: its own, directly in the sweep's.
        name: the run's name.
        overrides: what was typed, with its own values in place of the lists.
        config: resolved, plain values; members share what is equal, so that nobody may change it.
        options: the option chosen for each group.
    """

    number: int
    folder: Path
    name: str
    overrides: tuple[str, ...]
    config: Mapping[str, Any]
    options: Mapping[str, Any]


@final
@dataclass(frozen=True)
class Plan:
    """All that a sweep is going to train.

    Args:
        folder: the sweep's.
        command: what was typed.
        members: in the order of their numbers.
    """

    folder: Path
    command: str
    members: tuple[PlannedMember, ...]

    def write(self) -> None:
        """Freeze the plan. This is what makes a folder a sweep's: everything else of its start is written before.

        Raises:
            ConfigError: if there are more members than can be read again.
            OSError: as from the file system.
        """
        write_atomic(self.folder / PLAN_FILE, self.payload())

    def payload(self) -> bytes:
        """The content of ``plan.json``.

        Raises:
            ConfigError: if there are more members than can be read again.
        """
        head = {"schema_version": SCHEMA_VERSION, "created": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        text = json.dumps(head | {"command": self.command}, ensure_ascii=False)
        # A line for each member: what a person searches in, and what two plans differ by, is found line by line.
        members = ",\n".join(json.dumps(_record(member), ensure_ascii=False) for member in self.members)
        payload = f'{text[:-1]}, "members": [\n{members}\n]}}\n'.encode()
        if len(payload) > JSON_LIMIT:
            raise ConfigError(
                f"{len(self.members):,} members are more than a plan can hold ({JSON_LIMIT:,} bytes): make several "
                "sweeps of them; `nnlab compare` takes any number"
            )
        return payload


def read_plan(folder: Path) -> Plan:
    """Read the plan of a sweep, as if a stranger had written it.

    Args:
        folder: the sweep's.

    Returns:
        The plan. Its members lie directly in the folder.

    Raises:
        FolderError: if plan.json is missing, damaged, newer than this nnlab, or says what no plan says.
    """
    path = folder / PLAN_FILE
    content = read_json(path)
    version, command = content.get("schema_version"), content.get("command")
    if not isinstance(version, int) or not isinstance(command, str):
        raise FolderError(f"{path}: schema_version or command is missing; it is damaged: put it back from a copy")
    if version > SCHEMA_VERSION:
        raise FolderError(
            f"{path}: schema_version: expected up to {SCHEMA_VERSION}, which this nnlab reads, found {version}"
        )
    members = tuple(
        PlannedMember(
            one["number"], folder / one["folder"], one["name"], tuple(one["overrides"]), one["config"], one["options"]
        )
        for one in checked_members(path, content.get("members"))
    )
    return Plan(folder, command, members)


def differences(old: Plan, new: Plan) -> list[str]:
    """What two plans differ by.

    Args:
        old: the one that is frozen.
        new: the one that a command makes now.

    Returns:
        A sentence for each difference; none if both train the same. The order of overrides is no difference.
    """
    changed: dict[tuple[str, str, str], list[int]] = {}
    for before, now in zip(old.members, new.members, strict=False):
        for key, was, is_now in _changes(before, now):
            changed.setdefault((key, was, is_now), []).append(before.number)
    counts = [counted(len(plan.members), "member") for plan in (old, new)]
    found = [] if counts[0] == counts[1] else [f"{counts[0]} in the plan, {counts[1]} now"]
    return found + [f"{key}: {was} in the plan, {now} now ({_named(n)})" for (key, was, now), n in changed.items()]


def plan_lines(plan: Plan) -> list[str]:
    """A plan for people: a line for each choice of groups.

    Args:
        plan: any.

    Returns:
        How many members there are, then for each choice how many, what tells it from the others, and their folders.
    """
    groups: dict[str, list[PlannedMember]] = {}
    for member in plan.members:
        groups.setdefault(json.dumps(member.options, sort_keys=True), []).append(member)
    firsts = [members[0].options for members in groups.values()]
    keys = [key for key in firsts[0] if len({json.dumps(options.get(key)) for options in firsts}) > 1]
    lines = []
    for members in groups.values():
        named = " ".join(f"{key}={_option(members[0].options.get(key))}" for key in keys)
        folders = [members[0].folder.name, members[-1].folder.name][: len(members)]
        lines.append(f"  {counted(len(members), 'member'):>14}  {named}{'  ' * bool(named)}{' … '.join(folders)}")
    return [counted(len(plan.members), "member"), *lines]


def relative(path: Path) -> Path:
    """A folder as it is shortest named from here."""
    here, path = Path.cwd(), Path(os.path.abspath(path))
    return path.relative_to(here) if path.is_relative_to(here) else path


def _record(member: PlannedMember) -> dict[str, Any]:
    return {
        "number": member.number,
        "folder": member.folder.name,
        "name": member.name,
        "overrides": member.overrides,
        "options": member.options,
        "config": member.config,
    }


def _changes(before: PlannedMember, now: PlannedMember) -> list[tuple[str, str, str]]:
    """Keys with what they were and what they are now."""
    options = list(_between(before.options, now.options))
    replaced = {key for key, *_ in options}
    # What else a group has with another option follows from that.
    values = [one for one in _between(before.config, now.config) if one[0].partition(".")[0] not in replaced]
    names = _between({"name": before.name, "folder": before.folder.name}, {"name": now.name, "folder": now.folder.name})
    return [*options, *values] or list(names)


def _between(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if before == now and repr(before) == repr(now):
        return
    old, new = dict(_flat("", before)), dict(_flat("", now))
    for key in old | new:
        was, is_now = (_shown(values[key]) if key in values else "nothing" for values in (old, new))
        # Their texts: nan is unequal to itself, and 1 equal to True.
        if was != is_now or repr(old[key]) != repr(new[key]):
            yield key, was, is_now


def _shown(value: Any) -> str:
    """A value as it is typed, unless it is too long for that, or nothing for a terminal."""
    text = shown(value)
    return text if text.isprintable() and len(text) <= MOST_CHARACTERS else shown_foreign(value)


def _flat(prefix: str, value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from _flat(f"{prefix}{key}.", item)
        else:
            yield f"{prefix}{key}", item


def _option(option: Any) -> str:
    return f"[{','.join(map(str, option))}]" if isinstance(option, list) else str(option).replace("None", "null")


def _named(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"member {numbers[0]}"
    if len(numbers) > 3:
        return f"{len(numbers):,} members, {numbers[0]} the first"
    return f"members {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"

"""What a run is, from its files alone, as a page for people or as JSON. Everything in the files is text, no more."""

import json
import re
import shlex
import textwrap
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnlab.folder import METRICS_FILE, RESULT_FILE, RUN_FILE, FolderError, plain
from nnlab.manifest import MANIFEST_FILE, check_some
from nnlab.pointer import CHECKPOINTS, POINTERS, read_pointer
from nnlab.report.members import is_run, members_of
from nnlab.report.state import UNFINISHED, RunState, last_row, read_state
from nnlab.report.text import file_size, number, shown
from nnlab.tree import Tree, read_tree
from nnlab.words import counted

#: config group -> what its line is called; those of several options name each
_COMPONENTS = {
    "data": "data",
    "model": "model",
    "init": "init",
    "loss": "loss",
    "optim": "optimizer",
    "schedule": "schedule",
    "gradient": "gradient",
    "trainer": "trainer",
}
_LISTS = {"metric": "metrics", "callback": "callbacks", "logger": "loggers"}
_WIDTH = 110
_INDENT = 14
#: keeps a key and its value on one line; ``shown`` lets none through from a file
_TIE = "\u00a0"
_NUMBERED = re.compile(rf"{CHECKPOINTS}/(\d{{1,18}})\.(safetensors|json)")


def inspect(folder: Path, as_json: bool = False) -> tuple[str, int]:
    """What `nnlab inspect` prints.

    Args:
        folder: that of a run, or one that holds runs.
        as_json: run.json and result.json merged, rather than a page; of a sweep, a list of them.

    Returns:
        The text and the exit code: 0, or 2 where a member's files cannot be read.

    Raises:
        FolderError: if there is no run, or its files say things of the wrong type.
    """
    try:
        return _of_run(folder, as_json) if is_run(folder) else _of_members(folder, as_json)
    except RecursionError:
        raise FolderError(f"the files in {folder} are nested too deeply to be a run's") from None


def _of_run(folder: Path, as_json: bool) -> tuple[str, int]:
    state = read_state(folder)
    return (_json(_merged(state)) if as_json else _page(state)), 0


def _of_members(folder: Path, as_json: bool) -> tuple[str, int]:
    states, problems = {}, {}
    for path in members_of(folder, (RUN_FILE, RESULT_FILE)):
        try:
            states[path] = read_state(path)
        except FolderError as error:
            problems[path] = str(error)
    code = 2 if problems else 0
    if as_json:
        wrong = [{"folder": str(path), "error": problem} for path, problem in problems.items()]
        return _json([*map(_merged, states.values()), *wrong]), code
    count = len(states) + len(problems)
    lines = [f"{shown(str(folder))}: {counted(count, 'run')}", *_member_lines(list(states.values()))]
    return "\n".join([*lines, *(f"  {shown(p.name)}  {shown(problem)}" for p, problem in problems.items())]), code


def _merged(state: RunState) -> dict[str, Any]:
    doubts = {"doubts": found} if (found := _doubts(state.folder)) else {}
    about = {"folder": str(state.folder), "in_use": state.is_in_use}
    return (state.run or {}) | (state.result or {}) | about | doubts


def _json(content: Any) -> str:
    # ASCII only: every control character, and what reorders text, is escaped.
    return json.dumps(plain(content), indent=2, ensure_ascii=True)


def _member_lines(states: list[RunState]) -> list[str]:
    rows = [_member_row(state) for state in states]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _doubts(folder: Path) -> list[str]:
    """What is told here from a file that is not as the manifest has it, a sentence for each."""
    if not (folder / MANIFEST_FILE).exists():
        return []
    findings = check_some(folder, (RUN_FILE, RESULT_FILE, METRICS_FILE).__contains__)
    return [
        f"{finding.path}: {finding.severity}: {finding.problem}"
        if finding.severity != "extra"
        else f"{finding.path}: not as in {MANIFEST_FILE}: newer, as in a run that goes on or was killed, or damaged"
        for finding in findings
    ]


def _member_row(state: RunState) -> list[str]:
    result = state.result or {}
    best, test = result.get("best", {}), result.get("test", {})
    text = f"best {shown(best.get('metric'), 40)} {number(best.get('value'))}" if best else ""
    if result.get("error"):
        text = shown(result["error"])
    steps = f"{number(result['epochs'])} epochs" if result else ""
    loss = f"test loss {number(test['loss'])}" if "loss" in test else ""
    loss += "".join(f"  {shown(doubt)}" for doubt in _doubts(state.folder))
    return [shown(state.folder.name, 64), shown(state.status, 20), steps, text, loss]


def _page(state: RunState) -> str:
    tree = read_tree(state.folder)
    run, result = state.run or {}, state.result or {}
    lines = [f"{shown(run.get('name'))}: a run of nnlab in {shown(str(state.folder), 1000)}"]
    lines += _status_lines(state)
    lines += [line for doubt in _doubts(state.folder) for line in _row("doubt", shown(doubt, 1000))]
    lines += _row("created", shown(run.get("created")))
    overrides = shlex.join(run.get("overrides", []))
    lines += _row("command", shown(f"nnlab train {overrides}".rstrip(), 4000), is_whole=True)
    if isinstance(run.get("data"), dict):
        lines += _row("columns", _pairs(run["data"]))
    lines += _component_lines(run)
    lines += _row("seed", number(run.get("seed")))
    choices = dict(run.get("choices", {}))
    reason = choices.pop("engine_reason", None)
    lines += _row("device", _pairs(choices))
    lines += _row("engine", shown(f"{choices.get('engine')}: {reason}", 300)) if reason else []
    lines += _row("versions", _pairs(run.get("versions", {})))
    lines += _row("git commit", shown(run.get("git_commit") or "none recorded"))
    lines += _result_lines(state, result)
    lines += _checkpoint_lines(state.folder, tree)
    lines += _file_lines(tree)
    lines += [line for note in result.get("notes", []) for line in _row("note", shown(note, 1000))]
    lines += [line for entry in run.get("history", []) for line in _row("history", _pairs(entry))]
    return "\n".join(lines)


def _status_lines(state: RunState) -> list[str]:
    status, result = state.status, state.result or {}
    reasons = {
        "killed": "it was running, and no process works on it any more",
        "running": "a process works on it",
    }
    reason = reasons.get(status, result.get("reason", ""))
    lines = _row("status", shown(f"{status}: {reason}".rstrip(": "), 1000))
    if result.get("error"):
        lines += _row("error", shown(result["error"], 1000))
    if status in UNFINISHED:
        lines += _row("go on", shown(f"nnlab resume {shlex.quote(str(state.folder))}", 1000), is_whole=True)
    return lines


def _component_lines(run: Mapping[str, Any]) -> list[str]:
    config, options = run.get("config", {}), run.get("options", {})
    lines = []
    for group, title in _COMPONENTS.items():
        if group in config:
            values = _pairs(config[group]) if isinstance(config[group], dict) else shown(config[group])
            name = shown(options.get(group, "?"), 80)
            lines += _row(title, f"{name}: {values}".rstrip(": "))
    for group, title in _LISTS.items():
        node = config.get(group)
        if isinstance(node, dict) and node:
            parts = (
                (shown(name, 80), _pairs(values) if isinstance(values, dict) else "") for name, values in node.items()
            )
            lines += _row(title, ", ".join(f"{name} ({values})" if values else name for name, values in parts))
    return lines


def _result_lines(state: RunState, result: Mapping[str, Any]) -> list[str]:
    lines = []
    if result:
        counts = f"{number(result['epochs'])} epochs, {number(result['steps'])} steps, {_duration(result['seconds'])}"
        lines += _row(
            "length", counts + (", up to its last checkpoint" if state.status in ("killed", "running") else "")
        )
    if state.status in ("killed", "running") and (row := last_row(state.folder)):
        lines += _row("last row", _pairs(row))
    for key, title in (("final", "final"), ("best", "best"), ("test", "test")):
        if result.get(key):
            lines += _row(title, _pairs(result[key]))
    return lines


def _checkpoint_lines(folder: Path, tree: Tree) -> list[str]:
    sizes: Counter[int] = Counter()
    for name, num_bytes in tree.files.items():
        if match := _NUMBERED.fullmatch(name):
            sizes[int(match[1])] += num_bytes
    pointers: dict[int, list[str]] = {step: [] for step in sizes}
    problems = []
    for which in POINTERS:
        if f"{CHECKPOINTS}/{which}.json" in tree.files:
            try:
                pointers.setdefault(read_pointer(folder / CHECKPOINTS / f"{which}.json").step, []).append(which)
            except FolderError as error:
                problems.append(f"{which}: {shown(str(error), 1000)}")
    lines = []
    for step, names in sorted(pointers.items(), reverse=True):
        size = file_size(sizes[step]) if step in sizes else "its files are missing"
        lines += _row("checkpoint", f"step {step:,}: {', '.join(names) or 'no pointer names it'}; {size}")
    return lines + [line for problem in problems for line in _row("checkpoint", problem)]


def _file_lines(tree: Tree) -> list[str]:
    figures = [name.removeprefix("figures/") for name in tree.files if name.startswith("figures/")]
    lines = _row("figures", shown(", ".join(figures), 1000)) if figures else []
    return lines + _row("files", f"{len(tree.files):,} files, {file_size(sum(tree.files.values()))}")


def _row(title: str, text: str, is_whole: bool = False) -> list[str]:
    """A line of the page, continued below where it is long; whole for what is to be copied."""
    pieces = [text] if is_whole else textwrap.wrap(text, _WIDTH - _INDENT, break_on_hyphens=False)
    pieces = [piece.replace(_TIE, " ") for piece in pieces]
    begin = f"  {title}".ljust(_INDENT)
    return [(begin if index == 0 else " " * _INDENT) + piece for index, piece in enumerate(pieces or [""])]


def _pairs(values: Mapping[str, Any]) -> str:
    """The keys of an object with their values, those that say something: neither null nor false, empty or 0.0."""
    said = [(key, value) for key, value in values.items() if key != "_target_" and not _is_nothing(value)]
    return ", ".join(f"{shown(key, 80)}{_TIE}{_value(value)}" for key, value in said[:60]) + ", …" * (len(said) > 60)


def _is_nothing(value: Any) -> bool:
    return value is None or value is False or value in ([], {}, "") or (isinstance(value, float) and value == 0)


def _value(value: Any) -> str:
    if isinstance(value, dict) and isinstance(value.get("_target_"), str):
        rest = _pairs(value)
        return shown(value["_target_"].rpartition(".")[2], 60) + (f" ({rest})" if rest else "")
    return shown(value, 60) if isinstance(value, str) else number(value)


def _duration(seconds: int | float) -> str:
    if not 0 <= seconds < 1e9:
        return f"{number(seconds)} s"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, hours = int(seconds) // 60, int(seconds) // 3600
    return f"{minutes} min {int(seconds) % 60} s" if hours < 2 else f"{hours} h {minutes % 60} min"

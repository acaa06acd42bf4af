"""Whether the files of a run are whole: each compared with the manifest, a line for each that is not."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from nnlab.lock import is_locked
from nnlab.manifest import Finding, check_files
from nnlab.report.members import is_run, members_of
from nnlab.report.text import file_size, shown
from nnlab.tree import read_tree
from nnlab.words import counted

#: files unknown to the manifest that are named; more are only counted
_NUM_EXTRA = 10


@dataclass(frozen=True)
class Verdict:
    """What `nnlab verify` prints, and its exit code: 0 whole, 1 damage."""

    text: str
    code: int


def verify(folder: Path) -> Verdict:
    """Check the files of a run, or of every run in a sweep.

    Args:
        folder: that of a run, or one that holds runs.

    Returns:
        A line for each file that is damaged, missing or unknown to the manifest, and a summary.

    Raises:
        FolderError: if there is no run.
    """
    if is_run(folder):
        report = _report(folder)
        return Verdict("\n".join([*report.lines, report.summary]), int(report.is_damaged))
    reports = {path.name: _report(path) for path in members_of(folder)}
    lines = []
    for name, report in reports.items():
        lines += [f"{shown(name)}: {report.summary}", *(f"  {line}" for line in report.lines)]
    num_damaged = sum(report.is_damaged for report in reports.values())
    total = _counted(sum(r.num_files for r in reports.values()), sum(r.num_bytes for r in reports.values()))
    count = counted(len(reports), "run")
    lines.append(f"{count}, {total}: {f'{num_damaged} damaged' if num_damaged else 'whole'}")
    return Verdict("\n".join(lines), int(num_damaged > 0))


@dataclass(frozen=True)
class _Report:
    lines: list[str]
    summary: str
    is_damaged: bool
    num_files: int
    num_bytes: int


def _report(folder: Path) -> _Report:
    findings = check_files(folder)
    sizes = read_tree(folder).files
    found = Counter(finding.severity for finding in findings)
    is_damaged = found["damaged"] + found["missing"] > 0
    verdict = ", ".join(f"{found[severity]} {severity}" for severity in ("damaged", "missing") if found[severity])
    if found["extra"]:
        verdict = f"{verdict or 'whole'}, {found['extra']} not in the manifest"
    summary = f"{_counted(len(sizes), sum(sizes.values()))}: {verdict or 'whole'}"
    if not is_damaged and found["extra"] and _is_in_use(folder):
        summary += " (a process works on this run)"
    return _Report(_lines(findings), summary, is_damaged, len(sizes), sum(sizes.values()))


def _lines(findings: list[Finding]) -> list[str]:
    extra = [finding for finding in findings if finding.severity == "extra"]
    hidden = extra[_NUM_EXTRA:]
    lines = [
        f"{shown(finding.path)}: {finding.severity}: {shown(finding.problem)}"
        for finding in findings
        if finding not in hidden
    ]
    return lines + ([f"and {len(hidden)} more that the manifest does not know"] if hidden else [])


def _is_in_use(folder: Path) -> bool:
    try:
        return is_locked(folder)
    except ValueError:
        return False  # a .lock that is no plain file is among the findings already


def _counted(num_files: int, num_bytes: int) -> str:
    return f"{num_files} {'file' if num_files == 1 else 'files'}, {file_size(num_bytes)}"

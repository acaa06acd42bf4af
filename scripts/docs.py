"""Runs every command of README.md and docs/, and writes what it prints and draws into the pages.

    python scripts/docs.py            bring the pages up to date
    python scripts/docs.py --check    say where they no longer show what happens, exit code 1

In a page, a ```bash block is run through bash, in a folder of its own for each page, and a ```python block in Python;
a ```text block right below shows what was printed. A figure is an image with a comment that says where a run left it:

    <!-- figure: outputs/rings/*/figures/decision_map.png -->
    ![…](figures/rings.png)

docs/reference.md is written whole, from the configs.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

from nnlab.config import GROUPS, Library

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    "README.md",
    "docs/first-steps.md",
    "docs/tutorial.md",
    "docs/own-data.md",
    "docs/own-parts.md",
    "docs/python.md",
    "docs/trainer.md",
    "docs/scikit-learn.md",
    "docs/speed.md",
    "docs/sweeps.md",
    "docs/scaling.md",
    "docs/comparison.md",
    "docs/learning-rate.md",
    "docs/reliability.md",
    "docs/meaning.md",
]
BLOCK = re.compile(r"```(bash|python)\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)
FIGURE = re.compile(r"<!-- figure: (\S+) -->\n!\[[^]]*\]\((\S+)\)")
#: commands that are shown but not run here, each because something else runs it
SHOWN_ONLY = ("make ", "git clone", "eval ", "nnlab dashboard")
STAMP = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(_\d+)?")
#: what differs from run to run: the speed and the time of day
TIMING = re.compile(
    r"[\d,]+ steps/s|\d+:\d\d left|[\d.]+ s(?![\w/])|[\d.]+ ms|[\d,]+ times as fast|largest difference [\d.e-]+"
)
#: each command has a core to itself, so that a sweep says the same of its stacks and workers on every machine
_CORES: Queue[int] = Queue()
for _core in sorted(os.sched_getaffinity(0)):
    _CORES.put(_core)
NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
#: relative difference of a printed number that another processor may bring
TOLERANCE = 0.25
#: what is smaller than this is rounding, which is another on each processor
ROUNDING = 1e-12


def main() -> int:
    """Update or check all pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if a page is out of date")
    parser.add_argument("pages", nargs="*", help=f"some of {', '.join(PAGES)}, docs/reference.md; all if none is named")
    arguments = parser.parse_args()
    wanted = arguments.pages or [*PAGES, "docs/reference.md"]
    problems = []
    # Each page has a folder of its own, and most of the time goes into starting Python: two at once take half of it.
    with ThreadPoolExecutor(max_workers=min(2, _CORES.qsize())) as pool:
        made = list(pool.map(render, wanted))
    for name, (text, figures) in zip(wanted, made, strict=True):
        path = ROOT / name
        if arguments.check:
            problems += [f"{name}: {problem}" for problem in differences(path, text, figures)]
        else:
            path.write_text(text)
            for target, source in figures.items():
                (path.parent / target).parent.mkdir(exist_ok=True)
                (path.parent / target).write_bytes(source)
            print(f"{name}: {len(figures)} figures")
    print("\n".join(problems))
    return 1 if problems else 0


def render(name: str) -> tuple[str, dict[str, bytes]]:
    """A page as it should be now, and its pictures."""
    return (reference(), {}) if name == "docs/reference.md" else page((ROOT / name).read_text())


def page(text: str) -> tuple[str, dict[str, bytes]]:
    """A page with what its commands print now, and the pictures that it shows."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)

        def replace(match: re.Match[str]) -> str:
            language, code, shown = match.groups()
            printed = run(language, code, work)
            block = f"```{language}\n{code}```\n"
            return block if shown is None else f"{block}\n```text\n{printed}```\n"

        updated = BLOCK.sub(replace, text)
        figures = {}
        for pattern, target in FIGURE.findall(text):
            found = sorted(work.glob(pattern))
            if not found:
                raise SystemExit(f"no run left {pattern}")
            figures[target] = found[-1].read_bytes()
    return updated, figures


def run(language: str, code: str, work: Path) -> str:
    """What a block prints; a command that fails where none is meant to ends everything."""
    if language == "bash":
        lines = [line for line in code.splitlines() if not line.startswith(SHOWN_ONLY)]
        words = ["bash", "-c", "\n".join(lines)]
    else:
        words = [sys.executable, "-c", code]
    core = _CORES.get()
    pin = f"import os, sys; os.sched_setaffinity(0, {{{core}}}); os.execvp(sys.argv[1], sys.argv[1:])"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "COLUMNS": "110", "OMP_NUM_THREADS": "1", "NNLAB_REPOSITORY": str(ROOT)}
    environment = os.environ | own
    answer = subprocess.run(
        [sys.executable, "-c", pin, *words],
        cwd=work,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    _CORES.put(core)
    if "Traceback" in answer.stdout or answer.returncode not in (0, 2):
        raise SystemExit(f"{code}\nended with {answer.returncode}:\n{answer.stdout}")
    cleaned = STAMP.sub("2026-11-22_14-30-00", answer.stdout)
    return "".join(f"{line.rstrip()}\n" for line in cleaned.splitlines())


def differences(path: Path, text: str, figures: dict[str, bytes]) -> Iterator[str]:
    """Where a page differs from what happens, speed and small numerical differences aside."""
    before = path.read_text() if path.exists() else ""
    old, new = before.splitlines(), text.splitlines()
    for number, (a, b) in enumerate(zip(old, new, strict=False), 1):
        if not same_line(a, b):
            yield f"line {number} shows {a!r}, now it is {b!r}"
    if len(old) != len(new):
        yield f"{len(old)} lines, now {len(new)}"
    for target in figures:
        if not (path.parent / target).exists():
            yield f"{target} is missing"


def same_line(a: str, b: str) -> bool:
    """Whether two lines say the same, up to speed and to numbers that differ by a quarter."""
    a, b = TIMING.sub("#", a), TIMING.sub("#", b)
    if re.sub(r"\s+", " ", NUMBER.sub("#", a)) != re.sub(r"\s+", " ", NUMBER.sub("#", b)):
        return False
    pairs = zip(NUMBER.findall(a), NUMBER.findall(b), strict=True)
    return all(close(float(x.replace(",", "")), float(y.replace(",", ""))) for x, y in pairs)


def close(a: float, b: float) -> bool:
    """Whether two printed numbers may come from the same computation on two machines."""
    return abs(a - b) <= max(TOLERANCE * max(abs(a), abs(b)), ROUNDING)


def reference() -> str:
    """docs/reference.md: every group, option and key, from the comments in the configs."""
    library = Library()
    parts = [
        "# Reference: groups, options, keys\n",
        "Written by `scripts/docs.py` from the files in `configs/`. A group is chosen by `group=option`, a key set by\n"
        "`group.key=value`; lists are quoted for the shell, as in `'model.widths=[256,1024]'`.\n",
    ]
    for group in library.groups:
        parts.append(f"## {group}: {GROUPS.get(group, '')}\n")
        for option in library.options(group).values():
            parts.append(f"### {group}={option.name}\n\n{option.meaning}.\n")
            body = [line for line in option.path.read_text().splitlines() if not line.startswith("#") and line.strip()]
            parts.append("```yaml\n" + "\n".join(body) + "\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    if shutil.which("bash") is None:
        raise SystemExit("docs.py runs the pages' commands through bash, which is not here")
    raise SystemExit(main())

"""Every command of README and docs is run again, and prints what the pages show."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nnlab.native.library import compiler

ROOT = Path(__file__).resolve().parents[2]
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
    "docs/learning-rate.md",
    "docs/sweeps.md",
    "docs/scaling.md",
    "docs/comparison.md",
    "docs/reliability.md",
    "docs/meaning.md",
    "docs/reference.md",
]


@pytest.mark.skipif(shutil.which("bash") is None, reason="the commands are run through bash")
@pytest.mark.timeout(1200)  # more than a hundred commands, most of which start Python
@pytest.mark.skipif(compiler() is None, reason="the pages show steps that a C compiler has made (cc, gcc or clang)")
def test_pages_show_what_their_commands_do():
    answer = subprocess.run(
        [sys.executable, "scripts/docs.py", "--check", *PAGES], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, f"{answer.stdout}{answer.stderr}\n`make docs` brings the pages up to date"


def test_every_page_is_checked_and_every_link_leads_somewhere():
    pages = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} | {"README.md"}
    assert pages - {"docs/benchmarks.md"} == set(PAGES)
    for page in pages:
        text = (ROOT / page).read_text()
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"

"""TensorBoard as a process of its own, and a headless Chromium to look at it.

The browser is asked through its DevTools pipe: a page is looked at until it shows what it should.

``--dump-dom`` takes the page at one moment, which for a page that loads its data afterwards is a matter of luck.
"""

import fcntl
import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

_FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--window-size=1300,1600", "--remote-debugging-pipe"),
]

# TensorBoard's older tabs keep their content in shadow roots, which outerHTML leaves out.
_WHOLE_PAGE = """
(function whole(root) {
    const hidden = [...root.querySelectorAll("*")].filter(e => e.shadowRoot).map(e => whole(e.shadowRoot));
    return (root.innerHTML ?? document.documentElement.outerHTML) + hidden.join("");
})(document)
"""

SERVE = """
import sys
from pathlib import Path
from nnlab.report.dashboard import serve

port = None if sys.argv[2] == "next" else int(sys.argv[2])
try:
    code = serve(Path(sys.argv[1]), port)
except ValueError as error:
    print(error)
    code = 2
print(sorted({"torch", "tensorflow", "hydra"} & set(sys.modules)))
sys.exit(code)
"""


class Dashboard:
    """Starts dashboards; each ends with its block, by a signal that lets it tidy up."""

    code = SERVE

    @contextmanager
    def __call__(self, folder: Path, port: str = "0") -> Iterator[tuple["subprocess.Popen[str]", str]]:
        """The process and the address that it printed."""
        with subprocess.Popen(
            [sys.executable, "-c", SERVE, str(folder), port], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                found = re.fullmatch(r"TensorBoard on (http://127\.0\.0\.1:\d+/) \(Ctrl-C ends it\)\n", line)
                assert found, line
                yield process, found[1]
            finally:
                process.terminate()
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    process.kill()


@pytest.fixture
def dashboard() -> Dashboard:
    """Start a dashboard of a folder: ``with dashboard(folder) as (process, address):``."""
    return Dashboard()


class Browser:
    """Talks to a browser that reads commands at one pipe and answers at another."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._buffer = b""
        self._number = 0

    def shown(self, address: str, expected: set[str], timeout_s: float) -> set[str]:
        """Open a page and wait until it contains all the expected texts; those that it contains at the end."""
        deadline = time.monotonic() + timeout_s
        target = self._ask("Target.createTarget", {"url": address}, deadline)["targetId"]
        arguments = {"targetId": target, "flatten": True}
        session = self._ask("Target.attachToTarget", arguments, deadline)["sessionId"]
        while True:
            arguments = {"expression": _WHOLE_PAGE, "returnByValue": True}
            page = self._ask("Runtime.evaluate", arguments, deadline, session)["result"].get("value", "")
            found = {text for text in expected if text in page}
            if found == expected or time.monotonic() > deadline - 1:
                return found
            time.sleep(0.1)

    def run(self, address: str, expression: str, timeout_s: float = 20) -> Any:
        """The value of a JavaScript expression on a page, once it is loaded."""
        deadline = time.monotonic() + timeout_s
        target = self._ask("Target.createTarget", {"url": address}, deadline)["targetId"]
        session = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True}, deadline)["sessionId"]
        # The empty page that a target begins with is complete as well.
        ready = {"expression": "document.readyState + ' ' + location.href", "returnByValue": True}
        while self._ask("Runtime.evaluate", ready, deadline, session)["result"].get("value") != f"complete {address}":
            time.sleep(0.05)
        arguments = {"expression": expression, "returnByValue": True}
        return self._ask("Runtime.evaluate", arguments, deadline, session)["result"].get("value")

    def _ask(self, method: str, arguments: dict[str, Any], deadline: float, session: str | None = None) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": arguments}
        message |= {"sessionId": session} if session else {}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next(deadline)
            if answer.get("id") == self._number:
                return answer["result"]

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], max(0, deadline - time.monotonic()))
            assert ready, "the browser did not answer in time"
            chunk = os.read(self._answers, 1 << 20)
            assert chunk, "the browser ended"
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[Browser]:
    """A browser with a profile of its own; the test is skipped where none is installed."""
    if BROWSER is None:
        pytest.skip("no chromium on this machine")
    profile = tmp_path / "profile"
    profile.mkdir()
    # The browser wants its pipes at 3 and 4; above 9 ours cannot be in the way when the shell puts them there.
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for pair in (os.pipe(), os.pipe()) for end in _closing(pair)]
    read_commands, write_commands, read_answers, write_answers = ends
    shell = ["bash", "-c", f'exec "$@" 3<&{read_commands} 4>&{write_answers}', "bash"]
    with (
        open(profile / "browser.log", "wb") as log,
        subprocess.Popen(
            [*shell, BROWSER, *_FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(read_commands, write_answers),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "HOME": str(profile)},
        ) as process,
    ):
        os.close(read_commands)
        os.close(write_answers)
        try:
            yield Browser(write_commands, read_answers)
        finally:
            os.close(write_commands)
            os.close(read_answers)
            process.terminate()


def _closing(pair: tuple[int, int]) -> Iterator[int]:
    for end in pair:
        yield end
        os.close(end)

"""TensorBoard as users get it: a real process, real requests, a real browser."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from nnlab.figure import confusion_matrix, png
from nnlab.logger import Histogram, Image, Run, TensorBoard


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run that was interrupted after step 30 and resumed from step 10."""
    folder: Path = tmp_path_factory.mktemp("outputs") / "rings"
    (folder / "first").mkdir(parents=True)
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    picture = Image(*png(confusion_matrix(np.eye(2, dtype=int), ["a", "b"], "a run")))
    for steps, sign in [((10, 20, 30), 1), ((20, 30, 40), -1)]:
        logger = TensorBoard()
        logger.start(Run(folder / "first", {"seed": 0}, model, resumed_at=None if sign > 0 else 10))
        for step in steps:
            logger.scalars(step, {"train/loss": sign * step, "valid/loss": sign * step / 2}, time.time())
            logger.media(step, "weights/0.weight", Histogram(np.arange(step)))
            logger.media(step, "figures/confusion", picture)
        logger.close()
    return folder


def get(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return json.load(answer)


def get_until(address: str, ready: str) -> Any:
    """The data server reads the folder while it already answers."""
    deadline = time.monotonic() + 10
    while ready not in json.dumps(answer := get(address)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return answer


def children(process_id: int) -> list[int]:
    tasks = Path(f"/proc/{process_id}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


@pytest.mark.parametrize("fast", [True, False], ids=["data server", "no data server"])
def test_dashboard_run_with_everything_is_served_and_ends_without_leaving_a_child(
    runs: Path, dashboard: Any, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fast:
        monkeypatch.setenv("TENSORBOARD_DATA_SERVER_BINARY", shutil.which("false") or "")
    with dashboard(runs) as (process, address):
        tags = get_until(address + "data/plugin/scalars/tags", "train/loss")
        assert {run: sorted(found) for run, found in tags.items()} == {"first": ["train/loss", "valid/loss"]}
        served = get_until(address + "data/plugin/scalars/scalars?run=first&tag=train/loss", "-40")
        assert [(step, value) for _, step, value in served] == [(10, 10), (20, -20), (30, -30), (40, -40)]
        (category, _) = get(address + "data/plugin/custom_scalars/layout")["category"]
        assert category["chart"][0]["multiline"]["tag"] == ["^train/loss$", "^valid/loss$"]
        assert "figures/confusion" in get(address + "data/plugin/images/tags")["first"]
        assert "weights/0.weight" in get(address + "data/plugin/histograms/tags")["first"]
        assert get(address + "data/plugin/graphs/info")["first"]["run_graph"] is True
        (text, *_) = get(address + "data/plugin/text/text?run=first&tag=config")
        assert text["text"] == "<pre><code>seed: 0\n</code></pre>"

        helpers = children(process.pid)
        assert bool(helpers) is fast
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=10)
        assert (process.returncode, output) == (130, "[]\n")
        if fast:  # TensorBoard's own loader mentions the points that the resumed run withdrew
            assert errors == ""
        assert not [child for child in helpers if Path(f"/proc/{child}").exists()]


def test_dashboard_second_one_takes_the_next_port_and_both_listen_on_this_machine_alone(
    runs: Path, dashboard: Any
) -> None:
    with dashboard(runs, "next") as (first, address), dashboard(runs, "next") as (second, other):
        ports = [int(url.rstrip("/").rpartition(":")[2]) for url in (address, other)]
        assert 6006 <= ports[0] < ports[1]
        taken = subprocess.run(
            [sys.executable, "-c", dashboard.code, str(runs), str(ports[0])], capture_output=True, text=True, timeout=30
        )
        assert taken.returncode == 2
        assert taken.stdout.startswith(f"dashboard: port {ports[0]} is taken; choose another")
        if elsewhere := _address_of_this_machine():
            for port in ports:
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection((elsewhere, port), timeout=5)
        for process in (first, second):
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 143


def _address_of_this_machine() -> str | None:
    """An address that other machines could reach, if there is one; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if address.startswith("127.") else address


@pytest.mark.parametrize(
    ("folder", "port", "message"),
    [
        ("absent", None, r"nothing at .*absent; `nnlab train 'logger=\[tensorboard\]'`"),
        (".", None, r"holds no event files .*; `nnlab train 'logger=\[tensorboard\]'`"),
        ("run", 70000, r"expected a port from 0 to 65535, found 70000"),
    ],
)
def test_dashboard_nothing_to_show_or_bad_port_is_refused(
    tmp_path: Path, folder: str, port: int | None, message: str
) -> None:
    from nnlab.report.dashboard import serve

    if folder == "run":
        (tmp_path / "run").mkdir()
        (tmp_path / "run/events.out.tfevents.1.host.1.0").touch()
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match=message):
        serve(tmp_path / folder, port)
    assert signal.getsignal(signal.SIGINT) is before


def test_dashboard_in_a_browser_shows_a_card_for_each_curve_picture_and_histogram(
    runs: Path, dashboard: Any, chromium: Any
) -> None:
    cards = {f'title="{tag}"' for tag in ("train/loss", "valid/loss", "figures/confusion", "weights/0.weight")}
    charts = {"train and valid", "train/loss", "valid/loss"}
    with dashboard(runs) as (_, address):
        # With a filter TensorBoard unfolds every group.
        page = f"{address}?tagFilter=loss%7Cconfusion%7Cweight#timeseries"
        assert chromium.shown(page, cards, timeout_s=20) == cards
        assert chromium.shown(f"{address}#custom_scalars", charts, timeout_s=15) == charts

"""TensorBoard on this machine, for this machine."""

import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from nnlab.logger.event_file import PATTERN

if TYPE_CHECKING:
    from tensorboard.program import WerkzeugServer

HOST = "127.0.0.1"

#: TensorBoard's own defaults keep 10 pictures and 10 histograms of a tag, too few to watch a boundary move
SAMPLES = {"images": 100, "histograms": 100}


def serve(folder: Path, port: int | None) -> int:
    """Run TensorBoard until SIGINT or SIGTERM.

    Args:
        folder: a run, a sweep or any folder above them.
        port: the TCP port, 0 for any that is free; None for 6006 or the next free one.

    Returns:
        128 plus the signal's number: 130 or 143.

    Raises:
        ValueError: if the folder is missing or holds no event files, or the port is taken.
    """
    _check(folder)
    if port is not None and not 0 <= port < 65536:
        raise ValueError(f"dashboard: expected a port from 0 to 65535, found {port}")
    with _signals() as (stop, received), _with_names(folder.resolve()) as top, _data_server(top) as address:
        server = _launch(top, port, address)
        print(f"TensorBoard on {server.get_url()} (Ctrl-C ends it)", flush=True)
        stop.wait()
        server.shutdown()
        server.server_close()
    return 128 + received[0]


def _check(folder: Path) -> None:
    advice = "`nnlab train 'logger=[tensorboard]'` makes a run that has some, under outputs/"
    if not folder.is_dir():
        raise ValueError(f"dashboard: expected a folder of runs, found nothing at {folder}; {advice}")
    if next(folder.rglob(PATTERN), None) is None:
        raise ValueError(f"dashboard: {folder} holds no event files ({PATTERN}); {advice}")


@contextmanager
def _signals() -> Iterator[tuple[threading.Event, list[int]]]:
    """Note SIGINT and SIGTERM instead of dying from them."""
    stop, received = threading.Event(), list[int]()

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        stop.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop, received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _with_names(folder: Path) -> Iterator[Path]:
    """The folder, or one that only links to it, if event files lie in it directly.

    TensorBoard calls the run of the folder that it is given ``.``, and finds no metrics for it on the HParams tab.
    """
    if next(folder.glob(PATTERN), None) is None or not folder.name:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="nnlab-dashboard-") as scratch:
        (Path(scratch) / folder.name).symlink_to(folder, target_is_directory=True)
        yield Path(scratch)


@contextmanager
def _data_server(folder: Path) -> Iterator[str | None]:
    """TensorBoard's fast loader as a child that ends with this block.

    TensorBoard would start it itself, but then nothing waits for its end, and it tells the user about it.

    Yields:
        Its address, or None where there is none for this platform or it does not come up: TensorBoard then reads the
        event files itself, slower.
    """
    from tensorboard.data.server_ingester import NoDataServerError, get_server_binary

    try:
        binary = get_server_binary().path
    except NoDataServerError:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="nnlab-dashboard-") as scratch:
        port_file = Path(scratch) / "port"
        samples = ",".join(f"{plugin}={number}" for plugin, number in SAMPLES.items())
        command = [binary, f"--logdir={folder}", f"--host={HOST}", "--port=0", f"--port-file={port_file}"]
        command += [f"--samples-per-plugin={samples}", "--reload=2", "--die-after-stdin"]
        # Its own session: Ctrl-C in a terminal reaches this process alone, which then ends the child.
        with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as child:
            try:
                port = _wait_for_port(port_file, child)
                yield f"{HOST}:{port}" if port else None
            finally:
                child.terminate()


def _wait_for_port(port_file: Path, child: "subprocess.Popen[bytes]", timeout_s: float = 10.0) -> int | None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and child.poll() is None:
        if port_file.exists() and (text := port_file.read_text()).endswith("\n"):
            return int(text)
        time.sleep(0.01)
    return None


def _launch(folder: Path, port: int | None, address: str | None) -> "WerkzeugServer":
    """Start answering in a thread of its own."""
    # Only here: it costs half a second, and a mistyped folder should be told at once.
    from tensorboard import program

    servers: list[WerkzeugServer] = []

    def make(app: object, flags: object) -> "WerkzeugServer":
        servers.append(program.create_port_scanning_werkzeug_server(app, flags))
        return servers[0]

    board = program.TensorBoard(server_class=make)
    board.configure(
        logdir=str(folder),
        host=HOST,
        port=port,
        grpc_data_provider=address or "",
        load_fast="false",
        samples_per_plugin=SAMPLES,
    )
    try:
        board.launch()
    except program.TensorBoardPortInUseError:
        raise ValueError(
            f"dashboard: port {port} is taken; choose another, or none for the first free one from 6006 on"
        ) from None
    except program.TensorBoardServerException as error:
        raise ValueError(f"dashboard: {error.msg}") from None
    return servers[0]

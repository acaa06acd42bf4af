"""TensorBoard's graph tab of what `nnlab graph` writes: a real process, asked over HTTP."""

import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from google.protobuf import text_format
from tensorboard.compat.proto.graph_pb2 import GraphDef

from nnlab.cli import main


def text_when_ready(address):
    """The data server reads the folder while TensorBoard already answers."""
    deadline = time.monotonic() + 15
    while True:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_graph_tab_of_a_written_folder_serves_every_node_and_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["graph", "data=iris", "model.depth=1", "model.width=5"]) == 0
    folder = re.search(r"nnlab dashboard (\S+)", capsys.readouterr().out)[1]
    command = [sys.executable, "-m", "nnlab", "dashboard", folder, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            address = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
            served = text_when_ready(f"{address}data/plugin/graphs/graph?run={Path(folder).name}")
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=10)
        finally:
            process.kill()
    graph = text_format.Parse(served, GraphDef())
    assert {node.name: list(node.input) for node in graph.node} == {
        "1 NllLossBackward0": ["2 LogSoftmaxBackward0", "target"],
        "2 LogSoftmaxBackward0": ["3 AddmmBackward0"],
        "3 AddmmBackward0": ["output.bias", "4 ReluBackward0", "output.weight"],
        "4 ReluBackward0": ["5 AddmmBackward0"],
        "5 AddmmBackward0": ["linear1.bias", "inputs", "linear1.weight"],
    } | {name: [] for name in ("inputs", "target", "linear1.weight", "linear1.bias", "output.weight", "output.bias")}
    shape = next(node for node in graph.node if node.name == "linear1.weight").attr["_output_shapes"].list.shape[0]
    assert [dim.size for dim in shape.dim] == [5, 4]

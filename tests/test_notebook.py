"""The example notebook runs from top to bottom, and what happens in a notebook is seen there."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "examples" / "nnlab.ipynb"
pytest.importorskip("nbclient", reason="nbclient runs the notebook: pip install 'nnlab[dev]'")
pytest.importorskip("ipykernel", reason="ipykernel runs the notebook's cells: pip install 'nnlab[dev]'")

#: runs a notebook and writes it with its outputs; a process of its own, since Jupyter's clients warn of this and that
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
updates = 0

class Client(NotebookClient):
    def process_message(self, msg, cell, cell_index):
        global updates
        updates += msg["msg_type"] == "update_display_data"
        return super().process_message(msg, cell, cell_index)

Client(notebook, timeout=120, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
print(updates)
"""

#: stops the kernel while a training runs, as the stop button does
INTERRUPT = """
import sys, time
from jupyter_client.manager import start_new_kernel

manager, client = start_new_kernel(kernel_name="python3")

def wait_for(text):
    end_s = time.monotonic() + 60
    while time.monotonic() < end_s:
        message = client.get_iopub_msg(timeout=60)
        if text in str(message["content"]):
            return
        assert message["msg_type"] != "error", message["content"]
    raise SystemExit(f"never saw {text!r}")

client.execute(sys.argv[1])
wait_for(" steps/s")
time.sleep(0.3)
manager.interrupt_kernel()
wait_for("ended as interrupted")
client.execute("print('still', 'alive')")
wait_for("still alive")
client.stop_channels()
manager.shutdown_kernel(now=True)
"""


def in_process_of_its_own(code, *words, work):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "IPYTHONDIR": str(work / ".ipython")}
    paths = [str(ROOT / "src"), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    words = [sys.executable, "-W", "ignore", "-c", code, *map(str, words)]
    answer = subprocess.run(words, cwd=work, env=environment, capture_output=True, text=True, check=False, timeout=200)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    work = tmp_path_factory.mktemp("notebook")
    updates = in_process_of_its_own(EXECUTE, NOTEBOOK, "executed.ipynb", work=work)
    return json.loads((work / "executed.ipynb").read_text()), int(updates), work


def outputs_of(notebook, word):
    """What the first cell shows whose source has a word."""
    cell = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code" and word in "".join(cell["source"]))
    return cell["outputs"]


def shown(outputs, kind):
    return ["".join(output["data"][kind]) for output in outputs if kind in output.get("data", {})]


def test_notebook_runs_without_an_error_or_a_warning(executed):
    notebook, _, work = executed
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert {path.name for path in work.iterdir()} <= {"outputs", "executed.ipynb", ".ipython"}


def test_results_show_themselves(executed):
    notebook, _, _ = executed
    assert "<table>" in shown(outputs_of(notebook, "nnlab.train("), "text/html")[0]
    assert "data:image/png;base64," in shown(outputs_of(notebook, "nnlab.train("), "text/html")[0]
    assert "<table>" in shown(outputs_of(notebook, "nnlab.sweep("), "text/html")[0]
    assert "optim=adam is better than optim=sgd" in shown(outputs_of(notebook, "sweep.compare("), "text/html")[0]
    for word in ("decision_map", '"curves"'):
        assert len(shown(outputs_of(notebook, word), "image/png")[0]) > 10_000


def test_progress_is_one_line_that_is_drawn_again(executed):
    notebook, updates, _ = executed
    assert updates >= 3
    for word, last in {"nnlab.train(": "epoch 30/30  ", "nnlab.Trainer(": "epoch 60/60  "}.items():
        lines = [text for text in shown(outputs_of(notebook, word), "text/plain") if text.startswith("epoch ")]
        assert (len(lines), lines[0].startswith(last), " in all " in lines[0]) == (1, True, True)
    sweep = [text for text in shown(outputs_of(notebook, "nnlab.sweep("), "text/plain") if " done, " in text]
    assert [text.partition(",")[0] for text in sweep] == ["6 of 6 done"]


def test_notebook_is_kept_small_without_outputs_or_paths():
    """Pictures and times would change with every run, and the pages in docs/ show them."""
    text = NOTEBOOK.read_text()
    assert len(text) < 20_000
    assert "/home/" not in text
    for cell in json.loads(text)["cells"]:
        assert not cell["metadata"]
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)


def test_stop_button_ends_a_training_and_not_the_kernel(tmp_path):
    cell = """
        import nnlab
        result = nnlab.train(["data.num_train=200", "trainer.max_epochs=100000", "trainer.compile=off", "logger=[]"])
        print("ended", "as", result.status)
    """
    in_process_of_its_own(INTERRUPT, textwrap.dedent(cell), work=tmp_path)
    (result,) = tmp_path.glob("outputs/rings/*/result.json")
    assert json.loads(result.read_text())["status"] == "interrupted"

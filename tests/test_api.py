"""nnlab from Python: what the command does, in a process that belongs to somebody else."""

import asyncio
import csv
import gc
import importlib
import json
import logging
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path

import hydra
import matplotlib
import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

import nnlab
from nnlab.cli import main
from nnlab.trainer.interrupt import ENDINGS

SMALL = ["data.num_train=200", "trainer.max_epochs=3", "trainer.threads=1", "logger=[]"]
LONG = ["data.num_train=200", "trainer.max_epochs=100000", "trainer.threads=1", "logger=[]", "trainer.compile=off"]


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def without_time(folder):
    with open(folder / "metrics.csv") as file:
        return [[cell for name, cell in row.items() if name != "time_s"] for row in csv.DictReader(file)]


def by_command(*words):
    assert main([*words, "hydra.run.dir=by_command"]) == 0
    return Path("by_command")


def test_train_gives_the_bits_and_the_files_of_the_command(capsys):
    result = nnlab.train([*SMALL, "model.dropout=0.2", "optim.lr=0.01"], progress=False)
    folder = by_command("train", *SMALL, "model.dropout=0.2", "optim.lr=0.01")
    assert without_time(result.folder) == without_time(folder)
    names = [{str(path.relative_to(top)) for path in top.rglob("*")} for top in (result.folder, folder)]
    assert names[0] == names[1]
    records = [json.loads((top / "run.json").read_text()) for top in (result.folder, folder)]
    for key in ("config", "options", "seed", "data_fingerprint", "choices"):
        assert records[0][key] == records[1][key]
    assert (result.folder.parent, result.status) == (Path("outputs/rings"), "completed")
    assert "completed" in (result.folder / "train.log").read_text()


def test_train_prints_nothing_without_progress_and_lines_with_it(capfd):
    nnlab.train(SMALL, progress=False)
    assert capfd.readouterr() == ("", "")
    nnlab.train(SMALL)
    printed = capfd.readouterr()
    assert ("epoch 3/3" in printed.out, printed.err) == (True, "")


def settings():
    """Everything that belongs to the whole process and that a run might change."""
    gc.collect()  # handlers of logging are known as long as they are there
    return {
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "device": str(torch.get_default_device()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "only warns": torch.is_deterministic_algorithms_warn_only_enabled(),
        "matmul": torch.get_float32_matmul_precision(),
        "cudnn": [getattr(torch.backends.cudnn, name) for name in ("benchmark", "deterministic", "allow_tf32")],
        "grad": torch.is_grad_enabled(),
        "denormal": bool(torch.tensor([1e-310], dtype=torch.float64).mul(1.0).item()),
        "torch": torch.get_rng_state().tolist(),
        "numpy": str(np.random.get_state()),
        "random": random.getstate(),
        "numpy errors": np.geterr(),
        "root handlers": [(handler, list(handler.filters)) for handler in logging.getLogger().handlers],
        "known handlers": sorted(str(reference()) for reference in logging._handlerList),
        "levels": [logging.getLogger(name).level for name in (None, "nnlab", "hydra")],
        "propagates": logging.getLogger("nnlab").propagate,
        "log errors": logging.raiseExceptions,
        "argv": list(sys.argv),
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "signals": [signal.getsignal(number) for number in ENDINGS],
        "warnings": list(warnings.filters),
        "rcParams": dict(matplotlib.rcParams),
        "gc": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()),
        "hydra": GlobalHydra.instance().hydra,
        "hydra config": HydraConfig.instance().cfg,
        "resolvers": [OmegaConf.has_resolver(name) for name in ("nnlab.member", "mine")],
        "streams": (sys.stdout, sys.stderr, sys.excepthook, threading.excepthook),
    }


@pytest.fixture
def unusual(tmp_path):
    """A process whose settings are anything but a fresh one's."""
    handler = logging.FileHandler(tmp_path / "mine.log")
    before = (torch.get_rng_state(), np.random.get_state(), random.getstate(), np.geterr(), torch.get_num_threads())
    hydra.initialize_config_dir(str(tmp_path), "mine", version_base="1.2")
    OmegaConf.register_new_resolver("mine", lambda: 1)
    logging.getLogger().addHandler(handler)
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.benchmark = True
    torch.set_num_threads(1)
    torch.manual_seed(3)
    np.random.seed(4)
    random.seed(5)
    np.seterr(all="raise")
    gc.disable()
    with torch.no_grad():
        yield handler
    gc.enable()
    np.seterr(**before[3])
    torch.set_rng_state(before[0])
    np.random.set_state(before[1])
    random.setstate(before[2])
    torch.set_num_threads(before[4])
    torch.backends.cudnn.benchmark = False
    torch.set_float32_matmul_precision("highest")
    torch.use_deterministic_algorithms(False)
    torch.set_default_dtype(torch.float32)
    logging.getLogger().removeHandler(handler)
    handler.close()
    OmegaConf.clear_resolver("mine")
    GlobalHydra.instance().clear()


def looked_at():
    sweep = nnlab.sweep([*SMALL, "seed=0,1", "figures=[]"], progress=False)
    for shown in (sweep, sweep[0], sweep.compare(), nnlab.load_run(sweep[1].folder)):
        getattr(shown, "_repr_html_", shown.__repr__)()
    sweep[0].figures["weights"]._repr_png_()
    sweep[0].load().predict(torch.zeros(2, 2))


def refused():
    with pytest.raises(nnlab.ConfigError):
        nnlab.train(["optim.lr=-1"])


DOES = {
    "train": lambda: nnlab.train([*SMALL, "trainer.deterministic=true", "model.dropout=0.2"], progress=False),
    "fails": lambda: nnlab.train([*SMALL, "optim=sgd", "optim.lr=1e30", "trainer.on_divergence=fail"], progress=False),
    "chdir": lambda: nnlab.train([*SMALL, "hydra.job.chdir=true", "+hydra.job.env_set.MINE=1"], progress=False),
    "refused": refused,
    "looked at": looked_at,
    "sweep": lambda: nnlab.sweep([*SMALL, "seed=0,1", "hydra.launcher.num_workers=1"], progress=False),
    "workers": lambda: nnlab.sweep(
        [*SMALL, "seed=0,1", "model.widths=[3],[4]", "hydra.launcher.num_workers=2"], progress=False
    ),
}


@pytest.mark.parametrize("what", DOES)
def test_nothing_of_the_process_is_changed(what, unusual):
    DOES[what]()  # what is imported at first does not count
    before = settings()
    DOES[what]()
    after = settings()
    assert {name: after[name] for name in before if after[name] != before[name]} == {}


MESSY = """
import gc, os, random, warnings
import numpy, torch
from nnlab.loss import MSE

class Messy(MSE):
    def __init__(self):
        super().__init__()
        assert numpy.geterr() == dict(divide="warn", over="warn", under="ignore", invalid="warn")
        assert torch.get_default_dtype() is torch.float32 and torch.is_grad_enabled()
        numpy.seterr(all="ignore")
        numpy.random.seed(0)
        random.seed(0)
        torch.manual_seed(0)
        os.environ["MESSY"] = os.environ.pop("TIDY")
        warnings.simplefilter("always")
        gc.enable()
"""


def test_parts_of_the_users_own_change_nothing_either(unusual, work, monkeypatch):
    (work / "messy_lab.py").write_text(MESSY)
    monkeypatch.syspath_prepend(str(work))
    monkeypatch.setenv("TIDY", "1")
    words = ["data=x_squared", "loss=mse", "loss._target_=messy_lab.Messy", "plugins=[messy_lab]", *SMALL[1:]]
    nnlab.train(SMALL, progress=False)
    before = settings()
    assert nnlab.train(words, progress=False).status == "completed"
    after = settings()
    assert {name: after[name] for name in before if after[name] != before[name]} == {}


def test_settings_of_the_process_do_not_change_the_bits(unusual):
    result = nnlab.train([*SMALL, "model.dropout=0.2"], progress=False)
    code = "import sys; from nnlab.cli import main; sys.exit(main())"
    words = ["train", *SMALL, "model.dropout=0.2", "hydra.run.dir=fresh"]
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)
    assert without_time(result.folder) == without_time(Path("fresh"))


def test_loggers_of_the_process_get_nothing_of_a_run_and_stay_open(unusual):
    nnlab.train([*SMALL, "optim=sgd", "optim.lr=1e30"], progress=False)
    logging.getLogger("theirs").warning("still here")
    unusual.flush()
    assert Path(unusual.baseFilename).read_text() == "still here\n"


@pytest.mark.parametrize(
    ("words", "problems"),
    [
        (["data=ring", "optim.lr=x"], ["data=ring: data has no option 'ring'", "optim.lr=x: expected a number"]),
        (["optim=sgd,adam"], ["optim=sgd,adam: several values make a sweep; nnlab.sweep trains them"]),
        (["optim.lr=-1"], ["optim.lr: Invalid learning rate: -1"]),
        (["trainer.compile=step", "trainer.precision=bf16"], ["trainer.compile"]),
        (["-m"], ["-m: there is no such flag"]),
        (["compare=optimizers"], ["compare: it makes sweeps of its own"]),
        (["hydra.verbose=true"], ["hydra.verbose: logging is configured by the program"]),
        ("data=rings", ["nnlab.train: expected a list of texts"]),
    ],
)
def test_mistakes_are_all_raised_and_leave_nothing(words, problems, work, capfd):
    with pytest.raises(nnlab.ConfigError) as raised:
        nnlab.train(words)
    assert len(raised.value.problems) == len(problems)
    assert all(found.startswith(wanted) for found, wanted in zip(raised.value.problems, problems, strict=True))
    assert (list(work.iterdir()), capfd.readouterr()) == ([], ("", ""))


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["seed=0,1", "optim.lr=-1"], "optim.lr"),
        (["seed=0,1", "hydra/launcher=basic"], "nnlab.sweep: members are trained by hydra/launcher=vectorized"),
        (["seed=0,1", "hydra.job.chdir=true"], "nnlab.sweep: members would run one after another"),
        (["seed=0,1", "hydra.sweep.dir=here"], "hydra.sweep.dir: the argument folder says the same"),
    ],
)
def test_mistakes_in_a_sweep_are_raised_and_leave_nothing(words, problem, work, capfd):
    with pytest.raises(nnlab.ConfigError, match=problem):
        nnlab.sweep(words, folder="there" if "hydra.sweep.dir=here" in words else None)
    assert (list(work.iterdir()), capfd.readouterr()) == ([], ("", ""))


def test_folder_with_a_run_is_refused_and_the_run_stays():
    first = nnlab.train(SMALL, folder="mine", progress=False)
    with pytest.raises(nnlab.FolderError, match="mine already holds a run"):
        nnlab.train(SMALL, folder="mine", progress=False)
    assert (first.folder, len(first.history)) == (Path("mine"), 3)


def test_run_that_fails_is_a_result_and_a_line_on_standard_error(capfd):
    result = nnlab.train([*SMALL, "optim=sgd", "optim.lr=1e30", "trainer.on_divergence=fail"], progress=False)
    assert (result.status, result.content["error"].partition(":")[0]) == ("failed", "diverged")
    assert "Traceback" not in capfd.readouterr().err
    assert "failed" in result._repr_html_()
    assert "\n" not in repr(result)


def test_result_holds_what_the_files_say(monkeypatch):
    result = nnlab.train([*SMALL, "name=mine"], progress=False)
    content = json.loads((result.folder / "result.json").read_text())
    assert (result.metrics.final, result.metrics.best) == (content["final"], content["best"])
    assert result.metrics.test == content["test"]
    assert result.metrics.test.keys() == {"loss", "accuracy"}
    with open(result.folder / "metrics.csv") as file:
        rows = [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(file)]
    assert result.history == rows
    assert result.frame().to_dict("records") == rows
    assert set(result.figures) == {path.stem for path in (result.folder / "figures").glob("*.png")}
    assert result.figures["learning_curves"].png == (result.folder / "figures" / "learning_curves.png").read_bytes()
    assert "\n" not in repr(result)
    assert repr(result).startswith("Result(mine: completed after 3 epochs, best valid/loss ")
    run = result.load()
    assert (run.step, run.predict(torch.zeros(2, 2)).probability.shape) == (content["best"]["step"], (2, 3))
    os.mkdir("elsewhere")
    monkeypatch.chdir("elsewhere")
    assert result.load("last").step == content["steps"]


def test_frame_without_pandas_names_the_extra(monkeypatch):
    result = nnlab.train(SMALL, progress=False)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(nnlab.ConfigError, match=r"nnlab\[table\]"):
        result.frame()


def test_page_of_a_result_shows_table_and_curves_and_escapes_what_is_foreign():
    from nnlab.api import Result

    result = nnlab.train(SMALL, progress=False)
    page = result._repr_html_()
    assert page.count("<img ") == 1
    assert "test (of best)" in page
    evil = Result(result.folder, {**result.content, "name": "<script>", "notes": ["<b>&"]})
    assert "<script>" not in evil._repr_html_()
    assert "&lt;b&gt;&amp;" in evil._repr_html_()


def test_picture_is_saved_as_png_or_svg(work):
    picture = nnlab.train([*SMALL, "figures=[]"], progress=False).figures["weights"]
    picture.save("weights.png")
    picture.save("weights.svg")
    assert Path("weights.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in Path("weights.svg").read_text()
    with pytest.raises(ValueError, match=r"\.png or \.svg"):
        picture.save("weights.jpg")


def test_sweep_gives_its_members_in_order_and_the_comparison_that_the_command_prints(capsys):
    sweep = nnlab.sweep([*SMALL, "optim=sgd,adam", "seed=range(3)"], folder="swept", progress=False)
    assert capsys.readouterr() == ("", "")
    assert (sweep.status, len(sweep), sweep.folder) == ("completed", 6, Path("swept"))
    assert [result.folder.name for result in sweep] == [
        f"{3 * place + seed}_optim={optim},seed={seed}"
        for place, optim in enumerate(("sgd", "adam"))
        for seed in range(3)
    ]
    assert {"comparison.html", "comparison.csv", "plan.json"} <= {path.name for path in sweep.folder.iterdir()}
    assert main(["compare", "swept", "--by", "optim", "--metric", "train/loss"]) == 0
    comparison = sweep.compare("train/loss", by="optim")
    assert f"{comparison}\n" == capsys.readouterr().out
    assert [row["optim"] for row in comparison.rows] == ["adam", "sgd"]
    assert {"curves", "strip"} <= set(comparison.figures)
    assert "<table>" in comparison._repr_html_()
    assert "3_optim=adam,seed=0" in sweep._repr_html_()
    assert str(nnlab.compare(list(sweep), "train/loss", by=["optim"])) == str(comparison)


def test_sweep_has_the_bits_of_the_command():
    sweep = nnlab.sweep([*SMALL, "optim=sgd,adam"], progress=False)
    assert main(["train", "-m", *SMALL, "optim=sgd,adam", "hydra.sweep.dir=by_command"]) == 0
    for result in sweep:
        assert without_time(result.folder) == without_time(Path("by_command") / result.folder.name)


def test_compare_refuses_what_the_command_refuses():
    with pytest.raises(nnlab.ConfigError, match="expected folders"):
        nnlab.compare([])
    with pytest.raises(nnlab.ConfigError, match="sort: expected one of"):
        nnlab.compare("outputs", sort="worst")
    with pytest.raises(nnlab.FolderError, match="nowhere"):
        nnlab.compare("nowhere")


def test_train_works_in_another_thread_and_inside_a_running_loop():
    found = []
    threads = [threading.Thread(target=lambda: found.append(nnlab.train(SMALL, progress=False))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def cell():
        return nnlab.train(SMALL, progress=False)

    found.append(asyncio.run(cell()))
    rows = [without_time(result.folder) for result in found]
    assert rows[0] == rows[1] == rows[2]
    assert len({result.folder for result in found}) == 3


def interrupting(pattern):
    """Press Ctrl-C as soon as the files of a pattern have grown by some rows."""

    def size():
        return sum(path.stat().st_size for path in Path().glob(pattern))

    before = size()

    def press():
        deadline_s = time.monotonic() + 60
        while size() < before + 500 and time.monotonic() < deadline_s:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    return thread


def test_interrupt_gives_a_result_that_can_be_gone_on_with(capfd):
    before = signal.getsignal(signal.SIGINT)  # which a shell may have set to ignore it
    thread = interrupting("mine/metrics.csv")
    result = nnlab.train(LONG, folder="mine", progress=False)
    thread.join()
    assert result.status == "interrupted"
    assert 0 < len(result.history) < 100000
    epochs = len(result.history) + 2
    # As long as it is at the interrupt, to the bits that one without a break has.
    whole = nnlab.train([*LONG, f"trainer.max_epochs={epochs}"], folder="whole", progress=False)
    extended = nnlab.train([*LONG, f"trainer.max_epochs={epochs - 1}"], folder="shorter", progress=False)
    again = nnlab.resume(extended.folder, [f"trainer.max_epochs={epochs}"], progress=False)
    assert (again.status, without_time(again.folder)) == ("completed", without_time(whole.folder))
    assert without_time(result.folder) == without_time(whole.folder)[: len(result.history)]
    assert signal.getsignal(signal.SIGINT) is before


def test_second_interrupt_raises_where_the_process_is_somebody_elses():
    from nnlab.trainer.interrupt import Interrupt

    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt.received is signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_interrupt_that_comes_too_late_for_the_status_is_raised():
    from nnlab.api.guest import raise_late, signals

    with signals() as interrupt:
        signal.raise_signal(signal.SIGINT)
    raise_late(interrupt, "interrupted", "a run")
    with pytest.raises(KeyboardInterrupt, match="after the end of 'a run'"):
        raise_late(interrupt, "completed", "a run")


def test_training_goes_on_when_nobody_reads_what_it_prints(work):
    code = f"import nnlab; nnlab.train({SMALL}, 'alone'); nnlab.sweep({[*SMALL, 'seed=0,1']}, 'swept')"
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
    records = [work / "alone" / "result.json", *sorted(work.glob("swept/*/result.json"))]
    assert [json.loads(path.read_text())["status"] for path in records] == ["completed"] * 3


def test_interrupted_sweep_goes_on_with_resume():
    words = ["data.num_train=200", "trainer.max_epochs=2000", "trainer.threads=1", "logger=[]", "seed=0,1"]
    thread = interrupting("swept/*/metrics.csv")
    sweep = nnlab.sweep([*words, "figures=[]", "trainer.compile=off"], folder="swept", progress=False)
    thread.join()
    assert sweep.status == "interrupted"
    # Its members end where they are: what matters is that they are gone on with.
    assert all(result.status == "interrupted" for result in sweep)
    thread = interrupting("swept/*/metrics.csv")
    again = nnlab.resume("swept", progress=False)
    thread.join()
    steps = [[result.content["steps"] for result in one] for one in (sweep, again)]
    assert all(later > earlier for earlier, later in zip(*steps, strict=True))


def test_resume_of_what_is_over_gives_what_there_is_and_of_nothing_says_so():
    result = nnlab.train(SMALL, folder="mine", progress=False)
    assert nnlab.resume("mine").content == result.content
    with pytest.raises(nnlab.FolderError, match="nowhere is not a folder"):
        nnlab.resume("nowhere")
    with pytest.raises(nnlab.ConfigError, match=r"optim\.lr"):
        nnlab.resume("mine", ["optim.lr=3"])


@pytest.mark.parametrize("first", ["import nnlab.sweep.plan, nnlab.resume", "from nnlab import sweep, resume", "pass"])
def test_functions_and_modules_of_one_name_are_both_there(first):
    code = f"""
        import nnlab
        {first}
        assert callable(nnlab.sweep) and callable(nnlab.resume), nnlab.sweep
        from nnlab.sweep.plan import read_plan
        from nnlab.resume import read_request
        assert nnlab.sweep.plan.read_plan is read_plan and nnlab.resume.read_request is read_request
        assert nnlab.train.__module__ == "nnlab.api.one_run" and nnlab.Trainer and nnlab.load_run and nnlab.compare
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


@pytest.fixture
def stress_leak(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "scripts"))
    return importlib.import_module("stress_leak")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is counted as Linux counts it")
def test_twenty_runs_leave_no_memory_threads_or_files_behind(work, stress_leak, capsys):
    assert stress_leak.leak(work, 20, ["figures=[]", "trainer.threads=1"]), capsys.readouterr().out


@pytest.mark.parametrize("name", ["tensors", "threads", "native threads", "open files", "temporary files"])
def test_one_thing_left_behind_is_a_leak(name, stress_leak):
    before = dict.fromkeys(["tensors", "threads", "native threads", "open files", "temporary files"], 3)
    found = [before | {"blocks": 10, "bytes": 10}] * 8
    assert stress_leak.leaks(found) == []
    found[-1] = found[-1] | {name: 4}
    assert stress_leak.leaks(found) == [f"{name}: 3 after run 6, 4 after run 8"]

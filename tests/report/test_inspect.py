"""`nnlab inspect` on real runs and on hostile ones: text, whatever the files say."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nnlab
from nnlab.cli import main
from nnlab.lock import RunLock
from nnlab.manifest import write_manifest
from nnlab.metrics_file import read_metrics

PLAIN = re.compile(r"[^\x00-\x09\x0b-\x1f\x7f-\x9f]*")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small run, made once; tests work on copies."""
    work = tmp_path_factory.mktemp("work")
    before = os.getcwd()
    os.chdir(work)
    try:
        words = ["data=celsius", "trainer.max_epochs=30", "trainer.checkpoint_every=10ep", "trainer.threads=1"]
        assert main(["train", *words, "optim.lr=0.02", "callback=early_stopping", "hydra.run.dir=run"]) == 0
    finally:
        os.chdir(before)
    return work / "run"


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(finished, "run"))


@pytest.fixture
def inspect(capsys):
    def inspect(*words):
        code = main(["inspect", *map(str, words)])
        printed = capsys.readouterr()
        assert PLAIN.fullmatch(printed.out)
        assert PLAIN.fullmatch(printed.err)
        assert "Traceback" not in printed.err
        return code, printed.out, printed.err

    return inspect


def change(path, **values):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | values))


def lines_of(page):
    """The page as title -> text, continued lines joined; of lines with one title, the last."""
    lines, title = {}, ""
    for line in page.splitlines()[1:]:
        title = line[2:14].strip() or title
        lines[title] = (lines[title] + " " if line[2:14].strip() == "" else "") + line[14:]
    return lines


def test_finished_run_is_told_as_its_files_have_it(run, inspect):
    code, page, _ = inspect(run)
    assert code == 0
    record, result = json.loads((run / "run.json").read_text()), json.loads((run / "result.json").read_text())
    assert page.startswith("celsius: a run of nnlab in run\n")
    found = lines_of(page)
    assert found["status"] == f"completed: {result['reason']}"
    assert found["created"] == record["created"]
    assert found["command"].startswith("nnlab train data=celsius trainer.max_epochs=30 ")
    assert found["optimizer"] == "adam: lr 0.02, betas [0.9, 0.999], eps 1e-08"
    assert found["model"].startswith("mlp: depth 2, width 100, activation relu")
    assert found["callbacks"].startswith("early_stopping (")
    assert found["seed"] == "0"
    assert found["device"].startswith("device cpu, threads 1")
    assert f"torch {record['versions']['torch']}" in found["versions"]
    assert found["length"].startswith(f"30 epochs, {result['steps']} steps, ")
    last = read_metrics(run / "metrics.csv")[-1]
    assert f"train/loss {last['train/loss']:.6g}" in found["final"]
    assert f"value {result['best']['value']:.6g}" in found["best"]
    steps = {json.loads((run / f"checkpoints/{w}.json").read_text())["step"] for w in ("last", "previous", "best")}
    shown = re.findall(r"^  checkpoint  step (\d+): (.*); ([\d.]+ kB)$", page, re.MULTILINE)
    assert {int(step) for step, _, _ in shown} == steps
    assert "last" in shown[0][1]
    for note in result["notes"]:
        assert note[:40] in page
    assert all(len(line) <= 110 for line in page.splitlines() if not line.startswith("  command"))


def test_killed_run_is_told_from_one_that_works(run, inspect):
    change(run / "result.json", status="running", reason="")
    with RunLock(run):
        code, page, _ = inspect(run)
        assert lines_of(page)["status"] == "running: a process works on it"
        assert "nnlab resume" not in page
    code, page, _ = inspect(run)
    assert code == 0
    assert lines_of(page)["status"] == "killed: it was running, and no process works on it any more"
    assert lines_of(page)["go on"] == "nnlab resume run"
    last = read_metrics(run / "metrics.csv")[-1]
    assert lines_of(page)["last row"].startswith(f"epoch 30, step {last['step']:.0f}, ")


def test_run_that_was_killed_before_its_first_checkpoint_is_told(run, inspect):
    for name in ("result.json", "metrics.csv", "checkpoints"):
        shutil.rmtree(run / name) if name == "checkpoints" else (run / name).unlink()
    code, page, _ = inspect(run)
    assert code == 0
    assert lines_of(page)["status"].startswith("killed: ")
    assert {"length", "checkpoint", "final", "last row"}.isdisjoint(lines_of(page))


@pytest.mark.parametrize("status", ["interrupted", "preempted", "failed", "completed", "diverged", "early_stopped"])
def test_run_that_can_go_on_says_how(status, run, inspect):
    shutil.move(run, "my run's")
    change(Path("my run's/result.json"), status=status, error="ZeroDivisionError: x" if status == "failed" else None)
    _, page, _ = inspect("my run's")
    can_go_on = status in ("interrupted", "preempted", "failed")
    assert ("  go on       nnlab resume 'my run'\"'\"'s'\n" in page) == can_go_on
    assert ("  error       ZeroDivisionError: x\n" in page) == (status == "failed")


def test_history_of_resumes_is_shown(run, inspect):
    change(
        run / "run.json", history=[{"resumed": "2026-11-22T10:00:00", "step": 7, "changed": ["trainer.max_epochs=9"]}]
    )
    _, page, _ = inspect(run)
    assert lines_of(page)["history"] == 'resumed 2026-11-22T10:00:00, step 7, changed ["trainer.max_epochs=9"]'


def test_json_is_both_files_merged(run, inspect):
    code, text, _ = inspect(run, "--json")
    expected = json.loads((run / "run.json").read_text()) | json.loads((run / "result.json").read_text())
    assert code == 0
    assert json.loads(text) == expected | {"folder": "run", "in_use": False}


def test_sweep_has_a_line_for_each_member(run, inspect):
    for name in ("0_seed=0", "1_seed=1", "2_refused", "10_killed", "11_broken"):
        shutil.copytree(run, Path("sweep") / name)
    (Path("sweep/2_refused/run.json")).unlink()
    change(Path("sweep/2_refused/result.json"), status="failed", error="loss=bce does not fit", final={}, best={})
    change(Path("sweep/10_killed/result.json"), status="running")
    for name in ("2_refused", "10_killed"):
        write_manifest(Path("sweep") / name)
    change(Path("sweep/11_broken/run.json"), config=3)
    code, page, _ = inspect("sweep")
    lines = page.splitlines()
    assert code == 2
    assert lines[0] == "sweep: 5 runs"
    best = json.loads((run / "result.json").read_text())["best"]
    words = f"30 epochs  best {best['metric']} {best['value']:.6g}"
    assert [re.sub("  +", "  ", line.strip()) for line in lines[1:5]] == [
        f"0_seed=0  completed  {words}",
        f"1_seed=1  completed  {words}",
        "2_refused  failed  30 epochs  loss=bce does not fit",
        f"10_killed  killed  {words}",
    ]
    assert lines[5].startswith(
        "  11_broken  sweep/11_broken/run.json: config: expected an object, found a whole number"
    )
    code, text, _ = inspect("sweep", "--json")
    members = json.loads(text)
    assert code == 2
    assert members[0]["folder"] == "sweep/0_seed=0"
    assert "expected an object" in members[4]["error"]


HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\n\x9b31m\u202egpj.exe\u2028\x00\x7f\ud800"


def hostile(value):
    """A JSON value with every text in it, keys too, made hostile."""
    if isinstance(value, dict):
        return {key: hostile(item) for key, item in value.items()} | {HOSTILE: HOSTILE}
    if isinstance(value, list):
        return [*map(hostile, value), HOSTILE] if all(isinstance(item, str) for item in value) else value
    return value + HOSTILE if isinstance(value, str) else value


def test_hostile_text_in_every_place_stays_text(run, inspect):
    record, result = json.loads((run / "run.json").read_text()), json.loads((run / "result.json").read_text())
    result["final"], result["test"] = result["final"] | {HOSTILE: 1.0}, {"loss": 1e999, HOSTILE: 0.5}
    result |= {"error": HOSTILE, "best": result["best"] | {HOSTILE: HOSTILE}, "notes": [HOSTILE, "x" * 10**6]}
    result |= {name: result[name] + HOSTILE for name in ("status", "reason", "name")}
    record |= {"git_commit": HOSTILE, "history": [{HOSTILE: HOSTILE}]}
    (run / "run.json").write_text(json.dumps(hostile(record)))
    (run / "result.json").write_text(json.dumps(result))
    (run / "metrics.csv").write_text(f"epoch,{HOSTILE[:20]}\n1,\x1b[31m\n")
    (run / "figures" / "a\x1b[31m.png").touch()
    shutil.copytree(run, "sweep/0_\x1b[31m")
    for words in ([run], [run, "--json"], ["sweep"], ["sweep", "--json"]):
        code, text, _ = inspect(*words)
        assert code == 0
        assert "owned" in text
        assert "\u202e" not in text
        assert len(text) < 20_000 or "--json" in words
    change(run / "result.json", status="running")
    code, text, _ = inspect(run)
    assert r"\x1b[31m" in lines_of(text)["last row"]


WRONG = {
    "run.json": {
        "schema_version": ["1", None, 1.0, True, 99],
        "name": [3, None],
        "created": [[]],
        "config": [[], "x", None],
        "options": [3],
        "overrides": ["optim=sgd", [1], {}],
        "seed": ["0", True, 1.5],
        "choices": [None],
        "versions": [[1]],
        "git_commit": [7],
        "history": [{}, ["text"], [3]],
        "plugins": ["os", [3]],
    },
    "result.json": {
        "status": [3, None],
        "reason": [[]],
        "epochs": ["1", True],
        "steps": [None],
        "seconds": ["1", False],
        "final": [[], {"train/loss": "x"}, {"train/loss": [1]}],
        "best": [3, {"value": {}}],
        "test": [None, {"loss": "x"}],
        "notes": ["x", [1]],
        "error": [3],
    },
}
CASES = [(file, key, value) for file, keys in WRONG.items() for key, values in keys.items() for value in values]


@pytest.mark.parametrize("words", [[], ["--json"]])
@pytest.mark.parametrize(("file", "key", "value"), CASES)
def test_value_of_a_wrong_type_ends_with_2_naming_file_and_key(file, key, value, words, run, inspect):
    change(run / file, **{key: value})
    code, text, errors = inspect(run, *words)
    assert (code, text) == (2, "")
    assert f"run/{file}" in errors
    assert key in errors or "newer nnlab" in errors


@pytest.mark.parametrize(("file", "key"), [(file, key) for file, keys in WRONG.items() for key in keys])
def test_key_that_is_missing_ends_with_2_naming_it(file, key, run, inspect):
    content = json.loads((run / file).read_text())
    del content[key]
    (run / file).write_text(json.dumps(content))
    code, _, errors = inspect(run)
    assert code == 2
    assert f"run/{file}: {key} is missing" in errors


@pytest.mark.parametrize("words", [[], ["--json"]])
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"data": 3, "model": None, "callback": "x", "metric": [1], "optim": {"lr": {"_target_": 3}}},
        {"optim": {"lr": 10**400, "eps": 1e999, "betas": [[["x" * 10**6]]]}},
        {"trainer": {str(number): number for number in range(10**5)}},
    ],
)
def test_config_of_any_form_is_shown_as_far_as_it_goes(config, words, run, inspect):
    path = run / "run.json"
    content = json.loads(path.read_text()) | {"config": config, "options": {"optim": [1], "data": None}}
    path.write_text(json.dumps(content))
    code, text, _ = inspect(run, *words)
    assert code == 0
    assert len(text) < 20_000 or words


@pytest.mark.parametrize("words", [[], ["--json"]])
@pytest.mark.parametrize("depth", [300, 900, 990, 5000, 10**6])
@pytest.mark.parametrize("link", ['{"_target_": "x", "a":', '{"a":', "["])
def test_nesting_ends_in_a_page_or_a_message(link, depth, words, run, inspect):
    content = json.loads((run / "run.json").read_text()) | {"config": {"optim": "HERE"}}
    end = "}" if link[0] == "{" else "]"
    text = json.dumps(content).replace('"HERE"', link * depth + "1" + end * depth)
    (run / "run.json").write_text(text)
    code, _, errors = inspect(run, *words)
    assert code == 0 or (code == 2 and "nested too deeply" in errors)


def test_huge_files_are_refused_unread(run, inspect):
    os.truncate(run / "metrics.csv", 2**40)
    change(run / "result.json", status="running")
    assert inspect(run)[0] == 0
    for file in ("checkpoints/last.json", "result.json", "run.json"):
        num_bytes = (run / file).stat().st_size
        os.truncate(run / file, 2**40)
        code, page, errors = inspect(run)
        os.truncate(run / file, num_bytes)
        assert code == (0 if "last" in file else 2)
        assert f"run/{file} has 1,099,511,627,776 bytes" in re.sub(r"\n? +", " ", page + errors)


@pytest.mark.parametrize("file", ["run.json", "result.json", ".lock"])
def test_links_are_not_followed(file, run, inspect, tmp_path):
    (tmp_path / "secret").write_text('{"secret": 1}')
    (run / file).unlink(missing_ok=True)
    (run / file).symlink_to(tmp_path / "secret")
    code, page, errors = inspect(run)
    assert (code, page) == (2, "")
    assert f"run/{file} is" in errors


def test_damaged_pointer_is_told_and_the_rest_is_shown(run, inspect):
    (run / "checkpoints" / "best.json").write_text('{"step": "../1"}')
    code, page, _ = inspect(run)
    assert code == 0
    assert "  checkpoint  best: run/checkpoints/best.json: step: expected a whole number" in page
    assert re.search(r"^  checkpoint  step \d+: last", page, re.MULTILINE)


@pytest.mark.parametrize("words", [[], ["nothing"], ["run", "other"], ["run", "--jsn"]])
def test_wrong_words_end_with_2(words, run, inspect):
    code, text, errors = inspect(*words)
    assert (code, text) == (2, "")
    assert errors.startswith("nnlab inspect: ")


def test_inspect_and_verify_import_neither_torch_nor_hydra(run):
    script = """
import sys
from nnlab.cli import main
main(["inspect", "run"]), main(["inspect", "run", "--json"]), main(["verify", "run"])
print([name for name in ("torch", "hydra", "omegaconf", "numpy", "rich", "safetensors") if name in sys.modules])
"""
    environment = os.environ | {"PYTHONPATH": str(Path(nnlab.__file__).parents[1])}
    answer = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "[]"

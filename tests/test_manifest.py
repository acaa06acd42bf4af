"""The manifest against damage of every kind, on a real run: what is whole is whole, what is not is named."""

import json
import os
import random
import shutil
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest

from nnlab.cli import main
from nnlab.folder import FolderError
from nnlab.manifest import check_files, read_manifest, stale_files, sweep_stale, write_manifest

#: a file of every kind -> how it is found
KINDS = {
    "run.json": "run.json",
    "result.json": "result.json",
    "manifest": "manifest.json",
    "preprocessing": "preprocessing.json",
    "metrics": "metrics.csv",
    "trace": "trace.csv",
    "log": "train.log",
    "events": "events.out.tfevents.*",
    "hydra": ".hydra/config.yaml",
    "tensors": "checkpoints/*.safetensors",
    "state": "checkpoints/[0-9]*.json",
    "last": "checkpoints/last.json",
    "previous": "checkpoints/previous.json",
    "best": "checkpoints/best.json",
    "arrays": "arrays/grid.npz",
    "figure": "figures/learning_curves.png",
}
GROWING = ("metrics", "trace", "log", "events")
#: what a run that goes on draws again; nothing is lost with it
DRAWN = ("arrays", "figure")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run with three checkpoints, made once; tests work on copies."""
    work = tmp_path_factory.mktemp("work")
    before = os.getcwd()
    os.chdir(work)
    try:
        words = [
            "data=gauss",
            "data.num_samples=200",
            "data.num_test=50",
            "model.depth=1",
            "model.width=3",
            "callback=trace",
        ]
        words += ["trainer.max_epochs=4", "trainer.checkpoint_every=1ep", "trainer.threads=1", "optim.lr=0.05"]
        assert main(["train", *words, "hydra.run.dir=run"]) == 0
    finally:
        os.chdir(before)
    run = work / "run"
    (run / "manifest.json").unlink(missing_ok=True)
    kept = {path for pattern in KINDS.values() for path in run.glob(pattern)}
    others = {path for path in run.rglob("*") if path.is_file()} - kept
    assert {path.parent.name for path in others} == {".hydra", "arrays", "figures"}  # else a kind is not damaged here
    for path in others:  # one of a kind is enough, and thousands of checks follow
        path.unlink()
    return run


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it with a final manifest."""
    folder = Path(shutil.copytree(finished, tmp_path / "run"))
    write_manifest(folder)
    return folder


def file_of(folder, kind):
    return min(folder.glob(KINDS[kind]))


def found_in(folder):
    return {finding.path: finding.severity for finding in check_files(folder)}


def test_finished_run_is_whole(run):
    assert check_files(run) == []


def test_manifest_names_every_file_with_its_size_and_digest(run):
    (run / ".lock").write_text("1\n")
    (run / "checkpoints" / ".9.json.123.tmp").write_text("{")
    write_manifest(run)
    files = read_manifest(run).files
    there = {path.relative_to(run).as_posix(): path for path in run.rglob("*") if path.is_file()}
    assert set(there) - set(files) == {"manifest.json", ".lock", "checkpoints/.9.json.123.tmp"}
    for name, entry in files.items():
        content = there[name].read_bytes()
        assert (name, entry.size, entry.sha256) == (name, len(content), sha256(content).hexdigest())
    growing = {name for name, entry in files.items() if entry.grows}
    assert growing == {file_of(run, kind).name for kind in GROWING}
    assert json.loads((run / "manifest.json").read_text())["schema_version"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_file_that_is_cut_off_is_named(kind, run):
    path = file_of(run, kind)
    whole = path.read_bytes()
    # The manifest's last byte is a line end: without it, it says the same.
    most = len(whole) - (2 if kind == "manifest" else 1)
    lengths = {0, 1, most, *(random.Random(1).randrange(most) for _ in range(20))}
    for length in lengths:
        path.write_bytes(whole[:length])
        assert found_in(run).get(path.relative_to(run).as_posix()) == "damaged", length


@pytest.mark.parametrize(
    ("kind", "final"), [(kind, True) for kind in KINDS] + [(kind, False) for kind in KINDS if kind not in DRAWN]
)
def test_flipped_bit_is_found_and_nothing_else_is_blamed(kind, final, run):
    write_manifest(run, final=final)
    path = file_of(run, kind)
    name = path.relative_to(run).as_posix()
    whole, chance = path.read_bytes(), random.Random(2)
    outcomes = Counter()
    for _ in range(200 if final else 30):
        content = bytearray(whole)
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        found = found_in(run)
        assert set(found) == {name}
        outcomes[found[name]] += 1
    # What a run may have replaced since its manifest is named in any case; a pointer is checked by what it points to.
    assert set(outcomes) == {"damaged"} or (kind == "result.json" and not final)


@pytest.mark.parametrize("kind", KINDS)
def test_file_that_is_gone_is_missing(kind, run):
    path = file_of(run, kind)
    path.unlink()
    assert found_in(run)[path.relative_to(run).as_posix()] == "missing"


@pytest.mark.parametrize("kind", KINDS)
def test_file_that_has_more_bytes_is_damaged_unless_it_grows(kind, run):
    with open(file_of(run, kind), "ab") as file:
        file.write(b"more\n")
    found = found_in(run)
    assert found == ({} if kind in GROWING else {file_of(run, kind).relative_to(run).as_posix(): "damaged"})


@pytest.mark.parametrize("final", [True, False])
def test_growing_file_is_checked_up_to_its_old_end(final, run):
    write_manifest(run, final=final)
    path = run / "metrics.csv"
    content = path.read_bytes()
    path.write_bytes(content + b"5,1,0.1\n")
    assert check_files(run) == []
    path.write_bytes(content[:-2] + b"0\n5,1,0.1\n")
    assert found_in(run) == {"metrics.csv": "damaged"}


@pytest.mark.parametrize("kind", KINDS)
def test_link_in_place_of_a_file_is_damage_and_not_followed(kind, run, tmp_path):
    path = file_of(run, kind)
    shutil.move(path, tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    finding = {finding.path: finding for finding in check_files(run)}[path.relative_to(run).as_posix()]
    assert finding.severity == "damaged"
    assert "a link" in finding.problem


def test_other_things_that_are_no_files_are_damage(run, tmp_path):
    shutil.move(run / "checkpoints", tmp_path / "checkpoints")
    (run / "checkpoints").symlink_to(tmp_path / "checkpoints")
    os.mkfifo(run / "figures" / "pipe")
    (run / "arrays" / "link").symlink_to("nowhere")
    (run / "run.json").unlink()
    (run / "run.json").mkdir()
    (run / ".lock").symlink_to(tmp_path / "victim")
    found = found_in(run)
    assert {found[name] for name in ("checkpoints", "figures/pipe", "arrays/link", ".lock")} == {"damaged"}
    assert found["run.json"] == "missing"
    assert not (tmp_path / "victim").exists()


def test_files_that_the_manifest_does_not_know_are_extra(run):
    (run / "notes.txt").write_text("mine")
    (run / "export").mkdir()
    (run / "export" / "model.onnx").write_bytes(b"onnx")
    (run / ".run.json.77.tmp").write_text("{")
    assert found_in(run) == {"notes.txt": "extra", "export/model.onnx": "extra", ".run.json.77.tmp": "extra"}


def test_run_inside_a_run_is_left_to_its_own_manifest(run):
    inner = run / "inner"
    inner.mkdir()
    (inner / "run.json").write_text("{}")
    assert check_files(run) == []
    write_manifest(run)
    assert not any(name.startswith("inner") for name in read_manifest(run).files)


def test_huge_files_are_refused_unread(run):
    for name, num_bytes in {"run.json": 2**40, "checkpoints/last.json": 2**40, "metrics.csv": 2**42}.items():
        os.truncate(run / name, num_bytes)
    step = json.loads((run / "checkpoints" / "previous.json").read_text())["step"]
    tensors = run / "checkpoints" / f"{step}.safetensors"
    os.truncate(tensors, 2**42)
    expected = {"run.json", "checkpoints/last.json", tensors.relative_to(run).as_posix()}
    assert found_in(run) == dict.fromkeys(expected, "damaged")  # what grows is compared up to its old end
    os.truncate(run / "manifest.json", 2**40)
    problems = {finding.path: finding.problem for finding in check_files(run)}
    assert "1,099,511,627,776 bytes" in problems["manifest.json"]
    assert "4,398,046,511,104 bytes" in problems[tensors.relative_to(run).as_posix()]


WRONG_ENTRIES = {
    "../outside": {},
    "a/../../outside": {},
    "/etc/passwd": {},
    "a//b": {},
    "./a": {},
    "": {},
    "a\\b": {},
    "a\0b": {},
    "\ud800": {},
    "a": {"size": -1},
    "b": {"size": True},
    "c": {"size": 1.0},
    "d": {"size": 2**70},
    "d2": {"size": 2**40},
    "e": {"sha256": "0" * 63},
    "f": {"sha256": "G" * 64},
    "g": {"sha256": None},
    "h": {"grows": 1},
    "i": {"more": 1},
}


def rewrite(folder, change):
    """Write a manifest that matches its own digest, as somebody who means harm would."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    del content["sha256"]
    change(content)
    seal = sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    path.write_text(json.dumps(content | {"sha256": seal}))


def test_manifest_that_was_rewritten_rightly_is_read(run):
    rewrite(run, lambda content: None)
    assert check_files(run) == []


@pytest.mark.parametrize("name", WRONG_ENTRIES)
def test_manifest_with_a_wrong_name_or_type_is_refused(name, run):
    entry = {"size": 0, "sha256": sha256(b"").hexdigest(), "grows": False} | WRONG_ENTRIES[name]
    rewrite(run, lambda content: content["files"].update({name: entry}))
    with pytest.raises(FolderError, match=r"manifest\.json"):
        read_manifest(run)
    (finding,) = check_files(run)
    assert (finding.path, finding.severity) == ("manifest.json", "damaged")
    assert str(run) not in finding.problem


@pytest.mark.parametrize(
    "change",
    [
        {"files": []},
        {"files": None},
        {"files": {"a": "b"}},
        {"final": "yes"},
        {"schema_version": "1"},
        {"schema_version": -1},
        {"schema_version": 2},
        {"more": 1},
    ],
)
def test_manifest_of_another_form_is_refused(change, run):
    rewrite(run, lambda content: content.update(change))
    assert found_in(run) == {"manifest.json": "damaged"}
    if change.get("schema_version") == 2:
        with pytest.raises(FolderError, match="newer nnlab"):
            read_manifest(run)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 10**6, '{"a":' * 10**5, "\xff", "1" * 10**5])
def test_manifest_that_is_no_json_object_is_refused(text, run):
    (run / "manifest.json").write_bytes(text.encode("latin-1"))
    assert found_in(run) == {"manifest.json": "damaged"}


def test_run_without_manifest_is_checked_by_its_pointers(run):
    (run / "manifest.json").unlink()
    assert found_in(run) == {"manifest.json": "missing"}
    step = json.loads((run / "checkpoints" / "last.json").read_text())["step"]
    tensors = run / "checkpoints" / f"{step}.safetensors"
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(content)
    assert found_in(run) == {"manifest.json": "missing", f"checkpoints/{step}.safetensors": "damaged"}
    tensors.unlink()
    assert found_in(run)[f"checkpoints/{step}.safetensors"] == "missing"


def pointer(step, names, digest="0" * 64):
    return {"step": step, "sha256": dict.fromkeys(names, digest)}


@pytest.mark.parametrize(
    "content",
    [
        pointer(-1, ["-1.safetensors", "-1.json"]),
        pointer(True, ["True.safetensors", "True.json"]),
        pointer("1", ["1.safetensors", "1.json"]),
        pointer(1.0, ["1.0.safetensors", "1.0.json"]),
        pointer(1, ["../1.safetensors", "1.json"]),
        pointer(1, ["1.safetensors"]),
        pointer(1, ["1.safetensors", "1.json", "2.json"]),
        pointer(1, ["1.safetensors", "1.json"], digest=None),
        pointer(1, ["1.safetensors", "1.json"], digest="abc"),
        {"step": 1, "sha256": []},
        {"step": 10**4000},
        {},
        [],
    ],
)
def test_pointer_that_says_something_else_is_damaged(content, run):
    path = run / "checkpoints" / "best.json"
    path.write_text(json.dumps(content))
    for final in (True, False):
        write_manifest(run, final=final)
        (finding,) = check_files(run)
        assert (finding.path, finding.severity) == ("checkpoints/best.json", "damaged")
        assert len(finding.problem) < 200


def test_run_that_went_on_after_its_manifest_is_whole(run):
    """As a killed run is left: newer checkpoint, pointers, figures and result, an older checkpoint gone."""
    write_manifest(run, final=False)
    checkpoints = run / "checkpoints"
    old = json.loads((checkpoints / "previous.json").read_text())["step"]
    best = json.loads((checkpoints / "best.json").read_text())["step"]
    shutil.copy(checkpoints / "last.json", checkpoints / "previous.json")
    new = {"999.safetensors": b"tensors", "999.json": b"{}"}
    for name, content in new.items():
        (checkpoints / name).write_bytes(content)
    digests = {name: sha256(content).hexdigest() for name, content in new.items()}
    (checkpoints / "last.json").write_text(json.dumps({"step": 999, "sha256": digests}))
    if old != best:
        (checkpoints / f"{old}.json").unlink()
        (checkpoints / f"{old}.safetensors").unlink()
    (run / "figures" / "learning_curves.png").write_bytes(b"drawn again")
    (run / "result.json").write_text('{"status": "running"}')
    with open(run / "train.log", "a") as log:
        log.write("more\n")
    assert set(found_in(run).values()) == {"extra"}
    (checkpoints / "999.json").write_bytes(b"[]")
    assert {path for path, severity in found_in(run).items() if severity == "damaged"} == {"checkpoints/999.json"}


def test_finished_run_has_nothing_that_is_newer_than_its_manifest(run):
    (run / "figures" / "learning_curves.png").write_bytes(b"drawn again")
    (run / "result.json").write_text('{"status": "running"}')
    assert found_in(run) == {"figures/learning_curves.png": "damaged", "result.json": "damaged"}


def test_file_that_is_about_to_be_replaced_can_be_left_out(run):
    write_manifest(run, final=False, leave_out={"run.json"})
    assert found_in(run) == {"run.json": "extra"}


def test_manifest_that_is_written_again_meanwhile_is_compared_again(run, monkeypatch):
    """A check that read the old manifest, and then the files of the new one."""
    from nnlab import manifest

    reads = []

    def read_slowly(folder, read=manifest.read_manifest):
        content = read(folder)
        if not reads:
            (folder / "run.json").write_text("{}")
            write_manifest(folder)
        reads.append(content)
        return content

    monkeypatch.setattr(manifest, "read_manifest", read_slowly)
    assert check_files(run) == []
    assert len(reads) == 2


def test_file_that_a_working_run_deletes_meanwhile_is_no_damage(run, monkeypatch):
    from nnlab import manifest

    old = [run / "checkpoints" / f"{step}.json" for step in range(3)]
    for path in old:
        path.write_text("{}")
    write_manifest(run, final=False)

    def read_slowly(folder, read=manifest.read_manifest):
        old.pop().unlink()  # after the folder was listed, another one each time
        return read(folder)

    monkeypatch.setattr(manifest, "read_manifest", read_slowly)
    assert check_files(run) == []
    assert len(old) == 1


def test_manifest_on_a_full_disk_keeps_the_old_one(run, monkeypatch):
    before = (run / "manifest.json").read_bytes()

    def refuse(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        write_manifest(run, final=False)
    assert (run / "manifest.json").read_bytes() == before
    assert stale_files(run) == []


def test_temporary_files_of_a_killed_process_are_swept_and_nothing_else(run, tmp_path):
    stale = [".run.json.12.tmp", "checkpoints/.7.safetensors.345.tmp", "figures/.a.png.1.tmp", "arrays/.b.npz.1.tmp"]
    stale += [".writable-99"]
    others = ["a.tmp", ".x.tmp", "x.12.tmp", ".hidden", "checkpoints/.1.tmpx", "inner/.run.json.12.tmp"]
    (run / "inner").mkdir()
    (run / "inner" / "run.json").write_text("{}")
    for name in [*stale, *others]:
        (run / name).write_text("half")
    (run / "figures" / ".link.1.tmp").symlink_to(tmp_path)
    assert stale_files(run) == sorted(stale)
    assert sweep_stale(run) == sorted(stale)
    assert stale_files(run) == []
    assert all((run / name).exists() for name in others)
    assert check_files(run)
    write_manifest(run)
    assert {path for path, severity in found_in(run).items() if severity == "damaged"} == {"figures/.link.1.tmp"}


def test_file_whose_name_is_no_text_is_extra(run):
    name = os.fsdecode(b"caf\xe9.txt")
    try:
        (run / name).write_text("")
    except OSError:
        pytest.skip("this file system has text names only")
    write_manifest(run)
    assert found_in(run) == {name: "extra"}

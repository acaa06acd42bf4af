"""The C library is made once, by whatever compiler there is, and never from what somebody else left."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nnlab.native import library
from nnlab.native.library import NoCompilerError, compiler, load


@pytest.fixture(autouse=True)
def _anew(tmp_path, monkeypatch):
    monkeypatch.setenv("NNLAB_CACHE", str(tmp_path / "cache"))
    load.cache_clear()
    yield
    load.cache_clear()


def made(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "native").iterdir())


needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C compiler (cc, gcc or clang)")


@needs_compiler
def test_second_load_takes_what_the_first_has_made(tmp_path):
    load(torch.float32)
    (first,) = made(tmp_path)
    before = first.stat()
    load.cache_clear()
    load(torch.float32)
    assert made(tmp_path) == [first]
    assert (first.stat().st_mtime_ns, first.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


@needs_compiler
def test_each_dtype_and_compiler_flag_has_a_library_of_its_own(tmp_path, monkeypatch):
    load(torch.float32)
    load(torch.float64)
    assert len(made(tmp_path)) == 2
    load.cache_clear()
    monkeypatch.setattr(library, "FLAGS", (*library.FLAGS, "-DANOTHER"))
    load(torch.float32)
    assert len(made(tmp_path)) == 3


def test_without_a_compiler_the_reason_is_said(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(NoCompilerError, match="no C compiler was found"):
        load(torch.float32)


def test_compiler_that_fails_is_said_and_leaves_nothing(tmp_path, monkeypatch):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'step.c:1: error: it is Monday' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(NoCompilerError, match=r"exit code 3: step\.c:1: error: it is Monday"):
        load(torch.float32)
    assert made(tmp_path) == []


@needs_compiler
def test_folder_that_others_can_write_is_not_used(tmp_path):
    folder = tmp_path / "cache" / "native"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert load(torch.float32).nnlab_steps
    assert made(tmp_path) == []


@needs_compiler
@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_folder_that_cannot_be_written_is_not_needed(tmp_path):
    (tmp_path / "cache").mkdir(mode=0o500)
    assert load(torch.float32).nnlab_steps


@needs_compiler
def test_file_that_is_no_library_is_made_anew_for_this_process(tmp_path):
    load(torch.float32)
    (first,) = made(tmp_path)
    damaged = first.read_bytes()[:100]
    first.unlink()  # not written into: this process has it in memory
    first.write_bytes(damaged)
    load.cache_clear()
    assert load(torch.float32).nnlab_steps


@needs_compiler
def test_processes_that_begin_together_all_get_it(tmp_path):
    code = "import torch; from nnlab.native.library import load; load(torch.float32).nnlab_steps; print('there')"
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[0].strip() for process in running] == ["there"] * 3
    assert len(made(tmp_path)) == 1

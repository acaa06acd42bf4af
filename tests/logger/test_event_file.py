"""The event file on disk: framing, names, and what a full disk does to it."""

import io
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

from nnlab.logger.event_file import EventFile, records


def steps(path: Path) -> list[int]:
    return [event.step for event in LegacyEventFileLoader(str(path)).Load()]


#: around the lengths of a word, of what a loop is faster for, and of a block
LENGTHS = [0, 1, 3, 4, 5, 7, 8, 63, 64, 65, 1000, 1023, 1024, 1025, 1027, 1028, 2049, 5000]


@pytest.mark.parametrize("count", [1, 3])
def test_records_any_payloads_are_framed_as_tensorboard_does(count: int) -> None:
    random = np.random.default_rng(count)
    payloads = [random.bytes(length) for length in LENGTHS for _ in range(count)]
    random.shuffle(payloads)
    file = io.BytesIO()
    writer = RecordWriter(file)
    for payload in payloads:
        writer.write(payload)
    assert records(payloads) == file.getvalue()


def test_event_file_fresh_first_record_is_the_version_and_the_name_has_five_parts(tmp_path: Path) -> None:
    events = EventFile(tmp_path, flush_every_s=60)
    events.flush()
    (first,) = LegacyEventFileLoader(str(events.path)).Load()
    assert first.file_version == "brain.Event:2"
    parts = events.path.name.split(".")
    assert parts[:3] == ["events", "out", "tfevents"]
    assert parts[-2:] == [str(os.getpid()), "0"]
    assert list(tmp_path.iterdir()) == [events.path]


def test_event_file_second_of_a_folder_sorts_after_the_first_even_if_the_clock_went_back(tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.4000000000.host.1.0").touch()
    (tmp_path / "events.out.tfevents.notes").touch()
    assert EventFile(tmp_path, 60).path.name.split(".")[3] == "4000000001"
    assert EventFile(tmp_path, 60).path.name.split(".")[3] == "4000000002"


def test_event_file_before_the_interval_is_over_nothing_is_written(tmp_path: Path) -> None:
    events = EventFile(tmp_path, flush_every_s=60)
    events.write(Event(step=1))
    assert events.path.stat().st_size == 0
    events.flush()
    assert steps(events.path) == [0, 1]


def test_event_file_after_the_interval_every_event_is_on_disk(tmp_path: Path) -> None:
    events = EventFile(tmp_path, flush_every_s=0)
    for step in (1, 2):
        events.write(Event(step=step))
        assert steps(events.path)[-1] == step


def test_event_file_torn_last_record_readers_see_the_ones_before(tmp_path: Path) -> None:
    events = EventFile(tmp_path, flush_every_s=0)
    for step in (1, 2, 3):
        events.write(Event(step=step))
    os.truncate(events.path, events.path.stat().st_size - 5)
    assert steps(events.path) == [0, 1, 2]


def test_event_file_disk_full_error_comes_out_and_nothing_is_lost(tmp_path: Path) -> None:
    events = EventFile(tmp_path, flush_every_s=0)
    events.write(Event(step=1))
    kept = events.path.rename(tmp_path / "kept")
    events.path.symlink_to("/dev/full")
    for step in (2, 3):
        with pytest.raises(OSError, match="No space left"):
            events.write(Event(step=step))
    events.path.unlink()
    kept.rename(events.path)
    events.write(Event(step=4))
    assert steps(events.path) == [0, 1, 2, 3, 4]


@pytest.fixture
def file_size_limit() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("file_size_limit")
def test_event_file_disk_takes_half_a_record_the_file_keeps_whole_ones(tmp_path: Path) -> None:
    events = EventFile(tmp_path, flush_every_s=0)
    events.write(Event(step=1))
    size = events.path.stat().st_size
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))
    with pytest.raises(OSError, match="No space left"):
        events.write(Event(step=2))
    assert events.path.stat().st_size == size
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    events.write(Event(step=3))
    assert steps(events.path) == [0, 1, 2, 3]

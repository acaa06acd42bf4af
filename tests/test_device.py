import os

import pytest
import torch

from nnlab.device import choose_threads, flushing_denormals, num_cores, resolve_device

CPU = torch.device("cpu")
W1, W2, W3 = [(1, 100), (100, 1)], [(64, 256), (256, 1024), (1024, 1)], [(2, 100), (100, 100), (100, 3)]


@pytest.mark.parametrize(
    ("batch_size", "shapes", "cores", "expected"),
    [
        (1000, W1, 2, 1),
        (16, W2, 2, 2),
        (1000, W3, 2, 2),
        (100, W3, 2, 1),
        (1000, W3, 64, 5),
        (1000, W3, 1, 1),
        (32, [], 8, 1),
    ],
)
def test_threads_follow_from_shapes_and_cores(batch_size, shapes, cores, expected, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert choose_threads(CPU, batch_size, shapes) == expected
    assert choose_threads(torch.device("cuda"), batch_size, shapes) == 1


@pytest.mark.parametrize(("wanted", "expected"), [("1", 1), ("3", 3), ("99", 8), ("", 8), ("many", 8), ("0", 8)])
def test_cores_are_no_more_than_openmp_is_allowed(wanted, expected, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    assert num_cores() == expected


@pytest.mark.parametrize("name", ["auto", "cpu"])
def test_device_that_is_there_is_given(name):
    assert resolve_device(name).type in ("cpu", "cuda")


@pytest.mark.parametrize("name", ["gpu", "cpu:1", "cuda:x", "", "cuda:-1"])
def test_unknown_device_is_refused_with_the_names(name):
    with pytest.raises(ValueError, match="auto, cpu, cuda or cuda:N"):
        resolve_device(name)


def test_absent_cuda_device_is_refused_saying_what_there_is():
    with pytest.raises(ValueError, match=r"'cuda:77' was asked for, but torch finds"):
        resolve_device("cuda:77")


@pytest.mark.parametrize("before", [False, True])
def test_denormals_are_flushed_for_a_while_and_treated_as_before_afterwards(before):
    if not torch.set_flush_denormal(before):
        pytest.skip("this processor does not flush denormals")
    try:
        with flushing_denormals():
            assert (torch.tensor([1e-40]) * 1).item() == 0
        assert ((torch.tensor([1e-40]) * 1).item() == 0) == before
    finally:
        torch.set_flush_denormal(False)

"""What torch says of GPUs and drivers, as a sentence. CUDA itself is faked: these tests run without a GPU."""

from types import SimpleNamespace

import pytest
import torch

from horovod_ocr.distributed import gpus
from horovod_ocr.distributed.gpus import Gpus, find_gpus, has_code_for

COMPILED = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]  # torch 2.13.0 from PyPI


@pytest.fixture
def cuda(monkeypatch):
    """A torch for CUDA 13.0 on a machine with a driver. `cards`: (name, major, minor, uuid) of its GPUs; `error`: what
    torch.cuda.init raises."""
    fake = SimpleNamespace(cards=[], error="", has_driver=True)

    def init():
        if fake.error:
            raise RuntimeError(fake.error)

    def properties(number):
        name, major, minor, uuid = fake.cards[number]
        return SimpleNamespace(name=name, major=major, minor=minor, uuid=uuid)

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(fake.cards))
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: COMPILED)
    monkeypatch.setattr(gpus, "has_nvidia_driver", lambda: fake.has_driver)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return fake


@pytest.mark.parametrize(
    ("capability", "compiled", "can"),
    [
        ((9, 0), COMPILED, True),
        ((8, 9), COMPILED, True),  # runs code of 8.6
        ((12, 1), COMPILED, True),
        ((6, 1), COMPILED, False),
        ((7, 0), COMPILED, False),  # Volta
        ((11, 0), COMPILED, False),
        ((11, 0), [*COMPILED, "compute_100"], True),  # compiled on the machine
        ((9, 0), ["compute_100"], False),
        ((9, 0), ["sm_90a"], True),
        ((12, 1), ["sm_120a", "compute_120a"], False),
        ((9, 0), [], False),
    ],
)
def test_code_runs_on_its_own_generation_and_later_ones_if_it_is_compiled_there(capability, compiled, can):
    assert has_code_for(capability, compiled) == can


def test_gpus_that_work(cuda):
    cuda.cards = [("H200", 9, 0, "a"), ("H200", 9, 0, "b")]
    assert find_gpus() == Gpus((0, 1), ("a", "b"))


def test_a_gpu_that_torch_has_no_code_for_is_passed_over_beside_others_and_alone_a_problem(cuda):
    cuda.cards = [("GT 1030", 6, 1, "a"), ("H200", 9, 0, "b")]
    assert find_gpus() == Gpus((1,), ("b",))
    cuda.cards = cuda.cards[:1]
    found = find_gpus()
    assert found.numbers == () and "no code for the GPU GT 1030 (compute capability 6.1" in found.problem


def test_a_driver_that_is_too_old_is_a_problem_with_the_version_to_install(cuda):
    cuda.error = "The NVIDIA driver on your system is too old (found version 12080). Please update your GPU driver by"
    problem = find_gpus().problem
    assert "supports CUDA 12.8" in problem and "built for CUDA 13.0: update it to 580 or newer" in problem


@pytest.mark.parametrize(
    "error",
    [
        "CUDA driver initialization failed, you might not have a CUDA gpu.",
        "Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized",
    ],
)
def test_any_other_failure_of_cuda_is_a_problem_and_keeps_its_words(cuda, error):
    cuda.error = error
    assert error.partition(". ")[0].rstrip(".") in find_gpus().problem
    cuda.has_driver = False
    assert find_gpus() == Gpus(), "a library without a driver: there is no GPU"


def test_what_fails_while_gpus_are_asked_is_a_problem_too(cuda, monkeypatch):
    cuda.cards = [("H200", 9, 0, "a")]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: cuda.cards[7])
    assert "list index out of range" in find_gpus().problem


def test_no_gpu_is_no_problem_but_remarked_where_there_is_a_driver(cuda, monkeypatch):
    cuda.error = "No CUDA GPUs are available"
    assert find_gpus() == Gpus(remark=gpus.NO_DEVICE)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert find_gpus() == Gpus(remark="CUDA_VISIBLE_DEVICES=-1")
    cuda.error = "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU"
    assert "docker run --gpus all" in find_gpus().remark
    cuda.has_driver = False
    assert find_gpus() == Gpus()


def test_a_torch_without_cuda_is_remarked_where_there_is_a_driver(cuda, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built without CUDA" in find_gpus().remark
    cuda.has_driver = False
    assert find_gpus() == Gpus()

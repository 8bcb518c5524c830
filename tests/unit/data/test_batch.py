"""Batches on their way to the device: in their order, each once, none changed."""

import numpy as np
import pytest
import torch

from horovod_ocr.data.batch import Batch, prefetch

CPU = torch.device("cpu")


def batch_of(step: int, samples: int) -> Batch:
    rng = np.random.default_rng(step)
    return Batch(
        step=step,
        images_NHWC=torch.from_numpy(rng.integers(0, 256, (samples, 64, 96), dtype=np.uint8)),
        valid_width_N=torch.arange(samples),
        labels=[str(number) for number in range(samples)],
        subsets_N=np.arange(samples, dtype=np.uint8),
        shards_N=np.arange(samples),
        rows_N=np.arange(samples),
        global_samples=samples,
    )


def test_without_a_gpu_batches_pass_as_they_are():
    batches = [batch_of(step, 3) for step in range(4)]
    assert [id(batch) for batch in prefetch(batches, CPU)] == [id(batch) for batch in batches]
    assert list(prefetch([], CPU)) == []


def test_a_batch_without_some_of_its_samples():
    batch = batch_of(0, 5)
    del batch.labels[3:]
    cut = batch.cut()
    assert len(cut) == 3 == len(cut.images_NHWC) == len(cut.valid_width_N) == len(cut.subsets_N) == len(cut.rows_N)
    assert torch.equal(cut.images_NHWC, batch.images_NHWC[:3]) and cut.global_samples == 5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_each_batch_arrives_whole_on_the_gpu():
    """While it is copied the stream before it is kept busy; its memory is not given to the next one too early."""
    device = torch.device("cuda", 0)
    wanted = [batch_of(step, 512).images_NHWC for step in range(30)]
    ballast = torch.randn(2048, 2048, device=device)
    sums = []
    for batch in prefetch((batch_of(step, 512).pin_memory() for step in range(30)), device):
        assert batch.images_NHWC.device == device
        for _ in range(5):
            ballast = torch.mm(ballast, ballast).tanh()
        sums.append(batch.images_NHWC.long().sum((1, 2)))
    assert len(sums) == 30
    for mine, images_NHWC in zip(sums, wanted, strict=True):
        assert torch.equal(mine.cpu(), images_NHWC.long().sum((1, 2)))

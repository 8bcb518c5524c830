"""How a split is read: the values that a stream and what it is made of share."""

from dataclasses import dataclass

from horovod_ocr.data.augment.strengths import Augmentation


@dataclass(frozen=True)
class StreamOptions:
    """How a rank reads a split."""

    split: str
    """Its name: train, val or test."""
    seed: int = 0
    """Decides the orders of the plan and the augmentation of each sample."""
    lanes: int = 48
    """See `plan.EpochPlan`."""
    global_batch: int = 64
    """See `plan.EpochPlan`."""
    window: int = 4096
    """See `plan.EpochPlan`."""
    shuffle: bool = True
    """See `plan.EpochPlan`."""
    augmentation: Augmentation | None = None
    """How far images are changed at random; None: not at all."""
    decoder: str = "auto"
    """See `decoders.build_decoder`."""
    replaces_damaged: bool = True
    """Whether a neighbour replaces a sample that cannot be read, so that batches keep their sizes. If False, the sample
    is left out, so that none is scored twice."""
    rank: int = 0
    """Of this process, from 0 on."""
    world_size: int = 1
    """The number of ranks that share the split."""
    workers: int = 0
    """Loader processes of the rank; 0: the rank reads in its own process."""
    to_gpu: bool = False
    """Whether batches will be copied to a GPU. Their memory is then pinned, which creates a CUDA context, so this must
    be False on a GPU machine that trains on its CPU."""

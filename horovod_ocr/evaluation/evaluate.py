"""Read a split with a model and sum its scores over the ranks."""

from collections.abc import Callable
from contextlib import closing

import torch

from horovod_ocr.data.batch import prefetch
from horovod_ocr.data.loader_workers import killed_loader_workers_named
from horovod_ocr.data.stream import Stream
from horovod_ocr.distributed.damaged_samples import DamagedSamples
from horovod_ocr.distributed.world import World
from horovod_ocr.models.base import ImageModel
from horovod_ocr.models.forward import forward
from horovod_ocr.tasks.base import Scores, Task, read_output


def evaluate(
    model: ImageModel,
    task: Task,
    stream: Stream,
    world: World,
    precision: str,
    damage: DamagedSamples,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Scores over every sample of the stream's split, equal on all ranks. Every rank must call this.

    Runs on the device of the model, whose training mode is restored at the end. Samples that cannot be read are left
    out, and `damage` counts them. progress: called with the batches done and their number.

    Raises ShardError, on every rank, if too many samples cannot be read.
    """
    was_training = model.training
    model.eval()
    scores = task.empty_scores(stream.store.index)
    with killed_loader_workers_named(), closing(stream.batches()) as batches:
        for batch in prefetch(batches, next(model.parameters()).device):
            damage.add(batch.damage)
            if len(batch):
                with torch.inference_mode():  # not around the whole: Horovod cannot write into inference tensors
                    output = forward(model, batch.images_NHWC, batch.valid_width_N, precision)
                scores.add(read_output(task, output), batch)
            if progress:
                progress(batch.step + 1, stream.steps)
    model.train(was_training)
    damage.agree()
    scores.merge(world.gather(scores.state()))
    return scores

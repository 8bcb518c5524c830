"""Read a split with a model and sum its scores over the ranks."""

from collections import Counter
from collections.abc import Callable

import torch
from torch import nn

from horovod_ocr.data.batch import normalise_images, prefetch
from horovod_ocr.data.loader_workers import killed_workers_named
from horovod_ocr.data.stream import Stream
from horovod_ocr.distributed.damaged_samples import DamagedSamples
from horovod_ocr.distributed.device import autocast
from horovod_ocr.distributed.world import World
from horovod_ocr.models.base import frames_of
from horovod_ocr.tasks.words import EXAMPLES, Scores, WordTask


def evaluate(
    model: nn.Module,
    task: WordTask,
    stream: Stream,
    world: World,
    device: torch.device,
    precision: str,
    damage: DamagedSamples,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Scores over every sample of the stream's split, equal on all ranks. Every rank must call this.

    The sums of the ranks are added; whoever reads them divides once. Training mode is put back as it was. Samples that
    cannot be read are left out, and `damage` counts them: ShardError where there are too many.
    """
    dtype = next(model.parameters()).dtype
    was_training = model.training
    model.eval()
    scores = task.empty_scores(len(stream.store.index.subsets))
    with killed_workers_named():
        for batch in prefetch(stream.batches(), device):
            damage.add(batch.damage)
            if len(batch):
                # not around the whole: Horovod cannot write into inference tensors
                with torch.inference_mode(), autocast(device, precision):
                    logits_TNC = model(normalise_images(batch.images_NHW, device, dtype))
                frames_N = frames_of(batch.valid_width_N, model.frame_stride_px)
                task.score(scores, task.decode(logits_TNC, frames_N), batch.labels, batch.subsets_N)
            if progress:
                progress(batch.step + 1, stream.steps)
    model.train(was_training)
    scores.unreadable = damage.agree()
    scores.counts = world.sum_array(scores.counts)
    parts = world.gather((scores.confusions, scores.examples))
    scores.confusions = sum((confusions for confusions, _ in parts), Counter())
    scores.examples = [example for _, examples in parts for example in examples][:EXAMPLES]
    return scores

"""Models proved on the shards of their run: compared with the checkpoint, calibrated, scored."""

from collections.abc import Callable

from horovod_ocr.checkpoint.restore import Restored
from horovod_ocr.data.splits import unseen_split
from horovod_ocr.data.store import ShardStore
from horovod_ocr.errors import ExportError
from horovod_ocr.export.request import Exported, ExportRequest, OnnxModel
from horovod_ocr.export.torch_network import TorchNetwork, frame_px_of
from horovod_ocr.export.trial import Trial, at, compare, fit, lost_points, milliseconds, score, some_batches

COMPARED = 500  # samples whose readings must be the same as the checkpoint's
CALIBRATED = 2_000  # samples that the temperature is fitted on
SCORED = 10_000  # at most, of the split that is scored


def prove(
    request: ExportRequest,
    restored: Restored,
    store: ShardStore,
    models: dict[str, OnnxModel],
    tell: Callable[[str], None],
) -> Exported:
    """Compare, calibrate and score the models. ExportError if they do not read as they should."""
    task, geometry, frame_px = restored.task, restored.geometry, frame_px_of(restored.model)
    totals = store.index.counts.totals
    fitted_on = next(split for split in ("val", "test", "train") if totals.get(split))
    scored_on = unseen_split(store.index) or "train"
    checkpoint = Trial(TorchNetwork(restored.model, "fp32"), task.reader, frame_px)
    trials = {name: Trial(model.network(), task.reader, frame_px) for name, model in models.items()}
    tell("comparing with the checkpoint")
    some = list(some_batches(store, geometry, scored_on, COMPARED))
    parity = compare(checkpoint, trials["fp32"], some)
    tell("fitting the confidences")
    temperature = fit(trials["fp32"], task, store, list(some_batches(store, geometry, fitted_on, CALIBRATED)))
    scored = {}
    for name, trial in trials.items():
        tell(f"scoring {name}")
        batches = some_batches(store, geometry, scored_on, SCORED)
        scored[name] = score(at(trial, temperature), task, store, batches)
    if "int8" in scored and (lost := lost_points(task, scored["fp32"], scored["int8"])) > request.most_lost:
        raise ExportError(
            f"the int8 model loses {lost:.2f} points on the {scored_on} split, more than {request.most_lost:g}; take "
            f"it all the same with --max-loss {lost + 0.01:.2f}, or export float32 alone: --no-int8"
        )
    ms = milliseconds({"torch": checkpoint.network, **{name: each.network for name, each in trials.items()}}, some)
    return Exported(task.kind, scored_on, temperature, parity, scored, models, ms, fitted_on)

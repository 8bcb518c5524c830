"""A run's best checkpoint as a recogniser that needs no torch: a folder and a zip, proved before they are written."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from horovod_ocr.checkpoint.file import load_best, load_best_of, read_checkpoint
from horovod_ocr.checkpoint.restore import Restored, config_of, restore
from horovod_ocr.data.store import ShardStore, open_store
from horovod_ocr.errors import ShardError
from horovod_ocr.evaluation.score import check_readable
from horovod_ocr.export.graph import build_graph
from horovod_ocr.export.int8 import images_a_run, quantise
from horovod_ocr.export.prove import prove
from horovod_ocr.export.request import Exported, ExportRequest, OnnxModel
from horovod_ocr.export.torch_network import CPU
from horovod_ocr.export.trial import some_batches
from horovod_ocr.export.write import check_out, write_export
from horovod_ocr.run.folder import EXPORT

CALIBRATION_IMAGES = 512  # of the train split: the ranges of int8 activations come from them


def find_checkpoint(runs: Path, named: str | None) -> tuple[Path, dict[str, Any]]:
    """The folder of a run, and a checkpoint: of a run by its name or its folder, by default the newest one, its best;
    or the file of one. CheckpointError if there is none."""
    if named and named.endswith(".pt"):
        path = Path(named)
        folder = path.parent
        return (folder.parent if folder.name == "checkpoints" else path.with_suffix("")), read_checkpoint(path)
    if named and (os.sep in named or Path(named).is_dir() and not (runs / named).is_dir()):
        return Path(named), load_best_of(Path(named))
    return load_best(runs, named)


def request_export(
    runs: Path, named: str | None, out: Path | None, shards: str | None, int8: bool, most_lost: float
) -> ExportRequest:
    """Find what to export. CheckpointError if there is no such run; ExportError if `out` is another kind of folder."""
    run, payload = find_checkpoint(runs, named)
    request = ExportRequest(run, payload, out.resolve() if out else run / EXPORT, shards, int8, most_lost)
    check_out(request.out)
    return request


def export(request: ExportRequest, tell: Callable[[str], None]) -> Exported:
    """Make the models, prove them, then write them. tell: called with what is being done.

    Raises ShardError, CheckpointError or ConfigError if the shards cannot be read with this model; ExportError if a
    model does not read as it should. Nothing is written then.
    """
    torch.set_num_threads(1)
    restored = restore(request.payload, CPU)
    store = store_of(request, restored)
    tell("making the float32 model")
    graph = build_graph(restored.model, restored.geometry)
    models = {"fp32": OnnxModel(graph.SerializeToString(), images_a_run(graph))}
    if request.int8:
        tell("making the int8 model")
        batches = some_batches(store, restored.geometry, "train", CALIBRATION_IMAGES)
        int8 = quantise(graph, (batch.images_NHWC.numpy() for batch in batches))
        models["int8"] = OnnxModel(int8.SerializeToString(), images_a_run(int8))
    exported = prove(request, restored, store, models, tell)
    tell("writing")
    write_export(request, restored, exported)
    return exported


def store_of(request: ExportRequest, restored: Restored) -> ShardStore:
    """The shards that the model is proved on."""
    config = config_of(request.payload, request.run).data
    try:
        store = open_store(request.shards or config.shards, config.cache_dir, config.cache_bytes)
    except ShardError as error:
        if request.shards:
            raise
        raise ShardError(
            f"the shards of the run cannot be read here ({config.shards}), and an export is proved on shards: name "
            "them with --shards"
        ) from error
    check_readable(restored.task, store.index)
    return store

"""What a command reads with: the export of a run, or its checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING

from horovod_ocr.cli.options import device_given
from horovod_ocr.cli.sentence import tell
from horovod_ocr.errors import ConfigError

if TYPE_CHECKING:
    from horovod_ocr.recognizer.recognizer import Recognizer


def export_of_run(model: Path | None, runs: Path, run: str | None, device: str | None) -> Path | None:
    """The export to read with; None: the run's checkpoint, with torch. A run's export is left alone if a GPU is asked
    for, or if it is not of the best checkpoint, which is said."""
    from horovod_ocr.recognizer.find import find_export
    from horovod_ocr.run.folder import EXPORT

    if model:
        if run or device:
            raise ConfigError("--model is an export, which the CPU reads with; leave --run and --device out")
        return model
    if device == "cuda":
        return None
    found = find_export(runs, run)
    if found.path is None and (found.run / EXPORT).exists():
        tell(f"reading with the checkpoint: {found.why_none}")
    return found.path


def recognizer_of_run(runs: Path, run: str | None, device: str | None) -> "Recognizer":
    """Of the best checkpoint of a run, on torch."""
    from horovod_ocr.recognizer.find import find_export

    try:
        import torch
    except ModuleNotFoundError as error:
        instead = "or install torch: pip install 'horovod-ocr[train]'"
        raise ConfigError(f"{find_export(runs, run).why_none}; {instead}") from error
    from horovod_ocr.checkpoint.file import load_best
    from horovod_ocr.distributed.alone import AloneWorld
    from horovod_ocr.distributed.device import choose_device
    from horovod_ocr.export.torch_network import build_recognizer

    chosen = choose_device(AloneWorld(), device_given(device)).device
    torch.set_num_threads(1)  # more would spin on cores that others need: ten times the CPU time on a busy machine
    return build_recognizer(load_best(runs, run)[1], device=chosen)

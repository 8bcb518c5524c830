"""Runs that have learnt nothing, with the shards that they are exported on."""

from pathlib import Path

import pytest
import torch

from horovod_ocr.checkpoint.file import write_checkpoint
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.image import Geometry
from horovod_ocr.models.base import ImageModel
from horovod_ocr.models.build import build_model
from horovod_ocr.run.folder import Ownership
from horovod_ocr.tasks.classes import ClassTask
from horovod_ocr.tasks.words import WordTask
from horovod_ocr.text.charset import Charset
from sharding.format.script.profile import build_profile
from tests.unit.checkpoint.payload import tiny_payload
from tests.unit.shard_sets import write_set

WORDS = (
    WordTask(Charset.build("ab", build_profile("plain"))),
    Geometry(32, (2.5,)),
    "crnn",
    {"width": 0.25, "hidden": 8},
)
CLASSES = ClassTask(("cat", "dog")), Geometry(32, (2.5,), 32, 3), "cnn", {"width": 0.25, "hidden": 16}


def random_model(name: str, outputs: int, height: int, channels: int = 1, **options) -> ImageModel:
    """With statistics of BatchNorm that are not those it begins with."""
    torch.manual_seed(0)
    model = build_model(name, outputs, height, channels, **options)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.3, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.3, 0.3)
    return model.eval()


def write_run(runs: Path, made_of: tuple, shards: Path) -> Path:
    """runs/it, of the parts of a task; trained on these shards."""
    task, geometry, name, options = made_of
    payload = {
        **tiny_payload(),
        "model": random_model(name, task.outputs, geometry.height, geometry.channels, **options).state_dict(),
        "model_name": name,
        "model_options": options,
        "task": task.to_dict(),
        "geometry": geometry.to_dict(),
        "config": {**TrainConfig().to_dict(), "shards": str(shards)},
    }
    write_checkpoint(Ownership(runs / "it"), 7, payload, is_best=True)
    return runs / "it"


@pytest.fixture
def word_run(tmp_path) -> Path:
    labels = {"train": ["ab", "ba"] * 8, "val": ["a", "b", "ab"] * 4, "test": ["b", "ab"] * 6}
    write_set(tmp_path / "shards", labels)
    return write_run(tmp_path / "runs", WORDS, tmp_path / "shards")


@pytest.fixture
def class_run(tmp_path) -> Path:
    labels = {"train": ["0", "1"] * 8, "val": ["1", "0"] * 6}
    write_set(tmp_path / "shards", labels, kind="classes", classes=("cat", "dog"))
    return write_run(tmp_path / "runs", CLASSES, tmp_path / "shards")

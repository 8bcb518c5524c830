"""A run put together: nothing is written into a folder that cannot be taken over, and an error leaves nothing open."""

import warnings

import pytest

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.errors import CheckpointError
from horovod_ocr.training import setup
from horovod_ocr.training.train import train

SMALL = {"workers": 0, "steps": 2, "model_options": {"width": 0.25, "hidden": 8}}


def test_a_folder_that_cannot_be_written_is_said_with_its_remedy(word_shards, tmp_path):
    (tmp_path / "file").touch()
    config = TrainConfig.of(shards=str(word_shards), runs=str(tmp_path / "file"), run="it", **SMALL)
    with pytest.raises(CheckpointError, match=r"file/it: cannot be written \(.*\); .*, or name another --runs"):
        train(config, AloneWorld())


def test_an_error_after_the_log_is_open_closes_it(word_shards, tmp_path, monkeypatch):
    def fail(*parts):
        raise CheckpointError("no room")

    shows = warnings.showwarning
    monkeypatch.setattr(setup, "build_hooks", fail)
    config = TrainConfig.of(shards=str(word_shards), runs=str(tmp_path), run="it", **SMALL)
    with pytest.raises(CheckpointError, match="no room"):
        train(config, AloneWorld())
    assert warnings.showwarning is shows

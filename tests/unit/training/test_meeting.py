"""The weights that a run begins with."""

import pytest
import torch

from horovod_ocr.checkpoint.file import load_checkpoint
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.errors import CheckpointError, ConfigError
from horovod_ocr.training.train import train

SMALL = {"workers": 0, "global_batch": 8, "validate_every_steps": 100, "model_options": {"width": 0.25, "hidden": 8}}


@pytest.mark.slow
def test_a_new_run_begins_with_exactly_the_weights_of_another_and_a_resumed_one_with_its_own(word_shards, tmp_path):
    def begin(run: str, **settings) -> dict[str, torch.Tensor]:
        """Train, and return the weights before the first step."""
        weights = {}
        config = TrainConfig.of(shards=str(word_shards), runs=str(tmp_path), run=run, **SMALL, **settings)
        train(config, AloneWorld(), lambda trainer: weights.update(copied(trainer.gradients.model.state_dict())))
        return weights

    def copied(weights):
        return {name: values.clone() for name, values in weights.items()}

    def saved(run: str):
        return load_checkpoint(tmp_path / run)["model"]

    random = begin("first", steps=2)
    begun = begin("second", steps=2, seed=1, init_from=str(tmp_path / "first"))
    assert all(torch.equal(begun[name], values) for name, values in saved("first").items())
    assert not torch.equal(begun["head.weight"], random["head.weight"])
    log = (tmp_path / "second/train.log").read_text()
    assert f"begins with the weights of {tmp_path}/first/checkpoints/step-00000002.pt; head: " in log
    own = saved("second")
    resumed = begin("second", steps=3, seed=1, resume=True, init_from=str(tmp_path / "first"))
    assert all(torch.equal(resumed[name], values) for name, values in own.items())


@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        ({"init_from": "none.pt"}, CheckpointError, "^none.pt: no such file"),
        ({"model": "cnn"}, ConfigError, "model cnn does not learn words; those that do: crnn$"),
        ({"model": "vit"}, ConfigError, "no model 'vit'; there are: crnn, cnn"),
    ],
)
def test_what_cannot_begin_leaves_no_run_behind(word_shards, tmp_path, settings, error, sentence):
    config = TrainConfig.of(shards=str(word_shards), runs=str(tmp_path / "runs"), **{**SMALL, **settings})
    with pytest.raises(error, match=sentence):
        train(config, AloneWorld())
    assert not (tmp_path / "runs").exists()

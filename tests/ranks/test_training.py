"""Two and three real Horovod processes train as one does."""

import json
import shutil

import pytest

from horovod_ocr.checkpoint.file import LAST, load_checkpoint
from tests.ranks.launch import assert_ran, horovodrun, largest_difference, parameters_of, train_on_ranks

pytestmark = [
    pytest.mark.ranks,
    pytest.mark.skipif(not shutil.which(horovodrun()), reason="needs Horovod: make setup builds it"),
]


def test_after_20_steps_the_parameters_of_3_ranks_are_bit_equal(groups, word_shards, tmp_path):
    result = groups.train(3, tmp_path, shards=str(word_shards), steps=20, global_batch=24)
    assert_ran(result)
    first = parameters_of(tmp_path, 0)
    assert largest_difference(first, parameters_of(tmp_path, 1)) == 0
    assert largest_difference(first, parameters_of(tmp_path, 2)) == 0


def test_1_x_24_and_3_x_8_samples_give_the_same_parameters(groups, word_shards, tmp_path):
    """With synchronised BatchNorm; the plan, the augmentation and the loss are the same for any number of ranks.

    In float64: Adam divides by the gradient's own size, so in float32 it blows rounding up to a whole step.
    """
    settings = {"shards": str(word_shards), "steps": 20, "global_batch": 24, "sync_batchnorm": True}
    settings["precision"] = "fp64"
    assert_ran(groups.train(1, tmp_path / "one", **settings))
    assert_ran(groups.train(3, tmp_path / "three", **settings))
    one, three = parameters_of(tmp_path / "one"), parameters_of(tmp_path / "three")
    untrained = tmp_path / "untrained"
    assert_ran(groups.train(1, untrained, **{**settings, "steps": 1, "lr": 1e-12}))
    assert largest_difference(one, parameters_of(untrained)) > 1e-3  # it did learn something
    assert largest_difference(one, three) <= 1e-5


def test_20_steps_at_once_and_10_killed_and_10_give_bit_equal_parameters(groups, word_shards, tmp_path):
    """In the middle of an epoch, dropout on, each rank with a random state of its own."""
    settings = {
        "shards": str(word_shards),
        "steps": 20,
        "global_batch": 24,
        "save_every_steps": 10,
        "validate_every_steps": 10,
        "model_options": {"width": 0.25, "hidden": 24, "dropout": 0.2},
    }
    at_once, killed = tmp_path / "at_once", tmp_path / "killed"
    assert_ran(groups.train(2, at_once, **settings))
    died = train_on_ranks(2, killed, **settings, faults={"dies_after": 13})
    assert died.returncode != 0 and not (killed / "rank0.pt").exists()
    assert load_checkpoint(killed / "runs/it", LAST)["step"] == 10
    assert_ran(groups.train(2, killed, **settings, resume=True))
    for rank in (0, 1):
        assert largest_difference(parameters_of(at_once, rank), parameters_of(killed, rank)) == 0
    lines = [json.loads(line) for line in (killed / "runs/it/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "train"] == [5, 10, 15, 20]


def test_a_batch_smaller_than_the_ranks_and_ranks_without_samples(groups, word_shards, tmp_path):
    """One sample a step: two of three ranks hold none, with and without synchronised statistics."""
    for number, sync_batchnorm in enumerate((False, True)):
        out = tmp_path / str(number)
        settings = {"shards": str(word_shards), "steps": 4, "global_batch": 1, "sync_batchnorm": sync_batchnorm}
        assert_ran(groups.train(3, out, **settings))
        assert largest_difference(parameters_of(out, 0), parameters_of(out, 2)) == 0

"""Real processes: every way to exchange, on 2 and 3 ranks, under both engines."""

import shutil

import pytest
import torch

from horovod_ocr.checkpoint.file import LAST, load_checkpoint
from horovod_ocr.run.state import read_state
from tests.ranks.launch import assert_ran, horovodrun, largest_difference, parameters_of, train_on_ranks

pytestmark = [
    pytest.mark.ranks,
    pytest.mark.skipif(not shutil.which(horovodrun()), reason="needs Horovod: make setup builds it"),
]
STEPS = 20
SETTINGS = {
    "steps": STEPS,
    "global_batch": 24,
    "precision": "fp64",
    "save_every_steps": 4,
    "validate_every_steps": 100,
    "model_options": {"width": 0.25, "hidden": 24, "dropout": 0.2},
}
# in float64, where BatchNorm's statistics, which are a rank's own, do not blur what is compared
EXACT = {**SETTINGS, "faults": {"frozen_batchnorm": True}, "model_options": {"width": 0.25, "hidden": 24}}


@pytest.mark.parametrize(("ranks", "launcher"), [(2, "horovodrun"), (3, "horovodrun"), (2, "torchrun")])
def test_gradients_that_meet_give_the_same_weights_in_any_way(groups, word_shards, tmp_path, ranks, launcher):
    settings = {**EXACT, "shards": str(word_shards)}
    assert_ran(groups.train(ranks, tmp_path / "allreduce", launcher, **settings))
    summed = parameters_of(tmp_path / "allreduce")
    for name in ("parameter-server", "sharded-server"):
        assert_ran(groups.train(ranks, tmp_path / name, launcher, **settings, exchange=name))
        for rank in range(ranks):
            assert largest_difference(summed, parameters_of(tmp_path / name, rank)) < 1e-6
        moments = load_checkpoint(tmp_path / name / "runs/it", LAST)["optimizer"]["state"]
        expected = load_checkpoint(tmp_path / "allreduce/runs/it", LAST)["optimizer"]["state"]
        assert moments.keys() == expected.keys()
        for number, slot in expected.items():
            torch.testing.assert_close(moments[number]["exp_avg"], slot["exp_avg"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["parameter-server", "sharded-server", "weight-average", "diloco", "powersgd"])
def test_a_run_that_is_killed_goes_on_bit_by_bit(groups, word_shards, tmp_path, name):
    """Three ranks: two numbers have the same sum in any order."""
    settings = {**SETTINGS, "shards": str(word_shards), "exchange": name, "local_steps": 4}
    assert_ran(groups.train(3, tmp_path / "whole", **settings))
    killed = train_on_ranks(3, tmp_path / "killed", **settings, faults={"dies_after": 10})
    assert killed.returncode != 0 and load_checkpoint(tmp_path / "killed/runs/it", LAST)["step"] == 8
    assert_ran(groups.train(3, tmp_path / "killed", **settings, resume=True))
    assert read_state(tmp_path / "killed/runs/it").step == STEPS
    for rank in range(3):
        assert (
            largest_difference(parameters_of(tmp_path / "whole", rank), parameters_of(tmp_path / "killed", rank)) == 0
        )


@pytest.mark.parametrize("name", ["diloco", "powersgd"])
def test_what_ranks_keep_for_themselves_goes_on_with_fewer_of_them(groups, word_shards, tmp_path, name):
    settings = {**SETTINGS, "shards": str(word_shards), "exchange": name, "local_steps": 4}
    assert_ran(groups.train(3, tmp_path, **settings, faults={"asked_after": 7}))
    kept = load_checkpoint(tmp_path / "runs/it", LAST)["exchange"]["ranks"]
    assert len(kept) == 3
    assert_ran(groups.train(2, tmp_path, **settings, resume=True))
    assert read_state(tmp_path / "runs/it").step == STEPS
    assert largest_difference(parameters_of(tmp_path), parameters_of(tmp_path, 1)) == 0


@pytest.mark.parametrize("name", ["parameter-server", "sharded-server", "powersgd", "diloco"])
def test_a_rank_without_samples_takes_part(groups, word_shards, tmp_path, name):
    settings = {**EXACT, "shards": str(word_shards), "steps": 8, "local_steps": 4, "global_batch": 1, "exchange": name}
    assert_ran(groups.train(2, tmp_path / "two", **settings))
    two = parameters_of(tmp_path / "two")
    assert largest_difference(two, parameters_of(tmp_path / "two", 1)) == 0
    if name != "diloco":  # whose outer step has the mean of one rank's way and of none
        assert_ran(groups.train(1, tmp_path / "one", **settings))
        assert largest_difference(parameters_of(tmp_path / "one"), two) < 1e-6


def test_ranks_that_step_alone_stop_and_save_when_they_have_met(groups, word_shards, tmp_path):
    settings = {**SETTINGS, "shards": str(word_shards), "exchange": "weight-average", "local_steps": 6}
    stopped = groups.train(2, tmp_path, **settings, faults={"asked_after": 7})
    assert_ran(stopped)
    assert (read_state(tmp_path / "runs/it").state, read_state(tmp_path / "runs/it").step) == ("stopped", 12)
    assert largest_difference(parameters_of(tmp_path), parameters_of(tmp_path, 1)) == 0


def test_a_rank_that_is_slower_alone_is_waited_for_longer_than_a_stalled_one(groups, word_shards, tmp_path):
    """It is 6 s behind at each meeting."""
    settings = {**SETTINGS, "shards": str(word_shards), "exchange": "diloco", "local_steps": 6, "steps": 12}
    faults = {"pace_s": 0.8, "slow_s": 1.0}
    assert_ran(groups.train(2, tmp_path, **settings, stall_timeout_s=5, faults=faults))
    assert read_state(tmp_path / "runs/it").step == 12


def test_an_exchange_that_does_not_go_with_fp16_is_one_sentence(groups, word_shards, tmp_path):
    refused = groups.train(2, tmp_path, shards=str(word_shards), exchange="diloco", compression="fp16")
    assert refused.returncode == 2
    said = "compression fp16 goes with exchange allreduce, not with diloco; give --compression none"
    assert (refused.stderr + refused.stdout).count(said) == 1 and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["sharded-server", "diloco", "powersgd"])
def test_a_run_goes_on_under_the_other_engine_bit_by_bit(groups, word_shards, tmp_path, name):
    settings = {**SETTINGS, "shards": str(word_shards), "exchange": name, "local_steps": 4}
    assert_ran(groups.train(2, tmp_path / "whole", **settings))
    assert_ran(groups.train(2, tmp_path / "both", "torchrun", **settings, faults={"asked_after": 7}))
    assert_ran(groups.train(2, tmp_path / "both", **settings, resume=True))
    for rank in (0, 1):
        assert largest_difference(parameters_of(tmp_path / "whole", rank), parameters_of(tmp_path / "both", rank)) == 0

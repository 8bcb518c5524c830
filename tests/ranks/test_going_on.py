"""Real Horovod processes: what one rank meets or wants, all do; all ways to compute a batch give one update."""

import json
import re
import shutil

import pytest

from horovod_ocr.checkpoint.file import LAST, load_checkpoint
from horovod_ocr.run.state import read_state
from tests.ranks.group import Groups
from tests.ranks.launch import assert_ran, horovodrun, largest_difference, parameters_of

pytestmark = [
    pytest.mark.ranks,
    pytest.mark.skipif(not shutil.which(horovodrun()), reason="needs Horovod: make setup builds it"),
]


def test_a_share_computed_in_parts_gives_the_update_of_the_whole(groups, word_shards, tmp_path):
    """In float64 and with BatchNorm's statistics frozen: they alone would see each part for itself."""
    settings = {
        "shards": str(word_shards),
        "steps": 6,
        "global_batch": 24,
        "precision": "fp64",
        "faults": {"frozen_batchnorm": True},
        "validate_every_steps": 100,
    }
    assert_ran(groups.train(2, tmp_path / "whole", **settings))
    assert_ran(groups.train(2, tmp_path / "parts", **settings, accumulate=5))
    assert_ran(groups.train(2, tmp_path / "fp16", **settings, compression="fp16"))
    whole, parts = parameters_of(tmp_path / "whole"), parameters_of(tmp_path / "parts")
    assert largest_difference(whole, parts) < 1e-9
    assert largest_difference(parts, parameters_of(tmp_path / "parts", 1)) == 0
    fp16 = parameters_of(tmp_path / "fp16")
    assert largest_difference(fp16, parameters_of(tmp_path / "fp16", 1)) == 0
    assert 0 < largest_difference(whole, fp16) < 2e-2


def test_three_ranks_in_one_order_give_the_same_bits_again(groups, word_shards, tmp_path):
    """In other processes. One sample a step, too: ranks without samples are part of the group."""
    with Groups(tmp_path) as others:
        for global_batch in (24, 1):
            settings = {"shards": str(word_shards), "steps": 8, "global_batch": global_batch}
            first, again = tmp_path / f"first-{global_batch}", tmp_path / f"again-{global_batch}"
            assert_ran(groups.train(3, first, **settings))
            assert_ran(others.train(3, again, **settings))
            assert largest_difference(parameters_of(first), parameters_of(again)) == 0


def test_in_how_many_groups_gradients_travel_changes_nothing(groups, word_shards, tmp_path):
    """One sample a step, in two parts: a rank has one or none of them."""
    settings = {"shards": str(word_shards), "steps": 6, "global_batch": 1, "accumulate": 2}
    assert_ran(groups.train(2, tmp_path / "one", **settings))
    assert_ran(groups.train(2, tmp_path / "many", **settings, faults={"group_bytes": 2000}))
    assert largest_difference(parameters_of(tmp_path / "one"), parameters_of(tmp_path / "many")) == 0


def test_asked_to_stop_one_rank_stops_all_and_the_run_goes_on_as_if_it_had_not(groups, word_shards, tmp_path):
    settings = {
        "shards": str(word_shards),
        "steps": 12,
        "global_batch": 24,
        "save_every_steps": 100,
        "validate_every_steps": 100,
        "model_options": {"width": 0.25, "hidden": 24, "dropout": 0.2},
    }
    at_once, asked = tmp_path / "at_once", tmp_path / "asked"
    assert_ran(groups.train(2, at_once, **settings))
    stopped = groups.train(2, asked, **settings, faults={"asked_after": 6})
    assert_ran(stopped)
    state = read_state(asked / "runs/it")
    assert (state.state, state.step) == ("stopped", 7) and re.fullmatch(r"SIGTERM \(rank 1 on \S+\)", state.reason)
    assert "stopped at step 7: SIGTERM (rank 1 on " in stopped.stdout
    assert load_checkpoint(asked / "runs/it", LAST)["step"] == 7
    assert_ran(groups.train(2, asked, **settings, resume=True))
    assert read_state(asked / "runs/it").state == "finished"
    for rank in (0, 1):
        assert largest_difference(parameters_of(at_once, rank), parameters_of(asked, rank)) == 0


def test_updates_that_are_not_finite_are_left_out_by_all_and_a_slow_rank_is_named(groups, word_shards, tmp_path):
    settings = {"shards": str(word_shards), "steps": 10, "global_batch": 24, "validate_every_steps": 100}
    faults = {"nan_at": [2, 3, 7], "slow_s": 0.4}
    result = groups.train(3, tmp_path, **settings, most_skipped=3, faults=faults)
    assert_ran(result)
    lines = [json.loads(line) for line in (tmp_path / "runs/it/metrics.jsonl").read_text().splitlines()]
    trained = [line for line in lines if line["kind"] == "train"]
    assert [line["skipped"] for line in trained] == [2, 3] and all(line["loss"] > 0 for line in trained)
    assert [line["slowest_rank"] for line in trained] == [2, 2]
    assert result.stdout.count("straggler: rank 2 on ") == 2
    assert largest_difference(parameters_of(tmp_path, 0), parameters_of(tmp_path, 2)) == 0
    assert "rank 2 of 3 on " in (tmp_path / "runs/it/logs/rank-2.log").read_text()


def test_too_many_in_a_row_stop_all_ranks_with_the_samples(groups, word_shards, tmp_path):
    settings = {"shards": str(word_shards), "steps": 10, "global_batch": 24, "validate_every_steps": 100}
    result = groups.train(2, tmp_path, **settings, most_skipped=2, faults={"nan_at": [4, 5]})
    assert result.returncode == 5
    assert "step 5: the loss or a gradient was not finite 2 times in a row" in result.stderr
    assert len(re.findall(r"rank 1: train-\d+, sample \d+, key \d+", result.stderr)) >= 20
    assert read_state(tmp_path / "runs/it").state == "failed"


def test_weights_that_drift_apart_are_found_and_the_rank_is_named(groups, word_shards, tmp_path):
    settings = {"shards": str(word_shards), "steps": 10, "global_batch": 24, "validate_every_steps": 100}
    result = groups.train(3, tmp_path, **settings, check_ranks_every_steps=4, faults={"drifts_after": 5})
    assert result.returncode == 5
    assert re.search(r"step 8: rank 2 on \S+ hold other weights than rank 0, in \d+ of \d+ tensors", result.stderr)

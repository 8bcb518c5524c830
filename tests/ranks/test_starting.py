"""Real Horovod processes before the first step: they agree on a device, and none of them waits for ever."""

import re
import shutil

import pytest

from tests.ranks.launch import assert_ran, horovodrun, largest_difference, parameters_of, train_on_ranks

pytestmark = [
    pytest.mark.ranks,
    pytest.mark.skipif(not shutil.which(horovodrun()), reason="needs Horovod: make setup builds it"),
]


def test_more_ranks_than_gpus_train_on_the_cpu_and_the_first_line_says_why(groups, word_shards, tmp_path):
    result = groups.train(2, tmp_path, shards=str(word_shards), steps=2, global_batch=8, faults={"gpus": 1})
    assert_ran(result)
    (opening,) = re.findall(r": 2 ranks on cpu \(ranks on \S+: 2, GPUs: 1\), fp32", result.stdout)
    assert opening


def test_a_horovod_without_nccl_is_refused_on_gpus_in_one_sentence(groups, word_shards, tmp_path):
    """A collective of tensors that lie on a GPU would never end."""
    result = groups.train(2, tmp_path, shards=str(word_shards), steps=2, global_batch=8, faults={"gpus": 2})
    assert result.returncode == 2
    assert result.stderr.count("Horovod is built without NCCL") == 1
    assert "scripts/build_horovod.sh --nccl" in result.stderr and not (tmp_path / "runs").exists()


def test_all_ranks_begin_with_the_weights_that_root_reads(groups, word_shards, tmp_path):
    """A learning rate of almost nothing leaves them as they are."""
    settings = {"shards": str(word_shards), "steps": 2, "global_batch": 8, "validate_every_steps": 100}
    assert_ran(groups.train(2, tmp_path / "first", **settings))
    first, second = tmp_path / "first/runs/it", tmp_path / "second"
    result = groups.train(2, second, **settings, seed=1, lr=1e-30, init_from=str(first))
    assert_ran(result)
    assert result.stdout.count(f"begins with the weights of {first}/checkpoints/step-00000002.pt; head: ") == 1
    for rank in (0, 1):
        assert largest_difference(parameters_of(tmp_path / "first"), parameters_of(second, rank)) < 1e-20
    result = groups.train(2, tmp_path / "third", **settings, init_from=str(tmp_path / "none.pt"))
    assert result.returncode == 3 and result.stderr.count("none.pt: no such file") == 1


def test_ranks_that_wait_for_the_first_contact_end_themselves(word_shards, tmp_path):
    settings = {"shards": str(word_shards), "steps": 2, "global_batch": 8, "stall_timeout_s": 5}
    result = train_on_ranks(2, tmp_path, **settings, faults={"silent_s": 100})
    assert result.returncode == 4
    assert re.search(r"stalled: rank 0 on \S+, step 0: no progress for 5 s; it waited for", result.stderr)

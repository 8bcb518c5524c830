"""What one rank wants or finds, all ranks do: here with other ranks made up."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from horovod_ocr.data.store import open_store
from horovod_ocr.distributed.votes import (
    SkippedUpdates,
    StopSaveVote,
    address_of,
    check_same_weights,
    checksum,
    share_warnings,
)
from horovod_ocr.distributed.world import World
from horovod_ocr.errors import DivergedError
from horovod_ocr.run.log import RunLog
from sharding.format.idx import read_idx


class OtherRanks(World):
    """This rank is root; `others` answer every gathering, and add to every sum."""

    def __init__(self, *others, wants=(0, 0)):
        super().__init__()
        self.world_size, self.others, self.wants = 1 + len(others), others, torch.tensor(wants)

    def gather(self, value):
        return [value, *self.others]

    def begin_sum(self, values):
        return lambda: values + self.wants

    def sum_array(self, values):
        return np.asarray(values) + sum(map(len, self.others))


def test_nobody_wants_anything():
    assert StopSaveVote(World(), "", False).agree() == ("", False)


@pytest.mark.parametrize("stop, save, wanted", [("SIGTERM", False, True), ("", True, False)])
def test_what_this_rank_wants_all_do(stop, save, wanted):
    reason, saves = StopSaveVote(World(), stop, save).agree()
    assert (reason.startswith("SIGTERM (rank 0 on "), saves) == (wanted, save)


def test_what_another_rank_wants_this_one_does():
    world = OtherRanks(("", "node1"), ("SIGUSR1", "node2"), wants=(1, 0))
    assert StopSaveVote(world, "", False).agree() == ("SIGUSR1 (rank 2 on node2)", False)


def batch(*rows):
    return SimpleNamespace(shards_N=np.zeros(len(rows), int), rows_N=np.array(rows))


@pytest.mark.parametrize("settles_at", [(1, 2, 3, 4), (4,)], ids=["each step", "seldom"])
def test_updates_left_out_in_a_row_stop_the_run_with_the_samples(settles_at):
    skipped = SkippedUpdates(
        OtherRanks(["train-000009.tar, sample 5"]), 2, lambda shard, row: f"shard {shard}, row {row}"
    )
    steps = [
        (False, batch(3, 4), [False, True]),
        (True, batch(3, 4), [True, True]),
        (False, batch(5, 6), [True, False]),
        (False, batch(7), [False]),
    ]
    with pytest.raises(DivergedError) as raised:
        for step, (is_finite, rows, finite) in enumerate(steps, start=1):
            skipped.note(step, torch.tensor(is_finite), rows, torch.tensor(finite))
            if step in settles_at:
                skipped.settle()
    assert step == 4 and (skipped.count, skipped.in_a_row) == (3, 2)
    sentence = str(raised.value)
    assert "step 4: the loss or a gradient was not finite 2 times in a row" in sentence
    assert sentence.splitlines()[1:] == [
        "  rank 0: shard 0, row 6",
        "  rank 0: shard 0, row 7",
        "  rank 1: train-000009.tar, sample 5",
    ]
    assert raised.value.exit_code == 5


def test_gradients_that_overflow_without_a_bad_loss_are_said_without_samples():
    skipped = SkippedUpdates(World(), 1, str)
    skipped.note(1, torch.tensor(False), batch(1), torch.tensor([True]))
    with pytest.raises(DivergedError, match="go on with --resume$"):
        skipped.settle()


def test_one_bit_of_one_weight_is_found_and_the_rank_named():
    mine = {"a": torch.zeros(3), "b": torch.ones(2, dtype=torch.bfloat16), "n": torch.tensor(7)}
    check_same_weights(World(), mine, "step 5")
    other = {name: tensor.clone() for name, tensor in mine.items()}
    other["b"].view(torch.int16)[1] += 1
    sums, theirs = checksum(mine), checksum(other)
    assert {name for name in sums if sums[name] != theirs[name]} == {"b"}

    class Drifted(OtherRanks):
        def gather(self, value):
            return [value, ("another digest", "node1") if isinstance(value, tuple) else theirs]

    with pytest.raises(DivergedError, match="step 5: rank 1 on node1 hold other weights .* in 1 of 3 tensors, first b"):
        check_same_weights(Drifted(None), mine, "step 5")


def test_each_warning_is_told_once_with_rank_and_host(tmp_path, capsys):
    log = RunLog(tmp_path, 0)
    log.warn("slow")
    for _ in range(2):
        share_warnings(OtherRanks(["slow", "hot"], ["hot"]), log, ["node0", "node1", "node2"])
    log.close()
    assert capsys.readouterr().out.splitlines() == [
        "warning: rank 0 on node0: slow",
        "warning: rank 1 on node1: hot",
    ]


def test_an_address_has_the_key_that_the_tar_has(word_shards):
    store = open_store(str(word_shards))
    stream = SimpleNamespace(shards=store.index.of("train"))
    shard = stream.shards[1]
    start = int(read_idx(store.idx_path(shard))["image_offset"][4])
    key = store.tar_path(shard).read_bytes()[start - 512 :][:9].decode()
    assert key.isdecimal() and address_of(store, stream, 1, 4) == f"{shard.name}, sample 4, key {key}"

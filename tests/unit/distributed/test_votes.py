"""What one rank wants or finds, all ranks do: here with other ranks made up."""

import pytest
import torch

from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.distributed.votes import StopSaveVote, check_same_weights, checksum
from horovod_ocr.errors import DivergedError
from tests.unit.distributed.other_ranks import OtherRanks


def test_nobody_wants_anything():
    assert StopSaveVote(AloneWorld(), None, False).agree() == (None, False)


@pytest.mark.parametrize("stop, save, wanted", [("SIGTERM", False, True), ("", True, False)])
def test_what_this_rank_wants_all_do(stop, save, wanted):
    reason, saves = StopSaveVote(AloneWorld(), stop, save).agree()
    assert (bool(reason and reason.startswith("SIGTERM (rank 0 on ")), saves) == (wanted, save)


def test_what_another_rank_wants_this_one_does():
    world = OtherRanks(("", "node1"), ("SIGUSR1", "node2"), wants=(1, 0))
    assert StopSaveVote(world, None, False).agree() == ("SIGUSR1 (rank 2 on node2)", False)


def test_one_bit_of_one_weight_is_found_and_the_rank_named():
    mine = {"a": torch.zeros(3), "b": torch.ones(2, dtype=torch.bfloat16), "n": torch.tensor(7)}
    check_same_weights(AloneWorld(), mine, "step 5")
    other = {name: tensor.clone() for name, tensor in mine.items()}
    other["b"].view(torch.int16)[1] += 1
    sums, theirs = checksum(mine), checksum(other)
    assert {name for name in sums if sums[name] != theirs[name]} == {"b"}

    class Drifted(OtherRanks):
        def gather(self, value):
            return [value, ("another digest", "node1") if isinstance(value, tuple) else theirs]

    with pytest.raises(DivergedError, match="step 5: rank 1 on node1 hold other weights .* in 1 of 3 tensors, first b"):
        check_same_weights(Drifted(None), mine, "step 5")

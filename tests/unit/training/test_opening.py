"""What the first lines of a run warn of."""

from types import SimpleNamespace

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.distributed.data_parallel import DataParallelWorld
from horovod_ocr.training.hooks import Periods
from horovod_ocr.training.opening import (
    chatty_batchnorm,
    divided_batchnorm,
    how_they_meet,
    idle_ranks,
    nothing_left,
    what_changes,
)
from horovod_ocr.training.state import TrainState


def buckets(*totals: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(total=total) for total in totals]


def test_ranks_that_would_compute_nothing_are_said():
    assert idle_ranks(buckets(5, 900), 5) == []
    (warning,) = idle_ranks(buckets(4, 900, 2), 5)
    assert warning.startswith("warning: 2 of 3 buckets have fewer samples than there are ranks (2 for 5): ")
    (warning,) = idle_ranks(buckets(3), 5)
    assert warning.startswith("warning: the train split has fewer samples than there are ranks (3 for 5): ")


def test_the_first_line_says_how_several_ranks_meet():
    ranks = SimpleNamespace(engine="torch")
    assert how_they_meet(TrainConfig(), AloneWorld()) == ""
    assert how_they_meet(TrainConfig.of(compression="fp16"), ranks) == "; allreduce in fp16 by torch"
    assert how_they_meet(TrainConfig.of(exchange="diloco", local_steps=8), ranks) == "; diloco every 8 steps by torch"


def test_a_run_that_has_taken_all_its_steps_says_how_it_goes_on():
    assert nothing_left(TrainState(40, 9, step=39)) == []
    (warning,) = nothing_left(TrainState(40, 9, step=40))
    assert warning == "warning: the run has taken all its 40 steps; to go on give more: --steps 80"


def test_settings_that_a_resumed_run_changes_are_said():
    before, now = TrainConfig.of(lr=0.5), TrainConfig.of(lr=0.25, resume=True, run="it", validate_every_steps=9)
    assert what_changes(before.to_dict(), before) == []
    (line,) = what_changes(before.to_dict() | {"gone": 1}, now)
    assert line == "changed since the last checkpoint: lr 0.5 -> 0.25, validate_every_steps - -> 9"
    flips = TrainConfig.of(augmentation={"flip": True})
    (line,) = what_changes(TrainConfig().to_dict(), flips)
    assert line == "changed since the last checkpoint: augmentation.flip False -> True"


def test_statistics_that_are_exchanged_in_every_step_are_said_where_ranks_step_alone():
    config = TrainConfig.of(exchange="diloco", sync_batchnorm=True)
    alone = Periods(20, 100, 100, is_met=lambda step: step % 16 == 0)
    (warning,) = chatty_batchnorm(config, alone, 3)
    assert "diloco" in warning and "--no-sync-batchnorm" in warning
    assert chatty_batchnorm(config, alone, 1) == []
    assert chatty_batchnorm(config, Periods(20, 100, 100), 3) == []
    assert chatty_batchnorm(TrainConfig.of(exchange="diloco"), alone, 3) == []


def test_statistics_that_are_each_gpus_own_are_said_where_those_of_the_batch_are_asked_for():
    synchronised = TrainConfig.of(sync_batchnorm=True)
    (warning,) = divided_batchnorm(synchronised, DataParallelWorld([0, 1]))
    assert "each GPU's part of the batch" in warning and "torchrun" in warning
    assert divided_batchnorm(synchronised, AloneWorld()) == []
    assert divided_batchnorm(TrainConfig(), DataParallelWorld([0, 1])) == []

"""What root tells of the other ranks."""

from horovod_ocr.run.log import RunLog
from horovod_ocr.training.hooks.log import share_warnings
from tests.unit.distributed.other_ranks import OtherRanks


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

"""Ranks that wait for a result leave the cores to others: Horovod's background loop must not turn without a pause."""

import json
import shutil
import subprocess
import sys

import pytest

from horovod_ocr.distributed.horovod import CPU_CYCLE_TIME_MS
from tests.ranks.launch import assert_ran, environment, horovodrun

pytestmark = [
    pytest.mark.ranks,
    pytest.mark.skipif(not shutil.which(horovodrun()), reason="needs Horovod: make setup builds it"),
]

# Every rank waits for a tensor that the other offers only WAIT_S later: nothing happens, as while NCCL sums on the GPU.
PROGRAM = """
import json, sys, threading, time
import torch, horovod.torch as hvd

def offer_later():
    time.sleep(float(sys.argv[1]))
    handles.append(hvd.allreduce_async(torch.ones(2), name=str(1 - hvd.rank()), op=hvd.Sum))

hvd.init()
began_s = time.monotonic()
handles = []
hvd.allreduce(torch.ones(2), name="begin")
mine = hvd.allreduce_async(torch.ones(2), name=str(hvd.rank()), op=hvd.Sum)
offering = threading.Thread(target=offer_later)
offering.start()
total = hvd.synchronize(mine)
offering.join()
hvd.synchronize(handles[0])
with open(f"rank{hvd.rank()}.json", "w") as file:
    json.dump([total.tolist(), time.monotonic() - began_s], file)
"""
WAIT_S = 3


def test_while_all_ranks_wait_the_loop_pauses(tmp_path):
    command = [horovodrun(), "--gloo", "-np", "2", "-H", "localhost:2", sys.executable, "-c", PROGRAM, str(WAIT_S)]
    marks = {"HOROVOD_TIMELINE": str(tmp_path / "timeline.json"), "HOROVOD_TIMELINE_MARK_CYCLES": "1"}
    job = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        env={**environment(), **marks, "HOROVOD_CYCLE_TIME": CPU_CYCLE_TIME_MS},
    )
    assert_ran(job)
    totals, took_s = zip(*[json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)], strict=True)
    assert totals == ([2, 2], [2, 2])
    cycles = (tmp_path / "timeline.json").read_text().count("CYCLE_START")
    # The pauses grow to 2 ms: at most 500 cycles a second, and a few more at the start. Without pauses it is thousands.
    assert 40 * WAIT_S / 2 < cycles < 900 * max(took_s)

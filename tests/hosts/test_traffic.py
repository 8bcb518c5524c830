"""The bytes that are counted are those that the network carries."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.hosts.bed import what_is_missing
from tests.ranks.launch import ROOT, horovodrun

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing() or "-"),
    pytest.mark.skipif(not shutil.which(horovodrun()), reason="needs Horovod: make setup builds it"),
]

STEPS = """
import json, sys
from pathlib import Path
import torch
from horovod_ocr.distributed.open import open_world
from horovod_ocr.scaling.steps import Steps
from horovod_ocr.scaling.subject import Asleep
from horovod_ocr.scaling.ways import WAYS

def carried():
    lines = Path("/proc/net/dev").read_text().splitlines()[2:]
    words = [line.split(":")[1].split() for line in lines if not line.lstrip().startswith("lo:")]
    return sum(int(each[8]) for each in words), sum(int(each[0]) for each in words)

world, found = open_world(), {}
for name in sys.argv[2:]:
    steps = Steps(Asleep(1_000_000, 0.0, 64, torch.device("cpu")), world, WAYS[name], 4)
    for _ in range(4):
        steps.take()
    world.gather(None)
    before, counted = carried(), (world.traffic.sent, world.traffic.received)
    for _ in range(8):
        steps.take()
    world.gather(None)
    moved = [after - earlier for after, earlier in zip(carried(), before)]
    found[name] = [moved, [world.traffic.sent - counted[0], world.traffic.received - counted[1]]]
Path(sys.argv[1], f"{world.rank}.json").write_text(json.dumps(found))
"""
WAYS = ("allreduce", "allreduce-fp16", "parameter-server", "sharded-server", "weight-average", "diloco")
MOST_MORE = 0.1  # headers, and what ranks agree on


def test_counted_bytes_are_those_of_the_network_cards(bed, tmp_path):
    launch = [horovodrun(), "--gloo", "--disable-cache", "--start-timeout", "120", "-np", "3", "-H", bed.hosts_txt]
    program = [sys.executable, "-c", STEPS, tmp_path, *WAYS]
    job = bed.exec("node1", [*launch, *program], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    assert job.returncode == 0, job.stdout[-3000:] + job.stderr[-3000:]
    wrong = {}
    for rank in range(3):
        for name, (moved, counted) in json.loads(Path(tmp_path, f"{rank}.json").read_text()).items():
            if not all(1 <= seen / said <= 1 + MOST_MORE for seen, said in zip(moved, counted, strict=True)):
                wrong[name, rank] = moved, counted
    assert not wrong

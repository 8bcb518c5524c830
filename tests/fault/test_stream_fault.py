"""A process that reads is killed: its loader workers end with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.fault
ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.store import open_store
from horovod_ocr.data.options import StreamOptions
from horovod_ocr.data.stream import Stream

if __name__ == "__main__":
    store = open_store(sys.argv[1])
    stream = Stream(store, Geometry(32, store.index.bucket_edges), StreamOptions("train", global_batch=8, workers=2))
    for batch in stream.batches(0, 10**6):
        print("read", flush=True)
"""


def descendants_of(pid: int) -> set[int]:
    """Processes below one, as /proc tells."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue  # ended meanwhile
    found, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in found} - found
        found, grown = found | more, bool(more)
    return found - {pid}


def test_loader_workers_end_with_a_killed_rank(word_shards, tmp_path):
    program = tmp_path / "read.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(program), str(word_shards)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    for _ in range(4):
        assert process.stdout.readline() == "read\n"
    helpers = descendants_of(process.pid)
    assert len(helpers) >= 3  # the fork server, two workers
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.read()  # to its end: whoever is left would hold it open
    process.stdout.close()
    for _ in range(100):
        left = {pid for pid in helpers if Path(f"/proc/{pid}").exists()}
        if not left:
            break
        time.sleep(0.1)
    assert not left

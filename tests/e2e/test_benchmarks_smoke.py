"""Every benchmark runs from end to end at tiny sizes, so that none breaks unnoticed. What it measures there counts for
nothing."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.typed import BIN

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))
PATIENCE_S = 240  # on a busy machine


def numbers_in(value: object) -> Iterator[float]:
    """All numbers of a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from numbers_in(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda script: script.stem)
def test_a_benchmark_runs_from_end_to_end(script, tmp_path):
    pytest.importorskip("uharfbuzz", reason="needs the synth extra")
    if script.stem == "step" and not (BIN / "horovodrun").exists():
        pytest.skip("needs Horovod (make setup)")
    if script.stem == "faults" and not shutil.which("sshfs"):
        pytest.skip("needs sshfs")
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    words = [sys.executable, script, "--smoke", "--record", tmp_path / "records"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    assert record["benchmark"] == script.stem and record["passed"] is None
    assert "MISSED" not in done.stdout and not any(bar["judged"] for bar in record["bars"].values())
    (kept,) = (tmp_path / "records").iterdir()
    assert kept.name == f"{record['date']}-{script.stem}.json" and json.loads(kept.read_text("utf-8")) == record
    numbers = list(numbers_in(record))
    assert len(numbers) > 3 and all(map(math.isfinite, numbers))

"""Acts as horovodrun and its ranks in one attempt. Started with -S, which takes less time.

fake_horovodrun.py RUN ACTION: finish | train | hang | die CODE [STEPS] | deaf | validate | fill

It makes a file WAITS in RUN before it waits for anything.
"""

import json
import os
import sys
import time
from pathlib import Path

TOTAL = 100


def main() -> None:
    run, action, *numbers = Path(sys.argv[1]), *sys.argv[2:]
    last = run / "LAST"
    step = int(last.read_text().split("-")[1].split(".")[0]) if last.exists() else 0
    if action == "die":
        code, steps = (*map(int, numbers), 0)[:2]
        if steps:
            say(run, "training", step + steps)
            last.write_text(f"step-{step + steps:08d}.pt\n")
        print(f"[1]<stderr>:horovod-ocr: it went wrong\nProcess 1 exit with status code {code}.", flush=True)
        sys.exit(code)
    if action == "hang":
        print("[0]<stderr>:stalled: rank 0 on node1, step 3: no progress", flush=True)
    if action in ("train", "hang"):
        say(run, "training", step + 10)
    if action in ("deaf", "hang"):
        (run / "WAITS").touch()
        time.sleep(600)
    if action == "validate":  # reads no request meanwhile
        while not (run / "VALIDATED").exists():
            say(run, "training", step + 10)
            (run / "WAITS").touch()
            time.sleep(0.005)
    if action == "fill":  # the disk, so that it cannot save
        while not asked(run):
            say(run, "training", step + 10)
            (run / "WAITS").touch()
            time.sleep(0.01)
        say(run, "failed", step + 10, "no room")
        print("[0]<stderr>:horovod-ocr: no room\nProcess 0 exit with status code 3.", flush=True)
        sys.exit(3)
    if action in ("train", "validate"):
        (run / "WAITS").touch()
        while not (reason := asked(run)):
            time.sleep(0.01)
        last.write_text(f"step-{step + 10:08d}.pt\n")
        say(run, "stopped", step + 10, reason)
        return
    last.write_text(f"step-{TOTAL:08d}.pt\n")
    say(run, "finished", TOTAL)


def asked(run: Path) -> str:
    """Why this job is to stop, "" if it is not."""
    job, _, reason = (run / "REQUEST").read_text().partition("\n") if (run / "REQUEST").exists() else ("", "", "")
    return reason.strip() if job == os.environ["HOROVOD_OCR_JOB"] else ""


def say(run: Path, state: str, step: int, reason: str = "") -> None:
    values = {"state": state, "step": step, "total_steps": TOTAL, "ranks": 1, "host": "node1", "pid": os.getpid()}
    values |= {"job": os.environ["HOROVOD_OCR_JOB"], "time": time.time(), "reason": reason}
    (run / ".state").write_text(json.dumps(values))
    (run / ".state").replace(run / "state.json")


main()

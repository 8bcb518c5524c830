"""Commands as a person types them, the environment active.

Each starts an interpreter, which takes seconds to import torch. Where it does not matter, `groups.say` has one that
lives (tests/ranks/group.py).
"""

import os
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent


def start(command: str, folder: Path) -> subprocess.Popen:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "COLUMNS": "120"}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command.split(), cwd=folder, env=environment, text=True, **pipes)


def say(command: str, folder: Path) -> subprocess.CompletedProcess:
    process = start(command, folder)
    try:
        out, err = process.communicate(timeout=600)
    finally:
        process.kill()  # does nothing if it has ended
    return subprocess.CompletedProcess(command, process.returncode, out, err)

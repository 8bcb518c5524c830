"""doctor, launch and runs as a person types them, on one machine; several hosts are in tests/hosts and tests/fault."""

import json
import signal
import time
from pathlib import Path

import pytest

from horovod_ocr.run.state import read_state
from tests.e2e.typed import BIN, say, start

SETTINGS = """
[train]
steps = 100000
global_batch = 24
log_every_steps = 20
validate_every_steps = 100000
save_every_steps = 50
model_options = {width = 0.25, hidden = 24}
"""
PATIENCE_S = 600  # on a busy machine
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not (BIN / "horovodrun").exists(), reason="needs Horovod: make setup builds it"),
]


@pytest.fixture(scope="module")
def folder(word_shards, tmp_path_factory) -> Path:
    """A working folder; the tests below go through it in their order."""
    folder = tmp_path_factory.mktemp("launch")
    (folder / "shards").symlink_to(word_shards)
    (folder / "hosts.txt").write_text("localhost slots=2  # this machine\n")
    (folder / "horovod-ocr.toml").write_text(SETTINGS)
    return folder


def test_doctor_says_what_is_there_and_what_is_missing(groups, folder):
    well = groups.say(1, "horovod-ocr doctor --quick", folder)
    assert well.returncode == 0 and "localhost" in well.stdout, well.stdout + well.stderr
    ill = groups.say(1, "horovod-ocr doctor --quick --shards nowhere --json", folder)
    assert ill.returncode == 4 and json.loads(ill.stdout)["can_start"] is False
    assert "training could not start on localhost" in ill.stderr


def test_launch_trains_asked_to_stop_it_saves_and_the_command_again_goes_on(groups, folder):
    """Again with a nearer end: the first time it is far, so that a stop is heard before it however fast steps are."""
    command = "horovod-ocr launch -np 2 --run it --workers 0"
    first = start(command, folder)
    for _ in range(20 * PATIENCE_S):
        state = read_state(folder / "runs/it")
        if first.poll() is not None or (state and state.step >= 3):
            break
        time.sleep(0.05)
    first.send_signal(signal.SIGTERM)
    out, err = first.communicate(timeout=PATIENCE_S)
    assert first.returncode == 0, out + err
    stopped = read_state(folder / "runs/it")
    assert stopped.state == "stopped" and 3 <= stopped.step < 100_000 and "SIGTERM" in stopped.reason
    assert f"stopped (SIGTERM) at step {stopped.step}" in out and "goes on from there" in out
    steps = stopped.step + 5
    command += f" --steps {steps}"
    again = say(command, folder)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"attempt 2 from step {stopped.step}: localhost:2" in again.stdout
    ended = read_state(folder / "runs/it")
    assert (ended.state, ended.step) == ("finished", steps)
    assert f"is finished, with {steps} steps" in groups.say(1, command, folder).stdout


def test_runs_lists_it(groups, folder):
    listed = groups.say(1, "horovod-ocr runs --json", folder)
    assert listed.returncode == 0, listed.stderr
    (run,) = map(json.loads, listed.stdout.splitlines())
    assert (run["name"], run["state"], run["step"]) == ("it", "finished", read_state(folder / "runs/it").step)
    assert "finished" in groups.say(1, "horovod-ocr runs", folder).stdout


def test_a_wrong_option_of_train_is_said_before_anything_starts(groups, folder):
    wrong = groups.say(1, "horovod-ocr launch -np 2 --run other --lr fast", folder)
    assert wrong.returncode == 2 and "--lr" in wrong.stderr
    many = groups.say(1, "horovod-ocr launch -np 5 --run other", folder)
    assert many.returncode == 4 and "-np 5, but the hosts have 2 slots in all" in many.stderr
    assert not (folder / "runs/other").exists()

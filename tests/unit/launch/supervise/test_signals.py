"""The terminal of a supervisor is closed."""

import os
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("ignores", [False, True])
def test_a_terminal_that_is_gone_asks_to_stop_and_takes_no_line_more(ignores, tmp_path):
    """Unless it was closed on purpose, with nohup."""
    program = f"""if True:
        import os, signal
        signal.signal(signal.SIGHUP, signal.SIG_IGN if {ignores} else signal.SIG_DFL)
        from horovod_ocr.launch.supervise.signals import LaunchSignals
        with LaunchSignals() as signals:
            input()
            os.kill(os.getpid(), signal.SIGHUP)
            if signals.received:
                print("a line more", flush=True)
            open({str(tmp_path / "received")!r}, "w").write(str(signals.received))
    """
    terminal, its_end = os.openpty()
    started = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=its_end)
    os.close(its_end)
    os.close(terminal)
    started.communicate(b"\n", timeout=60)
    assert started.returncode == 0
    assert (tmp_path / "received").read_text() == ("None" if ignores else "SIGHUP")

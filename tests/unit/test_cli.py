"""The command line waits for nothing heavy."""

import subprocess
import sys

from horovod_ocr import __version__


def test_version():
    said = subprocess.run([sys.executable, "-m", "horovod_ocr", "--version"], capture_output=True, text=True)
    assert said.returncode == 0 and said.stdout == f"horovod-ocr {__version__}\n"


def test_help_does_not_import_torch():
    program = "import sys, horovod_ocr.cli; print([m for m in ('torch', 'webdataset', 'horovod') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "[]"

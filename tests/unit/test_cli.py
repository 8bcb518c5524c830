"""The command line waits for nothing heavy."""

import subprocess
import sys


def test_help_does_not_import_torch():
    program = "import sys, horovod_ocr.cli; print([m for m in ('torch', 'webdataset', 'horovod') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "[]"

"""mosaicml-streaming for a benchmark, in a folder of its own.

It asks for numpy < 2.2, torchvision, transformers and the kits of five clouds, and the plain torchvision does not load
beside a CPU-only torch. Its MDSWriter wants none of that, so it never enters the project's environment.
"""

import os
import subprocess
import sys
from pathlib import Path

VERSION = "0.13.0"
# what the writer's modules import at their top, beside what the project has
PACKAGES = (f"mosaicml-streaming=={VERSION}", "brotli", "cramjam", "python-snappy", "tqdm", "xxhash", "zstd")


def install_streaming() -> Path:
    """The folder it lies in; the first time pip brings it there, without its dependencies."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(os.environ.get("HOROVOD_OCR_CACHE") or Path(home, "horovod-ocr"))
    folder = cache / f"mosaicml-streaming-{VERSION}-{sys.implementation.cache_tag}"
    if not folder.exists():
        unfinished = folder.with_name(f".{folder.name}.tmp-{os.getpid()}")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        print(f"mosaicml-streaming {VERSION}, once, into {folder}", file=sys.stderr)
        subprocess.run([*pip, "--target", unfinished, *PACKAGES], check=True)
        os.replace(unfinished, folder)
    return folder

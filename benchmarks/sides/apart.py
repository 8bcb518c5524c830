"""Where mosaicml-streaming's reader comes from, without what its other rooms need.

`import streaming` brings transformers and torchvision along; neither its writer nor its reader of local files wants
them. So both packages above them stand here as they lie on disk, without the imports of their __init__.
"""

import os
import subprocess
import sys
import types
from pathlib import Path

from sides.streaming import install_streaming

# What the reader imports beside what the writer does. It takes a file lock for each sample, which filelock 4 makes
# dearer: the reader gets a filelock of its own time.
PACKAGES = ("catalogue==2.0.10", "filelock==3.18.0")


def install_reader() -> list[str]:
    """The folders that mosaicml-streaming and what it imports lie in; the first time pip brings them there."""
    streaming = install_streaming()
    folder = streaming.with_name(f"{streaming.name}-reader")
    if not folder.exists():
        unfinished = folder.with_name(f".{folder.name}.tmp-{os.getpid()}")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--target", unfinished, *PACKAGES], check=True)
        os.replace(unfinished, folder)
    return [str(streaming), str(folder)]


def open_bare_streaming(folders: list[str]) -> None:
    """From now on `streaming.base.dataset` and `streaming.base.format.mds` can be imported."""
    sys.path.append(folders[0])
    sys.path.insert(0, folders[1])  # first: benchmarks/ holds a catalogue of its own
    for name in ("streaming", "streaming.base"):
        package = types.ModuleType(name)
        package.__path__ = [str(Path(folders[0]) / name.replace(".", "/"))]
        sys.modules[name] = package

"""The two rooms of launch: supervise uses hosts, never the reverse."""

from pathlib import Path

from horovod_ocr.launch import hosts


def test_hosts_does_not_import_supervise():
    (folder,) = map(Path, hosts.__path__)
    files = sorted(folder.glob("*.py"))
    assert files and not [path.name for path in files if "launch.supervise" in path.read_text("utf-8")]

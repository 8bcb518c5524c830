"""A resumed run's metrics hold each step once."""

import json

from horovod_ocr.log import RunLog, keep_until, span


def test_metrics_after_the_resumed_step_are_taken_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in (10, 20, 30)) + 'garbled\n{"step": 4')
    keep_until(path, 20)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [10, 20]


def test_root_writes_and_others_do_not(tmp_path, capsys):
    for name, is_root in (("root", True), ("other", False)):
        log = RunLog(tmp_path / name, is_root)
        log.line("hello")
        log.numbers("train", 5, {"loss": 1.5})
        log.close()
    assert capsys.readouterr().out == "hello\n"
    assert not (tmp_path / "other").exists()
    assert json.loads((tmp_path / "root/metrics.jsonl").read_text()) == {"kind": "train", "step": 5, "loss": 1.5}
    assert (tmp_path / "root/train.log").read_text().endswith("hello\n")
    assert list((tmp_path / "root/tensorboard").glob("events*"))


def test_spans():
    assert (span(5), span(65), span(3725)) == ("0:05", "1:05", "1:02:05")

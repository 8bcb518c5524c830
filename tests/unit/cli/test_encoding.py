"""Commands work in UTF-8, whatever the locale says."""

import io
import json
import os
import sys

import pytest

from horovod_ocr.cli import encoding
from horovod_ocr.cli.encoding import ensure_utf8, needs_restart

NAME = b"lat\xe9n.png"  # not UTF-8


@pytest.mark.parametrize(
    ("utf8_mode", "locale_encoding", "environment", "restarts"),
    [
        (0, "UTF-8", {}, False),
        (0, "ISO-8859-1", {}, True),
        (0, "ANSI_X3.4-1968", {}, True),  # ASCII
        (1, "ISO-8859-1", {}, False),
        (0, "ISO-8859-1", {"PYTHONUTF8": "0"}, False),  # a person wants it so
    ],
)
def test_a_command_starts_once_more_if_the_locale_has_another_encoding(
    utf8_mode, locale_encoding, environment, restarts
):
    assert needs_restart(utf8_mode, locale_encoding, environment) is restarts


def test_the_second_start_has_the_same_words_in_utf8_mode(monkeypatch):
    started = []
    monkeypatch.setattr(encoding, "needs_restart", lambda *_: True)
    monkeypatch.setattr(os, "execv", lambda program, words: started.append((program, words, os.environ["PYTHONUTF8"])))
    monkeypatch.delenv("PYTHONUTF8", raising=False)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "horovod_ocr", "predict", os.fsdecode(NAME)])
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    ensure_utf8()
    words = [sys.executable, "-m", "horovod_ocr", "predict", os.fsdecode(NAME)]
    assert started == [(sys.executable, words, "1")]


@pytest.mark.parametrize("before", ["latin-1", "ascii", "utf-8"])
def test_json_lines_stay_json_and_name_the_file(monkeypatch, before):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, before))
    monkeypatch.setattr(encoding, "needs_restart", lambda *_: False)
    ensure_utf8()
    print(json.dumps({"path": os.fsdecode(NAME), "text": "é 😀 کتاب"}, ensure_ascii=False), flush=True)
    line = json.loads(written.getvalue())
    assert os.fsencode(line["path"]) == NAME and line["text"] == "é 😀 کتاب"

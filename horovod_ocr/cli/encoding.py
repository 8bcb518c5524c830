"""UTF-8 everywhere: file names, files and output do not depend on the locale of the shell that starts a command."""

import codecs
import locale
import os
import sys
from collections.abc import Mapping

UTF8_VARIABLE = "PYTHONUTF8"  # also read by the processes that a command starts


def ensure_utf8() -> None:
    """Run this command in Python's UTF-8 mode, starting it once more if the locale has another encoding; and let
    standard output and standard error take any text, file names that are not UTF-8 included.

    A byte that is not UTF-8 is a lone surrogate in Python (os.fsdecode), and becomes `\\udce9` in the output. In a
    line of JSON that is the escape of the same letter, so that os.fsencode(json.loads(line)["path"]) names the file.
    """
    if needs_restart(sys.flags.utf8_mode, locale.getencoding(), os.environ):
        os.environ[UTF8_VARIABLE] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a test may have put something else in its place
            # not the encoding that PYTHONIOENCODING names: its escapes, such as \xe9, are not JSON
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def needs_restart(utf8_mode: int, encoding: str, environment: Mapping[str, str]) -> bool:
    """Whoever has set PYTHONUTF8, a person or this function's caller, is not asked again."""
    return not utf8_mode and codecs.lookup(encoding).name != "utf-8" and UTF8_VARIABLE not in environment

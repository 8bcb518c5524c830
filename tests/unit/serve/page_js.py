"""The page's JavaScript in Node.js, for tests that compare it with Python."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[3] / "horovod_ocr" / "serve" / "page"
SCRIPTS = ("bidi.js", "unturn.js", "script.js", "pixels.js", "decode.js", "recognizer.js", "csv.js")
MOST_S = 120


def needs_node() -> pytest.MarkDecorator:
    """For `pytestmark`."""
    return pytest.mark.skipif(shutil.which("node") is None, reason="needs node")


def run_js(code: str, values: Any) -> Any:
    """What an async function of `values` returns, whose body is `code`, after the page's scripts. JSON both ways."""
    scripts = "\n".join((PAGE / name).read_text("utf-8") for name in SCRIPTS)
    program = f"""{scripts}
const values = JSON.parse(require("fs").readFileSync(0, "utf8"));
(async () => {{ {code} }})().then((found) => process.stdout.write(JSON.stringify(found)));"""
    ended = subprocess.run(
        ["node", "-e", program], input=json.dumps(values).encode(), capture_output=True, timeout=MOST_S, check=False
    )
    assert ended.returncode == 0, ended.stderr.decode()[-2000:]
    return json.loads(ended.stdout)

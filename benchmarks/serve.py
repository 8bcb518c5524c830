"""Reading with an export: speed, size and accuracy, against torch and Tesseract; the server; the page without one.

    make demo && python benchmarks/serve.py                 # on demo/runs, about 6 minutes
    python benchmarks/serve.py --lines RUN --lines-shards FOLDER     # with a model of lines as well
    python benchmarks/serve.py --smoke                      # the whole path in a minute, on a run of two steps

A run is exported first if it is not. Reading is timed on one core, in one process, the sides in turns; the server has
all cores, which it shares with the process that loads it. Tesseract and the page are left out, and said so, where
tesseract (Debian: tesseract-ocr, tesseract-ocr-urd) or chromium is missing. The exit code is 1 unless every bar holds.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sides.bars import Bar, end, parser_of, print_bars
from sides.reading import (
    Word,
    compare_with_tesseract,
    on_one_core,
    time_first_reading,
    time_reading,
    words_of,
)

from horovod_ocr.recognizer.network import has_vnni
from horovod_ocr.run.folder import newest_run

WORDS = 512
SERVER_S = 60
MEMORY_REQUESTS = 10_000
PACKAGES = ("onnxruntime", "torch", "numpy", "pillow", "fastapi", "uvicorn")


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="folder with runs/ and shards/ of make demo")
    parser.add_argument("--lines", type=Path, help="folder of a run of the recipe urdu-lines")
    parser.add_argument("--lines-shards", type=Path, help="its shards")
    parser.add_argument("--language", default="urd", help="of Tesseract")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.smoke:
            options.demo = make_small_run(Path(folder))
        if not (options.demo / "runs").is_dir():
            print(f"{options.demo}/runs is missing; run: make demo", file=sys.stderr)
            return 1
        return measure(options)


def measure(options) -> int:
    """Everything, in the order of the bars."""
    smoke = options.smoke
    run, cores = newest_run(options.demo / "runs"), os.sched_getaffinity(0)
    about = exported(run, options.demo / "shards", smoke)
    words = words_of(options.demo / "shards", 70 if smoke else WORDS)
    figures: dict = {"cpu": cpu_name(), "vnni": has_vnni()}
    on_one_core()
    demo = figures["demo"] = time_reading(run, words, 1 if smoke else 5)
    first_s, has_torch = time_first_reading(run / "export", words[0], 1 if smoke else 7)
    figures |= {"first_reading_s": round(first_s, 3), "first_reading_imports_torch": has_torch}
    bars = [*reading_bars(about, demo), Bar("import and first reading, s", first_s, 0.6)]
    bars.append(Bar("it imports torch", float(has_torch), 0))
    if options.lines:
        exported(options.lines, options.lines_shards, smoke)
        lines = figures["lines"] = time_reading(options.lines, words_of(options.lines_shards, WORDS // 2), 3)
        bars += [Bar("a line, p50, ms", lines["int8_p50_ms"], 6), Bar("a line, p99, ms", lines["int8_p99_ms"], 18)]
    bars += tesseract_bars(options, run, words, figures)
    os.sched_setaffinity(0, cores)
    bars += server_bars(run / "export", about, words, smoke, figures)
    bars += page_bars(run / "export", words, figures)
    print_bars(bars, options, "this CPU has no VNNI")
    return end("serve", figures, bars, PACKAGES, options)


def reading_bars(about: dict, demo: dict[str, float]) -> list[Bar]:
    """Of the demo's model. Some are about processors with instructions for int8."""
    vnni, models, scores = has_vnni(), about["models"], about["scores"]
    lost = 100 * (scores["fp32"]["word_accuracy"] - scores["int8"]["word_accuracy"])
    return [
        Bar("a word from bytes to text, p50, ms", demo["int8_p50_ms"], 2),
        Bar("the same, p99, ms", demo["int8_p99_ms"], 6),
        Bar("fp32: times as fast as torch", demo["torch_model_ms"] / demo["fp32_model_ms"], 2.2, at_most=False),
        Bar("int8: times as fast as torch", demo["torch_model_ms"] / demo["int8_model_ms"], 4, False, vnni),
        Bar("int8: times as small as fp32", models["fp32"]["bytes"] / models["int8"]["bytes"], 3.5, at_most=False),
        Bar("int8: times as fast as fp32", demo["fp32_model_ms"] / demo["int8_model_ms"], 1.5, False, vnni),
        Bar("int8: points less accurate", lost, 0.3),
    ]


def tesseract_bars(options, run: Path, words: list[Word], figures: dict) -> list[Bar]:
    """The same words read by Tesseract, if it is installed."""
    languages = ""
    if shutil.which("tesseract"):
        languages = subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True, check=True).stdout
    if options.language not in languages.split():
        print(f"left out: Tesseract with {options.language} is not installed")
        return []
    both = figures["tesseract"] = compare_with_tesseract(run, words[: 20 if options.smoke else WORDS], options.language)
    right = both["ours_right"] / max(both["tesseract_right"], 1 / len(words))
    return [
        Bar("times as fast as Tesseract", both["tesseract_ms"] / both["ours_ms"], 5, at_most=False),
        Bar("times as often right as Tesseract", right, 5, at_most=False),
    ]


def server_bars(export: Path, about: dict, words: list[Word], smoke: bool, figures: dict) -> list[Bar]:
    """The server and its memory."""
    from sides.served import measure_memory, measure_server

    server = figures["server"] = measure_server(export, words, 2 if smoke else SERVER_S)
    height = about["geometry"]["height"]
    memory = figures["memory"] = measure_memory(export, height, 200 if smoke else MEMORY_REQUESTS)
    return [
        Bar("64 connections: errors and lost requests", server["connections_64"]["errors"], 0),
        Bar("64 connections: p99 by the single median", server["p99_by_single"], 20),
        Bar("batches of 64: times one by one", server["batch_by_single"], 3, at_most=False),
        Bar("memory of the server, MB", memory["rss_mb"], 250),
        Bar("its growth per 1,000 requests, MB", memory["growth_mb_per_1000"], 1),
    ]


def page_bars(export: Path, words: list[Word], figures: dict) -> list[Bar]:
    """The page without a server, in headless Chromium."""
    from sides.paged import measure_page, why_no_page

    if why := why_no_page():
        print(f"left out: the page ({why})")
        return []
    page = figures["page"] = measure_page(export, words)
    return [
        Bar("page: a word, ms", page["word_ms"], 50),
        Bar("page and model, MB", page["folder_mb"], 15),
        Bar("its model, MB", page["model_mb"], 1),
    ]


def exported(run: Path, shards: Path, smoke: bool) -> dict:
    """recognizer.json of the run's export, which is made if it is missing."""
    if not (run / "export").exists():
        command = [sys.executable, "-m", "horovod_ocr", "export", str(run), "--shards", str(shards)]
        subprocess.run([*command, *(["--max-loss", "100"] if smoke else [])], check=True, stdout=sys.stderr)
    return json.loads((run / "export" / "recognizer.json").read_text("utf-8"))


def make_small_run(folder: Path) -> Path:
    """A run of two steps."""
    settings = "steps = 2\nglobal_batch = 24\nmodel_options = {width = 0.25, hidden = 24}\n"
    (folder / "horovod-ocr.toml").write_text(f"[train]\n{settings}")
    for command in ("synth --words 900 --out raw", "shard --src raw", "train --device cpu"):
        words = [sys.executable, "-m", "horovod_ocr", *command.split()]
        subprocess.run(words, cwd=folder, check=True, stdout=sys.stderr)
    return folder


def cpu_name() -> str:
    return next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")


if __name__ == "__main__":
    sys.exit(main())

"""The stream as a person meets it: a set at a URL or behind a command, caches, loader workers, decoders, a file server
that goes away. Whichever way the samples come, the parameters are bit-equal."""

import hashlib
import json
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from horovod_ocr.checkpoint.file import LAST, load_best, load_checkpoint
from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.evaluation import score
from sharding.format.idx import idx_bytes
from sharding.format.index import INDEX_NAME, ShardInfo, read_index
from tests.fault.launched import PROGRAM, Stuck, permit
from tests.hosts.bed import wait_until
from tests.ranks.launch import environment, horovodrun, largest_difference

STEPS = 40  # more than an epoch
# short windows in few lanes: in the middle of the run some shards were not opened yet
SETTINGS = f"""
[train]
shards = "shards"
steps = {STEPS}
global_batch = 24
lanes = 4
window = 20
precision = "fp32"
workers = 0
log_every_steps = 1
validate_every_steps = 1000
save_every_steps = 1000
model_options = {{width = 0.25, hidden = 24}}
"""
DEMO_STEPS = 600
PATIENCE_S = 600  # on a busy machine
pytestmark = pytest.mark.e2e
HAS_HOROVOD = Path(horovodrun()).exists()
needs_horovod = pytest.mark.skipif(not HAS_HOROVOD, reason="needs Horovod (make setup)")


def start(folder: Path, *words: str) -> subprocess.Popen:
    """Start a training that waits for permission, in a working folder; its output is one text."""
    surroundings = {**environment(), "COLUMNS": "120"}
    output = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, str(PROGRAM), *words], cwd=folder, env=surroundings, **output)


@pytest.fixture(scope="module")
def say(groups) -> Callable[..., str]:
    """say(folder, *words, ranks=1, code=0) -> what a command of horovod-ocr says; it has to end with that exit code."""

    def say(folder: Path, *words: str, ranks: int = 1, code: int = 0) -> str:
        done = groups.say(ranks, list(words), folder)
        said = done.stdout + done.stderr
        assert done.returncode == code, said[-3000:]
        assert "Traceback" not in said
        return said

    return say


def parameters(folder: Path, run: str) -> dict[str, torch.Tensor]:
    payload = load_checkpoint(folder / "runs" / run, LAST)
    assert payload["step"] == STEPS
    return payload["model"]


def metrics(folder: Path, run: str) -> list[dict]:
    lines = (folder / "runs" / run / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["kind"] == "train"]


def files_of(shards: tuple[ShardInfo, ...]) -> dict[str, str]:
    """Name -> SHA-256."""
    return {s.tar_name: s.sha256 for s in shards} | {s.idx_name: s.idx_sha256 for s in shards}


@pytest.fixture(scope="module")
def folder(say, word_shards, tmp_path_factory) -> Path:
    """A working folder. Its runs `by-1` and `by-2` were trained from the shards where they lie, by so many ranks."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "shards").symlink_to(word_shards)
    (folder / "horovod-ocr.toml").write_text(SETTINGS)
    for ranks in (1, 2) if HAS_HOROVOD else (1,):
        assert f"done: {STEPS} steps" in say(folder, "train", "--run", f"by-{ranks}", ranks=ranks)
    return folder


def assert_trained_alike(folder: Path, run: str, other: str) -> None:
    assert largest_difference(parameters(folder, run), parameters(folder, other)) == 0


class Website:
    """A set on a server of this machine, at a path of its own."""

    def __init__(self, shards: Path, folder: Path):
        (folder / "www").mkdir()
        (folder / "www" / "shards").symlink_to(shards)
        self.asked: list[str] = []

        class Handler(SimpleHTTPRequestHandler):
            def log_message(handler, form, *words):
                self.asked.append(Path(handler.path).name)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder / "www"))
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        self.location = f"http://127.0.0.1:{self.server.server_port}/shards"
        self.farewell = "the host does not answer"

    def fetched(self) -> list[str]:
        return self.asked

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Command:
    """A set behind a command that writes down what it was asked for."""

    def __init__(self, shards: Path, folder: Path):
        self.shards, self.log = folder / "shards", folder / "log"
        self.shards.symlink_to(shards)
        self.location = f"pipe:echo {{}} >> {shlex.quote(str(self.log))}; cat {shlex.quote(str(self.shards))}/{{}}"
        self.farewell = "the command ended with 1"

    def fetched(self) -> list[str]:
        return self.log.read_text().split()

    def close(self) -> None:
        self.shards.unlink()


@pytest.mark.parametrize(("kind", "ranks"), [(Command, 1), pytest.param(Website, 2, marks=needs_horovod)])
def test_a_set_far_away_is_fetched_once_and_trains_alike(say, folder, word_shards, tmp_path, monkeypatch, kind, ranks):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run, position = kind.__name__.lower(), kind(word_shards, tmp_path)
    try:
        say(folder, "train", "--shards", position.location, "--run", run, ranks=ranks)
        assert_trained_alike(folder, run, f"by-{ranks}")
        say(folder, "eval", "--run", run)  # of the place that the run knows
        fetched = [name for name in position.fetched() if name != INDEX_NAME]
        assert sorted(fetched) == sorted(files_of(read_index(word_shards).shards))
    finally:
        position.close()
    here = score.score_run(AloneWorld(), folder / "runs", f"by-{ranks}", str(word_shards))[1]
    there = json.loads((folder / "runs" / run / "eval.json").read_text())
    assert there["samples"] == read_index(word_shards).counts.totals["test"]
    assert {**there, "run": "", "shards": ""} == {**json.loads(json.dumps(here)), "run": "", "shards": ""}

    said = say(folder, "train", "--shards", position.location, "--run", "late", code=3)
    sentences = [line for line in said.splitlines() if "horovod-ocr:" in line]
    assert len(sentences) == 1 and INDEX_NAME in sentences[0] and position.farewell in sentences[0]
    assert not (folder / "runs" / "late").exists()


def test_loader_workers_change_nothing(say, folder):
    say(folder, "train", "--run", "workers", "--workers", "2")
    assert_trained_alike(folder, "workers", "by-1")


@needs_horovod
def test_a_cache_holds_what_was_needed_once_and_whole(say, folder, word_shards, tmp_path):
    cache = tmp_path / "cache"
    said = say(folder, "train", "--run", "cached", "--cache-dir", str(cache), ranks=2)
    assert "warning" not in said
    assert_trained_alike(folder, "cached", "by-2")
    index = read_index(word_shards)
    (position,) = cache.glob("*[0-9a-f]")
    held = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in position.iterdir()}
    assert held == files_of(index.of("train") + index.of("val"))
    assert list(cache.iterdir()) == [position]


@needs_horovod
def test_a_cache_smaller_than_the_set(say, folder, word_shards, tmp_path):
    """Files come and go while both ranks read. It never holds more than it may."""
    cache = tmp_path / "cache"
    shards = read_index(word_shards).shards
    limit = sum(shard.bytes + idx_bytes(shard.samples) for shard in shards) // 3
    options = ("--cache-dir", str(cache), "--set", f"cache_gb={limit / 1e9}")
    most = 0
    with ThreadPoolExecutor(1) as typist:
        training = typist.submit(say, folder, "train", "--run", "small", *options, ranks=2)
        while not training.done():
            most = max(most, held_bytes(cache))
            time.sleep(0.001)
    assert "warning" not in training.result()
    assert_trained_alike(folder, "small", "by-2")
    assert limit // 2 < most <= limit
    assert not list(cache.rglob(".*"))


def held_bytes(cache: Path) -> int:
    """What a cache holds, finished or not; 0 if files came or went meanwhile."""
    sizes, again = ({path.name: size_of(path) for path in cache.glob("*/*")} for _ in range(2))
    return sum(sizes.values()) if sizes == again else 0


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def test_a_folder_that_goes_away_for_a_moment(folder):
    """A shard not yet opened is waited for; no sample is taken for damaged."""
    shards, away = folder / "shards", folder / "away"
    permit(folder, 3)
    with start(folder, "train", "--run", "patient") as process:
        wait_until((folder / "WAITS_FOR").exists, "it waits for step 4", PATIENCE_S)
        shards.rename(away)
        try:
            permit(folder, None)
            stuck = Stuck(lambda: len(metrics(folder, "patient")))
            wait_until(lambda: stuck.for_s() > 2.5, "it waits for the shards", PATIENCE_S)
            ended = process.poll()
        finally:
            away.rename(shards)
        said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0 and ended is None, said
    assert 3 <= stuck.value < STEPS
    assert "warning" not in said and all(line["damaged"] == 0 for line in metrics(folder, "patient"))
    assert max(line["data_wait_share"] for line in metrics(folder, "patient")) > 0.5
    assert_trained_alike(folder, "patient", "by-1")


def test_eval_leaves_damaged_samples_out_and_says_so(say, folder, word_shards, tmp_path):
    index = read_index(word_shards)
    shard = index.of("test")[0]
    for path in word_shards.iterdir():
        if path.is_file() and path.name != shard.tar_name:
            (tmp_path / path.name).symlink_to(path)
    content = bytearray(index.tar_path(shard).read_bytes())
    content[content.index(b"IDAT") + 8] ^= 1  # the first sample's
    (tmp_path / shard.tar_name).write_bytes(content)
    said = say(folder, "eval", "--run", "by-1", "--shards", str(tmp_path))
    report = json.loads((folder / "runs" / "by-1" / "eval.json").read_text())
    assert report["unreadable"] == 1 and report["samples"] == index.counts.totals["test"] - 1
    assert "1 damaged samples left out" in " ".join(said.split())
    assert f"{shard.name}, sample 0: the image's bytes differ from the index" in said


@pytest.fixture(scope="module")
def demo(say, tmp_path_factory) -> Path:
    """A working folder with 12,000 words, as PNG and as JPEG, what was planned, and a run of the demo's recipe.

    On images of three quarters of the recipe's height, which takes three quarters of the time.
    """
    folder = tmp_path_factory.mktemp("demo")
    say(folder, "synth", "--words", "12000", "--seed", "3", "--out", "raw/")
    say(folder, "shard")
    say(folder, "shard", "--image", "jpeg", "--out", "jpeg")
    settings = ("--recipe", "demo", "--steps", str(DEMO_STEPS), "--set", "height=48")
    (folder / "plan.json").write_text(say(folder, "plan", "--ranks", "1", *settings, "--json"))
    say(folder, "show", "--augment", "--recipe", "demo")
    (folder / "said.txt").write_text(say(folder, "train", *settings, "--set", f"validate_every_steps={DEMO_STEPS}"))
    return folder


def test_plan_says_what_train_does(demo):
    plan = json.loads((demo / "plan.json").read_text())
    said = (demo / "said.txt").read_text()
    assert plan["steps"] == DEMO_STEPS
    assert f"{plan['epoch']['steps']} steps an epoch, steps 0 to {plan['steps']};" in said
    assert f": train {plan['epoch']['samples']:,}, " in said
    widths = [str(each["width_px"]) for each in plan["epoch"]["buckets"]]
    assert re.search(r"widths ([\d ]+) x", said)[1].split() == widths
    assert f"step {DEMO_STEPS}/{DEMO_STEPS}  epoch {plan['epochs']:.2f}" in said
    assert (demo / "augment.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("shards", ["shards", "jpeg"])
def test_the_decoder_does_not_move_the_accuracy(demo, shards, monkeypatch):
    accuracy = {decoder: word_accuracy(demo, shards, decoder, monkeypatch) for decoder in ("pillow", "fast")}
    print(shards, accuracy)
    assert min(accuracy.values()) > 0.8
    assert abs(accuracy["pillow"] - accuracy["fast"]) <= 0.002


def word_accuracy(folder: Path, shards: str, decoder: str, monkeypatch) -> float:
    """Of the test split, read with another decoder than the run's."""
    run, payload = load_best(folder / "runs", None)
    payload["config"]["decoder"] = decoder
    monkeypatch.setattr(score, "load_best", lambda runs, name: (run, payload))
    report = score.score_run(AloneWorld(), folder / "runs", shards=str(folder / shards))[1]
    assert report["unreadable"] == 0
    return report["word_accuracy"]

"""`horovod-ocr scaling` with real ranks: bytes as in theory, times that hold what they must, a file and a page."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("horovod", reason="needs Horovod (make setup)")

from horovod_ocr.scaling.figures import load_studies
from horovod_ocr.scaling.ways import USUAL
from tests.ranks.launch import environment

pytestmark = pytest.mark.ranks
ASLEEP = ["--simulate-step-ms", "20", "--parameters", "400000", "--seconds", "0.5", "--local-steps", "4"]


def scaling(folder, *options: str, ok: bool = True):
    command = [sys.executable, "-m", "horovod_ocr", "scaling", *options]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300)
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done


def test_a_study_of_three_ranks_counts_bytes_as_theory_does(tmp_path):
    ways = ",".join([*USUAL, "torch-ddp", "data-parallel"])
    scaling(tmp_path, "-H", "localhost:3", "--ranks", "1,3", "--ways", ways, "--name", "loopback", *ASLEEP)
    (study,) = load_studies(tmp_path / "scaling" / "scaling.json")
    assert (study.name, [job.ranks for job in study.jobs], [job.ranks for job in study.strong]) == (
        "loopback",
        [1, 3],
        [1, 3],
    )
    job = study.jobs[-1]
    assert set(job.ways) == {*USUAL, "torch-ddp"}
    assert job.left_out == {"data-parallel": "a model that sleeps computes on no GPU"}
    size = 4 * study.parameters
    assert job.timeline.size == size and set(job.bare_s) == {"fp32", "fp16", "star", "neighbours", "torch"}
    ring = 2 * 2 / 3 * size
    small = 200  # bytes: the norm, and the weight of a rank
    expected = {
        "allreduce": ring,
        "torch-ddp": ring,
        "allreduce-fp16": ring / 2,
        "sharded-server": ring,
        "parameter-server": 2 * size,
        "weight-average": 3 * ring / 4,
        "diloco": ring / 4,
    }
    for name, most in expected.items():
        assert max(job.ways[name].sent) == pytest.approx(most, abs=small), name
        assert sum(job.ways[name].sent) == pytest.approx(sum(job.ways[name].received)), name
    assert max(job.ways["powersgd"].sent) < ring / 20
    for name, way in job.ways.items():
        assert way.own_s >= 0.02 and way.step_s >= 0.02, name
    assert "<svg" in (tmp_path / "scaling" / "scaling.html").read_text()


def test_advice_is_three_sentences_about_a_recipe(word_shards, tmp_path):
    said = scaling(
        tmp_path,
        "--advise",
        "-H",
        "localhost:2",
        "--shards",
        str(word_shards),
        "--recipe",
        "demo",
        "--seconds",
        "0.5",
        "--global-batch",
        "8",
        "--set",
        "height=32",
    ).stdout
    assert said.startswith("Use ") and said.count("\n") == 3 and "How sure" in said
    values = json.loads(scaling(tmp_path, "--advise", "-H", "localhost:2", "--json", *ASLEEP).stdout)
    assert len(values["sentences"]) == 3 and values["advice"]["chosen"]["way"] in USUAL


def test_what_cannot_be_measured_is_refused_with_a_sentence(tmp_path):
    for options, sentence in (
        (["-H", "localhost:2", "--ranks", "4", *ASLEEP], "4 ranks, but the hosts have 2 slots"),
        (["-H", "localhost:2", "--ranks", "two", *ASLEEP], "write numbers of ranks, such as 1,2,4"),
        (["-H", "localhost:2", "--ways", "adasum", *ASLEEP], "no way 'adasum'"),
        (["-H", "localhost:1", "--advise", *ASLEEP], "advice needs two ranks or more"),
        (["-H", "localhost:2"], "there is no folder shards"),
        (["--draw", "no.json"], "no.json: cannot be read"),
        (["--draw", "no.json", "--advise"], "--draw does not go with --advise"),
        (["--advise", "--ranks", "2", *ASLEEP], "--advise does not go with --ranks"),
    ):
        said = scaling(tmp_path, *options, ok=False).stderr
        assert sentence in said and "Traceback" not in said, said
    assert not (tmp_path / "scaling").exists()

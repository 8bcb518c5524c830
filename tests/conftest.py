"""What all tests share: under CI=true a skip must have a known reason, so that no test stops running unseen."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

os.environ["OMP_WAIT_POLICY"] = "passive"  # threads that spin while others need their core take many times as long

from horovod_ocr.synth.generate import SynthOptions, synthesize
from sharding.build import ShardOptions, build_shards

if TYPE_CHECKING:
    from tests.ranks.group import Groups

# no deadlines: a time limit for each example fails on a busy machine
settings.register_profile("short", deadline=None)
settings.register_profile("long", deadline=None, max_examples=2000)

KNOWN_SKIPS = (
    r"needs Horovod",  # a machine without a compiler: everything that runs in one process is still tested
    r"needs openmpi",
    r"needs openssh-server",
    r"needs iproute2",
    r"needs root",  # network namespaces
    r"needs /dev/net/tun",  # delays on a network
    r"needs a GPU",
    r"needs localedef",  # a Latin-1 locale is made for the test
    r"needs unshare",  # a mount of its own, which some containers do not permit
    r"needs Pillow with raqm",  # the slow way to draw, to compare with
    r"needs node",  # the page's JavaScript, compared with Python
    r"needs chromium",  # the page in a browser
    r"needs playwright",
    r"needs hadolint",
    r"needs sshfs",
    r"needs onnxruntime-web",  # npm, or a network for it
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="repeat what is random more often (make test-long)")
    parser.addoption(
        "--seed",
        type=int,
        default=int(os.environ.get("HOROVOD_OCR_TEST_SEED") or time.time_ns() % 10**6),
        help="draw moments and victims as a run of this seed did; its report's head names it",
    )


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("long" if config.getoption("--long") else "short")


def pytest_report_header(config: pytest.Config) -> str:
    return f"random faults: --seed {config.getoption('--seed')}"


@pytest.fixture
def draw(request) -> Random:
    """What this test draws from; it follows from --seed and from the test's name."""
    return Random(f"{request.config.getoption('--seed')} {request.node.nodeid}")


@pytest.fixture(scope="session")
def repeats(request) -> int:
    """How often a test repeats a random fault: three times, with --long ten times."""
    return 10 if request.config.getoption("--long") else 3


unknown_skips: list[str] = []


def is_known_skip(reason: str) -> bool:
    """True where the reason (pytest writes 'Skipped: ...') starts with one of KNOWN_SKIPS."""
    return any(re.match(known, reason.removeprefix("Skipped: ")) for known in KNOWN_SKIPS)


def pytest_runtest_logreport(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not is_known_skip(reason):
            unknown_skips.append(f"{report.nodeid}: {reason}")


pytest_collectreport = pytest_runtest_logreport  # a module skipped as a whole is a skip like any other


def pytest_sessionfinish(session: pytest.Session) -> None:
    if unknown_skips and os.environ.get("CI") == "true" and session.exitstatus == 0:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for skip in unknown_skips:
        terminalreporter.write_line(f"unknown skip (not in KNOWN_SKIPS of tests/conftest.py): {skip}", yellow=True)


@pytest.fixture(scope="session")
def word_shards(tmp_path_factory) -> Path:
    """A shard set of 600 rendered words, small shards: several to a split and bucket."""
    folder = tmp_path_factory.mktemp("words")
    synthesize(SynthOptions(words=600, out=folder / "raw", seed=5, workers=1))
    build_shards(ShardOptions.of(src=folder / "raw", out=folder / "shards", samples_per_shard=20, workers=1))
    return folder / "shards"


@pytest.fixture(scope="session")
def groups(tmp_path_factory) -> Iterator["Groups"]:
    """Ranks that live as long as the tests and run job after job."""
    from tests.ranks.group import Groups  # with torch, which many unit tests do without

    with Groups(tmp_path_factory.mktemp("groups")) as groups:
        yield groups

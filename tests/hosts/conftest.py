"""Three hosts, started once for all tests of a session."""

import pytest

from tests.hosts.bed import Bed, what_is_missing


@pytest.fixture(scope="session")
def running_bed(tmp_path_factory):
    if missing := what_is_missing():
        pytest.skip(missing)
    with Bed(tmp_path_factory.mktemp("bed")) as bed:
        yield bed


@pytest.fixture
def bed(running_bed):
    """Three hosts: on, plugged in, at full speed, idle. What the test does to them is undone after it."""
    yield running_bed
    running_bed.recover()

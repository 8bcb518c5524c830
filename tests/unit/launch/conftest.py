"""The folder of a supervised run."""

import pytest


@pytest.fixture
def run(tmp_path):
    return tmp_path / "runs" / "it"

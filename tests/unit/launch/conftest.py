"""A folder for a run that is supervised."""

import pytest


@pytest.fixture
def run(tmp_path):
    return tmp_path / "runs" / "it"

"""Small finished shard sets, and images."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sharding.format.index import ShardIndex
from tests.unit.shard_sets import image_bytes, write_set


@pytest.fixture
def make_set(tmp_path: Path) -> Callable[..., ShardIndex]:
    return lambda labels, name="shards", **options: write_set(tmp_path / name, labels, **options)


@pytest.fixture(scope="session")
def make_image() -> Callable[..., bytes]:
    return image_bytes

"""Every collective of a world, with real ranks of each engine."""

import json

import pytest

from tests.ranks.collectives import expected
from tests.ranks.launch import LAUNCHERS, assert_ran, needs_launcher

pytestmark = pytest.mark.ranks


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_every_rank_finds_the_same_numbers_under_each_engine(groups, tmp_path, launcher, ranks):
    """Also the bytes that travelled: those of a ring, of a tree, of what goes to other ranks."""
    needs_launcher(launcher)
    assert_ran(groups.try_collectives(ranks, tmp_path, launcher))
    for rank in range(ranks):
        assert json.loads((tmp_path / f"rank{rank}.json").read_text()) == expected(rank, ranks)

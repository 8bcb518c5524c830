"""What ranks keep for themselves arrives at root as it was."""

import pickle

import pytest
import torch

from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.distributed.exchange import own_state
from horovod_ocr.distributed.exchange.own_state import gather_states, states_from_root, without_states
from tests.unit.distributed.thread_world import ThreadWorld, on_ranks


def state_of(rank: int) -> dict:
    """Of another size on each rank, with types whose bytes are not aligned to each other."""
    return {
        "step": 7 + rank,
        "flags": torch.tensor([True, False, True][:rank]),
        "moments": {0: {"mean": torch.full((rank, 3), 0.5, dtype=torch.float64), "step": torch.tensor(3.0)}},
        "groups": [{"lr": 1e-3, "params": [0, 1]}, None],
        "halves": torch.arange(5, dtype=torch.bfloat16).view(5, 1),
    }


def same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("piece", [7, 1 << 20])
def test_root_gets_the_states_of_all_ranks_in_pieces(monkeypatch, piece):
    monkeypatch.setattr(own_state, "PIECE", piece)
    root, *others = on_ranks(3, lambda world: gather_states(world, state_of(world.rank)))
    assert all(same(state_of(rank), state) for rank, state in enumerate(root)) and len(root) == 3
    assert others == [[], []]


def test_tensors_do_not_travel_as_objects():
    """These are pickled, and held by every rank."""

    def program(world: ThreadWorld) -> int:
        sizes = []
        world.gather = lambda value, gather=world.gather: sizes.append(len(pickle.dumps(value))) or gather(value)
        gather_states(world, {"moments": torch.zeros(1000)})
        return sum(sizes)

    assert all(0 < size < 500 for size in on_ranks(2, program))


def test_a_checkpoint_goes_to_all_without_the_states_which_follow_one_by_one():
    payload = {"step": 3, "exchange": {"name": "diloco", "ranks": [state_of(rank) for rank in range(4)]}}
    shared = without_states(payload)
    assert shared == {"step": 3, "exchange": {"name": "diloco", "ranks": [None] * 4}}
    assert without_states({"step": 3}) == {"step": 3} and without_states(None) is None

    def program(world: ThreadWorld) -> bool:
        ranks = (payload if world.is_root else shared)["exchange"]["ranks"]
        return all(same(state, state_of(rank)) for rank, state in enumerate(states_from_root(world, ranks)))

    assert on_ranks(3, program) == [True] * 3


def test_a_rank_alone_keeps_its_own():
    state = state_of(2)
    assert gather_states(AloneWorld(), state) == [state]


def test_nothing_is_a_state_too():
    assert on_ranks(2, lambda world: gather_states(world, {}))[0] == [{}, {}]

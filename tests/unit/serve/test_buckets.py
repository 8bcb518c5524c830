"""Which images are read next, without threads."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from horovod_ocr.serve.buckets import MOST_COLUMNS, Buckets


@dataclass
class Item:
    arrived_s: float
    width: int


def filled(*widths: int, max_batch: int = 2, max_wait_s: float = 0.0) -> Buckets[Item]:
    buckets: Buckets[Item] = Buckets(max_batch, max_wait_s)
    for number, width in enumerate(widths):
        buckets.add(width, Item(float(number), width))
    return buckets


def order_of(buckets: Buckets[Item]) -> list[list[float]]:
    order = []
    while taken := buckets.take(1e9):
        order.append([item.arrived_s for item in taken])
    return order


def test_the_oldest_goes_first_with_others_of_its_width():
    assert order_of(filled(40, 80, 80, 40, 40)) == [[0, 3], [1, 2], [4]]


def test_a_full_bucket_does_not_wait_for_an_older_one_that_does():
    buckets = filled(80, 40, 40, max_wait_s=100.0)
    assert [item.arrived_s for item in buckets.take(5.0)] == [1, 2] and buckets.take(5.0) == []


def test_a_bucket_that_is_not_full_waits_but_not_longer_than_max_wait():
    buckets = filled(40, max_wait_s=0.5)
    assert buckets.take(0.4) == [] and buckets.due_in_s(0.4) == 0.5 - 0.4
    assert len(buckets.take(0.5)) == 1 and not buckets and buckets.due_in_s(0.5) is None
    assert len(filled(40, 40, max_wait_s=0.5).take(0.0)) == 2
    assert len(filled(40, max_wait_s=0.5).take(0.0, hurry=True)) == 1


def test_wide_images_are_few_in_a_run():
    wide = MOST_COLUMNS // 2 + 8
    buckets = filled(wide, wide, max_batch=8)
    assert [len(each) for each in order_of(buckets)] == [1, 1]
    assert len(filled(10 * MOST_COLUMNS).take(1e9)) == 1


@given(st.lists(st.sampled_from([32, 64, 96, 4096]), max_size=60), st.integers(1, 9))
def test_each_image_is_taken_once_and_runs_have_one_width_in_order(widths, max_batch):
    buckets = filled(*widths, max_batch=max_batch)
    seen: list[Item] = []
    while taken := buckets.take(1e9):
        assert len({item.width for item in taken}) == 1 and len(taken) <= max_batch
        seen += taken
    assert sorted(item.arrived_s for item in seen) == list(range(len(widths)))
    for width in set(widths):
        of_width = [item.arrived_s for item in seen if item.width == width]
        assert of_width == sorted(of_width)


@given(st.lists(st.sampled_from([32, 64, 96]), min_size=1, max_size=30), st.floats(0, 40))
def test_what_is_not_taken_is_due_later(widths, now_s):
    """Otherwise a thread would ask without end."""
    buckets = filled(*widths, max_batch=64, max_wait_s=50)
    assert buckets.take(now_s) == [] and buckets.due_in_s(now_s) > 0

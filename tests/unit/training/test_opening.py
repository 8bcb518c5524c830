"""What the first lines of a run warn of."""

from types import SimpleNamespace

from horovod_ocr.training.opening import idle_ranks


def buckets(*totals: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(total=total) for total in totals]


def test_ranks_that_would_compute_nothing_are_said():
    assert idle_ranks(buckets(5, 900), 5) == []
    (warning,) = idle_ranks(buckets(4, 900, 2), 5)
    assert warning.startswith("warning: 2 of 3 buckets have fewer samples than there are ranks (2 for 5): ")
    (warning,) = idle_ranks(buckets(3), 5)
    assert warning.startswith("warning: the train split has fewer samples than there are ranks (3 for 5): ")

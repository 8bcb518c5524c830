"""The loss is a sum over samples, whatever the batch they come in."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from horovod_ocr.errors import ConfigError
from horovod_ocr.tasks.words import WordTask, count_repeats
from horovod_ocr.text.charset import Charset
from horovod_ocr.text.decode import Reading
from horovod_ocr.text.metrics import scores_of
from sharding.format.script.profile import build_profile

TASK = WordTask(Charset.build("abc", build_profile("latin")))


def test_each_sample_has_the_loss_that_it_has_alone():
    torch.manual_seed(0)
    logits_TNC, frames_N, labels = torch.randn(12, 3, 4), torch.tensor([12, 9, 5]), ["abc", "aab", "c"]
    together = TASK.losses(logits_TNC, frames_N, labels)[0]
    alone = [TASK.losses(logits_TNC[:, n : n + 1], frames_N[n : n + 1], labels[n : n + 1])[0] for n in range(3)]
    torch.testing.assert_close(together, torch.cat(alone))
    expected = functional.ctc_loss(
        logits_TNC[:, :1].log_softmax(-1), torch.tensor([[1, 2, 3]]), [12], [3], reduction="sum"
    )
    torch.testing.assert_close(alone[0].sum(), expected)


@given(st.lists(st.text("ab", max_size=5), max_size=8))
def test_repeats_are_counted_within_each_label(labels):
    """Not between the end of one label and the start of the next; empty labels have none."""
    targets_S, lengths_N = TASK.targets(labels)
    assert (targets_S.dtype, lengths_N.dtype) == (torch.int64, torch.int64)
    assert lengths_N.tolist() == list(map(len, labels))
    assert "".join("_abc"[number] for number in targets_S.tolist()) == "".join(labels)
    expected = [sum(one == other for one, other in pairwise(label)) for label in labels]
    assert count_repeats(targets_S, lengths_N).tolist() == expected


def test_frames_of_the_padding_are_lent_to_a_squeezed_sample():
    """`aab` needs four frames; two of its own and two of the padding give a finite loss."""
    logits_TNC = torch.zeros(6, 1, 4, requires_grad=True)
    loss, too_long = TASK.losses(logits_TNC, torch.tensor([2]), ["aab"])
    assert 0 < loss.item() < 100 and too_long == 0


def test_labels_longer_than_all_frames_are_counted_and_add_nothing():
    loss, too_long = TASK.losses(torch.zeros(3, 2, 4), torch.tensor([3, 3]), ["aab", "abc"])
    alone, _ = TASK.losses(torch.zeros(3, 1, 4), torch.tensor([3]), ["abc"])
    assert too_long == 1 and loss.tolist() == [0, pytest.approx(alone.item())]


def test_a_share_of_none_has_a_loss_of_zero_and_a_graph():
    logits_TNC = torch.zeros(6, 0, 4, requires_grad=True)
    loss, _ = TASK.losses(logits_TNC, torch.zeros(0, dtype=torch.int64), [])
    loss.sum().backward()
    assert len(loss) == 0 and logits_TNC.grad is not None


def test_classes_are_refused_in_one_sentence():
    index = type("Index", (), {"kind": "classes", "root": "shards"})
    with pytest.raises(ConfigError, match="holds classes, and this version trains words"):
        WordTask.of(index)


def test_of_labels_that_look_the_same_either_is_read_right():
    """In a line from right to left, "1 a" and "a 1" stand in the image alike: nobody can read which one it was."""
    profile = build_profile("plain", direction="rtl")
    task = WordTask(Charset.build("אב1a ", profile))
    read = [task.charset.decode(task.charset.encode(label)) for label in ("1 a", "a 1", "אב 1", "בא")]
    readings = [Reading(text, 1.0) for text in read]
    scores = task.empty_scores(1)
    task.score(scores, readings, ["1 a", "a 1", "אב 1", "אב"], np.zeros(4, int))
    assert scores_of(scores.counts)["word_accuracy"] == 0.75
    assert scores.examples[0][0] == scores.examples[0][1]


def test_plain_values_and_back():
    assert WordTask.from_dict(TASK.to_dict()) == TASK

"""The loss is a sum over samples, whatever the batch they come in."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.errors import CheckpointError, ConfigError
from horovod_ocr.models.forward import ModelOutput
from horovod_ocr.tasks.build import task_from_dict, task_of
from horovod_ocr.tasks.words import WordScores, WordTask, count_repeats
from horovod_ocr.text.charset import Charset
from horovod_ocr.text.decode import Reading
from sharding.format.script.profile import build_profile
from tests.unit.tasks.batches import batch_of

TASK = WordTask(Charset.build("abc", build_profile("latin")))


def test_outputs_are_named_in_their_order():
    assert [TASK.output_names().index(letter) for letter in "abc"] == TASK.charset.encode("abc")
    assert len(TASK.output_names()) == TASK.outputs


@pytest.mark.slow
def test_each_sample_has_the_loss_that_it_has_alone():
    torch.manual_seed(0)
    logits_TNC, frames_N, labels = torch.randn(12, 3, 4), torch.tensor([12, 9, 5]), ["abc", "aab", "c"]
    together = TASK.ctc_losses(logits_TNC, frames_N, labels)[0]
    alone = [TASK.ctc_losses(logits_TNC[:, n : n + 1], frames_N[n : n + 1], labels[n : n + 1])[0] for n in range(3)]
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
    loss, too_long = TASK.ctc_losses(logits_TNC, torch.tensor([2]), ["aab"])
    assert 0 < loss.item() < 100 and too_long == 0


def test_labels_longer_than_all_frames_are_counted_and_add_nothing():
    loss, too_long = TASK.ctc_losses(torch.zeros(3, 2, 4), torch.tensor([3, 3]), ["aab", "abc"])
    alone, _ = TASK.ctc_losses(torch.zeros(3, 1, 4), torch.tensor([3]), ["abc"])
    assert too_long == 1 and loss.tolist() == [0, pytest.approx(alone.item())]


def test_a_share_of_none_has_a_loss_of_zero_and_a_graph():
    logits_TNC = torch.zeros(6, 0, 4, requires_grad=True)
    losses = TASK.loss(ModelOutput(logits_TNC, torch.zeros(0, dtype=torch.int64)), [])
    losses.losses_N.sum().backward()
    assert len(losses.losses_N) == len(losses.is_finite_N) == 0 and logits_TNC.grad is not None


def test_what_the_log_line_says_is_summed():
    logits_TNC = torch.zeros(3, 2, 4)
    logits_TNC[:, 0, 0], logits_TNC[:, 1, 2] = 1.0, 1.0
    losses = TASK.loss(ModelOutput(logits_TNC, torch.tensor([3, 3])), ["aab", "abc"])
    assert losses.sums.keys() == set(TASK.log_sums)
    values = TASK.log_values({name: float(value) for name, value in losses.sums.items()})
    assert values == {"blank_share": 0.5, "too_long": 1}
    assert TASK.log_text(values) == ("blank 0.50", "1 labels too long for their frames")
    assert TASK.log_text(values | {"too_long": 0})[1] is None


def test_scores_that_are_not_finite_are_found_by_sample():
    """CTC finds no path through them, which alone would count as a loss of zero."""
    logits_TNC = torch.zeros(4, 3, 4)
    logits_TNC[2, 1, 3] = float("nan")
    losses = TASK.loss(ModelOutput(logits_TNC, torch.tensor([4, 4, 4])), ["a", "b", "c"])
    assert losses.is_finite_N.tolist() == [True, False, True]


def test_what_no_task_is_for_is_refused():
    index = SimpleNamespace(kind="sounds", root="shards")
    with pytest.raises(ConfigError, match="shards holds sounds, and this version trains words and classes"):
        task_of(index, TrainConfig())


def test_settings_of_classes_are_refused():
    index = SimpleNamespace(kind="words", root="shards", alphabet={"a": 1}, profile=build_profile("latin"))
    assert task_of(index, TrainConfig()).outputs == 2
    for values in ({"label_smoothing": 0.1}, {"class_weights": "balanced"}):
        with pytest.raises(ConfigError, match="are for classes, and shards holds words"):
            task_of(index, TrainConfig.of(**values))


def test_of_labels_that_look_the_same_either_is_read_right():
    """In a line from right to left, "1 a" and "a 1" stand in the image alike: nobody can read which one it was."""
    profile = build_profile("plain", direction="rtl")
    task = WordTask(Charset.build("אב1a ", profile))
    read = [task.charset.decode(task.charset.encode(label)) for label in ("1 a", "a 1", "אב 1", "בא")]
    readings = [Reading(text, 1.0) for text in read]
    scores = task.empty_scores(SimpleNamespace(subsets=("",)))
    scores.add(readings, batch_of(["1 a", "a 1", "אב 1", "אב"]))
    assert scores.values()["word_accuracy"] == 0.75
    assert scores.examples[0][0] == scores.examples[0][1]


def test_plain_values_and_back():
    assert task_from_dict(TASK.to_dict()) == TASK


def test_labels_of_another_direction_are_not_compared():
    hebrew = build_profile("plain", direction="rtl")
    task = WordTask(Charset.build("אב", hebrew))
    index = SimpleNamespace(root="shards", kind="words", alphabet={"א": 1}, profile=build_profile("plain"))
    with pytest.raises(CheckpointError, match="normalised as plain \\(ltr\\), .* --profile plain --direction rtl"):
        task.check_readable(index)
    index.profile = hebrew
    task.check_readable(index)


@pytest.fixture
def scores() -> WordScores:
    scores = WordScores(build_profile("urdu"), ("", "lexicon", "random"))
    rows = [(1, "کتاب", "کتاب"), (1, "بات", ""), (2, "زخڑ", "زحڑ"), (2, "زخ", "زخ")]
    subsets, labels, read = zip(*rows, strict=True)
    scores.add([Reading(text, 1.0) for text in read], batch_of(labels, subsets))
    return scores


def test_a_report_adds_up_and_names_what_is_most_confused(scores):
    report = scores.report("test")
    assert report["word_accuracy"] == 0.5 and report["samples"] == 4
    assert report["subsets"]["lexicon"]["word_accuracy"] == 0.5 and report["subsets"]["random"]["samples"] == 2
    assert report["cer"] == pytest.approx(4 / 12)
    assert {length: row["samples"] for length, row in report["by_length"].items()} == {"2": 1, "3": 2, "4": 1}
    assert ["خ", "ح", 1] in report["confusions"]
    assert report["examples"][0] == {"label": "کتاب", "reading": "کتاب"}


def test_sums_of_ranks_are_those_of_one(scores):
    merged = WordScores(build_profile("urdu"), ("", "a", "b"))
    merged.merge([scores.state(), scores.state()])
    assert merged.values() == scores.values() | {"samples": 8}
    assert merged.report("test")["confusions"][0][2] == 2 * scores.report("test")["confusions"][0][2]

"""Classes: losses of samples, sums over ranks, and what is said of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

from horovod_ocr.config.train import LossConfig, TrainConfig
from horovod_ocr.data.image import Geometry
from horovod_ocr.errors import CheckpointError, ConfigError
from horovod_ocr.models.base import Classifier
from horovod_ocr.models.forward import ModelOutput
from horovod_ocr.tasks.base import read_output
from horovod_ocr.tasks.build import build_model_for, task_from_dict, task_of
from horovod_ocr.tasks.classes import MOST_WORST, ClassReading, ClassScores, ClassTask, class_weights
from horovod_ocr.tasks.figures import CLASSES, figures_in, score_text
from horovod_ocr.tasks.geometry import geometry_of
from tests.unit.tasks.batches import batch_of

TASK = ClassTask(("cat", "dog", "emu"))


def index_of(classes=("cat", "dog", "emu"), **samples) -> SimpleNamespace:
    """samples: of each class, by split."""
    shards = [SimpleNamespace(name=f"test-{number:06d}") for number in range(3)]
    return SimpleNamespace(
        kind="classes",
        root="shards",
        classes=classes,
        subsets=("", "night"),
        counts=SimpleNamespace(class_samples=samples),
        of=lambda split: shards,
    )


def reading_of(*probabilities: float) -> ClassReading:
    p_C = np.array(probabilities, np.float32)
    return ClassReading(TASK.classes[int(p_C.argmax())], float(p_C.max()), p_C)


def test_the_loss_of_a_sample_is_its_cross_entropy():
    logits_NC = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]], dtype=torch.float64)
    losses = TASK.loss(ModelOutput(logits_NC), ["0", "2"])
    expected = functional.cross_entropy(logits_NC, torch.tensor([0, 2]), reduction="none")
    torch.testing.assert_close(losses.losses_N, expected)
    values = TASK.log_values({name: float(value) for name, value in losses.sums.items()})
    assert values == {"train_accuracy": 0.5} and TASK.log_text(values) == ("right 0.50", None)
    assert losses.sums.keys() == set(TASK.log_sums)


def test_smoothing_and_weights():
    logits_NC = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]])
    smoothed = ClassTask(TASK.classes, 0.3, (1.0, 1.0, 4.0)).loss(ModelOutput(logits_NC), ["0", "2"]).losses_N
    log_p_NC = logits_NC.log_softmax(1)
    targets_NC = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
    expected = -(targets_NC * log_p_NC).sum(1) * torch.tensor([1.0, 4.0])
    torch.testing.assert_close(smoothed, expected)


def test_a_share_of_none_has_a_loss_of_zero_and_a_graph():
    logits_NC = torch.zeros(0, 3, requires_grad=True)
    losses = TASK.loss(ModelOutput(logits_NC), [])
    losses.losses_N.sum().backward()
    assert len(losses.losses_N) == len(losses.is_finite_N) == 0 and logits_NC.grad is not None


def test_scores_that_are_not_finite_are_found_by_sample():
    logits_NC = torch.zeros(3, 3)
    logits_NC[1, 2] = float("inf")
    assert TASK.loss(ModelOutput(logits_NC), ["0", "1", "2"]).is_finite_N.tolist() == [True, False, True]


def test_balanced_classes_weigh_the_same_and_a_sample_one_on_average():
    index = index_of(train=(6, 3, 1))
    weights = class_weights(index, LossConfig(class_weights="balanced"))
    weighed = [count * weight for count, weight in zip((6, 3, 1), weights, strict=True)]
    assert weighed == pytest.approx([10 / 3] * 3)
    assert class_weights(index_of(train=(6, 0, 2)), LossConfig(class_weights="balanced"))[1] == 0.0
    assert class_weights(index, LossConfig()) == ()
    with pytest.raises(ConfigError, match="class_weights is balanced, and shards does not say"):
        class_weights(index_of(), LossConfig(class_weights="balanced"))


def test_the_most_probable_class_is_read():
    first, second = read_output(TASK, ModelOutput(torch.tensor([[0.0, 3.0, 0.0], [5.0, 0.0, 0.0]])))
    assert (first.text, second.text) == ("dog", "cat") and first.probabilities_C.sum() == pytest.approx(1)
    described = TASK.reader.describe(first)
    assert described["class"] == "dog" and list(described["probabilities"]) == ["cat", "dog", "emu"]
    assert described["confidence"] == described["probabilities"]["dog"] == pytest.approx(0.9094, abs=1e-4)
    assert TASK.reader.line_of(first) == "dog\tdog 90.9%  cat 4.5%  emu 4.5%"


def test_another_set_may_lack_classes_but_have_no_others():
    TASK.check_readable(index_of(("emu", "cat")))
    with pytest.raises(CheckpointError, match="has classes that the model was not trained on: ox; it knows: cat, dog"):
        TASK.check_readable(index_of(("cat", "ox")))


def test_a_class_without_a_sample_in_any_split_is_no_class():
    """As a folder whose only image is broken."""
    TASK.check_readable(index_of(("cat", "ox"), train=(3, 0), val=(1, 0)))
    with pytest.raises(CheckpointError, match="was not trained on: ox; it knows"):
        TASK.check_readable(index_of(("cat", "ox"), train=(3, 0), val=(1, 1)))
    many = tuple(f"c{number:02d}" for number in range(60))
    with pytest.raises(CheckpointError, match="trained on: c00, c01, c02, c03, c04 and 55 more; it knows: cat, dog"):
        TASK.check_readable(index_of(many))
    with pytest.raises(CheckpointError, match="not trained on: cat; it knows: c00, .*, c49 and 10 more$"):
        ClassTask(many).check_readable(index_of(("cat",)))


def test_scores_go_by_name_where_numbers_differ():
    scores = TASK.empty_scores(index_of(("emu", "cat")))
    scores.add([reading_of(0.1, 0.1, 0.8), reading_of(0.2, 0.7, 0.1)], batch_of(["0", "1"]))
    assert scores.confusion.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 1]]


def scores_over(readings, labels, subsets=None, shard=0) -> ClassScores:
    scores = TASK.empty_scores(index_of())
    scores.add(readings, batch_of(labels, subsets, shard))
    return scores


def test_sums_of_ranks_are_those_of_one():
    rng = np.random.default_rng(0)
    readings = [reading_of(*rng.dirichlet((1, 1, 1))) for _ in range(80)]
    labels, subsets = [str(n % 3) for n in range(80)], [n % 2 for n in range(80)]
    whole = scores_over(readings, labels, subsets)
    parts = [
        scores_over(readings[:30], labels[:30], subsets[:30]),
        TASK.empty_scores(index_of()),
        scores_over(readings[30:], labels[30:], subsets[30:]),
    ]
    merged = TASK.empty_scores(index_of())
    merged.merge([part.state() for part in parts])
    assert merged.values() == pytest.approx(whole.values())
    assert (merged.confusion == whole.confusion).all()
    assert [each.confidence for each in merged.worst] == [each.confidence for each in whole.worst]
    assert len(merged.worst) == MOST_WORST
    assert figures_in(merged.values()) is CLASSES


def test_a_report_names_the_worst_mistakes_with_their_place():
    readings = [reading_of(0.9, 0.05, 0.05), reading_of(0.1, 0.6, 0.3), reading_of(0.98, 0.01, 0.01)]
    report = scores_over(readings, ["0", "2", "1"], [0, 1, 1], shard=2).report("test")
    assert report["accuracy"] == pytest.approx(1 / 3) and report["samples"] == 3
    assert report["worst"][0] == {
        "label": "dog",
        "reading": "cat",
        "confidence": pytest.approx(0.98),
        "shard": "test-000002",
        "row": 2,
    }
    assert report["confused"] == [["dog", "cat", 1], ["emu", "dog", 1]]
    assert list(report["subsets"]) == ["night"] and report["subsets"]["night"]["samples"] == 2
    assert report["by_class"]["cat"]["precision"] == 0.5 and report["by_class"]["cat"]["recall"] == 1.0
    assert "auc" not in report


def test_a_share_of_nothing_is_a_dash():
    """No emu is there, and no cat was read."""
    report = scores_over([reading_of(0.1, 0.8, 0.1), reading_of(0.1, 0.1, 0.8)], ["0", "1"]).report("test")
    (by_class, _, worst) = CLASSES.tables_of(report)
    assert worst.rows == [
        ("test-000000, 0", "cat", "dog", "80.0%"),
        ("test-000000, 1", "dog", "emu", "80.0%"),
    ]
    report["worst"][0]["source"] = "cat/a\nb.png"
    assert CLASSES.tables_of(report)[2].rows[0][0] == "cat/a b.png"
    assert by_class.rows == [
        ("cat", "1", "-", "0.0%", "0.0%"),
        ("dog", "1", "0.0%", "0.0%", "0.0%"),
        ("emu", "0", "0.0%", "-", "-"),
    ]


def test_of_two_classes_the_area_under_the_curve_is_reported():
    task = ClassTask(("ill", "well"))
    scores = task.empty_scores(index_of(task.classes))
    readings = [ClassReading("well", p, np.array([1 - p, p])) for p in (0.6, 0.9, 0.7)]
    scores.add(readings, batch_of(["0", "1", "1"]))
    values = scores.values()
    assert values["auc"] == 1.0 and values["auc_low"] < 1.0
    assert values["log_loss"] == pytest.approx(-np.mean(np.log([0.4, 0.9, 0.7])))
    assert CLASSES.remarks_on(scores.report("test")) == ["AUC of well: 1.000, 95 % interval 0.025 to 1.000"]


def test_sure_readings_are_still_in_order():
    """In float32, a softmax is 1 from a difference of 17 on; in float64, from 37 on."""
    task = ClassTask(("ill", "well"))
    logits_NC = torch.tensor([[0.0, 20.0], [0.0, 21.0], [0.5, 60.0], [0.0, 60.0], [-30.0, 0.0], [900.0, 0.0]])
    scores = task.empty_scores(index_of(task.classes))
    scores.add(read_output(task, ModelOutput(logits_NC)), batch_of(["0", "1", "0", "1", "1", "0"]))
    odds = [score for each in scores.log_odds for score in each]
    assert odds == pytest.approx([20.0, 59.5, -708.4, 21.0, 60.0, 30.0], abs=0.01)
    pairs = [(high > low) for low in scores.log_odds[0] for high in scores.log_odds[1]]
    assert scores.values()["auc"] == pytest.approx(np.mean(pairs)) == pytest.approx(7 / 9)


def test_the_area_under_the_curve_is_no_percentage():
    assert score_text(CLASSES, {"accuracy": 0.96, "auc": 0.99104}) == "accuracy 96.00%  AUC 0.991"
    auc = next(figure for figure in CLASSES.figures if figure.key == "auc")
    assert auc.text({"auc": 0.5}) == "0.500" and auc.text({"accuracy": 0.96}) == ""


def test_the_first_lines_name_classes_that_cannot_be_learnt():
    def remarks_on(classes=TASK.classes, **samples) -> list[str]:
        return TASK.opening_remarks(index_of(classes, **samples), Classifier(), Geometry(8, (1.0,), 8))

    assert remarks_on(train=(5, 0, 3), val=(0, 1, 0))[0].startswith("warning: the train split has no image of dog: ")
    assert len(remarks_on(train=(5, 1, 3), val=(0, 1, 0))) == 1
    (unused, _) = remarks_on(train=(5, 0, 3), val=(1, 0, 0))
    assert unused.startswith("warning: no image of dog could be packed: ")
    assert len(remarks_on()) == 1, "a set of an earlier version does not say how many there are"
    many = tuple(f"c{number:02d}" for number in range(60))
    assert "no image of c00, c01, c02, c03, c04 and 55 more: " in remarks_on(many, train=[0] * 60, val=[1] * 60)[0]
    assert TASK.describe_outputs() == "3 classes (cat, dog, emu)"
    assert ClassTask(many).describe_outputs() == "60 classes (c00, c01, c02, c03, c04 and 55 more)"


def test_plain_values_and_back():
    assert task_from_dict(TASK.to_dict()) == TASK
    for classes in ([], [1, 2], "abc", ["a", "b", "a"], {"a": 1}, None):
        with pytest.raises(ValueError):
            task_from_dict({"kind": "classes", "classes": classes})


def test_models_that_read_frames_do_not_learn_classes():
    task = task_of(index_of(), TrainConfig())
    with pytest.raises(ConfigError, match="model crnn does not learn classes; those that do: cnn, resnet18, resnet50"):
        build_model_for(task, Geometry(32, (1.0,), 32), "crnn", {})


def test_images_of_classes_are_square_and_in_colour():
    network = TrainConfig.of(height=50).network
    assert geometry_of("classes", network, (2.0,)) == Geometry(50, (2.0,), 50, 3)
    grey = TrainConfig.of(height=50, pixels="grey").network
    assert geometry_of("classes", grey, (2.0,)) == Geometry(50, (2.0,), 50, 1)
    assert geometry_of("words", grey, (2.0,)) == Geometry(50, (2.0,))
    with pytest.raises(ConfigError, match="words are read in grey"):
        geometry_of("words", TrainConfig.of(pixels="rgb").network, (2.0,))

"""Weights of another run, or of a state dict, in a new model: what fits is taken bit for bit, what does not is said."""

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from horovod_ocr.checkpoint.file import load_checkpoint, write_checkpoint
from horovod_ocr.checkpoint.transfer import transfer
from horovod_ocr.data.image import Geometry
from horovod_ocr.errors import CheckpointError
from horovod_ocr.models.build import build_model
from horovod_ocr.run.folder import Ownership, checkpoint_path
from horovod_ocr.tasks.base import Task
from horovod_ocr.tasks.classes import ClassTask
from horovod_ocr.tasks.words import WordTask
from horovod_ocr.text.charset import Charset
from sharding.format.script.profile import build_profile
from tests.unit.checkpoint.payload import tiny_payload

SMALL = {"width": 0.25, "hidden": 8}


def words(letters: str) -> WordTask:
    return WordTask(Charset.build(letters, build_profile("latin")))


def crnn(task: Task, seed: int, height: int = 32, **options):
    torch.manual_seed(seed)
    return build_model("crnn", task.outputs, height, **SMALL, **options)


def save_run(run: Path, task: Task, model: nn.Module, step: int = 1, height: int = 32, is_best: bool = False) -> Path:
    payload = {
        **tiny_payload(),
        "task": task.to_dict(),
        "model": model.state_dict(),
        "model_options": SMALL,
        "geometry": Geometry(height, (4.0,)).to_dict(),
    }
    return write_checkpoint(Ownership(run), step, payload, is_best)


def cnn(task: ClassTask, seed: int, channels: int = 3):
    torch.manual_seed(seed)
    return build_model("cnn", task.outputs, 16, channels, **SMALL)


def save_classes(run: Path, task: ClassTask, model: nn.Module, channels: int = 3) -> Path:
    payload = {
        **tiny_payload(),
        "task": task.to_dict(),
        "model": model.state_dict(),
        "model_name": "cnn",
        "model_options": SMALL,
        "geometry": Geometry(16, (4.0,), 16, channels).to_dict(),
    }
    return write_checkpoint(Ownership(run), 1, payload, is_best=True)


def resnet(outputs: int, channels: int = 3, seed: int = 0, **options):
    torch.manual_seed(seed)
    return build_model("resnet18", outputs, 64, channels, width=0.125, **options)


def save_state(path: Path, state: dict[str, Tensor]) -> Path:
    torch.save(OrderedDict(state), path)
    return path


def bits(model: nn.Module) -> dict[str, Tensor]:
    return {name: values.clone() for name, values in model.state_dict().items()}


def test_letters_that_both_know_keep_their_rows_and_the_others_are_random(tmp_path):
    old, new = words("bcdefg"), words("aBCDdefgxyz")
    there, model = crnn(old, seed=1), crnn(new, seed=2)
    before = bits(model)
    line = transfer(save_run(tmp_path, old, there), model, new)
    kept = {new.output_names().index(name): old.output_names().index(name) for name in ("blank", *"defg")}
    for name in ("weight", "bias"):
        rows, theirs = model.state_dict()[f"head.{name}"], there.state_dict()[f"head.{name}"]
        for row in range(new.outputs):
            expected = theirs[kept[row]] if row in kept else before[f"head.{name}"][row]
            assert torch.equal(rows[row], expected)
    assert all(
        torch.equal(values, there.state_dict()[name])
        for name, values in model.state_dict().items()
        if not name.startswith("head")
    )
    assert line == (
        f"begins with the weights of {checkpoint_path(tmp_path, 1)}; head: 5 of 12 outputs keep their weights; these "
        "start with random ones: B, C, D, a, x and 2 more"
    )


def test_a_runs_folder_is_its_best_checkpoint_and_the_same_letters_keep_all_weights(tmp_path):
    task = words("ab")
    best, last, model = crnn(task, seed=1), crnn(task, seed=2), crnn(task, seed=3)
    save_run(tmp_path, task, best, step=1, is_best=True)
    save_run(tmp_path, task, last, step=2)
    assert transfer(tmp_path, model, task).endswith("step-00000001.pt; head: 3 of 3 outputs keep their weights")
    assert all(torch.equal(values, best.state_dict()[name]) for name, values in bits(model).items())


def test_classes_that_both_know_keep_their_rows_by_name(tmp_path):
    old, new = ClassTask(("A", "B")), ClassTask(("B", "C"))
    there, model = cnn(old, seed=1), cnn(new, seed=2)
    before = bits(model)
    line = transfer(save_classes(tmp_path, old, there), model, new)
    for name in ("head.weight", "head.bias"):
        row_b, row_c = model.state_dict()[name]
        assert torch.equal(row_b, there.state_dict()[name][1]), "B is the second output there"
        assert torch.equal(row_c, before[name][1])
    others = [name for name in before if not name.startswith("head")]
    assert others and all(torch.equal(model.state_dict()[name], there.state_dict()[name]) for name in others)
    assert line.endswith("; head: 1 of 2 outputs keep their weights; these start with random ones: C")


def test_a_state_dict_of_a_wrapped_model_goes_by_the_names_inside(tmp_path):
    there, model = resnet(5, seed=1), resnet(5, seed=2)
    wrapped = nn.DataParallel(there).state_dict()
    assert all(name.startswith("module.") for name in wrapped)
    transfer(save_state(tmp_path / "it.pth", wrapped), model, words("abcd"))
    assert all(torch.equal(values, there.state_dict()[name]) for name, values in bits(model).items())
    one_is_not = {**wrapped, "more": torch.ones(1)}
    path = save_state(tmp_path / "it.pth", one_is_not)
    assert_refused(path, model, words("abcd"), r"does not fit the model: conv1\.weight is missing, ")


@pytest.mark.parametrize("kept_as", [lambda values: values, nn.Parameter])
def test_a_state_dict_with_another_head_leaves_the_head_random(tmp_path, kept_as):
    """As torchvision's files, some of which hold parameters; the oldest have no counters."""
    there, model = resnet(1000, seed=1), resnet(5, seed=2)
    before = bits(model)
    state = {
        name: kept_as(values) if values.is_floating_point() else values
        for name, values in there.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    path = save_state(tmp_path / "resnet18.pth", state)
    line = transfer(path, model, words("abcd"))
    for name, values in model.state_dict().items():
        expected = state.get(name, before[name]) if not name.startswith("fc.") else before[name]
        assert torch.equal(values, expected) and not values.requires_grad, name
    head = "head: 1,000 outputs there, 5 here: it starts with random weights"
    as_here = "taken to be trained on images as they are normalised here, black 0.5 and white -0.5"
    assert line == f"begins with the weights of {path}; {head}; {as_here}"


def test_a_state_dict_with_as_many_outputs_keeps_its_head(tmp_path):
    there, model = resnet(5, seed=1), resnet(5, seed=2)
    path = save_state(tmp_path / "it.pth", there.state_dict())
    assert "head: 5 outputs there and here, taken to be the same;" in transfer(path, model, words("abcd"))
    assert all(torch.equal(values, there.state_dict()[name]) for name, values in bits(model).items())


def test_a_convolution_for_rgb_reads_a_grey_image_as_rgb_that_is_grey(tmp_path):
    there, model = resnet(5, channels=3, seed=1), resnet(5, channels=1, seed=2)
    line = transfer(save_state(tmp_path / "it.pth", there.state_dict()), model, words("abcd"))
    assert line.endswith("; conv1: its 3 channels are summed for grey images")
    grey_N1HW = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(model.eval()(grey_N1HW), there.eval()(grey_N1HW.expand(-1, 3, -1, -1)))


def assert_refused(path: Path, model: nn.Module, task: Task, sentence: str) -> None:
    before = bits(model)
    with pytest.raises(CheckpointError, match=sentence):
        transfer(path, model, task)
    assert all(torch.equal(values, before[name]) for name, values in bits(model).items())


def test_a_checkpoint_of_another_task_is_refused(tmp_path):
    class Classes(WordTask):
        kind = "classes"

    task = Classes(words("ab").charset)
    path = save_run(tmp_path, words("ab"), crnn(words("ab"), seed=1))
    assert_refused(path, crnn(task, seed=2), task, r"\.pt was trained on words, and this run is on classes; give a ch")


def test_another_height_is_refused_where_it_changes_the_weights(tmp_path):
    task = words("ab")
    path = save_run(tmp_path, task, crnn(task, seed=1, height=64), height=64)
    sentence = (
        r"\.pt does not fit the model: stem\.8\.0\.weight is 16 x 48 x 4 x 1, not 16 x 48 x 2 x 1; it was trained "
        r"with model=crnn height=64 model_options\.width=0\.25 model_options\.hidden=8$"
    )
    assert_refused(path, crnn(task, seed=2), task, sentence)


def test_another_model_is_refused_by_the_first_differences(tmp_path):
    task = words("abcd")
    path = save_state(tmp_path / "it.pth", {"stem.weight": torch.ones(2, 2), "conv1.weight": torch.ones(())})
    sentence = (
        r"it\.pth does not fit the model: bn1\.weight is missing, bn1\.bias is missing, .* and \d+ more; give the "
        r"model, the model_options and the pixels that it is of$"
    )
    assert_refused(path, resnet(5), task, sentence)
    there = resnet(5).state_dict()
    path = save_state(tmp_path / "it.pth", {**there, "more": torch.ones(2)})
    assert_refused(path, resnet(5), task, r"the model: more is unknown; give")
    path = save_state(tmp_path / "it.pth", {**there, "conv1.weight": torch.ones(()), "fc.weight": torch.ones(5, 9)})
    assert_refused(path, resnet(5), task, r"conv1\.weight is a number, not 8 x 3 x 7 x 7, fc\.weight is outputs x 9, n")


def test_rgb_is_not_made_of_grey(tmp_path):
    path = save_state(tmp_path / "it.pth", resnet(5, channels=1).state_dict())
    assert_refused(path, resnet(5, channels=3), words("abcd"), r"conv1\.weight is 8 x 1 x 7 x 7, not 8 x 3 x 7 x 7")
    task = ClassTask(("A", "B"))
    path = save_classes(tmp_path, task, cnn(task, seed=1, channels=1), channels=1)
    sentence = (
        r"is 8 x 1 x 3 x 3, not 8 x 3 x 3 x 3; it was trained with model=cnn height=16 pixels=grey model_options\."
    )
    assert_refused(path, cnn(task, seed=2), task, sentence)


def test_a_head_that_does_not_fit_its_outputs_is_damaged(tmp_path):
    task, model = words("ab"), crnn(words("abc"), seed=1)
    assert_refused(save_run(tmp_path, task, model), crnn(task, seed=2), task, "damaged: not all weights of its head")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, "neither a checkpoint of horovod-ocr nor a state dict; save one with torch.save"),
        ({"state_dict": {"weight": torch.ones(1)}}, "neither a checkpoint"),
        ([torch.ones(1)], "neither a checkpoint"),
        (torch.ones(1), "neither a checkpoint"),
        ({"weight": torch.empty(1).expand(1 << 40)}, "neither a checkpoint"),
        ({"format": "horovod-ocr checkpoint", "version": 2}, "checkpoint version 2, this program reads 3"),
        ({"format": "horovod-ocr checkpoint", "version": 3}, "damaged: it has no field step"),
        ({"weight": nn.Linear(1, 1)}, "it names torch.nn.modules.linear.Linear, which no checkpoint needs"),
    ],
)
def test_a_file_of_anything_else_is_refused(tmp_path, content, sentence):
    torch.save(content, tmp_path / "it.pth")
    assert_refused(tmp_path / "it.pth", resnet(5), words("abcd"), sentence)


def test_a_file_that_is_not_of_torch_is_refused(tmp_path):
    (tmp_path / "it.pth").write_bytes(b"no zip")
    task, model = words("abcd"), resnet(5)
    assert_refused(
        tmp_path / "it.pth", model, task, r"it\.pth: not a checkpoint, or a damaged one \(not what torch\.save writes"
    )
    assert_refused(Path("/dev/null"), model, task, r"/dev/null: not a file$")
    assert_refused(tmp_path / "none.pth", model, task, r"none\.pth: no such file")
    assert_refused(tmp_path, model, task, "has no checkpoint; train first")


def test_a_folder_that_is_no_run_says_what_to_give(tmp_path):
    run = tmp_path / "runs" / "it"
    write_checkpoint(Ownership(run), 1, tiny_payload(), is_best=False)
    task, model = words("abcd"), resnet(5)
    assert_refused(run / "checkpoints", model, task, rf"checkpoints is a part of a run; give {run}$")
    assert_refused(tmp_path / "runs", model, task, rf"runs is no run, but holds 1; give one, such as {run}$")
    with pytest.raises(CheckpointError, match="nowhere is no folder"):
        load_checkpoint(tmp_path / "nowhere")

"""torchvision's ImageNet weights see the images that they were learnt on, although models here get other numbers."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from horovod_ocr.checkpoint import imagenet
from horovod_ocr.checkpoint.imagenet import DEVIATION, MEAN, is_imagenet
from horovod_ocr.checkpoint.transfer import transfer
from horovod_ocr.data.batch import normalise_images
from horovod_ocr.models.build import build_model
from horovod_ocr.tasks.classes import ClassTask

CPU = torch.device("cpu")
PAD_PX = 3  # of the stem's 7x7 convolution


@pytest.fixture(autouse=True)
def narrow(monkeypatch) -> None:
    """Models of an eighth of torchvision's width: the same sums in less time."""
    monkeypatch.setattr(imagenet, "STEM_SHAPE", (8, 3, 7, 7))


def resnet(outputs: int, channels: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = build_model("resnet18", outputs, 64, channels, width=0.125).double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # as if it was trained
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.weight)
    return model


def save_state(path: Path, state: dict[str, Tensor]) -> Path:
    torch.save(state, path)
    return path


def images_of(channels: int) -> Tensor:
    torch.manual_seed(7)
    return torch.randint(0, 256, (2, 64, 64, channels), dtype=torch.uint8)


def as_torchvision_has_them(images_NHWC: Tensor) -> Tensor:
    rgb_N3HW = images_NHWC.expand(-1, -1, -1, 3).permute(0, 3, 1, 2).double() / 255
    return (rgb_N3HW - mean_311()) / deviation_311()


def mean_311() -> Tensor:
    return torch.tensor(MEAN, dtype=torch.float64)[:, None, None]


def deviation_311() -> Tensor:
    return torch.tensor(DEVIATION, dtype=torch.float64)[:, None, None]


@pytest.mark.parametrize("channels", [3, 1])
def test_the_stem_gives_the_same_inside_the_border(tmp_path, channels):
    plain, model = resnet(1000, 3, seed=1), resnet(2, channels, seed=2)
    line = transfer(save_state(tmp_path / "resnet18.pth", plain.state_dict()), model, ClassTask(("A", "B")))
    folded, summed = "conv1: ImageNet's normalisation is folded in", "conv1: its 3 channels are summed for grey images"
    assert line.endswith(f"random weights; {folded}" + (f"; {summed}" if channels == 1 else ""))
    images_NHWC = images_of(channels)
    here = model.bn1(model.conv1(normalise_images(images_NHWC, CPU, torch.float64)))
    there = plain.bn1(plain.conv1(as_torchvision_has_them(images_NHWC)))
    assert here.shape == there.shape == (2, 8, 32, 32) and here.std() > 0.1
    torch.testing.assert_close(here[..., 2:-2, 2:-2], there[..., 2:-2, 2:-2])
    assert not torch.allclose(here, there), "padding is grey here, and the mean of ImageNet there"


@pytest.mark.parametrize("channels", [3, 1])
def test_all_scores_are_the_same_if_the_padding_is(tmp_path, channels):
    plain, model = resnet(1000, 3, seed=1), resnet(1000, channels, seed=2)
    task = ClassTask(tuple(map(str, range(1000))))
    transfer(save_state(tmp_path / "resnet18.pth", plain.state_dict()), model, task)
    plain.conv1.padding = (0, 0)
    grey_311 = (0.5 - mean_311()) / deviation_311()
    images_NHWC = images_of(channels)
    padded = functional.pad(as_torchvision_has_them(images_NHWC) - grey_311, [PAD_PX] * 4) + grey_311
    scores = model(normalise_images(images_NHWC, CPU, torch.float64))
    torch.testing.assert_close(scores, plain(padded))
    assert scores.std() > 0.01


def test_other_files_are_taken_as_they_are(tmp_path):
    state = resnet(1000, 3, seed=1).state_dict()
    assert is_imagenet(state)
    for name, shape in (
        ("conv1.weight", (8, 1, 7, 7)),
        ("conv1.weight", (16, 3, 7, 7)),
        ("conv1.weight", (8, 3, 3, 3)),
        ("fc.weight", (1001, 64)),
        ("fc.weight", ()),
        ("bn1.running_mean", (4,)),
    ):
        assert not is_imagenet(state | {name: torch.zeros(shape)}), name
    for name in ("conv1.weight", "fc.weight", "bn1.running_mean"):
        assert not is_imagenet({key: each for key, each in state.items() if key != name}), name
    other, model = resnet(999, 3, seed=1), resnet(2, 3, seed=2)
    line = transfer(save_state(tmp_path / "it.pth", other.state_dict()), model, ClassTask(("A", "B")))
    assert "folded" not in line and torch.equal(model.conv1.weight, other.conv1.weight)


def test_the_shape_is_that_of_torchvision(monkeypatch):
    monkeypatch.undo()
    shapes = {"conv1.weight": (64, 3, 7, 7), "bn1.running_mean": (64,), "fc.weight": (1000, 512)}
    assert is_imagenet({name: torch.zeros(shape) for name, shape in shapes.items()})

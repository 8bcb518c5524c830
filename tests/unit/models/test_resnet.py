"""Residual networks: published sizes, torchvision's names, gradients, small shares."""

import pytest
import torch
from torch import nn

from horovod_ocr.errors import ConfigError
from horovod_ocr.models.batchnorm import synchronise_batchnorm
from horovod_ocr.models.build import build_model

NAMES = ["resnet18", "resnet50"]
RESNET18_SHAPES = {
    "conv1.weight": (64, 3, 7, 7),
    "bn1.running_var": (64,),
    "layer1.0.conv1.weight": (64, 64, 3, 3),
    "layer1.1.bn2.bias": (64,),
    "layer2.0.conv1.weight": (128, 64, 3, 3),
    "layer2.0.downsample.0.weight": (128, 64, 1, 1),
    "layer2.0.downsample.1.num_batches_tracked": (),
    "layer4.1.conv2.weight": (512, 512, 3, 3),
    "fc.weight": (1000, 512),
    "fc.bias": (1000,),
}
RESNET50_SHAPES = {
    "conv1.weight": (64, 3, 7, 7),
    "layer1.0.conv1.weight": (64, 64, 1, 1),
    "layer1.0.downsample.0.weight": (256, 64, 1, 1),
    "layer1.2.conv3.weight": (256, 64, 1, 1),
    "layer2.0.conv2.weight": (128, 128, 3, 3),
    "layer3.5.bn3.running_mean": (1024,),
    "layer4.2.conv3.weight": (2048, 512, 1, 1),
    "fc.weight": (1000, 2048),
}


def small(name: str = "resnet18", **options):
    torch.manual_seed(0)
    return build_model(name, outputs=5, height=40, width=0.125, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters", "tensors", "shapes"),
    [("resnet18", 11_689_512, 122, RESNET18_SHAPES), ("resnet50", 25_557_032, 320, RESNET50_SHAPES)],
)
def test_sizes_are_the_published_ones_and_names_those_of_torchvision(name, parameters, tensors, shapes):
    with torch.device("meta"):
        model = build_model(name, outputs=1000, height=224, channels=3)
    state = model.state_dict()
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters and len(state) == tensors
    assert {weight: tuple(state[weight].shape) for weight in shapes} == shapes


def test_the_stride_of_a_bottleneck_is_in_its_3x3_convolution_as_in_torchvision():
    block = small("resnet50").layer2[0]
    assert (block.conv1.stride, block.conv2.stride, block.downsample[0].stride) == ((1, 1), (2, 2), (2, 2))


@pytest.mark.parametrize(("stem", "height", "edge_px"), [("large", 64, 2), ("small", 32, 4)])
@pytest.mark.parametrize("name", NAMES)
def test_the_stem_decides_how_much_of_the_image_is_left(name, stem, height, edge_px):
    model, seen = build_model(name, 5, height, 3, width=0.125, stem=stem), []
    model.layer4.register_forward_hook(lambda layer, inputs, output: seen.append(output.shape[2:]))
    logits_NC = model(torch.zeros(2, 3, height, height))
    assert seen == [(edge_px, edge_px)]
    assert logits_NC.shape == (2, 5) and logits_NC.dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
def test_a_new_block_adds_nothing(name):
    block = small(name).layer1[1].eval()
    x_NCHW = torch.rand(2, block.conv1.in_channels, 4, 4)
    assert torch.equal(block(x_NCHW), x_NCHW)


@pytest.mark.slow
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("name", NAMES)
def test_every_weight_has_a_contiguous_gradient_as_horovod_asks(name, norm, precision):
    model = small(name, norm=norm, dropout=0.5)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        logits_NC = model(torch.rand(2, 1, 40, 40))
    logits_NC.square().sum().backward()
    assert logits_NC.dtype == torch.float32
    assert all(p.is_contiguous() and p.grad.is_contiguous() and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("norm", ["batch", "group", "synchronised"])
def test_a_batch_of_none_has_a_graph(norm):
    model = small(norm="group" if norm == "group" else "batch")
    if norm == "synchronised":
        synchronise_batchnorm(model, lambda values: values + torch.ones_like(values), rank=0, world_size=2)
    logits_NC = model(torch.zeros(0, 1, 40, 40))
    logits_NC.sum().backward()
    assert logits_NC.shape == (0, 5) and all(p.grad is not None for p in model.parameters())
    assert all(values.isfinite().all() for values in model.state_dict().values())


@pytest.mark.parametrize(("stem", "least_px"), [("large", 33), ("small", 9)])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_a_share_of_one_image_of_the_least_height_is_learnt(stem, least_px, norm):
    """Neither norm takes a single value for a group."""
    options = {"stem": stem, "norm": norm, "width": 0.125}
    build_model("resnet18", 5, least_px, **options)(torch.rand(1, 1, least_px, 1)).sum().backward()
    with pytest.raises(ConfigError, match=f"height {least_px - 1} is not above {least_px - 1}, which stem {stem}"):
        build_model("resnet18", 5, least_px - 1, **options)


def test_group_norm_reads_each_image_alone():
    model = small(norm="group").train()
    for block in model.modules():
        if isinstance(block, nn.GroupNorm):
            nn.init.ones_(block.weight)  # also where a new block adds nothing
    images_NCHW = torch.rand(3, 1, 40, 40)
    assert torch.allclose(model(images_NCHW)[1:2], model(images_NCHW[1:2]), atol=1e-5)


def test_group_norm_has_32_groups_if_there_are_channels_for_them():
    with torch.device("meta"):
        wide, narrow = build_model("resnet18", 5, 64, norm="group"), small(norm="group", stem="small")
    assert {norm.num_groups for norm in wide.modules() if isinstance(norm, nn.GroupNorm)} == {32}
    assert [narrow.bn1.num_groups, narrow.layer2[0].bn1.num_groups] == [4, 8]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"norm": "layer"}, "model resnet18: norm is batch or group, not 'layer'"),
        ({"stem": "tiny"}, "model resnet18: stem is large or small, not 'tiny'"),
        ({"height": 32}, "height 32 is not above 32, which stem large needs; give stem small"),
        ({"height": 8}, "height 8 is not above 32, which stem large needs$"),
    ],
)
def test_options_that_cannot_be_are_one_sentence(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_model("resnet18", **{"outputs": 5, "height": 64, **options})

"""The small CNN's shapes and gradients."""

import pytest
import torch

from horovod_ocr.errors import ConfigError
from horovod_ocr.models.batchnorm import synchronise_batchnorm
from horovod_ocr.models.build import build_model


def small(**options):
    torch.manual_seed(0)
    return build_model("cnn", outputs=5, height=32, width=0.25, hidden=8, **options)


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 16, 16), (1, 50, 50), (3, 33, 47), (1, 8, 1)])
def test_one_row_of_scores_for_an_image_of_any_size(channels, height, width):
    model = build_model("cnn", 5, height, channels, width=0.25, hidden=8)
    logits_NC = model(torch.zeros(2, channels, height, width))
    assert logits_NC.shape == (2, 5) and logits_NC.dtype == torch.float32
    assert model.frames(torch.tensor([width])) is None


def test_it_is_small():
    model = build_model("cnn", outputs=29, height=50)
    assert sum(parameter.numel() for parameter in model.parameters()) == 244_221


def test_scores_depend_on_the_image_alone_and_on_where_something_is():
    model = small().eval()
    images_NCHW = torch.zeros(4, 1, 32, 32)
    images_NCHW[1, :, 2:6, 2:6] = images_NCHW[2, :, 26:30, 26:30] = 1
    together, alone = model(images_NCHW), model(images_NCHW[1:2])
    assert torch.allclose(together[1:2], alone, atol=1e-6)
    assert not torch.allclose(together[1], together[2], atol=1e-3)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_every_weight_has_a_contiguous_gradient_as_horovod_asks(precision):
    model = small()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        logits_NC = model(torch.rand(2, 1, 32, 48))
    logits_NC.square().sum().backward()
    assert logits_NC.dtype == torch.float32
    assert all(p.is_contiguous() and p.grad.is_contiguous() and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("synchronised", [False, True])
def test_a_batch_of_none_has_a_graph(synchronised):
    model = small()
    if synchronised:
        synchronise_batchnorm(model, lambda values: values + torch.ones_like(values), rank=0, world_size=2)
    logits_NC = model(torch.zeros(0, 1, 32, 48))
    logits_NC.sum().backward()
    assert logits_NC.shape == (0, 5) and all(p.grad is not None for p in model.parameters())
    assert all(values.isfinite().all() for values in model.state_dict().values())


def test_a_share_of_one_image_of_the_least_height_is_learnt():
    build_model("cnn", 5, 8, width=0.25, hidden=8)(torch.rand(1, 1, 8, 1)).sum().backward()
    with pytest.raises(ConfigError, match="model cnn: height 7 is less than 8"):
        build_model("cnn", 5, 7)

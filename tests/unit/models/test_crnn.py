"""The CRNN's shapes and gradients."""

import pytest
import torch

from horovod_ocr.errors import ConfigError
from horovod_ocr.models import build_model
from horovod_ocr.models.batchnorm import synchronise_batchnorm


def small(**options):
    torch.manual_seed(0)
    return build_model("crnn", classes=7, height=32, width=0.25, hidden=8, **options)


@pytest.mark.parametrize(("height", "width"), [(32, 64), (64, 8), (64, 200)])
def test_one_frame_for_each_stride_of_width(height, width):
    model = build_model("crnn", classes=7, height=height, width=0.25, hidden=8, extra_conv=True)
    logits_TNC = model(torch.zeros(3, 1, height, width))
    assert logits_TNC.shape == (width // model.frame_stride_px, 3, 7) and logits_TNC.dtype == torch.float32


def test_a_reading_depends_on_its_own_image_alone():
    model = small().eval()
    images_N1HW = torch.rand(4, 1, 32, 48)
    together, alone = model(images_N1HW), model(images_N1HW[2:3])
    assert torch.allclose(together[:, 2:3], alone, atol=1e-6)


def test_weights_and_gradients_stay_contiguous_as_horovod_asks():
    model = small()
    model(torch.rand(2, 1, 32, 48)).sum().backward()
    assert all(p.is_contiguous() and p.grad.is_contiguous() for p in model.parameters())


def test_a_batch_of_none_has_a_graph():
    model = small()
    logits_TNC = synchronise_batchnorm(model, lambda values: values + torch.ones_like(values))(
        torch.zeros(0, 1, 32, 48)
    )
    logits_TNC.sum().backward()
    assert logits_TNC.shape == (12, 0, 7)


def test_wrong_options_are_named():
    with pytest.raises(ConfigError, match="no model 'vit'; there are: crnn"):
        build_model("vit", 7, 32)
    with pytest.raises(ConfigError, match="no option 'depth'; it takes: dropout, extra_conv"):
        build_model("crnn", 7, 32, depth=3)
    with pytest.raises(ConfigError, match="not a multiple of 16"):
        build_model("crnn", 7, 40)

"""The CRNN's shapes and gradients."""

import copy
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from horovod_ocr.errors import ConfigError
from horovod_ocr.models.batchnorm import synchronise_batchnorm
from horovod_ocr.models.build import build_model


def small(**options):
    torch.manual_seed(0)
    return build_model("crnn", outputs=7, height=32, width=0.25, hidden=8, **options)


@pytest.mark.parametrize(("height", "width"), [(32, 64), (64, 8), (64, 200)])
def test_one_frame_for_each_stride_of_width(height, width):
    model = build_model("crnn", outputs=7, height=height, width=0.25, hidden=8, extra_conv=True)
    logits_TNC = model(torch.zeros(3, 1, height, width))
    assert logits_TNC.shape == (width // model.frame_stride_px, 3, 7) and logits_TNC.dtype == torch.float32


def test_the_model_says_how_many_frames_the_valid_columns_reach_into():
    frames_N = small().frames(torch.tensor([1, 4, 5, 48]))
    assert frames_N.tolist() == [1, 1, 2, 12] and frames_N.dtype == torch.int64


def test_the_model_says_which_heights_it_reads():
    model = small()
    model.check_height(3 * model.height_step_px)
    with pytest.raises(ValueError, match="height 40 is not a multiple of 16"):
        model.check_height(40)


def test_a_reading_depends_on_its_own_image_alone():
    model = small().eval()
    images_NCHW = torch.rand(4, 1, 32, 48)
    together, alone = model(images_NCHW), model(images_NCHW[2:3])
    assert torch.allclose(together[:, 2:3], alone, atol=1e-6)


def test_weights_and_gradients_stay_contiguous_as_horovod_asks():
    model = small()
    model(torch.rand(2, 1, 32, 48)).sum().backward()
    assert all(p.is_contiguous() and p.grad.is_contiguous() for p in model.parameters())


def test_a_batch_of_none_has_a_graph():
    model = small()
    synchronise_batchnorm(model, lambda values: values + torch.ones_like(values), rank=0, world_size=2)
    logits_TNC = model(torch.zeros(0, 1, 32, 48))
    logits_TNC.sum().backward()
    assert logits_TNC.shape == (12, 0, 7)


def test_wrong_options_are_named():
    with pytest.raises(ConfigError, match="no model 'vit'; there are: crnn, cnn, resnet18, resnet50"):
        build_model("vit", 7, 32)
    with pytest.raises(ConfigError, match="no option 'depth'; it takes: dropout, extra_conv"):
        build_model("crnn", 7, 32, depth=3)
    with pytest.raises(ConfigError, match="not a multiple of 16"):
        build_model("crnn", 7, 40)


@contextmanager
def cuda_autocast(dtype):
    """Autocast as on a GPU, also where torch sees none."""
    before = torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", dtype)
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        torch.autocast_decrement_nesting()
        torch.clear_autocast_cache()
        torch.set_autocast_enabled("cuda", False)
        torch.set_autocast_dtype("cuda", before)


class DtypesSeen(TorchDispatchMode):
    """The floating-point types that operations take and give."""

    def __init__(self):
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
        self.dtypes |= {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
        return result


def place_on_fake_gpu(model: nn.Module) -> None:
    """Tensors without content that say they are on a GPU. Without gradients: a torch without CUDA has none there."""
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            fake = torch.empty(parameter.shape, device="cuda", dtype=parameter.dtype)
            setattr(module, name, nn.Parameter(fake, requires_grad=False))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.empty(buffer.shape, device="cuda", dtype=buffer.dtype))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_on_a_gpu_autocast_leaves_the_lstm_in_float32(dtype):
    """cuDNN's LSTM computes in float16 under autocast to any dtype. It needs a GPU, so torch's own takes its place
    here: both compute in float32 only if autocast is off."""
    model, inside = small(layers=2), DtypesSeen()
    model.stem.eval()  # without CUDA, nothing is written to running statistics there
    model.lstm.flatten_parameters = lambda: None  # which asks for the weights' addresses
    model.lstm.register_forward_pre_hook(lambda *_: inside.__enter__() and None)
    model.lstm.register_forward_hook(lambda *_: inside.__exit__(None, None, None))
    with FakeTensorMode(), torch.no_grad(), torch.backends.cudnn.flags(enabled=False):
        place_on_fake_gpu(model)
        with cuda_autocast(dtype), DtypesSeen() as whole:
            logits_TNC = model(torch.empty(3, 1, 32, 64, device="cuda"))
    assert inside.dtypes == {torch.float32}
    assert dtype in whole.dtypes, "the convolutions are in autocast's dtype"
    assert logits_TNC.dtype == torch.float32 and logits_TNC.shape == (16, 3, 7)


def test_under_autocast_the_gradients_of_the_lstm_are_those_of_float32_inputs():
    model, kept = small().train(), {}

    def keep(lstm, inputs, output):
        kept["inputs"] = inputs[0].detach()
        output[0].register_hook(lambda gradient: kept.update(gradient=gradient))

    model.lstm.register_forward_hook(keep)
    with torch.autocast("cpu", torch.bfloat16):
        logits_TNC = model(torch.rand(3, 1, 32, 64))
    (logits_TNC.square().mean() * 1e-6).backward()
    alone = copy.deepcopy(model.lstm)
    alone.zero_grad()
    alone(kept["inputs"].float())[0].backward(kept["gradient"].float())
    for name, parameter in model.lstm.named_parameters():
        assert parameter.grad.any() and torch.equal(parameter.grad, alone.get_parameter(name).grad), name

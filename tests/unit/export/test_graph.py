"""ONNX graphs: in float32 the numbers of torch, in int8 near them, and never dependent on the batch."""

import numpy as np
import onnx
import pytest
import torch

from horovod_ocr.data.image import Geometry
from horovod_ocr.export.graph import build_graph
from horovod_ocr.export.int8 import images_a_run, quantise
from horovod_ocr.export.torch_network import TorchNetwork
from horovod_ocr.recognizer.network import OnnxNetwork
from tests.unit.export.conftest import random_model

pytestmark = pytest.mark.slow
MODELS = {
    "crnn": (Geometry(32, (2.0,)), {"width": 0.25, "hidden": 16, "extra_conv": True}),
    "cnn": (Geometry(32, (1.0,), 32, 3), {"width": 0.25, "hidden": 32}),
    "resnet18": (Geometry(32, (1.0,), 32, 3), {"stem": "small", "width": 0.25}),
}


def levels_of(geometry: Geometry, batch: int, width: int, seed: int = 0) -> np.ndarray:
    shape = batch, geometry.height, geometry.width or width, geometry.channels
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.fixture(scope="module", params=list(MODELS))
def exported(request):
    """geometry, the model on torch, its graph, the int8 graph."""
    geometry, options = MODELS[request.param]
    model = random_model(request.param, 11, geometry.height, geometry.channels, **options)
    graph = build_graph(model, geometry)
    with torch.inference_mode():
        images = [levels_of(geometry, 4, width, seed) for seed, width in enumerate((40, 64, 96))]
    return geometry, TorchNetwork(model, "fp32"), graph, quantise(graph, images)


def test_float32_has_the_numbers_of_torch_for_any_batch_and_width(exported):
    geometry, network, graph, _ = exported
    onnx.checker.check_model(graph)
    same = OnnxNetwork(graph.SerializeToString(), 16)
    for batch, width in ((1, 8), (1, 40), (3, 64), (17, 96), (2, 800)):
        images = levels_of(geometry, batch, width)
        wanted = network.logits(images)
        assert same.logits(images).shape == wanted.shape
        assert np.abs(same.logits(images) - wanted).max() <= 1e-4 * max(1, np.abs(wanted).max())


def test_int8_is_near_and_much_smaller(exported):
    geometry, network, graph, int8 = exported
    onnx.checker.check_model(int8)
    assert (
        len(int8.SerializeToString()) < len(graph.SerializeToString()) / 1.8
    )  # names and shapes weigh in small models
    images = levels_of(geometry, 6, 64, seed=9)
    wanted, found = network.logits(images), OnnxNetwork(int8.SerializeToString(), 16).logits(images)
    assert np.corrcoef(wanted.ravel(), found.ravel())[0, 1] > 0.97
    assert found.shape == wanted.shape and np.abs(wanted - found).max() > 0, "int8 rounds"


def test_no_number_depends_on_the_batch(exported):
    """Of an LSTM in int8 it would, if a run held several images: its ranges are those of all of them together."""
    geometry, _, graph, int8 = exported
    for model in (graph, int8):
        network = OnnxNetwork(model.SerializeToString(), images_a_run(model))
        images = np.concatenate([levels_of(geometry, 8, 64), np.full_like(levels_of(geometry, 1, 64), 255)])
        images[3] //= 8
        together = network.logits(images)
        axis = together.ndim - 2
        for number in range(len(images)):
            alone = network.logits(images[number : number + 1])
            apart = np.abs(alone - together.take([number], axis)).max()
            assert apart <= 1e-5 * max(1, np.abs(together).max())


def test_convolutions_are_in_int8_but_the_first(exported):
    """Each takes levels from the one before it; nothing is left of the layers of ReLU, but those behind a sum."""
    *_, int8 = exported
    makers = {name: node for node in int8.graph.node for name in node.output}
    convolutions = [node for node in int8.graph.node if node.op_type == "Conv"]
    assert all(makers[node.input[0]].op_type == "DequantizeLinear" for node in convolutions[1:])
    assert all(makers[node.input[1]].op_type == "DequantizeLinear" for node in convolutions[1:])
    kinds = [node.op_type for node in int8.graph.node]
    assert "LSTM" not in kinds and kinds.count("Relu") <= 2 + kinds.count("Add")


def test_a_run_of_the_model_with_an_lstm_holds_one_image(exported):
    geometry, _, graph, int8 = exported
    assert images_a_run(graph) > 1
    assert images_a_run(int8) == (images_a_run(graph) if geometry.is_photo else 1)


def test_files_say_nothing_of_the_machine_that_made_them(exported):
    for model in exported[2:]:
        content = model.SerializeToString()
        assert b"site-packages" not in content and b"/" + b"horovod_ocr" not in content and b'.py"' not in content

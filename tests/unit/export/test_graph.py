"""ONNX graphs: in float32 the numbers of torch, in int8 near them, and never dependent on the batch."""

import numpy as np
import onnx
import pytest
import torch

from horovod_ocr.data.image import Geometry
from horovod_ocr.errors import ExportError
from horovod_ocr.export.graph import build_graph
from horovod_ocr.export.int8 import quantise
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
    same = OnnxNetwork(graph.SerializeToString())
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
    wanted, found = network.logits(images), OnnxNetwork(int8.SerializeToString()).logits(images)
    assert np.corrcoef(wanted.ravel(), found.ravel())[0, 1] > 0.97
    assert found.shape == wanted.shape and np.abs(wanted - found).max() > 0, "int8 rounds"


def test_no_number_depends_on_the_batch(exported):
    """Dynamic quantisation would fail here: its ranges are those of all images together."""
    geometry, _, graph, int8 = exported
    for model, tolerance in ((graph, 1e-5), (int8, 1e-5)):
        network = OnnxNetwork(model.SerializeToString())
        images = np.concatenate([levels_of(geometry, 8, 64), np.full_like(levels_of(geometry, 1, 64), 255)])
        images[3] //= 8
        together = network.logits(images)
        axis = together.ndim - 2
        for number in range(len(images)):
            alone = network.logits(images[number : number + 1])
            apart = np.abs(alone - together.take([number], axis)).max()
            assert apart <= tolerance * max(1, np.abs(together).max())


def test_levels_go_into_the_first_convolution_as_they_are(exported):
    """No arithmetic on float images is left before it."""
    *_, int8 = exported
    before = []
    for node in int8.graph.node:
        if node.op_type == "Conv":
            break
        before.append(node.op_type)
    assert not {"Div", "Sub", "Add", "QuantizeLinear"} & set(before)
    assert [each.op_type for each in int8.graph.node].count("Relu") <= sum(n.op_type == "Add" for n in int8.graph.node)


def test_files_say_nothing_of_the_machine_that_made_them(exported):
    for model in exported[2:]:
        content = model.SerializeToString()
        assert b"site-packages" not in content and b"/" + b"horovod_ocr" not in content and b'.py"' not in content


def test_a_graph_of_another_kind_is_refused(exported):
    geometry, _, graph, _ = exported
    other = onnx.ModelProto.FromString(graph.SerializeToString())
    for node in other.graph.node:
        if node.op_type == "Div":
            node.op_type = "Mul"
    with pytest.raises(ExportError, match="does not begin with a convolution of its images; .*--no-int8"):
        quantise(other, [levels_of(geometry, 1, 64)])
